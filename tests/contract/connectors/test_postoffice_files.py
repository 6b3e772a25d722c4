"""Lists of PostOffice that come as files: the vendor's forms and what a site may change of them, what is wrong with a
file or a row, and what is found out by comparing it with the last one."""

from __future__ import annotations

import io
import os
import tracemalloc
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from shared.connectors.postoffice.site import Files, Site
from shared.connectors.postoffice.tables import STATISTICS
from shared.connectors.postoffice.with_files import file_lists
from shared.errors import FeedExpired, FileUnfit, UnknownColumn, Unreadable
from shared.stores.sqlite_rows import SqliteRows
from shared.stores.stores import TABLES, open_stores
from shared.sync.ports import Record, Reports, Value
from tests.contract.connectors.test_postoffice import WORLDS, PostOffice
from tests.unit.connectors.fakes import JumpingClock

KEY = b"a key of the fingerprints, made up"
LISTS = {"articles": "articles.csv", "complaints": "c.csv", "vehicles": "v.csv", STATISTICS: "s.csv"}
HEADER = "id;number;name;active;unit;price;changedAt"
BOX, PALLET = '1;"A1";"Box";1;"piece";12.3456;2026.03.01 08:00:00', '2;"A2";"Pallet";0;;;2026.03.01 08:00:00'


class Drop:
    """A folder with files, and our connector's look at it."""

    def __init__(self, folder: Path, reports: Reports | None = None, **files: Any) -> None:
        self.clock = JumpingClock()
        self.folder = folder
        self._reports = reports
        self.site: dict[str, Any] = {}
        self.files = files
        self.look()

    def look(self) -> None:
        """Look at the folder as a fresh process does."""
        site = Site(**self.site, files=Files(**{"folder": str(self.folder), "lists": LISTS, **self.files}))
        assert site.files is not None
        self.lists = file_lists(site, site.files, self.clock, system="po", key=KEY, reports=self._reports)

    def write(self, *lines: str, name: str = "articles.csv", encoding: str = "utf-8", age: float = 3600) -> None:
        """Put a file there that was written so many seconds ago."""
        self.put("".join(f"{line}\r\n" for line in lines).encode(encoding), name, age)

    def put(self, content: bytes, name: str = "articles.csv", age: float = 3600) -> None:
        path, at = self.folder / name, (self.clock.now() - timedelta(seconds=age)).timestamp()
        path.write_bytes(content)
        os.utime(path, (at, at))

    async def read(self, *keys: str, table: str = "articles", columns: str = "number name price") -> dict[str, Any]:
        """The values of some rows by id."""
        found = await self.lists[table].read(keys, columns.split())
        return {key: dict(one.values) for key, one in found.items()}

    async def all(self, table: str = "articles", columns: str = "number") -> list[Record]:
        return [one async for page in self.lists[table].pages(None, columns.split(), 2) for one in page.records]

    async def refusal(self, table: str = "articles", columns: str = "number") -> str:
        """What is said of a file that cannot be used."""
        with pytest.raises(FileUnfit) as unfit:
            await self.read("1", table=table, columns=columns)
        assert unfit.value.code == "CD-1021"
        return str(unfit.value)


@pytest.fixture
def drop(tmp_path: Path) -> Drop:
    return Drop(tmp_path)


@pytest.fixture
async def remembering(tmp_path: Path) -> AsyncIterator[Drop]:
    """A folder whose last files are remembered."""
    rows = SqliteRows(":memory:", TABLES, environment={})
    await rows.prepare()
    yield Drop(tmp_path, open_stores(rows, JumpingClock()).reports)
    await rows.aclose()


# --- the forms ---


async def test_the_vendors_form_is_read_without_being_told(drop: Drop) -> None:
    """R-102: separator, quotes, days, times, amounts with four decimals, and nothing between two separators."""
    drop.write(HEADER, BOX, PALLET)
    assert await drop.read("1", "2", "9", columns="number name active unit price") == {
        "1": {"number": "A1", "name": "Box", "active": True, "unit": "piece", "price": Decimal("12.3456")},
        "2": {"number": "A2", "name": "Pallet", "active": False, "unit": None, "price": None},
    }


