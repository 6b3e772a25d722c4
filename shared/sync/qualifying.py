"""Whether an unlinked record may get a partner: the transfer's only_if, on the record itself or on related ones. And
whether a record counts as deleted although it is there: its gone_if."""

from __future__ import annotations

from collections.abc import Sequence

from shared.sync.context import Prepared
from shared.sync.definition import Condition, Related
from shared.sync.ports import Record
from shared.sync.values import canonical

_RELATED_LOOKED_AT = 100
"""How many related records a condition looks at."""
_KEYS_AT_ONCE = 20
"""Records whose related ones are searched together."""


async def in_scope(prepared: Prepared, source: Record) -> bool:
    """Whether one of the transfer's conditions holds; those on the record itself are looked at first. A record that was
    merged into another one, or counts as deleted, is in no scope."""
    conditions = prepared.transfer.only_if
    if source.merged_into is not None or counts_as_gone(prepared, source):
        return False
    if not conditions or any(one.related is None and _holds(one, source) for one in conditions):
        return True
    for condition in conditions:
        if condition.related and await _has_related(prepared, condition, source.key):
            return True
    return False


def counts_as_gone(prepared: Prepared, source: Record) -> bool:
    """Whether the record holds what counts as deleted."""
    condition = prepared.transfer.gone_if
    return condition is not None and _holds(condition, source)


async def those_in_scope(prepared: Prepared, records: Sequence[Record]) -> set[str]:
    """The keys of the records for which one of the transfer's conditions holds; related ones are searched together."""
    conditions = prepared.transfer.only_if
    records = [one for one in records if one.merged_into is None and not counts_as_gone(prepared, one)]
    own = [condition for condition in conditions if condition.related is None]
    found = {one.key for one in records if not conditions or any(_holds(condition, one) for condition in own)}
    for condition in conditions:
        rest = [one.key for one in records if one.key not in found]
        if condition.related is not None and rest:
            found |= await _named_by_related(prepared, condition, condition.related, rest)
    return found


async def _named_by_related(
    prepared: Prepared, condition: Condition, related: Related, keys: Sequence[str]
) -> set[str]:
    """Those of the keys that a related record which meets the condition names."""
    named: set[str] = set()
    columns = [related.by, *condition.columns]
    for at in range(0, len(keys), _KEYS_AT_ONCE):
        chunk = keys[at : at + _KEYS_AT_ONCE]
        find = prepared.source.find(related.table, related.by, chunk, columns, limit=_RELATED_LOOKED_AT * len(chunk))
        named |= {canonical(one.values.get(related.by)) or "" for one in await find if _holds(condition, one)}
    return named & set(keys)


async def _has_related(prepared: Prepared, condition: Condition, key: str) -> bool:
    assert condition.related is not None
    related = condition.related
    found = await prepared.source.find(
        related.table, related.by, [key], list(condition.columns), limit=_RELATED_LOOKED_AT
    )
    return any(_holds(condition, one) for one in found)


def _holds(condition: Condition, record: Record) -> bool:
    """Whether every column of the condition holds one of its values."""
    wanted = ((canonical(record.values.get(column)), values) for column, values in condition.columns.items())
    return all(found in {canonical(value) for value in values} for found, values in wanted)
