"""The connector of field service where it is unlike the others, in both dialects."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from sandbox.field_service.options import FsmOptions, IfsCloudOptions
from shared.connectors.field_service.keys import key_of
from shared.connectors.field_service.site import FsmSite, IfsCloudSite
from shared.errors import (
    AlreadyExists,
    ConnectorError,
    NotAllowed,
    RecordMissing,
    Refused,
    SignInFailed,
    UnknownColumn,
    VersionConflict,
)
from shared.sync.ports import Change, ColumnType, NewRecord, Reach, Record, Right, TableLabel, Value, VersionKind
from tests.contract.connectors.field_service_rigs import FieldServiceRig, FsmRig, IfsCloudRig

DIALECTS: Mapping[str, Callable[[], FieldServiceRig]] = {
    "Fsm": FsmRig,
    "Fsm without versions": lambda: FsmRig(FsmOptions(versions=False), FsmSite(versions=False, page_size=3)),
    "Fsm without versions in queries": lambda: FsmRig(FsmOptions(versions_in_queries=False), FsmSite(page_size=3)),
    "IfsCloud": IfsCloudRig,
}
ROME = FsmSite(time_zone="Europe/Rome", page_size=3)


@pytest.fixture(params=list(DIALECTS))
async def site(request: pytest.FixtureRequest) -> AsyncIterator[FieldServiceRig]:
    """Every dialect; each request must have been one that the contract knows."""
    made = DIALECTS[request.param]()
    await made.start()
    yield made
    await made.aclose()
    assert made.requests.unforeseen() == []


@pytest.fixture
async def fsm() -> AsyncIterator[FsmRig]:
    """An FSM server."""
    made = FsmRig()
    await made.start()
    yield made
    await made.aclose()
    assert made.requests.unforeseen() == []


@pytest.fixture
async def cloud() -> AsyncIterator[IfsCloudRig]:
    """An environment of IFS Cloud."""
    made = IfsCloudRig()
    await made.start()
    yield made
    await made.aclose()
    assert made.requests.unforeseen() == []


async def create(site: FieldServiceRig, name: str, **roles: Value) -> Record:
    """Make a mill, with values by what their columns hold."""
    values = {site.columns.name: name, **{site.roles[role]: value for role, value in roles.items()}}
    asked = [site.columns.name, *(site.roles[role] for role in roles)]
    return await site.connector.create(site.table, values, asked, key=None, within_seconds=60)


async def read(site: FieldServiceRig, key: str, *columns: str) -> Record:
    """Read a mill."""
    return (await site.connector.read(site.table, [key], columns))[key]


# --- values and keys ---


async def test_values_of_every_kind_come_back_as_they_went(site: FieldServiceRig) -> None:
    """Yes and no, moments, days, whole numbers, choices."""
    given: dict[str, Value] = {
        "flag": False,
        "time": datetime(2026, 7, 1, 12, 30, 15, tzinfo=UTC),
        "day": date(2026, 2, 28),
        "whole": 3,
        "choice": site.roles["water"],
    }
    made = await create(site, "Mühle ☃", **given)
    assert {site.roles[role]: value for role, value in given.items()}.items() <= made.values.items()
    assert await read(site, made.key, *made.values) == made


@pytest.mark.parametrize("amount", ["0.1", "1234567890.12", "-0.0001", "100"])
async def test_amounts_are_exact(site: FieldServiceRig, amount: str) -> None:
    """Digit by digit, both ways."""
    values: dict[str, Value] = {site.columns.name: "Aurora", site.columns.amount: Decimal(amount)}
    asked = [site.columns.amount]
    made = await site.connector.create(site.table, values, asked, key=None, within_seconds=60)
    assert made.values == {site.columns.amount: Decimal(amount)}
    assert (await read(site, made.key, *asked)).values == made.values


@pytest.mark.parametrize(
    ("role", "value"),
    [("whole", "many"), ("time", "soon"), ("day", datetime(2026, 1, 1, tzinfo=UTC)), ("flag", 1), ("terms", "a,b,c")],
)
async def test_a_value_without_a_form_is_refused_before_anything_is_sent(
    site: FieldServiceRig, role: str, value: Value
) -> None:
    """And its column is named, never the value."""
    with pytest.raises(Refused) as refused:
        await create(site, "Aurora", **{role: value})
    assert refused.value.answer.field == site.roles[role]
    assert site.sent("POST") == 0


@pytest.mark.parametrize("part", ["a,b", "100%", "a/b c", "O'Neil", "ü&=?#"])
async def test_a_key_may_hold_anything(site: FieldServiceRig, part: str) -> None:
    """What is special in addresses, in queries or in keys of several parts."""
    key = site.sandbox.add(site.table, {site.columns.number: part, site.columns.name: "Aurora"})
    assert key == site.connector.canonical_key(site.table, key) == key_of([part])
    assert (await read(site, key, site.columns.number)).values == {site.columns.number: part}
    two = await site.connector.read(site.table, [key, "another"], [])
    assert list(two) == [key]
    await site.connector.update(site.table, key, {site.columns.text: "1"}, [], version=None)
    await site.connector.delete(site.table, key)
    assert site.stored() == {}


async def test_a_key_that_means_another_place_in_an_address_is_not_written_to(fsm: FsmRig) -> None:
    """`tables/mill/..` is the list of mills: what normalises addresses on the way would change or delete there."""
    key = fsm.sandbox.add(fsm.table, {fsm.columns.number: "..", fsm.columns.name: "Aurora"})
    assert list(await fsm.connector.read(fsm.table, [key], [])) == [key]
    with pytest.raises(Refused):
        await fsm.connector.update(fsm.table, key, {fsm.columns.text: "1"}, [], version=None)
    with pytest.raises(Refused):
        await fsm.connector.delete(fsm.table, key)
    assert fsm.sent("PATCH") == fsm.sent("DELETE") == 0


@pytest.mark.parametrize("kind", ["whole", "amount"])
async def test_a_key_may_be_a_number_of_any_type(cloud: IfsCloudRig, kind: str) -> None:
    """IFS Cloud describes many numbers as amounts, also those that count tasks."""
    columns: list[dict[str, object]] = [{"name": "TaskSeq", "type": kind}, {"name": "Text", "type": "text"}]
    cloud.sandbox.add_table("ShiftHandling.ShiftSet", keys=["TaskSeq"], columns=columns)
    key = cloud.sandbox.add("ShiftHandling.ShiftSet", {"TaskSeq": 12, "Text": "1"})
    assert key == "12"
    await cloud.connector.update("ShiftHandling.ShiftSet", key, {"Text": "2"}, [], version=None)
    both = await cloud.connector.read("ShiftHandling.ShiftSet", [key, "13", "x"], ["TaskSeq", "Text"])
    assert {one.key: one.values for one in both.values()} == {"12": {"TaskSeq": 12, "Text": "2"}}
    await cloud.connector.delete("ShiftHandling.ShiftSet", key)
    assert cloud.sandbox.rows("ShiftHandling.ShiftSet") == {}


async def test_records_with_keys_of_several_columns(site: FieldServiceRig) -> None:
    """Read one by one and together, changed, deleted; every part has to be given."""
    table, location, part, quantity = site.stock
    for place, number in (("VAN,3", "4711"), ("VAN", "3,4711"), ("VAN", "7%")):
        values: dict[str, Value] = {location: place, part: number, quantity: 2}
        await site.connector.create(table, values, [], key=None, within_seconds=60)
    keys = ["VAN%2C3,4711", "VAN,3%2C4711", "VAN,7%25"]
    found = await site.connector.read(table, [*keys, "VAN,4711", "VAN", "VAN,7,1"], [location, part])
    assert {key: tuple(one.values.values()) for key, one in found.items()} == {
        keys[0]: ("VAN,3", "4711"),
        keys[1]: ("VAN", "3,4711"),
        keys[2]: ("VAN", "7%"),
    }
    version = found[keys[0]].version
    after = await site.connector.update(table, keys[0], {quantity: Decimal("1.5")}, [quantity], version=version)
    assert after.values == {quantity: Decimal("1.5")}
    await site.connector.delete(table, keys[0])
    assert set(await site.connector.read(table, keys, [])) == set(keys[1:])
    with pytest.raises(Refused) as refused:
        await site.connector.create(table, {location: "VAN", quantity: 1}, [], key=None, within_seconds=60)
    assert refused.value.answer.field == part
    values = {location: "VAN", part: "7%", quantity: 1}
    with pytest.raises(AlreadyExists):
        await site.connector.create(table, values, [], key=None, within_seconds=60)


async def test_a_reference_is_the_key_that_it_leads_to(site: FieldServiceRig) -> None:
    """Over one column or several; found by that key, and emptied."""
    (terms,) = site.sandbox.rows(site.terms)
    column = site.roles["terms"]
    made = await create(site, "Aurora", terms=terms)
    await create(site, "Borealis")
    assert made.values[column] == terms
    found = await site.connector.find(site.table, column, [terms, "nothing", "a,b,c,d"], [site.columns.name, column])
    assert [one.values for one in found] == [{site.columns.name: "Aurora", column: terms}]
    behind = await site.connector.find(site.table, site.columns.behind, [site.columns.behind_value], [])
    assert [one.key for one in behind] == [made.key]
    after = await site.connector.update(site.table, made.key, {column: None}, [column], version=made.version)
    assert after.values == {column: None}


async def test_a_value_behind_a_reference_that_names_several_records_names_none(site: FieldServiceRig) -> None:
    """Nobody knows which of them is meant; nothing is written."""
    again = {"terms_id": "31"} if "terms_id" in site.terms_row() else {"TermNo": "31"}
    site.sandbox.add(site.terms, {**site.terms_row(), **again})
    values: dict[str, Value] = {site.columns.name: "Aurora", site.columns.behind: site.columns.behind_value}
    with pytest.raises(Refused) as refused:
        await site.connector.create(site.table, values, [], key=None, within_seconds=60)
    assert refused.value.answer.field == site.columns.behind
    assert site.stored() == {}


async def test_text_is_compared_as_it_is_written(site: FieldServiceRig) -> None:
    """Upper and lower case differ."""
    await create(site, "Aurora")
    assert await site.connector.find(site.table, site.columns.name, ["AURORA"], []) == []


async def test_as_many_values_are_looked_for_as_are_given(site: FieldServiceRig) -> None:
    """Long ones in any alphabet, too: no address and no filter is longer than the system takes."""
    names = [f"Мельница {'я' * 80} {number}" for number in range(120)]
    for name in names[:5]:
        site.sandbox.add(site.table, {site.columns.name: name})
    found = await site.connector.find(site.table, site.columns.name, names, [site.columns.name], limit=50)
    assert sorted(str(one.values[site.columns.name]) for one in found) == names[:5]


# --- versions ---


async def test_somebody_who_was_faster_is_not_overwritten_where_there_are_versions(site: FieldServiceRig) -> None:
    """However the version was learnt; where there is none, the engine reads first and nobody else writes."""
    key = await site.person_creates("Aurora")
    alone = await read(site, key)
    (found,) = await site.connector.find(site.table, site.columns.name, ["Aurora"], [])
    versions = site.connector.capabilities(site.table).version is VersionKind.OPAQUE
    assert (alone.version is not None) == (found.version is not None) == versions
    await site.person_renames(key, "Aurora Mills")
    change = {site.columns.text: "1"}
    if not versions:
        assert (await site.connector.update(site.table, key, change, [], version=None)).version is None
        return
    for version in (alone.version, found.version):
        with pytest.raises(VersionConflict):
            await site.connector.update(site.table, key, change, [], version=version)
    after = await site.connector.update(site.table, key, change, [], version=(await read(site, key)).version)
    assert after.version == (await read(site, key)).version


async def test_ifs_cloud_never_makes_what_was_to_be_changed(cloud: IfsCloudRig) -> None:
    """It would, if a change came without a version."""
    with pytest.raises(RecordMissing):
        await cloud.connector.update(cloud.table, "M-1", {cloud.columns.name: "Aurora"}, [], version=None)
    assert cloud.stored() == {}


# --- refusals ---


async def test_refusals_name_their_column(site: FieldServiceRig) -> None:
    """The system's code decides; what it says in words is not kept."""
    one = site.columns
    refused: list[tuple[Mapping[str, Value], str]] = [
        ({one.text: "1"}, one.name),
        ({one.name: "x" * 101}, one.name),
        ({one.name: "Aurora", site.roles["choice"]: "STEAM"}, site.roles["choice"]),
    ]
    for values, column in refused:
        with pytest.raises(Refused) as error:
            await site.connector.create(site.table, values, [], key=None, within_seconds=60)
        assert error.value.answer.field == column
        assert error.value.answer.vendor_code
        assert "STEAM" not in str(error.value)
    assert site.stored() == {}


