"""How the sandbox says no: the refusals of PostOffice's contract."""

from __future__ import annotations

from collections.abc import Sequence

from sandbox.problems import ApiError, FieldError

SYSTEM = "postoffice"


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
