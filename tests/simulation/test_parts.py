"""Parts of other records, in memory: whatever effect a crash or a lost answer strikes, a part that is made, moves or
goes is there once at the end, at the right owner."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pytest

from shared.sync.claims import undo_link
from shared.sync.context import pair_name
from shared.sync.outcome import Why
from shared.sync.ports import LinkState, Side, Value
from tests.simulation.families import FamilyWorld
from tests.simulation.loop import SteppedClock
from tests.simulation.stories import vat_number
from tests.simulation.world import Faults, How, Setup

ADA: Mapping[str, Value] = {"fullname": "Ada", "emailaddress1": "ada@example.com"}


class PartsWorld(FamilyWorld):
    """A world in which the ERP's contacts are parts of its customers."""

    parts = True

    def company(self, number: int, stage: str = "qualified") -> str:
        """Somebody makes a company in the CRM; only a qualified one gets a customer."""
        name = {"name": f"Company {number}", "cdock_stage": stage, "cdock_vatnumber": vat_number(number)}
        return self.crm.type_in(name)

    def named(self, number: int) -> str:
        """A company of the CRM by its number."""
        return next(key for key, one in self.crm.records.items() if one.values["name"] == f"Company {number}")

    @property
    def ada(self) -> str:
        """The only contact of the CRM."""
        (key,) = self.crm_people.records
        return key

    def standing(self) -> list[tuple[str, str]]:
        """Who stands at which customer of the ERP, by names."""
        names = {key: str(one.values["displayName"]) for key, one in self.erp.records.items()}
        found = self.erp_people.records.items()
        return sorted((names[key.rpartition("/")[0]], str(one.values["displayName"])) for key, one in found)

    async def links_and_rows(self) -> tuple[int, int]:
        """How many contacts are linked, and how many rows the ERP's side has for them."""
        pair = pair_name(self.contacts, self.process().ports.connectors)
        left = await self.stores.links.page(pair, Side.LEFT, None, 1000)
        right = await self.stores.links.page(pair, Side.RIGHT, None, 1000)
        return len([one for one in left if one.state is LinkState.LINKED]), len(right)


def begin(world: PartsWorld) -> None:
    """Two customers and a prospect; Ada works at the first one."""
    first = world.company(1)
    world.company(2)
    world.company(3, stage="prospect")
    world.crm_people.type_in({**ADA, "company": first})


def nobody(world: PartsWorld) -> None:
    """The same without Ada."""
    for number in (1, 2):
        world.company(number)


@dataclass(frozen=True)
class Story:
    """What there is before, what somebody does then, and who stands where at the end."""

    name: str
    before: Callable[[PartsWorld], None]
    act: Callable[[PartsWorld], object]
    standing: list[tuple[str, str]]
    linked: int = 1


def works_at(number: int | None, **more: Value) -> Callable[[PartsWorld], object]:
    """Somebody gives Ada another company, or none."""

    def act(world: PartsWorld) -> None:
        company = None if number is None else world.named(number)
        world.crm_people.type_in({"company": company, **more}, world.ada)

    return act


def put_before(world: PartsWorld) -> None:
    """Somebody has entered Ada at the second customer by hand, and then she moves there."""
    customer = next(key for key, one in world.erp.records.items() if one.values["displayName"] == "Company 2")
    key = f"{customer}/11111111-1111-4111-8111-111111111111"
    world.erp_people._insert(key, {"displayName": "ADA", "email": "ada@example.com", "customerId": customer})
    works_at(2)(world)


STORIES = [
    Story("made", nobody, lambda w: w.crm_people.type_in({**ADA, "company": w.named(1)}), [("Company 1", "Ada")]),
    Story("changed", begin, works_at(1, fullname="Ava"), [("Company 1", "Ava")]),
    Story("moved", begin, works_at(2), [("Company 2", "Ada")]),
    Story("moved and changed", begin, works_at(2, fullname="Ava"), [("Company 2", "Ava")]),
    Story("moved to who is there", begin, put_before, [("Company 2", "Ada")]),
    Story("moved to a prospect", begin, works_at(3), [], 0),
    Story("moved to nobody", begin, works_at(None), [], 0),
    Story("deleted", begin, lambda w: w.crm_people.remove(w.ada), [], 0),
]


async def told(story: Story, faults: Faults) -> PartsWorld:
    """Tell a story one message at a time; faults strike what follows from the act."""
    clock = SteppedClock()
    world = PartsWorld(Setup(workers=1), faults, clock)
    faults.active = False
    await world.prepare()
    story.before(world)
    await world.run_stepped(clock)
    faults.active = True
    faults.count = 0
    faults.names.clear()
    story.act(world)
    await world.run_stepped(clock)
    return world


async def wrong_with(story: Story, world: PartsWorld) -> list[str]:
    """What is other than the story says."""
    wrong = [] if world.standing() == story.standing else [f"at the end: {world.standing()}"]
    linked, rows = await world.links_and_rows()
    wrong += [] if linked == story.linked else [f"{linked} links"]
    if story.name.startswith("moved"):
        wrong += [] if rows == story.linked else [f"{rows} rows of parts"]
    return wrong


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.name)
def test_every_effect_may_fail(story: Story) -> None:
    """R-110: killed before or after any effect, or with its answer lost, a contact person stands at the right customer
    once; also one that moves or goes."""

    async def points() -> list[str]:
        faults = Faults()
        assert await wrong_with(story, await told(story, faults)) == []
        names = list(faults.names)
        effects = next((n for n, name in enumerate(names) if name == "store get watermarks"), len(names))
        assert effects > 10
        wrong: list[str] = []
        for effect in range(1, effects + 1):
            for how in (How.BEFORE, How.AFTER, How.LOST):
                world = await told(story, Faults(at=(effect, how)))
                wrong += [f"{how} {effect} ({names[effect - 1]}): {one}" for one in await wrong_with(story, world)]
        return wrong

    assert asyncio.run(points()) == []


def test_whose_link_was_undone_while_it_moved_is_deleted_nowhere() -> None:
    """R-092, R-110: a person who was faster than the mark wins; nothing is deleted, and nothing is made again."""

    async def story() -> None:
        clock = SteppedClock()
        world = PartsWorld(Setup(workers=1), Faults(), clock)
        await world.prepare()
        begin(world)
        await world.run_stepped(clock)
        pair = pair_name(world.contacts, world.process().ports.connectors)

        async def undo() -> None:
            home = await world.stores.links.get(pair, Side.LEFT, world.ada)
            assert home is not None
            await undo_link(world.process().ports, home, "by hand")

        works_at(2)(world)
        reads = world.erp_people.reads
        gate = world.erp_people.gate
        assert gate is not None

        async def undone_before_the_delete(name: str, do: object) -> object:
            answer = await gate(name, do)  # type: ignore[arg-type]  # passed on as it came
            if name == "read" and world.erp_people.reads == reads + 1:
                await undo()
            return answer

        world.erp_people.gate = undone_before_the_delete
        await world.run_stepped(clock)
        assert world.standing() == [("Company 1", "Ada")]
        row = await world.stores.links.get(pair, Side.LEFT, world.ada)
        assert row is not None
        assert (row.state, row.reason) == (LinkState.UNLINKED, "by hand")
        newest = (await world.stores.journal.of_record(pair, Side.LEFT, world.ada))[0]
        assert newest.reason == Why.TOMBSTONE.value

    asyncio.run(story())
