"""The first load: every record of a source through the ordinary steps of its transfer, a hundred at once.

Nothing of the safety is left out: claims, match keys, look-ups after a lost answer, confirmation. What makes it fast is
that reads and creates of a chunk go out together (`coalescing`) and that partners are looked up among match keys noted
before (`planning.index_target`), which are renewed from the target's feed every minute.

It may be killed at any moment. The next load goes over the source again: what is linked costs a look at the store,
what was under way is looked up in the target before anything is created.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from shared.sync.breaker import Watched
from shared.sync.coalescing import Coalescing
from shared.sync.context import MatchIndex, Ports, Prepared, Timing
from shared.sync.definition import Brakes, Definition, Index, Transfer
from shared.sync.fingerprint import Base
from shared.sync.message import MAX_KEYS, Message
from shared.sync.outcome import Kind
from shared.sync.pipeline import Done, Pipeline
from shared.sync.planner import plan_update
from shared.sync.planning import index_target
from shared.sync.ports import DeadLetter, LinkRow, LinkState, Outgoing, Queue, Record, Side

CHUNKS_AT_ONCE = 6
"""Messages in hand; never more, so that live changes wait behind a few chunks at most."""
_RENEW_SECONDS = 60.0
_UNLIMITED = 1_000_000_000
_AT_ONCE = datetime.min.replace(tzinfo=UTC)


@dataclass
class Progress:
    """How far a load is. linked_before: records that had nothing to do; waiting: those that come again."""

    seen: int = 0
    linked_before: int = 0
    waiting: int = 0
    outcomes: Counter[Kind] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)

    @property
    def done(self) -> int:
        return self.linked_before + sum(count for kind, count in self.outcomes.items() if kind is not Kind.DEFERRED)


@dataclass
class LoadQueue:
    """Keeps the loaded transfer's own copies in the process; everything else goes to the real queue."""

    inner: Queue
    transfer: str
    kept: list[tuple[datetime, int, str]] = field(default_factory=list)
    _order: itertools.count[int] = field(default_factory=itertools.count)

    async def send(self, queue: str, messages: Sequence[Outgoing]) -> None:
        if queue != self.transfer:
            return await self.inner.send(queue, messages)
        for message in messages:
            due = message.not_before or _AT_ONCE
            heapq.heappush(self.kept, (due, next(self._order), message.body))
        return None

    async def send_all(self, by_queue: Mapping[str, Sequence[Outgoing]]) -> None:
        own = {queue: messages for queue, messages in by_queue.items() if queue == self.transfer}
        for queue, messages in own.items():
            await self.send(queue, messages)
        await self.inner.send_all({queue: by_queue[queue] for queue in by_queue.keys() - own.keys()})

    def next_due(self) -> datetime | None:
        """When the next kept message may run."""
        return self.kept[0][0] if self.kept else None

    def take(self) -> Message:
        """The message that is due first."""
        return Message.from_json(heapq.heappop(self.kept)[2])

    async def dead_letters(self, queue: str, limit: int) -> Sequence[DeadLetter]:
        return await self.inner.dead_letters(queue, limit)

    async def settle_dead_letter(self, queue: str, letter: DeadLetter) -> None:
        await self.inner.settle_dead_letter(queue, letter)


def load_timing(timing: Timing) -> Timing:
    """The times of a load: a chunk may take minutes, a create of a hundred records nearly as long as the lease."""
    return replace(
        timing, at_once=MAX_KEYS, budget=timedelta(minutes=30), lease=timedelta(minutes=10),
        create_deadline=timedelta(minutes=8),
    )  # fmt: skip


def pipeline_for_load(ports: Ports, index: Index, transfer: str, match_index: MatchIndex, *, alone: bool) -> Pipeline:
    """A pipeline of its own: in bulk, with the approved plan in the place of brakes, and for this transfer switched
    on.

    alone: the transfers that could create partners are off, so nobody but this load does; only then the noted match
    keys are enough, and the target is not searched for every record.
    """
    connectors = {
        name: Coalescing(one.plain if isinstance(one, Watched) else one, ports.clock)
        for name, one in ports.connectors.items()
    }
    queue = LoadQueue(ports.queue, transfer)
    own = replace(ports, connectors=connectors, queue=queue, timing=load_timing(ports.timing))
    return Pipeline(own, _unbraked(index), loads=transfer, match_index=match_index, searches_too=not alone)


def _unbraked(index: Index) -> Index:
    limits = {name: _UNLIMITED for name in Brakes.model_fields if name.endswith("_per_hour")}
    definitions = [one.model_copy(update={"brakes": one.brakes.model_copy(update=limits)}) for one in index.definitions]
    return index.model_copy(update={"definitions": tuple(definitions)})


