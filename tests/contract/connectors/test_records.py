"""What every connector promises about records, seen through the port."""

from __future__ import annotations

from decimal import Decimal

import pytest

from shared.errors import AlreadyExists, RecordMissing, Refused, UnknownColumn, VersionConflict
from shared.sync.ports import ColumnType, Record, RecordPage
from tests.contract.connectors.rigs import UNKNOWN_KEY, Rig


async def create(rig: Rig, name: str, number: str | None = None, seed: str = "") -> Record:
    chooses = rig.connector.capabilities(rig.table).chooses_key
    key = rig.connector.derived_key(rig.table, seed or name, {}) if chooses else None
    return await rig.connector.create(rig.table, rig.values(name, number), rig.asked, key=key, within_seconds=60)


async def read(rig: Rig, key: str) -> Record:
    return (await rig.connector.read(rig.table, [key], rig.asked))[key]


async def test_a_created_record_is_answered_as_stored(rig: Rig) -> None:
    """The answer has the key, the version for the next write, and every asked column; a read says the same."""
    made = await create(rig, "Aurora Milling", "N1")
    one = rig.columns
    assert made.values[one.name] == "Aurora Milling"
    assert made.values[one.number] == "N1"
    assert made.values[one.amount] == Decimal("1234.56")
    assert isinstance(made.values[one.amount], Decimal)
    assert set(made.values) == set(rig.asked)
    assert made.version
    assert await read(rig, made.key) == made


async def test_many_records_are_read_at_once_and_missing_ones_are_absent(rig: Rig) -> None:
    """More keys than one request takes, some unknown, some twice: each record once, no error."""
    keys = [await rig.person_creates(f"Mill {number}") for number in range(7)]
    many = [f"{number:08d}-9999-4999-8999-999999999999" for number in range(1, 150)]
    found = await rig.connector.read(rig.table, [*keys, keys[0], UNKNOWN_KEY, *many], rig.asked)
    assert set(found) == set(keys)
    assert {record.values[rig.columns.name] for record in found.values()} == {f"Mill {number}" for number in range(7)}


async def test_a_single_missing_record_is_absent_too(rig: Rig) -> None:
    """One key takes another request than many; the answer is of the same kind."""
    assert await rig.connector.read(rig.table, [UNKNOWN_KEY], rig.asked) == {}
    assert await rig.connector.read(rig.table, [], rig.asked) == {}


async def test_a_key_has_one_spelling(rig: Rig) -> None:
    """Links are found by key, so however it is spelled it is the same key, and anything else is none."""
    key = await rig.person_creates("Aurora Milling")
    spelled = rig.respelled(key)
    assert rig.connector.canonical_key(rig.table, spelled) == key
    assert set(await rig.connector.read(rig.table, [spelled], [])) == {key}
    for text in rig.no_keys:
        with pytest.raises(ValueError, match="key"):
            rig.connector.canonical_key(rig.table, text)


@pytest.mark.parametrize("name", ["O'Neil & Sons", "50% + 3/4 <Mill> #1? \\ *", "Mühle \u2603 Русь", 'A "quoted" one'])
async def test_records_are_found_by_any_text(rig: Rig, name: str) -> None:
    """Quotes, percent signs and letters of any alphabet are data, not part of the query."""
    await rig.person_creates("Another Mill")
    key = await rig.person_creates(name)
    found = await rig.connector.find(rig.table, rig.columns.name, [name], rig.asked)
    assert [(record.key, record.values[rig.columns.name]) for record in found] == [(key, name)]


async def test_a_search_takes_several_values_and_ends_at_its_limit(rig: Rig) -> None:
    """Any of the values counts, blanks never do."""
    for number in range(5):
        await rig.person_creates(f"Mill {number}")
    found = await rig.connector.find(rig.table, rig.columns.name, ["Mill 1", "", "Mill 3", "Mill 9", "Mill 1"], [])
    assert len(found) == 2
    names = [f"Mill {number}" for number in range(5)]
    assert len(await rig.connector.find(rig.table, rig.columns.name, names, [], limit=3)) == 3
    assert await rig.connector.find(rig.table, rig.columns.name, [""], []) == []
    assert await rig.connector.find(rig.table, rig.columns.name, [], []) == []


