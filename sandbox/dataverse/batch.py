"""`$batch`: multipart/mixed in, multipart/mixed out; parts one after another, change sets as one transaction each.

After Microsoft Learn, 'Execute batch operations using the Web API'. Without `odata.continue-on-error` the first part
that fails ends the batch, and its status is the status of the whole answer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from http import HTTPStatus
from urllib.parse import quote, urlsplit

from starlette.responses import Response

from sandbox.dataverse import errors
from sandbox.dataverse.calls import ACTS_FOR, BASE, Call, read_call, refusal
from sandbox.dataverse.errors import DataverseError, NotImitated
from sandbox.dataverse.transactions import Transaction

MAXIMUM = 1000
LONGEST_ADDRESS = 65_536
METHODS = frozenset({"GET", "POST", "PATCH", "PUT", "DELETE"})
LINE = b"\r\n"
_BOUNDARY = re.compile(r'multipart/mixed\s*;.*?boundary\s*=\s*("[^"]{1,200}"|[^;\s]{1,200})', re.IGNORECASE)
_REFERENCE = re.compile(r"\$(\w+)")
Execute = Callable[[Call], Awaitable[Response]]


@dataclass(frozen=True)
class Part:
    """One request of a batch; `content_id` names it within its change set."""

    method: str
    address: str
    headers: Mapping[str, str]
    body: bytes
    content_id: str | None


@dataclass(frozen=True)
class ChangeSet:
    """Requests that succeed or fail together."""

    parts: tuple[Part, ...]


def read_batch(headers: Mapping[str, str], body: bytes) -> list[Part | ChangeSet]:
    """Read a batch; raises DataverseError for a malformed one, for too many requests and for a GET in a change set."""
    found: list[Part | ChangeSet] = []
    for part_headers, content in _split(_boundary(headers.get("content-type", "")), body):
        if part_headers.get("content-type", "").lower().startswith("multipart/mixed"):
            inner = _split(_boundary(part_headers["content-type"]), content)
            found.append(ChangeSet(tuple(_change(*one) for one in inner)))
        else:
            found.append(_part(part_headers, content))
    if sum(len(one.parts) if isinstance(one, ChangeSet) else 1 for one in found) > MAXIMUM:
        raise errors.malformed_batch(f"A batch may hold at most {MAXIMUM} requests.")
    return found


def _boundary(content_type: str) -> bytes:
    found = _BOUNDARY.match(content_type)
    if found is None:
        raise errors.malformed_batch("The content type must be multipart/mixed with a boundary.")
    return found[1].strip('"').encode()


def _split(boundary: bytes, body: bytes) -> list[tuple[dict[str, str], bytes]]:
    """Take a multipart body apart into headers and contents; raises DataverseError unless it is closed properly."""
    pieces = (LINE + body).split(LINE + b"--" + boundary)
    if len(pieces) < 2 or not pieces[-1].startswith(b"--"):
        raise errors.malformed_batch("The multipart body does not end with its closing boundary.")
    return [_headed(piece.removeprefix(LINE)) for piece in pieces[1:-1]]


def _headed(text: bytes) -> tuple[dict[str, str], bytes]:
    head, gap, content = text.partition(LINE + LINE)
    if not gap:
        raise errors.malformed_batch("A part has no blank line after its headers.")
    return _headers(head.split(LINE)), content


def _headers(lines: Sequence[bytes]) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.decode("latin-1").partition(":")
        if not colon:
            raise errors.malformed_batch("A header of a part is not one.")
        found[name.strip().lower()] = value.strip()
    return found


def _change(headers: Mapping[str, str], content: bytes) -> Part:
    part = _part(headers, content)
    if part.method == "GET":
        raise errors.malformed_batch("A change set cannot contain a GET request.")
    if part.content_id is None:
        raise errors.bad_query("Content-ID header not present in a request of a change set.")
    return part


def _part(headers: Mapping[str, str], content: bytes) -> Part:
    if headers.get("content-type", "").lower() != "application/http":
        raise errors.malformed_batch("A part must have the content type application/http.")
    head, _, body = content.partition(LINE + LINE)
    request, *lines = head.split(LINE)
    method, _, rest = request.decode("utf-8").partition(" ")
    address, _, version = rest.rpartition(" ")
    if method not in METHODS or not address or not version.startswith("HTTP/"):
        raise errors.malformed_batch("A part does not begin with a request line.")
    if address.partition("?")[0].rstrip("/").endswith("$batch"):
        raise errors.malformed_batch("A batch cannot contain another batch.")
    own = _headers([line for line in lines if line])
    return Part(method, address, own, body, headers.get("content-id"))


class Batches:
    """Carries batches out. `pause` is the time a request takes, `together` makes the transaction of a change set."""

    def __init__(
        self,
        *,
        base_url: str,
        pause: Callable[[], Awaitable[None]],
        execute: Execute,
        together: Callable[[], Transaction],
        new_id: Callable[[], str],
    ) -> None:
        self._base_url = base_url
        self._pause = pause
        self._execute = execute
        self._together = together
        self._new_id = new_id

    async def run(self, call: Call) -> Response:
        """Carry a batch out and answer it; raises DataverseError for one that cannot even be read."""
        if call.options:
            raise NotImitated("query options on $batch")
        answers: list[tuple[dict[str, str], bytes]] = []
        status = 200
        for one in read_batch(call.headers, call.body):
            if isinstance(one, ChangeSet):
                headers, content, failed = await self._change_set(call, one)
            else:
                await self._pause()
                response = await self._one(call, one, {}, None)
                failed = response.status_code if response.status_code >= 400 else 0
                headers, content = _enveloped(None), self._told(response)
            answers.append((headers, content))
            if failed and not call.preferences.goes_on:
                status = failed
                break
        boundary = f"batchresponse_{self._new_id()}"
        return _multipart(status, boundary, _joined(boundary, answers))

    async def _change_set(self, call: Call, changes: ChangeSet) -> tuple[dict[str, str], bytes, int]:
        """Return a change set's part of the answer, and the status of its failure, which is one for all of it."""
        references: dict[str, str] = {}
        answers: list[tuple[dict[str, str], bytes]] = []
        for _ in changes.parts:
            await self._pause()
        try:
            async with self._together() as work:
                for part in changes.parts:
                    response = await self._one(call, part, references, work)
                    if response.status_code >= 400:
                        raise _Failed(response)
                    if part.content_id is not None and "odata-entityid" in response.headers:
                        references[part.content_id] = response.headers["odata-entityid"]
                    answers.append((_enveloped(part.content_id), self._told(response)))
        except _Failed as failed:
            return _enveloped(None), self._told(failed.response), failed.response.status_code
        boundary = f"changesetresponse_{self._new_id()}"
        return {"Content-Type": f"multipart/mixed; boundary={boundary}"}, _joined(boundary, answers), 0

    async def _one(self, outer: Call, part: Part, references: Mapping[str, str], work: Transaction | None) -> Response:
        try:
            address = self._own_path(_resolved(part.address, references) if work is not None else part.address)
            body = _referring(part.body, references) if work is not None else part.body
            if ACTS_FOR in part.headers:
                raise NotImitated("acting as another user in one part of a batch")
            call = read_call(part.method, address, part.headers, body, outer.caller, LONGEST_ADDRESS)
            return await self._execute(replace(call, within=work))
        except DataverseError as error:
            return refusal(error)

    def _own_path(self, address: str) -> str:
        """Return path and query of an address, which may be absolute or begin at the host's root or the service's."""
        if address.startswith(("https://", "http://")):
            parts = urlsplit(address)
            if f"{parts.scheme}://{parts.netloc}" != self._base_url:
                raise errors.bad_query("The address of a part is outside the organisation.")
            address = parts.path + (f"?{parts.query}" if parts.query else "")
        if not address.startswith("/"):
            address = f"{BASE}/{address}"
        return quote(address, safe="%/:=&?~#+!$,;'@()*[]\"<>")

    def _told(self, response: Response) -> bytes:
        """Write an answer as a part's content: status line, headers, body."""
        lines = [f"HTTP/1.1 {response.status_code} {_phrase(response.status_code)}"]
        if response.status_code >= 400:
            lines.append(f"REQ_ID: {self._new_id()}")
        kept = {name: value for name, value in response.headers.items() if name != "content-length"}
        if "odata-entityid" in kept:
            kept = {"location": kept["odata-entityid"], **kept}
        lines += [f"{_NAMES.get(name, name)}: {value}" for name, value in {**kept, "odata-version": "4.0"}.items()]
        return LINE.join([*(line.encode("latin-1") for line in lines), b"", bytes(response.body)])


