"""What the Cockpit's answers mean: status and code in, class of error out; never the wording."""

from __future__ import annotations

import re
from enum import StrEnum

from shared.errors import (
    Answer,
    BadAnswer,
    ConnectorError,
    DeleteNotOffered,
    FeedExpired,
    NotAllowed,
    RecordMissing,
    Refused,
    SystemDown,
    UnknownResult,
)
from shared.http_client import Reply
from shared.strict_json import Json

SYSTEM = "sales_cockpit"
_CODE = re.compile(r"[A-Za-z][A-Za-z0-9]{0,39}")
_FIELDS = frozenset({"externalId", "name", "solutionId"})
"""What we send, and an error may name."""


class Doing(StrEnum):
    """What a request was for; the same status means different things."""

    READ = "read"
    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"


def error_of(doing: Doing, reply: Reply, system: str) -> ConnectorError:
    """The error that an answer from 400 on stands for."""
    code, field = _code_and_field(reply.content)
    answer = Answer(reply.status, code, field, reply.request_id)
    if doing is Doing.DELETE and reply.status in (405, 501):
        return DeleteNotOffered(system, answer)
    return _class(doing, reply.status, code)(system, answer)


def _class(doing: Doing, status: int, code: str) -> type[ConnectorError]:
    if code == "BadCursor" or status == 410:
        return FeedExpired
    if status == 403:
        return NotAllowed
    if status in (404, 405):
        return RecordMissing if doing is Doing.UPDATE and status == 404 else BadAnswer
    if status in (408, 500, 502, 504):
        return SystemDown if doing is Doing.READ else UnknownResult
    return SystemDown if status == 503 else Refused


def _code_and_field(body: Json) -> tuple[str, str]:
    """The problem's code, and the first field it names that we sent ourselves."""
    if not isinstance(body, dict):
        return "", ""
    code, errors = body.get("code"), body.get("errors")
    named = [one.get("field") for one in errors if isinstance(one, dict)] if isinstance(errors, list) else []
    field = next((one for one in named if isinstance(one, str) and one in _FIELDS), "")
    return code if isinstance(code, str) and _CODE.fullmatch(code) else "", field
