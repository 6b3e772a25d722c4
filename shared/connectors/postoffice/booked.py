"""What PostOffice books on customers and cost centres: orders, invoices and complaints.

A complaint may name its cost centre only. Its customer is then the one that the cost centre belongs to, so that nobody
else has to know of it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import replace

from shared.connectors.postoffice.tables import COST_CENTRE, COST_CENTRES, CUSTOMER, TABLES, Table
from shared.sync.ports import ColumnMetadata, Record, Value

Read = Callable[[str, Sequence[str], Sequence[str]], Awaitable[Mapping[str, Record]]]
Every = Callable[[Table, Mapping[str, str], Sequence[ColumnMetadata]], AsyncIterator[Record]]


def with_centre(at: Table, columns: Sequence[str]) -> Sequence[str]:
    """The columns with the one that a row without a customer tells it by."""
    needed = at.of_centre and CUSTOMER in columns and COST_CENTRE not in columns
    return [*columns, COST_CENTRE] if needed else columns


async def with_customers(records: Sequence[Record], read: Read) -> Sequence[Record]:
    """Rows that name a cost centre only get its customer. read: records by their ids."""
    lacking = [centre for one in records if (centre := _only_centre(one.values))]
    if not lacking:
        return records
    centres = await read(COST_CENTRES, list(dict.fromkeys(lacking)), [CUSTOMER])
    return [_with_customer(one, centres) for one in records]


async def of_customer(
    at: Table, customer: str, wanted: Sequence[ColumnMetadata], theirs: Callable[[str, str], str], every: Every
) -> AsyncIterator[Record]:
    """The rows of a customer: those that name it, and those that name one of its cost centres only.

    theirs: what a list calls a column; every: the rows of a list that fit a query.
    """
    centres = every(TABLES[COST_CENTRES], {theirs(COST_CENTRES, CUSTOMER): customer}, ())
    by_centre = [{theirs(at.name, COST_CENTRE): centre.key} async for centre in centres]
    for query in ({theirs(at.name, CUSTOMER): customer}, *by_centre):
        async for one in every(at, query, wanted):
            if one.values.get(CUSTOMER) == customer:
                yield one


def _only_centre(values: Mapping[str, Value]) -> str:
    centre = values.get(COST_CENTRE)
    is_lacking = CUSTOMER in values and values[CUSTOMER] is None
    return centre if is_lacking and isinstance(centre, str) else ""


def _with_customer(one: Record, centres: Mapping[str, Record]) -> Record:
    centre = centres.get(_only_centre(one.values))
    return one if centre is None else replace(one, values={**one.values, CUSTOMER: centre.values[CUSTOMER]})