async def test_a_table_that_is_not_there_any_more_is_not_taken_for_one_without_records(site: FieldServiceRig) -> None:
    """Else everything that is linked would count as deleted, as long as its schema is remembered."""
    key = await site.person_creates("Aurora")
    assert list(await site.connector.read(site.table, [key], [])) == [key]
    site.sandbox.drop_table(site.table)
    for keys in ([key], [key, "another"]):
        with pytest.raises(UnknownColumn):
            await site.connector.read(site.table, keys, [])
    with pytest.raises(UnknownColumn):
        await changed(site, None)


async def test_a_record_that_others_lead_to_is_not_deleted(site: FieldServiceRig) -> None:
    """A person decides."""
    (terms,) = site.sandbox.rows(site.terms)
    await create(site, "Aurora", terms=terms)
    with pytest.raises(Refused):
        await site.connector.delete(site.terms, terms)
    assert list(site.sandbox.rows(site.terms)) == [terms]


async def test_many_writes_have_a_result_each(site: FieldServiceRig) -> None:
    """A refused one keeps none of the others back; two changes of a record go in their order."""
    one = site.columns
    wanted = [NewRecord({one.name: name}) for name in ("Aurora", "x" * 101, "Borealis")]
    results = await site.connector.create_many(site.table, wanted, [one.name], within_seconds=60)
    assert [isinstance(result, ConnectorError) for result in results] == [False, True, False]
    first, _, third = results
    assert isinstance(first, Record)
    assert isinstance(third, Record)
    changes = [
        Change(first.key, {one.text: "1"}),
        Change("nothing", {one.text: "1"}),
        Change(first.key, {one.text: "2"}),
        Change(third.key, {one.text: "3"}),
    ]
    after = await site.connector.update_many(site.table, changes, [one.text], within_seconds=60)
    assert [one.values if isinstance(one, Record) else type(one) for one in after] == [
        {site.columns.text: "1"},
        RecordMissing,
        {site.columns.text: "2"},
        {site.columns.text: "3"},
    ]
    assert [row[one.text] for _, row in sorted(site.stored().items())] == ["2", "3"]


