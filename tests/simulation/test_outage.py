"""Two hours without the ERP: nothing is parked, and what waited goes over once for each record."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field, replace

from shared.errors import SystemDown
from shared.sync.fingerprint import Base
from shared.sync.planner import agree
from shared.sync.ports import LinkRow, LinkState, Side
from tests.simulation.loop import run_virtually
from tests.simulation.world import PRINTS, Faults, Setup, World

RECORDS = 6000
CHANGES_PER_SECOND = 5
OUTAGE_SECONDS = 2 * 3600


@dataclass
class Erp:
    """Whether the ERP answers, and what it was asked while it did and while it did not."""

    down: bool = False
    asked_while_down: list[str] = field(default_factory=list)
    asked_after: list[str] = field(default_factory=list)

    def ask(self, name: str) -> None:
        if self.down:
            self.asked_while_down.append(name)
            raise SystemDown("business_central")
        self.asked_after.append(name)


def phone(number: int) -> str:
    """A number in the form in which it goes over."""
    return f"+390471{number:06d}"


async def _linked_world() -> tuple[World, list[str], Erp]:
    """A world in which every account is a customer already, made without running transfers.

    The ERP's own notices are lost: the walk finds its changes and knows our own writes among them by their version.
    """
    world, erp = World(Setup(workers=4, quiet_seconds=60)), Erp()
    await world.prepare()
    world.crm.listener = world.erp.listener = None
    world.erp.template = {}
    keys = []
    for number in range(RECORDS):
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
        erp.ask(name)
        return await inner(name, do)  # type: ignore[arg-type]  # the gate's own type

    world.erp.gate = watched
    erp.asked_after.clear()
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


async def _outage() -> tuple[World, Erp]:
    world, keys, erp = await _linked_world()
    erp.down = True
    running = asyncio.create_task(world.run(hours=12))
    for second in range(OUTAGE_SECONDS):
        for place in range(CHANGES_PER_SECOND):
            number = second * CHANGES_PER_SECOND + place
            world.crm.type_in({"telephone1": phone(number + 1)}, keys[number % RECORDS])
        await asyncio.sleep(1)
    erp.down = False
    await running
    return world, erp


def test_two_hours_without_the_erp_end_by_themselves() -> None:
    """36,000 changes of 6,000 customers: none parked, all arrive, one ERP write for each record, few probes
    meanwhile."""
    world, erp = run_virtually(_outage())

    async def parked() -> list[object]:
        return [item for name in world.names for item in await world.stores.parked.page(name)]

    assert asyncio.run(parked()) == []
    arrived = {stored.values["phoneNumber"] for stored in world.erp.records.values()}
    last = OUTAGE_SECONDS * CHANGES_PER_SECOND
    assert arrived == {phone(number) for number in range(last - RECORDS + 1, last + 1)}
    calls = [name for name in erp.asked_after if name != "ping"]
    assert calls.count("update") == RECORDS
    assert len(calls) <= 1.1 * RECORDS, f"{Counter(calls)} for {RECORDS} records"
    probes = [name for name in erp.asked_while_down if name == "ping"]
    assert len(probes) <= OUTAGE_SECONDS / 30
    assert len(erp.asked_while_down) - len(probes) < 50, "the ERP was asked although its breaker was open"


def test_the_echo_of_the_drain_writes_nothing() -> None:
    """The checker of every world holds after an outage too: here with one record and real faults afterwards."""
    world, wrong = run_virtually(_small_outage())
    assert wrong == []
    assert world.erp.updates == 1


async def _small_outage() -> tuple[World, list[str]]:
    world = World(Setup(workers=2), Faults())
    await world.prepare()
    key = world.crm.type_in({"name": "Alfa", "crossdock_stage": "qualified", "telephone1": phone(1)})
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
