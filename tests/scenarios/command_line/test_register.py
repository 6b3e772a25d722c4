"""`manage.py register` on the sandboxes: an empty installation is set up, one that fits is left alone."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from local.definition_document import read_document
from local.definitions import read_definition
from local.own_tables import read_tables
from sandbox.dataverse import DataverseOptions
from sandbox.faults import FaultKind, FaultRule
from shared.sync.definition import Index
from tests.scenarios.account_customer.world import (
    APP_URL,
    CLIENT_STATE,
    CRM_CLIENT,
    HOOK_SECRET,
    PATH_SECRET,
    RealWorld,
    Setup,
    definition_text,
    virtually,
)
from tests.scenarios.command_line.terminal import Said, typed
from tests.unit.definitions.test_own_tables import JOBS

HOOK = f"{APP_URL}/api/webhooks/dataverse"
STEPS = [
    f"Crossdock: {message} of {table}"
    for table in ("account", "opportunity")
    for message in ("Create", "Update", "Delete")
]
"""One for each table that a transfer hears of, and message."""


ALL = ("fits", "missing", "differs", "building", "failed", "surplus")
SUBSCRIBED = "subscription customers"


def bare(text: str | None = None) -> Setup:
    """An installation that nobody has set up yet."""
    crm = DataverseOptions(application_users=(CRM_CLIENT,), untracked=("account",))
    return Setup(hooks=False, crm=crm, text=text or definition_text())


def standing(said: Said, *wanted: str) -> list[str]:
    """What of an answer to --json stands so."""
    return [f"{one['what']} {one['name']}" for one in said.json["items"] if one["standing"] in wanted]


def written(world: RealWorld) -> list[str]:
    """The requests by which something was changed."""
    entries = [*world.crm.requests.entries(), *world.erp.requests.entries()]
    return [f"{one.method} {one.path}" for one in entries if one.method != "GET"]


def steps(world: RealWorld) -> dict[str, dict[str, Any]]:
    """The steps in Dataverse by name."""
    return {str(row["name"]): row for row in world.crm.rows("sdkmessageprocessingstep").values()}


def columns(row: dict[str, Any]) -> set[str]:
    """What a step is filtered by."""
    return set(filter(None, (row.get("filteringattributes") or "").split(",")))


async def set_up(world: RealWorld, *more: str) -> Said:
    """Set a world up."""
    return await typed(world, "register", "--apply", "--json", *more)


@virtually
async def test_an_empty_installation_is_told_what_it_lacks_and_nothing_is_changed() -> None:
    """Without --apply both systems are only read; exit code 1. No secret is shown."""
    async with RealWorld(bare()) as world:
        said = await typed(world, "register", "--json")
        assert said.code == 1
        assert standing(said, "missing") == [
            "change tracking account",
            "alternate key account.accountnumber",
            "webhook app.example",
            *(f"step {name.removeprefix('Crossdock: ')}" for name in STEPS),
            "subscription customers",
        ]
        assert written(world) == []
        shown = await typed(world, "register")
        assert (shown.code, "CD-4703" in shown.out) == (1, True)
        for secret in (HOOK_SECRET, PATH_SECRET, CLIENT_STATE):
            assert secret not in said.out + said.err + shown.out + shown.err


@virtually
async def test_an_installation_that_was_set_up_hears_of_changes_and_is_left_alone_afterwards() -> None:
    """The index of the key is waited for; a second run finds that everything fits and writes nothing."""
    async with RealWorld(bare()) as world:
        said = await set_up(world)
        assert (said.code, "Waiting for the index" in said.err) == (0, True)
        assert sorted(steps(world)) == sorted(STEPS)
        world.forget_requests()
        again = await set_up(world)
        assert (again.code, standing(again, "fits"), written(world)) == (0, standing(again, *ALL), [])
        account, customer = await world.pair_made()
        assert world.accounts[account]["accountnumber"] == world.customers[customer]["number"]


@virtually
async def test_steps_tell_of_the_columns_that_a_definition_names_and_of_no_others() -> None:
    """Joined columns by their parts, references by their column; a related table's whatever changes."""
    async with RealWorld(bare()) as world:
        await set_up(world)
        named = columns(steps(world)["Crossdock: Update of account"])
        assert named >= {"name", "telephone1", "cdock_stage", "transactioncurrencyid", "primarycontactid"}
        assert not named & {"fax", "revenue"}
        assert columns(steps(world)["Crossdock: Update of opportunity"]) == set()
        account = await world.crm.create("account", {"name": "Aurora", "cdock_stage": "new"})
        await world.settle()
        await world.crm.edit("account", account, {"fax": "1"})
        assert world.crm.waiting_notices() == 0
        await world.crm.edit("account", account, {"telephone1": "+390471000001"})
        assert world.crm.waiting_notices() == 1


