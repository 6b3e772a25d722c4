"""What is particular to Business Central, seen through the port and against its sandbox."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import httpx
import pytest

from sandbox.business_central import BusinessCentralOptions
from sandbox.faults import FaultKind, FaultRule
from sandbox.tokens import TENANT_ID
from sandbox.transport import SandboxTransport
from shared.connectors.business_central.connector import BusinessCentralConnector
from shared.errors import (
    AlreadyExists,
    FeedExpired,
    ManualNumbersForbidden,
    Refused,
    SettingsError,
    SignInFailed,
    UnknownColumn,
)
from shared.http_client import HttpClient
from shared.sync.ports import ChangePage, ColumnType, Record, Value
from tests.contract.connectors.rigs import COMPANY, UNKNOWN_KEY, BusinessCentralRig
from tests.unit.connectors.fakes import CountedTokens, CountingIds

TABLE = "customers"


@pytest.fixture
async def rig() -> AsyncIterator[BusinessCentralRig]:
    """Customers of one company."""
    made = BusinessCentralRig()
    yield made
    await made.aclose()
    assert made.requests.unforeseen() == []


async def create(rig: BusinessCentralRig, **values: Value) -> Record:
    columns = [name for name in values if "_" not in name]
    return await rig.connector.create(
        TABLE, {"displayName": "Aurora Milling", **values}, columns, key=None, within_seconds=60
    )


async def feed(rig: BusinessCentralRig, since: str | None) -> list[ChangePage]:
    return [page async for page in rig.connector.changes(TABLE, since, ["displayName"])]


def names(pages: list[ChangePage]) -> list[Value]:
    return [record.values["displayName"] for page in pages for record in page.records]


async def test_the_feed_goes_from_the_oldest_change_to_the_newest_in_pages(rig: BusinessCentralRig) -> None:
    """Every page carries a watermark: the largest time of change seen so far, never our own clock."""
    for number in range(7):
        rig.clock.elapsed += 3600
        await rig.person_creates(f"Mill {number}")
    rig.clock.elapsed += 86_400
    pages = await feed(rig, None)
    assert names(pages) == [f"Mill {number}" for number in range(7)]
    assert [page.watermark for page in pages if page.records] == [
        "2026-03-02T11:00:00.000Z",
        "2026-03-02T14:00:00.000Z",
        "2026-03-02T15:00:00.000Z",
    ]
    assert all(page.deleted == [] for page in pages)


async def test_the_feed_goes_on_ten_minutes_before_its_watermark(rig: BusinessCentralRig) -> None:
    """A change committed late has an older time than what was seen already; what is older still is not read again."""
    await rig.person_creates("Old")
    rig.clock.elapsed += 3600
    await rig.person_creates("Recent")
    rig.clock.elapsed += 300
    await rig.person_creates("Newest")
    watermark = (await feed(rig, None))[-1].watermark
    assert names(await feed(rig, watermark)) == ["Recent", "Newest"]


async def test_a_feed_without_news_keeps_its_watermark(rig: BusinessCentralRig) -> None:
    """The walk is done and goes on next time from the same place."""
    assert [(page.records, page.watermark) for page in await feed(rig, None)] == [([], None)]
    later = rig.connector.watermark_at(TABLE, rig.clock.now() + timedelta(days=1))
    (empty,) = await feed(rig, later)
    assert (empty.records, empty.watermark) == ([], "2026-03-03T08:00:00.000Z")
    assert [page.watermark for page in await feed(rig, empty.watermark)] == [empty.watermark]


async def test_a_time_is_a_watermark(rig: BusinessCentralRig) -> None:
    """The engine looks for a create whose answer was lost among the changes since it was sent."""
    await rig.person_creates("Before")
    rig.clock.elapsed += 3600
    watermark = rig.connector.watermark_at(TABLE, rig.clock.now())
    await rig.person_creates("After")
    assert names(await feed(rig, watermark)) == ["After"]


async def test_a_broken_watermark_starts_over(rig: BusinessCentralRig) -> None:
    """Text that is no moment never gets into a query."""
    with pytest.raises(FeedExpired):
        await feed(rig, "2026-03-02T08:00:00Z or 1 eq 1")
    assert names(await feed(rig, "0001-01-01T00:00:00.000Z")) == []


async def test_a_table_without_time_of_change_has_no_feed(rig: BusinessCentralRig) -> None:
    """The definition names a table that cannot be walked."""
    with pytest.raises(UnknownColumn):
        [page async for page in rig.connector.changes("companies", None, [])]


async def test_a_series_that_forbids_manual_numbers_is_told_in_any_language() -> None:
    """Codes and texts do not tell it; a create that must fail for other reasons does, and leaves nothing behind."""
    for language in ("en", "de", "it"):
        rig = BusinessCentralRig(BusinessCentralOptions(manual_numbers=False, user_language=language))
        with pytest.raises(ManualNumbersForbidden) as forbidden:
            await create(rig, number="N1")
        assert forbidden.value.answer.field == "number"
        assert rig.names() == []
        assert (await create(rig)).key
        await rig.aclose()


async def test_other_dialogs_are_not_taken_for_it(rig: BusinessCentralRig) -> None:
    """The page's own refusals quote the property they are about, whether or not a number was sent."""
    with pytest.raises(Refused) as refused:
        await create(rig, number="N1", displayName=None)
    assert type(refused.value) is Refused
    assert refused.value.answer.field == "displayName"


