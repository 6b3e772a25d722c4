"""How the records stand of which automatic mode makes partners: the numbers that a person sees before it begins."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from shared.sync.context import MatchIndex, Prepared
from shared.sync.definition import Definition, IfUnlinked, Transfer
from shared.sync.homes import is_linked
from shared.sync.matching import normalised
from shared.sync.offering import is_undone, rows_of
from shared.sync.pipeline import Pipeline
from shared.sync.planning import index_target
from shared.sync.ports import LinkState, Record
from shared.sync.qualifying import those_in_scope

_COUNTED_AT_ONCE = 1000


@dataclass(slots=True)
class Census:
    """How the records of the other side stand, before automatic mode makes partners for them.

    create: those without a partner that would get a new one; link: those for which one is found; opted_out: those that
    do not meet `only_if`; undone: those whose link a person or a delete has undone; linked: those that have one.
    """

    transfer: str
    create: int = 0
    link: int = 0
    opted_out: int = 0
    undone: int = 0
    linked: int = 0


async def count(pipeline: Pipeline, definition: Definition, index: MatchIndex) -> Census | None:
    """Count the records that are not offered by what automatic mode would do with them; None where it makes nothing.

    index: an empty one, for the match keys of the offered records.
    """
    back = _making(definition)
    if back is None:
        return None
    prepared = await pipeline.prepare(back.name)
    async for _ in index_target(prepared, index):
        pass
    counted = Census(back.name)
    async for records in _pages(prepared):
        rows = await rows_of(pipeline, prepared, prepared.side, [one.key for one in records])
        counted.linked += sum(is_linked(row) for row in rows.values())
        counted.undone += sum(is_undone(row) for row in rows.values())
        free = [one for one in records if (row := rows[one.key]) is None or row.state is LinkState.CREATING]
        wanted = await those_in_scope(prepared, free)
        matched = sum(_is_matched(prepared, index, one) for one in free if one.key in wanted)
        counted.opted_out += len(free) - len(wanted)
        counted.link += matched
        counted.create += len(wanted) - matched
    return counted


def _making(definition: Definition) -> Transfer | None:
    """The transfer that makes partners in automatic mode."""
    others = [one for one in definition.transfers if one.target is definition.offered]
    return next((one for one in others if one.if_unlinked is IfUnlinked.MATCH_OR_CREATE), None)


async def _pages(prepared: Prepared) -> AsyncIterator[Sequence[Record]]:
    matched = [name for rule in prepared.definition.match for name in rule.columns(prepared.side)]
    columns = tuple(dict.fromkeys([*prepared.transfer.own_columns, *matched]))
    async for page in prepared.source.pages(prepared.source_table, None, columns, _COUNTED_AT_ONCE):
        yield [one for one in page.records if one.merged_into is None]


def _is_matched(prepared: Prepared, index: MatchIndex, record: Record) -> bool:
    """Whether a sure match rule finds anything for the record among the noted ones."""
    sure = [rule for rule in prepared.definition.match if rule.certainty == "sure"]
    keys = [(rule.name, normalised(rule, prepared.side, record.values)) for rule in sure]
    return any(parts and index.find(name, "\0".join(parts)) for name, parts in keys)
