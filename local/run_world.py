"""Everything of Crossdock on one machine, in one process: the queue, the sandboxes, the functions and what drives them.

Nothing in here is an imitation of Crossdock itself: the functions, connectors, stores and the queue's client are those
that run in Azure. All state is in files before anything is answered, so that a killed process loses nothing.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sqlite3
from collections.abc import Awaitable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field, fields
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar
from uuid import UUID, uuid5

import httpx

from local import run_field_service, run_sales_cockpit
from local.bootstrap import ROOT
from local.definitions import compile_folder
from local.given_settings import OURS
from local.host import FunctionsHost, HostKeys
from local.run_installation import LOCK_FILE, RUN_FILE, Installation, forget, open_installation, write_private
from local.run_sales_cockpit import Places
from local.servicebus import QueueSettings, ServiceBusEndpoint
from sandbox.business_central import BusinessCentralOptions, BusinessCentralSandbox, Company
from sandbox.clock import SystemClock
from sandbox.dataverse import DataverseOptions, DataverseSandbox
from sandbox.field_service.sandbox import FieldServiceSandbox
from sandbox.postoffice.options import Auth, PostOfficeOptions
from sandbox.postoffice.sandbox import PostOfficeSandbox
from sandbox.sales_cockpit.sandbox import SalesCockpitSandbox
from sandbox.server import Served, serve
from sandbox.tokens import TENANT_ID, TokenIssuer
from shared.app import App, Outside, installed, transfer_names
from shared.errors import SettingsError
from shared.registrations import Registrations
from shared.routes import WEBHOOK_HEADER
from shared.sales_cockpit.messages import QUEUE as EVALUATIONS
from shared.settings import SALES_COCKPIT, Settings
from shared.subscriptions import renew_subscriptions
from shared.sync.context import Timing
from shared.sync.definition import Index
from shared.sync.feed_tasks import QUEUE
from shared.sync.registering import MADE_FIRST, NoticeWish, Part

ENVIRONMENT_NAME: Final = "Production"
COMPANY_NAME: Final = "CROSSDOCK"
NOTICED_BY: Final = ("webhook", "step")
"""What Dataverse tells of changes through."""
TELLING: Final = ("dataverse", "business_central")
"""The systems that are told an address of ours."""
LOCK_DURATION: Final = timedelta(minutes=5)

_StartedT = TypeVar("_StartedT")


class _Teller(Protocol):
    """A sandbox that tells of changes."""

    def waiting_notices(self) -> int: ...

    async def run_deliveries(self) -> None: ...


class CannotRun(Exception):
    """The run cannot start; the text says what to do."""


@dataclass(frozen=True)
class Ports:
    """Where things listen on 127.0.0.1; 0 takes any free port."""

    functions: int = 0
    dataverse: int = 0
    business_central: int = 0
    sign_in: int = 0
    service_bus: int = 0
    postoffice: int = 0
    sales_cockpit: int = 0
    fsm: int = 0
    ifs_cloud: int = 0

    @classmethod
    def from_first(cls, first: int) -> Ports:
        """Nine in a row, or all free ones for 0."""
        return cls(*range(first, first + len(fields(cls)))) if first else cls()


@dataclass(frozen=True)
class Wish:
    """What to run. settings: app settings that people gave; a system whose address is among them is the real one.

    notice_seconds: how long Business Central waits before it tells of a change; the real one takes 30. fresh: begin
    with empty sandboxes, queues and links.
    """

    state: Path
    ports: Ports = field(default_factory=Ports)
    transfers: Path = ROOT / "transfers"
    settings: Mapping[str, str] = field(default_factory=dict)
    timing: Timing = field(default_factory=Timing)
    notice_seconds: float = 30.0
    fresh: bool = False


class LocalRun:
    """The running whole: `start`, then `stop`. Raises CannotRun; what was started is stopped again."""

    def __init__(self, wish: Wish) -> None:
        self.wish = wish
        self.installation = _installation(wish.state)
        self.index: Index = compile_folder(wish.transfers)
        self.environment: dict[str, str] = {}
        self.urls: dict[str, str] = {}
        self.crm: DataverseSandbox | None = None
        self.erp: BusinessCentralSandbox | None = None
        self.post: PostOfficeSandbox | None = None
        self.cockpit: SalesCockpitSandbox | None = None
        self.field_service: dict[str, FieldServiceSandbox] = {}
        self.places: Places | None = None
        self.app: App | None = None
        self.host: FunctionsHost | None = None
        self.queue: ServiceBusEndpoint | None = None
        self.notes: list[str] = []
        self._clock = SystemClock()
        self._functions_port = wish.ports.functions or _free_port()
        self.issuer = TokenIssuer(self._clock)
        self._parts = AsyncExitStack()

    @property
    def transfers(self) -> Sequence[str]:
        """The transfers that can run."""
        return [transfer.name for _, transfer in self.index.transfers()]

    @property
    def systems(self) -> Sequence[str]:
        """Those that CROSSDOCK_SYSTEMS names."""
        return list(self._kinds())

    async def start(self) -> None:
        """Start everything and write `run.json`."""
        try:
            self._lock_state()
            if self.wish.fresh:
                forget(self.wish.state)
            self.environment = self._own_settings() | self._given()
            await self._start_queue()
            await self._start_sandboxes()
            await self._start_functions()
            await self.register()
            self._deliver()
            self._write_run_file()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop everything, the last part first, and remove `run.json`. Twice is harmless."""
        await self._parts.aclose()

    def _lock_state(self) -> None:
        """One run per folder. The lock is SQLite's: it works everywhere, and goes with the process that holds it.

        Who only looks whether somebody runs holds it for a moment.
        """
        lock = sqlite3.connect(self.wish.state / LOCK_FILE, timeout=0.2, isolation_level=None)
        self._parts.callback(lock.close)
        try:
            lock.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError:
            raise CannotRun(f"another run uses {self.wish.state}; end it, or name another folder by --state") from None

    # --- settings ---

    def _given(self) -> dict[str, str]:
        return {name: value for name, value in self.wish.settings.items() if value.strip()}

    def _is_real(self, system: str) -> bool:
        return bool(self._given().get(f"CROSSDOCK_{system.upper()}_URL"))

    def _own_settings(self) -> dict[str, str]:
        """What local mode needs and nobody gave: made once per installation."""
        own, given = self.installation, self._given()
        settings = {
            "CROSSDOCK_LOCAL": "on",
            "CROSSDOCK_DATAVERSE_WEBHOOK_SECRET": own.webhook_secret,
            "CROSSDOCK_BUSINESS_CENTRAL_WEBHOOK_SECRET": own.path_secret,
            "CROSSDOCK_BUSINESS_CENTRAL_CLIENT_STATE": own.client_state,
            "CROSSDOCK_OPERATOR_KEY": own.operator_key,
            "CROSSDOCK_FINGERPRINT_KEY": own.fingerprint_key,
        }
        if not any(given.get(f"CROSSDOCK_STORE_{place}") for place in ("ENDPOINT", "CONNECTION_STRING")):
            settings["CROSSDOCK_STORE_PATH"] = str(self.wish.state / "store.sqlite")
        return settings

    # --- the queue ---

    async def _start_queue(self) -> None:
        if self.environment.get("ServiceBus") or self.environment.get("ServiceBus__fullyQualifiedNamespace"):
            self.notes.append("The queues are those of the Service Bus in the settings; none was started.")
            return
        names = dict.fromkeys([*self._queues(), *transfer_names()])
        endpoint = ServiceBusEndpoint(
            queues=[_queue(name) for name in names],
            path=self.wish.state / "servicebus.sqlite",
            port=self.wish.ports.service_bus,
            key=self.installation.service_bus_key,
            release_locks_on_start=True,  # whoever held them was the process that ended
        )
        await _listening("service bus", self.wish.ports.service_bus, endpoint.start())
        self._parts.push_async_callback(endpoint.stop)
        self.queue = endpoint
        self.environment["ServiceBus"] = endpoint.connection_string

    def _queues(self) -> Sequence[str]:
        """The queues that messages of this installation lie on."""
        evaluations = [EVALUATIONS] if SALES_COCKPIT in self._kinds().values() else []
        return [*self.transfers, QUEUE, *evaluations]

    # --- the systems ---

    async def _start_sandboxes(self) -> None:
        own = self.installation
        self.issuer.register(own.crm_client, own.crm_secret)
        self.issuer.register(own.erp_client, own.erp_secret)
        sign_in = await self._serve("sign-in", self.issuer.app, self.wish.ports.sign_in)
        self.environment["CROSSDOCK_SANDBOX_TOKEN_URL"] = f"{sign_in.url}/{TENANT_ID}/oauth2/v2.0/token"
        if not self._is_real("dataverse"):
            await self._start_crm()
        kinds = self._kinds()
        if "business_central" in kinds and not self._is_real("business_central"):
            await self._start_erp(kinds)
        if "postoffice" in kinds and not self._is_real("postoffice"):
            await self._start_postoffice()
        if "sales_cockpit" in kinds and not self._is_real("sales_cockpit"):
            await self._start_sales_cockpit(sign_in.url)
        for kind in run_field_service.KINDS:
            if kind in kinds and not self._is_real(kind):
                await self._start_field_service(kind)

    def _kinds(self) -> Mapping[str, str]:
        """The systems of CROSSDOCK_SYSTEMS with their kinds."""
        try:
            return Settings(self._given()).kinds
        except SettingsError as error:
            raise CannotRun(error.detail) from None

    async def _start_crm(self) -> None:
        own, port = self.installation, self.wish.ports.dataverse or _free_port()
        url = f"http://127.0.0.1:{port}"
        self.crm = DataverseSandbox(
            base_url=url,
            organization_id=own.organization_id,
            clock=self._clock,
            issuer=self.issuer,
            persist=self.wish.state / "dataverse.sqlite",
            options=DataverseOptions(any_port=True, application_users=(own.crm_client,), untracked=()),
        )
        self._parts.push_async_callback(self.crm.aclose)
        await self._serve("dataverse", self.crm.app, port)
        self.urls["dataverse"] = url
        self.environment |= {
            "CROSSDOCK_DATAVERSE_SANDBOX_URL": url,
            "CROSSDOCK_DATAVERSE_ORGANIZATION_ID": own.organization_id,
            "CROSSDOCK_DATAVERSE_IDENTITIES": f"{own.crm_client}:{own.crm_secret}",
        }

    def _further_companies(self, kinds: Mapping[str, str]) -> list[Company]:
        """The companies of the systems that CROSSDOCK_SYSTEMS names besides, all in the one environment."""
        found = []
        for name, kind in kinds.items():
            if name == kind or self._is_real(name):
                continue
            if kind != "business_central":
                self.notes.append(f"{name} is not imitated: give its address in the settings.")
                continue
            setting = f"CROSSDOCK_{name.upper()}_COMPANY_ID"
            company = self.environment.setdefault(setting, str(uuid5(UUID(self.installation.company_id), name)))
            found.append(Company(company, f"{COMPANY_NAME} {name.upper()}"))
        return found

    async def _start_erp(self, kinds: Mapping[str, str]) -> None:
        own, port = self.installation, self.wish.ports.business_central or _free_port()
        url = f"http://127.0.0.1:{port}"
        self.erp = BusinessCentralSandbox(
            base_url=url,
            tenant=TENANT_ID,
            environment=ENVIRONMENT_NAME,
            companies=[Company(own.company_id, COMPANY_NAME), *self._further_companies(kinds)],
            clock=self._clock,
            issuer=self.issuer,
            persist=self.wish.state / "business_central.sqlite",
            options=BusinessCentralOptions(subscription_delay_seconds=self.wish.notice_seconds),
        )
        self._parts.push_async_callback(self.erp.aclose)
        await self._serve("business_central", self.erp.app, port)
        self.urls["business_central"] = url
        self.environment |= {
            "CROSSDOCK_BUSINESS_CENTRAL_SANDBOX_URL": f"{url}/v2.0",
            "CROSSDOCK_BUSINESS_CENTRAL_TENANT_ID": TENANT_ID,
            "CROSSDOCK_BUSINESS_CENTRAL_ENVIRONMENT": ENVIRONMENT_NAME,
            "CROSSDOCK_BUSINESS_CENTRAL_COMPANY_ID": own.company_id,
            "CROSSDOCK_BUSINESS_CENTRAL_IDENTITIES": f"{own.erp_client}:{own.erp_secret}",
        }

    async def _start_postoffice(self) -> None:
        own, port = self.installation, self.wish.ports.postoffice or _free_port()
        self.post = PostOfficeSandbox(
            clock=self._clock,
            issuer=self.issuer,
            persist=self.wish.state / "postoffice.sqlite",
            options=PostOfficeOptions(auth=Auth.API_KEY, api_key=own.post_key),
        )
        self._parts.push_async_callback(self.post.aclose)
        await self._serve("postoffice", self.post.app, port)
        self.urls["postoffice"] = url = f"http://127.0.0.1:{port}"
        self.environment |= {
            "CROSSDOCK_POSTOFFICE_SANDBOX_URL": url,
            "CROSSDOCK_POSTOFFICE_SIGN_IN": "api_key",
            "CROSSDOCK_POSTOFFICE_IDENTITIES": f"X-Api-Key:{own.post_key}",
        }

    async def _start_sales_cockpit(self, sign_in: str) -> None:
        """With the people who sign in: the CRM has to know them, so it is imitated with the CRM's sandbox only."""
        if self.crm is None:
            self.notes.append(
                "sales_cockpit is not imitated beside a real Dataverse: give its address in the settings."
            )
            return
        port = self.wish.ports.sales_cockpit or _free_port()
        functions = f"http://127.0.0.1:{self._functions_port}"
        places = self.places = Places(sign_in, functions, self.urls["dataverse"], f"http://127.0.0.1:{port}")
        post = httpx.AsyncClient()
        self._parts.push_async_callback(post.aclose)
        self.cockpit = run_sales_cockpit.start(self.wish.state, self.installation, places, self.issuer, self.crm, post)
        self._parts.push_async_callback(self.cockpit.aclose)
        await self._serve("sales_cockpit", self.cockpit.app, port)
        self.urls["sales_cockpit"] = places.cockpit
        self.environment |= run_sales_cockpit.settings(self.installation, places)

    async def _start_field_service(self, kind: str) -> None:
        sandbox = run_field_service.start(kind, self.wish.state, self.installation, self.issuer)
        self._parts.push_async_callback(sandbox.aclose)
        served = await self._serve(kind, sandbox.app, getattr(self.wish.ports, kind))
        self.field_service[kind], self.urls[kind] = sandbox, served.url
        self.environment |= run_field_service.settings(kind, self.installation, served.url)

    async def _serve(self, name: str, app: Any, port: int) -> Served:
        served: Served = await _listening(name, port, serve(app, port))
        self._parts.push_async_callback(served.stop)
        return served

    # --- the functions ---

    async def _start_functions(self) -> None:
        port = self._functions_port
        if not any(map(self._is_real, TELLING)):  # a real one could not reach it there
            self.environment.setdefault("CROSSDOCK_PUBLIC_URL", f"http://127.0.0.1:{port}")
        for name in [name for name in os.environ if name.startswith(OURS)]:
            del os.environ[name]  # what of it shall count came in by the wish; the demo wishes for none of it
        os.environ.update(self.environment)  # the functions read the schedules of their timers from it
        function_app = _function_app(self.transfers)
        self.app = App(os.environ, Outside(timing=self.wish.timing), self.index.model_dump_json().encode())
        self._parts.push_async_callback(self.app.aclose)
        self._parts.enter_context(installed(self.app))
        self.host = FunctionsHost(
            function_app,
            settings=os.environ,
            host_json=json.loads((ROOT / "host.json").read_text("utf-8")),
            keys=HostKeys(master=self.installation.functions_key),
            clock=self._clock,
            http_port=port,
            sign_in=run_sales_cockpit.platform_sign_in(self.installation, self.places) if self.places else None,
            state_path=self.wish.state / "timers.json",
            grace_seconds=5.0,
        )
        self._parts.push_async_callback(self.host.stop)
        await self.host.start()
        self.urls["functions"] = self.host.url

    async def register(self) -> None:
        """Let the sandboxes tell the functions of changes. A real system is not touched."""
        if self.crm is not None:
            await self._register_crm()
        if self.erp is not None:
            await self._subscribe(self.erp)
        for kind, sandbox in self.field_service.items():
            run_field_service.tell(kind, sandbox, self.urls["functions"], self.environment)
        for system in filter(self._is_real, TELLING):
            self.notes.append(f"{system} is the real one of the settings; its webhooks were not touched.")

    async def _register_crm(self) -> None:
        """Declared tables and columns, webhook and steps, as `manage.py register` makes them; those of an earlier run's
        address are removed.

        Keys are left to people.
        """
        assert self.app is not None
        url = f"{self.urls['functions']}/api/webhooks/dataverse"
        secret = self.environment["CROSSDOCK_DATAVERSE_WEBHOOK_SECRET"]
        wish = NoticeWish(url, WEBHOOK_HEADER, secret, questions=f"{url}/confirm")
        registrations = Registrations(self.app, await self.app.engine(), {"dataverse": lambda *_: wish})
        look = await registrations.look()
        failures = await registrations.settle(look, _is_declared, lambda *_: None)
        if any(_is_declared(part) for _, part in look.parts):
            look = await registrations.look()  # which steps a table takes is seen only now
        failures = [*failures, *await registrations.settle(look, lambda part: part.kind in NOTICED_BY, lambda *_: None)]
        for one in [*look.failures, *failures]:
            if one.system == "dataverse":
                raise CannotRun(f"the sandbox cannot be set up: {one.code} {one.sentence}")

    async def register_again(self) -> None:
        """Register the steps once more, whether or not there are some: each then tells of every change."""
        if self.crm is None or self.app is None:
            return
        url = f"{self.urls['functions']}/api/webhooks/dataverse"
        header = (WEBHOOK_HEADER, self.environment["CROSSDOCK_DATAVERSE_WEBHOOK_SECRET"])
        for name in _crm_tables((await self.app.engine()).index):
            await self.crm.register_webhook(name, ["Create", "Update", "Delete"], url, header=header)

    def is_idle(self) -> bool:
        """Whether no notice waits to be told and no message lies in a queue or is being handled."""
        notices = sum(system.waiting_notices() for system in self._tellers())
        counts = [self.queue.queue(name).counts() for name in self._queues()] if self.queue else []
        return not notices and not any(c.active or c.scheduled or c.locked for c in counts)

    def _tellers(self) -> Sequence[_Teller]:
        """The sandboxes that tell of changes."""
        always = [system for system in (self.crm, self.erp) if system is not None]
        return [*always, *self.field_service.values()]

    async def _subscribe(self, erp: BusinessCentralSandbox) -> None:
        """Subscribe at the sandbox; the timer goes on with it. What led to another address of an earlier run is gone,
        as in a copied environment."""
        assert self.app is not None
        ours = self.environment["CROSSDOCK_PUBLIC_URL"]
        if not all(str(one["notificationUrl"]).startswith(ours) for one in erp.subscriptions()):
            erp.forget_subscriptions()
        report = await renew_subscriptions(self.app)
        for one in report.items:
            if one.code:
                raise CannotRun(f"the sandbox refused a subscription to {one.table}: {one.code} {one.sentence}")

    def _deliver(self) -> None:
        """From now on the sandboxes post their notices; stopped before the functions are."""
        tasks = [asyncio.create_task(system.run_deliveries()) for system in self._tellers()]
        self._parts.push_async_callback(_end, tasks)

    def _write_run_file(self) -> None:
        path = self.wish.state / RUN_FILE
        self._parts.callback(path.unlink, missing_ok=True)
        write_private(path, self.run_file())

    def run_file(self) -> dict[str, object]:
        """What other programs need: addresses, the queue's connection string, and the keys of this installation."""
        own = self.installation
        return {
            "functions": self.urls["functions"],
            "sandboxes": {name: url for name, url in self.urls.items() if name != "functions"},
            "servicebus": self.environment.get("ServiceBus"),
            "keys": {
                "operator": self.environment["CROSSDOCK_OPERATOR_KEY"],
                "functions_master": own.functions_key,
                "dataverse": {"client_id": own.crm_client, "client_secret": own.crm_secret},
                "business_central": {"client_id": own.erp_client, "client_secret": own.erp_secret},
                "postoffice": {"header": "X-Api-Key", "key": own.post_key},
                **run_field_service.keys(own),
            },
            "sales_cockpit": run_sales_cockpit.run_file(own, self.places) if self.places else None,
            "ifs_cloud": run_field_service.run_file(self.urls),
            "sign_in": self.environment["CROSSDOCK_SANDBOX_TOKEN_URL"],
            "business_central_api": self._erp_api(),
            "process": os.getpid(),
            "transfers": str(self.wish.transfers.absolute()),
            "settings": self.environment,
        }

    def _erp_api(self) -> str | None:
        url = self.urls.get("business_central")
        root = f"{url}/v2.0/{TENANT_ID}/{ENVIRONMENT_NAME}/api/v2.0"
        return f"{root}/companies({self.installation.company_id})" if url else None


