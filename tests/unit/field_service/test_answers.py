"""What answers of field service mean."""

from __future__ import annotations

import httpx
import pytest

from shared.connectors.field_service.errors import Doing, error_of, is_missing
from shared.errors import (
    AlreadyExists,
    ConnectorError,
    NotAllowed,
    RecordMissing,
    Refused,
    SystemDown,
    UnknownColumn,
    UnknownResult,
    VersionConflict,
)
from shared.http_client import Reply
from shared.strict_json import Json


def reply(status: int, error: Json = None) -> Reply:
    """An answer with an error, or one of somebody who knows nothing of the contract."""
    return Reply(status, httpx.Headers(), {"error": error} if error else None, b"<html>", "r-1")


def fsm(code: str, column: str = "") -> Json:
    """An error as FSM words it."""
    return {"code": code, "message": "of Ann Example", "column": column or None}


def cloud(code: str, column: str = "") -> Json:
    """A broken rule as IFS Cloud words it."""
    return {
        "code": "DATABASE_ERROR",
        "message": "of Ann Example",
        "details": [{"code": code, "message": "of Ann Example", "target": column or None}],
    }


@pytest.mark.parametrize(
    ("doing", "status", "error", "kind"),
    [
        (Doing.CREATE, 409, fsm("DuplicateKey", "name"), AlreadyExists),
        (Doing.CREATE, 409, cloud("ORA-00001"), AlreadyExists),
        (Doing.DELETE, 409, fsm("Referenced"), Refused),
        (Doing.UPDATE, 412, fsm("Changed"), VersionConflict),
        (Doing.UPDATE, 404, fsm("NotFound"), RecordMissing),
        (Doing.DELETE, 404, cloud("NotFound"), RecordMissing),
        (Doing.READ, 404, fsm("UnknownTable"), UnknownColumn),
        (Doing.READ, 400, fsm("UnknownColumn", "name"), UnknownColumn),
        (Doing.READ, 400, cloud("BadQuery", "name"), UnknownColumn),
        (Doing.UPDATE, 422, fsm("UnknownColumn", "name"), UnknownColumn),
        (Doing.UPDATE, 422, fsm("TooLong", "name"), Refused),
        (Doing.CREATE, 400, cloud("Required", "name"), Refused),
        (Doing.CREATE, 403, fsm("Forbidden"), NotAllowed),
        (Doing.CREATE, 504, None, UnknownResult),
        (Doing.CREATE, 500, fsm("InternalError"), UnknownResult),
        (Doing.READ, 500, None, SystemDown),
        (Doing.CREATE, 503, None, SystemDown),
    ],
)
def test_the_code_decides_and_the_wording_is_dropped(
    doing: Doing, status: int, error: Json, kind: type[ConnectorError]
) -> None:
    """Codes first, then statuses; only the names of columns that we know are kept."""
    found = error_of("fsm", doing, reply(status, error), ["name"])
    assert type(found) is kind
    assert "Ann" not in str(found)
    assert found.answer.field in ("", "name")


@pytest.mark.parametrize("doing", list(Doing))
def test_a_404_of_somebody_else_is_no_deletion(doing: Doing) -> None:
    """Nor is one of a table that there is not: links would be undone for all of its records."""
    assert is_missing(reply(404, fsm("NotFound")))
    others: list[Json] = [None, fsm("UnknownTable"), "gone", {"message": "x"}]
    assert not any(is_missing(reply(404, other)) for other in others)
    assert type(error_of("fsm", doing, reply(404))) is SystemDown


def test_a_column_that_we_have_not_named_is_not_kept() -> None:
    """What an answer says could be anything."""
    errors: list[Json] = [fsm("TooLong", "Ann Example"), cloud("TooLong", "Ann Example"), {"code": "Ann Example"}]
    for error in errors:
        found = error_of("fsm", Doing.CREATE, reply(422, error), ["name"])
        assert "Ann" not in str(found)
