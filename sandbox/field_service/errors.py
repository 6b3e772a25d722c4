"""How field service says no. Both dialects answer `{"error": {"code": ..., "message": ...}}`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from sandbox.exact_json import to_json


class Refused(Exception):
    """A refusal: status, code, what is wrong in words without values, and the column it is about, if any.

    wait: seconds after which it is worth another try. rule: a rule of the table is broken.
    """

    def __init__(
        self, status: int, code: str, message: str, column: str = "", *, wait: float = 0, rule: bool = False
    ) -> None:
        super().__init__(f"{status} {code} {column}".rstrip())
        self.status = status
        self.code = code
        self.message = message
        self.column = column
        self.wait = wait
        self.rule = rule


def not_found() -> Refused:
    """Return the 404 of a record that does not exist."""
    return Refused(404, "NotFound", "There is no such record.")


def changed() -> Refused:
    """Return the 412 of a version that is no longer the current one."""
    return Refused(412, "Changed", "The record has been changed meanwhile.")


def answer(status: int, body: Any = None, headers: Mapping[str, str] | None = None) -> Response:
    """An answer in JSON; None is no body."""
    if body is None:
        return Response(None, status, dict(headers or {}))
    return Response(to_json(body).encode(), status, dict(headers or {}), "application/json")


class Failures:
    """How field service words the failures that come on demand."""

    def throttled(self, retry_after_seconds: float) -> Response:
        """Answer 429 with Retry-After in whole seconds."""
        wait = {"Retry-After": str(max(1, round(retry_after_seconds)))}
        return answer(429, _error("TooManyRequests", "Too many requests."), wait)

    def unavailable(self) -> Response:
        """Answer 503."""
        return answer(503, _error("Unavailable", "The server is being maintained."))

    def gateway_timeout(self) -> Response:
        """Answer 504 as a proxy does: not in JSON."""
        return Response("<html><head><title>504 Gateway Time-out</title></head></html>", 504, media_type="text/html")

    def server_error(self) -> Response:
        """Answer 500."""
        return answer(500, _error("InternalError", "Something went wrong."))


def _error(code: str, message: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": message}}
