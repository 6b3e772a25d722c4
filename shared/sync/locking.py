"""Which fields of which table must not be edited by people, because the other system is their master. Pure.

Read from the definitions alone, so that forms, column security and the journal's "put back" never disagree.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from shared.sync.definition import Definition, FieldRule, Master
from shared.sync.joined import parts_of
from shared.sync.ports import Side


@dataclass(frozen=True, slots=True)
class Lock:
    """One column of one table. linked, unlinked: whether it is locked in that state; master: who owns it then."""

    system: str
    table: str
    column: str
    linked: bool
    unlinked: bool
    master: str
    rule: str


@dataclass(frozen=True, slots=True)
class TableLocks:
    """All locks of a table. sign: the column that is filled exactly when the record is linked; None without one."""

    system: str
    table: str
    sign: str | None
    locks: Sequence[Lock]

    def columns(self, *, linked: bool) -> list[str]:
        """The columns that are locked in one state, in the definition's order."""
        return [lock.column for lock in self.locks if (lock.linked if linked else lock.unlinked)]


def locks_of(definitions: Iterable[Definition], system: str) -> list[TableLocks]:
    """The locks of every table of one system. A table of several pairs is locked where any of them says so."""
    found: dict[str, TableLocks] = {}
    for definition in definitions:
        for side in Side:
            if definition.table(side).system == system:
                locks = _of_side(definition, side)
                known = found.get(locks.table)
                found[locks.table] = _merged(known, locks) if known else locks
    return list(found.values())


def _of_side(definition: Definition, side: Side) -> TableLocks:
    table = definition.table(side)
    locks: dict[str, Lock] = {}
    for rule in definition.fields:
        for column in parts_of(rule.column(side)):
            lock = _lock(definition, rule, side, column)
            if lock.linked or lock.unlinked:
                known = locks.get(lock.column)
                locks[lock.column] = _either(known, lock) if known else lock
    return TableLocks(table.system, table.table, _sign(definition, side), tuple(locks.values()))


def _lock(definition: Definition, rule: FieldRule, side: Side, column: str) -> Lock:
    """A dotted column is locked by the reference that it goes through."""
    other = Master(side.other.value)
    table = definition.table(side)
    return Lock(
        system=table.system,
        table=table.table,
        column=column.partition(".")[0],
        linked=rule.master_linked is other,
        unlinked=rule.master_unlinked is other,
        master=definition.table(side.other).system,
        rule=f"{definition.file}:{rule.line}",
    )


def _sign(definition: Definition, side: Side) -> str | None:
    """A column that is written back when a link is made and that only the other system fills tells of the link."""
    for transfer in definition.transfers:
        if transfer.source is side and transfer.write_back:
            return transfer.write_back[0].partition(".")[0]
    return None


def _either(one: Lock, other: Lock) -> Lock:
    return Lock(
        one.system,
        one.table,
        one.column,
        one.linked or other.linked,
        one.unlinked or other.unlinked,
        one.master,
        one.rule,
    )


def _merged(one: TableLocks, other: TableLocks) -> TableLocks:
    locks = {lock.column: lock for lock in one.locks}
    for lock in other.locks:
        locks[lock.column] = _either(locks[lock.column], lock) if lock.column in locks else lock
    return TableLocks(one.system, one.table, one.sign or other.sign, tuple(locks.values()))
