"""The optional extension of Business Central, seen through the port: there or not, what it adds, what it costs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import httpx
import pytest

from sandbox.business_central import AUDIENCE, BusinessCentralOptions
from sandbox.transport import SandboxTransport
from shared.connectors.business_central.connector import BusinessCentralConnector
from shared.connectors.business_central.webhook import Company as WatchedCompany
from shared.connectors.business_central.webhook import read_row
from shared.errors import AlreadyExists, FeedExpired, Refused, SettingsError, UnknownColumn
from shared.sync.notices import Notice
from shared.sync.ports import ChangePage, ColumnType, NewRecord, Record, Value
from tests.contract.connectors.rigs import APPLICATION, COMPANY, EXTENSION, BusinessCentralRig, ExtendedRig
from tests.contract.connectors.test_subscriptions import Subscriber

ITALIAN = ["fiscalCode", "paCode", "pecEmail", "individualPerson", "resident", "firstName", "lastName"]
WRONG_FISCAL_CODE = "RCCMNL83S18D969X"


@pytest.fixture
async def rig() -> AsyncIterator[ExtendedRig]:
    """Customers and contacts of one company, in an environment with the extension."""
    made = ExtendedRig()
    yield made
    await made.aclose()
    assert made.requests.unforeseen() == []


async def create(rig: BusinessCentralRig, columns: list[str], table: str = "customers", /, **values: Value) -> Record:
    values = {"displayName": "Aurora Milling", **values}
    return await rig.connector.create(table, values, columns, key=None, within_seconds=60)


async def feed(rig: BusinessCentralRig, since: str | None, table: str = "customers") -> list[ChangePage]:
    return [page async for page in rig.connector.changes(table, since, ["displayName"])]


def names(pages: list[ChangePage]) -> list[Value]:
    return [record.values["displayName"] for page in pages for record in page.records]


# --- there or not ---


async def test_without_the_extension_its_columns_are_not_there() -> None:
    """The metadata says so, and a definition that names them all the same is wrong."""
    rig = BusinessCentralRig()
    for table in ("customers", "contacts"):
        columns = (await rig.connector.metadata(table)).columns
        assert not columns.keys() & {*ITALIAN, "externalId", "primaryContactId", "systemRowVersion", "surname"}
        assert rig.connector.capabilities(table).enforced_columns == {"number"}
    with pytest.raises(UnknownColumn):
        await create(rig, ["fiscalCode"])
    assert rig.requests.unforeseen() == []
    await rig.aclose()


async def test_with_it_the_metadata_shows_more_of_the_same_tables(rig: ExtendedRig) -> None:
    """Everything that API v2.0 shows, and the rest with types, lengths and what is not written."""
    plain = BusinessCentralRig()
    for table in ("customers", "contacts"):
        standard = (await plain.connector.metadata(table)).columns
        assert standard.keys() < (await rig.connector.metadata(table)).columns.keys()
    await plain.aclose()
    columns = (await rig.connector.metadata("customers")).columns
    assert (columns["fiscalCode"].max_length, columns["paCode"].max_length) == (20, 7)
    assert columns["resident"].choices.keys() == {"Resident", "Non-Resident"}
    primary = columns["primaryContactId"]
    assert (primary.type, primary.target, primary.writable) == (ColumnType.REFERENCE, "contacts", True)
    assert not columns["systemRowVersion"].writable
    assert (columns["externalId"].writable, columns["externalId"].updatable) == (True, False)
    persons = (await rig.connector.metadata("contacts")).columns
    assert (persons["customerId"].writable, persons["customerId"].target) == (True, "customers")
    assert persons["surname"].max_length == 30


async def test_what_was_installed_since_is_found_within_the_hour() -> None:
    """Whether there is an extension is asked for once an hour, and when a definition names what is not there."""
    plain, extended = BusinessCentralRig(), ExtendedRig()

    class Environment(httpx.AsyncBaseTransport):
        """Before and after the installation; whoever signed in before is signed in after."""

        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            place = extended if installed else plain
            request.headers["Authorization"] = f"Bearer {place.issuer.issue(APPLICATION, AUDIENCE)}"
            return await SandboxTransport(place.sandbox.app).handle_async_request(request)

    installed = False
    connector = plain.connect("Production", COMPANY, Environment())
    assert "fiscalCode" not in (await connector.metadata("customers")).columns
    installed = True
    plain.clock.elapsed += 59 * 60
    assert "fiscalCode" not in (await connector.metadata("customers")).columns
    await connector.find("customers", "fiscalCode", ["X"], [])
    assert "fiscalCode" in (await connector.metadata("customers")).columns
    installed = False
    plain.clock.elapsed += 3601
    assert "fiscalCode" not in (await connector.metadata("customers")).columns
    await connector.aclose()
    await plain.aclose()
    await extended.aclose()


async def test_the_place_of_the_extension_is_a_setting() -> None:
    """Another publisher's place is looked at where it is named; what bends the address is refused."""
    rig = BusinessCentralRig(BusinessCentralOptions(extension="acme/link/v2.1"))
    other = rig.connect("Production", COMPANY, extension="acme/link/v2.1")
    assert "fiscalCode" in (await other.metadata("customers")).columns
    assert "fiscalCode" not in (await rig.connector.metadata("customers")).columns
    await other.aclose()
    await rig.aclose()
    for wrong in ("acme/link", "../v2.0/x", "a/b/v1.0/c", "a/b/1.0", ""):
        with pytest.raises(SettingsError):
            BusinessCentralConnector([], rig.clock, tenant="t", environment="e", company_id=COMPANY, extension=wrong)


