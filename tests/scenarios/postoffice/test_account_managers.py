"""The account manager in PostOffice: the last person who changed the customer in the CRM, whoever wrote after that."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from sandbox.dataverse import DataverseOptions
from sandbox.faults import FaultKind, FaultRule
from shared.sync.ports import ParkedItem, Side
from tests.scenarios.account_customer.world import CRM_CLIENT, virtually
from tests.scenarios.postoffice.world import FILES, PARTIES, POOR, WHOLE, PostWorld, Sites, shipped

every = pytest.mark.parametrize("site", [WHOLE, POOR, FILES], ids=["whole", "poor", "files"])
both = pytest.mark.parametrize("site", [WHOLE, POOR], ids=["whole", "poor"])
SITE = "CROSSDOCK_POSTOFFICE_SITE"
OUT, USERS = "account_to_postoffice", "system_user_to_postoffice"
TYPE = "10001"
"""The id of the first record that a site makes."""
SECOND_CLIENT = "33333333-3333-4333-8333-333333333333"
Person = Mapping[str, str]
BERGER: Person = {"firstname": "Anna", "lastname": "Berger", "employeeid": "E-1"}
COSTA: Person = {"firstname": "Luca", "lastname": "Costa", "employeeid": "E-2"}


class ManagedWorld(PostWorld):
    """A site whose account managers follow the CRM; the CRM tells of its changes."""

    def __init__(
        self,
        site: Sites,
        account_manager_type: str = TYPE,
        environment: Mapping[str, str] | None = None,
        **setup: Any,
    ) -> None:
        bound = {**json.loads(site[1].get(SITE, "{}")), "account_manager_type": account_manager_type}
        more = {SITE: json.dumps(bound), **(environment or {})}
        super().__init__(site, shipped(*PARTIES, "employee", account_managers=True), more, **setup)
        assert self.site.create("account-manager-types", {"number": "1", "name": "Sales"})["id"] == TYPE

    async def person(self, about: Person, **employee: str) -> str:
        """A user of the CRM, and an employee where values are given."""
        if employee:
            self.employee(**employee)
        key = str(uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(dict(about))))
        await self.crm.create("systemuser", {"systemuserid": key, **about})
        await self.next_walk()
        return key

    def employee(self, number: str, last: str, first: str, external: str = "") -> str:
        """An employee of PostOffice."""
        told = {"number": number, "name": f"{first} {last}", "lastName": last, "firstName": first}
        return str(self.site.create("employees", {**told, "externalNumber": external or None})["id"])

    def managers(self, table: str = "customers") -> list[str | None]:
        """The number of each record's account manager of our type."""
        numbers = {key: str(row["number"]) for key, row in self.site.rows("employees").items()}
        parts = [
            {one["key"]: one["employeeId"] for one in row["accountManagers"]} for row in self.site.rows(table).values()
        ]
        return [numbers[one[TYPE]] if TYPE in one else None for one in parts]

    def puts(self) -> int:
        """How often an account manager was put."""
        return self.site.requests.count("PUT", r"/account-managers/")

    async def ours(self) -> str:
        """The user as whom we write."""
        return self.crm.add_application_user(CRM_CLIENT)


async def both_known(world: ManagedWorld) -> tuple[str, str]:
    """Anna Berger and Luca Costa, users and employees."""
    anna = await world.person(BERGER, number="E-1", last="Berger", first="Anna")
    luca = await world.person(COSTA, number="E-2", last="Costa", first="Luca")
    return anna, luca


@every
@virtually
async def test_who_changed_the_customer_last_is_its_account_manager(site: Sites) -> None:
    """R-114, R-118: of a customer that the CRM has just given to PostOffice, and again when somebody else changes it;
    put only when it is another one."""
    async with ManagedWorld(site) as world:
        anna, luca = await both_known(world)
        await world.listen("account")
        account = await world.crm.create("account", {"name": "Aurora Milling"}, user=anna)
        await world.next_walk()
        assert world.managers() == ["E-1"]
        await world.crm.edit("account", account, {"telephone1": "1"}, user=anna)
        await world.next_walk()
        assert (world.managers(), world.puts()) == (["E-1"], 1)
        await world.crm.edit("account", account, {"telephone1": "2"}, user=luca)
        await world.next_walk()
        assert (world.managers(), world.puts()) == (["E-2"], 2)
        assert await world.parked(OUT) == []


@both
@virtually
async def test_cost_centres_have_account_managers_too(site: Sites) -> None:
    """R-114, R-118: each by whoever changed it."""
    async with ManagedWorld(site) as world:
        anna, luca = await both_known(world)
        account = await world.crm.create("account", {"name": "Aurora Milling"}, user=anna)
        await world.next_walk()
        await world.crm.create("cdock_costcentre", {"cdock_name": "Mill 2", "cdock_accountid": account}, user=luca)
        await world.next_walk()
        assert (world.managers(), world.managers("cost-centres")) == (["E-1"], ["E-2"])


