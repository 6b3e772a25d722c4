"""The small stories that sweeps and seeded runs tell: what people do in the two systems while the engine runs."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

from shared.stores.rows import RowStore
from shared.sync.definition import Conflict
from shared.sync.ports import Value
from tests.simulation.loop import SteppedClock
from tests.simulation.world import OTHER_PRINTS, Faults, Setup, World

VAT = "00743110157"
ACCOUNT: Mapping[str, Value] = {
    "name": "Alfa",
    "cdock_stage": "qualified",
    "address1_country": "it",
    "address1_postalcode": "39100",
    "telephone1": "+390471000123",
    "cdock_vatnumber": VAT,
}
CUSTOMER: Mapping[str, Value] = {
    "displayName": "Alfa",
    "country": "IT",
    "postalCode": "39100",
    "phoneNumber": "+390471000999",
    "taxRegistrationNumber": VAT,
}


@dataclass(frozen=True)
class Story:
    """What happens before (without faults) and while the engine runs, and how many records each side has at the end."""

    name: str
    setup: Setup
    begin: Callable[[World], None]
    before: Callable[[World], None] | None = None
    records: tuple[int, int] = (1, 1)


def _account(world: World) -> None:
    world.crm.type_in(ACCOUNT)


def _account_without_vat_number(world: World) -> None:
    world.crm.type_in({name: value for name, value in ACCOUNT.items() if name != "cdock_vatnumber"})


def _customer(world: World) -> None:
    world.erp.type_in(CUSTOMER)


def _both(world: World) -> None:
    _account(world)
    _customer(world)


def _edits_on_both_sides(world: World) -> None:
    world.crm.type_in({"telephone1": "+390471000555", "name": "Alfa X"}, next(iter(world.crm.records)))
    world.erp.type_in({"creditLimit": 5, "email": "x@alfa.example"}, next(iter(world.erp.records)))


def _account_deleted(world: World) -> None:
    world.crm.remove(next(iter(world.crm.records)))


def _account_ended(world: World) -> None:
    world.crm.type_in({"cdock_stage": "closed", "telephone1": "+390471000555"}, next(iter(world.crm.records)))


def _customer_deleted(world: World) -> None:
    world.erp.remove(next(iter(world.erp.records)))


def _account_edited_and_deleted(world: World) -> None:
    world.crm.type_in({"telephone1": "+390471000555"}, next(iter(world.crm.records)))
    _account_deleted(world)


def _prospect_beside(world: World) -> None:
    _account(world)
    world.crm.type_in({"name": "Alfa srl", "telephone1": ACCOUNT["telephone1"]})


def _customer_beside(world: World) -> None:
    _account(world)
    world.crm.type_in({**ACCOUNT, "name": "Alfa srl", "cdock_vatnumber": vat_number(5)})


def _merged(world: World) -> None:
    """The first account into the second, in the order of their making."""
    first, second = sorted(world.crm.records, key=lambda key: str(world.crm.records[key].values["name"]))
    world.crm.merge(first, second)


def _edit_in_vain(world: World) -> None:
    """Somebody edits in the CRM what the ERP masters, and the ERP changes something else."""
    world.crm.type_in({"name": "Typed in vain"}, next(iter(world.crm.records)))
    world.erp.type_in({"creditLimit": 5}, next(iter(world.erp.records)))


OURS = Setup(own_numbers=True, workers=1)
SERIES = Setup(own_numbers=False, workers=1)
BLOCKS = replace(
    OURS,
    set_on_delete={
        "account_to_business_central": {"blocked": "All"},
        "customer_to_dataverse": {"statecode": "1", "statuscode": "2"},
    },
)
ENDS = replace(
    OURS,
    set_on_delete={"account_to_business_central": {"searchName": "ENDED"}},  # no line carries it back
    gone_if={"account_to_business_central": {"cdock_stage": ("closed",)}},
)
STORIES = (
    Story("account, our number", OURS, _account),
    Story("account, the ERP's series", SERIES, _account),
    Story("account without VAT number, our number", OURS, _account_without_vat_number),
    Story("account without VAT number, the ERP's series", SERIES, _account_without_vat_number),
    Story("customer", OURS, _customer),
    Story("both at once, our number", OURS, _both),
    Story("both at once, the ERP's series", SERIES, _both),
    Story("edits on both sides", OURS, _edits_on_both_sides, before=_account),
    Story("an edit in vain, noted", replace(OURS, notes=True), _edit_in_vain, before=_account),
    Story("account deleted", OURS, _account_deleted, before=_account, records=(0, 1)),
    Story("customer deleted", OURS, _customer_deleted, before=_account, records=(1, 0)),
    Story("account deleted, its customer is blocked", BLOCKS, _account_deleted, before=_account, records=(0, 1)),
    Story("customer deleted, its account is deactivated", BLOCKS, _customer_deleted, before=_account, records=(1, 0)),
    Story("account counts as deleted, its customer is marked", ENDS, _account_ended, before=_account),
    Story("account merged into a prospect", OURS, _merged, before=_prospect_beside, records=(2, 1)),
    Story("account merged into another customer's", OURS, _merged, before=_customer_beside, records=(2, 2)),
    Story("account edited and deleted at once", BLOCKS, _account_edited_and_deleted, before=_account, records=(0, 1)),
)


async def tell(story: Story, faults: Faults, rows: RowStore | None = None) -> World:
    """Tell a story in a fresh world, one message at a time."""
    clock = SteppedClock()
    world = World(story.setup, faults, rows=rows, clock=clock)
    await world.prepare()
    if story.before:
        faults.active = False
        story.before(world)
        await world.run_stepped(clock)
        faults.active = True
        faults.count = 0
        faults.names.clear()
    story.begin(world)
    await world.run_stepped(clock)
    return world


def vat_number(number: int) -> str:
    """A valid Italian VAT number."""
    base = f"{7430000 + number:07d}015"
    total = sum(int(d) if place % 2 == 0 else sum(divmod(2 * int(d), 10)) for place, d in enumerate(base))
    return base + str((10 - total % 10) % 10)


@dataclass
class People:
    """People who create and edit records on both sides at random moments, by a seed."""

    world: World
    rng: random.Random

    async def work(self) -> None:
        for number in range(self.rng.randint(1, 4)):
            self._found_company(number)
            await asyncio.sleep(self.rng.random() * 30)
        for _ in range(self.rng.randint(0, 6)):
            await asyncio.sleep(self.rng.random() * 40)
            chance = self.rng.random()
            if chance < 0.1:
                self._delete()
            elif chance < 0.2:
                self._merge()
            else:
                self._edit()
        await asyncio.sleep(60)

    def _found_company(self, number: int) -> None:
        where = self.rng.choice(["crm", "erp", "both"])
        vat = vat_number(number) if self.rng.random() < 0.7 else None
        place = f"{number:05d}"
        if where in {"crm", "both"}:
            told = {"name": f"Company {number}", "cdock_stage": "qualified", "telephone1": "+390471000001"}
            self.world.crm.type_in({**told, "address1_postalcode": place, "cdock_vatnumber": vat})
        if where in {"erp", "both"}:
            elsewhere = where == "both" and vat is None
            told = {"displayName": f"Company {number}", "phoneNumber": "+390471000002"}
            place = "elsewhere" if elsewhere else place
            self.world.erp.type_in({**told, "postalCode": place, "taxRegistrationNumber": vat})

    def _edit(self) -> None:
        any_number, any_city = str(self.rng.randint(1, 99)), self.rng.choice(["Bolzano", "Trento", None])
        if self.rng.random() < 0.5 and self.world.crm.records:
            edits: list[Mapping[str, Value]] = [
                {"telephone1": f"+39047100{any_number:0>4}"},
                {"name": f"N{any_number}"},
                {"address1_city": any_city},
                {"websiteurl": self.rng.choice(["w.example", "V.example", None])},
            ]
            self.world.crm.type_in(self.rng.choice(edits), self.rng.choice(list(self.world.crm.records)))
        elif self.world.erp.records:
            changes: list[Mapping[str, Value]] = [
                {"phoneNumber": f"+39047100{any_number:0>4}"},
                {"displayName": f"E{any_number}"},
                {"city": any_city},
                {"creditLimit": int(any_number)},
                {"website": self.rng.choice(["X.example", "y.example", None])},
            ]
            self.world.erp.type_in(self.rng.choice(changes), self.rng.choice(list(self.world.erp.records)))

    def _merge(self) -> None:
        alive = [key for key in self.world.crm.records if key not in self.world.crm.merged]
        if len(alive) > 1:
            self.world.crm.merge(*self.rng.sample(alive, 2))

    def _delete(self) -> None:
        """Of deleted customers only a notice tells: there is no feed of them, and no compare here."""
        told = [self.world.crm] + ([] if self.world.setup.drop else [self.world.erp])
        system = self.rng.choice(told)
        if system.records:
            system.remove(self.rng.choice(list(system.records)))


async def seeded(seed: int) -> tuple[World, list[str]]:
    """One random world: people, faults, losses, duplicates, disorder; answers it and what is wrong with it at the
    end."""
    rng = random.Random(seed)
    setup = Setup(
        seed=seed,
        own_numbers=rng.random() < 0.5,
        workers=rng.choice([1, 2, 3]),
        duplicate=0.3,
        drop=rng.choice([0, 0.2]),
        reorder_seconds=rng.choice([0, 20]),
        quiet_seconds=650,
        notes=rng.random() < 0.5,
        shared=rng.choice([None, *Conflict]),
    )
    faults = Faults(chance=rng.choice([0, 0.01, 0.05]), rng=random.Random(seed + 1))
    world = World(setup, faults)
    await world.prepare()
    people = asyncio.create_task(_until_quiet(People(world, rng).work, faults))
    deployments = asyncio.create_task(_deploy(world, rng))
    await world.run(hours=80)
    await deployments
    await people
    return world, await world.check()


async def _deploy(world: World, rng: random.Random) -> None:
    """A converter is changed while everything runs, and the fingerprints' key."""
    versions = [partial(world.deploy, converter="lower"), partial(world.deploy, prints=OTHER_PRINTS)]
    for deployed in rng.sample(versions, rng.randint(0, len(versions))):
        await asyncio.sleep(rng.random() * 100)
        deployed()


async def _until_quiet(work: Callable[[], Awaitable[None]], faults: Faults) -> None:
    await work()
    faults.active = False
