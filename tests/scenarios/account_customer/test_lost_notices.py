"""A notice that is lost costs time and nothing else: the feed gives truth."""

from __future__ import annotations

from shared.sync.message import Message
from shared.sync.ports import Outgoing, Side
from tests.scenarios.account_customer.world import TO_ERP, RealWorld, Setup, definition_text, virtually


@virtually
async def test_a_late_notice_to_one_direction_does_not_hide_an_edit_from_the_other() -> None:
    """R-052: the direction that looks only for edits to put back sees the new version first and finds nothing of its
    own; the walk still brings the ERP's edit to the CRM."""
    async with RealWorld(Setup(hooks=False)) as world:
        account = await world.new_account(name="Aurora Milling", cdock_stage="qualified")
        await world.settle(quiet_seconds=700)
        customer = await world.partner_of(account)
        await world.edit_customer(customer, city="Milltown")
        late = Message(TO_ERP, Side.RIGHT, "customers", (customer,), "notice", world.clock.now(), 0, "late", "late")
        await world.queue.send(TO_ERP, [Outgoing(late.message_id(), late.to_json())])
        await world.settle(quiet_seconds=700)
        assert world.account(account)["address1_city"] == "Milltown"


@virtually
async def test_a_lost_notice_about_a_related_record_is_found_by_its_own_walk() -> None:
    """R-042, R-054: the opportunity that qualifies an account was closed while nobody was told."""
    stage, by_order = "{cdock_stage: qualified}", "{opportunity: {by: parentaccountid, stepname: order requested}}"
    text = definition_text().replace(stage, by_order)
    async with RealWorld(Setup(hooks=False, text=text)) as world:
        account = await world.new_account(name="Aurora Milling")
        await world.settle(quiet_seconds=700)
        assert world.customers == {}
        order = {"name": "Mill", "parentaccountid": account, "stepname": "order requested"}
        await world.crm.create("opportunity", order)
        await world.settle(quiet_seconds=700)
        assert len(world.customers) == 1
