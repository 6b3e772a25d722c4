"""What Dataverse's answers mean: status and error code in, class of error out.

Codes: Microsoft Learn, 'Web service error codes'; statuses: 'Compose HTTP requests and handle errors'. The vendor's
text is looked at for one thing only, a quoted column name that we sent ourselves, and is then dropped.
"""

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
    RecordMissing,
    Refused,
    SignInFailed,
    SystemDown,
    UnknownColumn,
    UnknownResult,
    VersionConflict,
)
from shared.http_client import Reply

SYSTEM = "dataverse"
_CODE = re.compile(r"0x[0-9a-f]{8}")
_QUOTED = re.compile(r"['\"]([A-Za-z_][A-Za-z0-9_.]*)(?:@odata\.bind)?['\"]")


class Doing(StrEnum):
    """What a request was for; the same status means different things."""

    READ = "read"
    METADATA = "metadata"
    CREATE_WITH_KEY = "create with key"
    CREATE = "create"
    UPDATE = "update"
    REGISTER = "register"

    @property
    def writes(self) -> bool:
        """Whether executing it changes the system."""
        return self not in (Doing.READ, Doing.METADATA)


BY_CODE: dict[str, type[ConnectorError]] = {
    "0x80044352": FeedExpired,  # version stamp of the client has expired
    "0x80044150": SystemDown,  # generic SQL error, a deadlock: rolled back
    "0x80044151": SystemDown,  # SQL timeout: rolled back
    "0x80040220": NotAllowed,  # privilege denied
    "0x80040204": NotAllowed,  # acting for another user not allowed
    "0x8004a110": NotAllowed,
    "0x8004f502": NotAllowed,  # secured column: create, read, update, query
    "0x8004f504": NotAllowed,
    "0x8004f506": NotAllowed,
    "0x8004f507": NotAllowed,
    "0x80072560": SignInFailed,  # the application user is no member of the organisation
    "0x80041102": UnknownColumn,  # table
    "0x80041103": UnknownColumn,  # column
    "0x80060888": UnknownColumn,  # segment or property in the address
    "0x80040224": Refused,  # a plug-in crashed: rolled back
    "0x80040265": Refused,  # a plug-in refused
}
CLASH_OF_OTHER_KEYS = frozenset({"0x80060892", "0x80040333"})
"""An alternate key or a duplicate rule, not the record's own key, met another record."""
DUPLICATE_KEY = "0x80040237"
MISSING = frozenset({"", "0x80040217", "0x80060891"})


def error_of(doing: Doing, reply: Reply, columns: Collection[str] = ()) -> ConnectorError:
    """The error that an answer from 400 on stands for. `columns`: names that may be kept as the field."""
    code, text = _code_and_text(reply)
    answer = Answer(reply.status, code, _field(text, columns), reply.request_id)
    return _class(doing, reply.status, code)(SYSTEM, answer)


def is_missing(reply: Reply) -> bool:
    """Whether a read's answer says that the record does not exist."""
    return reply.status == 404 and _code_and_text(reply)[0] in MISSING


def _class(doing: Doing, status: int, code: str) -> type[ConnectorError]:
    if code in BY_CODE:
        return BY_CODE[code]
    if status in (409, 412):
        return _clash(doing, code)
    if status == 404:
        return RecordMissing if doing is Doing.UPDATE and code in MISSING else _not_found(doing)
    if status == 403:
        return NotAllowed
    if status in (408, 500, 502, 504):
        return UnknownResult if doing.writes else SystemDown
    return SystemDown if status == 503 else Refused


def _clash(doing: Doing, code: str) -> type[ConnectorError]:
    """Only a clash of the record's own key is "already there"; starting over mends only a clash of versions."""
    if doing is Doing.CREATE:
        return AlreadyExists
    if code in CLASH_OF_OTHER_KEYS:
        return Refused
    if doing is Doing.CREATE_WITH_KEY:
        return AlreadyExists
    return Refused if code == DUPLICATE_KEY else VersionConflict


def _not_found(doing: Doing) -> type[ConnectorError]:
    """A create can only miss what its references point to."""
    return Refused if doing.writes else UnknownColumn


def _code_and_text(reply: Reply) -> tuple[str, str]:
    body = reply.content if isinstance(reply.content, dict) else {}
    error = body.get("error")
    if not isinstance(error, dict):
        return "", ""
    code, text = error.get("code"), error.get("message")
    return _hex(code if isinstance(code, str) else ""), text if isinstance(text, str) else ""


def _hex(code: str) -> str:
    """Codes come as 0x80040217 and, in some answers, as the signed number -2147220969."""
    if code.startswith("-") and code[1:].isdigit() and len(code) < 12:
        code = hex(int(code) & 0xFFFFFFFF)
    lowered = code.lower()
    return lowered if _CODE.fullmatch(lowered) else ""


def _field(text: str, columns: Collection[str]) -> str:
    """The column, as the definition names it, whose own name is the first known one that the text quotes."""
    own = {name.partition(".")[0]: name for name in columns}
    return next((own[name] for name in _QUOTED.findall(text) if name in own), "")
