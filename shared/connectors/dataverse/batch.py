"""Many writes in one call: the multipart `$batch` of the Web API, read part by part.

Source: Microsoft Learn, 'Execute batch operations using the Web API'. Parts run one after another and are answered in
their order; with `odata.continue-on-error` all of them run. Change sets are never used: one bad record would undo the
others.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import httpx

from shared.http_client import Reply
from shared.strict_json import Json, JsonObject, NotJson, dump, load

PARTS_PER_BATCH = 100
"""Of 1000 allowed: parts run one after another, and the whole call has to end within the time of one."""
BOUNDARY = "batch_crossdock"
CONTENT_TYPE = f"multipart/mixed; boundary={BOUNDARY}"
GO_ON = {"Prefer": "odata.continue-on-error"}
LINE = b"\r\n"
DEPTH = 32
_ANSWERED = re.compile(r'multipart/mixed\s*;.*?boundary\s*=\s*"?([^\s";,]{1,200})"?', re.IGNORECASE)
_STATUS = re.compile(rb"HTTP/1\.1 (\d{3})(?: |$)")


@dataclass(frozen=True, slots=True)
class Part:
    """One write. target: path and query on the organisation's host, already encoded. body: None for a delete."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: JsonObject | None


def batch_of(parts: Sequence[Part]) -> bytes:
    """The body of a batch. JSON holds no line ends of its own, so the boundary cannot occur in it."""
    mark = f"--{BOUNDARY}".encode()
    lines: list[bytes] = []
    for part in parts:
        lines += [mark, b"Content-Type: application/http", b"Content-Transfer-Encoding: binary", b""]
        lines += [f"{part.method} {part.target} HTTP/1.1".encode(), b"Content-Type: application/json; type=entry"]
        lines += [f"{name}: {value}".encode() for name, value in part.headers.items()]
        lines += [b"", b"" if part.body is None else dump(part.body)]
    return LINE.join([*lines, mark + b"--", b""])


def answers_of(reply: Reply, count: int) -> list[Reply] | None:
    """What was answered to each part, in order; None when that cannot be told for certain."""
    found = _ANSWERED.match(reply.headers.get("content-type", ""))
    if found is None:
        return None
    pieces = (LINE + reply.raw).split(LINE + b"--" + found[1].encode())
    if len(pieces) != count + 2 or not pieces[-1].startswith(b"--"):
        return None
    answers = [_answer(piece, reply.request_id) for piece in pieces[1:-1]]
    whole = [answer for answer in answers if answer is not None]
    return whole if len(whole) == count else None


def _answer(piece: bytes, request_id: str) -> Reply | None:
    """One part: its own headers, a blank line, then an HTTP answer."""
    _, _, content = piece.partition(LINE + LINE)
    head, _, body = content.partition(LINE + LINE)
    first, *lines = head.split(LINE)
    status = _STATUS.match(first)
    if status is None:
        return None
    pairs = [line.decode("latin-1").partition(":") for line in lines if line]
    headers = httpx.Headers([(name.strip(), value.strip()) for name, _, value in pairs])
    read: Json = None
    if body.strip():
        try:
            read = load(body.strip(), DEPTH)
        except NotJson:
            return None
    return Reply(int(status[1]), headers, read, body, headers.get("req_id") or request_id)
