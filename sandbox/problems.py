"""How a sandbox says no where its contract speaks `application/problem+json`: a stable code and the wrong fields."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

PROBLEM = "application/problem+json"


@dataclass(frozen=True)
class FieldError:
    """What is wrong with one field of a body; `field` is its path with dots."""

    field: str
    code: str
    message: str


class ApiError(Exception):
    """A refusal, as the contract words it."""

    def __init__(self, status: int, code: str, detail: str, errors: Sequence[FieldError] = ()) -> None:
        super().__init__(f"{status} {code}")
        self.status = status
        self.code = code
        self.detail = detail
        self.errors = tuple(errors)

    def body(self, system: str) -> dict[str, Any]:
        """Return the body of the answer of that system."""
        return {
            "type": f"urn:{system}:problem:{self.code}",
            "title": self.code,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
            "errors": [{"field": one.field, "code": one.code, "message": one.message} for one in self.errors],
        }


class NotImitated(Exception):
    """The contract says nothing about this request; the sandbox answers 501."""

    def __init__(self, what: str) -> None:
        super().__init__(f"not imitated: {what}")
        self.what = what


class Failures:
    """How a system of such a contract words the failures that come on demand."""

    def __init__(self, system: str) -> None:
        self._system = system

    def throttled(self, retry_after_seconds: float) -> Response:
        """Answer 429 with Retry-After in whole seconds."""
        response = refused(self._system, throttled())
        response.headers["Retry-After"] = str(max(1, round(retry_after_seconds)))
        return response

    def unavailable(self) -> Response:
        """Answer 503."""
        return refused(self._system, ApiError(503, "Unavailable", "The system is being maintained."))

    def gateway_timeout(self) -> Response:
        """Answer 504 as a proxy does: not in JSON."""
        return Response("<html><head><title>504 Gateway Time-out</title></head></html>", 504, media_type="text/html")

    def server_error(self) -> Response:
        """Answer 500."""
        return refused(self._system, ApiError(500, "InternalError", "Something went wrong."))


def bad_request(code: str, detail: str, field: str = "") -> ApiError:
    """Return the 400 of a request that cannot be read."""
    return ApiError(400, code, detail, [FieldError(field, code, detail)] if field else [])


def throttled() -> ApiError:
    """Return the 429 of a caller that asks too much."""
    return ApiError(429, "TooManyRequests", "Too many requests within a minute.")


def refused(system: str, error: ApiError) -> Response:
    """Answer a refusal."""
    content = json.dumps(error.body(system), ensure_ascii=False)
    return Response(content.encode(), error.status, media_type=PROBLEM)


async def json_body(request: Request) -> Any:
    """The body of a request that has one; raises the refusals of one that is no JSON."""
    raw = await request.body()
    if request.method not in ("POST", "PATCH", "PUT"):
        return None
    if request.headers.get("content-type", "").split(";")[0].strip().lower() != "application/json":
        raise ApiError(415, "UnsupportedMediaType", "The body is JSON.")
    try:
        return json.loads(raw)
    except ValueError:
        raise bad_request("BadBody", "The body is not JSON.") from None