@both
@virtually
async def test_our_own_writes_make_nobody_an_account_manager(site: Sites) -> None:
    """R-118: also when we wrote last before the record is read, at the creation and later: a notice says who it was."""
    async with ManagedWorld(site) as world:
        anna, luca = await both_known(world)
        us = await world.ours()
        await world.listen("account")
        account = await world.crm.create("account", {"name": "Aurora Milling"}, user=anna)
        await world.crm.edit("account", account, {"cdock_blocked": 100000000}, user=us)
        await world.next_walk()
        assert world.managers() == ["E-1"]
        await world.crm.edit("account", account, {"telephone1": "1"}, user=luca)
        await world.crm.edit("account", account, {"cdock_blocked": None}, user=us)
        await world.next_walk()
        assert world.account(account)["modifiedby"] == us
        assert world.managers() == ["E-2"]
        await world.crm.edit("account", account, {"cdock_blocked": 100000001}, user=us)
        await world.next_walk()
        assert (world.managers(), world.puts()) == (["E-2"], 2)


@virtually
async def test_none_of_our_identities_counts() -> None:
    """R-118: whichever of them wrote; who they are is asked of the CRM."""
    more = {"CROSSDOCK_DATAVERSE_IDENTITIES": f"{CRM_CLIENT}:made-up {SECOND_CLIENT}:made-up"}
    crm = DataverseOptions(application_users=(CRM_CLIENT, SECOND_CLIENT))
    made = ManagedWorld(WHOLE, environment=more, crm=crm)
    made.issuer.register(SECOND_CLIENT, "made-up")
    async with made as world:
        anna, _ = await both_known(world)
        account = await world.crm.create("account", {"name": "Aurora Milling"}, user=anna)
        await world.next_walk()
        second = world.crm.add_application_user(SECOND_CLIENT)
        await world.crm.edit("account", account, {"telephone1": "1"}, user=second)
        await world.next_walk()
        (customer,) = world.customers_there.values()
        assert (customer["telephone"], world.managers(), world.puts()) == ("1", ["E-1"], 1)
        assert await world.parked(OUT) == []


@both
@virtually
async def test_the_last_person_survives_waiting(site: Sites) -> None:
    """R-118: while PostOffice is away the change waits as one, whoever made it, and our own write comes in between."""
    async with ManagedWorld(site) as world:
        anna, luca = await both_known(world)
        us = await world.ours()
        await world.listen("account")
        account = await world.crm.create("account", {"name": "Aurora Milling"}, user=anna)
        await world.next_walk()
        fault = world.site.faults.add(FaultRule(FaultKind.UNAVAILABLE))
        await world.crm.edit("account", account, {"telephone1": "1"}, user=anna)
        await world.crm.edit("account", account, {"telephone1": "2"}, user=luca)
        await world.crm.edit("account", account, {"cdock_blocked": 100000000}, user=us)
        await world.pass_time(minutes=30)
        (waiting,) = await world.stores.pending.page(OUT, None, 10)
        assert waiting.editor.endswith(luca)
        world.site.faults.remove(fault)
        await world.next_walk()
        assert world.managers() == ["E-2"]


@virtually
async def test_many_changes_at_once_keep_who_made_each() -> None:
    """R-118: notices that come together travel in one message, each record with its own editor."""
    async with ManagedWorld(WHOLE) as world:
        people = await both_known(world)
        us = await world.ours()
        accounts = [await world.crm.create("account", {"name": f"Mill {n}"}, user=people[n % 2]) for n in range(14)]
        await world.next_walk()
        await world.listen("account")
        for number, account in enumerate(accounts):
            await world.crm.edit("account", account, {"telephone1": "1"}, user=people[1 - number % 2])
            await world.crm.edit("account", account, {"cdock_blocked": 100000000}, user=us)
        await world.next_walk()
        assert world.managers() == ["E-2", "E-1"] * 7


def found_by_number(world: ManagedWorld) -> None:
    world.employee("E-1", "Somebody", "Else")
    world.employee("X-2", "Other", "Person", external="E-1")
    world.employee("X-3", "Berger", "Anna")


def found_by_external_number(world: ManagedWorld) -> None:
    world.employee("X-2", "Other", "Person", external="E-1")
    world.employee("X-3", "Berger", "Anna")


def found_by_name(world: ManagedWorld) -> None:
    world.employee("X-3", "Berger", "Anna")
    world.employee("X-4", "Berger", "Maria")
    world.employee("X-5", "Bergmann", "Anna")


CASES: list[tuple[Callable[[ManagedWorld], None], str]] = [
    (found_by_number, "E-1"),
    (found_by_external_number, "X-2"),
    (found_by_name, "X-3"),
]


