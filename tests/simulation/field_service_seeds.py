"""Random worlds of field service by seed: people on both sides, several workers, faults at every port, outages, lost,
doubled and late messages of both systems.

    python -m tests.simulation.field_service_seeds --first 0 --count 100, or one alone with --seed N

Exit code 0: every world ended right; 1: the seeds named did not.
"""

from __future__ import annotations

import asyncio
import random
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from sandbox.faults import FaultKind, FaultRule
from shared.sync.full_compare import FullCompares
from tests.simulation.__main__ import run
from tests.simulation.field_service import SITES, FieldWorld
from tests.simulation.world import Faults, Setup

PAIRS = ("account", "sale", "service_job")
NAMES = {"cdock_servicejob": "cdock_name", "cdock_sale": "cdock_documentnumber"}
"""By what a record of the CRM is told from all others; nobody edits it."""
THERE = {"cdock_servicejob": ("task", "description"), "cdock_sale": ("sales_history", "document_no")}
"""The same in the field service."""
FIRST, SECOND = 100000000, 100000001
DAY = datetime(2026, 1, 12, 8, tzinfo=UTC)


class People:
    """What people do on both sides. deleted: names of records that somebody has deleted on one of them."""

    def __init__(self, world: FieldWorld, rng: random.Random) -> None:
        self.world = world
        self.rng = rng
        self.made = 0
        self.deleted = set[str]()

    async def work(self) -> None:
        """Everything, one after another."""
        for _ in range(2):
            await self._account()
        doing: list[tuple[Callable[[], Awaitable[None]], int]] = [
            (self._account, 1),
            (self._edit_account, 2),
            (self._make_here, 4),
            (self._make_there, 4),
            (self._edit_here, 6),
            (self._edit_there, 6),
            (self._delete_here, 1),
            (self._delete_there, 1),
            (self._outage, 1),
        ]
        todo = [one for one, times in doing for _ in range(times)]
        self.rng.shuffle(todo)
        for one in todo:
            await self.world.clock.sleep(self.rng.choice([0.1, 5, 60]) * self.rng.random())
            await one()

    def _one(self, of: Mapping[str, Any]) -> str | None:
        return self.rng.choice(sorted(of)) if of else None

    def _new_name(self) -> str:
        self.made += 1
        return f"R-{self.made}"

    async def _account(self) -> None:
        await self.world.typed("account", {"name": f"Company {self._new_name()}", "customertypecode": 3})

    async def _edit_account(self) -> None:
        key = self._one(self.world.dataverse.rows("account"))
        assert key is not None
        edits: list[Mapping[str, Any]] = [
            {"address1_city": self.rng.choice(["Bolzano", "Trento", None])},
            {"creditonhold": self.rng.random() < 0.5},
            {"cdock_overdue": Decimal(self.rng.randint(0, 9))},
        ]
        await self.world.typed("account", self.rng.choice(edits), key)

    async def _make_here(self) -> None:
        account, name = self._one(self.world.dataverse.rows("account")), self._new_name()
        if self.rng.random() < 0.5:
            values = {"cdock_name": name, "cdock_type": SECOND}
            await self.world.typed("cdock_servicejob", {**values, "cdock_accountid": account})
        else:
            values = {"cdock_documentnumber": name, "cdock_kind": FIRST, "cdock_soldon": DAY.date()}
            await self.world.typed("cdock_sale", {**values, "cdock_accountid": account})

    async def _make_there(self) -> None:
        place = self._one(self.world.there("place"))
        if place is None:
            return
        name = self._new_name()
        if self.rng.random() < 0.5:
            await self.world.entered("task", place_id=place, task_type="REPAIR", description=name)
        else:
            sold = {"sale_kind": "GOODS", "sold_date": DAY.date(), "document_no": name}
            await self.world.entered("sales_history", place_id=place, **sold)

    async def _edit_here(self) -> None:
        table, number = self.rng.choice(sorted(NAMES)), self.rng.randint(1, 5)
        key = self._one(self.world.dataverse.rows(table))
        edits: list[Mapping[str, Any]] = [{"cdock_customerwish": f"W{number}"}, {"cdock_rating": number}]
        if table == "cdock_sale":
            edits = [{"cdock_name": f"S{number}"}, {"cdock_amount": Decimal(number)}]
        if key is not None:
            await self.world.typed(table, self.rng.choice(edits), key)

    async def _edit_there(self) -> None:
        table, number = self.rng.choice(["task", "sales_history"]), self.rng.randint(1, 5)
        key = self._one(self.world.there(table))
        edits: list[Mapping[str, Any]] = [
            {"plan_start_dttm": DAY + timedelta(days=number), "person_id": f"P{number}"},
            {"task_status": "COMPLETED", "resolution": f"Done {number}"},
            {"customer_wish": "Typed in vain"},
        ]
        if table == "sales_history":
            edits = [{"description": f"F{number}"}, {"amount": Decimal(number)}]
        if key is not None:
            await self.world.changed(table, key, **self.rng.choice(edits))

    async def _delete_here(self) -> None:
        table = self.rng.choice(sorted(NAMES))
        rows = self.world.dataverse.rows(table)
        key = self._one(rows)
        if key is not None:
            self.deleted.add(rows[key][NAMES[table]])
            await self.world.removed(table, key)

    async def _delete_there(self) -> None:
        table, column = self.rng.choice(sorted(THERE.values()))
        rows = self.world.there(table)
        key = self._one(rows)
        if key is not None:
            self.deleted.add(rows[key][column])
            await self.world.struck_off(table, key)

    async def _outage(self) -> None:
        """One of the systems answers nobody for some minutes."""
        faults = self.rng.choice([self.world.field.faults, self.world.dataverse.faults])
        away = faults.add(FaultRule(FaultKind.UNAVAILABLE))
        await self.world.clock.sleep(self.rng.choice([20, 400]))
        faults.remove(away)


