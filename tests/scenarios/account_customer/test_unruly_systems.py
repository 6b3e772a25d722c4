"""Systems that ask for patience, answer half or nonsense, or stop accepting our sign-in: nothing is lost or doubled."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

import pytest

from sandbox.faults import FaultKind, FaultRule
from sandbox.request_log import LoggedRequest
from tests.scenarios.account_customer.test_a_thousand_accounts import company
from tests.scenarios.account_customer.world import (
    COMPANY_VALUES,
    TO_CRM,
    TO_ERP,
    RealWorld,
    Setup,
    differing,
    virtually,
)

KINDS = {
    "429 with Retry-After": FaultRule(FaultKind.THROTTLED, retry_after_seconds=20, probability=0.3),
    "executed, then silence": FaultRule(FaultKind.STALL, seconds=600, executes=True, probability=0.1),
    "not executed, and silence": FaultRule(FaultKind.STALL, seconds=600, executes=False, probability=0.1),
    "half a body": FaultRule(FaultKind.HALF_BODY, probability=0.3),
    "a sign-in page instead of an answer": FaultRule(FaultKind.GARBAGE, probability=0.3),
    "a gateway that gives up": FaultRule(FaultKind.GATEWAY_TIMEOUT, probability=0.3),
    "an answer that is lost": FaultRule(FaultKind.LOST_ANSWER, probability=0.3),
    "an error of the server": FaultRule(FaultKind.SERVER_ERROR, probability=0.3),
    "no connection": FaultRule(FaultKind.REFUSED_CONNECTION, probability=0.3),
}
COMPANIES = 10


async def companies_come_and_change(world: RealWorld) -> None:
    """Ten accounts are made, and telephone numbers are edited meanwhile."""
    for number in range(COMPANIES):
        key = await world.new_account(**company(number))
        await world.pass_time(seconds=15)
        await world.edit_account(key, telephone1=f"+390472{number:06d}")


async def all_is_well(world: RealWorld, count: int) -> None:
    """Every account has its one customer with the same values, and nobody is asked."""
    links, accounts, customers = await world.links(), world.accounts, world.customers
    assert len(links) == len(accounts) == len(customers) == count
    assert [name for a, c in links.items() for name in differing(accounts[a], customers[c])] == []
    assert [*await world.parked(TO_ERP), *await world.parked(TO_CRM)] == []


@pytest.mark.parametrize("system", ["dataverse", "business_central"])
@pytest.mark.parametrize("rule", KINDS.values(), ids=KINDS.keys())
@virtually
async def test_a_system_that_misbehaves_for_a_while_costs_time_and_nothing_else(rule: FaultRule, system: str) -> None:
    """R-041, R-042, R-054: each customer is created once, and all have the last telephone number."""
    async with RealWorld(Setup(seed=5)) as world:
        sandbox = world.crm if system == "dataverse" else world.erp
        fault = sandbox.faults.add(rule)
        await companies_come_and_change(world)
        sandbox.faults.remove(fault)
        assert rule.kind in {entry.fault for entry in sandbox.requests.entries()}
        await world.settle()
        await all_is_well(world, COMPANIES)
        assert sum(1 for row in world.customers.values() if row["phoneNumber"].startswith("+390472")) == COMPANIES


@pytest.mark.parametrize("system", ["dataverse", "business_central"])
@virtually
async def test_retry_after_is_kept(system: str) -> None:
    """R-041: after a 429 the process that got it asks nothing more of the system before the time is up."""
    async with RealWorld(Setup(processes=1)) as world:
        account, customer = await world.pair_made()
        sandbox = world.crm if system == "dataverse" else world.erp
        sandbox.faults.add(FaultRule(FaultKind.THROTTLED, retry_after_seconds=40, times=1))
        await world.edit_account(account, telephone1="+390471777777")
        await world.settle()
        told = _first_two(sandbox.requests.entries())
        assert told >= timedelta(seconds=40)
        assert world.customer(customer)["phoneNumber"] == "+390471777777"
        assert await world.parked() == []


def _first_two(entries: list[LoggedRequest]) -> timedelta:
    """The time between the 429 and the next request."""
    refused = next(place for place, entry in enumerate(entries) if entry.status == 429)
    return entries[refused + 1].at - entries[refused].at


@virtually
async def test_tokens_that_are_refused_in_the_middle_of_the_work_are_renewed() -> None:
    """R-041: the sign-in service changes its keys; every token in use is refused from one moment to the next."""
    async with RealWorld() as world:
        for number in range(COMPANIES):
            await world.new_account(**company(number))
            if number % 5 == 4:
                world.tokens_become_invalid()
            await world.pass_time(seconds=1)
        await world.settle()
        await all_is_well(world, COMPANIES)
        assert world.erp.requests.count(status=401) > 0
        assert world.crm.requests.count(status=401) > 0


@virtually
async def test_tokens_that_expire_are_renewed_before_they_do() -> None:
    """R-041: an hour is a token's life; nobody is refused when it ends."""
    async with RealWorld() as world:
        account, customer = await world.pair_made()
        for number in range(5):
            await world.pass_time(minutes=40)
            await world.edit_account(account, telephone1=f"+390471{number:06d}")
        await world.settle()
        assert world.customer(customer)["phoneNumber"] == "+390471000004"
        assert world.erp.requests.count(status=401) == world.crm.requests.count(status=401) == 0


