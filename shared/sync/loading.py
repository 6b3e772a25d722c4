"""The first load: every record of a source through the ordinary steps of its transfer, a hundred at once.

Nothing of the safety is left out: claims, match keys, look-ups after a lost answer, confirmation. What makes it fast is
that reads, creates and updates of a chunk go out together (`coalescing`) and that partners are looked up among match
keys noted before (`planning.index_target`), which are renewed from the target's feed every minute.

It may be killed at any moment. The next load goes on in the source where the last one was (`load_place`): what is
linked costs a look at the store, what was under way is looked up in the target before anything is created.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from shared.errors import FeedExpired, SystemDown
from shared.sync.breaker import unwatched
from shared.sync.coalescing import Coalescing
from shared.sync.context import MatchIndex, Ports, Prepared, Timing
from shared.sync.definition import Brakes, Definition, Index, Transfer
from shared.sync.fingerprint import Base
from shared.sync.homes import linked_home
from shared.sync.load_place import LoadPlace
from shared.sync.message import DRAIN, MAX_KEYS, Message
from shared.sync.outcome import Kind, Outcome, Why
from shared.sync.pipeline import Done, Pipeline
from shared.sync.planner import plan_update
from shared.sync.planning import index_target
from shared.sync.ports import DeadLetter, LinkRow, Outgoing, Queue, QueueView, Record, RecordPage, Side

CHUNKS_AT_ONCE = 6
"""Messages in hand; never more, so that live changes wait behind a few chunks at most."""
SMALLEST_CHUNK = 25
"""Keys of a load's last messages."""
PAGE = 300
"""Records on a page of the source: what a load that goes on may look at again, and what it holds besides the messages
in hand. A multiple of what is read of the target together."""
_RENEW_SECONDS = 60.0
_AGAIN_AFTER = timedelta(seconds=5)
_UNLIMITED = 1_000_000_000
_AT_ONCE = datetime.min.replace(tzinfo=UTC)


@dataclass
class Progress:
    """How far a load is. seen_before: records that an earlier load has gone over, which this one goes on with;
    linked_before: records that had nothing to do; waiting: those that come again."""

    seen_before: int = 0
    seen: int = 0
    linked_before: int = 0
    waiting: int = 0
    outcomes: Counter[Kind] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)

    @property
    def done(self) -> int:
        """Records that are through, also those of the earlier load."""
        through = self.seen_before + self.linked_before
        return through + sum(count for kind, count in self.outcomes.items() if kind is not Kind.DEFERRED)


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
            self.keep(message.body, message.not_before)
        return None

    def keep(self, body: str, not_before: datetime | None) -> None:
        """Keep a message of the loaded transfer."""
        heapq.heappush(self.kept, (not_before or _AT_ONCE, next(self._order), body))

    async def send_all(self, by_queue: Mapping[str, Sequence[Outgoing]]) -> None:
        own = {queue: messages for queue, messages in by_queue.items() if queue == self.transfer}
        for queue, messages in own.items():
            await self.send(queue, messages)
        await self.inner.send_all({queue: by_queue[queue] for queue in by_queue.keys() - own.keys()})

    def next_due(self) -> datetime | None:
        """When the next kept message may run."""
        return self.kept[0][0] if self.kept else None

    def is_due(self, now: datetime) -> bool:
        """Whether a kept message may run."""
        return bool(self.kept) and self.kept[0][0] <= now

    def take(self, now: datetime) -> Message:
        """The message that is due first, with the keys of those that are due by now and differ in nothing else."""
        taken = self._pop()
        while self.is_due(now) and (both := _together(taken, Message.from_json(self.kept[0][2]))):
            self._pop()
            taken = both
        return taken

    def _pop(self) -> Message:
        return Message.from_json(heapq.heappop(self.kept)[2])

    async def dead_letters(self, queue: str, limit: int) -> Sequence[DeadLetter]:
        return await self.inner.dead_letters(queue, limit)

    async def settle_dead_letter(self, queue: str, letter: DeadLetter) -> None:
        await self.inner.settle_dead_letter(queue, letter)

    async def look(self, queue: str) -> QueueView:
        return await self.inner.look(queue)