# --- columns ---


async def test_italian_columns_are_written_in_the_order_that_keeps_them(rig: ExtendedRig) -> None:
    """What the customer is goes first, however the values are ordered: else it would blank names and code again."""
    values: dict[str, Value] = {
        "firstName": "Anna",
        "lastName": "Verdi",
        "fiscalCode": "RCCMNL83S18D969H",
        "paCode": "0000000",
        "pecEmail": "anna@pec.example",
        "resident": "Resident",
        "individualPerson": True,
    }
    assert (await create(rig, ITALIAN, **values)).values == values
    company = await create(rig, ITALIAN, fiscalCode="00743110157", individualPerson=False)
    assert company.values["fiscalCode"] == "00743110157"


async def test_what_the_system_made_of_a_write_is_what_is_answered(rig: ExtendedRig) -> None:
    """A wrong fiscal code is stored without any sign; becoming a non-resident blanks it."""
    made = await create(rig, ITALIAN, fiscalCode=WRONG_FISCAL_CODE, individualPerson=True, firstName="Anna")
    assert made.values["fiscalCode"] == WRONG_FISCAL_CODE
    abroad = {"resident": "Non-Resident"}
    after = await rig.connector.update("customers", made.key, abroad, ITALIAN, version=made.version)
    assert (after.values["resident"], after.values["fiscalCode"]) == ("Non-Resident", None)
    with pytest.raises(Refused):
        await rig.connector.update("customers", made.key, {"fiscalCode": "X"}, [], version=None)
    home: dict[str, Value] = {"fiscalCode": "RCCMNL83S18D969H", "resident": "Resident", "individualPerson": True}
    back = await rig.connector.update("customers", made.key, home, ITALIAN, version=None)
    assert (back.values["fiscalCode"], back.values["firstName"]) == ("RCCMNL83S18D969H", None)


@pytest.mark.parametrize("table", ["customers", "contacts"])
async def test_a_key_of_our_own_tells_a_create_from_every_other(rig: ExtendedRig, table: str) -> None:
    """The second create with it meets the first; it is found by it, in any case, and never changed."""
    made = await create(rig, ["externalId"], table, externalId="CD-000001")
    assert rig.connector.capabilities(table).enforced_columns == {"number", "externalId"}
    with pytest.raises(AlreadyExists):
        await create(rig, [], table, externalId="cd-000001")
    found = await rig.connector.find(table, "externalId", ["cd-000001"], ["displayName"])
    assert [record.key for record in found] == [made.key]
    with pytest.raises(Refused) as refused:
        await rig.connector.update(table, made.key, {"externalId": "CD-000002"}, [], version=None)
    assert refused.value.answer.field == "externalId"
    assert rig.requests.count("PATCH") == 0


async def test_it_needs_no_manual_numbers() -> None:
    """Where the series takes no numbers of ours, a create is safe all the same."""
    rig = ExtendedRig(BusinessCentralOptions(manual_numbers=False))
    made = await create(rig, ["number", "externalId"], externalId="CD-000001")
    assert made.values == {"number": "K00010", "externalId": "CD-000001"}
    await rig.aclose()


async def test_a_primary_contact_is_a_reference_to_a_person(rig: ExtendedRig) -> None:
    """Read, written and cleared by key; a stranger is refused by the name of the column."""
    customer, other = await create(rig, []), await create(rig, [], displayName="Borealis Milling")
    person = await create(rig, [], "contacts", type="Person", displayName="Anna Verdi", customerId=customer.key)
    primary: dict[str, Value] = {"primaryContactId": person.key}
    columns = ["primaryContactId"]
    after = await rig.connector.update("customers", customer.key, primary, columns, version=None)
    assert after.values == primary
    with pytest.raises(Refused):
        await rig.connector.update("customers", other.key, primary, [], version=None)
    with pytest.raises(Refused) as refused:
        await rig.connector.update("customers", other.key, {"primaryContactId": other.key}, [], version=None)
    assert refused.value.answer.field == "primaryContactId"
    cleared = await rig.connector.update("customers", customer.key, dict.fromkeys(columns), columns, version=None)
    assert cleared.values == {"primaryContactId": None}