def _installation(state: Path) -> Installation:
    try:
        return open_installation(state)
    except (OSError, ValueError) as error:
        raise CannotRun(str(error)) from None


def _is_declared(part: Part) -> bool:
    """Whether it is a table or column that is to be made because it is declared."""
    return part.kind in MADE_FIRST and part.standing.can_be_settled and not part.guessed


def _queue(name: str) -> QueueSettings:
    return QueueSettings(name, lock_duration=LOCK_DURATION, requires_duplicate_detection=True)


def _function_app(names: Sequence[str]) -> Any:
    """The app as Azure loads it; transfers of another folder than the compiled one are registered as well."""
    from functions import transfers

    transfers.register(transfers.blueprint, [name for name in names if name not in transfer_names()])
    import function_app

    return function_app.app


def _tables(index: Index, system: str) -> list[str]:
    sides = [side for one in index.linking for side in (one.left, one.right)]
    return list(dict.fromkeys(side.table for side in sides if side.system == system))


def _crm_tables(index: Index) -> list[str]:
    """The tables of the pairs, and those whose changes concern one of their records."""
    also = [table for _, transfer in index.transfers() for table in transfer.also_on]
    return list(dict.fromkeys([*_tables(index, "dataverse"), *also]))


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


async def _listening(name: str, port: int, starting: Awaitable[_StartedT]) -> _StartedT:
    try:
        return await starting
    except OSError as error:
        raise CannotRun(f"port {port} for {name} cannot be used ({error.strerror}); choose others by --port") from None


async def _end(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    for task in tasks:
        with suppress(asyncio.CancelledError):
            await task
