"""Walks over the systems' change feeds: webhooks give speed, the feed gives truth.

One walk per table of a pair. It queues every changed key to all transfers of the pair, both ways, and advances its
watermark only after the queue has taken the page. A walk whose transfers are all off stands still, so that nothing is
lost while a transfer is switched off; the first walk after the first switching-on starts from now and queues nothing
that existed before.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import blake2b

from shared.errors import ConnectorError, FeedExpired, SettingsError
from shared.sync.context import pair_name
from shared.sync.definition import Definition, Transfer
from shared.sync.message import MAX_KEYS, Message
from shared.sync.pipeline import Pipeline
from shared.sync.ports import ChangePage, Connector, LinkState, Record, RowTaken, Side, Switch, Watermark

log = logging.getLogger(__name__)


_PAGES_REMEMBERED = 200
"""Digests of 16 characters that a watermark's row keeps; a longer overlap is queued again, which is harmless."""


@dataclass(frozen=True, slots=True)
class Walked:
    """What one walk found: changed and deleted keys that were queued; started: it only took its starting point."""

    name: str
    queued: int = 0
    started: bool = False
    expired: bool = False


@dataclass(frozen=True)
class Walks:
    """Runs the walks that are due."""

    pipeline: Pipeline

    async def due(self) -> list[Walked]:
        """Run every walk whose time has come; two at the same moment do not disturb each other."""
        done = []
        for definition in self.pipeline.index.definitions:
            for side in Side:
                transfers = await self._switched_on(definition)
                every = self._every(definition, side)
                if transfers and every is not None:
                    done += await self._walk_if_due(definition, side, transfers, every)
        return done

    def _every(self, definition: Definition, side: Side) -> timedelta | None:
        """How often a side's feed is walked: the shortest time that one of the transfers from it names."""
        named = [t.walk_seconds for t in definition.transfers if t.source is side and t.walk_seconds]
        return timedelta(seconds=min(named)) if named else None

    async def _switched_on(self, definition: Definition) -> list[Transfer]:
        """All transfers of the pair if at least one moves; stopped ones get messages too, which then wait as
        pending."""
        switches = [await self.pipeline.switch(transfer.name) for transfer in definition.transfers]
        moving = any(switch is Switch.ON for switch in switches)
        return [t for t, s in zip(definition.transfers, switches, strict=True) if s is not Switch.OFF] if moving else []

    async def _walk_if_due(
        self, definition: Definition, side: Side, transfers: Sequence[Transfer], every: timedelta
    ) -> list[Walked]:
        ports = self.pipeline.ports
        connector = ports.connectors[definition.table(side).system]
        name = f"{pair_name(definition, ports.connectors)}|{side}"
        mark = await ports.stores.watermarks.get(name)
        now = ports.clock.now()
        if mark and mark.done_at and now - mark.done_at < every:
            return []
        if await self.pipeline.panel.is_open(connector):
            return []
        walk = _Walk(self.pipeline, definition, side, transfers, connector, name, now)
        try:
            return [await (walk.run(mark) if mark else walk.start())]
        except FeedExpired:
            return [await walk.start_over(mark or Watermark(None))]
        except RowTaken:
            return []
        except (ConnectorError, SettingsError) as error:
            log.warning("walk failed", extra={"walk": name, "code": error.code})
            return []


@dataclass
class _Walk:
    pipeline: Pipeline
    definition: Definition
    side: Side
    transfers: Sequence[Transfer]
    connector: Connector
    name: str
    now: datetime

    @property
    def _table(self) -> str:
        return self.definition.table(self.side).table

    async def start(self) -> Walked:
        """Take the feed's present end as the starting point; nothing is queued."""
        value = self.connector.watermark_at(self._table, self.now)
        if value is None:
            async for page in self.connector.changes(self._table, None, ()):
                value = page.watermark or value
        await self.pipeline.ports.stores.watermarks.put(self.name, Watermark(value, self.now))
        return Walked(self.name, started=True)

    async def start_over(self, mark: Watermark) -> Walked:
        """The system forgot our watermark: walk everything there is, so that no change is missed."""
        log.warning("feed expired, walking everything", extra={"walk": self.name})
        walked = await self.run(replace(mark, value=None))
        return replace(walked, expired=True)

    async def run(self, mark: Watermark) -> Walked:
        """Queue what changed since the watermark; a page's watermark is kept once the page is queued."""
        before, pages, queued = set(mark.seen.split(",")), list[str](), 0
        async for page in self.connector.changes(self._table, mark.value, ()):
            digest = _digest(page)
            if digest and digest not in before:
                queued += await self._queue(page)
            pages = [*pages, digest][-_PAGES_REMEMBERED:] if digest else pages
            if page.watermark is not None and (page.watermark != mark.value or digest not in before):
                mark = await self._keep(replace(mark, value=page.watermark, seen=",".join(pages)))
        await self._keep(replace(mark, done_at=self.now, seen=",".join(pages)))
        return Walked(self.name, queued)

    async def _keep(self, mark: Watermark) -> Watermark:
        return await self.pipeline.ports.stores.watermarks.put(self.name, mark)

    async def _queue(self, page: ChangePage) -> int:
        """Queue a page: news to every transfer; versions that were transferred already only to those that check
        this side."""
        known = {record.key for record in page.records if await self._is_known(record)}
        keys = list(dict.fromkeys([*(record.key for record in page.records), *page.deleted]))
        versions = {record.key: record.version or "" for record in page.records}
        for transfer in self.transfers:
            wanted = keys if transfer.target is self.side else [key for key in keys if key not in known]
            for chunk in _chunks(wanted):
                await self._send(transfer, chunk, versions)
        return len(keys)

    async def _is_known(self, record: Record) -> bool:
        """Whether the record has the version that its link remembers: our own write, or transferred already from
        here."""
        links, pair = self.pipeline.ports.stores.links, pair_name(self.definition, self.pipeline.ports.connectors)
        home = await links.get(pair, self.side, record.key)
        if home and home.side is Side.RIGHT and home.state is LinkState.LINKED:
            home = await links.get(pair, Side.LEFT, home.other)
        if home is None or home.state is not LinkState.LINKED or record.version is None:
            return False
        return record.version == (home.left_version if self.side is Side.LEFT else home.right_version)

    async def _send(self, transfer: Transfer, keys: Sequence[str], versions: dict[str, str]) -> None:
        """The id names the versions seen: a walk repeated after a crash is taken once, a new change never is
        swallowed."""
        seen = "|".join(f"{key}@{versions.get(key, 'deleted')}" for key in keys)
        digest = blake2b(seen.encode(), digest_size=16).hexdigest()
        message = Message(
            transfer=transfer.name,
            side=self.side,
            table=self._table,
            keys=tuple(keys),
            cause="walk",
            occurred_at=self.now,
            attempt=0,
            correlation_id=self.pipeline.ports.ids.new(),
            change_id=f"walk/{digest}",
        )
        await self.pipeline.ports.queue.send(transfer.name, [message.outgoing()])


def _digest(page: ChangePage) -> str:
    """What a page says; a feed that overlaps repeats its last page until something new happens. Empty for an
    empty page."""
    told = sorted([*(f"{record.key}@{record.version}" for record in page.records), *page.deleted])
    return blake2b("|".join(told).encode(), digest_size=8).hexdigest() if told else ""


def _chunks(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    for at in range(0, len(keys), MAX_KEYS):
        yield keys[at : at + MAX_KEYS]
