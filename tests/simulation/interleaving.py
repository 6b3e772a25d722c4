"""Two workers of the real engine, one effect at a time, in every order up to a number of changes of turn.

Nothing is modelled: pipeline, stores and queue are the product's own. What is explored is bounded: in each run the two
workers take turns as the schedule says, and what is left of their messages then comes to its end without faults. With
one fault more, a worker dies before or after an effect, or loses its answer, and the other goes on from there.
`python -m tests.simulation.interleaving` explores as many changes of turn as are asked for, and tells how many orders
it tried.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Final, TypeVar

from shared.messaging.memory import Delivery
from shared.sync.ports import Value, VersionKind
from tests.simulation.loop import SteppedClock
from tests.simulation.stories import ACCOUNT, CUSTOMER, OURS, SERIES
from tests.simulation.sweep import FAULTS
from tests.simulation.world import Crash, Faults, How, Setup, World

Answer = TypeVar("Answer")
WHO: ContextVar[int] = ContextVar("who")
TO_THE_END: Final = 10_000
"""More effects than any message has."""
Order = tuple[tuple[int, int], ...]
"""Who goes on for how many effects, in turn; then the first worker goes to its end, then the second."""


@dataclass
class Turns(Faults):
    """Lets an effect pass when it is its worker's turn. strike: the worker, the number of its effect, and the fault."""

    strike: tuple[int, int, How] | None = None
    waiting: Mapping[int, deque[asyncio.Future[None]]] = field(default_factory=lambda: {0: deque(), 1: deque()})
    passed: Counter[int] = field(default_factory=Counter)

    async def effect(
        self, name: str, lost: Exception, refused: Exception, do: Callable[[], Awaitable[Answer]]
    ) -> Answer:
        """Wait for the turn, then pass the effect or strike it."""
        who = WHO.get(None)
        if not self.active or who is None:
            return await do()
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.waiting[who].append(turn)
        await turn
        self.passed[who] += 1
        if self.strike is None or self.strike[:2] != (who, self.passed[who]):
            return await do()
        return await self._struck(self.strike[2], lost, do)

    async def _struck(self, how: How, lost: Exception, do: Callable[[], Awaitable[Answer]]) -> Answer:
        if how is How.BEFORE:
            raise Crash
        await do()
        raise Crash if how is How.AFTER else lost


@dataclass(frozen=True)
class Meeting:
    """A situation with two messages about the same records. begin: what people do, after `before` has settled.
    messages: the transfer of each worker's message; records: of each side at the end."""

    name: str
    setup: Setup
    begin: Callable[[World], None]
    messages: tuple[str, str]
    before: bool = False
    records: int = 1


TO_ERP, TO_CRM = "account_to_business_central", "customer_to_dataverse"


def _told_twice(world: World) -> None:
    key = world.crm.type_in(ACCOUNT)
    world.tell("dataverse", key, "the same once more")


def _born_twice(world: World) -> None:
    world.crm.type_in(ACCOUNT)
    world.erp.type_in(CUSTOMER)


def _edited(crm: Mapping[str, Value], erp: Mapping[str, Value]) -> Callable[[World], None]:
    def begin(world: World) -> None:
        world.crm.type_in(crm, next(iter(world.crm.records)))
        world.erp.type_in(erp, next(iter(world.erp.records)))

    return begin


NO_VERSIONS = Setup(workers=1, erp_versions=VersionKind.NONE)
MEETINGS: Sequence[Meeting] = (
    Meeting("one account, two messages, our number", OURS, _told_twice, (TO_ERP, TO_ERP)),
    Meeting("one account, two messages, the ERP's series", SERIES, _told_twice, (TO_ERP, TO_ERP)),
    Meeting("born on both sides, our number", OURS, _born_twice, (TO_ERP, TO_CRM)),
    Meeting("born on both sides, the ERP's series", SERIES, _born_twice, (TO_ERP, TO_CRM)),
    Meeting(
        "different fields edited", OURS, _edited({"telephone1": "+390471000555"}, {"displayName": "Alfa B"}),
        (TO_ERP, TO_CRM), before=True,
    ),
    Meeting(
        "the same field edited", OURS, _edited({"name": "Alfa A"}, {"displayName": "Alfa B"}),
        (TO_ERP, TO_CRM), before=True,
    ),
    Meeting(
        "different fields edited, no versions", NO_VERSIONS,
        _edited({"telephone1": "+390471000555"}, {"displayName": "Alfa B"}), (TO_ERP, TO_CRM), before=True,
    ),
)  # fmt: skip


async def told(meeting: Meeting, order: Order, strike: tuple[int, int, How] | None = None) -> tuple[Turns, list[str]]:
    """One run in one order; answers how many effects each worker had, and what is wrong at the end."""
    turns, clock = Turns(strike=strike, active=False), SteppedClock()
    world = World(meeting.setup, turns, clock=clock)
    await world.prepare()
    if meeting.before:
        world.crm.type_in(ACCOUNT)
        await world.run_stepped(clock)
    meeting.begin(world)
    turns.active = True
    workers = [asyncio.create_task(_work(world, who, name)) for who, name in enumerate(meeting.messages)]
    await _settled()
    for who, effects in (*order, (0, TO_THE_END), (1, TO_THE_END)):
        await _go_on(turns, workers[who], who, effects)
    await asyncio.gather(*workers)
    turns.active = False
    await world.run_stepped(clock)
    wrong = await world.check()
    if {len(world.crm.records), len(world.erp.records)} != {meeting.records}:
        wrong.append(f"{len(world.crm.records)} accounts and {len(world.erp.records)} customers")
    return turns, wrong