async def test_a_wrong_credential_is_a_refused_sign_in(fsm: FsmRig, cloud: IfsCloudRig) -> None:
    """The system counts as down, whatever it was asked."""
    for connector in (fsm.connect(FsmSite(), "wrong"), cloud.connect(IfsCloudSite(), "wrong")):
        with pytest.raises(SignInFailed):
            await connector.ping()
        await connector.aclose()


# --- what changed ---


async def changed(site: FieldServiceRig, since: str | None) -> list[str]:
    """The names of what changed, page by page, with the last watermark at the end."""
    names, mark = [], since
    async for page in site.connector.changes(site.table, since, [site.columns.name]):
        names += [str(one.values[site.columns.name]) for one in page.records]
        mark = page.watermark or mark
        assert page.deleted == []
    return [*names, mark or ""]


async def test_a_walk_goes_on_at_its_watermark_with_an_overlap(site: FieldServiceRig) -> None:
    """Oldest first; what changed in the last five minutes before it is told again, older things are not."""
    for name in ("Aurora", "Borealis", "Corona"):
        await site.person_creates(name)
        await site.clock.sleep(240)
    *names, mark = await changed(site, None)
    assert names == ["Aurora", "Borealis", "Corona"]
    assert (await changed(site, mark))[:-1] == ["Borealis", "Corona"]
    await site.clock.sleep(3600)
    await site.person_renames(next(iter(site.stored())), "Aurora Mills")
    *names, mark = await changed(site, mark)
    assert names == ["Borealis", "Corona", "Aurora Mills"]
    assert (await changed(site, mark))[:-1] == ["Aurora Mills"]


