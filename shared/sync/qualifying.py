"""Whether an unlinked record may get a partner: the transfer's only_if, on the record itself or on related ones."""

from __future__ import annotations

from shared.sync.context import Prepared
from shared.sync.definition import Condition
from shared.sync.ports import Record
from shared.sync.values import canonical

_RELATED_LOOKED_AT = 100
"""How many related records a condition looks at."""


async def in_scope(prepared: Prepared, source: Record) -> bool:
    """Whether one of the transfer's conditions holds; those on the record itself are looked at first."""
    conditions = prepared.transfer.only_if
    if not conditions or any(one.related is None and _holds(one, source) for one in conditions):
        return True
    for condition in conditions:
        if condition.related and await _has_related(prepared, condition, source.key):
            return True
    return False


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