async def edited_after(effects: int, edit: Mapping[str, Value]) -> tuple[Turns, list[str]]:
    """Somebody edits an account after so many effects of its create; the notice is handled at once,
    by the other direction first. Nothing walks."""
    turns, clock = Turns(active=False), SteppedClock()
    world = World(replace(OURS, walks=False), turns, clock=clock)
    await world.prepare()
    account = world.crm.type_in(ACCOUNT)
    turns.active = True
    worker = asyncio.create_task(_work(world, 0, TO_ERP))
    await _settled()
    await _go_on(turns, worker, 0, effects)
    world.crm.type_in(edit, account)
    turns.active = False
    while delivery := await world.queue.receive(TO_CRM):
        await world.handle(world.process(), delivery)
    turns.active = True
    await _go_on(turns, worker, 0, TO_THE_END)
    await worker
    turns.active = False
    await world.run_stepped(clock)
    return turns, await world.check()


async def _work(world: World, who: int, transfer: str) -> None:
    delivery: Delivery | None = await world.queue.receive(transfer)
    assert delivery is not None
    WHO.set(who)
    try:
        await world.handle(world.process(), delivery)
    except Crash:
        world.crashes += 1


async def _go_on(turns: Turns, worker: asyncio.Task[None], who: int, effects: int) -> None:
    """Let one worker pass so many effects, or come to its end."""
    for _ in range(effects):
        if worker.done() or not turns.waiting[who]:
            return
        turns.waiting[who].popleft().set_result(None)
        await _settled()


async def _settled() -> None:
    """Let everybody run up to the next effect; nothing here waits for anything else."""
    for _ in range(12):
        await asyncio.sleep(0)


async def orders_of(meeting: Meeting, turns: int) -> Iterator[Order]:
    """Every order with so many changes of turn at most, whoever begins."""
    alone, _ = await told(meeting, ())
    longest = alone.passed[0] + 4, alone.passed[1] + 4
    return iter(sorted({order for first in (0, 1) for order in _orders(first, longest, turns)}))


def _orders(who: int, longest: tuple[int, int], turns: int) -> Iterator[Order]:
    if turns == 0:
        yield ((who, TO_THE_END),)
        return
    yield from _orders(who, longest, turns - 1)
    for effects in range(1, longest[who] + 1):
        for rest in _orders(1 - who, longest, turns - 1):
            yield ((who, effects), *rest)


@dataclass
class Explored:
    """How many orders were tried, and the wrong ones."""

    orders: int = 0
    wrong: dict[str, list[str]] = field(default_factory=dict)

    def add(self, told: str, wrong: list[str]) -> None:
        self.orders += 1
        if wrong:
            self.wrong[told] = wrong


async def explored(meeting: Meeting, turns: int, every: int = 1) -> Explored:
    """Every order with so many changes of turn. every: only each so-manieth of them."""
    found = Explored()
    for number, order in enumerate(await orders_of(meeting, turns)):
        if number % every == 0:
            found.add(str(order), (await told(meeting, order))[1])
    return found


async def explored_with_faults(meeting: Meeting, every: int = 1) -> Explored:
    """Either worker struck at each of its effects while the other waits at each of its own, and then goes on."""
    found = Explored()
    alone, _ = await told(meeting, ())
    for struck in (0, 1):
        points = [(n, how) for n in range(1, alone.passed[struck] + 1) for how in FAULTS]
        for number, (effect, how) in enumerate(points):
            for waited in range(0, alone.passed[1 - struck] + 1, every):
                order = ((1 - struck, waited), (struck, TO_THE_END))
                if (number + waited) % every == 0:
                    found.add(
                        f"{how} {struck}/{effect}, {order}", (await told(meeting, order, (struck, effect, how)))[1]
                    )
    return found


def main(arguments: Sequence[str]) -> int:
    """Explore and tell; 1 if anything was wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.interleaving", description=__doc__)
    parser.add_argument("--turns", type=int, default=2, help="changes of turn (2)")
    parser.add_argument("--every", type=int, default=1, help="only each so-manieth order (1)")
    asked = parser.parse_args(arguments)
    logging.disable(logging.CRITICAL)
    bad = 0
    for meeting in MEETINGS:
        for what, exploring in (
            ("orders", explored(meeting, asked.turns, asked.every)),
            ("faults", explored_with_faults(meeting, asked.every)),
        ):
            found = asyncio.run(exploring)
            bad += len(found.wrong)
            print(f"{meeting.name}: {found.orders} {what}, {len(found.wrong)} wrong", flush=True)
            for order, wrong in list(found.wrong.items())[:3]:
                print(f"  {order}: {'; '.join(wrong)}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
