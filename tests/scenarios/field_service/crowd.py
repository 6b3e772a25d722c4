"""Many questions at once, and what became of each: for the benchmark and for the simulation."""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tests.scenarios.field_service.checks_world import ChecksWorld, told

KEY = re.compile(r"/(customers|customerFinancialDetails)\(([0-9a-f-]{36})\)")


@dataclass(frozen=True, slots=True)
class Asked:
    """One question. customer: of the ERP, whom it was about; seconds: until the answer."""

    check: str
    customer: str
    status: int
    answer: dict[str, Any]
    seconds: float

    @property
    def confirmed(self) -> bool:
        """Whether it was a yes."""
        return self.answer.get("confirmed") is True


async def crowd(world: ChecksWorld, count: int) -> Sequence[tuple[str, str]]:
    """So many companies whom all systems know: the field service's name and the ERP's key of each."""
    found = []
    for number in range(count):
        _, customer = await world.company(f"Q-{number}")
        await world.limit(1000, customer)
        found.append((f"Q-{number}", customer))
    return found


Question = tuple[str, str, str]
"""Which check, the field service's name of the customer, the ERP's key of him."""


def about(check: str, companies: Sequence[tuple[str, str]]) -> list[Question]:
    """The same question about each of them."""
    return [(check, place, customer) for place, customer in companies]


async def at_once(world: ChecksWorld, questions: Sequence[Question]) -> list[Asked]:
    """Ask everything in the same moment: for credit of 10, whether a price of 1 holds, whether there is one piece."""

    async def one(check: str, place: str, customer: str) -> Asked:
        began = world.clock.monotonic()
        match check:
            case "credit":
                answer = await world.credit(10, place)
            case "price":
                answer = await world.price(1, place=place)
            case _:
                answer = await world.stock(1)
        return Asked(check, customer, answer.status_code, told(answer), world.clock.monotonic() - began)

    return list(await asyncio.gather(*(one(*question) for question in questions)))


def percentile(asked: Sequence[Asked], share: float) -> float:
    """In how many seconds this share of them had their answer."""
    seconds = sorted(one.seconds for one in asked)
    return seconds[max(math.ceil(share * len(seconds)) - 1, 0)]


def unfounded(world: ChecksWorld, asked: Sequence[Asked]) -> list[Asked]:
    """Confirmed answers about credit for which the ERP has not told both what the customer may owe and what he owes,
    and confirmed ones about stock beyond the number of times that it has told of items."""
    told_of: dict[str, set[str]] = {}
    for one in world.erp_calls():
        found = KEY.search(one.path)
        if found and one.status == 200 and one.fault is None:
            told_of.setdefault(found[2], set()).add(found[1])
    credit = [one for one in asked if one.check == "credit" and one.confirmed]
    bad = [one for one in credit if len(told_of.get(one.customer, ())) < 2]
    stock = [one for one in asked if one.check == "stock" and one.confirmed]
    heard = sum(1 for one in world.erp_calls() if one.path.endswith("/items") and one.status == 200 and not one.fault)
    return [*bad, *stock[heard:]]
