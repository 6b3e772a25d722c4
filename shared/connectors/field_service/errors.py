"""What field service's answers mean: status and code in, class of error out; the code decides, never the wording."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from enum import StrEnum

from shared.errors import (
    AlreadyExists,
    Answer,
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

UNKNOWN_TABLE = "UnknownTable"
_CODE = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,59}")


class Doing(StrEnum):
    """What a request was for; the same status means different things."""

    READ = "read"
    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"

    @property
    def writes(self) -> bool:
        """Whether executing it changes the system."""
        return self is not Doing.READ


BY_CODE: Mapping[str, type[ConnectorError]] = {
    "DuplicateKey": AlreadyExists,
    "Changed": VersionConflict,
    "UnknownColumn": UnknownColumn,
    UNKNOWN_TABLE: UnknownColumn,
}


def error_of(system: str, doing: Doing, reply: Reply, names: Collection[str] = ()) -> ConnectorError:
    """The error that an answer from 400 on stands for. names: of columns and tables that may be kept as the field."""
    code, field = _code_and_field(reply, names)
    return _class(doing, reply.status, code)(system, Answer(reply.status, code, field, reply.request_id))


def is_missing(reply: Reply) -> bool:
    """Whether an answer says that the record does not exist. A 404 without a code comes from somebody else: it must
    not be taken for a deletion."""
    code, _ = _code_and_field(reply, ())
    return reply.status == 404 and code not in ("", UNKNOWN_TABLE)


def _class(doing: Doing, status: int, code: str) -> type[ConnectorError]:
    if code in BY_CODE:
        return BY_CODE[code]
    if status == 403:
        return NotAllowed
    if status == 404 and code:
        return RecordMissing if doing.writes else UnknownColumn
    if status == 400 and not doing.writes:
        return UnknownColumn
    if status == 409 and doing is Doing.CREATE:
        return AlreadyExists
    if status == 412:
        return VersionConflict
    if status in (408, 500, 502, 504):
        return UnknownResult if doing.writes else SystemDown
    return SystemDown if status in (404, 503) else Refused


def _code_and_field(reply: Reply, names: Collection[str]) -> tuple[str, str]:
    """The vendor's code, and the first column it names that we know ourselves. IFS Cloud says in `details` which rule
    was broken."""
    error = reply.content.get("error") if isinstance(reply.content, dict) else None
    if not isinstance(error, dict):
        return "", ""
    details = error.get("details")
    every = [*(one for one in details if isinstance(one, dict)), error] if isinstance(details, list) else [error]
    codes = [code for one in every if isinstance(code := one.get("code"), str) and _CODE.fullmatch(code)]
    named = [one.get(name) for one in every for name in ("target", "column")]
    return next(iter(codes), ""), next((one for one in named if isinstance(one, str) and one in names), "")
