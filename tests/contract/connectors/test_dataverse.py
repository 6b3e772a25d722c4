"""What is particular to Dataverse, seen through the port and against its sandbox."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from decimal import Decimal

import httpx
import pytest

from sandbox.dataverse import DataverseOptions
from sandbox.faults import FaultKind
from sandbox.transport import SandboxTransport
from shared.connectors.dataverse.connector import NAMESPACE
from shared.errors import (
    AlreadyExists,
    BadAnswer,
    FeedExpired,
    Refused,
    SettingsError,
    SignInFailed,
    SystemDown,
    UnknownColumn,
    WrongEnvironment,
)
from shared.sync.ports import ChangePage, ColumnType, Value, VersionKind
from tests.contract.connectors.rigs import ORGANIZATION, UNKNOWN_KEY, DataverseRig

TABLE = "account"


@pytest.fixture
async def rig() -> AsyncIterator[DataverseRig]:
    """Accounts of one organisation."""
    made = DataverseRig()
    yield made
    await made.aclose()
    assert made.requests.unforeseen() == []


class WithoutAnnotations(SandboxTransport):
    """A service that does not annotate references, whatever it is asked."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        request.headers["Prefer"] = request.headers.get("Prefer", "").partition("odata.include-annotations")[0]
        return await super().handle_async_request(request)


async def feed(rig: DataverseRig, since: str | None) -> list[ChangePage]:
    return [page async for page in rig.connector.changes(TABLE, since, ["name"])]


def names(pages: list[ChangePage]) -> list[Value]:
    return [record.values["name"] for page in pages for record in page.records]


async def test_a_feed_from_the_beginning_gives_everything_and_ends_with_a_watermark(rig: DataverseRig) -> None:
    """Only the last of several pages can be gone on from; the watermark is a token, not an address."""
    for number in range(7):
        await rig.person_creates(f"Mill {number}")
    pages = await feed(rig, None)
    assert sorted(map(str, names(pages))) == [f"Mill {number}" for number in range(7)]
    assert len(pages) == 3
    assert [page.watermark is None for page in pages] == [True, True, False]
    assert "http" not in str(pages[-1].watermark)


async def test_a_feed_goes_on_with_changes_and_deletions(rig: DataverseRig) -> None:
    """What was created, changed and deleted since, each once; nothing when nothing happened."""
    old, gone = await rig.person_creates("Old"), await rig.person_creates("Gone")
    first = (await feed(rig, None))[-1].watermark
    await rig.person_renames(old, "Renamed")
    await rig.person_renames(old, "Renamed again")
    await rig.person_creates("New")
    await rig.person_deletes(gone)
    pages = await feed(rig, first)
    assert sorted(map(str, names(pages))) == ["New", "Renamed again"]
    assert [key for page in pages for key in page.deleted] == [gone]
    quiet = await feed(rig, pages[-1].watermark)
    assert (names(quiet), [page.deleted for page in quiet]) == ([], [[]])
    assert names(await feed(rig, first)) == names(pages)


async def test_a_feed_shows_columns_behind_references(rig: DataverseRig) -> None:
    """$expand is refused while changes are tracked; the column is looked up instead."""
    currency = next(iter(rig.sandbox.rows("transactioncurrency")))
    await rig.sandbox.create(TABLE, {"name": "Aurora Milling", "transactioncurrencyid": currency})
    columns = ["name", "transactioncurrencyid.isocurrencycode"]
    pages = [page async for page in rig.connector.changes(TABLE, None, columns)]
    assert [record.values for record in pages[0].records] == [
        {"name": "Aurora Milling", "transactioncurrencyid.isocurrencycode": "EUR"}
    ]


async def test_a_watermark_grows_too_old(rig: DataverseRig) -> None:
    """After a week the system has forgotten; only a full walk helps."""
    watermark = (await feed(rig, None))[-1].watermark
    rig.clock.elapsed += 8 * 86_400
    with pytest.raises(FeedExpired):
        await feed(rig, watermark)
    assert len(await feed(rig, None)) == 1


