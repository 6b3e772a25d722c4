"""Another environment than the one the links were made for: nothing is moved in it until a person adopts it."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.business_central import Company
from sandbox.tokens import TENANT_ID
from shared.errors import WrongEnvironment
from shared.operations import Operations, health
from shared.routes import Overtaken, Unknown
from shared.sync.ports import LinkState, Side
from tests.scenarios.account_customer.world import (
    COMPANY,
    COMPANY_VALUES,
    ORGANIZATION,
    TO_ERP,
    RealWorld,
    Setup,
    vat_number,
    virtually,
)
from tests.scenarios.command_line.terminal import typed

COPY = "99999999-2b5e-4c58-9a0b-3f6b2d1c8e55"
SECOND = "8aaf3d2e-44e3-ea11-bb43-000d3a2feca1"
BOTH = (Company(COMPANY, "ALPENHOLZ"), Company(SECOND, "ALPENHOLZ TEST"))


async def operations(world: RealWorld) -> Operations:
    return Operations(world.apps[0], await world.apps[0].engine())


async def waiting(world: RealWorld) -> list[tuple[str, str]]:
    """Keys and reasons of what waits for the way to the ERP."""
    return [(item.key, item.reason) for item in await world.stores.pending.page(TO_ERP)]


async def told(world: RealWorld, system: str) -> dict[str, Any]:
    """What health says of a system's environment."""
    found = await health(world.apps[0])
    item = next(one for one in found["environments"] if one["system"] == system)
    return dict(item)


@virtually
async def test_a_copied_organisation_behind_the_same_address_is_refused_before_the_first_write() -> None:
    """R-041: the copy holds accounts with the same keys, but nothing is read into the ERP or written into the copy;
    changes wait and go on when the settings are right again."""
    async with RealWorld() as world:
        account, customer = await world.pair_made()
        original = world.crm
        world.crm = copy = await world.copy_of_crm(COPY)
        await copy.edit("account", account, {"telephone1": "+39 0471 999999"})
        await world.restart()
        world.forget_requests()
        await world.announce(Side.LEFT, account)
        await world.pass_time(minutes=20)

        assert world.erp_writes() == 0
        assert world.crm_sent("GET") == world.crm_sent("PATCH") == 0
        assert (account, "another environment answers than the links were made for") in await waiting(world)
        assert (await world.journal(Side.LEFT, account))[0].code == WrongEnvironment.code
        item = await told(world, "dataverse")
        assert "CROSSDOCK_DATAVERSE_ORGANIZATION_ID" in item["wrong"]
        with pytest.raises(WrongEnvironment):
            await (await operations(world)).adopt("dataverse", COPY, "test", "a copy is not what the settings say")

        world.crm = original
        await original.edit("account", account, {"telephone1": "+39 0471 111111"})
        await world.restart()
        await world.settle()
        assert world.customer(customer)["phoneNumber"] == "+390471111111"
        assert (await told(world, "dataverse"))["wrong"] == ""
        await copy.aclose()


