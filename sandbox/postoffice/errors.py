"""How the sandbox says no: `application/problem+json` with a stable code, and the fields that are wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


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

    def body(self) -> dict[str, Any]:
        """Return the body of the answer."""
        return {
            "type": f"urn:postoffice:problem:{self.code}",
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


def bad_request(code: str, detail: str, field: str = "") -> ApiError:
    """Return the 400 of a request that cannot be read."""
    return ApiError(400, code, detail, [FieldError(field, code, detail)] if field else [])


def not_found(what: str) -> ApiError:
    """Return the 404 of a record that does not exist (any more)."""
    return ApiError(404, "NotFound", f"There is no such record of {what}.")


def invalid(errors: Sequence[FieldError]) -> ApiError:
    """Return the 422 of a body with wrong fields; a reference to nothing gives the whole answer its code."""
    unknown = next((one for one in errors if one.code.startswith("Unknown")), None)
    code = "InvalidFields" if unknown is None else unknown.code
    return ApiError(422, code, "Some fields cannot be taken.", errors)


def stale() -> ApiError:
    """Return the 412 of an ETag that is no longer current."""
    return ApiError(412, "VersionConflict", "The record has been changed meanwhile.")


def throttled() -> ApiError:
    """Return the 429 of a caller that asks too much."""
    return ApiError(429, "TooManyRequests", "Too many requests within a minute.")
