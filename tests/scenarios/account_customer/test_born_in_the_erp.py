"""Customers born in the ERP, and companies born on both sides at once."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.faults import FaultKind, FaultRule
from tests.scenarios.account_customer.world import (
    COMPANY_VALUES,
    TO_CRM,
    RealWorld,
    Setup,
    differing,
    vat_number,
    virtually,
)

CUSTOMER: dict[str, Any] = {
    "displayName": "Aurora Milling",
    "taxRegistrationNumber": vat_number(1),
    "phoneNumber": "+390471000001",
    "addressLine1": "Mill Lane 1",
    "city": "Milltown",
    "postalCode": "39100",
}


@virtually
async def test_a_customer_born_in_the_erp_becomes_an_account_whose_key_we_chose() -> None:
    """R-041, R-050, R-052: the create carries all that the ERP knows, the telephone once, and can be repeated."""
    async with RealWorld() as world:
        world.crm.faults.add(FaultRule(FaultKind.LOST_ANSWER, "PATCH", r"/accounts\(", times=1))
        customer = await world.new_customer(**CUSTOMER)
        await world.settle()
        (account,) = world.accounts
        assert world.account(account)["telephone1"] == "+390471000001"
        assert await world.links() == {account: customer}
        row = await world.link_of_account(account)
        assert account == world.derived_account(customer, row.generation)
        assert list(differing(world.account(account), world.customer(customer))) == []
        assert await world.parked(TO_CRM) == []


@virtually
async def test_the_telephone_is_filled_once_and_belongs_to_the_crm_afterwards() -> None:
    """R-059: what the create brought along is the CRM's from then on."""
    async with RealWorld() as world:
        customer = await world.new_customer(**CUSTOMER)
        await world.settle()
        (account,) = world.accounts
        await world.edit_account(account, telephone1="+390471222222")
        await world.settle()
        assert world.customer(customer)["phoneNumber"] == "+390471222222"
        await world.edit_customer(customer, phoneNumber="+390471333333")
        await world.settle()
        assert world.account(account)["telephone1"] == "+390471222222"
        assert world.customer(customer)["phoneNumber"] == "+390471222222"


@pytest.mark.parametrize("own_numbers", [True, False], ids=["own numbers", "series"])
@pytest.mark.parametrize("late", ["crm", "erp", "neither"])
@virtually
async def test_the_same_company_born_on_both_sides_at_once_ends_as_one_pair(late: str, own_numbers: bool) -> None:
    """R-041, R-054: whichever notice comes first, the two records meet and nothing is created."""
    async with RealWorld(Setup(own_numbers=own_numbers)) as world:
        if late == "crm":
            world.crm.notice_faults.set(delay_seconds=(60, 60.1))
        if late == "erp":
            world.erp.notice_faults.set(delay_seconds=(60, 60.1))
        await world.new_account(**(COMPANY_VALUES | {"telephone1": None}))
        await world.new_customer(**CUSTOMER)
        await world.settle(quiet_seconds=700)
        (account,), (customer,) = world.accounts, world.customers
        assert await world.links() == {account: customer}
        assert list(differing(world.account(account), world.customer(customer))) == []


@pytest.mark.parametrize("seconds", [0.2, 29.9, 30.0, 30.2])
@virtually
async def test_a_company_born_in_the_erp_while_its_account_is_being_created_meets_it(seconds: float) -> None:
    """R-054: at whatever moment the second one appears, there is one pair, or a person is asked; never a third."""
    async with RealWorld() as world:
        world.erp.faults.add(FaultRule(FaultKind.STALL, "GET", r"/customers$", seconds=5, times=1))
        await world.new_customer(**CUSTOMER)
        await world.pass_time(seconds=seconds)
        await world.new_account(**COMPANY_VALUES)
        await world.settle(quiet_seconds=700)
        assert len(world.customers) == 1
        assert len(world.accounts) <= 2
        if len(world.accounts) == 2:
            assert await world.parked(), "the account that came second waits for a person"
        assert len(await world.links()) == 1
