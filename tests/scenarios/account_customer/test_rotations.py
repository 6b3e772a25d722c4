"""Another fingerprint key, another way of converting: nothing is written for it, and nothing is lost."""

from __future__ import annotations

import base64

from shared.sync.ports import Side
from tests.scenarios.account_customer.world import TO_CRM, TO_ERP, RealWorld, Setup, definition_text, virtually

NEW_KEY = "k2:" + base64.b64encode(b"the second key of the tests, 32b").decode()
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