@pytest.mark.parametrize("watermark", ["", "https://elsewhere.example/?$deltatoken=1", "x" * 5000, "a\nb", "1&$top=1"])
async def test_a_watermark_that_is_no_token_starts_over(rig: DataverseRig, watermark: str) -> None:
    """Whatever lies in the store never chooses an address and never adds to a query."""
    with pytest.raises((FeedExpired, Refused)):
        await feed(rig, watermark)


async def test_a_table_without_change_tracking_has_no_feed(rig: DataverseRig) -> None:
    """The administrator has to switch it on; the sentence says so."""
    with pytest.raises(SettingsError, match="change tracking"):
        [page async for page in rig.connector.changes("annotation", None, [])]
    assert rig.connector.watermark_at(TABLE, rig.clock.now()) is None


def test_a_derived_key_never_changes() -> None:
    """A repeated create must find its record, in any later release; so these values are part of the product."""
    rig = DataverseRig()
    key = rig.connector.derived_key(TABLE, "business_central/Production/1", {})
    assert key == str(uuid.uuid5(NAMESPACE, "account\nbusiness_central/Production/1"))
    assert str(NAMESPACE) == "6f0d3f4e-5b0a-5c55-9a57-0f6f1d5f3c11"
    assert key != rig.connector.derived_key("contact", "business_central/Production/1", {})
    assert rig.connector.canonical_key(TABLE, key) == key


async def test_a_create_with_a_key_never_changes_what_is_there(rig: DataverseRig) -> None:
    """An upsert would overwrite; this one refuses."""
    key = await rig.person_creates("Theirs")
    with pytest.raises(AlreadyExists):
        await rig.connector.create(TABLE, {"name": "Ours"}, [], key=key, within_seconds=60)
    assert rig.names() == ["Theirs"]


async def test_a_create_without_a_key_gets_one(rig: DataverseRig) -> None:
    """Where no link claims the record, the system chooses."""
    made = await rig.connector.create(TABLE, {"name": "Aurora Milling"}, ["name"], key=None, within_seconds=60)
    assert set(rig.stored()) == {made.key}


async def test_another_records_alternate_key_is_no_sign_of_our_own_create(rig: DataverseRig) -> None:
    """The key is free, but the number is somebody else's: the record is parked, not taken for ours."""
    rig.sandbox.add_alternate_key(TABLE, "cdock_number", ["accountnumber"])
    await rig.sandbox.create(TABLE, {"name": "Theirs", "accountnumber": "N1"})
    values: dict[str, Value] = {"name": "Ours", "accountnumber": "N1"}
    with pytest.raises(Refused):
        await rig.connector.create(TABLE, values, [], key=UNKNOWN_KEY, within_seconds=60)
    with pytest.raises(AlreadyExists):
        await rig.connector.create(TABLE, values, [], key=None, within_seconds=60)
    ours = await rig.person_creates("Ours")
    with pytest.raises(Refused):
        await rig.connector.update(TABLE, ours, values, [], version=None)


async def test_versions_can_be_ordered(rig: DataverseRig) -> None:
    """A row version is a growing number; an older one never replaces a newer."""
    assert rig.connector.capabilities(TABLE).version is VersionKind.ORDERED
    key = await rig.person_creates("Aurora Milling")
    before = (await rig.connector.read(TABLE, [key], []))[key].version
    await rig.person_renames(key, "Aurora Mills")
    after = (await rig.connector.read(TABLE, [key], []))[key].version
    assert int(after or 0) > int(before or 0) > 0


async def test_values_keep_their_kinds(rig: DataverseRig) -> None:
    """Choices are numbers, money is exact, times are aware, and None clears."""
    values: dict[str, Value] = {
        "name": "Aurora Milling",
        "customertypecode": 3,
        "creditonhold": True,
        "numberofemployees": 12,
        "revenue": Decimal("1000000.10"),
        "description": "two\nlines, “quoted”",
        "telephone1": None,
    }
    columns = [*values, "createdon", "statecode", "accountid", "parentaccountid"]
    made = await rig.connector.create(TABLE, values, columns, key=UNKNOWN_KEY, within_seconds=60)
    assert made.values == values | {
        "createdon": datetime(2026, 3, 2, 8, 0, tzinfo=UTC),
        "statecode": 0,
        "accountid": UNKNOWN_KEY,
        "parentaccountid": None,
    }
    cleared: dict[str, Value] = {"customertypecode": None, "revenue": None, "description": None}
    after = await rig.connector.update(TABLE, made.key, cleared, list(cleared), version=made.version)
    assert after.values == cleared