async def test_a_walk_over_nothing_goes_on_at_its_watermark(site: FieldServiceRig) -> None:
    """Of a new table there is none yet."""
    assert await changed(site, None) == [""]
    mark = site.connector.watermark_at(site.table, site.clock.now())
    assert await changed(site, mark) == [mark]


async def test_many_records_of_one_moment_are_all_told_once(site: FieldServiceRig) -> None:
    """An import stamps more of them alike than a page holds."""
    names = [f"Mill {number}" for number in range(8)]
    for name in names:
        await site.person_creates(name)
    *told, mark = await changed(site, None)
    assert sorted(told) == names
    *again, _ = await changed(site, mark)
    assert sorted(again) == names


async def test_what_changes_during_a_walk_hides_nothing(site: FieldServiceRig) -> None:
    """A record of a page that has been told moves to the end; the others are told all the same."""
    keys = []
    for number in range(9):
        keys.append(await site.person_creates(f"Mill {number}"))
        await site.clock.sleep(number % 2)
    told: set[str] = set()
    place = 0
    async for page in site.connector.changes(site.table, None, []):
        told |= {one.key for one in page.records}
        if place < 3:
            await site.clock.sleep(1)
            await site.person_renames(keys[place * 2], "Renamed")
            await site.person_deletes(keys[8 - place])
        place += 1
    assert told >= set(keys) - set(keys[6:])
    assert (await changed(site, None))[:-1].count("Renamed") == 3


