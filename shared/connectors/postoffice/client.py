"""PostOffice's interface as requests: addresses, pages, and errors by class."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from urllib.parse import quote

from shared.allotment import Allowed
from shared.connectors import answers
from shared.connectors.offsets import overlapping
from shared.connectors.postoffice.errors import SYSTEM, Doing, error_of
from shared.connectors.postoffice.site import Paging, Site
from shared.connectors.turns import InTurn
from shared.errors import BadAnswer
from shared.http_client import Call, Reply
from shared.strict_json import Json, JsonObject, WrongShape, as_list, as_object, as_text

ALLOWED = Allowed(at_once=4)
"""The contract names no limits; a database behind a gateway is not asked more at once."""
VERSION = "v1"
Query = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list. place: where the next one begins, None on the last; told_at: the site's time."""

    rows: Sequence[JsonObject]
    place: str | None
    more: bool
    told_at: str


class PostOfficeClient:
    """Sends requests to one site."""

    def __init__(self, http: InTurn, base_path: str, site: Site) -> None:
        self._http = http
        self._root = f"{base_path.rstrip('/')}/{VERSION}/"
        self.site = site

    @property
    def timeout_seconds(self) -> float:
        """How long a call may take when the caller does not say."""
        return self._http.limits.timeout_seconds

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def get(self, path: str, query: Query, template: str) -> Reply:
        """An answer that is a success; raises the error for anything else."""
        return _checked(await self._http.send(Call("GET", self._target(path, query), template)), Doing.READ)

    async def get_or_none(self, path: str, query: Query, template: str) -> Reply | None:
        """A record's answer, or None when it does not exist."""
        reply = await self._http.send(Call("GET", self._target(path, query), template))
        return None if reply.status == 404 else _checked(reply, Doing.READ)

    async def pages(
        self,
        path: str,
        query: Query,
        place: str | None,
        size: int,
        named: Callable[[JsonObject], str] | None = None,
        template: str = "",
    ) -> AsyncIterator[Page]:
        """The pages of a list from a place on. named: what a row is known by, where that is not its id. template: the
        path without ids, where there are any in it."""
        at = (path, template or path)
        if self.site.paging is Paging.OFFSET:
            async for page in self._by_offset(at, query, place, size, named or _id):
                yield page
        else:
            async for page in self._by_cursor(at, query, place, size):
                yield page

    async def _by_cursor(
        self, path: tuple[str, str], query: Query, place: str | None, size: int
    ) -> AsyncIterator[Page]:
        while True:
            at = {} if place is None else {self.site.parameter("cursor"): place}
            page = await self._page(path, {**query, **at}, size)
            yield page
            if page.place is None:
                return
            place = page.place

    async def _by_offset(
        self, path: tuple[str, str], query: Query, place: str | None, size: int, named: Callable[[JsonObject], str]
    ) -> AsyncIterator[Page]:
        """Rows may be told twice: nothing is known of the order of a list."""

        async def ask(offset: int) -> Page:
            return await self._page(path, {**query, self.site.parameter("offset"): str(offset)}, size)

        def names(page: Page) -> list[str]:
            return [named(one) for one in page.rows]

        async for cut in overlapping(ask, names, place, size):
            yield replace(cut.page, place=cut.place)

    async def _page(self, path: tuple[str, str], query: Query, size: int) -> Page:
        asked = {**query, self.site.parameter("limit"): str(min(size, self.site.page_size))}
        body = object_of(await self.get(path[0], asked, path[1]))
        try:
            rows = [as_object(row, "a row") for row in as_list(body.get("items"), "items")]
            place = None if body.get("nextCursor") is None else as_text(body["nextCursor"], "nextCursor")
            told_at = as_text(body.get("serverTime", ""), "serverTime")
            more = body.get("hasMore")
            if not isinstance(more, bool):
                raise WrongShape("hasMore is neither yes nor no")
        except WrongShape as error:
            raise BadAnswer(SYSTEM, detail=f"{SYSTEM}: {error}") from None
        if more and (not rows if self.site.paging is Paging.OFFSET else place is None):
            raise BadAnswer(SYSTEM, detail=f"{SYSTEM}: there are more rows, but not where they are")
        return Page(rows, place, more=more, told_at=told_at)

    async def write(
        self,
        method: str,
        path: str,
        template: str,
        body: JsonObject | None,
        *,
        doing: Doing,
        headers: Mapping[str, str],
        columns: Collection[str],
        within_seconds: float,
    ) -> Reply:
        """Send a write; raises the error for anything but success."""
        call = Call(method, self._target(path, {}), template, headers, body)
        return _checked(await self._http.send(call, within_seconds), doing, columns)

    def _target(self, path: str, query: Query) -> str:
        pairs = "&".join(f"{quote(name, safe='$')}={quote(value, safe='')}" for name, value in query.items())
        return f"{self._root}{path}" + (f"?{pairs}" if pairs else "")


def object_of(reply: Reply) -> JsonObject:
    """An answer's object; raises BadAnswer."""
    return answers.object_of(SYSTEM, reply)


def _checked(reply: Reply, doing: Doing, columns: Collection[str] = ()) -> Reply:
    if reply.status >= 400:
        raise error_of(doing, reply, columns)
    return reply


def _id(row: JsonObject) -> str:
    return str(row.get("id"))


def text_in(row: Mapping[str, Json], name: str) -> str:
    """A text of a row; raises BadAnswer."""
    return answers.text_of(SYSTEM, row.get(name), name)
