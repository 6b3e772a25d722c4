"""A CRM and a Cockpit with behaviour, in memory, around the real writing of evaluations, and every order of effects.

Nothing of the product is modelled: protocol, stores and queue are its own. What is outside keeps versions, rights and
states; each of its calls is an effect. `explored` tries every order in which several runs can pass their effects, with
at most one fault: a run that dies before or after an effect, loses its answer, or whose write is carried out later.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, TypeVar

from shared.errors import NotAllowed, StoreUnavailable, SystemDown, UnknownResult, VersionConflict
from shared.messaging.memory import MemoryQueue
from shared.sales_cockpit.errors import NotVisible
from shared.sales_cockpit.messages import QUEUE, EvaluationMessage
from shared.sales_cockpit.ports import (
    Evaluation,
    EvaluationPage,
    EvaluationRow,
    EvaluationRows,
    Opportunity,
    Project,
    State,
)
from shared.sales_cockpit.queued import QueuedEvaluations
from shared.sales_cockpit.rating import Range, Rating
from shared.sales_cockpit.receiving import Receiving
from shared.sales_cockpit.reconciling import Reconciling
from shared.sales_cockpit.telling import Cause, Telling
from shared.sales_cockpit.writing_back import WritingBack
from shared.stores.rows import RowStore
from shared.stores.sqlite_rows import SqliteRows
from shared.stores.stores import TABLES, Stores, open_stores
from shared.strict_json import Json
from shared.sync.ports import ColumnMetadata, ColumnType, Journal, JournalEntry, Side, TableMetadata
from shared.users import User
from tests.simulation.loop import SteppedClock

Answer = TypeVar("Answer")
ANNA, BRUNO = "a11a0000-0000-4000-8000-000000000001", "b2b00000-0000-4000-8000-000000000002"
DEAL = "d0000000-0000-4000-8000-00000000000d"
BUDGET: Final = 8.0
TABLE: Final = TableMetadata(
    "opportunity",
    {
        one.name: one
        for one in (
            ColumnMetadata("closeprobability", ColumnType.INTEGER),
            ColumnMetadata("cdock_score", ColumnType.DECIMAL, decimals=2),
            ColumnMetadata("cdock_advice", ColumnType.TEXT, max_length=20),
            ColumnMetadata("cdock_light", ColumnType.CHOICE, choices={"1": "Red", "2": "Yellow", "3": "Green"}),
            ColumnMetadata("name", ColumnType.TEXT, max_length=300),
            ColumnMetadata("statecode", ColumnType.CHOICE, choices={"0": "Open", "1": "Won", "2": "Lost"}),
        )
    },
)


class Crash(BaseException):
    """The process dies."""


class How(StrEnum):
    """What becomes of an effect. late: a write whose answer is lost, and that is carried out at some later moment."""

    PASS = "pass"  # an effect that passes
    BEFORE = "before"
    AFTER = "after"
    LOST = "lost"
    LATE = "late"


Do = Callable[[], Awaitable[Answer]]


class Effects:
    """Lets every effect pass at once. journal_counts: whether writing an entry is one; no other run minds when it
    comes, so only faults need it."""

    journal_counts: bool = False

    async def pass_through(self, name: str, lost: Exception, do: Callable[[], Awaitable[Answer]]) -> Answer:
        """Do it."""
        return await do()


@dataclass
class Held:
    """An opportunity as the CRM keeps it."""

    values: dict[str, Json]
    state: State = State.OPEN
    version: int = 1


@dataclass
class FakeCrm:
    """`Crm` in memory. unseen, fixed: which user may not see, or not change, which opportunity. down: the next calls
    find nobody there. asked: every call; wrote: who wrote what."""

    effects: Effects = field(default_factory=Effects)
    system: str = "dataverse"
    held: dict[str, Held] = field(default_factory=dict)
    unseen: set[tuple[str, str]] = field(default_factory=set)
    fixed: set[tuple[str, str]] = field(default_factory=set)
    down: list[Exception] = field(default_factory=list)
    always_down: bool = False
    asked: list[str] = field(default_factory=list)
    wrote: list[tuple[str, str, dict[str, Json]]] = field(default_factory=list)
    table: TableMetadata = TABLE

    def edit(self, key: str, **values: Json) -> None:
        """A person types something in."""
        self.held[key].values.update(values)
        self.held[key].version += 1

    async def metadata(self) -> TableMetadata:
        return self.table

    async def read(self, user: User, key: str, columns: Sequence[str], within_seconds: float) -> Opportunity:
        async def do() -> Opportunity:
            self._called("read")
            held = self._seen(user, key)
            shown = {name: held.values.get(name) for name in columns}
            return Opportunity(key, f'W/"{held.version}"', held.state, str(held.values["name"]), shown, {})

        return await self.effects.pass_through("read", SystemDown(self.system), do)

    async def write(self, user: User, key: str, etag: str, values: Mapping[str, Json], within_seconds: float) -> str:
        async def do() -> str:
            self._called("write")
            held = self._seen(user, key)
            if (user.object_id, key) in self.fixed:
                raise NotAllowed(self.system)
            if etag != f'W/"{held.version}"':
                raise VersionConflict(self.system)
            self.wrote.append((user.object_id, key, dict(values)))
            held.values.update(values)
            held.version += 1
            return f'W/"{held.version}"'

        return await self.effects.pass_through("write", UnknownResult(self.system), do)

    def _called(self, what: str) -> None:
        self.asked.append(what)
        if self.down:
            raise self.down.pop(0)
        if self.always_down:
            raise SystemDown(self.system)

    def _seen(self, user: User, key: str) -> Held:
        if key not in self.held or (user.object_id, key) in self.unseen:
            raise NotVisible
        return self.held[key]


@dataclass
class FakeCockpit:
    """`Cockpit` in memory, a few evaluations on a page. down: nobody is there."""

    system: str = "sales_cockpit"
    evaluated: list[tuple[datetime, Evaluation]] = field(default_factory=list)
    page: int = 2
    down: bool = False
    asked: int = 0

    async def find(self, opportunity: str, user: User | None, within_seconds: float) -> Project | None:
        raise NotImplementedError

    async def create(
        self, opportunity: str, name: str, solution: str | None, user: User | None, within_seconds: float
    ) -> tuple[Project, bool]:
        raise NotImplementedError

    async def evaluations(self, since: datetime, cursor: str | None, within_seconds: float) -> EvaluationPage:
        self.asked += 1
        if self.down:
            raise SystemDown(self.system)
        found = [one for at, one in sorted(self.evaluated, key=lambda entry: entry[0]) if at >= since]
        start = int(cursor or 0)
        more = start + self.page < len(found)
        return EvaluationPage(found[start : start + self.page], str(start + self.page) if more else None)


@dataclass
class _Rows:
    """The rows, each call an effect."""

    inner: EvaluationRows
    effects: Effects

    async def get(self, crm: str, opportunity: str) -> EvaluationRow | None:
        return await self.effects.pass_through("get", StoreUnavailable(), lambda: self.inner.get(crm, opportunity))

    async def put(self, row: EvaluationRow) -> EvaluationRow:
        return await self.effects.pass_through("put", StoreUnavailable(), lambda: self.inner.put(row))


@dataclass
class _Journal:
    """The journal, each entry an effect."""

    inner: Journal
    effects: Effects

    async def write(self, entries: Sequence[JournalEntry]) -> None:
        if self.effects.journal_counts:
            await self.effects.pass_through("journal", StoreUnavailable(), lambda: self.inner.write(entries))
        else:
            await self.inner.write(entries)

    async def of_record(self, pair: str, side: Side, key: str, limit: int = 50) -> Sequence[JournalEntry]:
        return await self.inner.of_record(pair, side, key, limit)


class TickingClock(SteppedClock):
    """No two looks at it are the same moment."""

    def now(self) -> datetime:
        self._seconds += 1e-6
        return super().now()


class CountedIds:
    """Ids in a row, and no jitter."""

    def __init__(self) -> None:
        self._last = 0

    def new(self) -> str:
        self._last += 1
        return f"run-{self._last}"

    def fraction(self) -> float:
        return 0.0


@dataclass
class World:
    """The real parts around what is outside."""

    effects: Effects
    clock: SteppedClock
    crm: FakeCrm
    cockpit: FakeCockpit
    queue: MemoryQueue
    stores: Stores
    instance: str = "dataverse/nordwind"
    column: str = "closeprobability"
    ranges: Sequence[Range] = ()
    results: Mapping[str, str] = field(default_factory=dict)
    ids: CountedIds = field(default_factory=CountedIds)

    @property
    def pair(self) -> str:
        return f"{self.instance}/opportunity~sales_cockpit/cockpit/projects"

    async def rating(self) -> Rating:
        return Rating.of(self.column, self.ranges, self.results, await self.crm.metadata())

    def writing(self) -> WritingBack:
        """As one process has it."""
        journal = _Journal(self.stores.journal, self.effects)
        telling = Telling(journal, self.stores.counters, self.pair, self.clock, self.ids)
        rows = _Rows(self.stores.evaluations, self.effects)
        return WritingBack(self.crm, self.instance, rows, self.rating, telling, self.clock)

    def queued(self) -> QueuedEvaluations:
        return QueuedEvaluations(self.writing(), self.cockpit, self.queue, self.clock, self.ids)

    def receiving(self) -> Receiving:
        return Receiving(self.writing(), self.queued(), self.clock, BUDGET)

    def reconciling(self) -> Reconciling:
        return Reconciling(
            self.cockpit, self.instance, self.writing(), self.queued(), self.stores.watermarks, self.clock
        )

    def rated(self, evaluation: Evaluation) -> Evaluation:
        """Somebody rates in the Cockpit."""
        self.cockpit.evaluated.append((evaluation.at, evaluation))
        return evaluation

    async def take_messages(self) -> int:
        """Do what is due on the queue; answers how many messages that were."""
        done = 0
        while delivery := await self.queue.receive(QUEUE):
            await self.queued().run(EvaluationMessage.from_json(delivery.body))
            await self.queue.complete(delivery)
            done += 1
        return done

    async def settle(self) -> None:
        """Let time pass until nothing waits on the queue."""
        for _ in range(1000):
            await self.take_messages()
            event = self.queue.next_event()
            if event is None:
                return
            self.clock.step_to(event, 1e9)
        raise AssertionError("messages go round for ever")

    async def told(self, key: str = DEAL) -> Sequence[JournalEntry]:
        """What the journal has of an opportunity, the newest first."""
        return await self.stores.journal.of_record(self.pair, Side.LEFT, key)

    async def row(self, key: str = DEAL) -> EvaluationRow | None:
        return await self.stores.evaluations.get(self.instance, key)

    def probability(self, key: str = DEAL) -> Json:
        """What the opportunity holds."""
        return self.crm.held[key].values[self.column]


@asynccontextmanager
async def opened() -> AsyncIterator[RowStore]:
    """An empty store."""
    rows = SqliteRows(":memory:", TABLES, environment={})
    await rows.prepare()
    yield rows
    await rows.aclose()


@asynccontextmanager
async def world() -> AsyncIterator[World]:
    """One with one opportunity."""
    async with opened() as rows:
        yield world_in(rows)


def world_in(rows: RowStore, effects: Effects | None = None, held: Json = 10, instance: str = "nordwind") -> World:
    """One with one opportunity, which holds this probability. instance: worlds of different ones can share a store."""
    effects, clock = effects or Effects(), TickingClock()
    crm = FakeCrm(effects, held={DEAL: Held({"name": "Alfa: new line", "closeprobability": held})})
    queue, stores = MemoryQueue(clock, [QUEUE]), open_stores(rows, clock)
    return World(effects, clock, crm, FakeCockpit(), queue, stores, instance)


def evaluation(
    number: int,
    probability: float = 70,
    *,
    minutes: int | None = None,
    by: str = ANNA,
    key: str = DEAL,
    **results: Json,
) -> Evaluation:
    """The number says which one it is, and how many minutes after the beginning it was made if nothing else does."""
    at = SteppedClock().now() + timedelta(minutes=number if minutes is None else minutes)
    return Evaluation(f"e-{number}", "p-1", key, at, by, probability, results)


# --- every order

WHO: ContextVar[int] = ContextVar("who")


@dataclass
class Turns(Effects):
    """Every effect of a run waits for its turn; what is chosen next comes from outside."""

    journal_counts: bool = False
    active: bool = True
    waiting: dict[int, tuple[str, asyncio.Future[How]]] = field(default_factory=dict)
    late: list[Callable[[], Awaitable[object]]] = field(default_factory=list)

    async def pass_through(self, name: str, lost: Exception, do: Callable[[], Awaitable[Answer]]) -> Answer:
        who = WHO.get(None)
        if not self.active or who is None:
            return await do()
        turn: asyncio.Future[How] = asyncio.get_running_loop().create_future()
        self.waiting[who] = (name, turn)
        how = await turn
        if how is How.BEFORE:
            raise Crash
        if how is How.LATE:
            self.late.append(do)
            raise lost
        answer = await do()
        if how is How.AFTER:
            raise Crash
        if how is How.LOST:
            raise lost
        return answer


Act = Callable[[World], Awaitable[object]]


@dataclass(frozen=True)
class Meeting:
    """Runs that meet. acts: one for each worker; held: what the opportunity holds before; best: what it must hold at
    the end; faults: whether one of them is struck once."""

    acts: Sequence[Act]
    held: int = 10
    best: frozenset[int] = frozenset({70})
    faults: bool = False


@dataclass
class Explored:
    """How many orders were tried, and what was wrong in which."""

    orders: int = 0
    wrong: list[str] = field(default_factory=list)


async def explored(meeting: Meeting) -> Explored:
    """Every order, by trying the last choice that has another way until none has."""
    found, choices = Explored(), list[int]()
    async with opened() as rows:
        while True:
            path = await _add(found, meeting, rows, _given(choices))
            while path and path[-1][0] + 1 >= path[-1][1]:
                path.pop()
            if not path:
                return found
            choices = [chosen for chosen, _, _ in path[:-1]] + [path[-1][0] + 1]


async def sampled(meeting: Meeting, orders: int, seed: int = 1) -> Explored:
    """So many orders by chance."""
    found, chance = Explored(), random.Random(seed)
    async with opened() as rows:
        for _ in range(orders):
            await _add(found, meeting, rows, lambda _, ways: chance.randrange(ways))
    return found


Choose = Callable[[int, int], int]
"""At which choice, among how many ways."""
Path = list[tuple[int, int, str]]


def _given(choices: Sequence[int]) -> Choose:
    return lambda at, _: choices[at] if at < len(choices) else 0


async def _add(found: Explored, meeting: Meeting, rows: RowStore, choose: Choose) -> Path:
    here = world_in(rows, Turns(journal_counts=meeting.faults), meeting.held, f"order-{found.orders}")
    path, wrong = await _one_order(meeting, here, choose)
    found.orders += 1
    if wrong:
        found.wrong.append(f"{', '.join(told for _, _, told in path)}: {wrong}")
    return path


async def _one_order(meeting: Meeting, here: World, choose: Choose) -> tuple[Path, str]:
    turns = here.effects
    assert isinstance(turns, Turns)
    tasks = [asyncio.create_task(_work(who, act, here)) for who, act in enumerate(meeting.acts)]
    path: Path = []
    faults_left = 1 if meeting.faults else 0
    while True:
        await _settled()
        ways = _ways(turns, faults_left)
        if not ways:
            break
        chosen = choose(len(path), len(ways))
        who, how = ways[chosen]
        path.append((chosen, len(ways), f"{who}{turns.waiting[who][0]}/{how}" if who >= 0 else "late"))
        faults_left -= how is not How.PASS
        if who < 0:
            await _carried_out(turns)
        else:
            turns.waiting.pop(who)[1].set_result(how)
    outcomes = await asyncio.gather(*tasks)
    turns.active = False
    return path, await _judged(meeting, here, outcomes)


def _ways(turns: Turns, faults_left: int) -> list[tuple[int, How]]:
    ways = [(who, How.PASS) for who in sorted(turns.waiting)]
    if turns.late:
        ways.append((-1, How.PASS))
    if faults_left:
        for who, (name, _) in sorted(turns.waiting.items()):
            ways += [(who, how) for how in (How.BEFORE, How.AFTER, How.LOST)]
            ways += [(who, How.LATE)] if name == "write" else []
    return ways


async def _carried_out(turns: Turns) -> None:
    try:
        await turns.late.pop(0)()
    except VersionConflict:
        return


async def _work(who: int, act: Act, here: World) -> object:
    WHO.set(who)
    try:
        return await act(here)
    except (Crash, Exception) as error:
        return error


async def _settled() -> None:
    for _ in range(8):
        await asyncio.sleep(0)


async def _judged(meeting: Meeting, here: World, outcomes: Sequence[object]) -> str:
    """Wrong, if the newest is not there: at once where nothing was struck, else after the next look."""
    told = f"{outcomes} left {here.probability()} in the CRM"
    if not meeting.faults and here.probability() not in meeting.best:
        return told
    await here.reconciling().look()
    await here.settle()
    return "" if here.probability() in meeting.best else f"{told}, {here.probability()} after the look"


def rates(one: Evaluation, *, by: str = "") -> Act:
    """The Cockpit tells of an evaluation."""
    person = User(by or one.by)

    async def act(here: World) -> object:
        if not any(known == one for _, known in here.cockpit.evaluated):
            here.rated(one)
        return await here.writing().write(person, one, Cause.TOLD, BUDGET)

    return act


def edits(value: int) -> Act:
    """A person types a probability in, at some moment."""

    async def act(here: World) -> None:
        async def do() -> None:
            here.crm.edit(DEAL, closeprobability=value)

        await here.effects.pass_through("edit", SystemDown("dataverse"), do)

    return act
