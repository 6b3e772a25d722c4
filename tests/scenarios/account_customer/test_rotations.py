"""Another fingerprint key, another way of converting: nothing is written for it, and nothing is lost."""

from __future__ import annotations

import base64
from collections.abc import Mapping

import pytest

from sandbox.faults import FaultKind, FaultRule
from shared.sync.ports import Side
from tests.scenarios.account_customer.world import (
    COMPANY_VALUES,
    ENVIRONMENT,
    TO_CRM,
    TO_ERP,
    RealWorld,
    Setup,
    definition_text,
    vat_number,
    virtually,
)

OLD_KEY = ENVIRONMENT["CROSSDOCK_FINGERPRINT_KEY"]
NEW_KEY = "k2:" + base64.b64encode(b"the second key of the tests, 32b").decode()
BOTH_KEYS = {"CROSSDOCK_FINGERPRINT_KEY": NEW_KEY, "CROSSDOCK_FINGERPRINT_KEY_PREVIOUS": OLD_KEY}
NEW_KEY_ONLY = {"CROSSDOCK_FINGERPRINT_KEY": NEW_KEY}
PHONE = "business_central: phoneNumber,           master: dataverse"


@virtually
async def test_a_new_fingerprint_key_writes_nothing_and_later_edits_arrive() -> None:
    """R-042: every link is looked at again under the new key; both sides are equal, so nothing counts as changed."""
    async with RealWorld() as world:
        account, customer = await world.pair_made()
        await world.restart(CROSSDOCK_FINGERPRINT_KEY=NEW_KEY)
        for side, key in ((Side.LEFT, account), (Side.RIGHT, customer)):
            await world.announce(side, key)
        await world.settle()
        assert world.erp_writes() == world.crm_sent("PATCH") == 0
        assert (await world.link_of_account(account)).base.startswith("k2:")
        await world.edit_account(account, telephone1="+390471000005")
        await world.edit_customer(customer, displayName="Renamed")
        await world.settle()
        assert (world.customer(customer)["phoneNumber"], world.account(account)["name"]) == ("+390471000005", "Renamed")
        assert (world.erp_writes(), world.crm_sent("PATCH")) == (1, 1)


@virtually
async def test_edits_made_during_the_rotation_go_the_way_of_their_masters() -> None:
    """R-042, R-058, R-059: what no base can tell apart is decided by the master; no value of a master is lost."""
    async with RealWorld() as world:
        account, customer = await world.pair_made()
        away = world.erp_goes_away()
        await world.edit_account(account, telephone1="+390471000006")
        await world.edit_customer(customer, displayName="Renamed meanwhile")
        await world.pass_time(minutes=2)
        await world.restart(CROSSDOCK_FINGERPRINT_KEY=NEW_KEY)
        world.erp.faults.remove(away)
        await world.settle()
        assert world.customer(customer)["phoneNumber"] == "+390471000006"
        assert world.account(account)["name"] == "Renamed meanwhile"


@virtually
async def test_a_shared_field_changed_on_both_sides_during_the_rotation_is_left_to_a_person() -> None:
    """R-042, R-047: nobody can say which of the two is newer, so neither is overwritten."""
    text = definition_text().replace(PHONE, "business_central: phoneNumber, master: both")
    assert text != definition_text()
    async with RealWorld(Setup(text=text)) as world:
        account, customer = await world.pair_made()
        away = world.erp_goes_away()
        await world.edit_account(account, telephone1="+390471000007")
        await world.edit_customer(customer, phoneNumber="+390471000008")
        await world.pass_time(minutes=2)
        await world.restart(CROSSDOCK_FINGERPRINT_KEY=NEW_KEY)
        world.erp.faults.remove(away)
        await world.settle()
        assert (world.account(account)["telephone1"], world.customer(customer)["phoneNumber"]) == (
            "+390471000007",
            "+390471000008",
        )
        codes = {item.code for name in (TO_ERP, TO_CRM) for item in await world.parked(name)}
        assert codes == {"CD-4010"}


@virtually
async def test_a_changed_converter_starts_anew_with_a_first_agreement_and_writes_only_what_differs() -> None:
    """R-055, R-042: the field's base is forgotten with the old way of converting; equal values stay untouched."""
    before = definition_text()
    city = "business_central: city,                  master: {unlinked: dataverse, linked: business_central}"
    after = before.replace(city, f"{city}, convert: trim")
    assert after != before
    async with RealWorld() as world:
        account, customer = await world.pair_made()
        await world.work_with(Setup(text=after).definition())
        for side, key in ((Side.LEFT, account), (Side.RIGHT, customer)):
            await world.announce(side, key)
        await world.settle()
        assert world.erp_writes() == world.crm_sent("PATCH") == 0
        await world.edit_customer(customer, city="Trento")
        await world.settle()
        assert world.account(account)["address1_city"] == "Trento"


@virtually
async def test_a_value_cleared_while_a_converter_changes_is_cleared_on_the_other_side_too() -> None:
    """R-042: that the master held something is known, however the field was converted then: a blank is an edit."""
    before = definition_text()
    city = "business_central: city,                  master: {unlinked: dataverse, linked: business_central}"
    async with RealWorld() as world:
        account, customer = await world.pair_made()
        away = world.erp_goes_away()
        await world.edit_customer(customer, city="")
        await world.pass_time(minutes=2)
        await world.work_with(Setup(text=before.replace(city, f"{city}, convert: trim")).definition())
        world.erp.faults.remove(away)
        await world.settle()
        assert not world.account(account)["address1_city"]
        assert world.customer(customer)["city"] == ""


