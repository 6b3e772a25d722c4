"""How a site and the two CRMs are reached: addresses, sign-in, and what a wrong one does."""

from __future__ import annotations

from tests.scenarios.account_customer.world import virtually
from tests.scenarios.postoffice.world import POOR, TWO_CRMS, PostWorld, for_two_crms, shipped

GROUPS = "cdock_customergroup"
PASSWORD = "CROSSDOCK_POSTOFFICE_IDENTITIES"


@virtually
async def test_user_password_and_address_of_the_site_are_settings() -> None:
    """R-072, R-073: with a wrong password nothing moves and nothing is lost; mended, it goes on by itself."""
    async with PostWorld(POOR, shipped("customer_group")) as world:
        right = world.environment[PASSWORD]
        await world.restart(**{PASSWORD: "crossdock:wrong"})
        world.site.create("customer-groups", {"number": "1", "name": "Mills"})
        await world.pass_time(minutes=30)
        assert world.listed(GROUPS) == []
        breakers = (await world.asked("GET", "breakers"))["items"]
        assert [one["open"] for one in breakers if one["system"] == "postoffice"] == [True]
        await world.restart(**{PASSWORD: right})
        await world.next_walk()
        assert [row["cdock_name"] for row in world.listed(GROUPS)] == ["Mills"]
        assert {one.path.split("/v1/")[0] for one in world.site.requests.entries()} == {"/gateway"}


@virtually
async def test_each_crm_is_asked_by_its_web_api_only() -> None:
    """R-070, R-074: two addresses; the organisation data service of 2011 is not what is spoken any more."""
    async with PostWorld(POOR, for_two_crms("customer_group"), TWO_CRMS) as world:
        world.site.create("customer-groups", {"number": "1", "name": "Mills"})
        await world.next_walk()
        assert [row["cdock_name"] for row in world.listed(GROUPS)] == ["Mills"]
        asked = {one.path for crm in (world.crm, world.other_crm) for one in crm.requests.entries()}
        assert asked
        assert all(path.startswith("/api/data/v9.2/") for path in asked), asked