async def test_a_refused_tax_number_is_not_blamed_on_the_series(rig: BusinessCentralRig) -> None:
    """Its dialog quotes no property either; nothing but the customer that was meant is ever created."""
    for _ in range(2):
        with pytest.raises(Refused) as refused:
            await create(rig, number="N1", taxRegistrationNumber="12", country="AT")
        assert type(refused.value) is Refused
        assert rig.names() == []
    await create(rig, number="N1")
    posts = rig.sent("POST")
    with pytest.raises(Refused):
        await create(rig, number="N2", taxRegistrationNumber="12", country="AT")
    assert (rig.sent("POST"), rig.names()) == (posts + 1, ["Aurora Milling"])


async def test_a_number_that_is_taken_is_told(rig: BusinessCentralRig) -> None:
    """The number is the one column that the system keeps unique."""
    assert rig.connector.capabilities(TABLE).enforced_columns == {"number"}
    await create(rig, number="N1")
    with pytest.raises(AlreadyExists):
        await create(rig, number="n1")


async def test_a_number_is_never_changed(rig: BusinessCentralRig) -> None:
    """A PATCH of the number would rename the customer."""
    made = await create(rig, number="N1")
    with pytest.raises(Refused) as refused:
        await rig.connector.update(TABLE, made.key, {"number": "N2"}, [], version=None)
    assert refused.value.answer.field == "number"
    assert rig.sent("PATCH") == 0


async def test_values_keep_their_kinds(rig: BusinessCentralRig) -> None:
    """Enum members lose their escapes, amounts are exact, blanks are None, dates are aware."""
    made = await create(
        rig, creditLimit=Decimal("1000.10"), blocked=None, type="Person", city=None, salespersonCode=None
    )
    assert made.values == {
        "creditLimit": Decimal("1000.10"),
        "blocked": None,
        "type": "Person",
        "city": None,
        "salespersonCode": None,
    }
    after = await rig.connector.update(
        TABLE, made.key, {"blocked": "Invoice"}, ["blocked", "lastModifiedDateTime", "taxLiable"], version=made.version
    )
    assert after.values == {"blocked": "Invoice", "lastModifiedDateTime": rig.clock.now(), "taxLiable": False}
    back = await rig.connector.update(TABLE, made.key, {"blocked": None}, ["blocked"], version=after.version)
    assert back.values == {"blocked": None}


async def test_the_local_currency_has_no_key_but_a_code(rig: BusinessCentralRig) -> None:
    """Blank in the table, a zero GUID as a reference, and still a code: the company's own."""
    made = await create(rig, **{"currencyId.code": "CHF"})
    assert made.values["currencyId.code"] == "CHF"
    after = await rig.connector.update(
        TABLE, made.key, {"currencyId.code": "EUR"}, ["currencyId", "currencyId.code"], version=made.version
    )
    assert after.values == {"currencyId": None, "currencyId.code": "EUR"}


