"""Rows as the interface shows them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any

from sandbox.postoffice.store import PARTS_OF
from sandbox.postoffice.tables import SHOWN_AS, Table
from sandbox.rows_on_disk import CHANGED_AT, DELETED, REVISION, Row

ADDRESSES = "addresses"


def iso(at: datetime) -> str:
    """Write a time as the contract does: UTC with milliseconds and Z."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def etag_of(row: Row) -> str:
    """Return the ETag of a row."""
    return f'"{row[REVISION]}"'


def shown(table: Table, row_id: str, row: Row, *, versions: bool, expand: Collection[str] = ()) -> dict[str, Any]:
    """Show a row; a deleted one has its id, its mark and nothing else. `versions`: this site has them."""
    stamps = {"changedAt": iso(row[CHANGED_AT]), "deleted": row[DELETED]}
    if versions:
        stamps["version"] = str(row[REVISION])
    if row[DELETED]:
        return {"id": row_id, **stamps}
    values = {name: row.get(name) for name in table.fields}
    parts = {SHOWN_AS.get(name, name): _parts(name, row[PARTS_OF].get(name, {})) for name in expand}
    return {"id": row_id, **values, **parts, **stamps}


def _parts(name: str, rows: Mapping[str, Row]) -> Any:
    """Show sub-records: addresses by their names, the others as a list with their keys."""
    if name == ADDRESSES:
        return {"main": rows.get("main"), "invoice": rows.get("invoice")}
    return [{"key": key, **row} for key, row in rows.items()]