async def test_an_update_changes_only_what_is_given(rig: Rig) -> None:
    """The other columns keep their values, and the answer carries the new version."""
    made = await create(rig, "Aurora Milling")
    values = {rig.columns.text: "0471 111111"}
    after = await rig.connector.update(rig.table, made.key, values, rig.asked, version=made.version)
    assert after.values == {**made.values, rig.columns.text: "0471 111111"}
    assert after.version != made.version
    assert await read(rig, made.key) == after


async def test_an_update_on_an_old_version_writes_nothing(rig: Rig) -> None:
    """Somebody was faster; the caller has to look again."""
    made = await create(rig, "Aurora Milling")
    await rig.person_renames(made.key, "Aurora Mills")
    with pytest.raises(VersionConflict):
        await rig.connector.update(rig.table, made.key, {rig.columns.name: "Ours"}, rig.asked, version=made.version)
    assert rig.names() == ["Aurora Mills"]


async def test_an_update_without_a_version_takes_whatever_is_there(rig: Rig) -> None:
    """None means: any version, but the record has to exist."""
    made = await create(rig, "Aurora Milling")
    await rig.person_renames(made.key, "Aurora Mills")
    after = await rig.connector.update(rig.table, made.key, {rig.columns.text: "1"}, rig.asked, version=None)
    assert (after.values[rig.columns.name], after.values[rig.columns.text]) == ("Aurora Mills", "1")


@pytest.mark.parametrize("with_version", [True, False])
async def test_an_update_never_brings_a_deleted_record_back(rig: Rig, with_version: bool) -> None:
    """The record is missing, whatever version was named, and stays so."""
    made = await create(rig, "Aurora Milling")
    await rig.person_deletes(made.key)
    version = made.version if with_version else None
    with pytest.raises(RecordMissing):
        await rig.connector.update(rig.table, made.key, {rig.columns.text: "1"}, rig.asked, version=version)
    assert rig.stored() == {}


async def test_a_deleted_record_is_gone_and_deleting_it_again_is_fine(rig: Rig) -> None:
    """Whatever it holds by then; the others stay."""
    made, other = await create(rig, "Aurora Milling", "N1"), await create(rig, "Borealis Milling", "N2")
    await rig.person_renames(made.key, "Aurora Mills")
    for _ in range(2):
        await rig.connector.delete(rig.table, made.key)
    assert rig.names() == ["Borealis Milling"]
    assert set(await rig.connector.read(rig.table, [made.key, other.key], [])) == {other.key}
    assert rig.connector.capabilities(rig.table).deletes


async def test_a_taken_key_is_told_from_every_other_refusal(rig: Rig) -> None:
    """The second create with the key that the system enforces meets the first and changes nothing."""
    await create(rig, "Aurora Milling", "N1", seed="one")
    with pytest.raises(AlreadyExists):
        await create(rig, "Borealis Milling", "N1", seed="one")
    assert rig.names() == ["Aurora Milling"]


async def test_a_refusal_names_the_code_and_keeps_no_value(rig: Rig) -> None:
    """Vendors' texts quote values; errors must not."""
    with pytest.raises(Refused) as refused:
        await create(rig, "Confidential " * 30)
    assert type(refused.value) is Refused
    assert refused.value.answer.vendor_code
    assert refused.value.answer.request_id
    assert "Confidential" not in f"{refused.value} {refused.value.__cause__} {refused.value.__context__}"


@pytest.mark.parametrize("column", ["nosuchcolumn", "no such", "name;drop", "", "id/..", "nosuch.code"])
async def test_an_unknown_column_is_named_before_anything_is_asked(rig: Rig, column: str) -> None:
    """A definition's slip is the consultant's, not the record's."""
    with pytest.raises(UnknownColumn) as unknown:
        await rig.connector.read(rig.table, [UNKNOWN_KEY], [column])
    assert unknown.value.answer.field == column
    with pytest.raises(UnknownColumn):
        await rig.connector.find(rig.table, column, ["x"], [])
    with pytest.raises(UnknownColumn):
        await rig.connector.update(rig.table, UNKNOWN_KEY, {column: "x"}, [], version=None)
    assert rig.sent("GET") == rig.sent("PATCH") == 0


@pytest.mark.parametrize("table", ["nosuchtable", "no such", "accounts')", "../companies", ""])
async def test_an_unknown_table_is_named(rig: Rig, table: str) -> None:
    """Nothing of a definition is built into an address unchecked."""
    with pytest.raises(UnknownColumn):
        await rig.connector.read(table, [UNKNOWN_KEY], [])
    with pytest.raises(UnknownColumn):
        await rig.connector.metadata(table)


