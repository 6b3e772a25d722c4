"""Field service's interfaces as requests: addresses, bodies, and errors by class."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from shared.allotment import Allowed
from shared.connectors import answers
from shared.connectors.field_service.errors import Doing, error_of, is_missing
from shared.connectors.field_service.site import Site
from shared.connectors.turns import InTurn
from shared.http_client import Call, Reply
from shared.strict_json import JsonObject

ALLOWED = Allowed(at_once=4)
"""Neither product publishes limits; a server of a customer's own is not asked more at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request. path: below the base, encoded, with its query; template: the path without keys. names: columns and
    tables that an error may be kept with."""

    method: str = "GET"
    path: str
    template: str
    doing: Doing = Doing.READ
    body: JsonObject | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    names: Collection[str] = ()
    expects: str = "application/json"


class FieldServiceClient:
    """Sends requests to one installation. system: the kind of the system; base: the path of its interface."""

    def __init__(self, http: InTurn, system: str, base: str) -> None:
        self._http = http
        self._base = base.rstrip("/")
        self.system = system

    @property
    def timeout_seconds(self) -> float:
        """How long a call may take when the caller does not say."""
        return self._http.limits.timeout_seconds

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def send(self, request: Request, within_seconds: float | None = None) -> Reply:
        """An answer that is a success; raises the error for anything else."""
        return self._checked(request, await self._sent(request, within_seconds))

    async def send_or_none(self, request: Request) -> Reply | None:
        """Likewise, or None when the record does not exist."""
        reply = await self._sent(request, None)
        return None if is_missing(reply) else self._checked(request, reply)

    async def described(self, request: Request) -> Reply | None:
        """The description of a table, or None when there is none."""
        reply = await self._sent(request, None)
        return None if reply.status == 404 else self._checked(request, reply)

    def object_of(self, reply: Reply) -> JsonObject:
        """An answer's object; raises BadAnswer."""
        return answers.object_of(self.system, reply)

    async def _sent(self, request: Request, within_seconds: float | None) -> Reply:
        call = Call(
            request.method,
            f"{self._base}/{request.path}",
            request.template,
            request.headers,
            request.body,
            expects=request.expects,
            asks=not request.doing.writes,
        )
        return await self._http.send(call, within_seconds)

    def _checked(self, request: Request, reply: Reply) -> Reply:
        if reply.status >= 400:
            raise error_of(self.system, request.doing, reply, request.names)
        return reply


SiteT = TypeVar("SiteT", bound=Site)


class AtInstallation(Generic[SiteT]):
    """What a dialect is by its client and by what the site's binding says, in both dialects alike."""

    def __init__(self, client: FieldServiceClient, site: SiteT) -> None:
        self._client = client
        self._site = site

    @property
    def page_size(self) -> int:
        return self._site.page_size

    @property
    def timeout_seconds(self) -> float:
        return self._client.timeout_seconds

    def changed_in(self, table: str) -> str:
        return self._site.changed_in(table)

    async def aclose(self) -> None:
        await self._client.aclose()
