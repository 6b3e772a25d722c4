"""Edits where a field is not mastered, and edits of shared fields on both sides: nothing is lost without a word."""

from __future__ import annotations

from typing import Any

from shared.sync.planner import Reason
from shared.sync.ports import Side
from tests.scenarios.account_customer.world import (
    COMPANY_VALUES,
    TO_CRM,
    TO_ERP,
    RealWorld,
    Setup,
    definition_text,
    virtually,
)

PHONE = "business_central: phoneNumber,           master: dataverse"


def shared_phone(conflict: str) -> str:
    """The shipped definition with a telephone number that both systems may change."""
    text = definition_text().replace(PHONE, f"business_central: phoneNumber, master: both, conflict: {conflict}")
    assert text != definition_text()
    return text


def notes(world: RealWorld) -> list[dict[str, Any]]:
    """The notes in the CRM."""
    return [dict(row) for row in world.crm.rows("annotation").values()]


async def reasons(world: RealWorld, account: str, column: str) -> list[str]:
    """What the journal says about one field, the newest first."""
    entries = await world.journal(Side.LEFT, account)
    return [told.reason for entry in entries for told in entry.fields if told.left == column]


@virtually
async def test_a_value_that_is_put_back_stays_readable_in_a_note_on_its_record() -> None:
    """R-060: the user finds what was typed in vain, and where it has to be changed."""
    async with RealWorld() as world:
        account, _ = await world.pair_made()
        await world.edit_account(account, name="Typed in vain")
        await world.settle()
        assert world.account(account)["name"] == COMPANY_VALUES["name"]
        (note,) = notes(world)
        assert note["objectid"] == account
        assert "Typed in vain" in note["notetext"]
        assert "business_central" in note["notetext"]


@virtually
async def test_a_definition_that_only_reports_leaves_the_edit_and_says_so() -> None:
    """R-060: report only, for the first weeks beside another integration."""
    async with RealWorld(Setup(text=definition_text() + "foreign_edit: report\n")) as world:
        account, customer = await world.pair_made()
        await world.edit_account(account, name="Left as it is")
        await world.settle()
        assert world.account(account)["name"] == "Left as it is"
        assert world.customer(customer)["displayName"] == COMPANY_VALUES["name"]
        assert Reason.REPORTED.value in await reasons(world, account, "name")
        await world.edit_customer(customer, displayName="From the master")
        await world.settle()
        assert world.account(account)["name"] == "From the master"


@virtually
async def test_who_never_stops_is_stopped_after_three_times_a_day() -> None:
    """R-060: a flow that fights for a field is not fought for ever; a person decides, the other fields go on."""
    async with RealWorld() as world:
        account, customer = await world.pair_made()
        for number in range(4):
            await world.edit_account(account, name=f"Fourth time {number}")
            await world.settle()
        assert world.account(account)["name"] == "Fourth time 3"
        (item,) = await world.parked(TO_CRM)
        assert (item.code, item.field) == ("CD-4011", "displayName")
        await world.edit_customer(customer, creditLimit=700)
        await world.settle()
        assert world.account(account)["creditlimit"] == 700
        await world.stand_still(days=1)
        await world.edit_account(account, name="Another day")
        await world.settle()
        assert world.account(account)["name"] == COMPANY_VALUES["name"]
        assert await world.parked(TO_CRM) == []


async def conflict(world: RealWorld, account: str, customer: str) -> None:
    """Both sides change the telephone number before either hears of the other."""
    away = world.erp_goes_away()
    await world.edit_account(account, telephone1="+390471222222")
    await world.pass_time(minutes=3)
    world.erp.faults.remove(away)
    await world.edit_customer(customer, phoneNumber="+390471333333")
    await world.settle()


@virtually
async def test_a_conflict_is_settled_by_the_stated_rule_and_the_losing_value_becomes_a_note() -> None:
    """R-042, R-047: the ERP wins; what the CRM held is on the account's notes."""
    async with RealWorld(Setup(text=shared_phone("business_central"))) as world:
        account, customer = await world.pair_made()
        await conflict(world, account, customer)
        assert world.account(account)["telephone1"] == "+390471333333"
        assert world.customer(customer)["phoneNumber"] == "+390471333333"
        (note,) = notes(world)
        assert "+390471222222" in note["notetext"]
        assert await world.parked(TO_CRM) == await world.parked(TO_ERP) == []


@virtually
async def test_a_losing_value_that_no_note_can_keep_is_not_overwritten() -> None:
    """R-042, R-047: the CRM would win, but the ERP takes no notes: a person decides, and both values stay."""
    async with RealWorld(Setup(text=shared_phone("dataverse"))) as world:
        account, customer = await world.pair_made()
        await conflict(world, account, customer)
        assert world.account(account)["telephone1"] == "+390471222222"
        assert world.customer(customer)["phoneNumber"] == "+390471333333"
        (item,) = await world.parked(TO_ERP)
        assert item.code == "CD-4010"
        await world.edit_customer(customer, phoneNumber="+390471222222")
        await world.settle()
        assert await world.parked(TO_ERP) == []
