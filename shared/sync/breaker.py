"""Breakers: a system that does not answer is left alone, for all instances at once, and probed until it is back.

Failures in a row are counted in the process; opening and closing are rows in the store that every process sees within
`Timing.breaker_age`. While a breaker is open nothing but one probe at a time is sent (see `draining`).
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import TypeVar

from shared.errors import ConnectorError, SettingsError, SystemDown
from shared.sync.context import Ports
from shared.sync.passing_on import PassingOn
from shared.sync.ports import (
    BreakerRow,
    Change,
    ChangePage,
    Connector,
    NewRecord,
    Profile,
    Record,
    RecordPage,
    RowTaken,
    Subscribing,
    Subscription,
    TableMetadata,
    Value,
)

log = logging.getLogger(__name__)

Answer = TypeVar("Answer")


@dataclass
class BreakerPanel:
    """All breakers as one process sees them."""

    ports: Ports
    _failures: dict[str, int] = field(default_factory=dict)
    _suspects: set[str] = field(default_factory=set)
    _seen: dict[str, tuple[float, bool]] = field(default_factory=dict)

    async def is_open(self, connector: Connector) -> bool:
        """Whether the system is to be left alone; at most `breaker_age` old."""
        name, now = _name(connector), self.ports.clock.monotonic()
        seen_at, state = self._seen.get(name, (float("-inf"), False))
        if now - seen_at < self.ports.timing.breaker_age.total_seconds():
            return state
        row = await self.ports.stores.breakers.get(connector.system, connector.instance)
        self._seen[name] = (now, row.open)
        return row.open

    def succeeded(self, connector: Connector) -> None:
        """A call was answered: failures are no longer in a row."""
        self._failures[_name(connector)] = 0
        self._suspects.discard(_name(connector))

    async def failed(self, connector: Connector, error: SystemDown) -> bool:
        """Count a failure; opens the breaker at the threshold. Answers whether it is open now."""
        name = _name(connector)
        self._failures[name] = self._failures.get(name, 0) + 1
        self._suspects.add(name)
        if self._failures[name] < self.ports.timing.failures_to_open:
            return await self.is_open(connector)
        await self._open(connector, error)
        return True

    async def ask_if_suspect(self, connector: Connector) -> None:
        """Ask a system whose last call failed whether it answers, before anything is read elsewhere for its sake.

        Raises SystemDown. An answer ends the suspicion, but no row of failures: a system may answer this and still
        take no write.
        """
        if _name(connector) not in self._suspects:
            return
        try:
            await connector.ping()
        except SystemDown as error:
            await self.failed(connector, error)
            raise
        except (ConnectorError, SettingsError) as error:  # it answers; what is wrong with it is told where work begins
            log.info("ping answered with an error", extra={"system": connector.system, "code": error.code})
        self._suspects.discard(_name(connector))

    async def _open(self, connector: Connector, error: SystemDown) -> None:
        now = self.ports.clock.now()
        row = await self.ports.stores.breakers.get(connector.system, connector.instance)
        if not row.open:
            wait = now + self.ports.timing.probe_every
            await self._put(replace(row, open=True, opened_at=now, next_probe_at=wait, probes=0, code=error.code))
            log.warning("breaker opened", extra={"system": connector.system, "code": error.code})
        self._seen[_name(connector)] = (self.ports.clock.monotonic(), True)

    async def _put(self, row: BreakerRow) -> bool:
        try:
            await self.ports.stores.breakers.put(row)
        except RowTaken:
            return False
        return True

    async def probe(self, connector: Connector) -> bool:
        """Probe an open breaker if it is due and nobody else does; answers whether it has just been closed."""
        now = self.ports.clock.now()
        row = await self.ports.stores.breakers.get(connector.system, connector.instance)
        if not row.open or (row.next_probe_at and row.next_probe_at > now):
            return False
        due = replace(row, next_probe_at=now + self.ports.timing.probe_every, probes=row.probes + 1)
        if not await self._put(due):
            return False
        try:
            await connector.ping()
        except SystemDown:
            return False
        except SettingsError as error:  # it answers; what is wrong with it is told where work begins
            log.warning("probe answered with an error", extra={"system": connector.system, "code": error.code})
        return await self.close(connector)

    async def close(self, connector: Connector) -> bool:
        """Let calls through again."""
        row = await self.ports.stores.breakers.get(connector.system, connector.instance)
        closed = BreakerRow(row.system, row.instance, etag=row.etag)
        if not row.open or not await self._put(closed):
            return False
        log.warning("breaker closed", extra={"system": connector.system})
        self.succeeded(connector)
        self._seen.pop(_name(connector), None)
        return True


class Watched(PassingOn):
    """A connector whose every call tells the panel whether the system answered."""

    def __init__(self, inner: Connector, panel: BreakerPanel) -> None:
        super().__init__(inner)
        self._panel = panel

    async def read(self, table: str, keys: Sequence[str], columns: Sequence[str]) -> Mapping[str, Record]:
        return await self._told(self.inner.read(table, keys, columns))

    async def find(
        self, table: str, column: str, values: Sequence[str], columns: Sequence[str], limit: int = 10
    ) -> Sequence[Record]:
        return await self._told(self.inner.find(table, column, values, columns, limit))

    def changes(self, table: str, since: str | None, columns: Sequence[str]) -> AsyncIterator[ChangePage]:
        return self._each_told(self.inner.changes(table, since, columns))

    def pages(
        self, table: str, place: str | None, columns: Sequence[str], most: int = 1000
    ) -> AsyncIterator[RecordPage]:
        return self._each_told(self.inner.pages(table, place, columns, most))

    def of_day(self, table: str, column: str, day: date, columns: Sequence[str]) -> AsyncIterator[Sequence[Record]]:
        return self._each_told(self.inner.of_day(table, column, day, columns))

    async def _each_told(self, pages: AsyncIterator[Answer]) -> AsyncIterator[Answer]:
        while True:
            try:
                page = await self._told(anext(pages))
            except StopAsyncIteration:
                return
            yield page

    async def create(
        self,
        table: str,
        values: Mapping[str, Value],
        columns: Sequence[str],
        *,
        key: str | None,
        within_seconds: float,
    ) -> Record:
        return await self._told(self.inner.create(table, values, columns, key=key, within_seconds=within_seconds))

    async def create_many(
        self, table: str, wanted: Sequence[NewRecord], columns: Sequence[str], *, within_seconds: float
    ) -> Sequence[Record | ConnectorError]:
        return await self._all_told(self.inner.create_many(table, wanted, columns, within_seconds=within_seconds))

    async def update_many(
        self, table: str, changes: Sequence[Change], columns: Sequence[str], *, within_seconds: float
    ) -> Sequence[Record | ConnectorError]:
        return await self._all_told(self.inner.update_many(table, changes, columns, within_seconds=within_seconds))

    async def delete_many(
        self, table: str, keys: Sequence[str], *, within_seconds: float
    ) -> Sequence[ConnectorError | None]:
        return await self._all_told(self.inner.delete_many(table, keys, within_seconds=within_seconds))

    async def update(
        self, table: str, key: str, values: Mapping[str, Value], columns: Sequence[str], *, version: str | None
    ) -> Record:
        return await self._told(self.inner.update(table, key, values, columns, version=version))

    async def delete(self, table: str, key: str) -> None:
        await self._told(self.inner.delete(table, key))

    async def note(self, table: str, key: str, seed: str, subject: str, text: str) -> None:
        await self._told(self.inner.note(table, key, seed, subject, text))

    async def metadata(self, table: str) -> TableMetadata:
        return await self._told(self.inner.metadata(table))

    async def survey(self, table: str) -> TableMetadata:
        return await self._told(self.inner.survey(table))

    async def identify(self) -> str:
        return await self._told(self.inner.identify())

    async def profile(self) -> Profile | None:
        """Asked before every run, and often without asking the system: an answer ends no row of failures."""
        return await self._heard(self.inner.profile())

    async def _all_told(self, call: Awaitable[Sequence[Answer]]) -> Sequence[Answer]:
        """One system that is down for some of the records is down."""
        results = await self._heard(call)
        for one in results:
            if isinstance(one, ConnectorError):
                one.told_of(self.system)
        down = next((one for one in results if isinstance(one, SystemDown)), None)
        if down is None:
            self._panel.succeeded(self)
        else:
            await self._panel.failed(self, down)
        return results

    async def _told(self, call: Awaitable[Answer]) -> Answer:
        answer = await self._heard(call)
        self._panel.succeeded(self)
        return answer

    async def _heard(self, call: Awaitable[Answer]) -> Answer:
        """The answer; the panel hears of a failure only."""
        try:
            return await call
        except ConnectorError as error:
            await self._failed(error)
            raise

    async def _failed(self, error: ConnectorError) -> None:
        """A connector knows the kind of its system only; here the error gets the system's name."""
        error.told_of(self.system)
        if isinstance(error, SystemDown):
            await self._panel.failed(self, error)