async def test_what_changes_among_records_of_one_moment_hides_nothing(site: FieldServiceRig) -> None:
    """It moves to the end, and those behind it move up, over the edge of the page that has been told."""
    keys = [await site.person_creates(f"Mill {number}") for number in range(12)]
    told: list[str] = []
    async for page in site.connector.changes(site.table, None, []):
        told += [one.key for one in page.records]
        if len(told) < 7:
            await site.clock.sleep(1)
            for key in told[-3:-1]:
                await site.person_renames(key, "Renamed")
    assert set(told) == set(keys)


async def test_a_record_that_goes_away_hides_none_of_a_list(site: FieldServiceRig) -> None:
    """The rows behind it move up; a page that does not begin where the one before ended is asked for again."""
    keys = [await site.person_creates(f"Mill {number}") for number in range(9)]
    pages = site.connector.pages(site.table, None, [])
    seen = {one.key for one in (await anext(pages)).records}
    for key in sorted(seen):
        await site.person_deletes(key)
    seen |= {one.key async for page in pages for one in page.records}
    assert seen == set(keys)


async def test_a_table_without_the_column_cannot_be_walked_until_it_is_named(site: FieldServiceRig) -> None:
    """A survey says so, and the error says what to set."""
    old, new = site.roles["changed"], f"{site.roles['changed']}X"
    site.sandbox.rename_column(site.table, old, new)
    assert (await site.connector.survey(site.table)).tracked is False
    with pytest.raises(UnknownColumn) as unknown:
        await changed(site, None)
    assert unknown.value.answer.field == old
    assert f"CROSSDOCK_{site.connector.system.upper()}_SITE" in str(unknown.value)
    assert [page.records for page in [one async for one in site.connector.pages(site.table, None, [])]] == [[]]


async def test_a_column_of_the_last_change_that_holds_no_time_is_none(fsm: FsmRig) -> None:
    """A name in the site's binding that is there, but is the wrong one, is told like one that is not."""
    connector = fsm.connect(FsmSite(changed_at=fsm.columns.name))
    assert (await connector.survey(fsm.table)).tracked is False
    with pytest.raises(UnknownColumn, match="has no column name with the time of the last change"):
        await anext(connector.changes(fsm.table, None, []))
    await connector.aclose()


async def test_tables_may_differ_in_the_column_of_the_last_change(fsm: FsmRig) -> None:
    """As the site's binding says."""
    fsm.sandbox.rename_column(fsm.table, "modified_dttm", "touched_dttm")
    connector = fsm.connect(FsmSite(changed_at={"*": "modified_dttm", fsm.table: "touched_dttm"}))
    key = await fsm.person_creates("Aurora")
    pages = [page async for page in connector.changes(fsm.table, None, [])]
    assert [one.key for page in pages for one in page.records] == [key]
    assert (await connector.survey(fsm.table)).tracked is True
    await connector.aclose()


