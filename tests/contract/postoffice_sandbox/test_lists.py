"""Lists by pages, the feed of changes, the statistics, the files, and who is let in."""

from __future__ import annotations

import csv
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import httpx
import pytest

from sandbox.faults import FaultKind, FaultRule
from sandbox.postoffice.options import Auth, PostOfficeOptions, poor
from sandbox.transport import SandboxTransport
from tests.contract.postoffice_sandbox.conftest import BASE_URL, MakeSite, Site

DAY = date(2026, 3, 1)


def groups(site: Site, count: int) -> list[str]:
    return [site.sandbox.create("customer-groups", {"number": str(n), "name": f"G{n}"})["id"] for n in range(count)]


@pytest.mark.parametrize("options", [PostOfficeOptions(), poor()], ids=["whole", "poor"])
async def test_a_list_is_read_page_by_page(make: MakeSite, options: PostOfficeOptions) -> None:
    site = make(options)
    ids = groups(site, 7)
    assert [row["id"] for row in await site.all("/customer-groups", limit="3")] == ids


async def test_a_row_changed_while_paging_is_shown_again_and_none_is_missed(site: Site) -> None:
    ids = groups(site, 4)
    first = (await site.ask("GET", "/customer-groups?limit=2")).json()
    site.sandbox.edit("customer-groups", ids[0], {"name": "Changed"})
    rest = await site.all("/customer-groups", limit="2", cursor=first["nextCursor"])
    assert [row["id"] for row in rest] == [ids[2], ids[3], ids[0]]


async def test_by_offset_a_deleted_row_makes_another_one_be_missed(make: MakeSite) -> None:
    """That is how such sites are; whoever reads them has to look twice."""
    site = make(poor())
    ids = groups(site, 4)
    await site.ask("GET", "/customer-groups?limit=2")
    site.sandbox.delete("customer-groups", ids[0])
    second = (await site.ask("GET", "/customer-groups?limit=2&offset=2")).json()["items"]
    assert [row["id"] for row in second] == [ids[3]]


async def test_changes_since_a_time_show_deletions_where_the_site_has_them(make: MakeSite) -> None:
    whole, less = make(), make(poor())
    for site, expected in ((whole, [(1, False), (0, True)]), (less, [(1, False)])):
        ids = groups(site, 3)
        site.clock.move(minutes=5)
        since = site.clock.now().isoformat()
        site.sandbox.edit("customer-groups", ids[1], {"name": "Changed"})
        site.sandbox.delete("customer-groups", ids[0])
        found = await site.all("/customer-groups", changedSince=since)
        assert [(ids.index(row["id"]), row["deleted"]) for row in found] == expected
        assert len(await site.all("/customer-groups")) == 2


async def test_customers_are_found_by_number_link_and_crm_id(site: Site) -> None:
    """R-082: by the number and by the external number."""
    one = site.sandbox.create("customers", {"name": "A", "number": "K-1", "externalNumber": "X9"})
    site.sandbox.create("customers", {"name": "B"})
    for query in ({"number": "k-1"}, {"externalNumber": "X9"}):
        assert [row["id"] for row in await site.all("/customers", **query)] == [one["id"]]
    assert len(await site.all("/customers", linked="false")) == 2
    assert await site.all("/customers", linked="true") == []


@pytest.mark.parametrize(
    ("path", "code", "field"),
    [
        ("/customers?limit=501", "BadParameter", "limit"),
        ("/customers?limit=0", "BadParameter", "limit"),
        ("/customers?cursor=nonsense", "BadCursor", "cursor"),
        ("/customers?offset=3", "UnknownParameter", "offset"),
        ("/customers?changedSince=yesterday", "BadParameter", "changedSince"),
        ("/customers?changedSince=2026-03-01T00:00:00", "BadParameter", "changedSince"),
        ("/customers?linked=perhaps", "BadParameter", "linked"),
        ("/services?crmId=1", "UnknownParameter", "crmId"),
        ("/shipment-statistics?from=2026-01-01&to=2026-12-31&groupBy=day", "WindowTooLong", "to"),
        ("/shipment-statistics?from=2026-01-02&to=2026-01-01&groupBy=day", "WindowTooLong", "to"),
        ("/shipment-statistics?from=2026-01-02&to=2026-01-02&groupBy=colour", "BadParameter", "groupBy"),
        ("/changes?entities=colours", "UnknownEntity", "entities"),
    ],
)
async def test_wrong_questions_are_refused(site: Site, path: str, code: str, field: str) -> None:
    site.sandbox.create("customers", {"name": "A"})
    assert await site.refusal("GET", path) == (400, code, [field])


async def test_a_cursor_serves_only_its_own_query(site: Site) -> None:
    groups(site, 3)
    cursor = (await site.ask("GET", "/customer-groups?limit=1")).json()["nextCursor"]
    assert (await site.refusal("GET", f"/price-groups?cursor={cursor}"))[1] == "BadCursor"


async def test_the_feed_tells_of_changes_and_deletions_and_expires(site: Site) -> None:
    ids = groups(site, 2)
    first = (await site.ask("GET", "/changes?entities=customer-groups")).json()
    assert [(one["id"], one["change"]) for one in first["items"]] == [(ids[0], "upsert"), (ids[1], "upsert")]
    site.sandbox.delete("customer-groups", ids[0])
    path = f"/changes?entities=customer-groups&cursor={first['nextCursor']}"
    second = (await site.ask("GET", path)).json()
    assert [(one["id"], one["change"]) for one in second["items"]] == [(ids[0], "delete")]
    site.clock.move(days=8)
    assert (await site.refusal("GET", path))[:2] == (410, "CursorExpired")