async def test_a_quoted_field_may_hold_quotes_separators_and_lines(drop: Drop) -> None:
    """R-106: sub-fields are parted by a line break within the quotes; the rows behind are still found."""
    header = "id;number;customerId;costCentreId;subject;text;reportedAt;state"
    text = '"first\nsecond ""quoted"";\r\nthird"'
    rows = [f'1;"7";5;;"Lost";{text};2026.07.01 08:30:00;"open"', '2;"8";5;;"Late";"x";2026.01.02 00:00:01;"open"']
    drop.write(header, *rows, name="c.csv")
    assert await drop.read("1", "2", table="complaints", columns="text reportedAt") == {
        "1": {"text": 'first\nsecond "quoted";\r\nthird', "reportedAt": datetime(2026, 7, 1, 8, 30, tzinfo=UTC)},
        "2": {"text": "x", "reportedAt": datetime(2026, 1, 2, 0, 0, 1, tzinfo=UTC)},
    }


async def test_a_site_may_change_separator_encoding_days_zone_and_names(tmp_path: Path) -> None:
    drop = Drop(tmp_path, separator="|", encoding="windows-1252", dates="DD.MM.YYYY", time_zone="Europe/Zurich")
    drop.site = {"columns": {"complaints.id": "Nummer", "complaints.number": "Nummer", "complaints.text": "Text lang"}}
    drop.look()
    drop.write("Nummer|Text lang|reportedAt", '5|"Größe"|01.07.2026 08:30:00', name="c.csv", encoding="cp1252")
    assert await drop.read("5", table="complaints", columns="number text reportedAt") == {
        "5": {"number": "5", "text": "Größe", "reportedAt": datetime(2026, 7, 1, 6, 30, tzinfo=UTC)}
    }


async def test_a_mark_at_the_beginning_of_the_file_is_no_part_of_the_first_name(drop: Drop) -> None:
    drop.put(b"\xef\xbb\xbf" + f"{HEADER}\r\n{BOX}\r\n".encode())
    assert list(await drop.read("1")) == ["1"]


async def test_a_list_that_the_contract_does_not_name_has_the_columns_of_its_first_line(drop: Drop) -> None:
    """They are text where the site does not say what they hold."""
    drop.site = {"lists": {"vehicles": {"load": "amount"}}, "columns": {"vehicles.plate": "Kennzeichen"}}
    drop.look()
    drop.write("id;Kennzeichen;load;changedAt", '1;"ZH 1";1.5000;', name="v.csv")
    columns = await drop.lists["vehicles"].columns()
    assert {name: one.type.value for name, one in columns.items()} == {"plate": "text", "load": "decimal"}
    assert await drop.read("1", table="vehicles", columns="plate load") == {
        "1": {"plate": "ZH 1", "load": Decimal("1.5")}
    }


async def test_statistics_come_by_their_day_and_are_summed_up_by_what_is_asked(drop: Drop) -> None:
    """R-103: like those of the interface."""
    header = "customerId;costCentreId;serviceId;day;items;weightGrams;amount"
    days = ("2026.03.01", "2026.03.02", "2026.03.01", "2026.03.01")
    drop.write(header, *(f"{n % 2};;s;{day};{n};10;1.5000" for n, day in enumerate(days)), name="s.csv")

    async def told(columns: str) -> dict[str, Mapping[str, Value]]:
        pages = drop.lists[STATISTICS].of_day("day", date(2026, 3, 1), columns.split())
        return {one.key: one.values async for page in pages for one in page}

    assert {key: (one["items"], one["amount"]) for key, one in (await told("customerId day items amount")).items()} == {
        "0/2026-03-01": (2, Decimal("3.0000")),
        "1/2026-03-01": (3, Decimal("1.5000")),
    }
    nothing = [one async for one in drop.lists[STATISTICS].of_day("day", date(2026, 4, 1), ["items"])]
    assert [list(page) for page in nothing] == [[]]
    with pytest.raises(UnknownColumn):
        _ = [one async for one in drop.lists[STATISTICS].of_day("items", date(2026, 4, 1), ["items"])]


