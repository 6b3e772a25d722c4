"""A world with the real connectors of Dataverse and field service on their sandboxes, struck at every call.

Both dialects are spoken of in the words of `tests.scenarios.field_service.dialects`. A site posts what its people
change, or tells nobody of anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar
from urllib.parse import urlsplit

import httpx

from sandbox.field_service.sandbox import FieldServiceSandbox
from sandbox.transport import SandboxTransport
from shared.app import App, Outside
from shared.connectors.field_service.connector import FieldServiceConnector
from shared.connectors.field_service.dialect import Dialect as Wire
from shared.connectors.field_service.fsm import Fsm
from shared.connectors.field_service.ifs_cloud import IfsCloud
from shared.connectors.field_service.site import FsmSite, IfsCloudSite
from shared.connectors.turns import InTurn
from shared.engine import IFS_CLOUD_SCOPE
from shared.http_client import basic
from shared.identity import FixedCredential, TokenEndpointTokens
from shared.stores.rows import RowStore
from shared.sync.ports import Connector
from tests.own_tables import make_own_tables
from tests.scenarios.field_service.dialects import FSM, IFS_CLOUD, SECRET, Dialect
from tests.scenarios.field_service.field_world import shipped
from tests.simulation.site_world import SiteWorld, for_a_story
from tests.simulation.world import Faults, SeededIds, Setup

APP = "https://app.example"


@dataclass(frozen=True)
class FieldSite:
    """An installation. versions: whether its rows have any; a page holds as few rows as may be where it has none.
    tells: whether it posts what its people change."""

    dialect: Dialect
    versions: bool = True
    tells: bool = True


SITES: Mapping[str, FieldSite] = {
    "FSM": FieldSite(FSM),
    "FSM without versions": FieldSite(FSM, versions=False, tells=False),
    "IFS Cloud": FieldSite(IFS_CLOUD),
}
"""Of FSM one that offers all of its contract and one that offers the least; IFS Cloud is one for everybody."""


class _Door(httpx.AsyncBaseTransport):
    """Takes what a site posts to our address."""

    def __init__(self, world: FieldWorld) -> None:
        self._world = world

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await self._world.posted(await request.aread())


class FieldWorld(SiteWorld):
    """The engine between a CRM and an installation of field service."""

    numbers: ClassVar[frozenset[str]] = frozenset({"cdock_fsmid", "cdock_quotenumber"})

    def __init__(
        self,
        site: str,
        names: Sequence[str],
        faults: Faults,
        rows: RowStore | None = None,
        *,
        by_requests: bool = False,
        setup: Setup | None = None,
    ) -> None:
        self.at = SITES[site]
        self.dialect = self.at.dialect
        self.kind = self.dialect.kind
        index = shipped(self.dialect, *names)
        files = {f"transfers/field_service/{self.kind}/{name}.yaml" for name in names}
        read = [one for one in index.definitions if one.file in files]
        self.tables = index.tables
        definitions = [for_a_story(one, read) for one in read]
        super().__init__(definitions, faults, rows, by_requests=by_requests, setup=setup)

    def _open_site(self) -> Connector:
        self._post = httpx.AsyncClient(transport=_Door(self))
        self.field: FieldServiceSandbox = self.dialect.sandbox(self.clock, self.issuer, self._post, self.setup.seed)
        if self.at.tells:
            self.field.tell(f"{APP}/api/fsm/outbound", SECRET)
        own = f"CROSSDOCK_{self.kind.upper()}_"
        settings = {name.removeprefix(own): value for name, value in self.dialect.settings.items()}
        base, identity = settings["SANDBOX_URL"], settings["IDENTITIES"]
        wire = self._fsm(base, identity) if self.dialect is FSM else self._ifs_cloud(base, identity, settings)
        return FieldServiceConnector(wire, self.clock, instance=base.removeprefix("https://"), system=self.kind)

    def _fsm(self, base: str, identity: str) -> Wire:
        site = FsmSite()
        if not self.at.versions:
            site = FsmSite(versions=False, page_size=2)
            self.field.set(versions=False)
        client = self._site_client(base, self.field.app, FixedCredential(identity), basic)
        return Fsm(InTurn([client]), urlsplit(base).path, site)

    def _ifs_cloud(self, base: str, identity: str, settings: Mapping[str, str]) -> Wire:
        client_id, secret = identity.split(":")
        url = f"{base}/auth/realms/{settings['NAMESPACE']}/protocol/openid-connect/token"
        tokens = TokenEndpointTokens(url, client_id, secret, self.clock, transport=SandboxTransport(self.field.app))
        client = self._site_client(base, self.field.app, tokens, scope=IFS_CLOUD_SCOPE)
        return IfsCloud(InTurn([client]), "", IfsCloudSite())

    async def _close_site(self) -> None:
        await self.field.aclose()
        await self._post.aclose()

    def held(self, table: str) -> int:
        return len(self.there(table))

    async def prepare(self) -> None:
        """Our tables are there. Who has made them knows the tables from before."""
        setting_up = self._crm_connector()
        await make_own_tables({"dataverse": setting_up}, self.tables)
        await setting_up.aclose()
        await super().prepare()

    def _app(self) -> App:
        environment = {"CROSSDOCK_SYSTEMS": f"dataverse,{self.kind}", **self.dialect.settings}
        outside = Outside(clock=self.clock, ids=SeededIds(self.rng), queue=self.queue)
        return App(environment, outside, self.index.model_dump_json().encode())

    async def posted(self, body: bytes) -> httpx.Response:
        """What our door does with a message of the site's; who sent it is proved elsewhere."""
        await self._app().notices.from_field_service(body, [self.kind])
        self._wake.set()
        return httpx.Response(202)

    async def _is_quiet(self) -> bool:
        return not self.field.waiting_notices() and await super()._is_quiet()

    # --- people in the field service ---

    async def entered(self, table: str, **values: Any) -> str:
        """Somebody makes a record; answers its key."""
        key = self.field.add(self.dialect.table(table), self.dialect.said(table, values))
        await self._tell()
        return key

    async def changed(self, table: str, key: str, **values: Any) -> None:
        """Somebody changes a record."""
        self.field.edit(self.dialect.table(table), key, self.dialect.said(table, values))
        await self._tell()

    async def struck_off(self, table: str, key: str) -> None:
        """Somebody deletes a record."""
        self.field.delete(self.dialect.table(table), key)
        await self._tell()

    async def _tell(self) -> None:
        """Post at once what is to be told, where one message is taken at a time; else it goes out when it is due."""
        if self.clock is self.stepped:
            await self.field.flush()

    def there(self, table: str) -> Mapping[str, Mapping[str, Any]]:
        """The rows of a table by key."""
        rows = self.field.rows(self.dialect.table(table))
        return {key: self.dialect.heard(table, row) for key, row in rows.items()}