@virtually
async def test_a_company_that_the_settings_name_anew_is_adopted_by_a_person_and_starts_without_links() -> None:
    """R-041, R-050: until then nothing is moved; then the account becomes a customer of the new company, and the links
    of the old one are there again for whoever goes back."""
    async with RealWorld(Setup(companies=BOTH)) as world:
        account, customer = await world.pair_made()
        old_pair, before = world.pair, world.customer(customer)
        await world.restart(CROSSDOCK_BUSINESS_CENTRAL_COMPANY_ID=SECOND)
        world.forget_requests()
        await world.edit_account(account, telephone1="+39 0471 222222")
        await world.announce(Side.LEFT, account)
        await world.pass_time(minutes=2)
        assert world.erp_writes() == world.crm_sent("PATCH") == 0
        item = await told(world, "business_central")
        assert COMPANY in item["wrong"]
        assert SECOND in item["wrong"]
        assert "CROSSDOCK_BUSINESS_CENTRAL_*" in item["wrong"]

        wanted = f"{TENANT_ID}/production/{SECOND}"
        with pytest.raises(Overtaken):
            await (await operations(world)).adopt("business_central", "another", "test", "unseen")
        with pytest.raises(Unknown):
            await (await operations(world)).adopt("postoffice", wanted, "test", "no such system")
        adopted = await (await operations(world)).adopt("business_central", wanted, "test", "the test company is over")
        assert (adopted["links_made_for"], adopted["by"], adopted["wrong"]) == (wanted, "test", "")
        assert adopted["former"] == f"{TENANT_ID}/production/{COMPANY}"
        del world.pair
        await world.settle()
        (made,) = world.erp.rows(SECOND, "customers").values()
        assert made["displayName"] == COMPANY_VALUES["name"]
        assert world.customer(customer) == before
        old = await world.stores.links.get(old_pair, Side.LEFT, account)
        assert old is not None
        assert (old.state, old.other) == (LinkState.LINKED, customer)


@virtually
async def test_what_is_remembered_is_what_was_used_first_not_what_somebody_looked_at() -> None:
    """R-055: health and the list of environments ask the systems, but only work makes an environment the right one."""
    async with RealWorld(Setup(companies=BOTH)) as world:
        assert (await told(world, "business_central"))["links_made_for"] == f"{TENANT_ID}/production/{COMPANY}"
        item = await told(world, "dataverse")
        assert (item["environment"], item["links_made_for"]) == (ORGANIZATION, ORGANIZATION)
        assert item["reason"] == "first use"
    async with RealWorld(Setup(processes=1)) as world:
        row = await world.stores.environments.get("business_central")
        assert row is not None
        await world.rows.delete("environments", "environments", "business_central")
        await told(world, "business_central")
        assert await world.stores.environments.get("business_central") is None


@virtually
async def test_while_the_environment_is_wrong_no_feed_is_walked_and_nothing_subscribed() -> None:
    """R-041: a walk would queue the keys of a foreign environment, a subscription would be a first write."""
    async with RealWorld(Setup(companies=BOTH)) as world:
        await world.pair_made()
        await world.restart(CROSSDOCK_BUSINESS_CENTRAL_COMPANY_ID=SECOND)
        world.forget_requests()
        await world.erp.create(SECOND, "customers", {"displayName": "Foreign", "taxRegistrationNumber": vat_number(9)})
        await world.pass_time(hours=1)
        report = await world.renew_subscriptions()
        assert not report.is_good
        assert world.erp_sent("GET") == 0
        assert world.erp.requests.count("POST", "/subscriptions") == 0
        assert await waiting(world) == []


@virtually
async def test_at_the_command_line_environments_are_shown_and_adopted() -> None:
    """R-055: what would be done, then what was done, with who and why."""
    async with RealWorld(Setup(companies=BOTH)) as world:
        await world.pair_made()
        fine = await typed(world, "environment")
        assert fine.code == 0
        await world.restart(CROSSDOCK_BUSINESS_CENTRAL_COMPANY_ID=SECOND)
        other = {"CROSSDOCK_BUSINESS_CENTRAL_COMPANY_ID": SECOND}
        shown = await typed(world, "environment", "--json", **other)
        assert (shown.code, len(shown.json["items"])) == (1, 2)
        words = ("environment", "business_central", "--reason", "the test company is over")
        assert (await typed(world, "environment", "business_central", **other)).code == 2
        assert (await typed(world, "environment", "postoffice", "--reason", "none", **other)).code == 2
        assert "--apply does it" in (await typed(world, *words, **other)).out
        done = await typed(world, *words, "--apply", "--by", "ticket-17", "--json", **other)
        assert (done.code, done.json["items"][0]["by"]) == (0, "ticket-17")
        assert (await typed(world, *words, **other)).code == 0
