"""`$batch` in JSON: parts one after another, stop or go on, and the misleading answers of a rolled back snapshot.

Source: Microsoft Learn, 'Tips for working with the APIs' (batch, `Isolation: snapshot`) and public reports of the live
service for the limit's answer and the ids of rows that do not exist.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qsl, unquote

from sandbox.business_central.calls import Answer, Call
from sandbox.business_central.errors import ApiError, NotImitated, bad_request
from sandbox.business_central.store import Work

MAXIMUM = 100
_METHODS = frozenset({"GET", "POST", "PATCH", "DELETE"})
Execute = Callable[[Call, Work], tuple[Answer, Exception | None]]
"""Carries out a part in a unit of work; an error comes back beside its answer and its writes are undone."""


@dataclass(frozen=True)
class Part:
    """One request of a batch."""

    part_id: str
    call: Call
    depends_on: tuple[str, ...]


@dataclass(frozen=True)
class Batch:
    """A batch that has been read and checked."""

    parts: tuple[Part, ...]
    snapshot: bool
    goes_on: bool


def read_batch(call: Call) -> Batch:
    """Read a batch; raises ApiError for a malformed one and for more than 100 parts."""
    body = call.body
    if not isinstance(body, dict) or not isinstance(body.get("requests"), list):
        raise bad_request("bad_body")
    requests = body["requests"]
    if len(requests) > MAXIMUM:
        raise ApiError(500, "Unknown", "too_many_parts")
    parts = tuple(_part(call, request) for request in requests)
    if len({part.part_id for part in parts}) != len(parts):
        raise bad_request("bad_body")
    snapshot = call.headers.get("isolation", "").lower() == "snapshot"
    return Batch(parts, snapshot, "odata.continue-on-error" in call.prefer)


def _part(outer: Call, request: Any) -> Part:
    if not isinstance(request, dict):
        raise bad_request("bad_body")
    part_id, method, url = request.get("id"), request.get("method"), request.get("url")
    if not isinstance(part_id, str) or not isinstance(method, str) or not isinstance(url, str):
        raise bad_request("bad_body")
    if method.upper() not in _METHODS:
        raise bad_request("bad_body")
    return Part(part_id, _call(outer, method.upper(), url, request), _texts(request.get("dependsOn", [])))


def _call(outer: Call, method: str, url: str, request: Mapping[str, Any]) -> Call:
    if "://" in url or url.startswith(("/", "$")):
        raise NotImitated("a batch part whose address is not relative to the API's root")
    path, _, query = url.partition("?")
    headers = request.get("headers", {})
    if not isinstance(headers, dict):
        raise bad_request("bad_body")
    own = {str(name).lower(): str(value) for name, value in headers.items()}
    inherited = {name: outer.headers[name] for name in ("accept-language", "company") if name in outer.headers}
    return replace(
        outer,
        method=method,
        segments=tuple(unquote(segment) for segment in path.split("/") if segment),
        options=dict(parse_qsl(query, keep_blank_values=True)),
        headers=inherited | own,
        url=f"{outer.root}/{path}",
        body=request.get("body"),
    )


def _texts(values: Any) -> tuple[str, ...]:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise bad_request("bad_body")
    return tuple(values)


async def run_batch(
    batch: Batch,
    *,
    begin: Callable[[], Work],
    execute: Execute,
    finish: Callable[[Work], None],
    pause: Callable[[], Awaitable[None]],
) -> list[dict[str, Any]]:
    """Carry a batch out and return its `responses`; `finish` makes a unit of work lasting."""
    if batch.snapshot:
        for _ in batch.parts:
            await pause()
        return _all_or_nothing(batch, begin(), execute, finish)
    responses: list[dict[str, Any]] = []
    failed: set[str] = set()
    for part in batch.parts:
        await pause()
        work = begin()
        answer, error = _one(part, failed, execute, work)
        finish(work)
        responses.append(_response(part, answer))
        if error is not None:
            failed.add(part.part_id)
            if not batch.goes_on:
                break
    return responses


def _all_or_nothing(batch: Batch, work: Work, execute: Execute, finish: Callable[[Work], None]) -> list[dict[str, Any]]:
    """One failed part undoes all, yet the parts before it keep the success they have been answered with."""
    responses: list[dict[str, Any]] = []
    failed: set[str] = set()
    for part in batch.parts:
        answer, error = _one(part, failed, execute, work)
        responses.append(_response(part, answer))
        if error is not None:
            failed.add(part.part_id)
            if not batch.goes_on:
                break
    if failed:
        work.undo()
    finish(work)
    return responses


def _one(part: Part, failed: set[str], execute: Execute, work: Work) -> tuple[Answer, Exception | None]:
    if failed.intersection(part.depends_on):
        error = ApiError(424, "BadRequest", "dependency", part=part.depends_on[0])
        return Answer(424, error.body("en", "00000000-0000-0000-0000-000000000000")), error
    return execute(part.call, work)


def _response(part: Part, answer: Answer) -> dict[str, Any]:
    headers = {name.lower(): value for name, value in answer.headers.items()}
    response: dict[str, Any] = {"id": part.part_id, "status": answer.status, "headers": headers}
    if answer.body is not None:
        headers["content-type"] = answer.media
        response["body"] = answer.body
    return response
