"""Business Central's API as requests: addresses, headers, pages, and errors by class.

Sources: Microsoft Learn, 'Business Central API (v2.0)' and 'Operational limits for Business Central Online'. Several
identities share the work in turn, because the limits count per identity.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from urllib.parse import quote

from shared.allotment import Allowed
from shared.connectors.answers import object_of, text_of
from shared.connectors.business_central.batch import GO_ON, Part, batch_of
from shared.connectors.business_central.errors import SYSTEM, Doing, error_of, is_missing
from shared.connectors.turns import InTurn
from shared.http_client import Call, Reply
from shared.strict_json import JsonObject, WrongShape, as_object

ALLOWED = Allowed(at_once=5, per_minute=1188)
"""5 requests at once and 6000 in any 5 minutes, of which a hundredth is left for requests that a share, passed on from
one process to another, may send twice."""
HEADERS = {"Accept-Language": "en-US"}
Query = Sequence[tuple[str, str]]


class BusinessCentralClient:
    """Sends requests to one company of one environment; the company is always named in the path.

    place: the address of the environment's APIs; api: which of them, the standard one or another.
    """

    def __init__(self, http: InTurn, place: str, company_id: str, api: str = "v2.0") -> None:
        self._http = http
        self._place = place
        self._company_id = company_id
        self._root = f"{place}/{api}"
        self._company = f"{self._root}/companies({company_id})/"

    def beside(self, api: str) -> BusinessCentralClient:
        """The same company through another API, by the same identities in turn."""
        return BusinessCentralClient(self._http, self._place, self._company_id, api)

    @property
    def timeout_seconds(self) -> float:
        """How long a call may take when the caller does not say."""
        return self._http.limits.timeout_seconds

    async def aclose(self) -> None:
        """Close the connections of all identities."""
        await self._http.aclose()

    async def get(self, path: str, query: Query, template: str, columns: Collection[str] = ()) -> JsonObject:
        """An answer's object; raises the error for anything but success."""
        return object_of(
            SYSTEM, _checked(await self._get(self._company + path + _encoded(query), template), Doing.READ, columns)
        )

    async def get_or_none(self, path: str, query: Query, template: str) -> JsonObject | None:
        """A record, or None when it does not exist."""
        reply = await self._get(self._company + path + _encoded(query), template)
        return None if is_missing(reply) else object_of(SYSTEM, _checked(reply, Doing.READ))

    async def pages(
        self, path: str, query: Query, template: str, page_size: int | None = None, columns: Collection[str] = ()
    ) -> AsyncIterator[JsonObject]:
        """All pages of a list, next links followed untouched and with the same headers."""
        headers = {"Prefer": f"odata.maxpagesize={page_size}"} if page_size else {}
        async for page in self._pages(self._company + path + _encoded(query), template, headers, columns):
            yield page

    async def root_pages(self, path: str) -> AsyncIterator[JsonObject]:
        """All pages of a list of the environment."""
        async for page in self._pages(self.below(path), path, {}, ()):
            yield page

    async def _pages(
        self, target: str, template: str, headers: Mapping[str, str], columns: Collection[str]
    ) -> AsyncIterator[JsonObject]:
        while True:
            page = object_of(SYSTEM, _checked(await self._get(target, template, headers), Doing.READ, columns))
            yield page
            link = page.get("@odata.nextLink")
            if link is None:
                return
            target = self._http.own_target(text_of(SYSTEM, link, "the next link"), self._root)

    async def company(self) -> JsonObject:
        """The company itself."""
        target = f"{self._company.removesuffix('/')}?$select=id,name"
        return object_of(SYSTEM, _checked(await self._get(target, "companies(..)"), Doing.READ))

    async def supported(self, query: Query) -> JsonObject:
        """What can be subscribed to."""
        return await self.beside("microsoft/runtime/beta").get("webhookSupportedResources", query, "supported")

    def below(self, path: str) -> str:
        """The address of what belongs to the environment and to no company."""
        return f"{self._root}/{path}"

    async def ask(
        self,
        method: str,
        target: str,
        template: str,
        body: JsonObject | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Send any request; what its status means is the caller's to judge."""
        return await self._http.send(Call(method, target, template, {**HEADERS, **(headers or {})}, body))

    async def metadata(self) -> bytes:
        """The CSDL document of the API."""
        return _checked(await self._metadata(), Doing.READ).raw

    async def metadata_or_none(self) -> bytes | None:
        """The CSDL document of an API that may not be there."""
        reply = await self._metadata()
        return None if is_missing(reply) else _checked(reply, Doing.READ).raw

    async def _metadata(self) -> Reply:
        call = Call("GET", f"{self._root}/$metadata", "$metadata", HEADERS, expects="application/xml")
        return await self._http.send(call)

    async def write(
        self,
        method: str,
        path: str,
        template: str,
        body: JsonObject,
        *,
        headers: Mapping[str, str],
        within_seconds: float | None = None,
    ) -> tuple[Reply, JsonObject]:
        """Send a write. From 400 on the object is empty and the reply is the caller's to judge."""
        call = Call(method, self._company + path, template, {**HEADERS, **headers}, body)
        reply = await self._http.send(call, within_seconds)
        if reply.status >= 400:
            return reply, {}
        try:
            return reply, as_object(reply.content, "the answer")
        except WrongShape:
            raise self._http.unusable(call) from None

    async def delete(self, path: str, template: str, within_seconds: float) -> None:
        """Delete a record whatever its version; raises RecordMissing for one that is gone already."""
        call = Call("DELETE", self._company + path, template, {**HEADERS, "If-Match": "*"})
        _checked(await self._http.send(call, within_seconds), Doing.UPDATE)

    async def batch(self, parts: Mapping[int, Part], within_seconds: float) -> Reply:
        """Send a `$batch`; the reply is the caller's to judge, part by part.

        Every part counts as a request: the documentation is silent on it, so the slower way is assumed.
        """
        headers = {**HEADERS, **GO_ON}
        call = Call("POST", f"{self._root}/$batch", "$batch", headers, batch_of(parts), weight=len(parts))
        return await self._http.send(call, within_seconds)

    def place_in_batch(self, table: str) -> str:
        """The address of a table as a part of a batch names it."""
        return f"{self._company.removeprefix(self._root + '/')}{table}"

    async def _get(self, target: str, template: str, headers: Mapping[str, str] | None = None) -> Reply:
        return await self._http.send(Call("GET", target, template, {**HEADERS, **(headers or {})}))


def _checked(reply: Reply, doing: Doing, columns: Collection[str] = ()) -> Reply:
    if reply.status >= 400:
        raise error_of(doing, reply, columns)
    return reply


def _encoded(query: Query) -> str:
    return "?" + "&".join(f"{name}={quote(value, safe='')}" for name, value in query) if query else ""
