"""Delta links: everything once, then only what changed, with deletions, pages and an end of life."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.dataverse_sandbox.conftest import ROOT, Organisation, code_of

TRACK = {"Prefer": "odata.track-changes"}


async def start(org: Organisation, prefer: str = "odata.track-changes") -> dict[str, Any]:
    """Read everything and return the answer."""
    answer = await org.client.get("/accounts?$select=name", headers={"Prefer": prefer})
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def follow(org: Organisation, link: str) -> dict[str, Any]:
    """Follow a link and return the answer."""
    answer = await org.client.get(link, headers=TRACK)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def test_the_first_read_gives_everything_and_a_delta_link(org: Organisation) -> None:
    """Rows deleted before are not mentioned."""
    await org.create(name="stays")
    gone = await org.create(name="gone")
    await org.client.delete(f"/accounts({gone})")
    body = await start(org)
    assert [row["name"] for row in body["value"]] == ["stays"]
    assert body["@odata.deltaLink"].startswith(f"{ROOT}/accounts?$select=name&$deltatoken=")


async def test_the_delta_link_gives_changes_first_and_deletions_last(org: Organisation) -> None:
    """Whole rows of the selected columns; a row made and deleted in between is only a deletion."""
    changed, deleted, _ = [await org.create(name=name) for name in ("changed", "deleted", "untouched")]
    link = (await start(org))["@odata.deltaLink"]
    await org.client.delete(f"/accounts({deleted})")
    await org.client.patch(f"/accounts({changed})", json={"telephone1": "1"})
    short = await org.create(name="short-lived")
    await org.client.delete(f"/accounts({short})")
    new = await org.create(name="new")
    body = await follow(org, link)
    assert body["@odata.context"] == f"{ROOT}/$metadata#accounts(name)/$delta"
    assert [row.get("accountid") for row in body["value"][:2]] == [changed, new]
    assert body["value"][2:] == [
        {"@odata.context": f"{ROOT}/$metadata#accounts/$deletedEntity", "id": row_id, "reason": "deleted"}
        for row_id in (deleted, short)
    ]
    assert (await follow(org, body["@odata.deltaLink"]))["value"] == []


async def test_an_old_delta_link_still_works_and_repeats(org: Organisation) -> None:
    """A token is not used up: losing the answer costs nothing."""
    link = (await start(org))["@odata.deltaLink"]
    await org.create(name="new")
    for _ in range(2):
        assert [row["name"] for row in (await follow(org, link))["value"]] == ["new"]


async def test_changes_come_in_pages_and_none_is_lost_meanwhile(org: Organisation) -> None:
    """A row changed while pages are read comes with the next delta link; deletions follow on the last pages."""
    ids = [await org.create(name=str(number)) for number in range(5)]
    prefer = "odata.track-changes,odata.maxpagesize=2"
    body, seen = await start(org, prefer), []
    while True:
        seen += [row["accountid"] for row in body["value"]]
        if "@odata.nextLink" not in body:
            break
        assert "@odata.deltaLink" not in body
        await org.client.patch(f"/accounts({ids[4]})", json={"fax": "1"})
        body = (await org.client.get(body["@odata.nextLink"], headers={"Prefer": prefer})).json()
    assert set(seen) >= set(ids[:4])
    after = await follow(org, body["@odata.deltaLink"])
    assert [row["accountid"] for row in after["value"]] == [ids[4]]


async def test_deletions_are_paged_too(org: Organisation) -> None:
    """Each deletion comes once."""
    ids = [await org.create(name=str(number)) for number in range(5)]
    link = (await start(org))["@odata.deltaLink"]
    for row_id in ids:
        await org.client.delete(f"/accounts({row_id})")
    seen: list[str] = []
    prefer = {"Prefer": "odata.track-changes,odata.maxpagesize=2"}
    while link:
        body = (await org.client.get(link, headers=prefer)).json()
        seen += [row["id"] for row in body["value"]]
        link = body.get("@odata.nextLink", "")
    assert seen == ids


@pytest.mark.parametrize("option", ["$filter=name eq 'a'", "$orderby=name", "$expand=primarycontactid", "$top=5"])
async def test_other_options_are_refused(org: Organisation, option: str) -> None:
    """Change tracking takes $select only."""
    answer = await org.client.get(f"/accounts?{option}", headers=TRACK)
    assert answer.status_code == 400
    name = option.partition("=")[0]
    expected = f'The "{name}" query parameter isn\'t supported when Change Tracking is enabled.'
    assert answer.json()["error"]["message"] == expected


async def test_a_token_dies_after_seven_days(org: Organisation) -> None:
    """Then only a full read helps."""
    link = (await start(org))["@odata.deltaLink"]
    await org.clock.advance(7 * 86400 - 60)
    assert (await org.client.get(link)).status_code == 200
    await org.clock.advance(120)
    answer = await org.client.get(link)
    assert (answer.status_code, code_of(answer)) == (400, "0x80044352")


async def test_an_untracked_table_and_a_broken_token_are_refused(org: Organisation) -> None:
    """Notes are not tracked in this organisation."""
    assert (await org.client.get("/annotations", headers=TRACK)).status_code == 400
    assert (await org.client.get("/accounts?$deltatoken=nonsense")).status_code == 400
