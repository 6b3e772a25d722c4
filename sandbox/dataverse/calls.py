"""One request, taken apart, and its answer: apart from how they travel, alone or as a part of a batch.

After Microsoft Learn, 'Compose HTTP requests and handle errors'.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from starlette.responses import Response

from sandbox.dataverse import errors
from sandbox.dataverse.context import Caller
from sandbox.dataverse.errors import DataverseError, NotImitated
from sandbox.dataverse.metadata import Table
from sandbox.dataverse.reading import Preferences
from sandbox.dataverse.transactions import Transaction
from sandbox.exact_json import to_json

ACTS_FOR = "callerobjectid"
"""The header that names the user in whose name the caller acts, by his id in the directory."""
BASE = "/api/data/v9.2"
JSON = "application/json; odata.metadata=minimal"
REFUSED_HEADERS = {
    "mscrmcallerid": None,
    "mscrm.bypassbusinesslogicexecution": None,
    "mscrm.bypassbusinesslogicexecutionstepids": None,
    "mscrm.bypasscustompluginexecution": None,
    "mscrm.suppressduplicatedetection": "true",
    "mscrm.sessiontoken": None,
}
"""Optional headers with effects nobody has imitated; a value that means the default is let through."""
MAX_ADDRESS = 32_768
_PREFERENCE = re.compile(r'\s*([\w.-]+)\s*(?:=\s*("[^"]*"|[^,;"]*))?\s*(?:,|$)')


@dataclass(frozen=True)
class Call:
    """A request: segments below the service root, query options, headers with lower-case names, caller.

    `within` is the transaction of the change set the request is part of.
    """

    method: str
    segments: tuple[str, ...]
    path: str
    options: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    preferences: Preferences
    caller: Caller
    stale_seconds: float | None = None
    within: Transaction | None = None

    def json(self) -> Any:
        """Return the body; raises DataverseError when it is not JSON."""
        content_type = self.headers.get("content-type", "")
        if not content_type.startswith("application/json"):
            raise DataverseError(415, "", f"The media type '{content_type}' of the request body is not supported.")
        try:
            return json.loads(self.body, parse_float=Decimal, parse_constant=_no_constant)
        except ValueError:
            raise errors.payload_error("", "The request body is not valid JSON.") from None

    def precondition(self, name: str) -> str | None:
        """Return If-Match or If-None-Match, or None; the literal text `null`, which samples send, means none."""
        value = self.headers.get(name)
        return None if value in (None, "", "null") else value


def read_call(
    method: str, address: str, headers: Mapping[str, str], body: bytes, caller: Caller, longest: int = MAX_ADDRESS
) -> Call:
    """Take a request apart; `address` is path and query as they were sent. Raises DataverseError or NotImitated."""
    if len(address) > longest:
        raise DataverseError(414, "", "The request URI is too long.")
    _check_headers(headers)
    parts = urlsplit(address)
    path, segments = _segments(parts.path)
    options = dict(parse_qsl(parts.query, keep_blank_values=True, encoding="utf-8"))
    return Call(
        method=method,
        segments=segments,
        path=path,
        options=options,
        headers=headers,
        body=body,
        preferences=parse_preferences(headers.get("prefer", "")),
        caller=replace(caller, tag=options.get("tag")),
    )


def check_write(call: Call, table: Table) -> None:
    """Refuse a write that cannot be, before anything happens."""
    deleting = call.method == "DELETE"
    if table.read_only or (table.delete_only and not deleting):
        raise NotImitated(f"writing rows of {table.name}")
    for option in call.options:
        if option not in ("$select", "tag"):
            raise NotImitated(f"the query option {option} on a write")


def _check_headers(headers: Mapping[str, str]) -> None:
    for name, harmless in REFUSED_HEADERS.items():
        if name in headers and headers[name].lower() != harmless:
            raise NotImitated(f"the header {name}")
    for name in ("odata-version", "odata-maxversion"):
        if headers.get(name, "4.0") != "4.0":
            raise errors.bad_query(f"The value of the header {name} must be 4.0.")


def _segments(path: str) -> tuple[str, tuple[str, ...]]:
    """Take the path apart below the service root; brackets and quotes keep slashes of key values together."""
    if path.rstrip("/") != BASE and not path.startswith(BASE + "/"):
        raise NotImitated(f"addresses outside {BASE}")
    relative = path[len(BASE) :].strip("/")
    return relative, tuple(_checked_segment(part) for part in relative.split("/")) if relative else ()


def _checked_segment(encoded: str) -> str:
    """Decode a segment; characters that never get through in a path, even encoded, are refused."""
    segment = unquote(encoded)
    in_key = segment.partition("(")[2]
    if any(character in in_key for character in "/<>*%&\\?+") or re.search(r"'[^']*:[^']*'", in_key):
        raise errors.bad_query("A potentially dangerous Request.Path value was detected from the client.")
    return segment


def parse_preferences(text: str) -> Preferences:
    """Read the Prefer header; unknown preferences are ignored, as HTTP says, known ones nobody imitates are not."""
    found, position = Preferences(), 0
    while position < len(text):
        part = _PREFERENCE.match(text, position)
        if part is None or part.end() == position:
            raise errors.bad_query("The value of the header Prefer is not valid.")
        found = _preferring(found, part[1].lower(), (part[2] or "").strip())
        position = part.end()
    return found


def _preferring(found: Preferences, name: str, raw: str) -> Preferences:
    value = raw.strip('"')
    applied = (*found.applied, f"{name}={raw}" if raw else name)
    match name:
        case "return":
            wanted = value == "representation"
            return replace(found, representation=wanted, applied=applied if wanted else found.applied)
        case "odata.maxpagesize":
            if not value.isdecimal() or int(value) < 1:
                raise errors.bad_query(f"Invalid value '{value}' for the preference odata.maxpagesize.")
            return replace(found, page_size=int(value), applied=applied)
        case "odata.include-annotations":
            names = tuple(pattern.strip() for pattern in value.split(","))
            return replace(found, annotations=names, applied=applied)
        case "odata.track-changes":
            return replace(found, track_changes=True, applied=applied)
        case "odata.continue-on-error":
            return replace(found, goes_on=value in ("", "true"), applied=applied)
        case "respond-async":
            raise NotImitated("Prefer: respond-async")
    return found


def _no_constant(name: str) -> None:
    """Refuse NaN and Infinity, which Python would read and JSON does not have."""
    raise ValueError(name)


def json_answer(
    body: Mapping[str, Any], applied: Sequence[str] = (), status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Answer with JSON; `applied` are the preferences to confirm."""
    response = Response(to_json(body), status, headers=dict(headers or {}))
    response.headers["Content-Type"] = JSON
    if applied:
        response.headers["Preference-Applied"] = ",".join(applied)
    return response


def error_answer(status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> Response:
    """Answer with the vendor's error body."""
    return json_answer({"error": {"code": code, "message": message}}, status=status, headers=headers)


def refusal(error: DataverseError) -> Response:
    """Answer with a refusal."""
    return error_answer(error.status, error.code, error.message, error.headers)


def method_not_allowed(method: str) -> DataverseError:
    """Refuse a method that the address does not take."""
    return DataverseError(405, "", f"The requested resource does not support http method '{method}'.")