@dataclass
class Loading:
    """Loads one transfer. pipeline: made by `pipeline_for_load`; tell: hears of progress after every chunk."""

    pipeline: Pipeline
    definition: Definition
    transfer: Transfer
    match_index: MatchIndex
    tell: Callable[[Progress], None]
    chunks_at_once: int = CHUNKS_AT_ONCE
    progress: Progress = field(default_factory=Progress)
    _mark: str | None = None
    _renewed_at: float = float("-inf")
    _renewing: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def run(self) -> Progress:
        """Load everything; answers when all records have their outcome. Raises what stops the store or a feed."""
        await self._renew()
        async with asyncio.TaskGroup() as group:
            free = asyncio.Semaphore(self.chunks_at_once)
            async for keys in self._chunks():
                await free.acquire()
                group.create_task(self._handle(self._message(keys), free))
        await self._rest()
        return self.progress

    @property
    def _queue(self) -> LoadQueue:
        queue = self.pipeline.ports.queue
        assert isinstance(queue, LoadQueue)
        return queue

    async def _chunks(self) -> AsyncIterator[Sequence[str]]:
        """The keys that have no partner yet, and those whose partner lacks something; a hundred at a time."""
        prepared = await self.pipeline.prepare(self.transfer.name)
        gathered: list[str] = []
        async for page in prepared.source.changes(prepared.source_table, None, prepared.source_columns):
            self.progress.seen += len(page.records)
            for at in range(0, len(page.records), MAX_KEYS):
                gathered += await self._unfinished(prepared, page.records[at : at + MAX_KEYS])
            while len(gathered) >= MAX_KEYS:
                yield gathered[:MAX_KEYS]
                gathered = gathered[MAX_KEYS:]
        if gathered:
            yield gathered

    async def _unfinished(self, prepared: Prepared, records: Sequence[Record]) -> list[str]:
        """Keys of the records that have something to do; the partners are read together."""
        homes = {record.key: await self._home(prepared, record.key) for record in records}
        side = prepared.side
        partners = {key: home.other if side is Side.LEFT else home.key for key, home in homes.items() if home}
        read = prepared.target.read
        found = await read(prepared.target_table, list(partners.values()), prepared.target_columns) if partners else {}
        kept = [one.key for one in records if not self._agrees(prepared, one, homes[one.key], found)]
        self.progress.linked_before += len(records) - len(kept)
        return kept

    async def _home(self, prepared: Prepared, key: str) -> LinkRow | None:
        """The home row of a record's link; None for a record without one."""
        links = self.pipeline.ports.stores.links
        row = await links.get(prepared.pair, prepared.side, key)
        if row is None or row.state is not LinkState.LINKED:
            return None
        home = row if row.side is Side.LEFT else await links.get(prepared.pair, Side.LEFT, row.other)
        return home if home is not None and home.state is LinkState.LINKED else None

    def _agrees(self, prepared: Prepared, source: Record, home: LinkRow | None, targets: Mapping[str, Record]) -> bool:
        """Whether a linked record's transfer would do nothing."""
        if home is None or home.write_back:
            return False
        target = targets.get(home.other if prepared.side is Side.LEFT else home.key)
        if target is None:
            return False
        base = Base.unpack(home.base, home.key, self.pipeline.ports.prints)
        rules, lengths = prepared.rules, prepared.lengths
        plan = plan_update(prepared.side, rules, base, source.values, target.values, lengths)
        return not plan.writes and not plan.problems

    def _message(self, keys: Sequence[str]) -> Message:
        ids = self.pipeline.ports.ids
        return Message(
            transfer=self.transfer.name,
            side=self.transfer.source,
            table=self.definition.table(self.transfer.source).table,
            keys=tuple(keys),
            cause="load",
            occurred_at=self.pipeline.ports.clock.now(),
            attempt=0,
            correlation_id=ids.new(),
            change_id=f"load/{ids.new()}",
        )

    async def _handle(self, message: Message, free: asyncio.Semaphore) -> None:
        try:
            await self._run(message)
        finally:
            free.release()

    async def _run(self, message: Message) -> None:
        await self._both_answer()
        await self._renew()
        for one in await self.pipeline.run(message):
            self._count(one)
        self.progress.waiting = len(self._queue.kept)
        self.tell(self.progress)

    async def _both_answer(self) -> None:
        """Wait while the breaker of either system is open, probing it: a load has nothing else to do meanwhile."""
        ports, panel = self.pipeline.ports, self.pipeline.panel
        for side in Side:
            connector = ports.connectors[self.definition.table(side).system]
            while await panel.is_open(connector) and not await panel.probe(connector):
                await ports.clock.sleep(ports.timing.probe_every.total_seconds() / 3)

    def _count(self, one: Done) -> None:
        self.progress.outcomes[one.outcome.kind] += 1
        if one.outcome.code:
            self.progress.codes[one.outcome.code] += 1

    async def _rest(self) -> None:
        """What came again: taken by others, throttled, unsure; until nothing is left or everything waits as
        pending."""
        clock = self.pipeline.ports.clock
        while (due := self._queue.next_due()) is not None:
            pause = (due - clock.now()).total_seconds()
            if pause > 0:
                await clock.sleep(pause)
            await self._run(self._queue.take())

    async def _renew(self) -> None:
        """Bring the noted match keys up to date with what others create in the target meanwhile."""
        async with self._renewing:
            clock = self.pipeline.ports.clock
            if clock.monotonic() - self._renewed_at < _RENEW_SECONDS:
                return
            prepared = await self.pipeline.prepare(self.transfer.name)
            async for _, mark in index_target(prepared, self.match_index, self._mark):
                self._mark = mark
            self._renewed_at = clock.monotonic()