@virtually
async def test_what_somebody_has_changed_is_put_right_and_nothing_else_is_touched() -> None:
    """A step switched off, one that tells of too little, and a secret that was changed in the settings."""
    async with RealWorld(bare()) as world:
        await set_up(world)
        off, narrow = (steps(world)[f"Crossdock: {name} of account"] for name in ("Delete", "Update"))
        at = "sdkmessageprocessingstepid"
        await world.crm.edit("sdkmessageprocessingstep", off[at], {"statecode": 1, "statuscode": 2})
        await world.crm.edit("sdkmessageprocessingstep", narrow[at], {"filteringattributes": "name"})
        told = {one["name"]: one["told"] for one in (await typed(world, "register", "--json")).json["items"]}
        assert told["Delete of account"] == "is disabled"
        assert told["Update of account"].startswith("lacks accountnumber,")
        world.forget_requests()
        assert (await set_up(world)).code == 0
        paths = {line.partition("sdkmessageprocessingsteps")[2] for line in written(world)}
        assert paths == {f"({off[at]})", f"({narrow[at]})"}
        assert steps(world)["Crossdock: Delete of account"]["statecode"] == 0
        new = "another-dataverse-webhook-secret-of-32-characters"
        changed = await typed(world, "register", "--json", CROSSDOCK_DATAVERSE_WEBHOOK_SECRET=new)
        assert standing(changed, "differs") == ["webhook app.example"]
        await typed(world, "register", "--apply", CROSSDOCK_DATAVERSE_WEBHOOK_SECRET=new)
        fits = await typed(world, "register", "--json", CROSSDOCK_DATAVERSE_WEBHOOK_SECRET=new)
        assert (fits.code, standing(fits, "differs")) == (0, [])


@virtually
async def test_what_is_no_longer_needed_is_shown_and_removed_only_when_asked() -> None:
    """Steps of a table that no definition names, a second webhook, one of an earlier address; others' never."""
    text = definition_text().replace("    also_on: {opportunity: parentaccountid}\n", "")
    async with RealWorld(bare(text)) as world:
        for url in (
            HOOK,
            "https://old.example/api/webhooks/dataverse",
            "https://theirs.example/api/webhooks/dataverse",
        ):
            await world.crm.register_webhook("opportunity", ["Create"], url, header=("x-crossdock-secret", HOOK_SECRET))
        rows = world.crm.rows("serviceendpoint")
        (old,) = [key for key, row in rows.items() if "old.example" in row["url"]]
        await world.crm.edit("serviceendpoint", old, {"name": "Crossdock old.example"})
        kept = await set_up(world)
        assert (kept.code, standing(kept, "surplus")[1:]) == (0, ["webhook old.example"])
        assert len(world.crm.rows("serviceendpoint")) == 3
        asked = await typed(world, "register", "--apply", "--remove", "--json")
        assert (asked.code, "CD-6002" in asked.out) == (5, True)
        assert (await set_up(world, "--remove", "--yes")).code == 0
        addresses = {row["url"] for row in world.crm.rows("serviceendpoint").values()}
        assert addresses == {HOOK, "https://theirs.example/api/webhooks/dataverse"}
        ours = [name for name in steps(world) if "theirs.example" not in name]
        assert sorted(ours) == sorted(name for name in STEPS if "account" in name)


