"""What a begun definition says: its transfers, how partners are found, its lines, and what is left to decide."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from local.definition_start.fitting import How, how
from local.definition_start.likeness import SAME_THING, assigned, likeness, words_of
from local.definition_start.own import key_column, own_column, own_name, prefix_of, told
from shared.sync.correspondence import KEYS
from shared.sync.definition import Index
from shared.sync.own_tables import MADE_IN, OwnColumn, OwnTable
from shared.sync.ports import ColumnMetadata, ColumnType, Side, TableMetadata

EXTERNAL: Final = frozenset({"crmid", "crmkey", "externalid", "externalkey", "externalnumber"})
"""What columns are called in which a system keeps the key that a record has elsewhere."""
_NAMES: Final = ("name", "title", "description", "subject")
_GUID: Final = 36
AS_IT_IS: Final = How()


@dataclass(frozen=True)
class Half:
    """A table of one side. table: None for one that does not exist yet and is to be made."""

    system: str
    name: str
    table: TableMetadata | None

    @property
    def columns(self) -> Mapping[str, ColumnMetadata]:
        """Its columns, by name."""
        return self.table.columns if self.table else {}


@dataclass(frozen=True)
class Line:
    """A field: its column on each side, who is master, and how the value goes over. master: a system, or by link state
    the one while the record is unlinked and the one afterwards."""

    left: ColumnMetadata
    right: ColumnMetadata
    master: str | tuple[str, str]
    how: How = AS_IT_IS
    reference: tuple[str, str] | None = None
    cut: bool = False


@dataclass(frozen=True)
class Started:
    """A begun definition. left and right: system and table; transfers: by name the system that they come from; open:
    sentences on what is left to decide; own: the tables and columns that are to be made for it. extends: the file of
    the definition that there is of both tables; then only the lines are new."""

    left: tuple[str, str]
    right: tuple[str, str]
    transfers: Mapping[str, str]
    external: Line | None
    keys: Sequence[Line]
    lines: Sequence[Line]
    open: Sequence[str] = ()
    own: OwnTable | None = None
    extends: str = ""


def begin(of: Half, other: Half, picked: Sequence[str], source: str, index: Index) -> Started:
    """Begin a definition between two tables.

    of: the table that columns are picked of; other: its partner, which may have to be made. picked: the names of the
    columns, empty for all that have one like them over there. source: the only system that records come from; empty:
    both. index: the definitions that there are.
    """
    return _Begin(of, other, list(picked), source, index).started()


@dataclass
class _Begin:
    of: Half
    other: Half
    picked: list[str]
    source: str
    index: Index
    own: dict[str, OwnColumn] = field(default_factory=dict)
    open: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        pair = (self.other.system, self.of.system)
        self.flipped = any(one.systems == pair[::-1] for one in self.index.definitions)
        """The pair's systems stand in the order of the definitions that there are, as references need it."""
        self.side = Side.LEFT if self.flipped else Side.RIGHT
        """On which the picked table stands."""
        halves = {self.side: self.of, self.side.other: self.other}
        self.present = next(
            (
                one
                for one in self.index.definitions
                if all(one.side_of(half.system, half.name) is side for side, half in halves.items())
            ),
            None,
        )
        """The definition that there is of both tables."""
        if self.present and len({one.source for one in self.present.transfers}) == 1:
            self.source = self.source or halves[self.present.transfers[0].source].system

    def started(self) -> Started:
        halves = [(one.system, one.name) for one in (self.other, self.of)]
        left, right = halves[::-1] if self.flipped else halves
        if self.present:
            lines = list(self._lines(set(self.present.columns(self.side.other))))
            own = self._own_table("", ())
            return Started(left, right, {}, None, (), lines, self.open, own, self.present.file)
        external = self._external()
        keys = list(self._keys())
        used = {self._of_other(line).name for line in [*keys, *([external] if external else [])]}
        lines = list(self._lines(used))
        self.open += self._required([*lines, *keys, *([external] if external else [])])
        name = self._name_column(lines)
        return Started(left, right, self._transfers(), external, keys, lines, self.open, self._own_table(name, keys))

    # --- sides ---

    def _line(self, other: ColumnMetadata, of: ColumnMetadata, master: str | tuple[str, str], **more: object) -> Line:
        left, right = (of, other) if self.flipped else (other, of)
        return Line(left, right, master, **more)  # type: ignore[arg-type] # the fields of a line

    def _of_other(self, line: Line) -> ColumnMetadata:
        return line.right if self.flipped else line.left

    def _of(self, line: Line) -> ColumnMetadata:
        return line.left if self.flipped else line.right

    def _sources(self) -> list[Side]:
        systems = [self.of.system, self.other.system] if self.flipped else [self.other.system, self.of.system]
        return [side for side, system in zip(Side, systems, strict=True) if self.source in ("", system)]

    # --- transfers ---

    def _transfers(self) -> dict[str, str]:
        """Named after what the records are; a name that is taken gets a number."""
        taken = {transfer.name for _, transfer in self.index.transfers()}
        what = _snake(self.of.name)
        found: dict[str, str] = {}
        for source, ending in (
            (self.other.system, f"_to_{self.of.system}"),
            (self.of.system, f"_from_{self.of.system}_to_{self.other.system}"),
        ):
            if self.source in ("", source):
                found[_free(what, ending, taken)] = source
        return found

    # --- how partners are found ---

    def _external(self) -> Line | None:
        """Where the picked table keeps the other's key: so a create that is repeated is recognised."""
        key = self._key_of_other()
        found = [
            column
            for column in self.of.columns.values()
            if column.type is ColumnType.TEXT and column.updatable and (column.max_length or _GUID) >= _GUID
            if "".join(words_of(column.name)) in EXTERNAL
        ]
        if key is None or not found:
            if self.source != self.of.system:
                self.open.append(
                    f"{self.of.system} {self.of.name} has no column for the key that a record has in "
                    f"{self.other.system}, so a create whose answer is lost may be repeated; add one, such as crm_id, "
                    "and match by it."
                )
            return None
        return self._line(key, found[0], self.other.system)

    def _key_of_other(self) -> ColumnMetadata | None:
        """The column by which the partner is known, where it is one that holds our key."""
        if self.other.table is None:
            return ColumnMetadata(f"{self.other.name}id", ColumnType.KEY)
        (name, *more) = self.other.table.key or ("", "")
        column = self.other.columns.get(name)
        return column if column and not more and column.type is ColumnType.KEY else None

    def _keys(self) -> Iterator[Line]:
        """The picked table's own key, in columns of the partner."""
        keys = [
            self.of.columns[name] for name in (self.of.table.key if self.of.table else ()) if name in self.of.columns
        ]
        prefix = prefix_of(self.other.name)
        for column in keys:
            if column.type in KEYS:
                continue
            name = f"{prefix}{self.of.system.replace('_', '')}id" if len(keys) == 1 else own_name(prefix, column.name)
            found = self.other.columns.get(name) or self._unique_of_other(column)
            if found is None and (self.other.table is None or column.name in self.picked):
                label = f"Number in {self.of.system}" if len(keys) == 1 else column.label or told(column.name)
                self.own[name] = key_column(name, label, column)
                found = self.own[name].as_made
            by = how(*((column, found) if self.flipped else (found, column)), self._sources()) if found else None
            if found and by:  # a system gives a number by itself, but no key of several columns
                master = self.of.system if len(keys) == 1 else self._master(found, replace(column, updatable=True))
                yield self._line(found, column, master, how=by)

    def _unique_of_other(self, column: ColumnMetadata) -> ColumnMetadata | None:
        """A text of the partner that is unique by itself and named like the key, or after the system."""
        unique = [
            key.columns[0] for key in (self.other.table.keys if self.other.table else ()) if len(key.columns) == 1
        ]
        known = [one for name in unique if (one := self.other.columns.get(name)) and one.type is ColumnType.TEXT]
        return next((one for one in known if self.of.system in one.name or likeness(one, column) >= 0.9), None)

    # --- lines ---

    def _lines(self, used: Collection[str]) -> Iterator[Line]:
        mine = set(self.of.table.key if self.of.table else ())
        if self.present:
            mine |= set(self.present.columns(self.side))
            self.open += [f"{name}: {self.present.file} uses it already." for name in self.picked if name in mine]
        wanted = [self.of.columns[name] for name in self.picked] or list(self._likely())
        wanted = [one for one in wanted if one.name not in mine and "".join(words_of(one.name)) not in EXTERNAL]
        offered = [one for name, one in self.other.columns.items() if name not in used]
        found = assigned(wanted, offered, lambda one, other: self._way(other, one) is not None)
        for column in wanted:
            partner = found.get(column.name)
            if partner is None and (self.picked or self.other.table is None):
                partner = self._own(column)
            if partner and (way := self._way(partner, column)):
                yield self._spelled(partner, column, way)

    def _likely(self) -> Iterator[ColumnMetadata]:
        """The columns that are looked at where none is picked: not those that hold a reference's key once more, nor for
        a new table what the system keeps for itself."""
        references = [one for one in self.of.columns.values() if one.type is ColumnType.REFERENCE]
        for column in self.of.columns.values():
            doubles = any(likeness(column, one) >= SAME_THING for one in references if one is not column)
            if not doubles and (column.writable or self.other.table):
                yield column

    def _way(self, other: ColumnMetadata, of: ColumnMetadata) -> How | tuple[str, str] | None:
        """How values go over, or the pair whose links translate a reference; none where nothing could be written."""
        targets = [
            target for target, source in ((of, self.other), (other, self.of)) if self.source in ("", source.system)
        ]
        if not any(target.writable for target in targets):
            return None
        if of.type is ColumnType.REFERENCE:
            return next(
                (one for one in self._pairs_of(of.target) if other.type is of.type and other.target == one[0]), None
            )
        return how(*((of, other) if self.flipped else (other, of)), self._sources())

    def _pairs_of(self, target: str) -> list[tuple[str, str]]:
        """The tables that are paired with one that is referred to: the partner's, and itself."""
        found = []
        for one in self.index.linking:
            sides = {one.left.system: one.left.table, one.right.system: one.right.table}
            if sides.get(self.of.system) == target and self.other.system in sides:
                found.append((sides[self.other.system], target))
        return list(dict.fromkeys(found))

    def _own(self, column: ColumnMetadata) -> ColumnMetadata | None:
        """A column of our own for one that has no partner; none where the partner is no table of Dataverse."""
        if self.other.system != MADE_IN:
            self.open.append(f"{column.name}: no column of {self.other.system} {self.other.name} is like it; name one.")
            return None
        pairs = self._pairs_of(column.target) if column.type is ColumnType.REFERENCE else []
        if column.type in KEYS and not pairs:
            self.open.append(
                f"{column.name} refers to {column.target or 'another table'}, which no definition pairs; begin there."
            )
            return None
        name = own_name(prefix_of(self.other.name), column.name)
        self.own[name] = own_column(name, column, pairs[0][0] if pairs else "")
        return self.own[name].as_made

    def _spelled(self, other: ColumnMetadata, of: ColumnMetadata, way: How | tuple[str, str]) -> Line:
        master = self._master(other, of)
        if isinstance(way, tuple):
            pair = way[::-1] if self.flipped else way
            return self._line(other, of, master, reference=pair)
        if way.open:
            self.open.append(f"{of.name}: these values lead nowhere yet: {', '.join(way.open)}.")
        cut = other.max_length != of.max_length and {other.type, of.type} == {ColumnType.TEXT}
        return self._line(other, of, master, how=way, cut=cut)

    def _master(self, other: ColumnMetadata, of: ColumnMetadata) -> str | tuple[str, str]:
        """What cannot be written is mastered where it stands; else whoever makes a record fills it, and afterwards the
        picked table's system is master."""
        if self.source:
            return self.source
        if not of.updatable:
            return self.of.system
        return (self.other.system, self.of.system) if other.updatable else self.other.system

    def _required(self, lines: Sequence[Line]) -> Iterator[str]:
        """Columns without which a create is refused, and that no line fills."""
        for half, column_of in ((self.of, self._of), (self.other, self._of_other)):
            filled = {column_of(line).name.partition(".")[0] for line in lines}
            missing = [one.name for one in half.columns.values() if one.required and one.name not in filled]
            if missing and self.source != half.system:
                yield (
                    f"{half.system} {half.name} requires {', '.join(missing)} at a create and no line fills it: add a "
                    "line, or create_with: in the transfer."
                )

    # --- what is to be made ---

    def _name_column(self, lines: Sequence[Line]) -> str:
        """Of our columns the one that people will know a record by."""
        texts = [
            name for line in lines if (name := self._of_other(line).name) in self.own and self.own[name].type == "text"
        ]
        ranked = sorted(texts, key=lambda name: next((n for n, word in enumerate(_NAMES) if word in name), len(_NAMES)))
        return ranked[0] if ranked else ""

    def _own_table(self, name: str, keys: Sequence[Line]) -> OwnTable | None:
        if not self.own and self.other.table is not None:
            return None
        columns = dict(self.own)
        unique = tuple(one for line in keys if (one := self._of_other(line).name) in columns)
        facts: dict[str, object] = {}
        if self.other.table is None:
            named = columns.pop(name, None) or OwnColumn(name=f"{prefix_of(self.other.name)}name", label="Name")
            label = told(self.other.name.removeprefix(prefix_of(self.other.name)))
            facts = {"label": label, "plural": f"{label}s", "name": named}
        return OwnTable.model_validate(
            {
                "file": "",
                "system": self.other.system,
                "table": self.other.name,
                "columns": tuple(columns.values()),
                "keys": (unique,) if unique else (),
                "needed_for": (self.of.system,),
                **facts,
            }
        )


def _snake(table: str) -> str:
    """A table's name as the beginning of a transfer's."""
    words = words_of(table.rpartition(".")[2].removesuffix("Set"))
    name = re.sub("[^a-z0-9_]", "", "_".join(words))
    return name if re.match("[a-z]", name) else f"table_{name}"


def _free(what: str, ending: str, taken: Collection[str]) -> str:
    """A name of at most 63 characters that no transfer has."""
    numbers = ("", *(f"_{number}" for number in range(2, 100)))
    return next(
        name for number in numbers if (name := f"{what[: 63 - len(ending) - len(number)]}{number}{ending}") not in taken
    )
