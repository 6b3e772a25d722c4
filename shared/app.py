"""The composition root, light half: what every function of the process shares, made when first needed.

One `App` per process and event loop. Taking notices needs settings, the index as plain JSON and the queue; everything
else (connectors, stores, engine) is imported and made by `shared.engine` with the first call that needs it, because
each import is paid again by every cold start.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

from shared.clock import RandomIds, SystemClock
from shared.errors import SettingsError
from shared.log import tidy_all
from shared.notices import Notices
from shared.routes import Doorkeeper
from shared.settings import EngineSettings, QueueSettings, Settings
from shared.sync.notices import Recipients

if TYPE_CHECKING:
    import httpx
    from azure.core.credentials_async import AsyncTokenCredential
    from azure.identity.aio import DefaultAzureCredential
    from azure.servicebus.aio import ServiceBusClient

    from shared.checks import Checking
    from shared.cockpit import SalesCockpit
    from shared.engine import Engine
    from shared.messaging.service_bus import ServiceBusQueue
    from shared.stores.rows import RowStore
    from shared.sync.context import Timing
    from shared.sync.ports import Clock, Connector, Ids, Queue
    from shared.user_tokens import UserTokens

log = logging.getLogger(__name__)

INDEX: Final = Path(__file__).parents[1] / "transfers" / "index.json"


@dataclass(frozen=True)
class Outside:
    """What the process takes from outside. None: as the settings say; tests and the local run give their own.

    http: makes the transport of one client, by the name of what it calls (a system, or "sign_in").
    """

    clock: Clock = field(default_factory=SystemClock)
    ids: Ids = field(default_factory=RandomIds)
    queue: Queue | None = None
    rows: RowStore | None = None
    connectors: Mapping[str, Connector] | None = None
    http: Callable[[str], httpx.AsyncBaseTransport] | None = None
    timing: Timing | None = None


class App:
    """What one process holds. `aclose` gives everything back; a closed app makes it anew when asked again."""

    def __init__(
        self, environment: Mapping[str, str], outside: Outside | None = None, index_json: bytes | None = None
    ) -> None:
        tidy_all()
        self.settings = Settings(environment)
        self.outside = outside or Outside()
        self.doorkeeper = Doorkeeper(self.settings, self.outside.clock.now)
        self.notices = Notices(
            self.settings, lambda: self.recipients, lambda: self.queue, self.outside.clock, self.outside.ids
        )
        self._index_json = index_json
        self._own_queue: ServiceBusQueue | None = None
        self._credential: DefaultAzureCredential | None = None
        self._engine: Engine | None = None
        self._cockpit: SalesCockpit | None = None
        self._checks: Checking | None = None
        self._building = asyncio.Lock()

    @cached_property
    def index_json(self) -> bytes:
        """The compiled index."""
        return INDEX.read_bytes() if self._index_json is None else self._index_json

    @cached_property
    def recipients(self) -> Recipients:
        """Who hears of which table."""
        connectors = self.outside.connectors
        return Recipients.read(self.index_json, self.settings.kinds if connectors is None else connectors)

    @property
    def queue(self) -> Queue:
        """The queue; connects with the first send. Raises SettingsError."""
        if self.outside.queue is not None:
            return self.outside.queue
        if self._own_queue is None:
            self._own_queue = self._service_bus()
        return self._own_queue

    def _service_bus(self) -> ServiceBusQueue:
        from shared.messaging.service_bus import ServiceBusQueue

        wanted = self.settings.get(QueueSettings)
        if wanted.connection_string is not None:
            return ServiceBusQueue.from_connection_string(wanted.connection_string.get_secret_value())
        namespace = str(wanted.namespace)

        def connect() -> ServiceBusClient:
            from azure.servicebus.aio import ServiceBusClient

            return ServiceBusClient(namespace, self.credential())

        return ServiceBusQueue(connect)

    def credential(self) -> AsyncTokenCredential:
        """The app's own identity towards Azure: the managed one, or the developer's sign-in. Made once."""
        if self._credential is None:
            from azure.identity.aio import DefaultAzureCredential

            client_id = self.settings.get(EngineSettings).identity_client_id
            self._credential = DefaultAzureCredential(managed_identity_client_id=client_id)
        return self._credential

    async def engine(self) -> Engine:
        """Connectors, stores, pipeline and timers' work, made once. Raises SettingsError and StoreUnavailable."""
        async with self._building:
            if self._engine is None:
                from shared.engine import build

                self._engine = await build(self)
        return self._engine

    @cached_property
    def users(self) -> UserTokens:
        """Who checks people's tokens."""
        from shared.user_tokens import UserTokens  # with the first person: what takes notices starts without it

        return UserTokens(self.settings, self.outside.clock, self.outside.http)

    async def cockpit(self) -> SalesCockpit:
        """What serves the Sales Cockpit's users, made once, over the engine. Raises what `engine` raises, and Unknown
        where this installation has no Cockpit."""
        engine = await self.engine()
        if self._cockpit is None:
            from shared.cockpit import build

            self._cockpit = build(self, engine)
        return self._cockpit

    async def checks(self) -> Checking:
        """What answers checks, made once, over the engine. Raises what `engine` raises."""
        engine = await self.engine()
        if self._checks is None:
            from shared.checks import build

            self._checks = build(self, engine)
        return self._checks

    async def aclose(self) -> None:
        """Close all connections. Repetition does nothing."""
        parts = [part for part in (self._checks, self._cockpit, self._engine, self._own_queue) if part is not None]
        credential, self._credential = self._credential, None
        self._cockpit = self._engine = self._own_queue = self._checks = None
        for part in parts:
            await part.aclose()
        if credential is not None:
            await credential.close()


_apps: WeakKeyDictionary[asyncio.AbstractEventLoop, App] = WeakKeyDictionary()
_installed: list[App] = []


def current() -> App:
    """The app of the running event loop, made from the process's environment when there is none yet."""
    if _installed:
        return _installed[-1]
    loop = asyncio.get_running_loop()
    app = _apps.get(loop)
    if app is None:
        app = _apps[loop] = App(os.environ)
    return app


@contextmanager
def installed(app: App) -> Iterator[App]:
    """Within it every function works with this app: for tests and for the local run. Closing it stays outside."""
    _installed.append(app)
    try:
        yield app
    finally:
        _installed.remove(app)


def transfer_names(path: Path = INDEX, environment: Mapping[str, str] = os.environ) -> Sequence[str]:
    """The names of the transfers between this installation's systems, for registering their functions; none, and a line
    in the log, without an index."""
    try:
        return Recipients.read(path.read_bytes(), Settings(environment).kinds).transfers
    except (OSError, ValueError, SettingsError) as error:
        log.error("no transfer can be registered", extra={"action": "index", "reason": str(error)})
        return ()


def has_system_of(kind: str, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether this installation has a system of this kind, for registering the functions that only it needs."""
    try:
        return kind in Settings(environment).kinds.values()
    except SettingsError:  # told where transfers are registered
        return False
