"""Surveys: all that a system tells of a table, read anew each time."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from sandbox.dataverse import DataverseOptions
from shared.errors import UnknownColumn
from shared.sync.ports import Browsable, ColumnType, KeyMetadata, Reach, Right
from tests.contract.connectors.rigs import APPLICATION, ORGANIZATION, BusinessCentralRig, DataverseRig, Rig


async def test_a_survey_says_what_metadata_says_and_more(rig: Rig) -> None:
    """Types, lengths, what can be written, references with their tables, and whether changes are announced."""
    known, told = await rig.connector.metadata(rig.table), await rig.connector.survey(rig.table)
    assert set(told.columns) == set(known.columns)
    for name, column in known.columns.items():
        surveyed = replace(told.columns[name], required=False, denied=frozenset(), label="")
        assert surveyed == replace(column, required=False)
    near = told.columns[rig.columns.behind.partition(".")[0]]
    assert near.type is ColumnType.REFERENCE
    behind = await rig.connector.survey(near.target)
    assert rig.columns.behind.partition(".")[2] in behind.columns
    assert told.key
    assert told.columns.keys() >= set(told.key)
    assert told.announced is rig.announced
    assert told.rights is not None
    assert told.rights[Right.READ] is Reach.ALL


async def test_an_unknown_table_is_unknown(rig: Rig) -> None:
    """Whatever the name looks like."""
    for name in ("nothing", "a'b", ""):
        with pytest.raises(UnknownColumn):
            await rig.connector.survey(name)


async def test_a_survey_is_read_anew(rig: Rig) -> None:
    """However short ago the metadata was asked for."""
    await rig.connector.survey(rig.table)
    before = len(rig.requests.entries())
    await rig.connector.survey(rig.table)
    assert len(rig.requests.entries()) > before + 1


@pytest.fixture
async def crm() -> DataverseRig:
    made = DataverseRig(DataverseOptions(application_users=(APPLICATION,), key_index_seconds=60))
    await made.start()
    return made


async def test_dataverse_tells_rights_keys_tracking_and_denied_columns(crm: DataverseRig) -> None:
    """Each right by the privilege it needs."""
    crm.sandbox.limit_privilege(APPLICATION, "account", "Write", "Deep")
    crm.sandbox.limit_privilege(APPLICATION, "account", "Append")
    crm.sandbox.secure_column(APPLICATION, "account", "creditlimit", ["read", "create"])
    crm.sandbox.add_alternate_key("account", "cdock_Number", ["accountnumber"])
    told = await crm.connector.survey("account")
    assert told.rights == {
        Right.READ: Reach.ALL,
        Right.CREATE: Reach.ALL,
        Right.UPDATE: Reach.SOME,
        Right.REFER: Reach.NONE,
        Right.BE_REFERRED: Reach.ALL,
    }
    assert told.columns["creditlimit"].denied == {Right.UPDATE}
    assert told.tracked is True
    assert told.keys == [KeyMetadata("cdock_number", ("accountnumber",), True)]
    await crm.aclose()


async def test_a_reference_to_several_tables_has_a_name_for_each(crm: DataverseRig) -> None:
    """As definitions name it, for the transfer path too; the bare column points to no single table."""
    columns = (await crm.connector.metadata("contact")).columns
    assert columns["parentcustomerid_account"].target == "account"
    assert columns["parentcustomerid_contact"].target == "contact"
    assert columns["parentcustomerid"].target == ""
    await crm.aclose()


async def test_rights_that_may_not_be_looked_at_are_not_told(crm: DataverseRig) -> None:
    """Nothing is invented: neither that all is well nor that all is forbidden."""
    crm.sandbox.limit_privilege(APPLICATION, "sdkmessagefilter", "Read")
    told = await crm.connector.survey("account")
    assert told.announced is None
    await crm.aclose()


async def test_business_central_tells_what_a_create_requires_and_what_is_given_once() -> None:
    """Of our rights the API tells nothing but whether reading is allowed."""
    erp = BusinessCentralRig()
    await erp.start()
    told = await erp.connector.survey("customers")
    assert [name for name, column in told.columns.items() if column.required] == ["displayName"]
    number = told.columns["number"]
    assert (number.writable, number.updatable) == (True, False)
    assert told.rights == {Right.READ: Reach.ALL}
    assert (await erp.connector.survey("contacts")).announced is False
    await erp.aclose()


async def test_of_several_application_users_the_least_allowed_one_counts(crm: DataverseRig) -> None:
    """Each does a part of the work, so what one of them may not do fails now and then."""
    second = "33333333-3333-4333-8333-333333333333"
    crm.issuer.register(second, "made-up")
    crm.sandbox.add_application_user(second)
    crm.sandbox.limit_privilege(APPLICATION, "account", "Write", "Deep")
    crm.sandbox.limit_privilege(second, "account", "Create")
    crm.sandbox.secure_column(APPLICATION, "account", "creditlimit", ["read", "create"])
    crm.sandbox.secure_column(second, "account", "creditlimit", ["read", "update"])
    both = crm.connect(ORGANIZATION, APPLICATION, second)
    told = await both.survey("account")
    assert told.rights is not None
    assert (told.rights[Right.READ], told.rights[Right.UPDATE], told.rights[Right.CREATE]) == (
        Reach.ALL,
        Reach.SOME,
        Reach.NONE,
    )
    assert told.columns["creditlimit"].denied == {Right.CREATE, Right.UPDATE}
    await both.aclose()
    await crm.aclose()


async def test_dataverse_tells_what_numbers_may_be_where_that_is_asked_for(crm: DataverseRig) -> None:
    """Limits and decimal places; an amount's places depend on its currency, and transfers do without all of it."""
    told = (await crm.connector.measured("opportunity")).columns
    assert (told["closeprobability"].least, told["closeprobability"].most) == (Decimal(0), Decimal(100))
    assert told["closeprobability"].decimals is None
    assert (told["budgetamount"].most, told["budgetamount"].decimals) == (Decimal(100_000_000_000), None)
    assert (await crm.connector.measured("account")).columns["cdock_discountpercent"].decimals == 2
    assert told["opportunityratingcode"].choices == {"1": "Hot", "2": "Warm", "3": "Cold"}
    assert told["name"].most is None
    before = len(crm.requests.entries())
    await crm.connector.measured("opportunity")
    assert len(crm.requests.entries()) == before
    await crm.aclose()


async def test_the_tables_that_there_are_can_be_listed(rig: Rig) -> None:
    """For who writes a definition: by name, those that begin with some letters only, and every one can be surveyed."""
    assert isinstance(rig.connector, Browsable)
    every = [one.name for one in await rig.connector.browse()]
    assert every == sorted(every)
    within = rig.table.partition(".")[0] if rig.groups else rig.table[:4]
    assert within in every if rig.groups else rig.table in every
    some = [one.name for one in await rig.connector.browse(within)]
    assert rig.table in some
    assert rig.groups or some == [name for name in every if name.startswith(within)]
    assert (await rig.connector.survey(some[0])).columns


async def test_dataverse_lists_its_tables_with_labels() -> None:
    """As people know them."""
    crm = DataverseRig()
    labels = {one.name: one.label for one in await crm.connector.browse("acc")}
    assert labels["account"] == "Account"
    await crm.aclose()
