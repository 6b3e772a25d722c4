"""Contacts cross with their companies, in memory and virtual time, with faults at every port."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from shared.sync.outcome import Why
from shared.sync.ports import Side, Switch
from tests.simulation.families import FamilyWorld, setup_of
from tests.simulation.loop import run_virtually
from tests.simulation.stories import vat_number
from tests.simulation.world import Faults, Setup

QUIET = Setup(workers=1)


def company(world: FamilyWorld, number: int, stage: str = "qualified") -> str:
    values = {"name": f"Company {number}", "cdock_stage": stage, "cdock_vatnumber": vat_number(number)}
    return world.crm.type_in(values)


def person(world: FamilyWorld, name: str, account: str) -> str:
    mail = f"{name.lower()}@example.com"
    return world.crm_people.type_in({"fullname": name, "emailaddress1": mail, "company": account})


def told(story: Callable[[FamilyWorld], Awaitable[None]], setup: Setup = QUIET) -> None:
    async def run() -> None:
        world = FamilyWorld(setup)
        await world.prepare()
        await story(world)
        assert await world.check_people() == []

    run_virtually(run())


def test_contacts_come_along_when_their_company_becomes_a_customer() -> None:
    """R-053, R-056: before that they stay; afterwards nobody has to touch them."""

    async def story(world: FamilyWorld) -> None:
        prospect = company(world, 1, stage="prospect")
        people = [person(world, name, prospect) for name in ("Ada", "Ben", "Cleo")]
        await world.run()
        assert world.erp_people.records == {}
        world.crm.type_in({"cdock_stage": "qualified"}, prospect)
        await world.run()
        assert set(await world.links_of(world.contacts)) == set(people)

    told(story)


def test_a_contact_that_moves_to_another_company_moves_there_too() -> None:
    """R-056, R-057: to a customer at once; to a prospect only when that becomes one, and until then it stays."""

    async def story(world: FamilyWorld) -> None:
        first, second, third = company(world, 1), company(world, 2), company(world, 3, stage="prospect")
        ada, ben = person(world, "Ada", first), person(world, "Ben", first)
        await world.run()
        world.crm_people.type_in({"company": second}, ada)
        world.crm_people.type_in({"company": third}, ben)
        await world.run()
        companies, people = await world.links_of(world.definition), await world.links_of(world.contacts)
        assert world.erp_people.records[people[ada]].values["customerId"] == companies[second]
        assert world.erp_people.records[people[ben]].values["customerId"] == companies[first]
        world.crm.type_in({"cdock_stage": "qualified"}, third)
        await world.run()
        companies = await world.links_of(world.definition)
        assert world.erp_people.records[people[ben]].values["customerId"] == companies[third]

    told(story)


def test_contacts_of_a_customer_born_in_the_erp_arrive_with_it() -> None:
    """R-052, R-056: the account is made first, then its people, each once."""

    async def story(world: FamilyWorld) -> None:
        customer = world.erp.type_in({"displayName": "Delta", "taxRegistrationNumber": vat_number(4)})
        for name in ("Dora", "Emil"):
            mail = f"{name.lower()}@example.com"
            world.erp_people.type_in({"displayName": name, "email": mail, "customerId": customer})
        await world.run()
        accounts = await world.links_of(world.definition)
        (account,) = accounts
        assert {one.values["company"] for one in world.crm_people.records.values()} == {account}
        assert len(world.crm_people.records) == 2

    told(story)


def test_what_waits_for_a_stopped_transfer_after_its_company_is_linked_waits_no_longer_than_that() -> None:
    """R-056: the word that the company has its partner is kept while the transfer of contacts is stopped, acted upon
    once it goes on, and then forgotten."""

    async def story(world: FamilyWorld) -> None:
        prospect = company(world, 1, stage="prospect")
        ada = person(world, "Ada", prospect)
        await world.run()
        await _switch(world, Switch.STOPPED)
        world.crm.type_in({"cdock_stage": "qualified"}, prospect)
        going_on = asyncio.create_task(_later(world))
        await world.run()  # it is quiet when nothing waits any more
        await going_on
        assert set(await world.links_of(world.contacts)) == {ada}

    told(story)


async def _later(world: FamilyWorld) -> None:
    await world.clock.sleep(200)
    assert await world.stores.pending.page("contact_to_business_central") != []
    await _switch(world, Switch.ON)


async def _switch(world: FamilyWorld, switch: Switch) -> None:
    mode = await world.stores.modes.get("contact_to_business_central")
    await world.stores.modes.put(replace(mode, switch=switch))


def test_the_journal_says_that_a_contact_waits_for_its_company() -> None:
    """R-056: a person who looks finds why nothing happens."""

    async def story(world: FamilyWorld) -> None:
        ada = person(world, "Ada", company(world, 1, stage="prospect"))
        await world.run()
        pair = next(iter(await _pairs(world)))
        entries = await world.stores.journal.of_record(pair, Side.LEFT, ada)
        assert entries[0].reason == Why.NO_PARTNER.value

    told(story)


async def _pairs(world: FamilyWorld) -> list[str]:
    from shared.sync.context import pair_name

    return [pair_name(world.contacts, world.process().ports.connectors)]


@pytest.mark.parametrize("seed", range(8))
def test_whatever_strikes_every_contact_ends_where_its_company_is(seed: int) -> None:
    """R-042, R-056: people found companies, hire, move and edit on both sides while crashes, lost answers and lost
    notices strike. Both sides agree on every field, and none was written without need."""

    async def run() -> None:
        faults = Faults(chance=0.02, rng=random.Random(seed))
        world = FamilyWorld(setup_of(seed), faults)
        await world.prepare()
        work = asyncio.create_task(_live(world, random.Random(seed + 7), faults))
        await world.run(hours=80)
        await work
        assert await world.check() == []
        assert await world.check_people() == []

    run_virtually(run())


async def _live(world: FamilyWorld, rng: random.Random, faults: Faults) -> None:
    companies = [company(world, number, rng.choice(["qualified", "prospect"])) for number in range(1, 4)]
    people: list[str] = []
    for number in range(12):
        await asyncio.sleep(rng.random() * 40)
        what = rng.random()
        if what < 0.5 or not people:
            people.append(person(world, f"Person {number}", rng.choice(companies)))
        elif what < 0.65:
            world.crm_people.type_in({"company": rng.choice(companies)}, rng.choice(people))
        elif what < 0.75:
            world.crm_people.type_in({"emailaddress1": f"e{number}@example.com"}, rng.choice(people))
        elif what < 0.85 and world.erp_people.records:
            in_vain = {"email": f"in.vain.{number}@example.com"}
            world.erp_people.type_in(in_vain, rng.choice(list(world.erp_people.records)))
        else:
            world.crm.type_in({"cdock_stage": "qualified"}, rng.choice(companies))
    await asyncio.sleep(120)
    faults.active = False
