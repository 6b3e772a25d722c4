"""Routes under /_sandbox for people who change the application itself while it serves.

POST   /_sandbox/tables                            add a table: name, keys, columns, perhaps label and navigation
POST   /_sandbox/tables/{table}/columns            add a column: name, type, perhaps length, required, choices ...
PATCH  /_sandbox/tables/{table}/columns/{column}   give a column another name: name
DELETE /_sandbox/tables/{table}/columns/{column}   take a column away
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

COLUMNS = "/_sandbox/tables/{table}/columns"


class Designed(Protocol):
    """What the routes need of a sandbox; each raises KeyError or ValueError for what cannot be."""

    def add_table(
        self,
        name: str,
        keys: Sequence[str],
        columns: Sequence[Mapping[str, Any]],
        *,
        label: str = "",
        navigation: Mapping[str, Any] | None = None,
    ) -> None:
        """Add a table."""
        ...

    def add_column(self, table: str, **column: Any) -> None:
        """Add a column to a table."""
        ...

    def rename_column(self, table: str, old: str, new: str) -> None:
        """Give a column another name."""
        ...

    def drop_column(self, table: str, name: str) -> None:
        """Take a column away."""
        ...


def designer_routes(sandbox: Designed) -> list[Route]:
    """Build the routes over one sandbox."""

    async def tables(request: Request) -> Response:
        body = await request.json()
        return _done(lambda: sandbox.add_table(**body))

    async def columns(request: Request) -> Response:
        body = await request.json()
        return _done(lambda: sandbox.add_column(request.path_params["table"], **body))

    async def column(request: Request) -> Response:
        table, name = request.path_params["table"], request.path_params["column"]
        if request.method == "DELETE":
            return _done(lambda: sandbox.drop_column(table, name))
        body = await request.json()
        return _done(lambda: sandbox.rename_column(table, name, body["name"]))

    return [
        Route("/_sandbox/tables", tables, methods=["POST"]),
        Route(COLUMNS, columns, methods=["POST"]),
        Route(f"{COLUMNS}/{{column}}", column, methods=["PATCH", "DELETE"]),
    ]


def _done(change: Callable[[], None]) -> Response:
    try:
        change()
    except (KeyError, TypeError, ValueError) as error:
        return JSONResponse({"error": f"this cannot be: {error}"}, 400)
    return Response(status_code=204)
