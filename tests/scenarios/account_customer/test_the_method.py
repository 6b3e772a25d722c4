"""An integration's design as the product holds it: connections, data flow, structure, one master for each field."""

from __future__ import annotations

import pytest

from local.definition_document import Faulty
from local.definitions import read_definition
from shared.operations import Operations
from shared.sync.definition import Definition
from shared.sync.ports import Side
from tests.scenarios.account_customer.world import TO_CRM, TO_ERP, RealWorld, definition_text, virtually


async def transfers(world: RealWorld) -> list[dict[str, object]]:
    """What the operations API says of the transfers."""
    items: list[dict[str, object]] = (await Operations(world.apps[0], await world.apps[0].engine()).transfers())[
        "items"
    ]
    return items


def read(text: str) -> Definition:
    return read_definition(text, "transfers/business_central/account.yaml")


@virtually
async def test_the_connections_are_listed_with_their_products_and_tables() -> None:
    """R-044: who looks at the list sees which products exchange which tables."""
    async with RealWorld() as world:
        told = {(str(one["source"]), str(one["target"])) for one in await transfers(world)}
        account = "{'system': 'dataverse', 'table': 'account'}"
        customers = "{'system': 'business_central', 'table': 'customers'}"
        assert told == {(account, customers), (customers, account)}


@virtually
async def test_every_transfer_has_one_direction_one_trigger_and_one_switch() -> None:
    """R-045: the data flow can be drawn from the list: a queue of the transfer's name, a walk, a source, a target."""
    async with RealWorld() as world:
        listed = {str(one["transfer"]): one for one in await transfers(world)}
        assert set(listed) == {TO_ERP, TO_CRM} == set(world.queues)
        assert {name: one["side"] for name, one in listed.items()} == {TO_ERP: "left", TO_CRM: "right"}
        assert all(one["walk_seconds"] == 300 and one["switch"] == "on" for one in listed.values())


def test_the_structure_of_what_is_exchanged_is_fixed_column_by_column() -> None:
    """R-046, R-055: each line names a column of each product, how the value goes over, and what it must be; a line
    that cannot be understood is refused with its number."""
    definition = read(definition_text())
    assert all(rule.left and rule.right and rule.line for rule in definition.fields)
    with pytest.raises(Faulty, match="there is no converter 'guess'"):
        read(definition_text().replace("convert: country_code", "convert: guess"))


def test_every_field_has_exactly_one_master() -> None:
    """R-047, R-058: none, two, or an unknown one are refused."""
    line = "{dataverse: creditlimit,              business_central: creditLimit,           master: business_central}"
    for wrong, told in (
        (line.replace(",           master: business_central", ""), "has no master"),
        (line.replace("master: business_central", "master: [dataverse, business_central]"), "two masters"),
        (line.replace("master: business_central", "master: somebody"), "no master of this pair"),
    ):
        with pytest.raises(Faulty, match=told):
            read(definition_text().replace(line, wrong))


@virtually
async def test_the_status_decides_which_way_a_company_goes() -> None:
    """R-050, R-051, R-052, R-053: a won customer lives in the ERP and shows in the CRM; a prospect stays in the CRM."""
    async with RealWorld() as world:
        prospect = await world.new_account(name="Only a prospect", cdock_stage="prospect")
        won = await world.new_customer(displayName="Won long ago")
        await world.settle()
        assert await world.link(Side.LEFT, prospect) is None
        row = await world.link(Side.RIGHT, won)
        assert row is not None
        assert world.account(row.other)["name"] == "Won long ago"
        assert len(world.customers) == 1