async def test_days_stay_days(rig: DataverseRig) -> None:
    """A column without time is a date, not midnight somewhere."""
    assert (await rig.connector.metadata("contact")).columns["birthdate"].type is ColumnType.DATE
    values: dict[str, Value] = {"lastname": "Office", "birthdate": date(1998, 2, 28)}
    made = await rig.connector.create("contact", values, ["birthdate"], key=None, within_seconds=60)
    assert made.values == {"birthdate": date(1998, 2, 28)}
    with pytest.raises(Refused) as refused:
        await rig.connector.update("contact", made.key, {"birthdate": rig.clock.now()}, [], version=None)
    assert refused.value.answer.field == "birthdate"


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("name", 5),
        ("customertypecode", "three"),
        ("customertypecode", True),
        ("creditlimit", "5 EUR"),
        ("creditlimit", Decimal("NaN")),
        ("creditonhold", 1),
        ("parentaccountid", "10000"),
        ("parentaccountid", f"{UNKNOWN_KEY})/x("),
    ],
)
async def test_a_value_of_the_wrong_kind_is_refused_before_anything_is_sent(
    rig: DataverseRig, column: str, value: Value
) -> None:
    """The field is named, the value is not."""
    with pytest.raises(Refused) as refused:
        await rig.connector.update(TABLE, UNKNOWN_KEY, {column: value}, [], version=None)
    assert refused.value.answer.field == column
    assert rig.sent("PATCH") == 0


async def test_references_are_written_and_read_as_keys(rig: DataverseRig) -> None:
    """The navigation property and the set behind it come from metadata, not from a rule of spelling."""
    parent = await rig.person_creates("Parent")
    made = await rig.connector.create(
        TABLE, {"name": "Child", "parentaccountid": parent.upper()}, ["parentaccountid"], key=None, within_seconds=60
    )
    assert made.values == {"parentaccountid": parent}
    found = await rig.connector.find(TABLE, "parentaccountid", [parent], ["name"])
    assert [record.values for record in found] == [{"name": "Child"}]
    cleared = await rig.connector.update(
        TABLE, made.key, {"parentaccountid": None}, ["parentaccountid"], version=made.version
    )
    assert cleared.values == {"parentaccountid": None}


async def test_a_reference_to_several_tables_is_named_by_its_navigation_property(rig: DataverseRig) -> None:
    """A contact's parent is an account or a contact; the definition says which."""
    account = await rig.person_creates("Aurora Milling")
    values: dict[str, Value] = {"lastname": "Office", "parentcustomerid_account": account}
    columns = ["parentcustomerid_account"]
    made = await rig.connector.create("contact", values, columns, key=None, within_seconds=60)
    assert made.values == {"parentcustomerid_account": account}
    with pytest.raises(UnknownColumn):
        await rig.connector.read("contact", [made.key], ["parentcustomerid"])