async def test_codes_are_found_in_any_case_and_searched_by(rig: BusinessCentralRig) -> None:
    """Business Central upper-cases codes; a search by one becomes a search by the key behind it."""
    made = await create(rig, **{"paymentTermsId.code": "30t"})
    assert made.values["paymentTermsId.code"] == "30T"
    found = await rig.connector.find(TABLE, "paymentTermsId.code", ["30T"], ["number"])
    assert [record.key for record in found] == [made.key]
    assert await rig.connector.find(TABLE, "paymentTermsId.code", ["NOSUCH"], []) == []
    assert [record.key for record in await rig.connector.find(TABLE, "id", [made.key, "no key"], [])] == [made.key]
    assert await rig.connector.find(TABLE, "creditLimit", ["0 or 1 eq 1"], []) == []


async def test_small_tables_are_read_once_an_hour(rig: BusinessCentralRig) -> None:
    """Fifty customers with payment terms cost one look at the terms."""
    for number in range(5):
        await create(rig, displayName=f"Mill {number}", **{"paymentTermsId.code": "30T"})
    assert rig.requests.count("GET", r"/paymentTerms") == 1
    rig.clock.elapsed += 3601
    await create(rig, **{"paymentTermsId.code": "30T"})
    assert rig.requests.count("GET", r"/paymentTerms") == 2


async def test_a_code_made_since_is_found(rig: BusinessCentralRig) -> None:
    """A code that seems unknown is looked for again before the record is refused."""
    await create(rig, **{"paymentTermsId.code": "30T"})
    await rig.sandbox.create(COMPANY, "paymentTerms", {"code": "45T", "displayName": "45 days"})
    rig.clock.elapsed += 2
    assert (await create(rig, **{"paymentTermsId.code": "45T"})).values == {"paymentTermsId.code": "45T"}


async def test_a_code_given_to_another_record_is_looked_up_again(rig: BusinessCentralRig) -> None:
    """The terms were deleted and made anew under the same code: the refused write goes out once more."""
    await create(rig, **{"paymentTermsId.code": "60TME"})
    terms = rig.sandbox.rows(COMPANY, "paymentTerms")
    old = next(key for key, row in terms.items() if row["code"] == "10T")
    await rig.sandbox.delete(COMPANY, "paymentTerms", old)
    await rig.sandbox.create(COMPANY, "paymentTerms", {"code": "10T", "displayName": "10 days"})
    made = await create(rig, displayName="Borealis Milling", **{"paymentTermsId.code": "10T"})
    assert made.values["paymentTermsId.code"] == "10T"
    assert rig.names() == ["Aurora Milling", "Borealis Milling"]


async def test_the_country_decides_the_form_of_a_tax_number(rig: BusinessCentralRig) -> None:
    """Fields are checked in the order they are sent, so the country goes first however the values are ordered."""
    made = await create(rig, taxRegistrationNumber="U12345678", country="AT")
    assert made.values == {"taxRegistrationNumber": "U12345678", "country": "AT"}


async def test_a_wrong_environment_or_company_is_a_matter_of_settings(rig: BusinessCentralRig) -> None:
    """The first is answered in XML; both concern every record, so none is parked for it."""
    for environment, company in (("Elsewhere", COMPANY), ("Production", UNKNOWN_KEY)):
        other = rig.connect(environment, company)
        for ask in (other.ping, other.identify):
            with pytest.raises(SettingsError):
                await ask()
        with pytest.raises(SettingsError):
            await other.read(TABLE, [UNKNOWN_KEY], ["number"])
        await other.aclose()


@pytest.mark.parametrize(("tenant", "environment"), [("a/b", "Production"), (TENANT_ID, "../x"), (TENANT_ID, "")])
def test_settings_cannot_bend_the_address(tenant: str, environment: str) -> None:
    """A slash in a setting would lead to another company's data."""
    with pytest.raises(SettingsError):
        BusinessCentralConnector([], None, tenant=tenant, environment=environment, company_id=COMPANY)  # type: ignore[arg-type]  # never used


async def test_the_instance_names_environment_and_company(rig: BusinessCentralRig) -> None:
    """Links of a copied environment never meet those of the original."""
    upper = rig.connect("Production", COMPANY.upper())
    assert rig.connector.instance == upper.instance == f"Production/{COMPANY}"
    assert await upper.identify() == await rig.connector.identify() == f"{TENANT_ID}/production/{COMPANY}"
    await upper.aclose()


