"""B3: how often systems and store are asked, counted where requests leave the process."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from shared.messaging.memory import Delivery
from shared.sync.message import Message
from shared.sync.ports import LinkRow, Outgoing, Side
from tests.bench.figures import Figure
from tests.bench.place import TO_CRM, TO_ERP, Place, open_place

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

CHANGES = 5


def _reads(calls: Mapping[str, int]) -> int:
    return sum(times for name, times in calls.items() if " GET " in name)


def _writes(calls: Mapping[str, int]) -> int:
    """Writes that a system has executed."""
    return sum(times for name, times in calls.items() if " PATCH 2xx" in name or " POST 2xx" in name)


async def _counted(place: Place, transfer: str, key: str, side: Side) -> tuple[Counter[str], Counter[str]]:
    """Requests and store operations of one message."""
    place.calls.clear()
    place.store_operations.clear()
    await place.run(transfer, key, side)
    return Counter(place.calls), Counter(place.store_operations)


def _calls(what: str, calls: Mapping[str, int], reads: int, writes: int) -> list[Figure]:
    goal = f"{reads} and {writes}"
    return [
        Figure("B3", f"{what}: reads", "requests", _reads(calls), reads, "the least possible", goal),
        Figure("B3", f"{what}: writes", "requests", _writes(calls), writes, "the least possible", goal),
    ]


def _operations(what: str, operations: Mapping[str, int], least: int) -> Figure:
    detail = ", ".join(f"{name} {times}" for name, times in sorted(operations.items()))
    number = sum(operations.values())
    return Figure("B3", f"{what}: {detail}", "store operations", number, least, "link get and link write", "")


async def _steady(place: Place, link: LinkRow) -> list[Figure]:
    await place.edit(link.key)
    changed, kept = await _counted(place, TO_ERP, link.key, Side.LEFT)
    figures = _calls("one changed field", changed, 1, 1)
    echoes = {
        "our own write comes back, on the way to the CRM": (TO_CRM, link.other, Side.RIGHT),
        "our own write comes back, on the way to the ERP": (TO_ERP, link.other, Side.RIGHT),
        "the same notice once more": (TO_ERP, link.key, Side.LEFT),
    }
    for what, (transfer, key, side) in echoes.items():
        calls, echo_kept = await _counted(place, transfer, key, side)
        figures += _calls(what, calls, 1, 0)
    return [*figures, _operations("one changed field", kept, 2), _operations("an echo", echo_kept, 1)]


# --- the ERP is away ---


@asynccontextmanager
async def _erp_away(place: Place) -> AsyncIterator[None]:
    faults = f"{place.addresses.erp}/_sandbox/faults"
    (await place.people.post(faults, json={"kind": "unavailable"})).raise_for_status()
    try:
        yield
    finally:
        (await place.people.delete(faults)).raise_for_status()


async def _announce(place: Place, key: str) -> None:
    message = place.message(TO_ERP, key)
    await place.queue.send(TO_ERP, [Outgoing(message.message_id(), message.to_json())])


async def _work_off(place: Place, seconds: float) -> int:
    """Let time pass, let the timers tick, and run what is due; answers how many messages."""
    place.clock.ahead += timedelta(seconds=seconds)
    await place.engine.draining.tick()
    ran = 0
    while (delivery := await _next(place)) is not None:
        await place.engine.pipeline.run(Message.from_json(delivery.body))
        await place.queue.complete(delivery)
        ran += 1
    return ran


async def _next(place: Place) -> Delivery | None:
    return await place.queue.receive(TO_ERP) or await place.queue.receive(TO_CRM)


async def _settled(place: Place) -> bool:
    waiting = [await place.engine.stores.pending.page(name, None, 1) for name in (TO_ERP, TO_CRM)]
    counts = [place.queue.counts(name) for name in (TO_ERP, TO_CRM)]
    return not any(waiting) and not any(one.ready or one.scheduled or one.locked for one in counts)


async def _outage(place: Place, link: LinkRow) -> list[Figure]:
    while await _work_off(place, 60):
        pass
    place.calls.clear()
    async with _erp_away(place):
        for _ in range(CHANGES):
            await place.edit(link.key)
            await _announce(place, link.key)
            await _work_off(place, 20)
        for _ in range(10):
            await _work_off(place, 31)
    during = Counter(place.calls)
    for _ in range(20):
        await _work_off(place, 31)
        if await _settled(place):
            break
    else:
        raise SystemExit("the changes of the outage did not settle; nothing can be counted")
    every = Counter(place.calls)
    what, away = f"{CHANGES} changes of one record while the ERP was away", _reads_of(during, "dataverse")
    return [
        Figure("B3", f"{what}: writes executed", "requests", _writes(every), 1, "the least possible", "1"),
        Figure(
            "B3",
            f"{what}: CRM reads",
            "requests",
            _reads_of(every, "dataverse"),
            CHANGES,
            "one a change",
            f"at most {CHANGES}",
        ),
        Figure("B3", f"{what}: CRM reads after it", "requests", _reads_of(every, "dataverse") - away, 1, "one", "1"),
    ]


def _reads_of(calls: Mapping[str, int], system: str) -> int:
    return _reads({name: times for name, times in calls.items() if name.startswith(system)})


async def _measure() -> list[Figure]:
    async with open_place(counted=True) as place:
        first, second = await place.pairs(2)
        return await _steady(place, first) + await _outage(place, second)


def measure() -> list[Figure]:
    """Requests and store operations; counts are the same in every round, so there is one."""
    return asyncio.run(_measure())
