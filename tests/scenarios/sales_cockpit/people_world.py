"""Dynamics, the Cockpit and the sign-in service over HTTP in process, and our functions behind the local host.

Time is virtual. Only the queue (in memory) and the clock are stand-ins. When a world ends, everything that was kept,
sent or logged in it is searched for values of its opportunities.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self
from urllib.parse import urlencode

import httpx
from starlette.types import ASGIApp

import function_app
from local.definitions import compile_folder
from local.host import FunctionsHost, HostKeys
from sandbox.dataverse import DataverseOptions, DataverseSandbox
from sandbox.request_log import LoggedRequest
from sandbox.sales_cockpit.options import SalesCockpitOptions
from sandbox.sales_cockpit.sandbox import SalesCockpitSandbox
from sandbox.tokens import TENANT_ID, TokenIssuer
from sandbox.transport import HostRouter, SandboxTransport
from shared.app import App, Outside, installed
from shared.messaging.memory import MemoryQueue
from shared.stores.sqlite_rows import SqliteRows
from shared.stores.stores import TABLES, open_stores
from shared.sync.context import pair_name
from shared.sync.definition import Index
from shared.sync.feed_tasks import QUEUE
from shared.sync.ports import LinkState, Outgoing, Side
from tests.contract.domain_stores.fakes import WatchedRows
from tests.scenarios.sales_cockpit.keeping import Kept
from tests.simulation.loop import LoopClock
from tests.simulation.world import SeededIds

ROOT = Path(__file__).parents[3]

CRM_URL, COCKPIT_URL, APP_URL = "https://crm.example", "https://cockpit.example", "https://app.example"
ORGANIZATION = "7d1e7a4c-2b5e-4c58-9a0b-3f6b2d1c8e55"
CRM_CLIENT = "11111111-1111-4111-8111-111111111111"
OUR_COCKPIT_CLIENT = "33333333-3333-4333-8333-333333333333"
OUR_API = "44444444-4444-4444-8444-444444444444"
HOOK_SECRET = "dataverse-webhook-secret-of-32-characters"
ANNA, BERTA, NOBODY = (f"0b4f9d7e-2a66-4f0b-9f5c-6a1c0e5d7a0{number}" for number in (1, 2, 3))
TO_COCKPIT = "opportunity_to_sales_cockpit"
EVALUATIONS = "evaluation_to_dataverse"

ENVIRONMENT: Mapping[str, str] = {
    "CROSSDOCK_LOCAL": "on",
    "CROSSDOCK_SYSTEMS": "dataverse,sales_cockpit",
    "CROSSDOCK_PUBLIC_URL": APP_URL,
    "CROSSDOCK_PLATFORM_SIGN_IN": "on",
    "CROSSDOCK_SANDBOX_TOKEN_URL": f"https://login.example/{TENANT_ID}/oauth2/v2.0/token",
    "CROSSDOCK_USERS_TENANT_ID": TENANT_ID,
    "CROSSDOCK_USERS_AUDIENCE": OUR_API,
    "CROSSDOCK_USERS_CLIENT_SECRET": "made-up",
    "CROSSDOCK_USERS_SANDBOX_URL": "https://login.example",
    "CROSSDOCK_DATAVERSE_SANDBOX_URL": CRM_URL,
    "CROSSDOCK_DATAVERSE_ORGANIZATION_ID": ORGANIZATION,
    "CROSSDOCK_DATAVERSE_IDENTITIES": f"{CRM_CLIENT}:made-up",
    "CROSSDOCK_DATAVERSE_WEBHOOK_SECRET": HOOK_SECRET,
    "CROSSDOCK_SALES_COCKPIT_SANDBOX_URL": COCKPIT_URL,
    "CROSSDOCK_SALES_COCKPIT_IDENTITIES": f"{OUR_COCKPIT_CLIENT}:made-up",
    "CROSSDOCK_SALES_COCKPIT_SCOPE": f"api://{SalesCockpitOptions().client_id}/.default",
    "CROSSDOCK_STORE_PATH": ":memory:",
    "CROSSDOCK_FINGERPRINT_KEY": "k1:a2V5IG9mIHRlc3RzLCAzMiBieXRlcyBsb25nLCAuLi4=",
}


@dataclass(frozen=True)
class Setup:
    """A world's settings. environment: settings that are other than usual; processes: how many instances of the app.
    consent: whether an administrator has allowed our application to act in people's names."""

    seed: int = 0
    processes: int = 2
    consent: bool = True
    environment: Mapping[str, str] = field(default_factory=dict)
    crm: DataverseOptions = field(default_factory=lambda: DataverseOptions(application_users=(CRM_CLIENT,)))
    cockpit: SalesCockpitOptions = field(default_factory=SalesCockpitOptions)