async def test_statistics_are_sums_in_pages(site: Site) -> None:
    for customer in ("c1", "c2"):
        for day in range(3):
            when = DAY + timedelta(days=day)
            site.sandbox.ship(customer, "s1", when, items=2, grams=50, amount=Decimal("1.5"))
            site.sandbox.ship(customer, "s1", when, items=3, grams=20, amount=Decimal("2"), cost_centre_id="k1")
    window = {"from": DAY.isoformat(), "to": (DAY + timedelta(days=1)).isoformat()}
    sums = await site.all("/shipment-statistics", limit="3", groupBy="customer,costCentre,service,day", **window)
    assert len(sums) == 8
    assert sums[0] == {
        "customerId": "c1",
        "costCentreId": None,
        "serviceId": "s1",
        "day": "2026-03-01",
        "items": 2,
        "weightGrams": 50,
        "amount": "1.5000",
    }
    (total, _) = await site.all("/shipment-statistics", groupBy="customer", **window)
    assert (total["items"], total["amount"]) == (10, "7.0000")


async def test_a_correction_takes_a_row_away(site: Site) -> None:
    site.sandbox.ship("c1", "s1", DAY, items=2)
    window = {"from": DAY.isoformat(), "to": DAY.isoformat(), "groupBy": "day"}
    assert len(await site.all("/shipment-statistics", **window)) == 1
    site.sandbox.ship("c1", "s1", DAY, items=0)
    assert await site.all("/shipment-statistics", **window) == []


async def test_files_are_written_in_the_vendors_form(site: Site, tmp_path: Path) -> None:
    site.sandbox.create("customer-groups", {"number": "1", "name": 'Say "hello"; twice'})
    site.sandbox.ship("c1", "s1", DAY, items=2, grams=5, amount=Decimal("1.5"))
    files = {path.name: path for path in site.sandbox.export_csv(tmp_path, DAY, DAY)}
    raw = files["customer-groups.csv"].read_bytes()
    assert raw.endswith(b"\r\n")
    assert b'"Say ""hello""; twice"' in raw
    (row,) = csv.DictReader(raw.decode().splitlines(), delimiter=";")
    assert (row["name"], row["active"], row["changedAt"]) == ('Say "hello"; twice', "1", "2026.03.02 08:00:00")
    (sums,) = csv.DictReader(files["shipment-statistics.csv"].read_text().splitlines(), delimiter=";")
    assert (sums["day"], sums["costCentreId"], sums["amount"]) == ("2026.03.01", "", "1.5000")


@pytest.mark.parametrize("auth", list(Auth))
async def test_only_who_signs_in_is_let_in(make: MakeSite, auth: Auth) -> None:
    site = make(auth=auth)
    transport = SandboxTransport(site.sandbox.app)
    async with httpx.AsyncClient(base_url=f"{BASE_URL}/v1", transport=transport) as nobody:
        assert (await nobody.get("/system")).status_code == 401
        token = site.issuer.issue("anyone", site.sandbox.options.audience)
        expected = 200 if auth is Auth.OAUTH2 else 401
        assert (await nobody.get("/system", headers={"Authorization": f"Bearer {token}"})).status_code == expected
    if auth is not Auth.OAUTH2:
        assert (await site.ask("GET", "/system")).json()["isTestSystem"] is False


async def test_the_mark_of_a_test_system_can_change(site: Site) -> None:
    """R-071: the flag is the database's own."""
    site.sandbox.mark_as_test_system(True)
    assert (await site.ask("GET", "/system")).json() == {"isTestSystem": True, "version": "2024.1", "tenant": "sandbox"}


async def test_too_many_requests_are_refused_for_a_minute(make: MakeSite) -> None:
    site = make(requests_per_minute=2)
    for status in (200, 200, 429):
        await site.ask("GET", "/system", status=status)
    site.clock.move(minutes=1)
    await site.ask("GET", "/system")


async def test_faults_strike_and_old_states_are_shown(site: Site) -> None:
    made = site.sandbox.create("customers", {"name": "Old"})
    site.sandbox.edit("customers", made["id"], {"name": "New"})
    site.sandbox.faults.add(FaultRule(FaultKind.STALE_READ, times=1))
    assert (await site.ask("GET", f"/customers/{made['id']}")).json()["name"] == "Old"
    site.sandbox.faults.add(FaultRule(FaultKind.THROTTLED, retry_after_seconds=7, times=1))
    assert (await site.ask("GET", "/system", status=429)).headers["retry-after"] == "7"
    await site.ask("GET", "/system")


async def test_what_the_contract_does_not_say_is_unforeseen(site: Site) -> None:
    assert (await site.refusal("GET", "/colours"))[:2] == (404, "NoSuchPath")
    await site.ask("GET", "/customers/1/colours/2", status=501)
    assert (await site.refusal("POST", "/services", {}))[:2] == (405, "MethodNotAllowed")
    assert [one.path for one in site.sandbox.requests.unforeseen()] == ["/gateway/v1/customers/1/colours/2"]