async def test_a_reference_is_read_only_where_it_points_to_the_table_that_is_meant(rig: DataverseRig) -> None:
    """A contact below another contact has no account: one record, many, the feed and the answer to a write agree."""
    account = await rig.person_creates("Aurora Milling")
    of_account = await rig.sandbox.create("contact", {"lastname": "Verdi", "parentcustomerid": ("account", account)})
    of_contact = await rig.sandbox.create("contact", {"lastname": "Neri", "parentcustomerid": ("contact", of_account)})
    alone = await rig.sandbox.create("contact", {"lastname": "Rossi"})
    columns = ["parentcustomerid_account", "parentcustomerid_contact"]
    expected = {
        of_account: {"parentcustomerid_account": account, "parentcustomerid_contact": None},
        of_contact: {"parentcustomerid_account": None, "parentcustomerid_contact": of_account},
        alone: {"parentcustomerid_account": None, "parentcustomerid_contact": None},
    }
    many = await rig.connector.read("contact", list(expected), columns)
    assert {key: record.values for key, record in many.items()} == expected
    for key, values in expected.items():
        assert (await rig.connector.read("contact", [key], columns))[key].values == values
    pages = [page async for page in rig.connector.changes("contact", None, columns)]
    fed = {record.key: record.values for page in pages for record in page.records}
    assert {key: fed[key] for key in expected} == expected
    renamed = await rig.connector.update("contact", of_contact, {"lastname": "Bruni"}, columns, version=None)
    assert renamed.values == expected[of_contact]


async def test_a_contact_moves_between_accounts_and_is_found_by_them(rig: DataverseRig) -> None:
    """The key of the account writes, clears and finds; what is behind it can be read, too."""
    one, other = await rig.person_creates("Aurora Milling"), await rig.person_creates("Borealis Milling")
    columns = ["parentcustomerid_account", "parentcustomerid_account.name"]
    contact = await rig.sandbox.create("contact", {"lastname": "Verdi", "parentcustomerid": ("account", one)})
    await rig.sandbox.create("contact", {"lastname": "Neri", "parentcustomerid": ("contact", contact)})
    assert [r.key for r in await rig.connector.find("contact", columns[0], [one], [])] == [contact]
    moved = await rig.connector.update("contact", contact, {columns[0]: other}, columns, version=None)
    assert moved.values == dict(zip(columns, [other, "Borealis Milling"], strict=True))
    assert await rig.connector.find("contact", columns[0], [one], []) == []
    free = await rig.connector.update("contact", contact, {columns[0]: None}, columns, version=moved.version)
    assert set(free.values.values()) == {None}


async def test_a_reference_that_does_not_say_where_it_points_is_a_bad_answer(rig: DataverseRig) -> None:
    """The annotation was asked for; without it the key of a contact could be taken for that of an account."""
    account = await rig.person_creates("Aurora Milling")
    contact = await rig.sandbox.create("contact", {"lastname": "Verdi", "parentcustomerid": ("account", account)})
    connector = rig.connect(ORGANIZATION, http=WithoutAnnotations(rig.sandbox.app))
    with pytest.raises(BadAnswer):
        await connector.read("contact", [contact], ["parentcustomerid_account"])
    assert (await connector.read("contact", [contact], ["lastname"]))[contact].values == {"lastname": "Verdi"}
    await connector.aclose()


async def test_a_reference_to_nothing_is_not_taken_for_a_missing_record(rig: DataverseRig) -> None:
    """Both are 404; only one of them ends the link."""
    key = await rig.person_creates("Aurora Milling")
    with pytest.raises(Refused):
        await rig.connector.update(TABLE, key, {"parentaccountid": UNKNOWN_KEY}, [], version=None)
    with pytest.raises(Refused):
        await rig.connector.create(
            TABLE, {"name": "Ours", "parentaccountid": UNKNOWN_KEY}, [], key=UNKNOWN_KEY, within_seconds=60
        )


async def test_a_search_goes_by_the_columns_type(rig: DataverseRig) -> None:
    """Numbers and keys are compared as such, and text that cannot be one finds nothing."""
    key = await rig.sandbox.create(TABLE, {"name": "Aurora Milling", "customertypecode": 3, "numberofemployees": 12})
    for column, value in (("customertypecode", "3"), ("numberofemployees", "12"), ("accountid", key)):
        assert [record.key for record in await rig.connector.find(TABLE, column, [value], [])] == [key]
        assert await rig.connector.find(TABLE, column, ["x' or 1 eq 1", "1 or 1 eq 1"], []) == []
    assert [record.key for record in await rig.connector.find(TABLE, "name", ["aurora MILLING"], [])] == [key]


