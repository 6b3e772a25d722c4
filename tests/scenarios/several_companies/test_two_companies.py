"""One CRM with two companies of Business Central: who goes where, and nothing of one company reaches the other."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from sandbox.business_central import Company
from sandbox.dataverse import DataverseOptions
from shared.errors import SettingsError
from shared.operations import Operations, health
from shared.sync.ports import LinkState, Switch
from tests.scenarios.account_customer.world import (
    APP_URL,
    CLIENT_STATE,
    COMPANY,
    CRM_CLIENT,
    PATH_SECRET,
    TO_ERP,
    Setup,
    vat_number,
    virtually,
)
from tests.scenarios.command_line.terminal import typed
from tests.scenarios.several_companies.world import (
    COMPANIES,
    DE,
    FROM_DE,
    IT,
    OF_COMPANY,
    SECOND,
    SETTINGS,
    TO_DE,
    TwoCompanies,
    two_companies,
    two_companies_in,
)


@virtually
async def test_each_account_becomes_a_customer_where_it_belongs_in_one_company_the_other_or_both() -> None:
    """R-041, R-054: by its columns; each company gives its own number, in a column of its own."""
    async with TwoCompanies() as world:
        italian = await world.account_for(1, IT)
        german = await world.account_for(2, DE)
        both = await world.account_for(3, IT, DE)
        nobody = await world.account_for(4)
        await world.settle()
        for account, wanted in ((italian, {IT}), (german, {DE}), (both, {IT, DE}), (nobody, set())):
            assert {system for system in (IT, DE) if await world.customer_in(system, account)} == wanted
        assert (len(world.customers_of(IT)), len(world.customers_of(DE))) == (2, 2)
        here, there = await world.customer_in(IT, both), await world.customer_in(DE, both)
        assert here is not None
        assert there is not None
        shown = world.account(both)
        assert (shown["accountnumber"], shown["contoso_number_de"]) == (here["number"], there["number"])
        assert not world.account(italian).get("contoso_number_de")
        assert not world.account(german).get("accountnumber")
        assert len(world.accounts) == 4


@virtually
async def test_an_edit_in_one_company_reaches_the_other_only_as_the_crms_own_value() -> None:
    """R-042, R-047, R-058, R-059: the first company masters the name, so the second follows by way of the account; what
    the CRM masters goes to both; what is typed into the second company is put back and never seen in the first."""
    async with TwoCompanies() as world:
        account = await world.account_for(1, IT, DE, telephone1="+390471000001")
        await world.settle()
        keys = {system: (await world.customer_in(system, account) or {})["id"] for system in (IT, DE)}

        await world.erp.edit(COMPANY, "customers", keys[IT], {"displayName": "Renamed in Italy"})
        await world.edit_account(account, telephone1="+390471000002")
        await world.settle()
        assert world.account(account)["name"] == "Renamed in Italy"
        for system in (IT, DE):
            customer = world.customers_of(system)[keys[system]]
            assert (customer["displayName"], customer["phoneNumber"]) == ("Renamed in Italy", "+390471000002")

        world.forget_requests()
        await world.erp.edit(SECOND, "customers", keys[DE], {"displayName": "Umbenannt", "creditLimit": 9000})
        await world.settle()
        assert world.account(account)["name"] == "Renamed in Italy"
        assert world.customers_of(DE)[keys[DE]]["displayName"] == "Renamed in Italy"
        assert world.customers_of(DE)[keys[DE]]["creditLimit"] == 9000
        assert world.customers_of(IT)[keys[IT]]["creditLimit"] == 0
        assert world.sent_to(IT, "PATCH") == world.sent_to(IT, "POST") == 0


@virtually
async def test_unlinking_in_one_company_leaves_the_link_of_the_other() -> None:
    """R-042: a tombstone here, a link there; only the linked customer goes on being kept up to date."""
    async with TwoCompanies() as world:
        account = await world.account_for(1, IT, DE)
        await world.settle()
        before = await world.customer_in(DE, account)
        operations = Operations(world.apps[0], await world.apps[0].engine())
        await operations.unlink(("dataverse", "account", account), TO_DE, "test", "no longer ours there")
        await world.edit_account(account, telephone1="+390471000003")
        await world.settle()
        row = await world.link_in(DE, account)
        assert row is not None
        assert row.state is LinkState.UNLINKED
        assert before == world.customers_of(DE)[str((before or {})["id"])]
        assert len(world.customers_of(DE)) == 1
        here = await world.customer_in(IT, account)
        assert here is not None
        assert here["phoneNumber"] == "+390471000003"


@virtually
async def test_a_notice_of_one_company_touches_only_its_own_transfers() -> None:
    """R-041, R-052: the body says which company it is about; the other is not even read."""
    async with TwoCompanies() as world:
        account = await world.account_for(1, IT, DE)
        await world.settle()
        key = str((await world.customer_in(DE, account) or {})["id"])
        world.forget_requests()
        ran = world.outcomes.total()
        await world.erp.edit(SECOND, "customers", key, {"displayName": "Umbenannt"})
        await world.pass_time(seconds=45)
        assert world.outcomes.total() > ran
        assert sum(world.sent_to(IT, method) for method in ("GET", "POST", "PATCH")) == 0
        assert world.sent_to(DE, "GET") > 0


async def _post(
    world: TwoCompanies, company: str, key: str, secret: str = PATH_SECRET, state: str = CLIENT_STATE
) -> int:
    row = {
        "subscriptionId": "made-up",
        "clientState": state,
        "resource": f"api/v2.0/companies({company})/customers({key})",
        "changeType": "updated",
        "lastModifiedDateTime": "2026-03-02T08:00:00Z",
    }
    address = f"{APP_URL}/api/webhooks/business-central/{secret}/customers"
    answer = await world._post.post(address, content=json.dumps({"value": [row]}))
    return answer.status_code


@virtually
async def test_a_notice_of_a_company_that_nobody_here_has_is_answered_counted_and_forgotten() -> None:
    """R-041: 200 as to everybody (else the subscription dies), no message, no request."""
    async with TwoCompanies() as world:
        account = await world.account_for(1, DE)
        await world.settle()
        key = str((await world.customer_in(DE, account) or {})["id"])
        world.forget_requests()
        ran = world.outcomes.total()
        assert await _post(world, "99999999-44e3-ea11-bb43-000d3a2feca1", key) == 200
        await world.pass_time(seconds=20)
        assert world.outcomes.total() == ran
        assert world.apps[0].notices.counts["business_central: another company or environment"] == 1
        assert await _post(world, SECOND, key) == 200
        await world.pass_time(seconds=20)
        assert world.outcomes.total() > ran


@virtually
async def test_a_company_with_secrets_of_its_own_is_not_spoken_for_by_another() -> None:
    """R-041: who knows the first company's secret and state is not believed about the second."""
    own_secret, own_state = "german-path-secret-of-more-than-32-chars", "german-client-state-of-more-than-32-chars"
    more = {"CROSSDOCK_BC_DE_WEBHOOK_SECRET": own_secret, "CROSSDOCK_BC_DE_CLIENT_STATE": own_state}
    setup = Setup(index=two_companies(), companies=COMPANIES, environment={**SETTINGS, **more})
    async with TwoCompanies(setup) as world:
        account = await world.account_for(1, DE)
        await world.settle()
        key = str((await world.customer_in(DE, account) or {})["id"])
        ran = world.outcomes.total()
        for secret, state in ((PATH_SECRET, CLIENT_STATE), (PATH_SECRET, own_state), (own_secret, CLIENT_STATE)):
            assert await _post(world, SECOND, key, secret, state) == 200
        await world.pass_time(seconds=20)
        assert world.outcomes.total() == ran
        assert await _post(world, SECOND, key, own_secret, own_state) == 200
        await world.pass_time(seconds=20)
        assert world.outcomes.total() > ran


