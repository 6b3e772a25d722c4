"""Choices cross by the definition's table of values, in both directions."""

from __future__ import annotations

from tests.scenarios.account_customer.world import RealWorld, Setup, definition_text, virtually

BLOCKED = {"Ship": 100_000_000, "Invoice": 100_000_001, "All": 100_000_002}


@virtually
async def test_a_choice_of_the_erp_becomes_the_number_of_the_crm() -> None:
    """Each member of the table, and none again."""
    async with RealWorld() as world:
        account, customer = await world.pair_made()
        for member, number in BLOCKED.items():
            await world.edit_customer(customer, blocked=member)
            await world.settle()
            assert world.account(account)["cdock_blocked"] == number
        await world.edit_customer(customer, blocked="_x0020_")
        await world.settle()
        assert world.account(account).get("cdock_blocked") is None


@virtually
async def test_a_choice_of_the_crm_becomes_the_member_of_the_erp() -> None:
    """Where the CRM is its master."""
    rule = "    business_central: blocked\n    master: business_central\n"
    assert rule in definition_text()
    text = definition_text().replace(rule, rule.replace("master: business_central", "master: dataverse"))
    async with RealWorld(Setup(text=text)) as world:
        account, customer = await world.pair_made()
        await world.edit_account(account, cdock_blocked=BLOCKED["Invoice"])
        await world.settle()
        assert world.customer(customer)["blocked"] == "Invoice"
