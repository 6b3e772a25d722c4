"""Walks over the systems' change feeds: webhooks give speed, the feed gives truth.

One walk per table of a pair, and one per related table (`also_on`). It queues every changed key to the transfers that
hear of the table, and advances its watermark only after the queue has taken the page. A walk whose transfers are all
off stands still, so that nothing is lost while a transfer is switched off; the first walk after the first switching-on
starts from now and queues nothing that existed before.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import blake2b

from shared.errors import ConnectorError, FeedExpired, SettingsError, SystemDown, WrongEnvironment, WrongProfile
from shared.sync.context import pair_name
from shared.sync.definition import Definition, Index, Transfer
from shared.sync.full_compare import FullCompares
from shared.sync.homes import linked_home
from shared.sync.message import MAX_KEYS, Message
from shared.sync.pipeline import Pipeline
from shared.sync.ports import ChangePage, Connector, Record, RowTaken, Side, Switch, Watermark

log = logging.getLogger(__name__)


_SETTLED = timedelta(seconds=10)
"""After so long nothing bears the time of the reading before any more, however coarsely a system tells times."""
_PAGES_REMEMBERED = 200
"""Digests of 16 or 17 characters that a watermark's row keeps; a longer overlap is queued again, which is harmless."""


@dataclass(frozen=True, slots=True)
class Walked:
    """What one walk found: changed and deleted keys that were queued; started: it only took its starting point.

    unfinished: its time was up; the next one goes on.

    code: of the error that ended it early; the next walk goes on where it stopped.
    """

    name: str
    queued: int = 0
    started: bool = False
    expired: bool = False
    unfinished: bool = False
    code: str = ""


@dataclass(frozen=True, slots=True)
class Feed:
    """The change feed of one table, for the transfers of one pair that hear of it.

    side: of the pair that the table is on, or whose records a related table names. every: how often it is walked, the
    shortest time that one of the transfers names; None: only when somebody asks for it.
    """

    definition: Definition
    side: Side
    table: str
    transfers: Sequence[Transfer]
    every: timedelta | None

    @property
    def system(self) -> str:
        return self.definition.table(self.side).system

    @property
    def is_related(self) -> bool:
        """Whether its records only name records of the pair."""
        return self.table != self.definition.table(self.side).table


def feeds(index: Index) -> Iterator[Feed]:
    """Every feed that concerns a transfer."""
    for definition in index.linking:
        for side in Side:
            yield _feed(definition, side, definition.table(side).table, definition.transfers)
            from_here = [transfer for transfer in definition.transfers if transfer.source is side]
            for table in dict.fromkeys(table for transfer in from_here for table in transfer.also_on):
                yield _feed(definition, side, table, [one for one in from_here if table in one.also_on])


def _feed(definition: Definition, side: Side, table: str, transfers: Sequence[Transfer]) -> Feed:
    named = [transfer.walk_seconds for transfer in transfers if transfer.source is side and transfer.walk_seconds]
    return Feed(definition, side, table, transfers, timedelta(seconds=min(named)) if named else None)


