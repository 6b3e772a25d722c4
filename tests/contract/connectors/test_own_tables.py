"""Declared tables in an organisation: made in order and once, whatever is lost on the way; what differs is told."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import timedelta

import httpx
import pytest

from local.definition_document import read_document
from local.definitions import compile_folder
from local.own_tables import read_tables
from sandbox.dataverse import DataverseOptions
from sandbox.faults import FaultKind, FaultRule
from sandbox.transport import SandboxTransport
from shared.errors import ConnectorError
from shared.sync.checking_own import own_findings
from shared.sync.definition import Index
from shared.sync.own_tables import MADE_IN, OwnTable
from shared.sync.ports import TableMetadata, Value
from shared.sync.registering import Part, Standing
from shared.sync.surveying import survey
from tests.contract.connectors.rigs import APPLICATION, ORGANIZATION, DataverseRig
from tests.own_tables import make_own_tables, own_parts, registering
from tests.unit.definitions.test_definitions import TRANSFERS
from tests.unit.definitions.test_own_tables import JOBS

SHIPPED = compile_folder(TRANSFERS).tables
KINDS = {"table": "EntityDefinitions$", "column": "Attributes$", "reference": "RelationshipDefinitions$"}


@pytest.fixture
async def crm() -> AsyncIterator[DataverseRig]:
    made = DataverseRig(DataverseOptions(application_users=(APPLICATION,), key_index_seconds=60))
    await made.start()
    yield made
    await made.aclose()


def _jobs() -> Sequence[OwnTable]:
    return read_tables(read_document(JOBS), "transfers/jobs.yaml")


async def _told(crm: DataverseRig, tables: Sequence[OwnTable]) -> dict[str, TableMetadata | None]:
    """What the organisation tells of the tables."""
    found = await survey({MADE_IN: crm.connect(ORGANIZATION)}, Index(tables=tuple(tables)))
    return {name: table for (_, name), table in found.tables.items()}


def _missing(parts: Sequence[Part]) -> list[str]:
    return [f"{part.kind} {part.name}" for part in parts if part.standing is Standing.MISSING]


async def test_an_empty_organisation_gets_everything_that_is_shipped_and_nothing_a_second_time(
    crm: DataverseRig,
) -> None:
    """Tables before columns, columns before references, these before keys; then everything is as it is declared, and a
    record can refer to another one."""
    connectors = {MADE_IN: crm.connector}
    wanted = _missing(await own_parts(connectors, SHIPPED))
    kinds = [one.partition(" ")[0] for one in wanted]
    assert kinds == sorted(kinds, key=["table", "column", "alternate", "view"].index)
    first_reference = wanted.index("column cdock_customerproduct.cdock_accountid")
    assert "column cdock_servicestock.cdock_unit" in wanted[:first_reference]
    await make_own_tables(connectors, SHIPPED)
    crm.clock.elapsed += 120
    again = await own_parts(connectors, SHIPPED)
    assert {part.standing for part in again} == {Standing.FITS}
    assert list(own_findings(SHIPPED, await survey(connectors, Index(tables=SHIPPED)))) == []
    account = await crm.person_creates("Aurora Milling")
    product = await crm.sandbox.create("cdock_customerproduct", {"cdock_name": "Roller", "cdock_accountid": account})
    job: dict[str, Value] = {
        "cdock_name": "Repair",
        "cdock_customerproductid": product,
        "cdock_state": 100000002,
        "cdock_rating": 5,
    }
    made = await crm.connector.create("cdock_servicejob", job, list(job), key=None, within_seconds=60)
    (told,) = (await crm.connector.read("cdock_servicejob", [made.key], list(job))).values()
    assert told.values == job


async def test_a_run_that_is_killed_again_and_again_goes_on_where_it_was(crm: DataverseRig) -> None:
    """Each process makes a few parts; in the end everything is as after one run, and nothing was made twice."""
    killed = 0
    while due := [
        part for part in await own_parts({MADE_IN: crm.connect(ORGANIZATION)}, SHIPPED) if part.standing.can_be_settled
    ]:
        killed += 1
        for part in due[:25]:
            await crm.connector.settle(part)
    assert killed > 3
    whole = DataverseRig(DataverseOptions(application_users=(APPLICATION,), key_index_seconds=60))
    await make_own_tables({MADE_IN: whole.connector}, SHIPPED)
    assert await _told(crm, SHIPPED) == await _told(whole, SHIPPED)
    await whole.aclose()


@pytest.mark.parametrize("kind", KINDS)
async def test_an_answer_that_was_lost_makes_nothing_twice(crm: DataverseRig, kind: str) -> None:
    """The next look finds what was made."""
    crm.faults.add(FaultRule(FaultKind.LOST_ANSWER, "POST", KINDS[kind], times=1))
    connectors = {MADE_IN: crm.connector}
    with pytest.raises(ConnectorError):
        await make_own_tables(connectors, _jobs())
    await make_own_tables(connectors, _jobs())
    assert _missing(await own_parts(connectors, _jobs())) == []


async def _shown(crm: DataverseRig, rows: str, name: str, column: str) -> list[object]:
    """A column of what a view shows, as Dataverse itself selects and sorts it."""
    (view,) = [key for key, row in crm.sandbox.rows("savedquery").items() if row["name"] == name]
    token = await crm.tokens().token("https://crm.example/.default")
    address = f"https://crm.example/api/data/v9.2/{rows}?savedQuery={view}"
    async with httpx.AsyncClient(transport=SandboxTransport(crm.sandbox.app)) as client:
        answer = await client.get(address, headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 200, answer.text
    return [row[column] for row in answer.json()["value"]]


async def test_a_view_shows_which_customers_can_be_offered_a_longer_warranty(crm: DataverseRig) -> None:
    """R-217: warranties that end within 90 days, the first one first, unless an extension was offered or is there."""
    await make_own_tables({MADE_IN: crm.connector}, SHIPPED)
    today = crm.clock.now().date()
    account = await crm.person_creates("Aurora Milling")

    async def warranty(number: str, days: int, **more: object) -> None:
        ends = (today + timedelta(days=days)).isoformat()
        row = {"cdock_fsmid": number, "cdock_endson": ends, "cdock_accountid": account, **more}
        await crm.sandbox.create("cdock_warranty", row)

    await warranty("later", 80)
    await warranty("soon", 5)
    await warranty("over", -5)
    await warranty("in a year", 365)
    await warranty("offered", 30, cdock_extensionoffered=True)
    await warranty("extended", 30, cdock_extendeduntil=(today + timedelta(days=395)).isoformat())
    await warranty("inactive", 30, statecode=1, statuscode=2)
    shown = await _shown(crm, "cdock_warranties", "Warranties that can be extended", "cdock_fsmid")
    assert shown == ["soon", "later"]


async def test_views_show_how_far_each_customers_contract_was_kept(crm: DataverseRig) -> None:
    """R-218: the results of a year, for each customer the newest first; and those alone that were not met in time."""
    await make_own_tables({MADE_IN: crm.connector}, SHIPPED)
    first, second = sorted([await crm.person_creates(name) for name in ("Aurora", "Borealis")])

    async def result(name: str, account: str, days: int, met: int | None) -> None:
        due = (crm.clock.now() - timedelta(days=days)).isoformat()
        row = {"cdock_name": name, "cdock_accountid": account, "cdock_dueat": due, "cdock_met": met}
        await crm.sandbox.create("cdock_slaresult", row)

    kept, missed = 100000000, 100000001
    await result("old", first, 400, missed)
    await result("first kept", first, 30, kept)
    await result("second missed", second, 20, missed)
    await result("first missed", first, 10, missed)
    await result("second open", second, 1, None)
    year = await _shown(crm, "cdock_slaresults", "SLA results of the last 12 months", "cdock_name")
    assert year == ["first missed", "first kept", "second open", "second missed"]
    late = await _shown(crm, "cdock_slaresults", "SLA results that were not met", "cdock_name")
    assert late == ["first missed", "second missed"]


async def test_a_view_that_people_have_changed_or_made_themselves_is_left_as_it_is(crm: DataverseRig) -> None:
    """One of the same name counts as the declared one."""
    connectors = {MADE_IN: crm.connector}
    await make_own_tables(connectors, _jobs())
    (view,) = crm.sandbox.rows("savedquery")
    own = crm.sandbox.rows("savedquery")[view]
    await crm.sandbox.delete("savedquery", view)
    assert _missing(await own_parts(connectors, _jobs())) == ["view cdock_job: Jobs soon"]
    theirs = {name: own[name] for name in ("name", "returnedtypecode", "querytype", "fetchxml", "layoutxml")}
    await crm.sandbox.create("savedquery", theirs)
    assert _missing(await own_parts(connectors, _jobs())) == []


async def test_what_is_there_and_differs_is_told_and_left_as_it_is(crm: DataverseRig) -> None:
    """A text that is too short, another type, a choice that lacks, a reference elsewhere: each with its line. Longer
    texts and more choices are fine."""
    connectors = {MADE_IN: crm.connector}
    other = JOBS
    for right, wrong in (
        ("label: Number, length: 20", "label: Number, length: 10"),
        ("type: datetime", "type: date"),
        (", 100000001: On site", ""),
        ("refers_to: account", "refers_to: contact"),
        ("length: 200", "length: 300"),
        ("type: decimal, decimals: 2", "type: integer"),
    ):
        other = other.replace(right, wrong)
    await make_own_tables(connectors, read_tables(read_document(other), "other.yaml"))
    assert _missing(await own_parts(connectors, _jobs())) == []
    found = own_findings(_jobs(), await survey(connectors, Index(tables=tuple(_jobs()))))
    told = [(one.line, one.code, one.severity.value, one.sentence.partition("cdock_job.")[2]) for one in found]
    assert told == [
        (10, "CD-4621", "warning", "cdock_number holds 10 characters, not 20."),
        (11, "CD-4621", "wrong", "cdock_accountid refers to contact, not to account."),
        (12, "CD-4621", "warning", "cdock_state has no choice '100000001' (On site)."),
        (13, "CD-4621", "wrong", "cdock_start is of the type date, not datetime."),
        (14, "CD-4621", "wrong", "cdock_amount is of the type integer, not decimal."),
    ]


async def test_a_table_that_is_not_there_and_not_ours_is_unknown(crm: DataverseRig) -> None:
    """Neither one that gets columns nor one that is referred to."""
    text = JOBS.replace("    account:\n", "    acount:\n").replace("refers_to: account", "refers_to: acount")
    tables = read_tables(read_document(text), "transfers/jobs.yaml")
    found = list(own_findings(tables, await survey({MADE_IN: crm.connector}, Index(tables=tuple(tables)))))
    assert [(one.code, one.line) for one in found] == [("CD-4620", 5), ("CD-4601", 11), ("CD-4601", 22)]
    parts = await own_parts({MADE_IN: crm.connector}, tables)
    assert not any("acount." in part.name for part in parts)


async def test_a_merged_customers_records_go_with_it_and_a_deleted_ones_stay(crm: DataverseRig) -> None:
    """Nothing of ours is lost with the record that it refers to."""
    connectors = {MADE_IN: crm.connector}
    await make_own_tables(connectors, _jobs())
    first, second = [await crm.person_creates(name) for name in ("Aurora", "Aurora Milling")]
    job = await crm.sandbox.create("cdock_job", {"cdock_name": "Repair", "cdock_accountid": first})
    await crm.sandbox.merge("account", first, second, {})
    assert crm.sandbox.rows("cdock_job")[job]["cdock_accountid"] == second
    await crm.person_deletes(second)
    assert crm.sandbox.rows("cdock_job")[job]["cdock_accountid"] is None


def test_the_connector_is_one_that_is_registered_with() -> None:
    """The stories above ask it through the engine's own port."""
    rig = DataverseRig()
    assert registering({MADE_IN: rig.connector}) is rig.connector
