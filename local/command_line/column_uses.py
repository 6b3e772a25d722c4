"""Which definitions use the columns of a table, and how."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from shared.sync.checking import line_of, travels
from shared.sync.definition import Definition, FieldRule, Index, Master
from shared.sync.joined import parts_of
from shared.sync.ports import Side


@dataclass(frozen=True, slots=True)
class Use:
    """A line of a definition. partner: the other side's column, empty for a condition; way: where values go; master:
    one system, or by link state."""

    file: str
    line: int
    partner: str = ""
    way: str = ""
    master: str = ""

    def __str__(self) -> str:
        told = f"{self.file}:{self.line}"
        return f"{told} {self.way} {self.partner}, master {self.master}" if self.partner else told


def uses_of(index: Index, system: str, table: str) -> dict[str, list[Use]]:
    """By column every line that names it, in the order of the files."""
    found: dict[str, list[Use]] = {}
    for definition in index.definitions:
        side = definition.side_of(system, table)
        for name, use in _uses(definition, side) if side else ():
            found.setdefault(name, []).append(use)
    return found


def _uses(definition: Definition, side: Side) -> Iterator[tuple[str, Use]]:
    """The field lines; then whatever else names a column that has none."""
    told = set()
    for rule in definition.fields:
        for name in parts_of(rule.column(side)):
            told.add(name)
            yield name, _of_rule(definition, rule, side)
    for name in definition.columns(side):
        if name not in told and name not in {rule.column(side) for rule in definition.fields}:
            yield name, Use(definition.file, line_of(definition, side, name))


def _of_rule(definition: Definition, rule: FieldRule, side: Side) -> Use:
    other = definition.table(side.other)
    ways = [travels(definition, rule, one) for one in (side, side.other)]
    back = any(rule.column(one.source) in one.write_back for one in definition.transfers)
    way = {(True, True): "both ways with", (True, False): "goes to", (False, True): "comes from"}.get(
        (ways[0], ways[1]), "is written back with" if back else "stands beside"
    )
    partner = f"{other.system} {other.table}.{rule.column(side.other)}"
    return Use(definition.file, rule.line, partner, way, _master(definition, rule))


def _master(definition: Definition, rule: FieldRule) -> str:
    masters = [_named(definition, one) for one in (rule.master_unlinked, rule.master_linked)]
    return masters[0] if masters[0] == masters[1] else f"{masters[0]}, once linked {masters[1]}"


def _named(definition: Definition, master: Master) -> str:
    side = next((one for one in Side if master.is_side(one)), None)
    return definition.table(side).system if side else master.value