class WatchedSubscriber(Watched):
    """The same for a connector whose system tells of changes to whoever subscribes."""

    def __init__(self, inner: Connector, subscriber: Subscribing, panel: BreakerPanel) -> None:
        super().__init__(inner, panel)
        self._subscriber = subscriber

    @property
    def subscription_life(self) -> timedelta:
        return self._subscriber.subscription_life

    async def notifying(self, tables: Collection[str]) -> Collection[str]:
        return await self._told(self._subscriber.notifying(tables))

    async def subscriptions(self) -> Sequence[Subscription]:
        return await self._told(self._subscriber.subscriptions())

    async def subscribe(self, table: str, address: str, state: str) -> Subscription:
        return await self._told(self._subscriber.subscribe(table, address, state))

    async def renew(self, subscription: Subscription, address: str, state: str) -> Subscription:
        return await self._told(self._subscriber.renew(subscription, address, state))

    async def unsubscribe(self, subscription: Subscription) -> None:
        await self._told(self._subscriber.unsubscribe(subscription))


def unwatched(connector: Connector) -> Connector:
    """The connector behind the breaker: asked whatever the breaker says, and the panel hears nothing of it."""
    return connector.inner if isinstance(connector, Watched) else connector


def watched(connector: Connector, panel: BreakerPanel) -> Watched:
    """The connector as the engine uses it."""
    if isinstance(connector, Subscribing):
        return WatchedSubscriber(connector, connector, panel)
    return Watched(connector, panel)


def _name(connector: Connector) -> str:
    return f"{connector.system}/{connector.instance}"