@virtually
async def test_each_company_keeps_its_own_subscriptions_and_leaves_the_others() -> None:
    """R-052: they stand in one environment; renewing again ends nothing."""
    async with TwoCompanies() as world:
        before = sorted(map(str, world.erp.subscriptions()))
        report = await world.renew_subscriptions()
        assert report.is_good
        kept = [(one.system, one.table) for one in report.items if one.did == "kept"]
        assert sorted(kept) == [(DE, "customers"), (IT, "customers")]
        assert len(before) == 2
        assert sorted(map(str, world.erp.subscriptions())) == before
        assert world.erp.requests.count("DELETE", "/subscriptions") == 0


@virtually
async def test_the_same_company_entered_in_both_companies_at_once_becomes_one_account() -> None:
    """R-041, R-052: match keys count in the CRM's table, whatever company the customer is in. The CRM takes seconds to
    answer, so that both would search before either has created."""
    slow = DataverseOptions(application_users=(CRM_CLIENT,), latency_seconds=2.0)
    setup = Setup(index=two_companies(), companies=COMPANIES, environment=SETTINGS, crm=slow)
    async with TwoCompanies(setup) as world:
        for number in (6, 7):  # with the first one, all processes learn the tables
            values = {"displayName": f"Company {number}", "taxRegistrationNumber": vat_number(number)}
            made = {
                system: await world.erp.create(company, "customers", values) for system, company in OF_COMPANY.items()
            }
            await world.settle()
        (account,) = [key for key, row in world.accounts.items() if row["name"] == "Company 7"]
        for system, customer in made.items():
            linked = await world.customer_in(system, account)
            assert linked is not None
            assert linked["id"] == customer["id"]
        assert len(world.customers_of(IT)) == len(world.customers_of(DE)) == len(world.accounts) == 2