@virtually
async def test_a_key_whose_records_are_not_unique_is_named_and_tried_again_after_the_mend() -> None:
    """Failed is no end: the next run lets the index be built once more."""
    async with RealWorld(bare()) as world:
        first, _ = [await world.crm.create("account", {"name": name, "accountnumber": "C1"}) for name in "ab"]
        said = await set_up(world)
        assert (said.code, standing(said, "failed")) == (1, ["alternate key account.accountnumber"])
        assert "CD-4701" in said.out
        await world.crm.edit("account", first, {"accountnumber": None})
        assert (await set_up(world)).code == 0


@virtually
async def test_an_index_that_takes_longer_than_the_patience_is_not_called_ready() -> None:
    """It goes on without us; a later look finds it ready."""
    async with RealWorld(bare()) as world:
        said = await set_up(world, "--wait", "0")
        assert (said.code, standing(said, "building")) == (1, ["alternate key account.accountnumber"])
        await world.pass_time(minutes=2)
        assert (await typed(world, "register")).code == 0


@virtually
async def test_a_column_that_a_definition_names_is_made_as_its_partner_is() -> None:
    """A text as long as the ERP's, a choice with the values of the definition; with --columns only."""
    text = definition_text()
    for old, new in (("cdock_salesperson", "acme_seller"), ("cdock_blocked", "acme_blocked")):
        assert old in text
        text = text.replace(old, new)
    async with RealWorld(bare(text)) as world:
        wanted = ["column account.acme_seller", "column account.acme_blocked"]
        assert set(standing(await set_up(world), "missing")) == set(wanted), "only where somebody says so"
        assert (await set_up(world, "--columns")).code == 0
        table = await (await world.apps[0].engine()).pipeline.ports.connectors["dataverse"].survey("account")
        made = table.columns["acme_seller"]
        assert (made.type.value, made.max_length) == ("text", 20)
        assert dict(table.columns["acme_blocked"].choices) == {
            "100000000": "Ship",
            "100000001": "Invoice",
            "100000002": "All",
        }
        assert "acme_seller" in columns(steps(world)["Crossdock: Update of account"])


def with_tables(text: str = JOBS, old: str = "cdock_salesperson") -> Setup:
    """An installation whose definition names a column that is declared."""
    tables = tuple(read_tables(read_document(text), "transfers/jobs.yaml"))
    definition = read_definition(definition_text().replace(old, "cdock_seller"), "transfers/account.yaml")
    return replace(bare(), index=Index(definitions=(definition,), tables=tables))


ALWAYS = JOBS.replace("needed_for: [fsm]\n", "").replace(
    "cdock_forjobs: {label: Has jobs, type: boolean}", "cdock_seller: {label: Seller, length: 20}"
)


@virtually
async def test_declared_tables_and_columns_are_told_made_and_then_fit() -> None:
    """Without --columns, since somebody has said what they are to be; steps tell of the new column in the same run."""
    async with RealWorld(with_tables(ALWAYS)) as world:
        said = await typed(world, "register", "--json")
        assert standing(said, "missing")[:9] == [
            "table cdock_job",
            "column account.cdock_seller",
            *(f"column cdock_job.cdock_{name}" for name in ("number", "state", "start", "amount", "wish")),
            "column cdock_job.cdock_accountid",
            "change tracking account",
        ]
        assert (await set_up(world)).code == 0
        assert "cdock_seller" in columns(steps(world)["Crossdock: Update of account"])
        assert not any("cdock_job" in name for name in steps(world)), "no transfer hears of it"
        world.forget_requests()
        assert ((await set_up(world)).code, written(world)) == (0, [])


