"""`$batch`: order, stopping, the limit, and the answers of a snapshot that was rolled back."""

from __future__ import annotations

from typing import Any

import httpx

from tests.contract.business_central_sandbox.conftest import MakeRig
from tests.contract.business_central_sandbox.rig import COMPANY, CONTACTS, CUSTOMERS, ROOT, Rig, error_of

RELATIVE = f"companies({COMPANY})/customers"


def part(part_id: str, method: str = "POST", url: str = RELATIVE, **more: Any) -> dict[str, Any]:
    headers = {"Content-Type": "application/json", **more.pop("headers", {})}
    return {"id": part_id, "method": method, "url": url, "headers": headers, **more}


def new(part_id: str, name: str = "Legnami Blu", **more: Any) -> dict[str, Any]:
    return part(part_id, body={"displayName": name}, **more)


async def batch(rig: Rig, *parts: dict[str, Any], **headers: str) -> list[dict[str, Any]]:
    answer = await raw_batch(rig, *parts, **headers)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["responses"])


async def raw_batch(rig: Rig, *parts: dict[str, Any], **headers: str) -> httpx.Response:
    return await rig.http.post(f"{ROOT}/$batch", json={"requests": list(parts)}, headers=headers)


async def test_parts_are_answered_one_by_one_under_an_outer_200(rig: Rig) -> None:
    """Create, change with the etag, read and delete, each with its own status and headers."""
    row = await rig.create()
    address = f"{RELATIVE}({row['id']})"
    responses = await batch(
        rig,
        new("a"),
        part("b", "PATCH", address, body={"city": "Merano"}, headers={"If-Match": row["@odata.etag"]}),
        part("c", "GET", f"{address}?$select=city"),
        part("d", "DELETE", address),
    )
    assert [(one["id"], one["status"]) for one in responses] == [("a", 201), ("b", 200), ("c", 200), ("d", 204)]
    assert responses[0]["headers"]["location"].startswith(CUSTOMERS)
    assert responses[2]["body"]["city"] == "Merano"
    assert "body" not in responses[3]


async def test_a_batch_stops_at_the_first_failure(rig: Rig) -> None:
    """What came before stays, what follows is not run and has no answer."""
    responses = await batch(rig, new("1"), new("2", ""), new("3"))
    assert [(one["id"], one["status"]) for one in responses] == [("1", 201), ("2", 400)]
    assert responses[1]["body"]["error"]["code"] == "Application_DialogException"
    assert len(await rig.values(CUSTOMERS)) == 1


async def test_a_batch_goes_on_after_a_failure_if_asked_to(rig: Rig) -> None:
    """Only what depends on the failed part fails with it."""
    responses = await batch(rig, new("1", ""), new("2", dependsOn=["1"]), new("3"), Prefer="odata.continue-on-error")
    assert [one["status"] for one in responses] == [400, 424, 201]
    assert len(await rig.values(CUSTOMERS)) == 1


async def test_a_snapshot_is_all_or_nothing(rig: Rig) -> None:
    """Everything succeeds together."""
    responses = await batch(rig, new("1"), new("2"), Isolation="snapshot")
    assert [one["status"] for one in responses] == [201, 201]
    assert len(await rig.values(CUSTOMERS)) == 2


async def test_a_rolled_back_snapshot_still_claims_its_first_parts_succeeded(rig: Rig) -> None:
    """201 with an id that does not exist; no contact, number or notice is left of it either."""
    await rig.subscribe()
    responses = await batch(rig, new("1"), new("2", ""), new("3"), Isolation="snapshot")
    assert [one["status"] for one in responses] == [201, 400]
    phantom = responses[0]["body"]["id"]
    assert error_of(await rig.http.get(f"{CUSTOMERS}({phantom})"), 404)
    assert await rig.values(CONTACTS) == []
    assert rig.sandbox.waiting_notices() == 0
    assert (await rig.create())["number"] == responses[0]["body"]["number"]


async def test_a_hundred_parts_pass_and_one_more_is_a_500(rig: Rig) -> None:
    """The limit's answer is no 4xx, and nothing has been carried out."""
    assert len(await batch(rig, *(part(str(n), "GET", f"{RELATIVE}?$top=1") for n in range(100)))) == 100
    code, message = error_of(await raw_batch(rig, *(new(str(n)) for n in range(101))), 500)
    assert code == "Unknown"
    assert message.startswith("The current batch message contains too many parts. A maximum number of '100'")
    assert await rig.values(CUSTOMERS) == []


async def test_the_company_of_a_part_can_stand_in_its_header(rig: Rig) -> None:
    """Without the company in the address, the header names it."""
    responses = await batch(
        rig, part("1", "POST", "customers", body={"displayName": "X"}, headers={"Company": "ALPENHOLZ"})
    )
    assert responses[0]["status"] == 201
    responses = await batch(rig, part("1", "GET", "customers", headers={"Company": "NOBODY"}))
    assert responses[0]["status"] == 404


async def test_a_batch_that_is_none_is_refused_and_an_odd_part_unforeseen(rig: Rig) -> None:
    """Missing requests and doubled ids are 400; absolute addresses nobody imitates."""
    assert error_of(await rig.http.post(f"{ROOT}/$batch", json={}), 400)[0] == "BadRequest"
    assert error_of(await raw_batch(rig, new("1"), new("1")), 400)[0] == "BadRequest"
    assert (await raw_batch(rig, part("1", "GET", CUSTOMERS))).status_code == 501
    responses = await batch(rig, part("1", "GET", f"companies({COMPANY})/vendors"))
    assert responses[0]["status"] == 501
    assert len(rig.sandbox.requests.unforeseen()) == 2


async def test_errors_of_parts_follow_the_outer_language(rig: Rig) -> None:
    """A part without a language of its own takes the batch's."""
    responses = await batch(rig, new("1", ""), **{"Accept-Language": "de"})
    assert responses[0]["body"]["error"]["message"].startswith("Ein leerer Wert")


async def test_parts_count_against_the_limit_of_requests(make: MakeRig) -> None:
    """Whether they do is not documented, so the sandbox takes the strict view unless told otherwise."""
    strict, generous = make(requests_per_window=5), make(requests_per_window=5, batch_parts_count=False)
    parts = [part(str(n), "GET", RELATIVE) for n in range(6)]
    assert error_of(await raw_batch(strict, *parts), 429)
    assert (await raw_batch(generous, *parts)).status_code == 200