@virtually
async def test_first_loads_of_each_company_link_what_is_there_and_create_the_rest() -> None:
    """R-041, R-050: one company after the other; an account is made once, and linked in both."""
    async with TwoCompanies(
        Setup(index=two_companies(), companies=COMPANIES, environment=SETTINGS, hooks=False)
    ) as world:
        for name in world.queues:
            await world.switch(name, Switch.OFF)
        for number in range(1, 7):
            values = {"displayName": f"Company {number}", "taxRegistrationNumber": vat_number(number)}
            if number <= 4:
                await world.erp.create(COMPANY, "customers", values)
            if number >= 3:
                await world.erp.create(SECOND, "customers", values)
        await world.pass_time(minutes=1)
        for transfer in ("customer_to_dataverse", FROM_DE):
            said = await typed(world, "load", transfer, "--apply", "--yes", "--json", **SETTINGS)
            assert said.code == 0, said.err
        assert len(world.accounts) == 6
        counts = [sum([bool(await world.customer_in(system, key)) for key in world.accounts]) for system in (IT, DE)]
        assert counts == [4, 4]
        both = [key for key in world.accounts if await world.customer_in(IT, key) and await world.customer_in(DE, key)]
        assert len(both) == 2
        said = await typed(world, "load", TO_DE, "--apply", "--yes", "--json", **SETTINGS)
        assert said.code == 0, said.err
        assert (len(world.customers_of(IT)), len(world.customers_of(DE))) == (4, 4)


@virtually
async def test_at_the_command_line_both_companies_are_checked_explained_and_shown_by_their_names() -> None:
    """R-055: every definition is held against its own company; a record of a company is asked for by the company's
    name."""
    async with TwoCompanies() as world:
        account = await world.account_for(1, IT, DE)
        await world.settle()
        with TemporaryDirectory() as folder:
            names = [transfer.name for _, transfer in two_companies_in(Path(folder)).transfers()]
            said = await typed(world, "check", "--transfers", f"{folder}/transfers", "--json", **SETTINGS)
        assert said.code in (0, 1), said.err
        assert said.json["transfers"] == names
        assert [one for one in said.json["findings"] if one["severity"] == "error"] == []
        customer = await world.customer_in(DE, account)
        assert customer is not None
        shown = await typed(world, "links", DE, "customers", str(customer["id"]), "--json", **SETTINGS)
        assert (shown.code, len(shown.json["items"])) == (0, 1)
        asked = await typed(world, "links", "dataverse", "account", account, "--json", **SETTINGS)
        assert len(asked.json["items"]) == 2
        environments = await typed(world, "environment", "--json", **SETTINGS)
        told = {one["system"]: one["links_made_for"] for one in environments.json["items"]}
        assert told[IT].endswith(COMPANY)
        assert told[DE].endswith(SECOND)


