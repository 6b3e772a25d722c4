"""A hundred questions at once while the systems are slow, dead or lie: everybody has an answer in time, and a yes only
where the system has said something."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from sandbox.faults import FaultKind, FaultRule
from tests.scenarios.account_customer.world import virtually
from tests.scenarios.field_service.checks_world import ChecksWorld, Setup
from tests.scenarios.field_service.crowd import about, at_once, crowd, percentile, unfounded

BUDGET = 5.0
BACKEND = 2.0
MANY = Setup(latency_seconds=0.05, identities=4, processes=2)


@virtually
async def test_a_hundred_at_once_have_their_answers_in_time() -> None:
    """R-229: more than the ERP lets four identities ask in that time; who gets no yes asks again, and soon all have
    one."""
    async with ChecksWorld(MANY) as world:
        left = await crowd(world, 100)
        world.forget_requests()
        asked = []
        for _ in range(6):
            asked = await at_once(world, about("credit", left))
            assert percentile(asked, 1) <= BACKEND + 0.1
            assert unfounded(world, asked) == []
            assert {one.answer["reason"] for one in asked if one.status != 200} <= {"time_out", "system_error"}
            assert any(one.confirmed for one in asked)
            left = [company for company, one in zip(left, asked, strict=True) if not one.confirmed]
            if not left:
                break
        assert left == []
        assert world.erp.requests.count(status=429) == 0


@virtually
async def test_one_system_slow_and_the_other_dead() -> None:
    """R-229: prices from a CRM that takes three seconds for everything, credit from an ERP that does not answer: all
    are told no within the budget; a question that needs neither of them is answered meanwhile."""
    setup = replace(MANY, environment={"CROSSDOCK_CHECKS_PRICE_FROM": "dataverse"}, warm=False)
    async with ChecksWorld(setup) as world:
        companies = await crowd(world, 50)
        await world.credit(1)
        await world.price(1)
        world.forget_requests()
        world.crm.faults.add(FaultRule(FaultKind.STALL, seconds=3, executes=True))
        world.erp.faults.add(FaultRule(FaultKind.STALL, seconds=3600, path="customer"))
        questions = about("credit", companies)
        questions += about("price", companies)
        questions += about("stock", [("", "")] * 5)
        asked = await at_once(world, questions)
        assert percentile(asked, 1) <= BUDGET
        assert percentile(asked, 0.99) <= BACKEND + 0.1
        assert {one.status for one in asked if one.check != "stock"} == {503}
        assert not any(one.confirmed for one in asked if one.check != "stock")
        assert unfounded(world, asked) == []


@pytest.mark.parametrize("seed", range(4))
@virtually
async def test_whatever_goes_wrong_no_yes_is_made_up(seed: int) -> None:
    """R-229: faults drawn from a seed for every request to the ERP; what was confirmed, the ERP has told."""
    chance = random.Random(seed)
    async with ChecksWorld(replace(MANY, seed=seed)) as world:
        companies = await crowd(world, 40)
        world.forget_requests()
        for kind in FaultKind:
            if kind is not FaultKind.STALE_READ:
                rule = FaultRule(kind, probability=chance.uniform(0.02, 0.1), seconds=chance.choice([1, 4, 60]))
                world.erp.faults.add(rule)
        questions = about("credit", companies)
        questions += about("stock", [("", "")] * 40)
        chance.shuffle(questions)
        asked = await at_once(world, questions)
        assert percentile(asked, 1) <= BUDGET
        assert unfounded(world, asked) == []
        assert {one.status for one in asked} <= {200, 503}
        assert any(one.confirmed for one in asked)
        assert any(one.status == 503 for one in asked)