@dataclass(frozen=True)
class Walks:
    """Runs walks: those that are due, and those that somebody asks for."""

    pipeline: Pipeline

    async def due(self) -> list[Walked]:
        """Run every walk whose time has come; two at the same moment do not disturb each other.

        A feed that nobody walks by the clock gets its starting point, so that a walk on demand knows where to begin.
        """
        walked = [
            await (self._walk(feed, feed.every) if feed.every is not None else self._begun(feed))
            for feed in feeds(self.pipeline.index)
        ]
        return [one for one in walked if one is not None]

    async def now(self, system: str, table: str) -> list[Walked]:
        """Walk all feeds of a table at once, from where each stands, whether or not they are due."""
        walked = [await self._walk(feed, None) for feed in self._of(system, table)]
        return [one for one in walked if one is not None]

    async def step_back(self, system: str, table: str, at: datetime) -> None:
        """Let the next walk of a table begin no later than at a time: what was committed late may stand before the
        watermark. Raises RowTaken when a walk is just under way."""
        for feed in self._of(system, table):
            if await self._switched_on(feed):
                await self._step_back(feed, at)

    def _of(self, system: str, table: str) -> list[Feed]:
        return [feed for feed in feeds(self.pipeline.index) if (feed.system, feed.table) == (system, table)]

    async def _step_back(self, feed: Feed, at: datetime) -> None:
        """Set a feed's watermark back to a time."""
        ports = self.pipeline.ports
        name = feed_name(feed, pair_name(feed.definition, ports.connectors))
        mark = await ports.stores.watermarks.get(name) or Watermark(None)
        value = ports.connectors[feed.system].watermark_at(feed.table, at, mark.value)
        if value is not None and value != mark.value:
            await ports.stores.watermarks.put(name, replace(mark, value=value, done_at=None))

    async def _begun(self, feed: Feed) -> Walked | None:
        """Take the starting point of a feed that is ordered by time, once; the others would have to be read for it."""
        ports = self.pipeline.ports
        name = feed_name(feed, pair_name(feed.definition, ports.connectors))
        if await ports.stores.watermarks.get(name) or not await self._switched_on(feed):
            return None
        connector, now = ports.connectors[feed.system], ports.clock.now()
        if connector.watermark_at(feed.table, now) is None:
            return None
        return await _run(_Walk(self.pipeline, feed, [], connector, name, now), None)

    async def _walk(self, feed: Feed, every: timedelta | None) -> Walked | None:
        """One walk; None when it is not due (`every` None: it is) or its transfers are off."""
        transfers = await self._switched_on(feed)
        if not transfers:
            return None
        ports = self.pipeline.ports
        name = feed_name(feed, pair_name(feed.definition, ports.connectors))
        mark = await ports.stores.watermarks.get(name)
        now = ports.clock.now()
        if every is not None and mark and mark.done_at and now - mark.done_at < every:
            return None
        connector = ports.connectors[feed.system]
        if self.pipeline.environments.is_wrong(feed.system):
            return Walked(name, code=WrongEnvironment.code)
        if await self.pipeline.panel.is_open(connector):
            return Walked(name, code=SystemDown.code)
        return await _run(_Walk(self.pipeline, feed, transfers, connector, name, now), mark)

    async def _switched_on(self, feed: Feed) -> list[Transfer]:
        """The feed's transfers if at least one of the pair moves; stopped ones get messages too, which then wait as
        pending."""
        switches = {one.name: await self.pipeline.switch(one.name) for one in feed.definition.transfers}
        moving = Switch.ON in switches.values()
        return [one for one in feed.transfers if switches[one.name] is not Switch.OFF] if moving else []


def feed_name(feed: Feed, pair: str) -> str:
    """The name of a feed's watermark."""
    return f"{pair}|{feed.side}|{feed.table}" if feed.is_related else f"{pair}|{feed.side}"


async def _run(walk: _Walk, mark: Watermark | None) -> Walked | None:
    try:
        await walk.pipeline.environments.require([walk.feed.system])
        definition = walk.feed.definition
        await walk.pipeline.environments.require_one_profile(definition.systems, definition.profile)
        return await (walk.run(mark) if mark else walk.start())
    except FeedExpired:
        return await walk.start_over(mark or Watermark(None))
    except RowTaken:
        return None
    except WrongProfile as error:  # with a CRM for each profile one of the two always stands still
        return Walked(walk.name, code=error.code)
    except (ConnectorError, SettingsError) as error:
        log.warning("walk failed", extra={"walk": walk.name, "code": error.code, "told": error.detail})
        return Walked(walk.name, code=error.code)