async def test_identities_take_turns_and_a_throttled_one_rests(rig: BusinessCentralRig) -> None:
    """The limits count per identity; while one waits the others go on, and no call waits for it."""
    issued: list[str] = []

    class Watched(SandboxTransport):
        def __init__(self, name: str) -> None:
            super().__init__(rig.sandbox.app)
            self.name = name

        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            issued.append(self.name)
            return await super().handle_async_request(request)

    clients = [
        HttpClient(
            system="business_central",
            base_url="https://erp.example",
            scope="https://api.businesscentral.dynamics.com/.default",
            tokens=rig.tokens(),
            clock=rig.clock,
            ids=CountingIds(),
            http=Watched(name),
            owns_tokens=True,
        )
        for name in ("a", "b", "c")
    ]
    connector = BusinessCentralConnector(
        clients, rig.clock, tenant=TENANT_ID, environment="Production", company_id=COMPANY
    )
    for _ in range(6):
        await connector.ping()
    assert sorted(issued) == ["a", "a", "b", "b", "c", "c"]
    rig.faults.add(FaultRule(FaultKind.THROTTLED, "GET", times=1, retry_after_seconds=500))
    before = rig.clock.monotonic()
    await connector.ping()
    resting, stepped_in = issued[-2:]
    assert resting != stepped_in
    for _ in range(6):
        await connector.ping()
    assert resting not in issued[-6:]
    assert rig.clock.monotonic() == before
    await connector.aclose()


async def test_a_foreign_token_is_a_failed_sign_in(rig: BusinessCentralRig) -> None:
    """A token the system does not accept is tried anew once."""
    client = HttpClient(
        system="business_central",
        base_url="https://erp.example",
        scope="x/.default",
        tokens=CountedTokens(),
        clock=rig.clock,
        ids=CountingIds(),
        http=SandboxTransport(rig.sandbox.app),
    )
    connector = BusinessCentralConnector(
        [client], rig.clock, tenant=TENANT_ID, environment="Production", company_id=COMPANY
    )
    with pytest.raises(SignInFailed):
        await connector.ping()
    assert rig.requests.count("GET") == 2
    await connector.aclose()


async def test_the_metadata_knows_lengths_members_and_what_is_read_only(rig: BusinessCentralRig) -> None:
    """What definitions are checked against comes from the system itself."""
    columns = (await rig.connector.metadata(TABLE)).columns
    assert (columns["displayName"].max_length, columns["number"].max_length) == (100, 20)
    assert columns["blocked"].type is ColumnType.CHOICE
    assert set(columns["blocked"].choices) == {"Ship", "Invoice", "All"}
    read_only = {name for name, column in columns.items() if not column.writable}
    assert read_only == {"id", "balanceDue", "taxAreaDisplayName", "lastModifiedDateTime"}
    assert columns["id"].type is ColumnType.KEY


async def test_the_metadata_is_read_once_an_hour(rig: BusinessCentralRig) -> None:
    """The document is large; a stampede costs one request, and one for an extension that is not there."""
    for _ in range(3):
        await rig.connector.read(TABLE, [UNKNOWN_KEY], ["number"])
    for api in ("v2.0", "crmlink/sync/v1.0"):
        assert rig.requests.count("GET", rf"/api/{api}/\$metadata") == 1


async def test_a_place_whose_row_is_gone_says_so(rig: BusinessCentralRig) -> None:
    """The service names the last row; without it the list begins anew."""
    for number in range(7):
        await rig.person_creates(f"Mill {number}")
    first = await anext(rig.connector.pages(TABLE, None, []))
    assert first.place is not None
    await rig.person_deletes(first.records[-1].key)
    with pytest.raises(FeedExpired):
        await anext(rig.connector.pages(TABLE, first.place, []))


def test_of_two_watermarks_the_earlier_is_answered() -> None:
    """A walk may be asked to go back, never forward over what nobody walked."""
    connector, noon = BusinessCentralRig().connector, datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
    later = connector.watermark_at(TABLE, noon + timedelta(hours=1))
    assert connector.watermark_at(TABLE, noon, later) == connector.watermark_at(TABLE, noon)
    assert connector.watermark_at(TABLE, noon + timedelta(days=1), later) == later
