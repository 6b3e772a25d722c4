"""The read-only lists as files, in the form of the vendor's import and export module.

After the vendor's description of its file interface: fields parted by semicolons, records by CR LF, UTF-8, the names of
the columns in the first line; texts in double quotes, inner quotes doubled; days as YYYY.MM.DD, times as
YYYY.MM.DD HH:MM:SS; amounts with a point and four decimals. A blank field is nothing at all between two semicolons.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from sandbox.postoffice.statistics import Statistics
from sandbox.postoffice.store import Store
from sandbox.postoffice.tables import TABLES, Field, Kind
from sandbox.rows_on_disk import CHANGED_AT

LISTS = (
    "customer-groups",
    "price-groups",
    "invoicing-clients",
    "services",
    "articles",
    "employees",
    "orders",
    "invoices",
    "complaints",
)
STATISTICS = "shipment-statistics"
_GROUP = ("customer", "costCentre", "service", "day")
_SUMS: Mapping[str, Field] = {
    "customerId": Field(),
    "costCentreId": Field(),
    "serviceId": Field(),
    "day": Field(Kind.DAY),
    "items": Field(Kind.WHOLE),
    "weightGrams": Field(Kind.WHOLE),
    "amount": Field(Kind.MONEY),
}


def export(folder: Path, store: Store, statistics: Statistics, first: date, last: date) -> list[Path]:
    """Write one file per list, and the statistics of some days; a file appears only when it is whole, and is as old as
    the site's clock says."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name in (*LISTS, *(one for one in store.tables if one not in TABLES)):
        fields = {"id": Field(), **store.tables[name].fields, "changedAt": Field(Kind.TIME)}
        rows = ({"id": row_id, "changedAt": row[CHANGED_AT].isoformat(), **row} for row_id, row in store.rows(name))
        written.append(_file(folder / f"{name}.csv", fields, rows))
    written.append(_file(folder / f"{STATISTICS}.csv", _SUMS, statistics.rows(first, last, _GROUP)))
    for path in written:
        os.utime(path, (store.now().timestamp(), store.now().timestamp()))
    return written


def _file(path: Path, fields: Mapping[str, Field], rows: Iterable[Mapping[str, Any]]) -> Path:
    lines = [";".join(fields), *(_line(fields, row) for row in rows)]
    unfinished = path.with_suffix(".part")
    unfinished.write_bytes("".join(f"{line}\r\n" for line in lines).encode())
    return unfinished.replace(path)


def _line(fields: Mapping[str, Field], row: Mapping[str, Any]) -> str:
    return ";".join(_cell(field, row.get(name)) for name, field in fields.items())


def _cell(field: Field, value: Any) -> str:
    if value is None:
        return ""
    match field.kind:
        case Kind.DAY:
            return date.fromisoformat(value).strftime("%Y.%m.%d")
        case Kind.TIME:
            return datetime.fromisoformat(value).astimezone(UTC).strftime("%Y.%m.%d %H:%M:%S")
        case Kind.FLAG:
            return "1" if value else "0"
        case Kind.WHOLE | Kind.MONEY:
            return str(value)
    text = str(value).replace('"', '""')
    return f'"{text}"'
