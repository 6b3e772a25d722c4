"""What both dialects do with a request before and after it is answered."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from sandbox.exact_json import from_json
from sandbox.field_service.errors import Refused, answer
from sandbox.field_service.records import Records
from sandbox.front import not_imitated, raw_segments_of
from sandbox.per_minute import PerMinute
from sandbox.problems import NotImitated


class Service(ABC):
    """Serves one dialect. What was answered is in the file before."""

    def __init__(self, records: Records, limit: PerMinute) -> None:
        self.records = records
        self.store = records.store
        self.forms = records.forms
        self.limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        response = await self._response(Request(scope, receive))
        await response(scope, receive, send)

    async def _response(self, request: Request) -> Response:
        try:
            return await self.answered(request, raw_segments_of(request))
        except Refused as error:
            headers = {"Retry-After": str(max(1, round(error.wait)))} if error.wait else None
            return answer(error.status, {"error": self.worded(error)}, headers)
        except NotImitated as error:
            return not_imitated(request.scope, error.what)
        finally:
            self.store.commit()

    @abstractmethod
    async def answered(self, request: Request, segments: tuple[str, ...]) -> Response:
        """Answer a request; `segments` of its path are as they were sent. Raises Refused and NotImitated."""

    @abstractmethod
    def worded(self, error: Refused) -> dict[str, Any]:
        """Word a refusal."""

    def count(self) -> None:
        """Count a request; raises the 429."""
        if wait := self.limit.seconds_to_wait():
            raise Refused(429, "TooManyRequests", "Too many requests within a minute.", wait=wait)


async def object_of(request: Request) -> dict[str, Any]:
    """The JSON object of a request's body; raises the 400 and the 415."""
    if request.headers.get("content-type", "").split(";")[0].strip().lower() != "application/json":
        raise Refused(415, "UnsupportedMediaType", "The body is JSON.")
    try:
        body = from_json(await request.body())
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise Refused(400, "BadBody", "The body is a JSON object.")
    return body