@virtually
async def test_tables_that_only_other_systems_need_are_not_asked_for() -> None:
    """An installation without a field service gets none of its tables."""
    async with RealWorld(with_tables(JOBS, "cdock_nothing")) as world:
        said = await typed(world, "register", "--json")
        assert not any("cdock_job" in one or "cdock_forjobs" in one for one in standing(said, *ALL))


@virtually
async def test_nothing_is_tried_of_a_table_that_could_not_be_made() -> None:
    """One refusal is told, not one for each of its columns; what does not need it is set up."""
    async with RealWorld(with_tables(ALWAYS)) as world:
        world.crm.faults.add(FaultRule(FaultKind.UNAVAILABLE, method="POST", path="/EntityDefinitions$"))
        said = await set_up(world)
        assert (said.code, {one["part"] for one in said.json["failures"]}) == (4, {"table cdock_job"})
        assert "column account.cdock_seller" not in standing(said, "missing")
        assert sorted(steps(world)) == sorted(STEPS)


@virtually
async def test_a_missing_right_is_named_and_the_rest_is_set_up_all_the_same() -> None:
    """Exit code 5, the privilege's table, and who can run the command."""
    async with RealWorld(bare()) as world:
        world.crm.forbid_customizing(CRM_CLIENT)
        said = await set_up(world)
        assert (said.code, {one["code"] for one in said.json["failures"]}) == (5, {"CD-4704"})
        assert "System Customizer" in said.json["failures"][0]["remedy"]
        assert standing(said, "missing") == ["change tracking account", "alternate key account.accountnumber"]
        assert sorted(steps(world)) == sorted(STEPS)


@virtually
async def test_no_step_is_tried_under_a_webhook_that_could_not_be_made() -> None:
    """One refusal is told, not seven."""
    async with RealWorld(bare()) as world:
        world.crm.limit_privilege(CRM_CLIENT, "serviceendpoint", "Create")
        said = await set_up(world)
        assert [one["part"] for one in said.json["failures"]] == ["webhook app.example"]
        assert (said.code, steps(world)) == (5, {})


@virtually
async def test_a_setting_that_lacks_is_named_and_what_does_not_need_it_is_set_up() -> None:
    """Without a secret there is no webhook; tracking and keys do not ask for one."""
    async with RealWorld(bare()) as world:
        said = await typed(world, "register", "--apply", "--json", CROSSDOCK_DATAVERSE_WEBHOOK_SECRET="")
        assert (said.code, said.json["failures"][0]["code"]) == (3, "CD-3001")
        assert "CROSSDOCK_DATAVERSE_WEBHOOK_SECRET" in said.json["failures"][0]["sentence"]
        assert [one for one in standing(said, *ALL) if "tracking" not in one] == [
            "alternate key account.accountnumber",
            SUBSCRIBED,
        ]
        assert standing(said, "missing") == []


@virtually
async def test_a_system_that_does_not_answer_does_not_hide_the_other() -> None:
    """What of Dataverse can be told without the ERP is told; exit code 4."""
    async with RealWorld(bare()) as world:
        world.erp.faults.add(FaultRule(FaultKind.UNAVAILABLE))
        said = await typed(world, "register", "--json")
        assert (said.code, [one["system"] for one in said.json["failures"]]) == (4, ["business_central"])
        assert "step Create of account" in standing(said, "missing")


@virtually
async def test_an_answer_that_was_lost_makes_nothing_twice() -> None:
    """Ids of what is made are chosen here: the next run finds it."""
    async with RealWorld(bare()) as world:
        for path in ("/serviceendpoints", "/sdkmessageprocessingsteps", "/Keys"):
            world.crm.faults.add(FaultRule(FaultKind.LOST_ANSWER, method="POST", path=path, times=1))
        codes = [(await set_up(world)).code for _ in range(3)]
        assert codes == [4, 4, 0], "a webhook's answer, then a step's, and the key's with either"
        assert (len(world.crm.rows("serviceendpoint")), sorted(steps(world))) == (1, sorted(STEPS))
        assert json.loads(await world.stores.reports.get("registrations") or "{}").keys() == {"dataverse"}
