"""A thousand accounts become customers while answers are lost and webhooks come twice and out of order."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from sandbox.faults import FaultKind, FaultRule
from tests.scenarios.account_customer.world import TO_CRM, RealWorld, Setup, differing, vat_number, virtually

SIZES = [(60, 6), pytest.param(1000, 20, marks=pytest.mark.long)]
"""How many accounts, and one in how many creates loses its answer."""


def company(number: int) -> dict[str, Any]:
    """A made-up company; every tenth has no VAT number."""
    values = {
        "name": f"Orchard Works {number:04d}",
        "cdock_stage": "qualified",
        "telephone1": f"+390471{number:06d}",
        "emailaddress1": f"office@orchard-{number:04d}.example",
        "address1_line1": f"Orchard Road {number}",
        "address1_postalcode": f"{39000 + number % 50}",
        "address1_city": "Orchard",
    }
    return values if number % 10 == 0 else values | {"cdock_vatnumber": vat_number(number)}


async def everything_goes_wrong(world: RealWorld, one_in: int) -> None:
    """One create in twenty or so loses its answer, one request in twenty is refused; notices come twice and overtake
    each other."""
    world.erp.faults.add(FaultRule(FaultKind.LOST_ANSWER, "POST", r"/customers$", probability=1 / one_in))
    world.erp.faults.add(FaultRule(FaultKind.UNAVAILABLE, None, r"/customers", probability=0.05))
    for system in (world.crm, world.erp):
        system.notice_faults.set(duplicate=1.0, reorder=0.3, delay_seconds=(0, 20))


async def accounts_are_made(world: RealWorld, accounts: int) -> None:
    """A thousand of them within a few minutes."""
    for number in range(accounts):
        await world.new_account(**company(number))
        if number % 10 == 9:
            await world.pass_time(seconds=2)


@pytest.mark.parametrize(("size", "one_in"), SIZES)
@pytest.mark.parametrize("own_numbers", [True, False], ids=["numbers of our own", "numbers of the series"])
@virtually
async def test_accounts_by_the_thousand_become_as_many_customers(own_numbers: bool, size: int, one_in: int) -> None:
    """R-041, R-050, R-054: nobody is lost or doubled, and every customer is written once.

    Where the ERP's series gives the numbers, a create whose answer was lost may end before a person, never doubled.
    A few suffice for every kind of fault.
    """
    async with RealWorld(Setup(seed=11, own_numbers=own_numbers)) as world:
        await everything_goes_wrong(world, one_in)
        await accounts_are_made(world, size)
        await world.settle(quiet_seconds=700)

        assert {FaultKind.LOST_ANSWER, FaultKind.UNAVAILABLE} <= {one.fault for one in world.erp.requests.entries()}
        parked = {item.key for item in await world.parked()}
        links, accounts, customers = await world.links(), world.accounts, world.customers
        assert not parked or not own_numbers
        assert len(links) + len(parked - links.keys()) == size
        assert len(customers) == len({row["displayName"] for row in customers.values()})
        assert len(customers) == size
        assert sorted(set(links.values())) == sorted(customers if not parked else links.values())
        wrong = Counter(
            column
            for account, customer in links.items()
            for column in differing(accounts[account], customers[customer])
        )
        assert wrong == {}
        assert world.erp_writes() == size
        assert await world.parked(TO_CRM) == []