async def test_every_write_carries_the_tag(rig: DataverseRig) -> None:
    """The notices it causes show it, so that people see where a change came from."""
    await rig.connector.create(TABLE, {"name": "Aurora Milling"}, [], key=UNKNOWN_KEY, within_seconds=60)
    await rig.connector.update(TABLE, UNKNOWN_KEY, {"telephone1": "1"}, [], version=None)
    writes = [entry for entry in rig.requests.entries() if entry.method == "PATCH"]
    assert len(writes) == 2
    assert all("tag" in entry.query_names and "$select" in entry.query_names for entry in writes)


async def test_metadata_costs_two_requests_an_hour(rig: DataverseRig) -> None:
    """However many records are read, the table is described once."""
    for _ in range(3):
        await rig.connector.read(TABLE, [UNKNOWN_KEY], ["name"])
    assert rig.requests.count("GET", "EntityDefinitions") == 2
    rig.clock.elapsed += 3601
    await rig.connector.read(TABLE, [UNKNOWN_KEY], ["name"])
    assert rig.requests.count("GET", "EntityDefinitions") == 4


async def test_choices_and_lengths_are_known(rig: DataverseRig) -> None:
    """Definitions are checked against them."""
    columns = (await rig.connector.metadata(TABLE)).columns
    assert columns["customertypecode"].choices["8"] == "Prospect"
    assert (columns["name"].max_length, columns["accountnumber"].max_length) == (160, 20)
    assert columns["parentaccountid"].type is ColumnType.REFERENCE
    assert not columns["createdon"].writable


async def test_another_organisation_behind_the_address_is_noticed(rig: DataverseRig) -> None:
    """A copied environment must not be written to in the name of the original."""
    other = rig.connect(UNKNOWN_KEY)
    with pytest.raises(WrongEnvironment, match="CROSSDOCK_DATAVERSE_ORGANIZATION_ID"):
        await other.ping()
    with pytest.raises(WrongEnvironment):
        await other.identify()
    await other.aclose()
    assert await rig.connector.identify() == ORGANIZATION
    spelled = rig.connect("{" + ORGANIZATION.upper() + "}")
    assert spelled.instance == ORGANIZATION
    await spelled.aclose()


async def test_an_application_without_a_user_cannot_sign_in() -> None:
    """The token is good, the organisation does not know the application: it concerns every record."""
    rig = DataverseRig(DataverseOptions(application_users=()))
    with pytest.raises(SignInFailed):
        await rig.connector.ping()
    await rig.aclose()


async def test_a_deadlock_was_rolled_back(rig: DataverseRig) -> None:
    """The code of a database error says that nothing was written, so the write simply waits."""
    await rig.connector.read(TABLE, [UNKNOWN_KEY], ["name"])
    rig.strike(FaultKind.SERVER_ERROR, "PATCH")
    with pytest.raises(SystemDown) as down:
        await rig.connector.create(TABLE, {"name": "Ours"}, [], key=UNKNOWN_KEY, within_seconds=60)
    assert down.value.answer.vendor_code == "0x80044150"
    assert rig.names() == []


async def test_a_merged_record_says_into_which_it_was_merged(rig: DataverseRig) -> None:
    """By reads, searches, lists and the feed; a record that is left says nothing."""
    kept, lost = await rig.person_creates("Alfa"), await rig.person_creates("Alfa srl")
    since = (await feed(rig, None))[-1].watermark
    await rig.sandbox.merge(TABLE, lost, into=kept, values={})
    expected = {kept: None, lost: kept}
    read = await rig.connector.read(TABLE, [kept, lost], ["name"])
    assert {key: one.merged_into for key, one in read.items()} == expected
    assert (await rig.connector.read(TABLE, [lost], []))[lost].merged_into == kept
    (found,) = await rig.connector.find(TABLE, "name", ["Alfa srl"], [])
    assert found.merged_into == kept
    listed = [one for page in [page async for page in rig.connector.pages(TABLE, None, [])] for one in page.records]
    assert {one.key: one.merged_into for one in listed} == expected
    told = [one for page in await feed(rig, since) for one in page.records]
    assert {one.key: one.merged_into for one in told} == {lost: kept}
