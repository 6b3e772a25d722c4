"""What Business Central's answers mean: error code first, status second.

Codes: Microsoft Learn, 'API error codes'; limits and their statuses: 'Operational limits'. Texts follow the user's
language, so no text is ever compared: it is looked at for quoted property names that we sent ourselves and dropped.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from enum import StrEnum

from shared.errors import (
    AlreadyExists,
    Answer,
    ConnectorError,
    CrossdockError,
    ManualNumbersForbidden,
    NotAllowed,
    RecordMissing,
    Refused,
    SettingsError,
    SystemDown,
    UnknownColumn,
    UnknownResult,
    VersionConflict,
)
from shared.http_client import Reply

SYSTEM = "business_central"
PLACE_GONE = "SkipTokenIsNoLongerValid"
DIALOG = "Application_DialogException"
STALE_REFERENCE = frozenset({"Internal_InvalidTableRelation", DIALOG})
_CODE = re.compile(r"[A-Za-z]+(?:_[A-Za-z]+)?")
_QUOTED = re.compile(r"['\"]([A-Za-z_][A-Za-z0-9_]*)['\"]")
_XML_CODE = re.compile(rb"<code>([A-Za-z]{1,60})</code>")


class Doing(StrEnum):
    """What a request was for; the same answer means different things."""

    READ = "read"
    CREATE = "create"
    UPDATE = "update"

    @property
    def writes(self) -> bool:
        """Whether executing it changes the system."""
        return self is not Doing.READ


BY_CODE: Mapping[str, type[ConnectorError]] = {
    "Request_EntityChanged": VersionConflict,
    "Internal_EntityWithSameKeyExists": AlreadyExists,
    "Internal_RecordNotFound": RecordMissing,
    "Internal_DataNotFoundFilter": RecordMissing,
    "Internal_TenantUnavailable": SystemDown,
    PLACE_GONE: SystemDown,
}
WRONG_PLACE = {
    "NoEnvironment": "the environment does not exist",
    "Internal_CompanyNotFound": "the company does not exist",
}


def error_of(doing: Doing, reply: Reply, columns: Collection[str] = ()) -> CrossdockError:
    """The error that an answer from 400 on stands for. `columns`: names that may be kept as the field.

    A wrong environment or company is a SettingsError: it concerns no record. The first is answered in XML.
    """
    code, text = code_and_text(reply)
    if code in WRONG_PLACE:
        return SettingsError(f"{SYSTEM}: {WRONG_PLACE[code]}; correct the settings.")
    answer = Answer(reply.status, code, quoted_column(text, columns), reply.request_id)
    return _class(doing, reply.status, code)(SYSTEM, answer)


def is_missing(reply: Reply) -> bool:
    """Whether a read's answer says that the record does not exist."""
    code = code_and_text(reply)[0]
    return reply.status == 404 and (code == "BadRequest_ResourceNotFound" or BY_CODE.get(code) is RecordMissing)


def is_unexplained_dialog(reply: Reply, columns: Collection[str]) -> bool:
    """Whether a refusal comes from an AL dialog and quotes none of the columns.

    The page's own refusals quote the property they are about in every language (`"displayName"`); those of the
    number series, of a tax number's form or of an extension quote none.
    """
    code, text = code_and_text(reply)
    return reply.status >= 400 and code == DIALOG and not quoted_column(text, columns)


def manual_numbers_forbidden(reply: Reply, column: str) -> ManualNumbersForbidden:
    """The refusal of a number of ours, under its proper class."""
    answer = Answer(reply.status, code_and_text(reply)[0], column, reply.request_id)
    return ManualNumbersForbidden(SYSTEM, answer)


def code_and_text(reply: Reply) -> tuple[str, str]:
    """The vendor's code, and its text for looking at only."""
    body = reply.content if isinstance(reply.content, dict) else {}
    error = body.get("error")
    if not isinstance(error, dict):
        found = _XML_CODE.search(reply.raw[:10_000])
        return (found.group(1).decode() if found else ""), ""
    code, text = error.get("code"), error.get("message")
    known = code if isinstance(code, str) and len(code) <= 80 and _CODE.fullmatch(code) else ""
    return known, text if isinstance(text, str) else ""


def quoted_column(text: str, columns: Collection[str]) -> str:
    """The column, as the definition names it, whose own name is the first known one that the text quotes."""
    own = {name.partition(".")[0]: name for name in columns}
    return next((own[name] for name in _QUOTED.findall(text) if name in own), "")


def _class(doing: Doing, status: int, code: str) -> type[ConnectorError]:
    if code in BY_CODE:
        return BY_CODE[code]
    if code.startswith("Authorization_") or status == 403:
        return NotAllowed
    if status in (502, 503):
        return SystemDown
    if status in (408, 500, 504):
        return UnknownResult if doing.writes else SystemDown
    if status == 412 and doing is Doing.UPDATE:
        return VersionConflict
    if status == 404:
        return RecordMissing if doing is Doing.UPDATE else UnknownColumn
    return UnknownColumn if code == "BadRequest" and not doing.writes else Refused
