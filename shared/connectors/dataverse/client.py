"""Dataverse's Web API v9.2 as requests: addresses, headers, pages, and errors by class.

Source: Microsoft Learn, 'Use the Microsoft Dataverse Web API'.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from functools import lru_cache
from urllib.parse import quote

from shared.allotment import Allowed
from shared.connectors.answers import object_of, text_of
from shared.connectors.dataverse.batch import CONTENT_TYPE, GO_ON, Part, batch_of
from shared.connectors.dataverse.errors import SYSTEM, Doing, error_of, is_missing
from shared.connectors.turns import InTurn
from shared.http_client import Call, Reply
from shared.strict_json import JsonObject, WrongShape, as_object

ALLOWED = Allowed(at_once=52, hint_header="x-ms-dop-hint", unhinted=4)
"""52 requests at once; more than the hint makes them slower (Microsoft Learn, 'Send parallel requests'). How many in
five minutes depends on how many servers there are, so 429 and Retry-After say it."""
ROOT = "/api/data/v9.2/"
HEADERS = {"OData-MaxVersion": "4.0", "OData-Version": "4.0", "If-None-Match": "null"}
Query = Sequence[tuple[str, str]]


class DataverseClient:
    """Sends requests to one organisation, each as the identity whose turn it is."""

    def __init__(self, http: InTurn) -> None:
        self._http = http

    def each_identity(self) -> Sequence[DataverseClient]:
        """A client of each identity for itself."""
        return [DataverseClient(one) for one in self._http.each()]

    @property
    def timeout_seconds(self) -> float:
        """How long a call may take when the caller does not say."""
        return self._http.limits.timeout_seconds

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def get(self, path: str, query: Query, template: str, doing: Doing = Doing.READ) -> JsonObject:
        """An answer's object; raises the error for anything but success."""
        found = await self._get(ROOT + path + encoded(query), template, {}, doing)
        return object_of(SYSTEM, found)

    async def get_or_none(self, path: str, query: Query, template: str, prefer: str = "") -> JsonObject | None:
        """A record, or None when it does not exist."""
        headers = {"Prefer": prefer} if prefer else {}
        call = Call("GET", ROOT + path + encoded(query), template, {**HEADERS, **headers})
        reply = await self._http.send(call)
        if is_missing(reply):
            return None
        return object_of(SYSTEM, _checked(reply, Doing.READ))

    async def pages(
        self,
        path: str,
        query: Query,
        template: str,
        prefer: str = "",
        columns: Collection[str] = (),
        doing: Doing = Doing.READ,
    ) -> AsyncIterator[JsonObject]:
        """All pages of a list, next links followed untouched, with the same preferences and as the same identity."""
        one = DataverseClient(self._http.one())
        target = ROOT + path + encoded(query)
        headers = {"Prefer": prefer} if prefer else {}
        while True:
            page = object_of(SYSTEM, await one._get(target, template, headers, doing, columns))
            yield page
            link = page.get("@odata.nextLink")
            if link is None:
                return
            target = self._http.own_target(text_of(SYSTEM, link, "the next link"), ROOT)

    async def write(
        self,
        method: str,
        path: str,
        query: Query,
        template: str,
        body: JsonObject,
        *,
        doing: Doing,
        headers: Mapping[str, str],
        columns: Collection[str],
        within_seconds: float | None = None,
    ) -> JsonObject:
        """Send a write and return the record as stored. An answer that cannot be used leaves the result unknown."""
        call = Call(method, ROOT + path + encoded(query), template, {**HEADERS, **headers}, body)
        reply = _checked(await self._http.send(call, within_seconds), doing, columns)
        try:
            return as_object(reply.content, "the answer")
        except WrongShape:
            raise self._http.unusable(call) from None

    async def delete(self, path: str, query: Query, template: str, within_seconds: float) -> None:
        """Delete a record; raises RecordMissing for one that is gone already."""
        call = Call("DELETE", ROOT + path + encoded(query), template, HEADERS)
        _checked(await self._http.send(call, within_seconds), Doing.UPDATE)

    async def act(self, path: str, query: Query, template: str, body: JsonObject, within_seconds: float) -> Reply:
        """Call an action that writes. From 400 on the reply is the caller's to judge."""
        call = Call("POST", ROOT + path + encoded(query), template, HEADERS, body)
        return await self._http.send(call, within_seconds)

    async def batch(self, parts: Sequence[Part], within_seconds: float) -> Reply:
        """Send a `$batch` that goes on after a failure; the reply is the caller's to judge, part by part."""
        headers = {**HEADERS, **GO_ON, "Content-Type": CONTENT_TYPE}
        call = Call("POST", f"{ROOT}$batch", "$batch", headers, batch_of(parts), expects="multipart/mixed")
        return await self._http.send(call, within_seconds)

    async def order(
        self, method: str, path: str, template: str, body: JsonObject | None, headers: Mapping[str, str]
    ) -> None:
        """Send what changes registrations and definitions; the answer says nothing more than that it was done."""
        call = Call(method, ROOT + path, template, {**HEADERS, **headers}, body)
        _checked(await self._http.send(call), Doing.REGISTER)

    async def _get(
        self, target: str, template: str, headers: Mapping[str, str], doing: Doing, columns: Collection[str] = ()
    ) -> Reply:
        call = Call("GET", target, template, {**HEADERS, **headers})
        return _checked(await self._http.send(call), doing, columns)


def _checked(reply: Reply, doing: Doing, columns: Collection[str] = ()) -> Reply:
    if reply.status >= 400:
        raise error_of(doing, reply, columns)
    return reply


def encoded(query: Query) -> str:
    """The options as the query of an address."""
    return "?" + "&".join(_option(name, value) for name, value in query) if query else ""


def _option(name: str, value: str) -> str:
    return f"{name}={_columns(value) if name == '$select' else quote(value, safe='')}"


@lru_cache(maxsize=256)
def _columns(names: str) -> str:
    """Escaped names of columns, which are the same in every call; values of records are never kept like this."""
    return quote(names, safe="")