def _together(one: Message, other: Message) -> Message | None:
    """Both as one message, if they differ only in keys and change and are not too many."""
    if replace(other, keys=one.keys, change_id=one.change_id) != one or len(one.keys) + len(other.keys) > MAX_KEYS:
        return None
    return replace(one, keys=tuple(dict.fromkeys((*one.keys, *other.keys))))


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
    connectors = {name: Coalescing(unwatched(one), ports.clock) for name, one in ports.connectors.items()}
    queue = LoadQueue(ports.queue, transfer)
    own = replace(ports, connectors=connectors, queue=queue, timing=load_timing(ports.timing))
    return Pipeline(own, _unbraked(index), loads=transfer, match_index=match_index, searches_too=not alone)


def _unbraked(index: Index) -> Index:
    limits = {name: _UNLIMITED for name in Brakes.model_fields if name.endswith("_per_hour")}
    definitions = [one.model_copy(update={"brakes": one.brakes.model_copy(update=limits)}) for one in index.definitions]
    return index.model_copy(update={"definitions": tuple(definitions)})


def _comes_again(outcome: Outcome) -> bool:
    """Whether this load takes the record up again; what the store keeps as pending is a drain's."""
    return outcome.kind is Kind.DEFERRED and (not outcome.pending or _waits_for_a_system(outcome))


def _waits_for_a_system(outcome: Outcome) -> bool:
    return outcome.pending and outcome.why is Why.SYSTEM_DOWN


