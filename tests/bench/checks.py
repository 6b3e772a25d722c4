"""B11: a hundred checks at once, in virtual time against sandboxes with limits; the field service waits for each.

Real are the functions, the engine, both connectors and the store (SQLite); played are time and the systems. Beside it a
loop that asks the ERP for the same with nothing in between. The third figure has one system slow and the other dead:
there the baseline is the budget that is promised.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Final

import httpx

from sandbox.business_central import AUDIENCE
from sandbox.faults import FaultKind, FaultRule
from sandbox.tokens import TENANT_ID
from sandbox.transport import SandboxTransport
from tests.bench.figures import Figure
from tests.scenarios.account_customer.world import COMPANY, ERP_URL
from tests.scenarios.field_service.checks_world import ChecksWorld, Setup
from tests.scenarios.field_service.crowd import Asked, about, at_once, crowd, percentile, unfounded
from tests.simulation.loop import run_virtually

LATENCY_SECONDS: Final = 0.1
BUDGET_SECONDS: Final = 5.0
FEW: Final = Setup(latency_seconds=LATENCY_SECONDS, processes=2)


async def _loop(world: ChecksWorld, customers: list[str]) -> list[float]:
    """Seconds of each question asked by two reads one after the other, all at once, as the first identity."""
    token = world.issuer.issue(world.erp_clients[0], AUDIENCE)
    base = f"{ERP_URL}/v2.0/{TENANT_ID}/Production/api/v2.0/companies({COMPANY})"
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(transport=SandboxTransport(world.erp.app), headers=headers, timeout=60) as http:

        async def one(customer: str) -> float:
            began = world.clock.monotonic()
            for table in ("customers", "customerFinancialDetails"):
                (await http.get(f"{base}/{table}({customer})")).raise_for_status()
            return world.clock.monotonic() - began

        return sorted(await asyncio.gather(*(one(customer) for customer in customers)))


async def _all_well(setup: Setup, count: int) -> tuple[list[Asked], list[float]]:
    async with ChecksWorld(setup) as world:
        companies = await crowd(world, count)
        await asyncio.sleep(60)
        world.forget_requests()
        asked = await at_once(world, about("credit", companies))
        if unfounded(world, asked):
            raise SystemExit("a check was confirmed without the system's answer; nothing can be measured")
        await asyncio.sleep(60)
        return asked, await _loop(world, [customer for _, customer in companies])


async def _slow_and_dead(setup: Setup, count: int) -> list[Asked]:
    wanted = replace(setup, environment={"CROSSDOCK_CHECKS_PRICE_FROM": "dataverse"}, warm=False)
    async with ChecksWorld(wanted) as world:
        companies = await crowd(world, count // 2)
        await world.credit(1)
        await world.price(1)
        world.forget_requests()
        world.crm.faults.add(FaultRule(FaultKind.STALL, seconds=3, executes=True))
        world.erp.faults.add(FaultRule(FaultKind.STALL, seconds=3600))
        questions = about("credit", companies)
        questions += about("price", companies)
        asked = await at_once(world, questions)
        if any(one.confirmed for one in asked):
            raise SystemExit("a check was confirmed without the system's answer; nothing can be measured")
        return asked


async def _measure(count: int) -> list[Figure]:
    figures = []
    for identities in (1, 4):
        asked, alone = await _all_well(replace(FEW, identities=identities), count)
        named = f"{count} credit checks at once, {identities} {'identity' if identities == 1 else 'identities'}"
        last = alone[max(-(-99 * len(alone) // 100) - 1, 0)]
        loop = "the same reads in a loop, one identity, without a budget"
        figures += [
            Figure("B11", f"{named}: p99", "s, played", percentile(asked, 0.99), last, loop, "at most 5"),
            Figure("B11", f"{named}: answered", "", sum(one.status == 200 for one in asked), len(alone), "asked"),
        ]
    asked = await _slow_and_dead(FEW, count)
    named = f"{count} at once, the CRM slow and the ERP dead"
    figures += [
        Figure("B11", f"{named}: p99", "s, played", percentile(asked, 0.99), BUDGET_SECONDS, "the budget", "at most 1"),
        Figure("B11", f"{named}: confirmed", "", sum(one.confirmed for one in asked), 0, "none", "0"),
    ]
    return figures


def measure(count: int = 100) -> list[Figure]:
    """Seconds until the answer, of so many questions at once."""
    return run_virtually(_measure(count))
