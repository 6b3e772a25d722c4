"""What PostOffice's answers mean: status and code in, class of error out; the code decides, never the wording."""

from __future__ import annotations

import re
from collections.abc import Collection
from enum import StrEnum

from shared.errors import (
    AlreadyExists,
    Answer,
    ConnectorError,
    FeedExpired,
    NotAllowed,
    NotSetUp,
    RecordMissing,
    Refused,
    SystemDown,
    UnknownColumn,
    UnknownResult,
    VersionConflict,
)
from shared.http_client import Reply
from shared.strict_json import Json

SYSTEM = "postoffice"
_CODE = re.compile(r"[A-Za-z][A-Za-z0-9]{0,39}")


class Doing(StrEnum):
    """What a request was for; the same status means different things."""

    READ = "read"
    CREATE = "create"
    UPDATE = "update"

    @property
    def writes(self) -> bool:
        """Whether executing it changes the system."""
        return self in (Doing.CREATE, Doing.UPDATE)


BY_CODE: dict[str, type[ConnectorError]] = {
    "CursorExpired": FeedExpired,
    "BadCursor": FeedExpired,
    "VersionConflict": VersionConflict,
    "NumberTaken": Refused,
    "LinkedToOther": AlreadyExists,
    "UnknownEntity": UnknownColumn,
    "UnknownParameter": UnknownColumn,
    "UnknownType": NotSetUp,
}


def error_of(doing: Doing, reply: Reply, columns: Collection[str] = ()) -> ConnectorError:
    """The error that an answer from 400 on stands for. `columns`: names that may be kept as the field."""
    code, field = _code_and_field(reply.content, columns)
    return _class(doing, reply.status, code)(SYSTEM, Answer(reply.status, code, field, reply.request_id))


def _class(doing: Doing, status: int, code: str) -> type[ConnectorError]:
    if code in BY_CODE:
        return BY_CODE[code]
    if status == 410:
        return FeedExpired
    if status == 412:
        return VersionConflict
    if status == 403:
        return NotAllowed
    if status == 404:
        return RecordMissing if doing is Doing.UPDATE else UnknownColumn
    if status in (408, 500, 502, 504):
        return UnknownResult if doing.writes else SystemDown
    return SystemDown if status == 503 else Refused


def _code_and_field(body: Json, columns: Collection[str]) -> tuple[str, str]:
    """The problem's code, and the first field it names that we sent ourselves."""
    if not isinstance(body, dict):
        return "", ""
    code, errors = body.get("code"), body.get("errors")
    named = [one.get("field") for one in errors if isinstance(one, dict)] if isinstance(errors, list) else []
    field = next((one for one in named if isinstance(one, str) and one in columns), "")
    return code if isinstance(code, str) and _CODE.fullmatch(code) else "", field