@virtually
async def test_another_company_behind_a_name_is_refused_while_the_first_company_goes_on() -> None:
    """R-041: the links of the second company were made for another one; nothing is read or written in it (CD-3002)."""
    third = "77777777-44e3-ea11-bb43-000d3a2feca1"
    companies = (*COMPANIES, Company(third, "ALPENHOLZ ALT"))
    setup = Setup(index=two_companies(), companies=companies, environment=SETTINGS)
    async with TwoCompanies(setup) as world:
        account = await world.account_for(1, IT, DE)
        await world.settle()
        await world.restart(CROSSDOCK_BC_DE_COMPANY_ID=third)
        world.forget_requests()
        await world.edit_account(account, telephone1="+390471000005")
        await world.pass_time(minutes=2)
        here = await world.customer_in(IT, account)
        assert here is not None
        assert here["phoneNumber"] == "+390471000005"
        assert world.erp.requests.count(None, rf"{third}\)/") == 0
        assert world.erp.rows(third, "customers") == {}
        standing = {one["system"]: one["wrong"] for one in (await health(world.apps[0]))["environments"]}
        assert standing[IT] == ""
        assert SECOND in standing[DE]
        assert third in standing[DE]
        assert "CROSSDOCK_BC_DE_*" in standing[DE]


@virtually
async def test_a_wrong_company_id_stops_that_company_before_the_first_write_and_the_other_goes_on() -> None:
    """R-041: no such company; its changes wait, and health names the system."""
    wrong = {**SETTINGS, "CROSSDOCK_BC_DE_COMPANY_ID": "99999999-44e3-ea11-bb43-000d3a2feca1"}
    setup = Setup(index=two_companies(), companies=COMPANIES, environment=wrong, hooks=False)
    async with TwoCompanies(setup) as world:
        account = await world.account_for(1, IT, DE)
        await world.pass_time(minutes=10)
        assert await world.customer_in(IT, account) is not None
        assert len(world.customers_of(DE)) == 0
        stood = {one["system"]: one["wrong"] for one in (await health(world.apps[0]))["environments"]}
        assert (stood[IT], bool(stood[DE])) == ("", True)


@virtually
async def test_a_company_whose_settings_are_incomplete_stops_its_own_definitions_only() -> None:
    """R-055: the problem names the setting by the company's own name."""
    setup = Setup(
        index=two_companies(),
        companies=COMPANIES,
        environment={**SETTINGS, "CROSSDOCK_BC_DE_COMPANY_ID": ""},
        hooks=False,
    )
    async with TwoCompanies(setup) as world:
        account = await world.account_for(1, IT, DE)
        await world.pass_time(minutes=10)
        assert await world.customer_in(IT, account) is not None
        engine = await world.apps[0].engine()
        assert {problem.transfers[0] for problem in engine.index.problems} == {TO_DE, "contact_to_bc_de"}
        assert all("CROSSDOCK_BC_DE_COMPANY_ID: is missing" in problem.text for problem in engine.index.problems)
        assert any("CROSSDOCK_BC_DE_COMPANY_ID" in one["sentence"] for one in (await health(world.apps[0]))["errors"])


@virtually
async def test_two_names_for_one_company_are_refused() -> None:
    """R-041: an account would be two customers of it."""
    setup = Setup(
        index=two_companies(), companies=COMPANIES, environment={**SETTINGS, "CROSSDOCK_BC_DE_COMPANY_ID": COMPANY}
    )
    with pytest.raises(SettingsError, match="lead to the same place"):
        async with TwoCompanies(setup):
            pass


@virtually
async def test_the_switch_and_the_brakes_of_one_company_are_its_own() -> None:
    """R-054: one company goes live, the other is still off."""
    async with TwoCompanies() as world:
        await world.switch(TO_DE, Switch.OFF)
        account = await world.account_for(1, IT, DE)
        await world.settle()
        assert await world.customer_in(IT, account) is not None
        assert len(world.customers_of(DE)) == 0
        await world.switch(TO_DE, Switch.ON)
        await world.edit_account(account, telephone1="+390471000004")
        await world.settle()
        assert await world.customer_in(DE, account) is not None
        assert [*await world.parked(TO_ERP), *await world.parked(TO_DE)] == []
