"""Routes under /_sandbox for people and tests; never under a vendor's paths, and never struck by a fault.

GET    /_sandbox/requests?unforeseen=1     what was asked
GET    /_sandbox/faults                    the rules in force, by id
POST   /_sandbox/faults                    put a rule in force: the fields of FaultRule as JSON
DELETE /_sandbox/faults[?id=n]             take one or all out of force
GET    /_sandbox/notice-faults             the chances of the notices' mishaps
POST   /_sandbox/notice-faults             change some of them
POST   /_sandbox/reset                     empty the sandbox: as after a fresh start without a file
POST   /_sandbox/flush                     deliver all waiting notices now
GET    /_sandbox/tables/{table}            all rows of a table
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from datetime import date
from decimal import Decimal
from typing import Any, Protocol

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.faults import FaultKind, FaultRule, Faults, NoticeFaults
from sandbox.request_log import RequestLog


class Administered(Protocol):
    """What the admin routes need of a sandbox."""

    @property
    def faults(self) -> Faults:
        """Faults of requests."""
        ...

    @property
    def notice_faults(self) -> NoticeFaults:
        """Faults of notices."""
        ...

    @property
    def requests(self) -> RequestLog:
        """What was asked."""
        ...

    def rows(self, table: str) -> Mapping[str, Mapping[str, Any]]:
        """All rows of a table by key; raises KeyError for an unknown table."""
        ...

    def reset(self) -> None:
        """Empty the sandbox."""
        ...

    async def flush(self) -> int:
        """Deliver all waiting notices now, whether due or not; returns how many were delivered."""
        ...


def plain(value: Any) -> Any:
    """Turn a row's value into something JSON can say: decimals as numbers' text, times in ISO 8601."""
    if isinstance(value, Mapping):
        return {str(name): plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    return value


def fault_rule_from(body: Mapping[str, Any]) -> FaultRule:
    """Read a rule from JSON; raises ValueError naming the field that is wrong."""
    known = {field.name for field in fields(FaultRule)}
    unknown = set(body) - known
    if unknown:
        raise ValueError(f"unknown fields {sorted(unknown)}; known: {sorted(known)}")
    kinds = [kind.value for kind in FaultKind]
    if body.get("kind") not in kinds:
        raise ValueError(f"kind must be one of {kinds}")
    return FaultRule(**{**body, "kind": FaultKind(body["kind"])})


def admin_app(sandbox: Administered, more: Sequence[Route] = ()) -> Starlette:
    """Build the admin routes of one sandbox. more: those that it alone has."""
    return Starlette(routes=[*_Admin(sandbox).routes(), *more])


class _Admin:
    def __init__(self, sandbox: Administered) -> None:
        self._sandbox = sandbox

    def routes(self) -> list[Route]:
        return [
            Route("/_sandbox/requests", self.requests, methods=["GET"]),
            Route("/_sandbox/faults", self.list_faults, methods=["GET"]),
            Route("/_sandbox/faults", self.add_fault, methods=["POST"]),
            Route("/_sandbox/faults", self.drop_faults, methods=["DELETE"]),
            Route("/_sandbox/notice-faults", self.get_notice_faults, methods=["GET"]),
            Route("/_sandbox/notice-faults", self.set_notice_faults, methods=["POST"]),
            Route("/_sandbox/reset", self.reset, methods=["POST"]),
            Route("/_sandbox/flush", self.flush, methods=["POST"]),
            Route("/_sandbox/tables/{table}", self.table, methods=["GET"]),
        ]

    async def requests(self, request: Request) -> Response:
        only = request.query_params.get("unforeseen") in ("1", "true")
        entries = self._sandbox.requests.unforeseen() if only else self._sandbox.requests.entries()
        return JSONResponse([plain(asdict(entry)) for entry in entries])

    async def list_faults(self, request: Request) -> Response:
        return JSONResponse({str(i): asdict(rule) for i, rule in self._sandbox.faults.rules().items()})

    async def add_fault(self, request: Request) -> Response:
        try:
            rule_id = self._sandbox.faults.add(fault_rule_from(await request.json()))
        except (ValueError, TypeError, re.error) as error:
            return JSONResponse({"error": f"this is not a fault rule: {error}"}, 400)
        return JSONResponse({"id": rule_id}, 201)

    async def drop_faults(self, request: Request) -> Response:
        which = request.query_params.get("id")
        if which is None:
            self._sandbox.faults.clear()
        elif which.isdecimal():
            self._sandbox.faults.remove(int(which))
        else:
            return JSONResponse({"error": "id must be a whole number"}, 400)
        return Response(status_code=204)

    async def get_notice_faults(self, request: Request) -> Response:
        return JSONResponse(asdict(self._sandbox.notice_faults.chances))

    async def set_notice_faults(self, request: Request) -> Response:
        try:
            body = dict(await request.json())
            if "delay_seconds" in body:
                low, high = body["delay_seconds"]
                body["delay_seconds"] = (float(low), float(high))
            self._sandbox.notice_faults.set(**body)
        except (ValueError, TypeError) as error:
            return JSONResponse({"error": f"these are not notice faults: {error}"}, 400)
        return await self.get_notice_faults(request)

    async def reset(self, request: Request) -> Response:
        self._sandbox.reset()
        return Response(status_code=204)

    async def flush(self, request: Request) -> Response:
        return JSONResponse({"delivered": await self._sandbox.flush()})

    async def table(self, request: Request) -> Response:
        name = request.path_params["table"]
        try:
            rows = self._sandbox.rows(name)
        except KeyError:
            return JSONResponse({"error": f"there is no table {name!r}"}, 404)
        return JSONResponse([plain(row) for row in rows.values()])