async def test_parts_of_a_name_are_kept_as_they_are(rig: ExtendedRig) -> None:
    """A last name of two words would be cut otherwise; the parts win over the whole name."""
    columns = ["displayName", "firstName", "middleName", "surname"]
    values: dict[str, Value] = {"surname": "De Luca", "firstName": "Anna", "displayName": "Whoever", "type": "Person"}
    made = await create(rig, columns, "contacts", **values)
    assert made.values == {"displayName": "Anna De Luca", "firstName": "Anna", "middleName": None, "surname": "De Luca"}


async def test_the_customer_of_a_person_is_read_with_the_row(rig: ExtendedRig) -> None:
    """Also where the company is a vendor, too; written and searched by as without the extension."""
    customer = (await create(rig, [], displayName="Aurora Milling")).key
    columns = ["displayName", "customerId"]
    made = await create(rig, columns, "contacts", type="Person", displayName="Anna Verdi", customerId=customer)
    assert made.values["customerId"] == customer
    rows = rig.sandbox.rows(COMPANY, "contacts").values()
    company = next(str(row["id"]) for row in rows if row["type"] == "Company")
    await rig.sandbox.relate(COMPANY, company, "Vendor")
    before = rig.requests.count()
    read = await rig.connector.read("contacts", [made.key, company], columns)
    assert {key: record.values["customerId"] for key, record in read.items()} == {made.key: customer, company: None}
    assert rig.requests.count() - before == 1
    found = await rig.connector.find("contacts", "customerId", [customer], columns)
    assert [record.key for record in found] == [made.key]


# --- the feed ---


async def test_the_feed_goes_by_row_version_and_reads_nothing_twice(rig: ExtendedRig) -> None:
    """What changed ten minutes ago was seen already, so it does not come again."""
    for number in range(7):
        await rig.person_creates(f"Mill {number}")
    pages = await feed(rig, None)
    assert names(pages) == [f"Mill {number}" for number in range(7)]
    assert len(pages) == 3
    assert names(await feed(rig, pages[0].watermark)) == [f"Mill {number}" for number in range(3, 7)]
    key = (await rig.connector.find("customers", "displayName", ["Mill 2"], []))[0].key
    await rig.person_renames(key, "Mill II")
    assert names(await feed(rig, pages[-1].watermark)) == ["Mill II"]


async def test_a_walk_without_news_costs_one_call(rig: ExtendedRig) -> None:
    """The bound says that nothing was written since; with news it is one call more than by time."""
    await rig.person_creates("Mill")
    watermark = (await feed(rig, None))[-1].watermark
    before = rig.requests.count()
    assert [(page.records, page.watermark) for page in await feed(rig, watermark)] == [([], watermark)]
    assert rig.requests.count() - before == 1
    await rig.person_creates("Another Mill")
    assert names(await feed(rig, watermark)) == ["Another Mill"]
    assert rig.requests.count() - before == 3


async def test_a_change_that_is_committed_late_is_not_missed(rig: ExtendedRig) -> None:
    """The walk stops below the oldest open transaction, so the next one finds what it left behind."""
    late, early = await rig.person_creates("Late"), await rig.person_creates("Early")
    watermark = (await feed(rig, None))[-1].watermark
    held = rig.sandbox.begin_edit(COMPANY, "customers", late, {"city": "Merano"})
    rig.clock.elapsed += 3600
    await rig.person_renames(early, "Earlier")
    stopped = await feed(rig, watermark)
    assert names(stopped) == []
    await held.commit()
    assert names(await feed(rig, stopped[-1].watermark)) == ["Late", "Earlier"]


async def test_watermarks_of_the_two_kinds_are_not_taken_for_each_other(rig: ExtendedRig) -> None:
    """A time says nothing of versions, nor the other way round; the walk starts over, and finds the new columns."""
    plain = BusinessCentralRig()
    await plain.person_creates("Mill")
    by_time = (await feed(plain, None))[-1].watermark
    by_version = (await feed(rig, None))[-1].watermark
    for one, watermark in ((rig, by_time), (plain, by_version), (rig, "v12 or 1 eq 1"), (rig, "v9999999999")):
        with pytest.raises(FeedExpired):
            await feed(one, watermark)
    await plain.aclose()


