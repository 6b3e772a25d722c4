"""Two hours without the ERP: nothing is parked, and what waited goes over once for each record."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import pairwise

import pytest

from shared.errors import SystemDown
from shared.sync.context import Timing
from shared.sync.fingerprint import Base
from shared.sync.planner import agree
from shared.sync.ports import LinkRow, LinkState, Side
from tests.simulation.loop import run_virtually
from tests.simulation.world import PRINTS, Faults, Setup, World

TWO_HOURS = 2 * 3600
WORKERS = 4
"""Processes, each of which counts the failures that it sees itself."""


@dataclass
class Erp:
    """Whether the ERP answers, and what it was asked: before its breaker opened, while it was open, and after it.

    while_open: with the time since the breaker opened.
    """

    world: World
    down: bool = False
    before: list[str] = field(default_factory=list)
    while_open: list[tuple[timedelta, str]] = field(default_factory=list)
    after: list[str] = field(default_factory=list)

    async def ask(self, name: str) -> None:
        breaker = await self.world.stores.breakers.get("business_central", "production/company")
        if breaker.open and breaker.opened_at:
            self.while_open.append((self.world.clock.now() - breaker.opened_at, name))
        else:
            (self.before if self.down else self.after).append(name)
        if self.down:
            raise SystemDown("business_central")


def phone(number: int) -> str:
    """A number in the form in which it goes over."""
    return f"+390471{number:06d}"


async def _linked_world(records: int) -> tuple[World, list[str], Erp]:
    """A world in which every account is a customer already, made without running transfers.

    The ERP's own notices are lost: the walk finds its changes and knows our own writes among them by their version.
    """
    world = World(Setup(workers=WORKERS, quiet_seconds=60))
    erp = Erp(world)
    await world.prepare()
    world.crm.listener = world.erp.listener = None
    world.erp.template = {}
    keys = []
    for number in range(records):
        left = world.crm.type_in(
            {"name": f"Company {number}", "telephone1": phone(0), "accountnumber": f"CD-{number:06d}"}
        )
        right = world.erp.type_in(
            {"displayName": f"Company {number}", "phoneNumber": phone(0), "number": f"CD-{number:06d}"}
        )
        await _link(world, left, right)
        keys.append(left)
    world.crm.listener = world.notice
    passed = world.erp.gate
    assert passed is not None
    inner = passed

    async def watched(name: str, do: object) -> object:
        await erp.ask(name)
        return await inner(name, do)  # type: ignore[arg-type]  # the gate's own type

    world.erp.gate = watched
    erp.after.clear()
    return world, keys, erp


async def _link(world: World, left: str, right: str) -> None:
    crm, erp = world.crm.records[left], world.erp.records[right]
    rules = agree(world.definition.fields, crm.values, erp.values)
    values = ((rule, crm.values.get(rule.left), erp.values.get(rule.right)) for rule in rules)
    base = Base(left, PRINTS, {}).with_values(values).pack()
    home = LinkRow(world.pair, Side.LEFT, left, LinkState.LINKED, right, base=base)
    versioned = replace(home, left_version=f'W/"{crm.version}"', right_version=f'W/"{erp.version}"')
    await world.stores.links.insert(versioned)
    await world.stores.links.insert(LinkRow(world.pair, Side.RIGHT, right, LinkState.LINKED, left))


async def _outage(records: int, seconds: int) -> tuple[World, Erp]:
    """Every record is changed in turn, one each second, while the ERP does not answer; then it does."""
    world, keys, erp = await _linked_world(records)
    erp.down = True
    running = asyncio.create_task(world.run(hours=12))
    for second in range(seconds):
        world.crm.type_in({"telephone1": phone(second + 1)}, keys[second % records])
        await asyncio.sleep(1)
    erp.down = False
    await running
    return world, erp


@pytest.mark.parametrize("records", [150, pytest.param(1500, marks=pytest.mark.long)])
def test_two_hours_without_the_erp_end_by_themselves(records: int) -> None:
    """7,200 changes of 150 or 1,500 customers: none parked, all arrive, one ERP write for each record. `--only B8` of
    the benchmarks has a larger case."""
    world, erp = run_virtually(_outage(records, TWO_HOURS))

    async def parked() -> list[object]:
        return [item for name in world.names for item in await world.stores.parked.page(name)]

    assert asyncio.run(parked()) == []
    arrived = {stored.values["phoneNumber"] for stored in world.erp.records.values()}
    assert arrived == {phone(number) for number in range(TWO_HOURS - records + 1, TWO_HOURS + 1)}
    assert erp.after.count("update") == records
    assert len(erp.after) <= 1.1 * records, f"{Counter(erp.after)} for {records} records"
    assert len(erp.before) <= Timing().failures_to_open * WORKERS


def test_an_open_breaker_lets_one_probe_through_every_thirty_seconds_and_nothing_else() -> None:
    """Other processes hear of it within two seconds; what they ask in these is as before it opened."""
    _, erp = run_virtually(_outage(records=50, seconds=1800))
    asked = [(at, name) for at, name in erp.while_open if at > Timing().breaker_age]
    assert {name for _, name in asked} == {"ping"}
    moments = [at for at, _ in asked]
    assert all(later - earlier >= timedelta(seconds=30) for earlier, later in pairwise(moments))
    assert 1800 / 45 < len(moments) <= 1800 / 30 + 1, "the last one finds the ERP back"
    assert len(erp.while_open) - len(asked) <= Timing().failures_to_open * (WORKERS - 1)


def test_the_echo_of_the_drain_writes_nothing() -> None:
    """The checker of every world holds after an outage too: here with one record and real faults afterwards."""
    world, wrong = run_virtually(_small_outage())
    assert wrong == []
    assert world.erp.updates == 1


async def _small_outage() -> tuple[World, list[str]]:
    world = World(Setup(workers=2), Faults())
    await world.prepare()
    key = world.crm.type_in({"name": "Alfa", "cdock_stage": "qualified", "telephone1": phone(1)})
    await world.run()
    passed = world.erp.gate

    async def refuse(name: str, do: object) -> object:
        raise SystemDown("business_central")

    world.erp.gate = refuse
    running = asyncio.create_task(world.run(hours=12))
    for number in range(2, 7):
        world.crm.type_in({"telephone1": phone(number)}, key)
        await asyncio.sleep(200)
    world.erp.gate = passed
    await running
    return world, await world.check()


async def _told_seven_times(refused: frozenset[str]) -> tuple[World, list[str]]:
    """A linked account is edited and announced seven times while the ERP refuses some calls; what both were asked."""
    world, asked = World(Setup(workers=1), Faults()), list[str]()
    await world.prepare()
    key = world.crm.type_in({"name": "Alfa", "cdock_stage": "qualified", "telephone1": phone(1)})
    await world.run()
    passed = world.erp.gate
    assert passed is not None

    async def erp(name: str, do: Callable[[], Awaitable[object]]) -> object:
        asked.append(f"ERP {name}")
        if name in refused:
            raise SystemDown("business_central")
        return await passed(name, do)

    async def crm(name: str, do: Callable[[], Awaitable[object]]) -> object:
        asked.append(f"CRM {name}")
        return await do()

    world.erp.gate, world.crm.gate, world.crm.listener = erp, crm, None
    pipeline, to_erp = world.process(), world.names[0]
    await pipeline.prepare(to_erp)
    asked.clear()
    for number in range(2, 9):
        world.crm.type_in({"telephone1": phone(number)}, key)
        world.tell("dataverse", key, f"edit {number}")
        delivery = await world.queue.receive(to_erp)
        assert delivery
        await world.handle(pipeline, delivery)
    return world, asked


def test_nothing_is_read_for_a_system_whose_last_call_failed_until_it_answers() -> None:
    """Of seven changes in an outage the first costs a read; the others ask the ERP first, until its breaker opens."""
    world, asked = run_virtually(_told_seven_times(frozenset({"update", "ping", "read"})))
    assert asked == ["CRM read", "ERP update", *["ERP ping"] * 4]
    assert asyncio.run(world.stores.breakers.get("business_central", "production/company")).open


def test_a_system_that_answers_but_takes_no_write_is_left_alone_too() -> None:
    """An answer to the question whether it is there does not end its row of failures."""
    world, asked = run_virtually(_told_seven_times(frozenset({"update"})))
    assert asked == ["CRM read", "ERP update", *["ERP ping", "CRM read", "ERP update"] * 4]
    assert asyncio.run(world.stores.breakers.get("business_central", "production/company")).open