def last_chunks(keys: Sequence[str], at_once: int) -> Iterator[Sequence[str]]:
    """The end of a load in ever smaller chunks, so that all of them end at about the same time.

    A target is waited for longest by its last chunk, whose records are still confirmed and written back afterwards.
    """
    while keys:
        size = min(MAX_KEYS, max(SMALLEST_CHUNK, -(-len(keys) // at_once)))
        yield keys[:size]
        keys = keys[size:]


@dataclass
class Loading:
    """Loads one transfer. pipeline: made by `pipeline_for_load`; tell: hears of progress after every chunk.

    from_start: begin at the source's beginning, wherever an earlier load has stopped.
    """

    pipeline: Pipeline
    definition: Definition
    transfer: Transfer
    match_index: MatchIndex
    tell: Callable[[Progress], None]
    from_start: bool = False
    chunks_at_once: int = CHUNKS_AT_ONCE
    page_size: int = PAGE
    progress: Progress = field(default_factory=Progress)
    _mark: str | None = None
    _renewed_at: float = float("-inf")
    _renewing: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def run(self) -> Progress:
        """Load everything; answers when all records have their outcome. Raises what stops the store or a feed."""
        await self._renew()
        prepared = await self.pipeline.prepare(self.transfer.name)
        place = LoadPlace(self.pipeline.ports.stores.reports, prepared)
        if self.from_start:
            await place.forget()
        async with asyncio.TaskGroup() as group:
            free = asyncio.Semaphore(self.chunks_at_once)
            async for message in self._in_turn(prepared, place, free):
                group.create_task(self._handle(message, place, free))
        await self._rest(place)
        await place.forget()
        return self.progress

    @property
    def _queue(self) -> LoadQueue:
        queue = self.pipeline.ports.queue
        assert isinstance(queue, LoadQueue)
        return queue

    async def _in_turn(self, prepared: Prepared, place: LoadPlace, free: asyncio.Semaphore) -> AsyncIterator[Message]:
        """What is to run, each as soon as there is a place for it: what comes again and is due before what is new."""
        clock = self.pipeline.ports.clock
        async for keys in self._chunks(prepared, place):
            await free.acquire()
            while self._queue.is_due(now := clock.now()):
                yield self._queue.take(now)
                await free.acquire()
            yield self._message(keys)

    async def _chunks(self, prepared: Prepared, place: LoadPlace) -> AsyncIterator[Sequence[str]]:
        """The keys that have no partner yet, and those whose partner lacks something; a hundred at a time, fewer at the
        end."""
        gathered: list[str] = []
        async for page in self._pages(prepared, place):
            self.progress.seen += len(page.records)
            unfinished: list[str] = []
            for at in range(0, len(page.records), MAX_KEYS):
                unfinished += await self._unfinished(prepared, page.records[at : at + MAX_KEYS])
            await place.came(page.place, self.progress.seen_before + self.progress.seen, unfinished)
            gathered += unfinished
            while len(gathered) > MAX_KEYS * self.chunks_at_once:
                yield gathered[:MAX_KEYS]
                gathered = gathered[MAX_KEYS:]
        for chunk in last_chunks(gathered, self.chunks_at_once):
            yield chunk

    async def _pages(self, prepared: Prepared, place: LoadPlace) -> AsyncIterator[RecordPage]:
        """The source from where an earlier load stopped, from its beginning where that place is gone; waits for a
        source that goes away in between."""
        begun = await place.begun()
        self.progress.seen_before, behind = begun.seen, begun.place
        while True:
            try:
                async for page in prepared.source.pages(
                    prepared.source_table, behind, prepared.source_columns, self.page_size
                ):
                    yield page
                    behind = page.place
                return
            except FeedExpired:
                if behind is None:
                    raise
                self.progress.seen_before, behind = 0, None
            except SystemDown:
                if not self.progress.seen:
                    raise
                await self._pause()

    async def _unfinished(self, prepared: Prepared, records: Sequence[Record]) -> list[str]:
        """Keys of the records that have something to do; the partners are read together."""
        links, pair, side = self.pipeline.ports.stores.links, prepared.pair, prepared.side
        homes = {record.key: await linked_home(links, pair, side, record.key) for record in records}
        partners = {key: home.key_on(prepared.side.other) for key, home in homes.items() if home}
        try:
            found = await self._partners(prepared, list(partners.values()))
        except SystemDown:
            return [record.key for record in records]  # each waits for the system in its own run
        kept = [one.key for one in records if not self._agrees(prepared, one, homes[one.key], found)]
        self.progress.linked_before += len(records) - len(kept)
        return kept

    async def _partners(self, prepared: Prepared, keys: Sequence[str]) -> Mapping[str, Record]:
        if not keys:
            return {}
        return await prepared.target.read(prepared.target_table, keys, prepared.target_columns)

    def _agrees(self, prepared: Prepared, source: Record, home: LinkRow | None, targets: Mapping[str, Record]) -> bool:
        """Whether a linked record's transfer would do nothing, not even say what an earlier run has written."""
        if home is None or home.write_back:
            return False
        target = targets.get(home.key_on(prepared.side.other))
        if target is None:
            return False
        base = Base.unpack(home.base, home.key, self.pipeline.ports.prints)
        rules, lengths = prepared.rules, prepared.lengths
        plan = plan_update(prepared.side, rules, base, source.values, target.values, lengths)
        return not plan.writes and not plan.problems and not plan.news

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

    async def _handle(self, message: Message, place: LoadPlace, free: asyncio.Semaphore) -> None:
        try:
            await self._run(message, place)
        finally:
            free.release()

    async def _run(self, message: Message, place: LoadPlace) -> None:
        await self._ready()
        done = await self.pipeline.run(message)
        for one in done:
            self._count(one)
        self._let_come_again(message, [one.key for one in done if _waits_for_a_system(one.outcome)])
        await place.settled([one.key for one in done if not _comes_again(one.outcome)])
        self.progress.waiting = len(self._queue.kept)
        self.tell(self.progress)

    async def _ready(self) -> None:
        """Both systems answer, and what others have created is noted."""
        while True:
            await self._both_answer()
            try:
                return await self._renew()
            except SystemDown:
                await self._pause()

    async def _pause(self) -> None:
        await self.pipeline.ports.clock.sleep(_AGAIN_AFTER.total_seconds())

    def _let_come_again(self, message: Message, keys: Sequence[str]) -> None:
        """Take up records that wait for a system, as a drain would: it does not serve a transfer that is off."""
        if keys:
            now = self.pipeline.ports.clock.now()
            again = replace(message, keys=tuple(keys), cause=DRAIN, occurred_at=now)
            self._queue.keep(again.to_json(), now + _AGAIN_AFTER)

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

    async def _rest(self, place: LoadPlace) -> None:
        """What comes again after the source's end: taken by others, throttled, unsure, a system that was away; until
        nothing is left."""
        clock = self.pipeline.ports.clock
        while (due := self._queue.next_due()) is not None:
            pause = (due - clock.now()).total_seconds()
            if pause > 0:
                await clock.sleep(pause)
            await self._run(self._queue.take(clock.now()), place)

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