# --- times of the wall ---


@pytest.fixture
async def rome() -> AsyncIterator[FsmRig]:
    """An FSM server whose clock is set forward and back."""
    made = FsmRig(FsmOptions(zone="Europe/Rome"), ROME)
    await made.start()
    yield made
    await made.aclose()


async def test_times_are_those_of_the_installation(rome: FsmRig) -> None:
    """In summer and in winter; a moment that the clock shows a second time only is refused, and its column named."""
    summer, winter = datetime(2026, 7, 1, 12, 0, tzinfo=UTC), datetime(2026, 12, 1, 12, 0, tzinfo=UTC)
    made = [await create(rome, "Aurora", time=at) for at in (summer, winter)]
    assert [one.values["opened_dttm"] for one in made] == [summer, winter]
    assert [row["opened_dttm"] for row in rome.stored().values()] == ["2026-07-01T14:00:00", "2026-12-01T13:00:00"]
    with pytest.raises(Refused) as refused:
        await create(rome, "Aurora", time=datetime(2026, 10, 25, 1, 30, tzinfo=UTC))
    assert refused.value.answer.field == "opened_dttm"


async def test_a_walk_over_the_hour_that_comes_twice_misses_nothing(rome: FsmRig) -> None:
    """Later changes then have earlier times than those that have been told."""
    began = datetime(2026, 10, 24, 23, 30, tzinfo=UTC)
    await rome.clock.sleep((began - rome.clock.now()) / timedelta(seconds=1))
    mark: str | None = None
    told: list[str] = []
    for number in range(15):
        await rome.person_creates(f"Mill {number:02}")
        *names, mark = await changed(rome, mark)
        told += names
        await rome.clock.sleep(600)
    assert sorted(set(told)) == [f"Mill {number:02}" for number in range(15)]


async def test_times_in_the_future_hide_no_later_change() -> None:
    """As of a server that tells its own wall's times while nobody has said so yet: twelve hours ahead of ours."""
    rig = FsmRig(FsmOptions(zone="Pacific/Auckland"), FsmSite(page_size=3))
    await rig.person_creates("Aurora")
    *names, mark = await changed(rig, None)
    assert names == ["Aurora"]
    await rig.connector.aclose()
    rig.connector = rig.connect(FsmSite(page_size=3, time_zone="Pacific/Auckland"))
    await rig.clock.sleep(600)
    await rig.person_creates("Borealis")
    assert (await changed(rig, mark))[:-1] == ["Aurora", "Borealis"]
    await rig.aclose()


# --- what a site words otherwise ---


async def test_flags_and_paths_are_as_the_site_says() -> None:
    """Everything else stays as it is."""
    paths = {"read": "v2/{table}/record/{key}", "update": "v2/{table}/record/{key}", "query": "v2/search/{table}"}
    rig = FsmRig(
        FsmOptions(flags=("J", "N"), paths=paths), FsmSite.model_validate({"flags": ["J", "N"], "paths": paths})
    )
    made = await create(rig, "Aurora", flag=True)
    after = await rig.connector.update(rig.table, made.key, {"active": False}, ["active"], version=made.version)
    assert after == await read(rig, made.key, "active")
    assert [row["active"] for row in rig.stored().values()] == ["N"]
    assert rig.requests.unforeseen() == []
    await rig.aclose()


async def test_ifs_cloud_is_where_the_site_says() -> None:
    """At some sites integrations have a base of their own."""
    base = "int/ifsapplications/projection/v1"
    rig = IfsCloudRig(IfsCloudOptions(base=base), IfsCloudSite(base=base))
    assert (await create(rig, "Aurora")).version
    assert rig.requests.unforeseen() == []
    await rig.aclose()


# --- what is known ---


