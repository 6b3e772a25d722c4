"""The rows that are views: checked when they are written, and executed by `?savedQuery=`.

After Microsoft Learn, 'Customize views', '<grid> (SavedQuery)' and 'Retrieve and execute predefined queries'. Changes
of a view, which would have to be published, are not imitated.
"""

from __future__ import annotations

from datetime import datetime
from xml.etree import ElementTree

from sandbox.dataverse import errors
from sandbox.dataverse.errors import NotImitated
from sandbox.dataverse.metadata import Model, Table
from sandbox.dataverse.queries import column_of, from_fetchxml
from sandbox.dataverse.store import Row, Store

TABLE = "savedquery"
PUBLIC = 0
_NEEDED = ("name", "returnedtypecode", "fetchxml", "layoutxml")
_GRID = {"icon", "jump", "name", "object", "preview", "select"}


def check(model: Model, row: Row, message: str, now: datetime) -> None:
    """Refuse a view that makes no sense; raises DataverseError, or NotImitated."""
    if message != "Create" or row.get("querytype") != PUBLIC:
        raise NotImitated("views that are changed, and others than public ones (querytype 0)")
    for name in _NEEDED:
        if not row.get(name):
            raise errors.invalid_argument(f"A view needs {name}.")
    table = model.tables.get(row["returnedtypecode"])
    if table is None:
        raise errors.invalid_argument(f"The entity '{row['returnedtypecode']}' of returnedtypecode does not exist.")
    from_fetchxml(table, row["fetchxml"], now)
    _check_layout(table, row["layoutxml"])


def _check_layout(table: Table, text: str) -> None:
    try:
        grid = ElementTree.fromstring(text)  # noqa: S314 - an administrator wrote it
    except ElementTree.ParseError:
        raise errors.invalid_argument("The layoutxml is not well-formed.") from None
    if grid.tag != "grid" or _GRID - set(grid.attrib) or grid.get("object") != str(table.type_code):
        raise errors.invalid_argument(f"The layoutxml needs a grid of the object {table.type_code}.")
    column_of(table, grid.get("jump", ""))
    for cell in grid.iter("cell"):
        column_of(table, cell.get("name", ""))


def fetched_by(store: Store, table: Table, view_id: str) -> str:
    """The FetchXML of a view of a table; raises DataverseError where the table has no such view."""
    row = store.get(TABLE, view_id.lower())
    if row is None or row["returnedtypecode"] != table.name:
        raise errors.does_not_exist("View", view_id)
    return str(row["fetchxml"])


def drop_views(table: Table, store: Store) -> None:
    """Take out the views of a table, when it is gone."""
    for view_id in [one for one, row in store.table(TABLE).items() if row["returnedtypecode"] == table.name]:
        store.remove(TABLE, view_id)