async def test_blank_is_no_value_both_ways(rig: Rig) -> None:
    """Each system has its own blanks; ours is None, and writing None empties the column."""
    made = await create(rig, "Aurora Milling")
    values = {rig.columns.text: None, rig.columns.behind: None}
    after = await rig.connector.update(rig.table, made.key, values, rig.asked, version=made.version)
    assert (after.values[rig.columns.text], after.values[rig.columns.behind]) == (None, None)
    assert await read(rig, made.key) == after


async def test_a_column_behind_a_reference_is_read_and_written(rig: Rig) -> None:
    """A dotted name looks the record up by its code when written, and shows the code when read."""
    one = rig.columns
    made = await create(rig, "Aurora Milling")
    after = await rig.connector.update(
        rig.table, made.key, {one.behind: one.behind_value}, rig.asked, version=made.version
    )
    assert after.values[one.behind] == one.behind_value
    assert await read(rig, made.key) == after
    with pytest.raises(Refused) as refused:
        await rig.connector.update(rig.table, made.key, {one.behind: "NOSUCH"}, [], version=None)
    assert refused.value.answer.field == one.behind
    assert "NOSUCH" not in str(refused.value)


async def test_a_column_that_cannot_be_searched_in_is_named(rig: Rig) -> None:
    """Finding nothing would be taken for "there is no partner", and a duplicate be made."""
    columns = (await rig.connector.metadata(rig.table)).columns
    for kind in (ColumnType.DATETIME, ColumnType.BOOLEAN):
        column = next(name for name, one in columns.items() if one.type is kind)
        with pytest.raises(UnknownColumn) as unknown:
            await rig.connector.find(rig.table, column, ["2026-03-02"], [])
        assert unknown.value.answer.field == column


async def test_the_metadata_describes_columns(rig: Rig) -> None:
    """Types and lengths are what definitions are checked against."""
    columns = (await rig.connector.metadata(rig.table)).columns
    assert columns[rig.columns.name].type is ColumnType.TEXT
    assert (columns[rig.columns.name].max_length or 0) >= 100
    assert columns[rig.columns.amount].type is ColumnType.DECIMAL
    assert columns[rig.columns.name].writable


async def test_a_ping_is_one_cheap_request(rig: Rig) -> None:
    """Probes go out while a system is half down; they may cost next to nothing."""
    await rig.connector.ping()
    before = rig.requests.count()
    await rig.connector.ping()
    assert rig.requests.count() == before + 1


async def pages_of(rig: Rig, place: str | None = None) -> list[RecordPage]:
    """All pages of the table from a place on."""
    return [page async for page in rig.connector.pages(rig.table, place, [rig.columns.name])]


async def test_every_record_is_listed_once_by_pages(rig: Rig) -> None:
    """Key, version and asked columns, as a read answers them; records that change on the way are not missed."""
    keys = [await rig.person_creates(f"Mill {number}") for number in range(7)]
    pages = await pages_of(rig)
    assert len(pages) > 2
    assert max(len(page.records) for page in pages) == 3
    listed = [record for page in pages for record in page.records]
    assert sorted(record.key for record in listed) == sorted(keys)
    read = await rig.connector.read(rig.table, keys, [rig.columns.name])
    assert {record.key: record for record in listed} == dict(read)
    assert pages[-1].place is None


async def test_a_list_goes_on_from_a_place_in_another_process(rig: Rig) -> None:
    """The place is text; what was changed in between keeps its own place, what is new may come."""
    keys = [await rig.person_creates(f"Mill {number}") for number in range(8)]
    pages = rig.connector.pages(rig.table, None, [])
    first = await anext(pages)
    assert first.place is not None
    seen = {record.key for record in first.records}
    for key in keys:
        await rig.person_renames(key, f"Renamed {key[:4]}")
    rest = {record.key for page in await pages_of(rig, first.place) for record in page.records}
    assert (seen | rest, seen & rest) == (set(keys), set())


async def test_an_empty_table_has_an_empty_list(rig: Rig) -> None:
    """One page or none, and no place behind it."""
    assert [record for page in await pages_of(rig) for record in page.records] == []