class _Failed(Exception):
    """A request of a change set was refused, so all of it is undone."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status_code)
        self.response = response


_NAMES = {
    "location": "Location",
    "odata-entityid": "OData-EntityId",
    "odata-version": "OData-Version",
    "content-type": "Content-Type",
    "preference-applied": "Preference-Applied",
    "etag": "ETag",
}


def _resolved(address: str, references: Mapping[str, str]) -> str:
    """Put the address of an earlier request in the place of `$1`; raises DataverseError for an unknown one."""
    found = _REFERENCE.match(address)
    if found is None:
        return address
    if found[1] not in references:
        raise errors.unknown_reference(found[0])
    return references[found[1]] + address[found.end() :]


def _referring(body: bytes, references: Mapping[str, str]) -> bytes:
    """Resolve what a body refers to in its `@odata.bind` and `@odata.id`; a body that is not JSON is left as it is."""
    try:
        read = json.loads(body)
    except ValueError:
        return body
    if not isinstance(read, dict):
        return body
    refers = {name for name in read if name.endswith(("@odata.bind", "@odata.id")) and isinstance(read[name], str)}
    if not any(read[name].startswith("$") for name in refers):
        return body
    made = {name: _resolved(value, references) if name in refers else value for name, value in read.items()}
    return json.dumps(made).encode()


def _phrase(status: int) -> str:
    return HTTPStatus(status).phrase


def _enveloped(content_id: str | None) -> dict[str, str]:
    headers = {"Content-Type": "application/http", "Content-Transfer-Encoding": "binary"}
    return headers if content_id is None else {**headers, "Content-ID": content_id}


def _joined(boundary: str, parts: Sequence[tuple[Mapping[str, str], bytes]]) -> bytes:
    mark, lines = f"--{boundary}".encode(), list[bytes]()
    for headers, content in parts:
        lines += [mark, *(f"{name}: {value}".encode() for name, value in headers.items()), b"", content]
    return LINE.join([*lines, mark + b"--", b""])


def _multipart(status: int, boundary: str, body: bytes) -> Response:
    response = Response(body, status)
    response.headers["Content-Type"] = f"multipart/mixed; boundary={boundary}"
    return response