async def test_a_file_tells_what_the_interface_tells() -> None:
    """The same rows and values, whichever way they come."""
    by_file, by_interface = PostOffice(*WORLDS["files"]), PostOffice(*WORLDS["whole"])
    told = []
    for post in (by_file, by_interface):
        post.sandbox.create("articles", {"number": "1", "name": 'A "box"; blue', "price": "12.5", "unit": "piece"})
        post.sandbox.create("articles", {"number": "2", "name": "Äpfel", "active": False})
        await post.export()
        pages = post.connector.pages("articles", None, ["number", "name", "active", "price", "unit"])
        told.append([(one.key, one.values) async for page in pages for one in page.records])
        await post.aclose()
    assert told[0] == told[1]


# --- what is wrong with a file ---

WRONG: Mapping[str, tuple[bytes, str]] = {
    "an empty file": (b"", "is empty"),
    "no id": (b"number;name\r\n1;2\r\n", "has no column 'id' in its first line"),
    "no names": (b'"Box";"Box"\r\n"Pallet";"A2"\r\n', "has no column 'id' in its first line"),
    "a name twice": (b"id;name;name\r\n", "names the column 'name' twice"),
    "half a line": (f"{HEADER}\r\n{BOX}\r\n{PALLET[:9]}".encode(), "line 3 "),
    "a line without its end": (f"{HEADER}\r\n{BOX}".encode(), "line 2 has no end: the file is half-written"),
    "half a quoted field": (f'{HEADER}\r\n{BOX}\r\n2;"A2\r\n'.encode(), "line 3 is no row of fields"),
    "fewer fields": (f"{HEADER}\r\n{BOX}\r\n2;3\r\n".encode(), "line 3 has 2 fields, and the first line has 7"),
    "another encoding": (
        f"{HEADER}\r\n".encode() + BOX.replace("Box", "Büchse").encode("cp1252"),
        "line 2 is not in utf-8",
    ),
    "no id in a row": (f"{HEADER}\r\n;{BOX[2:]}\r\n".encode(), "line 2: 'id' holds no id"),
    "an id twice": (f"{HEADER}\r\n{BOX}\r\n{PALLET}\r\n{BOX}\r\n".encode(), "lines 2 and 4 have the same id"),
}


@pytest.mark.parametrize(("content", "told"), WRONG.values(), ids=list(WRONG))
async def test_a_file_that_cannot_be_whole_is_not_used(drop: Drop, content: bytes, told: str) -> None:
    """It is named with the line, and nothing that stands in it is told."""
    drop.put(content)
    said = await drop.refusal()
    assert told in said
    assert said.startswith("CD-1021 postoffice: articles.csv ")
    assert not {"Box", "Pallet", "A2"} & set(said.replace('"', " ").split())


async def test_a_file_that_is_not_there_is_told(drop: Drop) -> None:
    assert "articles.csv is not there" in await drop.refusal()
    (drop.folder / "articles.csv").mkdir()
    os.utime(drop.folder / "articles.csv", (0, 0))
    assert "articles.csv cannot be read" in await drop.refusal()


async def test_a_column_that_the_file_lacks_is_told_apart_from_one_that_there_is_not(drop: Drop) -> None:
    """The file's fault waits for the next file; that of the definition does not."""
    drop.write("id;number", '1;"A1"')
    assert "articles.csv has no column 'price' in its first line" in await drop.refusal(columns="number price")
    assert set(await drop.lists["articles"].columns()) == {"number"}
    with pytest.raises(UnknownColumn):
        await drop.read("1", columns="colour")


async def test_a_file_is_read_only_when_nobody_has_written_to_it_for_a_while(drop: Drop) -> None:
    drop.write(HEADER, BOX, age=30)
    assert "was written to within the last 60 seconds" in await drop.refusal()
    await drop.clock.sleep(31)
    assert list(await drop.read("1")) == ["1"]


async def test_a_file_that_is_replaced_while_it_is_read_is_not_mixed_with_the_new_one(drop: Drop) -> None:
    """What was read of the old one counts; then the reading begins anew."""
    drop.write(HEADER, BOX, PALLET, BOX.replace("1;", "3;", 1))
    pages = drop.lists["articles"].pages(None, ["name"], 1)
    first = await anext(pages)
    drop.write(HEADER, PALLET.replace("Pallet", "Sack"), age=1800)
    with pytest.raises(FileUnfit, match="has just been replaced"):
        await anext(pages)
    with pytest.raises(FeedExpired):
        _ = [page async for page in drop.lists["articles"].pages(first.place, ["name"], 1)]
    assert [one.values["name"] for one in await drop.all(columns="name")] == ["Sack"]