async def seeded(seed: int) -> tuple[FieldWorld, list[str]]:
    """One random world; answers it and what is wrong with it at the end."""
    rng = random.Random(seed)
    setup = Setup(
        seed=seed,
        workers=rng.choice([1, 2, 3]),
        duplicate=0.3,
        drop=rng.choice([0, 0.2]),
        reorder_seconds=rng.choice([0, 20]),
        quiet_seconds=650,
    )
    faults = Faults(chance=rng.choice([0, 0.01, 0.03]), rng=random.Random(seed + 1))
    faults.active = False
    world = FieldWorld(rng.choice(sorted(SITES)), PAIRS, faults, setup=setup)
    await world.prepare()
    world.field.notice_faults.set(duplicate=0.3, drop=setup.drop, reorder=0.3, delay_seconds=(0, setup.reorder_seconds))
    posting = asyncio.create_task(world.field.run_deliveries())
    people = People(world, rng)
    faults.active = True
    working = asyncio.create_task(_until_all_is_done(people, faults))
    await world.run(hours=8)
    await working
    await FullCompares(world.untroubled()).begin_all()
    await world.run(hours=8)
    wrong = [*await world.check(), *_wrong(world, people.deleted)]
    wrong += [f"parked: {one.transfer} {one.code} {one.field}" for one in await world.parked()]
    posting.cancel()
    with suppress(asyncio.CancelledError):
        await posting
    await world.aclose()
    return world, wrong


async def _until_all_is_done(people: People, faults: Faults) -> None:
    await people.work()
    faults.active = False


def _wrong(world: FieldWorld, deleted: set[str]) -> list[str]:
    """Records that are on one side only, or on one of them twice."""
    wrong = []
    accounts = Counter(iter(world.dataverse.rows("account")))
    if accounts != Counter(row["crm_id"] for row in world.there("place").values()):
        wrong.append(f"{len(accounts)} customers are {world.held('place')} places")
    for table, column in NAMES.items():
        here = Counter(row[column] for row in world.dataverse.rows(table).values())
        other, named = THERE[table]
        there = Counter(row[named] for row in world.there(other).values())
        wrong += [f"twice: {name} of {table}" for name, times in (here | there).items() if times > 1]
        lost = (set(here) ^ set(there)) - deleted
        wrong += [f"lost: {name} of {table}" for name in sorted(lost)]
    return wrong


if __name__ == "__main__":
    sys.exit(run("tests.simulation.field_service_seeds", seeded))
