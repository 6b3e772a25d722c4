"""Prepares a transfer once per process: its columns held against both systems' metadata, its references resolved."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet

from shared.errors import UnknownColumn
from shared.sync.checking import FIRST_LINE, line_of
from shared.sync.closest import asking, tables_like
from shared.sync.context import Ports, Prepared, pair_name, table_name
from shared.sync.definition import Definition, IfMissing, Index, Transfer
from shared.sync.joined import Joining, knowing_joined
from shared.sync.one_profile import Belong, OneProfile
from shared.sync.ports import ColumnMetadata, Connector, Side
from shared.sync.references import Referring


async def prepared_for(
    ports: Ports, index: Index, definition: Definition, transfer: Transfer, belong: Belong
) -> Prepared:
    """Read both tables' metadata and prepare a transfer. Raises UnknownColumn naming file and line.

    belong: asked before every write whether the two databases still belong together.

    Rules with `if_missing: leave_out` whose column a system does not have are left out and named in `left_out`.
    """
    lengths: dict[Side, dict[str, int | None]] = {}
    left_out: list[str] = []
    for side in Side:
        table = definition.table(side)
        known = await _known(ports, definition, side)
        missing = {one for one in definition.columns(side) if one not in known and one.partition(".")[0] not in known}
        missing |= _without_pair(index, definition, side)
        for column in sorted(missing & _needed(definition, side)):
            raise UnknownColumn(table.system, detail=where(definition, side, column, known))
        left_out += [f"{table.system} {table.table}.{column}" for column in sorted(missing)]
        definition = definition.without(side, missing)
        lengths[side] = {name: column.max_length for name, column in known.items()}
    transfer = next(one for one in definition.transfers if one.name == transfer.name)
    target = definition.table(transfer.target)
    connectors = {side: _translating(ports, index, definition, side, belong) for side in Side}
    return Prepared(
        definition=definition,
        transfer=transfer,
        pair=pair_name(definition, ports.connectors),
        source=connectors[transfer.source],
        target=connectors[transfer.target],
        source_columns=definition.columns(transfer.source),
        target_columns=definition.columns(transfer.target),
        lengths=lengths[transfer.target],
        capabilities=ports.connectors[target.system].capabilities(target.table),
        left_out=tuple(left_out),
        shared=table_name(target, ports.connectors) if index.creates_elsewhere(definition, target) else "",
    )


async def _known(ports: Ports, definition: Definition, side: Side) -> Mapping[str, ColumnMetadata]:
    """The columns of one side; raises UnknownColumn naming the file, and the tables that may be meant."""
    table = definition.table(side)
    connector = ports.connectors[table.system]
    try:
        return knowing_joined(await connector.metadata(table.table)).columns
    except UnknownColumn:
        offered = [(one.name, one.label) for one in await tables_like(connector, table.table)]
        told = f"{definition.file}:{FIRST_LINE}: {table.system} has no table '{table.table}'"
        raise UnknownColumn(table.system, detail=asking(told, table.table, offered)) from None


def _without_pair(index: Index, definition: Definition, side: Side) -> AbstractSet[str]:
    """Reference columns whose pair has no definition that could be loaded: their keys cannot be translated."""
    answered = {rule.id for pair in index.definitions for rule in definition.refers_to(pair)}
    return {rule.column(side) for rule in definition.fields if rule.reference and rule.id not in answered}


def _needed(definition: Definition, side: Side) -> AbstractSet[str]:
    """Columns of one side without which the transfer is refused."""
    optional = {rule.column(side) for rule in definition.fields if rule.if_missing is IfMissing.LEAVE_OUT}
    for rule in definition.match:
        optional |= set(rule.columns(side)) if rule.if_missing is IfMissing.LEAVE_OUT else set()
    plain = {rule.column(side) for rule in definition.fields if rule.if_missing is IfMissing.REFUSE}
    for match in definition.match:
        plain |= set(match.columns(side)) if match.if_missing is IfMissing.REFUSE else set()
    return set(definition.columns(side)) - (optional - plain)


def _translating(ports: Ports, index: Index, definition: Definition, side: Side, belong: Belong) -> Connector:
    """The connector of one side; before it translators for joined columns and, where there are any, references.

    References of derived rows are translated for a whole page at once; see `slicing`.
    """
    connector = Joining(OneProfile(ports.connectors[definition.table(side).system], belong))
    columns = reference_pairs(ports, index, definition, side)
    if definition.is_derived or not columns:
        return connector
    rule = definition.editor_rule(side)
    editors = frozenset({rule.column(side)} if rule else ())
    return Referring(connector, side, ports.stores.links, columns, editors)


def reference_pairs(ports: Ports, index: Index, definition: Definition, side: Side) -> Mapping[str, str]:
    """The columns of one side that hold other records' keys, each with the pair whose links translate them."""
    return {
        rule.column(side): pair_name(pair, ports.connectors)
        for pair in index.definitions
        for rule in definition.refers_to(pair)
    }


def where(definition: Definition, side: Side, column: str, known: Mapping[str, ColumnMetadata]) -> str:
    """File, line and remedy for a column that the system does not have."""
    line = line_of(definition, side, column)
    table = definition.table(side)
    told = f"{definition.file}:{line}: {table.system} {table.table} has no column '{column}'"
    return asking(told, column, [(one.name, one.label) for one in known.values()])