@pytest.mark.parametrize(
    ("companies", "changes"),
    [(15, 600), pytest.param(100, 3600, marks=pytest.mark.long)],
    ids=["20 minutes", "2 hours"],
)
@virtually
async def test_a_time_without_the_erp_ends_by_itself(companies: int, changes: int) -> None:
    """R-041, R-042: linked companies, a change every two seconds; the ERP is asked by one probe per half minute.

    Afterwards each changed customer is written once. More of them on systems in memory: tests/simulation.
    """
    async with RealWorld() as world:
        keys = [await world.new_account(**company(number)) for number in range(companies)]
        await world.settle(quiet_seconds=700)
        away = world.erp_goes_away()
        await world.pass_time(seconds=1)
        world.forget_requests()
        await _changes(world, keys, changes)
        asked = await world.asked_since_breaker_opened()
        assert {entry.path.rpartition("/")[2] for entry in asked} == {"companyInformation"}
        assert all(second.at - first.at >= timedelta(seconds=30) for first, second in pairwise(asked))
        assert len(asked) > changes / 18, "a probe in 36 seconds"
        assert await world.parked() == []

        world.erp.faults.remove(away)
        world.forget_requests()
        await world.settle()
        assert world.erp_writes() == len(keys)
        calls = world.erp.requests.count(path_regex="/customers")
        assert calls - world.erp_sent("GET") <= 1.1 * len(keys)
        await all_is_well(world, len(keys))


async def _changes(world: RealWorld, keys: list[str], changes: int) -> None:
    for number in range(changes):
        await world.edit_account(keys[number % len(keys)], telephone1=f"+390471{number:06d}")
        await world.pass_time(seconds=2)


@virtually
async def test_the_crm_may_be_away_too() -> None:
    """R-052: changes in the ERP wait for the CRM and arrive once."""
    async with RealWorld() as world:
        account, customer = await world.pair_made()
        away = world.crm.faults.add(FaultRule(FaultKind.UNAVAILABLE))
        for number in range(10):
            await world.edit_customer(customer, displayName=f"Aurora {number}")
            await world.pass_time(minutes=2)
        world.crm.faults.remove(away)
        world.forget_requests()
        await world.settle()
        assert world.account(account)["name"] == "Aurora 9"
        assert world.crm_sent("PATCH") == 1
        assert world.account(account)["telephone1"] == COMPANY_VALUES["telephone1"]