@both
@pytest.mark.parametrize(("employees", "found"), CASES, ids=["number", "external number", "name"])
def test_an_employee_is_found_in_three_ways(site: Sites, employees: Callable[[ManagedWorld], None], found: str) -> None:
    """R-120: by the personnel number, then by the external one, then by last and first name; the first that finds one
    decides."""

    @virtually
    async def story() -> None:
        async with ManagedWorld(site) as world:
            employees(world)
            anna = await world.person(BERGER)
            await world.crm.create("account", {"name": "Aurora Milling"}, user=anna)
            await world.next_walk()
            assert world.managers() == [found]

    story()


async def reported(world: ManagedWorld, person: str) -> ParkedItem:
    """What stands on the work list after a person without a counterpart has changed an account; the rest went over."""
    account = await world.crm.create("account", {"name": "Aurora Milling"}, user=person)
    await world.next_walk()
    (customer,) = world.customers_there.values()
    assert (customer["name"], customer["crmId"], world.managers(), world.puts()) == (
        "Aurora Milling",
        account,
        [None],
        0,
    )
    (item,) = await world.parked(OUT)
    assert (item.code, item.side, item.key, item.field) == ("CD-4021", Side.LEFT, account, "modifiedby")
    assert list(item.others) == [person]
    return item


@every
@virtually
async def test_nobody_is_reported_and_arrives_when_he_is_known(site: Sites) -> None:
    """R-120: without an employee nothing is written, the other fields go over, and the field follows by itself."""
    async with ManagedWorld(site) as world:
        anna = await world.person(BERGER)
        await reported(world, anna)
        world.employee("E-1", "Berger", "Anna")
        await world.crm.edit("systemuser", anna, {"employeeid": "E-1"})
        await world.next_walk()
        assert world.managers() == ["E-1"]
        assert await world.parked(OUT) == []


@every
@virtually
async def test_several_are_put_before_a_person(site: Sites) -> None:
    """R-120: two employees of one name: both are named, neither is written."""
    async with ManagedWorld(site) as world:
        one, other = world.employee("X-1", "Berger", "Anna"), world.employee("X-2", "Berger", "Anna")
        anna = await world.person(BERGER)
        (item,) = await world.parked(USERS)
        assert (item.code, item.key, {*item.others}) == ("CD-4301", anna, {one, other})
        await reported(world, anna)


@both
@virtually
async def test_without_a_type_the_field_is_refused_and_the_setting_named(site: Sites) -> None:
    """R-119: the account manager waits for a person with a clear reason, the other fields go over; once the type is
    set, a retry brings it."""
    async with ManagedWorld(site, account_manager_type="") as world:
        anna, _ = await both_known(world)
        account = await world.crm.create("account", {"name": "Aurora Milling"}, user=anna)
        await world.next_walk()
        (customer,), (item,) = world.customers_there.values(), await world.parked(OUT)
        assert (customer["name"], world.managers(), world.puts()) == ("Aurora Milling", [None], 0)
        assert (item.code, item.field) == ("CD-4022", "modifiedby")
        assert f"account_manager_type in {SITE}" in item.remedy
        bound = {**json.loads(world.environment[SITE]), "account_manager_type": TYPE}
        await world.crm.edit("account", account, {"cdock_blocked": 100000000}, user=await world.ours())
        await world.restart(**{SITE: json.dumps(bound)})
        await (await world.apps[0].engine()).draining.retry(item, "an operator")
        await world.next_walk()
        assert (world.managers(), await world.parked(OUT)) == (["E-1"], [])


@both
@virtually
async def test_a_type_that_the_site_does_not_have_is_refused_likewise(site: Sites) -> None:
    """R-119: the site answers UnknownType."""
    async with ManagedWorld(site, account_manager_type="77") as world:
        anna, _ = await both_known(world)
        await world.crm.create("account", {"name": "Aurora Milling"}, user=anna)
        await world.next_walk()
        (item,) = await world.parked(OUT)
        assert (item.code, item.field, world.managers()) == ("CD-4022", "modifiedby", [None])
        assert "no account manager type 77" in item.remedy
        assert SITE in item.remedy


@virtually
async def test_what_somebody_does_past_the_lock_is_put_back() -> None:
    """R-114: where the site shows its account managers; the CRM decides who it is."""
    async with ManagedWorld(WHOLE) as world:
        anna, _ = await both_known(world)
        await world.crm.create("account", {"name": "Aurora Milling"}, user=anna)
        await world.next_walk()
        (customer,) = world.customers_there
        other = next(key for key, row in world.site.rows("employees").items() if row["number"] == "E-2")
        world.site.put_part("customers", customer, "account-managers", TYPE, {"employeeId": other}, past_the_lock=True)
        await world.next_walk()
        assert world.managers() == ["E-1"]