class KeptQueue(MemoryQueue):
    """A queue that remembers every body that was ever put on it."""

    def __init__(self, clock: LoopClock, queues: Sequence[str], kept: Kept) -> None:
        super().__init__(clock, queues)
        self._kept = kept

    async def send(self, queue: str, messages: Sequence[Outgoing]) -> None:
        for message in messages:
            self._kept.saw(f"the queue {queue}", repr(message))
        await super().send(queue, messages)


class PeopleWorld:
    """The whole, as an async context.

    Anna sees and changes every opportunity, Berta her own only; Nobody is in the directory and no user of Dynamics.
    Leaving asserts that no sandbox was asked for something it does not imitate, and that nothing of an opportunity but
    ids was kept anywhere.
    """

    def __init__(self, setup: Setup | None = None) -> None:
        self.setup = setup or Setup()
        self.clock = LoopClock()
        self.kept = Kept()
        self.index: Index = _index()
        self.queue = KeptQueue(self.clock, [TO_COCKPIT, EVALUATIONS, QUEUE], self.kept)
        self._folder = TemporaryDirectory(ignore_cleanup_errors=True)
        self.rows = WatchedRows(SqliteRows(f"{self._folder.name}/store.sqlite", TABLES, environment={}))
        self.stores = open_stores(self.rows, self.clock)
        self.issuer = self._make_issuer()
        self.crm = DataverseSandbox(
            base_url=CRM_URL,
            organization_id=ORGANIZATION,
            clock=self.clock,
            issuer=self.issuer,
            seed=self.setup.seed,
            options=self.setup.crm,
        )
        self.cockpit = SalesCockpitSandbox(
            clock=self.clock, issuer=self.issuer, portal=COCKPIT_URL, seed=self.setup.seed, options=self.setup.cockpit
        )
        self.environment = {**ENVIRONMENT, **self.setup.environment}
        rng = random.Random(self.setup.seed)
        self.apps = [self._make_app(rng) for _ in range(self.setup.processes)]
        self.user_ids: dict[str, str] = {}
        self._http: list[httpx.AsyncClient] = []
        self._exits = ExitStack()

    def _make_issuer(self) -> TokenIssuer:
        issuer = TokenIssuer(self.clock)
        for client in (CRM_CLIENT, OUR_COCKPIT_CLIENT, OUR_API):
            issuer.register(client, "made-up")
        issuer.add_api(OUR_API)
        issuer.add_api(SalesCockpitOptions().client_id)
        if self.setup.consent:
            for resource in (CRM_URL, f"api://{SalesCockpitOptions().client_id}"):
                issuer.consent(OUR_API, resource)
        for person, name in ((ANNA, "anna"), (BERTA, "berta"), (NOBODY, "nobody")):
            issuer.add_user(person, name.title(), f"{name}@people.example")
        return issuer

    def _make_app(self, rng: random.Random) -> App:
        served: dict[str, ASGIApp] = {
            "dataverse": self.crm.app,
            "sales_cockpit": self.cockpit.app,
            "sign_in": self.issuer.app,
        }
        outside = Outside(
            clock=self.clock,
            ids=SeededIds(rng),
            queue=self.queue,
            rows=self.rows,
            http=lambda name: SandboxTransport(served[name]),
        )
        return App(self.environment, outside, self.index.model_dump_json().encode())

    # --- starting and stopping

    async def __aenter__(self) -> Self:
        try:
            self._exits.enter_context(self.kept.listening())
            self._add_people()
            for app in self.apps:
                await app.engine()
        except BaseException:
            self._exits.close()
            raise
        self.forget_requests()
        return self

    async def __aexit__(self, kind: object, error: object, trace: object) -> None:
        self._exits.close()
        for client in self._http:
            await client.aclose()
        for app in self.apps:
            await app.aclose()
        await self.crm.aclose()
        await self.cockpit.aclose()
        await self.rows.aclose()
        self._search_the_store()
        if error is None:
            assert self.crm.requests.unforeseen() == []
            assert self.cockpit.requests.unforeseen() == []
            assert self.kept.of_opportunities() == []

    def _search_the_store(self) -> None:
        """What lies on the disk, with what SQLite has deleted and not yet overwritten."""
        for file in Path(self._folder.name).iterdir():
            self.kept.saw("the store", file.read_bytes().decode("utf-8", "replace"))
        self._folder.cleanup()

    def _add_people(self) -> None:
        for person, name in ((ANNA, "Anna"), (BERTA, "Berta")):
            self.user_ids[person] = self.crm.add_user(name, object_id=person)
        for action in ("Read", "Write"):
            self.crm.user_may(self.user_ids[BERTA], "opportunity", action, "Basic")

    # --- people in Dynamics

    async def opportunity(self, owner: str = ANNA, **values: Any) -> str:
        """Somebody enters an opportunity; its values are of a kind that is found wherever they are kept."""
        made = self.kept.values(len(self.crm.rows("opportunity")))
        row = {**made, "ownerid": ("systemuser", self.user_ids[owner]), **values}
        self.kept.hide(row)
        return await self.crm.create("opportunity", row)

    def of_crm(self, key: str) -> Mapping[str, Any]:
        """An opportunity as it stands."""
        return self.crm.rows("opportunity")[key]

    async def linked(self, key: str) -> bool:
        """Whether our store has the link of the opportunity and its project."""
        engine = await self.apps[0].engine()
        pair = pair_name(self.index.definitions[0], engine.pipeline.ports.connectors)
        row = await self.stores.links.get(pair, Side.LEFT, key)
        return row is not None and row.state is LinkState.LINKED

    # --- people in a browser, and the Cockpit's backend

    def token(self, person: str = ANNA, **other: Any) -> str:
        """A token that the Cockpit's backend has for our API."""
        return self.issuer.issue_user(person, OUR_API, SalesCockpitOptions().client_id, **other)

    def host(self, app: int = 0) -> httpx.AsyncClient:
        """The functions of one instance behind the platform."""
        host = FunctionsHost(
            function_app.app,
            settings={"ServiceBus": "unused", **self.environment},
            host_json=json.loads((ROOT / "host.json").read_text("utf-8")),
            keys=HostKeys(master="unused-master-key"),
            clock=self.clock,
        )
        client = httpx.AsyncClient(transport=HostRouter({"app.example": host.asgi}), base_url=APP_URL)
        self._http.append(client)
        return client

    async def ask(
        self,
        method: str,
        path: str,
        person: str = ANNA,
        headers: Mapping[str, str] | None = None,
        app: int = 0,
        body: Any = None,
    ) -> httpx.Response:
        """Ask our API as somebody; headers in the place of his token."""
        shown = {"Authorization": f"Bearer {self.token(person)}"} if headers is None else dict(headers)
        with installed(self.apps[app]):
            return await self.host(app).request(method, f"/api/cockpit/{path}", headers=shown, json=body)

    async def launch(
        self, key: str, person: str = ANNA, headers: Mapping[str, str] | None = None, app: int = 0, **parameters: str
    ) -> httpx.Response:
        """Click the button."""
        query = urlencode({"opportunityid": key, **parameters})
        return await self.ask("GET", f"launch?{query}", person, headers, app)

    # --- what was asked of the systems

    def forget_requests(self) -> None:
        """Count from here. Unforeseen ones are told first, since the log of them goes, too."""
        assert self.crm.requests.unforeseen() == []
        assert self.cockpit.requests.unforeseen() == []
        self.crm.requests.clear()
        self.cockpit.requests.clear()

    def crm_calls(self) -> Sequence[LoggedRequest]:
        """What was asked of Dynamics since then, beside its metadata."""
        return [one for one in self.crm.requests.entries() if "EntityDefinitions" not in one.path]

    def cockpit_calls(self) -> Sequence[LoggedRequest]:
        """What was asked of the Cockpit since then."""
        return self.cockpit.requests.entries()


@cache
def _index() -> Index:
    """The product's own definition of opportunities and projects."""
    compiled = compile_folder(ROOT / "transfers")
    return Index(definitions=tuple(one for one in compiled.definitions if "sales_cockpit" in one.systems))