class Overtaken(io.FileIO):
    """A file into which the next export is written, or in whose place it is put, right before one of its lines is read.

    Not buffered, so that what is read next is what stands there by then.
    """

    def __init__(self, path: Path, lines: int, export: Callable[[], None]) -> None:
        super().__init__(path, "rb")
        self._left = lines
        self._export = export

    def readline(self, size: int | None = -1, /) -> bytes:
        if self._left == 0:
            self._export()
        self._left -= 1
        return super().readline(-1 if size is None else size)


OLD = [f'{n};"A{n}";"Old {n}";1;;;' for n in range(1, 7)]
NEW = [f'{n};"A{n}";"New, and a little longer {n}";1;;;' for n in (1, 2, 8, 4, 5, 6, 3)]
SUMS = "customerId;costCentreId;serviceId;day;items;weightGrams;amount"
OLD_SUMS = [f"{n};;s;2026.03.01;{n};10;1.5000" for n in range(1, 7)]
NEW_SUMS = [f"{n};;s;2026.03.0{1 + n % 2};{n}00;10;1.5000" for n in range(1, 9)]


@pytest.mark.parametrize("in_place", [True, False], ids=["written over", "put in its place"])
@pytest.mark.parametrize("gone_through", [True, False], ids=["known", "unknown"])
@pytest.mark.parametrize("lines", range(9))
async def test_no_row_vanishes_or_is_mixed_while_the_next_file_comes(
    drop: Drop, monkeypatch: pytest.MonkeyPatch, lines: int, gone_through: bool, in_place: bool
) -> None:
    """R-102, R-103: whenever it comes, whoever reads gets the last file as a whole, or is told to come again. A row
    that was missed for a moment would lose its link, a sum its record."""
    files = {"articles.csv": (HEADER, OLD, NEW), "s.csv": (SUMS, OLD_SUMS, NEW_SUMS)}
    for name, (header, old, _) in files.items():
        drop.write(header, *old, name=name)
    if gone_through:
        await drop.read("1")
        _ = [one async for one in drop.lists[STATISTICS].of_day("day", date(2026, 3, 1), ["items"])]

    def export(path: Path) -> None:
        header, _, new = files[path.name]
        if not in_place:
            path.rename(path.with_suffix(".old"))
        drop.write(header, *new, name=path.name, age=1800)

    def opened(path: Path, mode: str) -> io.FileIO:
        return Overtaken(path, lines, lambda: export(path)) if mode == "rb" else io.FileIO(path, mode)

    monkeypatch.setattr(Path, "open", opened)
    keys = [str(n) for n in range(1, 7)]
    with suppress(FileUnfit):
        found = await drop.read(*keys, columns="name")
        assert {key: one["name"] for key, one in found.items()} == {key: f"Old {key}" for key in keys}
    with suppress(FileUnfit):
        pages = drop.lists[STATISTICS].of_day("day", date(2026, 3, 1), ["customerId", "items", "day"])
        sums = [one.values async for page in pages for one in page]
        assert {str(one["customerId"]): one["items"] for one in sums} == {key: int(key) for key in keys}
    monkeypatch.undo()
    drop.write(HEADER, *NEW, age=1700)
    assert (await drop.read("8", columns="name"))["8"]["name"] == "New, and a little longer 8"


async def test_a_blank_is_found_by_no_word(drop: Drop) -> None:
    drop.write(HEADER, BOX, PALLET)
    for text, keys in (("none", []), ("PIECE", ["1"])):
        found = await drop.lists["articles"].find("unit", [text], ["number"], 10)
        assert [one.key for one in found] == keys


async def test_a_row_that_cannot_be_read_is_named_by_line_and_column_and_keeps_no_other_back(drop: Drop) -> None:
    """Never by its value."""
    drop.write(HEADER, BOX.replace("12.3456", "12,50"), PALLET, BOX.replace("1;", "3;", 1).replace(";1;", ";ja;"))
    with pytest.raises(Unreadable) as unreadable:
        await drop.read("1", "2", "3", columns="name active price")
    told = {key: str(unreadable.value.of(key)) for key in unreadable.value.by_key}
    assert told == {
        "1": "CD-1022 postoffice: articles.csv line 2: 'price' is no decimal.",
        "3": "CD-1022 postoffice: articles.csv line 4: 'active' is no boolean.",
    }
    assert unreadable.value.of("3").answer.field == "active"
    assert list(await drop.read("2", columns="name active price")) == ["2"]
    assert [dict(one.values) for one in await drop.all(columns="name price")] == [
        {"name": "Box"},
        {"name": "Pallet", "price": None},
        {"name": "Box", "price": Decimal("12.3456")},
    ]