@dataclass
class _Walk:
    pipeline: Pipeline
    feed: Feed
    transfers: Sequence[Transfer]
    connector: Connector
    name: str
    now: datetime

    async def start(self) -> Walked:
        """Take the feed's present end as the starting point; nothing is queued."""
        await self.pipeline.ports.stores.watermarks.put(self.name, Watermark(await self._end(), self.now))
        return Walked(self.name, started=True)

    async def _end(self) -> str | None:
        value = self.connector.watermark_at(self.feed.table, self.now)
        if value is None:
            async for page in self.connector.changes(self.feed.table, None, ()):
                value = page.watermark or value
        return value

    async def start_over(self, mark: Watermark) -> Walked:
        """The system forgot our watermark, and with it what was deleted: begin at the present end, and let a full
        compare find what happened before. It is asked for before the new watermark is kept."""
        log.warning("feed expired, comparing everything", extra={"walk": self.name})
        value = await self._end()
        await FullCompares(self.pipeline).of_pair(self.feed.definition, "the feed has forgotten where we were")
        await self._keep(replace(mark, value=value, done_at=self.now, seen=""))
        return Walked(self.name, expired=True)

    async def run(self, mark: Watermark) -> Walked:
        """Queue what changed since the watermark; a page's watermark is kept once the page is queued.

        When the time is up it ends at such a page without being done, so that the next tick goes on there.
        """
        before, pages, queued = set(mark.seen.split(",")), list[str](), 0
        is_settled = mark.done_at is not None and self.now - mark.done_at >= _SETTLED
        until = self.pipeline.ports.clock.monotonic() + self.pipeline.ports.timing.walk_budget.total_seconds()
        async for page in self.connector.changes(self.feed.table, mark.value, ()):
            digest, is_repeated = _seen(page, before, is_settled)
            if (page.records or page.deleted) and not is_repeated:
                queued += await self._queue(page)
            pages = [*pages, digest][-_PAGES_REMEMBERED:] if digest else pages
            if page.watermark is not None and (page.watermark != mark.value or not is_repeated):
                mark = await self._keep(replace(mark, value=page.watermark, seen=",".join(pages)))
                if self.pipeline.ports.clock.monotonic() > until:
                    return Walked(self.name, queued, unfinished=True)
        await self._keep(replace(mark, done_at=self.now, seen=",".join(pages)))
        return Walked(self.name, queued)

    async def _keep(self, mark: Watermark) -> Watermark:
        return await self.pipeline.ports.stores.watermarks.put(self.name, mark)

    async def _queue(self, page: ChangePage) -> int:
        """Queue a page: news to every transfer; versions that were transferred already only to those that check
        this side."""
        known = set[str]()
        if not self.feed.is_related:
            known = {record.key for record in page.records if await self._is_known(record)}
        keys = list(dict.fromkeys([*(record.key for record in page.records), *page.deleted]))
        new = self.pipeline.ports.ids.new  # without a version nothing tells one change of a record from the next
        versions = {record.key: record.version or new() for record in page.records}
        for transfer in self.transfers:
            wanted = keys if transfer.target is self.feed.side else [key for key in keys if key not in known]
            for chunk in _chunks(wanted):
                await self._send(transfer, chunk, versions)
        return len(keys)

    async def _is_known(self, record: Record) -> bool:
        """Whether the record has the version that its link remembers: our own write, or transferred already from
        here."""
        links, pair = self.pipeline.ports.stores.links, pair_name(self.feed.definition, self.pipeline.ports.connectors)
        home = await linked_home(links, pair, self.feed.side, record.key)
        return home is not None and record.version is not None and record.version == home.version_on(self.feed.side)

    async def _send(self, transfer: Transfer, keys: Sequence[str], versions: dict[str, str]) -> None:
        """The id names the versions seen: a walk repeated after a crash is taken once, a new change never is
        swallowed."""
        seen = "|".join(f"{key}@{versions.get(key, 'deleted')}" for key in keys)
        digest = blake2b(seen.encode(), digest_size=16).hexdigest()
        message = Message(
            transfer=transfer.name,
            side=self.feed.side,
            table=self.feed.table,
            keys=tuple(keys),
            cause="walk",
            occurred_at=self.now,
            attempt=0,
            correlation_id=self.pipeline.ports.ids.new(),
            change_id=f"walk/{digest}",
        )
        await self.pipeline.ports.queue.send(transfer.name, [message.outgoing()])


def _seen(page: ChangePage, before: Collection[str], is_settled: bool) -> tuple[str, bool]:
    """What is remembered of a page, and whether it says nothing new: a feed that overlaps repeats its last page until
    something new happens. Empty for an empty page, and for one that does not tell what is new in it.

    Without versions a page is taken once more: what changed in the moment of the first reading looks like what was
    read then.
    """
    if any(record.version is None for record in page.records):
        digest = _digest([page.told, *page.deleted]) if page.told else ""
        sure = f"{digest}!"
        if digest and (sure in before or (is_settled and digest in before)):
            return sure, sure in before
        return digest, False
    digest = _digest([*(f"{record.key}@{record.version}" for record in page.records), *page.deleted])
    return digest, digest in before


def _digest(told: Sequence[str]) -> str:
    return blake2b("|".join(sorted(told)).encode(), digest_size=8).hexdigest() if told else ""


def _chunks(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    for at in range(0, len(keys), MAX_KEYS):
        yield keys[at : at + MAX_KEYS]
