"""Holds a definition against what the systems told of its tables: pure, so that the command line and the nightly look
find the same."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from shared.sync.checking_confirming import confirming_findings
from shared.sync.checking_own import own_findings
from shared.sync.closest import asking
from shared.sync.correspondence import KEYS, can_correspond
from shared.sync.definition import (
    Condition,
    Definition,
    FieldRule,
    IfMissing,
    IfUnlinked,
    Index,
    Master,
    OnCreate,
    OnDelete,
    Transfer,
)
from shared.sync.findings import FINDINGS, Finding, Severity
from shared.sync.lengths import length_findings
from shared.sync.own_tables import OwnTable, declared
from shared.sync.ports import ColumnMetadata, ColumnType, Reach, Right, Side, TableMetadata
from shared.sync.surveying import Place, Survey

_NEEDED_WORDS: Mapping[Right, str] = {
    Right.READ: "read",
    Right.CREATE: "create",
    Right.UPDATE: "change",
    Right.REFER: "let refer to others",
    Right.BE_REFERRED: "refer to",
}


FIRST_LINE = 1
"""Of what concerns the whole file."""


def check(index: Index, survey: Survey) -> list[Finding]:
    """Everything that is found in the definitions of an index and in what it declares as ours, in the order of their
    lines."""
    own = {(system, name): table for system in index.systems for name, table in declared(index.tables, system).items()}
    found = [finding for one in index.definitions for finding in _Check(one, survey, own).findings()]
    found += own_findings(index.tables, survey)
    found += confirming_findings(index.confirming, survey, own) if index.confirming else ()
    return sorted(dict.fromkeys(found), key=lambda one: (one.file, one.line, one.code, one.column))


def travels(definition: Definition, rule: FieldRule, source: Side) -> bool:
    """Whether a transfer of the definition ever carries the field from that side."""
    if not any(transfer.source is source for transfer in definition.transfers):
        return False
    return rule.travels_from(source)


def updates(definition: Definition, rule: FieldRule, source: Side) -> bool:
    """Whether a transfer of the definition writes the field into a linked partner."""
    written = any(one.source is source for one in definition.transfers)
    return written and (rule.master_linked is Master.BOTH or rule.master_linked.is_side(source))


def wanted_keys(definition: Definition, survey: Survey) -> Iterator[tuple[Side, str, int]]:
    """Columns that hold the other system's unique number and so have to be unique themselves: side, column, line.

    Only where we choose the records' keys ourselves: such a system has no number of its own.
    """
    for rule in definition.fields:
        for side in Side:
            own, other = (survey.capabilities.get(_place(definition, one)) for one in (side, side.other))
            if own and other and own.chooses_key and rule.column(side.other) in other.enforced_columns:
                yield side, rule.column(side), rule.line


def line_of(definition: Definition, side: Side, name: str) -> int:
    """The first line of a definition that names a column."""
    lines = [rule.line for rule in definition.fields if rule.column(side) == name]
    lines += [rule.line for rule in definition.match if name in rule.columns(side)]
    lines += [one.line for one in definition.transfers if one.source is side and name in one.own_columns]
    given = [
        (one, {*one.create_with, *one.set_on_delete, *one.on_unlink})
        for one in definition.transfers
        if one.target is side
    ]
    lines += [one.line for one, names in given if name in names]
    chosen = [one for one in definition.transfers if one.target is side and one.choose_key]
    lines += [one.line for one in chosen if one.choose_key and one.choose_key.column == name]
    return lines[0] if lines else FIRST_LINE


def _place(definition: Definition, side: Side) -> Place:
    return definition.table(side).system, definition.table(side).table


@dataclass(frozen=True)
class _Check:
    """One definition. own: the tables that are declared as ours; what of them is not there yet is told where they
    are."""

    definition: Definition
    survey: Survey
    own: Mapping[Place, OwnTable]

    def findings(self) -> Iterator[Finding]:
        for side in Side:
            if self._table(side) is None:
                yield from self._unknown_table(_place(self.definition, side), FIRST_LINE)
                return
        for side in Side:
            yield from self._columns(side)
            yield from self._rights(side)
        for rule in self.definition.fields:
            yield from self._rule(rule)
        yield from self._lengths()
        for transfer in self.definition.transfers:
            yield from self._transfer(transfer)
        yield from self._keys()
        if self.definition.is_derived:
            yield from self._days()

    def _table(self, side: Side) -> TableMetadata | None:
        return self.survey.tables.get(_place(self.definition, side))

    def _column(self, side: Side, name: str) -> ColumnMetadata | None:
        return self.survey.column(_place(self.definition, side), name)

    def _near(self, side: Side, name: str) -> ColumnMetadata | None:
        """The own column that a name stands for."""
        place = _place(self.definition, side)
        return self.survey.column(place, self.survey.near(place, name))

    def _named(self, side: Side, column: str = "") -> str:
        table = self.definition.table(side)
        return f"{table.system} {table.table}.{column}" if column else f"{table.system} {table.table}"

    def _found(self, code: str, severity: Severity, line: int, sentence: str, column: str = "") -> Finding:
        return Finding(code, severity, self.definition.file, line, sentence, FINDINGS[code].remedy, column)

    # --- tables and columns ---

    def _unknown_table(self, place: Place, line: int) -> Iterator[Finding]:
        if place not in self.own:
            offered = [(one.name, one.label) for one in self.survey.offered.get(place, ())]
            sentence = asking(f"{place[0]} has no table '{place[1]}'", place[1], offered)
            yield self._found("CD-4601", Severity.WRONG, line, sentence)

    def _columns(self, side: Side) -> Iterator[Finding]:
        for name in self.definition.columns(side):
            if self._column(side, name) is None:
                severity = Severity.NOTE if self._may_be_missing(side, name) else Severity.WRONG
                yield from self._unknown_column(
                    _place(self.definition, side), name, line_of(self.definition, side, name), severity
                )

    def _unknown_column(self, place: Place, name: str, line: int, severity: Severity) -> Iterator[Finding]:
        table = self.survey.tables.get(place)
        if place in self.own and self.own[place].column(self.survey.near(place, name)) is not None:
            return
        offered = [(one.name, one.label) for one in table.columns.values()] if table else ()
        left = " The line is left out." if severity is Severity.NOTE else ""
        sentence = asking(f"{place[0]} {place[1]} has no column '{name}'", name, offered) + left
        yield self._found("CD-4602", severity, line, sentence, f"{place[0]} {place[1]}.{name}")

    def _may_be_missing(self, side: Side, name: str) -> bool:
        lines = [rule.if_missing for rule in self.definition.fields if rule.column(side) == name]
        lines += [rule.if_missing for rule in self.definition.match if name in rule.columns(side)]
        return bool(lines) and all(one is IfMissing.LEAVE_OUT for one in lines)

    # --- a field rule ---

    def _rule(self, rule: FieldRule) -> Iterator[Finding]:
        for source in Side:
            column = self._column(source, rule.column(source))
            target = self._column(source.other, rule.column(source.other))
            if column and target and travels(self.definition, rule, source):
                yield from self._written(rule, source, column, target)

    def _written(
        self, rule: FieldRule, source: Side, column: ColumnMetadata, target: ColumnMetadata
    ) -> Iterator[Finding]:
        """One direction of a rule."""
        yield from self._writable(rule, source)
        yield from self._secured(rule, source)
        unfit = self._types(rule, source, column, target)
        if unfit:
            yield unfit
        yield from self._choices(rule, source, column, target)

    def _writable(self, rule: FieldRule, source: Side) -> Iterator[Finding]:
        name = rule.column(source.other)
        near = self._near(source.other, name)
        assert near is not None, "its column was found"
        told = self._named(source.other, name)
        if not near.writable:
            sentence = f"{told} is read-only, but {self.definition.table(source).system} is master of the field."
            yield self._found("CD-4608", Severity.WRONG, rule.line, sentence, told)
        elif not near.updatable and updates(self.definition, rule, source) and not self._is_immutable(source.other):
            sentence = f"{told} can be written at a create only; later changes would be refused."
            yield self._found("CD-4609", Severity.WARNING, rule.line, sentence, told)

    def _is_immutable(self, side: Side) -> bool:
        """Whether the engine knows that records of this side never change."""
        capabilities = self.survey.capabilities.get(_place(self.definition, side))
        return capabilities is not None and capabilities.immutable

    def _secured(self, rule: FieldRule, source: Side) -> Iterator[Finding]:
        needed = {source: {Right.READ}, source.other: {Right.READ, Right.CREATE}}
        if updates(self.definition, rule, source):
            needed[source.other].add(Right.UPDATE)
        for side, rights in needed.items():
            near = self._near(side, rule.column(side))
            denied = sorted(_NEEDED_WORDS[right] for right in rights & (near.denied if near else set()))
            if denied:
                told = self._named(side, rule.column(side))
                sentence = f"Column security does not let our identity {' or '.join(denied)} {told}."
                yield self._found("CD-4612", Severity.WRONG, rule.line, sentence, told)

    def _types(self, rule: FieldRule, source: Side, column: ColumnMetadata, target: ColumnMetadata) -> Finding | None:
        if rule.reference:
            return self._reference(rule, source, column)
        if {column.type, target.type} & KEYS and not _keeps_keys(column, target):
            both = " and ".join(self._named(side, rule.column(side)) for side in Side)
            sentence = f"{both}: a key of one system means nothing in the other."
            return self._found("CD-4604", Severity.WRONG, rule.line, sentence, rule.left)
        if column.type is ColumnType.CHOICE and not column.choices:
            return None
        if can_correspond(rule, source, column, target):
            return None
        told = f"{self._named(source, rule.column(source))} ({column.type.value})"
        into = f"{self._named(source.other, rule.column(source.other))} ({target.type.value})"
        sentence = f"{told} cannot go into {into} by '{rule.convert}'."
        return self._found("CD-4603", Severity.WRONG, rule.line, sentence, rule.column(source))

    def _reference(self, rule: FieldRule, source: Side, column: ColumnMetadata) -> Finding | None:
        named = rule.reference.table(source) if rule.reference else ""
        if not column.target or column.target == named:
            return None
        sentence = f"{self._named(source, rule.column(source))} points to {column.target}, not to {named}."
        return self._found("CD-4604", Severity.WRONG, rule.line, sentence, rule.column(source))

    def _lengths(self) -> Iterator[Finding]:
        left, right = self._table(Side.LEFT), self._table(Side.RIGHT)
        assert left is not None, "its table was found"
        assert right is not None, "its table was found"
        for one in length_findings(self.definition, left, right):
            sentence = f"{one.text.partition(';')[0]}; too_long: is not said."
            yield self._found("CD-4605", Severity.WARNING, one.line, sentence)

    def _choices(
        self, rule: FieldRule, source: Side, column: ColumnMetadata, target: ColumnMetadata
    ) -> Iterator[Finding]:
        table = rule.values if rule.convert == "values" else {}
        named = {Side.LEFT: set(table), Side.RIGHT: set(table.values())}
        for side, one in ((source, column), (source.other, target)):
            unknown = sorted(named[side] - set(_allowed(one))) if _allowed(one) else []
            for value in unknown:
                sentence = f"{self._named(side, rule.column(side))} has no choice '{value}'."
                yield self._found("CD-4606", Severity.WRONG, rule.line, sentence, f"{rule.column(side)}={value}")
        default, allowed = rule.default.of(source.other), _allowed(target)
        if default is not None and allowed and default not in allowed:
            told = self._named(source.other, rule.column(source.other))
            sentence = f"default: {told} has no choice '{default}'."
            yield self._found("CD-4606", Severity.WRONG, rule.line, sentence, f"{told}={default}")
        yield from self._unmapped(rule, source, column, target, named[source])

    def _unmapped(
        self, rule: FieldRule, source: Side, column: ColumnMetadata, target: ColumnMetadata, named: set[str]
    ) -> Iterator[Finding]:
        """Choices of the source that lead nowhere."""
        if column.type is not ColumnType.CHOICE or rule.reference:
            return
        led = named if rule.convert == "values" else set(target.choices) if target.type is ColumnType.CHOICE else None
        for value, label in column.choices.items():
            if led is not None and value not in led:
                told = f"'{value}'" if label in ("", value) else f"'{value}' ({label})"
                sentence = f"The choice {told} of {self._named(source, rule.column(source))} leads nowhere."
                yield self._found("CD-4607", Severity.WARNING, rule.line, sentence, f"{rule.column(source)}={value}")

    # --- a transfer ---

    def _transfer(self, transfer: Transfer) -> Iterator[Finding]:
        yield from self._conditions(transfer)
        yield from self._also_on(transfer)
        yield from self._hearing(transfer)
        yield from self._written_back(transfer)
        yield from self._given(transfer)
        yield from self._deleting(transfer)
        if transfer.choose_key:
            told = self._named(transfer.target, transfer.choose_key.column)
            sentence = f"{transfer.name} chooses {told}; whether its number series allows that cannot be read."
            yield self._found("CD-4615", Severity.NOTE, transfer.line, sentence, told)
        if transfer.if_unlinked is IfUnlinked.MATCH_OR_CREATE:
            yield from self._required(transfer)

    def _conditions(self, transfer: Transfer) -> Iterator[Finding]:
        system = self.definition.table(transfer.source).system
        for key, condition in _each_condition(transfer):
            related = condition.related
            place = (system, related.table) if related else _place(self.definition, transfer.source)
            if related:
                yield from self._related(place, [related.by, *condition.columns], transfer.line)
            for name, values in condition.columns.items():
                column = self.survey.column(place, name)
                allowed = _allowed(column) if column else ()
                for value in [one for one in values if allowed and one not in ("", *allowed)]:
                    sentence = f"{key}: {place[0]} {place[1]}.{name} has no choice '{value}'."
                    yield self._found("CD-4606", Severity.WRONG, transfer.line, sentence, f"{name}={value}")

    def _related(self, place: Place, names: Iterable[str], line: int) -> Iterator[Finding]:
        """A table beside the pair, and its columns."""
        if self.survey.tables.get(place) is None:
            yield from self._unknown_table(place, line)
            return
        for name in names:
            if self.survey.column(place, name) is None:
                yield from self._unknown_column(place, name, line, Severity.WRONG)

    def _also_on(self, transfer: Transfer) -> Iterator[Finding]:
        system = self.definition.table(transfer.source).system
        for table, column in transfer.also_on.items():
            yield from self._related((system, table), [column], transfer.line)
            found = self.survey.tables.get((system, table))
            if found is not None and found.announced is False:
                sentence = f"{system} does not tell of changes of {table}; those of also_on: would never be heard."
                yield self._found("CD-4614", Severity.WRONG, transfer.line, sentence, f"{system} {table}")

    def _hearing(self, transfer: Transfer) -> Iterator[Finding]:
        """Whether the transfer ever hears of a change; the days of a window are read whether or not."""
        if self.definition.is_derived:
            return
        table = self._table(transfer.source)
        assert table is not None, "its table was found"
        told = self._named(transfer.source)
        if transfer.walk_seconds is not None and table.tracked is False:
            sentence = f"Change tracking is off for {told}, so it cannot be walked."
            yield self._found("CD-4611", Severity.WRONG, transfer.line, sentence, told)
        if table.announced is False:
            severity = Severity.WRONG if transfer.walk_seconds is None else Severity.NOTE
            how = "nothing tells of its changes" if severity is Severity.WRONG else "only the walk finds its changes"
            yield self._found("CD-4614", severity, transfer.line, f"{told} takes no webhook: {how}.", told)

    def _written_back(self, transfer: Transfer) -> Iterator[Finding]:
        for name in transfer.write_back:
            column = self._near(transfer.source, name)
            if column is not None and not column.updatable:
                told = self._named(transfer.source, name)
                sentence = f"write_back: {told} is read-only."
                yield self._found("CD-4608", Severity.WRONG, transfer.line, sentence, told)

    def _given(self, transfer: Transfer) -> Iterator[Finding]:
        """Values of the definition's own that a record of the target gets."""
        for key, values in (
            ("create_with", transfer.create_with),
            ("on_delete: set", transfer.set_on_delete),
            ("on_unlink", transfer.on_unlink),
        ):
            for name, value in values.items():
                column = self._column(transfer.target, name)
                if column is not None:
                    writable = column.writable if key == "create_with" else column.updatable
                    yield from self._fits(transfer, key, column, value, writable=writable)

    def _deleting(self, transfer: Transfer) -> Iterator[Finding]:
        capabilities = self.survey.capabilities.get(_place(self.definition, transfer.target))
        if transfer.on_delete is OnDelete.DELETE and capabilities and not capabilities.deletes:
            told = self._named(transfer.target)
            yield self._found("CD-4619", Severity.WRONG, transfer.line, f"Records of {told} cannot be deleted.", told)

    def _fits(
        self, transfer: Transfer, key: str, column: ColumnMetadata, value: str, *, writable: bool
    ) -> Iterator[Finding]:
        told = self._named(transfer.target, column.name)
        if not writable:
            yield self._found("CD-4608", Severity.WRONG, transfer.line, f"{key}: {told} is read-only.", told)
        if (allowed := _allowed(column)) and value not in allowed:
            sentence = f"{key}: {told} has no choice '{value}'."
            yield self._found("CD-4606", Severity.WRONG, transfer.line, sentence, f"{told}={value}")

    def _required(self, transfer: Transfer) -> Iterator[Finding]:
        table = self._table(transfer.target)
        assert table is not None, "its table was found"
        rules = [one for one in self.definition.fields if travels(self.definition, one, transfer.source)]
        sent = [one for one in rules if one.on_create not in (OnCreate.LEAVE, OnCreate.AFTER)]
        filled = {one.column(transfer.target).partition(".")[0] for one in sent}
        filled |= set(transfer.create_with)
        filled |= {own for name in filled if name in table.columns for own in table.columns[name].over}
        for column in table.columns.values():
            if column.required and column.name not in filled:
                told = self._named(transfer.target, column.name)
                sentence = f"{told} is required at a create, and no line fills it."
                yield self._found("CD-4616", Severity.WARNING, transfer.line, sentence, told)

    # --- rights and keys ---

    def _rights(self, side: Side) -> Iterator[Finding]:
        for place, right, line in self._needed(side):
            table = self.survey.tables.get(place)
            reach = table.rights.get(right) if table and table.rights is not None else None
            if reach in (Reach.NONE, Reach.SOME):
                severity = Severity.WRONG if reach is Reach.NONE else Severity.WARNING
                told = f"{place[0]} {place[1]}"
                sentence = f"Our identity may not {_NEEDED_WORDS[right]} {told}."
                if reach is Reach.SOME:
                    sentence = (
                        f"Our identity may {_NEEDED_WORDS[right]} some records of {told} only, or has the right "
                        "through a team, which is told in the same way."
                    )
                yield self._found("CD-4613", severity, line, sentence, f"{told} {right.value}")

    def _needed(self, side: Side) -> Iterator[tuple[Place, Right, int]]:
        """What the definition needs to be allowed on one side."""
        place, line = _place(self.definition, side), FIRST_LINE
        yield place, Right.READ, line
        written = [rule for rule in self.definition.fields if travels(self.definition, rule, side.other)]
        back = [one for one in self.definition.transfers if one.source is side and one.write_back]
        creates = [one for one in self.definition.transfers if one.target is side]
        if any(one.if_unlinked is IfUnlinked.MATCH_OR_CREATE for one in creates):
            yield place, Right.CREATE, line
        if any(updates(self.definition, rule, side.other) for rule in written) or back:
            yield place, Right.UPDATE, line
        for rule in written:
            near = self._near(side, rule.column(side))
            if near is not None and near.type is ColumnType.REFERENCE:
                yield place, Right.REFER, rule.line
                if near.target:
                    yield (place[0], near.target), Right.BE_REFERRED, rule.line

    def _keys(self) -> Iterator[Finding]:
        for side, name, line in wanted_keys(self.definition, self.survey):
            table, told = self._table(side), self._named(side, name)
            assert table is not None, "its table was found"
            keys = [key for key in table.keys if key.columns == (name,)]
            if self._column(side, name) is None or any(key.usable for key in keys):
                continue
            sentence = f"{told} holds the other system's number and has no alternate key."
            if keys:
                sentence = f"The alternate key {keys[0].name} over {told} is not usable: its index is not built."
            yield self._found("CD-4610", Severity.WARNING, line, sentence, told)

    def _days(self) -> Iterator[Finding]:
        """Whether the rows of a day can be asked for on both sides, and keys and deletes be ours on the target's."""
        (transfer,) = self.definition.transfers
        for rule in self.definition.fields:
            column = self._column(transfer.target, rule.column(transfer.target))
            if rule.column(transfer.source) == self.definition.day and column and column.type is not ColumnType.DATE:
                told = self._named(transfer.target, column.name)
                yield self._found("CD-4618", Severity.WRONG, rule.line, f"{told} holds no days without time.", told)
        for side in Side:
            offers = self.survey.capabilities.get(_place(self.definition, side))
            derives = offers is not None and (side is transfer.source or (offers.chooses_key and offers.deletes_many))
            if offers is not None and not (offers.days and derives):
                told = self._named(side)
                yield self._found(
                    "CD-4618", Severity.WRONG, transfer.line, f"{told} is no table for derived rows.", told
                )


def _each_condition(transfer: Transfer) -> Iterator[tuple[str, Condition]]:
    """The conditions of a transfer, each with the key that it stands under."""
    yield from (("only_if", one) for one in transfer.only_if)
    if transfer.gone_if is not None:
        yield "gone_if", transfer.gone_if


def _keeps_keys(column: ColumnMetadata, target: ColumnMetadata) -> bool:
    """Whether the target's column keeps the other system's key: it can be written, and refers to nothing."""
    return column.type is ColumnType.KEY and target.type in (ColumnType.KEY, ColumnType.TEXT) and target.updatable


def _allowed(column: ColumnMetadata) -> Sequence[str]:
    """The values that a column takes, where there is a list of them."""
    if column.type is ColumnType.BOOLEAN:
        return ("true", "false")
    return list(column.choices) if column.type is ColumnType.CHOICE else ()