# --- compared with the last file ---


async def test_a_rows_version_changes_with_its_fields_and_not_with_the_time_of_the_export(drop: Drop) -> None:
    """And without the key nobody can tell a row by it."""

    async def version() -> str | None:
        return (await drop.lists["articles"].read(["1"], []))["1"].version

    versions: list[str | None] = []
    for row in (BOX, BOX.replace("2026.03.01", "2026.03.09"), BOX.replace("12.3456", "12.3457"), BOX):
        drop.write(HEADER, row, age=len(versions))
        await drop.clock.sleep(3600)
        versions.append(await version())
    assert versions[0] == versions[1] == versions[3] != versions[2]
    other = file_lists(
        Site(), Files(folder=str(drop.folder), lists=LISTS), drop.clock, system="po", key=b"x", reports=None
    )
    assert (await other["articles"].read(["1"], []))["1"].version != versions[0]


async def test_the_same_file_is_told_once_and_a_new_one_as_a_whole(drop: Drop) -> None:
    """A walk goes on where an earlier one has stopped, as long as it is the same file."""

    async def told(since: str | None) -> list[tuple[list[str], str | None]]:
        pages = drop.lists["articles"].changes(since, ())
        return [([one.key for one in page.records], page.watermark) async for page in pages]

    rows = [f'{n};"A{n}";"Box";1;;;' for n in range(1, 1002)]
    drop.write(HEADER, *rows)
    first, second, third = await told(None)
    assert [len(keys) for keys, _ in (first, second, third)] == [500, 500, 1]
    assert await told(second[1]) == [third]
    assert await told(third[1]) == []
    drop.write(HEADER, *rows[:3], age=1800)
    for since in (third[1], second[1]):
        (page,) = await told(since)
        assert page[0] == ["1", "2", "3"]
    with pytest.raises(FeedExpired):
        await told("cursor of the interface")


async def test_a_file_older_than_the_last_one_is_not_used(remembering: Drop) -> None:
    """Not even by another process; the last one put back is the same file."""
    drop = remembering
    drop.write(HEADER, BOX, age=600)
    assert list(await drop.read("1")) == ["1"]
    drop.write(HEADER, PALLET, age=900)
    drop.look()
    assert "is older than the one that was read last" in await drop.refusal()
    drop.write(HEADER, BOX, age=900)
    assert list(await drop.read("1")) == ["1"]


@pytest.mark.parametrize(("before", "after", "fits"), [(40, 19, False), (40, 20, True), (12, 2, True), (12, 1, False)])
async def test_a_file_much_shorter_than_the_last_one_is_not_used(
    remembering: Drop, before: int, after: int, fits: bool
) -> None:
    """Half of the rows at least, but ten may always go; unless the site says how short it may be."""
    drop = remembering
    for count, age in ((before, 900), (after, 600)):
        drop.write(HEADER, *(f'{n};"A{n}";"Box";1;;;' for n in range(1, count + 1)), age=age)
        drop.look()
        if count == before or fits:
            assert list(await drop.read("1")) == ["1"]
    if not fits:
        assert f"has {after} rows, and the one that was read last had {before}" in await drop.refusal()
        drop.files = {"least_share": 0}
        drop.look()
        assert list(await drop.read("1")) == ["1"]


async def test_memory_grows_with_the_number_of_rows_and_not_with_what_they_hold(drop: Drop) -> None:
    """A file of 20 MB is gone through and read within a twentieth of it."""
    drop.write(HEADER, *(f'{n};"A{n}";"{"x" * 2000}";1;;;' for n in range(10_000)))
    tracemalloc.start()
    pages = 0
    async for page in drop.lists["articles"].changes(None, ()):
        pages += len(page.records)
    await drop.read("9999")
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert pages == 10_000
    assert most < 4_000_000
