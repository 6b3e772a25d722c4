"""Lists that are sums and no rows of their own (shipment statistics): asked for by days, grouped by what is asked for.

The contract limits how many days one request may span, so each day is asked for by itself. A sum has no id; it is known
by what it is grouped by.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import date

from shared.connectors.postoffice.client import PostOfficeClient
from shared.connectors.postoffice.errors import SYSTEM
from shared.connectors.postoffice.rows import Rows
from shared.connectors.postoffice.tables import Table
from shared.errors import Answer, BadAnswer, UnknownColumn
from shared.strict_json import JsonObject
from shared.sync.ports import ColumnMetadata, Record


def asking(client: PostOfficeClient, table: Table, day: date, columns: Sequence[str]) -> dict[str, str]:
    """The query for one day's sums."""
    site, groups = client.site, [name for column, name in table.grouped.items() if column in columns]
    return {
        site.parameter("from"): day.isoformat(),
        site.parameter("to"): day.isoformat(),
        site.parameter("groupBy"): ",".join(groups),
    }


async def of_day(
    client: PostOfficeClient, rows: Rows, table: Table, column: str, day: date, wanted: Sequence[ColumnMetadata]
) -> AsyncIterator[Sequence[Record]]:
    """A day's sums, page by page; raises BadAnswer for one of another day."""
    if column not in table.grouped:
        raise UnknownColumn(SYSTEM, Answer(field=column), f"{SYSTEM}: {table.name} cannot be asked for by {column}.")
    asked = list({one.name: one for one in [*wanted, *rows.columns(table, [column])]}.values())
    groups = [one.name for one in asked if one.name in table.grouped]

    def named(row: JsonObject) -> str:
        return "/".join(str(row.get(client.site.theirs(table.name, name)) or "") for name in groups)

    query = asking(client, table, day, groups)
    async for page in client.pages(client.site.path(table.name), query, None, client.site.page_size, named):
        records = [Record(named(row), None, rows.values(table, row, asked)) for row in page.rows]
        if any(one.values[column] != day for one in records):
            raise BadAnswer(SYSTEM, detail=f"{SYSTEM}: {table.name} tells of other days than it was asked for")
        yield records