async def test_the_schema_says_what_a_definition_may_do(site: FieldServiceRig) -> None:
    """Lengths, choices, what is required, what can be written and when, and where references lead."""
    told = await site.connector.survey(site.table)
    one, roles, columns = site.columns, site.roles, told.columns
    assert columns[one.name].max_length == 100
    assert columns[one.name].required
    assert not columns[one.number].required
    assert (columns[one.number].writable, columns[one.number].updatable) == (True, False)
    assert not columns[roles["changed"]].writable
    assert columns[roles["choice"]].type is ColumnType.CHOICE
    assert roles["water"] in columns[roles["choice"]].choices
    assert (columns[roles["terms"]].type, columns[roles["terms"]].target) == (ColumnType.REFERENCE, site.terms)
    assert told.rights == {Right.READ: Reach.ALL}
    assert told.tracked is True
    location, part = site.stock[1:3]
    stock = (await site.connector.survey(site.stock[0])).columns
    assert stock[location].required
    assert not stock[part].updatable


async def test_a_column_that_is_added_or_renamed_is_known_at_once(site: FieldServiceRig) -> None:
    """A definition may name it as soon as an administrator has made it; the old name is unknown, and never blank."""
    key = await site.person_creates("Aurora")
    await read(site, key, site.columns.text)
    await site.clock.sleep(61)
    site.sandbox.add_column(site.table, name="Cf_Wish", type="text", length=20)
    await site.connector.update(site.table, key, {"Cf_Wish": "flour"}, [], version=None)
    assert (await read(site, key, "Cf_Wish")).values == {"Cf_Wish": "flour"}
    site.sandbox.rename_column(site.table, site.columns.text, "Cf_Call")
    for columns in ([site.columns.text], [site.columns.name, site.columns.text]):
        with pytest.raises(UnknownColumn) as unknown:
            await site.connector.read(site.table, [key], columns)
        assert unknown.value.answer.field == site.columns.text
        with pytest.raises(UnknownColumn):
            await site.connector.read(site.table, [key, "other"], columns)
        with pytest.raises(UnknownColumn):
            _ = [page async for page in site.connector.changes(site.table, None, columns)]
    with pytest.raises(UnknownColumn):
        await site.connector.update(site.table, key, {site.columns.text: "1"}, [], version=None)


async def test_the_schema_is_asked_for_once_in_an_hour(site: FieldServiceRig) -> None:
    """Whatever is read and written meanwhile."""
    key = await site.person_creates("Aurora")
    await read(site, key)
    before = site.requests.count("GET", r"schema/|\$metadata$")
    for _ in range(3):
        await read(site, key, site.columns.name)
        await site.connector.update(site.table, key, {site.columns.text: "1"}, [site.columns.name], version=None)
        await site.clock.sleep(1000)
    assert site.requests.count("GET", r"schema/|\$metadata$") == before
    await site.clock.sleep(1000)
    await read(site, key, site.columns.name)
    assert site.requests.count("GET", r"schema/|\$metadata$") == before + 1


async def test_fsm_lists_its_tables_with_labels(fsm: FsmRig) -> None:
    """As people know them."""
    assert TableLabel("mill", "Mill") in await fsm.connector.browse("mi")
    assert await fsm.connector.browse("nothing") == []


async def test_ifs_cloud_lists_projections_and_what_is_in_one(cloud: IfsCloudRig) -> None:
    """A projection that there is not is named."""
    every = await cloud.connector.browse()
    assert TableLabel("WorkTaskHandling", "Work task handling", group=True) in every
    inside = await cloud.connector.browse("WorkTaskHandling")
    assert TableLabel("WorkTaskHandling.JtTaskSet") in inside
    for name in ("NothingHandling", "../x"):
        with pytest.raises(UnknownColumn) as unknown:
            await cloud.connector.browse(name)
        assert unknown.value.answer.field == name


async def test_what_is_not_open_to_us_is_a_matter_of_rights(fsm: FsmRig, cloud: IfsCloudRig) -> None:
    """An administrator grants it."""
    fsm.imitated.set(denied=frozenset({fsm.table}))
    cloud.imitated.set(denied=frozenset({"MillHandling"}))
    sites: list[FieldServiceRig] = [fsm, cloud]
    for site in sites:
        with pytest.raises(NotAllowed):
            await site.connector.read(site.table, ["1"], [])


async def test_nobody_is_asked_who_it_is(site: FieldServiceRig) -> None:
    """An installation is known by its address, and names neither editors nor what it is for."""
    assert await site.connector.identify() == site.connector.instance == "service.example"
    assert await site.connector.profile() is None
    assert await site.connector.ourselves() == frozenset()
    assert site.requests.count() == 0