# --- with the key before ----------------------------------------------------------------------------


@virtually
async def test_with_the_key_before_edits_during_the_rotation_are_told_apart_as_ever() -> None:
    """R-042, R-047, R-058, R-059: a blank is an edit, a shared field changed on one side goes over, nobody is asked."""
    text = definition_text().replace(PHONE, "business_central: phoneNumber, master: both")
    async with RealWorld(Setup(text=text)) as world:
        account, customer = await world.pair_made()
        away = world.erp_goes_away()
        await world.edit_account(account, telephone1="+390471000007")
        await world.edit_customer(customer, city="")
        await world.pass_time(minutes=2)
        await world.restart(**BOTH_KEYS)
        world.erp.faults.remove(away)
        await world.settle()
        assert world.customer(customer)["phoneNumber"] == "+390471000007"
        assert not world.account(account)["address1_city"]
        assert await world.parked(TO_ERP) == await world.parked(TO_CRM) == []


@pytest.mark.parametrize("keys", [BOTH_KEYS, NEW_KEY_ONLY], ids=["with the key before", "without it"])
@virtually
async def test_the_full_compare_brings_every_link_under_the_new_key_and_writes_nothing(keys: Mapping[str, str]) -> None:
    """R-042: so that the old key can go, and what is cleared afterwards is known to be cleared."""
    async with RealWorld() as world:
        account, customer = await world.pair_made()
        await world.restart(**keys)
        for _ in range(2):
            await (await world.apps[0].engine()).compares.begin_all()
            await world.settle()
        base = (await world.link_of_account(account)).base
        assert (base.startswith("k2:"), " " in base) == (True, False)
        assert world.erp_writes() == world.crm_sent("PATCH") == 0
        await world.restart(CROSSDOCK_FINGERPRINT_KEY_PREVIOUS="")
        await world.edit_customer(customer, city="")
        await world.settle()
        assert not world.account(account)["address1_city"]


# --- a create whose answer was lost before the rotation ----------------------------------------------


async def _lost_create(world: RealWorld) -> str:
    """An account whose customer was made, but the ERP's answer was lost, and then it was away."""
    world.erp.faults.add(FaultRule(FaultKind.LOST_ANSWER, "POST", r"/customers$", times=1))
    account = await world.new_account(**COMPANY_VALUES)
    while not world.customers:
        await world.pass_time(seconds=0.1)
    away = world.erp_goes_away()
    await world.pass_time(minutes=2)
    assert not (await world.link_of_account(account)).other
    world.erp.faults.remove(away)
    return account


@pytest.mark.parametrize("own_numbers", [True, False], ids=["our number", "the series' number"])
@pytest.mark.parametrize("keys", [BOTH_KEYS, NEW_KEY_ONLY], ids=["with the key before", "without it"])
@virtually
async def test_a_create_whose_answer_was_lost_is_recognised_under_another_key(
    keys: Mapping[str, str], own_numbers: bool
) -> None:
    """R-042, R-054: without the key before, by what would be sent today."""
    async with RealWorld(Setup(own_numbers=own_numbers)) as world:
        account = await _lost_create(world)
        await world.restart(**keys)
        await world.edit_account(account, telephone1="+390471000008")
        await world.settle()
        (customer,) = world.customers
        assert await world.links() == {account: customer}
        assert world.customer(customer)["phoneNumber"] == "+390471000008"
        assert world.account(account)["accountnumber"] == world.customer(customer)["number"]


ALL_OTHER = {
    "name": "Borealis Carpentry",
    "cdock_vatnumber": vat_number(2),
    "telephone1": "+390471000009",
    "emailaddress1": "post@borealis.example",
    "address1_line1": "Saw Street 9",
    "address1_postalcode": "20121",
    "address1_city": "Sawtown",
}


@pytest.mark.parametrize("keys", [BOTH_KEYS, NEW_KEY_ONLY], ids=["with the key before", "without it"])
@virtually
async def test_a_create_whose_record_has_changed_altogether_since_is_never_made_twice(keys: Mapping[str, str]) -> None:
    """R-054: with the key before it is recognised; without it a person is asked whose the record of our number is."""
    async with RealWorld() as world:
        account = await _lost_create(world)
        await world.stand_still(minutes=1)
        await world.edit_account(account, **ALL_OTHER)
        await world.restart(**keys)
        (customer,) = world.customers
        await world.announce(Side.RIGHT, customer)
        await world.pass_time(minutes=10)
        assert len(world.accounts) == len(world.customers) == 1
        if keys is BOTH_KEYS:
            assert await world.links() == {account: customer}
            assert world.customer(customer)["displayName"] == ALL_OTHER["name"]
            return
        (item,) = await world.parked()
        assert (item.code, item.others) == ("CD-4201", (customer,))
        assert world.customer(customer)["displayName"] == COMPANY_VALUES["name"]
        await world.restart(**BOTH_KEYS)
        await world.announce(Side.LEFT, account)
        await world.settle()
        assert await world.links() == {account: customer}
        assert await world.parked() == []