async def test_a_moment_is_a_watermark_of_both(rig: ExtendedRig) -> None:
    """A create whose answer was lost is looked for among the changes since it was sent, with or without the
    extension."""
    await rig.person_creates("Before")
    rig.clock.elapsed += 3600
    moment = rig.connector.watermark_at("customers", rig.clock.now())
    await rig.person_creates("After")
    pages = await feed(rig, moment)
    assert names(pages) == ["After"]
    assert names(await feed(rig, pages[-1].watermark)) == []
    with pytest.raises(FeedExpired):
        await feed(rig, "at no moment")


async def test_contacts_are_walked_by_version_too(rig: ExtendedRig) -> None:
    """A changed customer brings its company contact along."""
    key = await rig.person_creates("Mill")
    watermark = (await feed(rig, None, "contacts"))[-1].watermark
    await rig.person_renames(key, "Mills")
    assert names(await feed(rig, watermark, "contacts")) == ["Mills"]


async def test_small_tables_keep_their_time(rig: ExtendedRig) -> None:
    """They are served by API v2.0, which knows no versions."""
    (page,) = [page async for page in rig.connector.changes("paymentTerms", None, ["code"])][-1:]
    assert not str(page.watermark).startswith("v")


# --- what it costs, and where it goes ---

Work = Callable[[BusinessCentralRig, str], Awaitable[object]]


async def _reads_one(rig: BusinessCentralRig, key: str) -> object:
    return await rig.connector.read("customers", [key], ["displayName", "paymentTermsId.code"])


async def _finds(rig: BusinessCentralRig, key: str) -> object:
    return await rig.connector.find("customers", "displayName", ["Aurora Milling"], ["number"])


async def _updates(rig: BusinessCentralRig, key: str) -> object:
    return await rig.connector.update("customers", key, {"phoneNumber": "1"}, ["phoneNumber"], version=None)


async def _creates(rig: BusinessCentralRig, key: str) -> object:
    return await create(rig, ["number"], number="CD-1")


async def _creates_person(rig: BusinessCentralRig, key: str) -> object:
    return await create(rig, ["customerId"], "contacts", type="Person", customerId=key)


async def _creates_many(rig: BusinessCentralRig, key: str) -> object:
    wanted = [NewRecord({"displayName": f"Mill {number}"}) for number in range(30)]
    return await rig.connector.create_many("customers", wanted, ["number"], within_seconds=60)


@pytest.mark.parametrize("work", [_reads_one, _finds, _updates, _creates, _creates_person, _creates_many])
async def test_reads_and_writes_cost_no_more_calls_than_without(rig: ExtendedRig, work: Work) -> None:
    """The same work on both: as many requests, and those for the tables go to the extension."""
    plain = BusinessCentralRig()
    counts = []
    for one in (plain, rig):
        key = await one.person_creates("Aurora Milling")
        await one.connector.metadata("customers")
        before = one.requests.count()
        await work(one, key)
        counts.append(one.requests.count() - before)
    assert counts[1] <= counts[0]
    assert rig.requests.count(None, rf"/{EXTENSION}/(companies|\$batch)") >= 1
    assert rig.requests.count(None, r"/api/v2\.0/.*/customers$") == 0
    await plain.aclose()


async def test_contacts_can_notify_through_the_extension() -> None:
    """API v2.0 does not tell of them; customers stay where they were."""
    subscriber = Subscriber(BusinessCentralOptions(extension=EXTENSION))
    connector = subscriber.connector
    assert await connector.notifying(["customers", "contacts", "paymentTerms", "salesOrders"]) == [
        "customers",
        "contacts",
        "paymentTerms",
    ]
    address = "https://hooks.example/ours/secret/contacts"
    made = await connector.subscribe("contacts", address, "state one")
    (listed,) = await connector.subscriptions()
    assert (made.table, listed) == ("contacts", made)
    rig = subscriber.rig
    row = await rig.sandbox.create(COMPANY, "contacts", {"displayName": "Prospect"})
    await rig.clock.advance(30)
    await rig.sandbox.deliver_due()
    (told,) = rig.receiver.rows
    assert EXTENSION in told["resource"]
    erp = WatchedCompany("erp", COMPANY, "Production", lambda state: state == "state one")
    (notice,) = read_row(told, [erp], "fresh")
    assert isinstance(notice, Notice)
    assert (notice.system, notice.table, notice.key) == ("erp", "contacts", row["id"])
    renewed = await connector.renew(made, address, "state two")
    await connector.unsubscribe(renewed)
    assert await connector.subscriptions() == []
    await subscriber.aclose()


async def test_without_the_extension_contacts_cannot_notify() -> None:
    """The list of the environment leaves them out, so walks find their changes."""
    subscriber = Subscriber()
    assert await subscriber.connector.notifying(["customers", "contacts"]) == ["customers"]
    await subscriber.aclose()
