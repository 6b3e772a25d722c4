"""The consultant's path, as docs/how-to/add-a-table.md tells it: from a table that somebody has added to the field
service to records that move, in five commands and without a line of code; then what changes in its life."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from shutil import copy
from typing import Any

from local.definitions import compile_folder
from shared.engine import load_index
from shared.operations import health
from shared.sync.feed_tasks import QUEUE
from tests.scenarios.account_customer.world import ROOT, TellingQueue, virtually
from tests.scenarios.command_line.terminal import Said, typed
from tests.scenarios.field_service.dialects import FSM, Dialect
from tests.scenarios.field_service.field_world import CRM_ANSWERS, FieldWorld, both

SHIPPED = ROOT / "transfers" / "field_service"
TABLE = "cdock_tool"
BOUGHT = date(2026, 2, 1)


@dataclass(frozen=True)
class Tools:
    """The new table in the words of a dialect: its name, key, columns for the CRM's key, the last change, and three
    fields."""

    table: str
    key: str
    crm_id: str
    changed: str
    what: str
    kind: str
    bought: str
    kinds: tuple[str, str]

    @property
    def columns(self) -> list[dict[str, Any]]:
        """As the application's designer adds them."""
        return [
            {"name": self.key, "type": "text", "length": 20},
            {"name": self.what, "type": "text", "length": 60, "required": True},
            {"name": self.kind, "type": "text", "length": 20, "choices": [*self.kinds]},
            {"name": self.bought, "type": "day"},
            {"name": self.crm_id, "type": "text", "length": 40},
            {"name": self.changed, "type": "time", "readOnly": True},
        ]


WORDS = {
    "fsm": Tools(
        "tool", "tool_id", "crm_id", "modified_dttm", "tool_name", "tool_kind", "bought_date", ("DRILL", "SAW")
    ),
    "ifs_cloud": Tools(
        "ToolHandling.ToolSet",
        "ToolNo",
        "Cf_CrmId",
        "ModifiedTime",
        "ToolName",
        "ToolKind",
        "BoughtDate",
        ("Drill", "Saw"),
    ),
}


class Consultant(FieldWorld):
    """An installation that exchanges customers, and somebody at its command line with a folder of definitions."""

    def __init__(self, dialect: Dialect, folder: Path) -> None:
        self.folder = folder / "transfers"
        self.tools = WORDS[dialect.kind]
        mine = self.folder / "field_service" / dialect.kind
        mine.mkdir(parents=True)
        copy(SHIPPED / dialect.kind / "account.yaml", mine)
        tables = (SHIPPED / "tables.yaml").read_text("utf-8").partition("\n    opportunity:")[0]
        (self.folder / "field_service" / "tables.yaml").write_text(f"{tables}\n", "utf-8")
        self.file = mine / "tool.yaml"
        super().__init__(dialect, index=compile_folder(self.folder))

    def add_table(self) -> None:
        """Somebody drags an object into the application."""
        self.field.add_table(self.tools.table, [self.tools.key], self.tools.columns, label="Tool")

    def add_tool(self, name: str, place: int, **more: Any) -> str:
        """Somebody there buys a tool. place: of its kind."""
        tools = self.tools
        values = {tools.what: name, tools.kind: tools.kinds[place], tools.bought: BOUGHT.isoformat()}
        return self.field.add(tools.table, values | more)

    async def types(self, *words: str, code: int = 0) -> Said:
        """Type a command that works on the folder; it ends with this code."""
        folder = ("--transfers", str(self.folder)) if words[0] in ("schema", "check", "compile") else ()
        said = await typed(self, *words, *folder, **self.environment)
        assert said.code == code, (words, said.out, said.err)
        return said

    async def deploy(self) -> None:
        """What was compiled takes the place of what runs: a deployment of the app, or a new start of the local run."""
        self.index = load_index((self.folder / "index.json").read_bytes())
        self.queues = [transfer.name for _, transfer in self.index.transfers()]
        self.queue = TellingQueue(self.clock, [*self.queues, QUEUE])
        await self.restart()

    async def five_commands(self) -> None:
        """From now on what changes moves."""
        partner = f"dataverse:{TABLE}"
        await self.types("schema", self.dialect.kind, self.tools.table, "--with", partner, "--start", str(self.file))
        await self.types("check", code=1)
        await self.types("compile")
        await self.deploy()
        await self.types("register", "--apply")
        await self.pass_time(hours=1)
        await self.types("mode", "on", *self.transfers, "--reason", "tools are exchanged", "--apply")
        await self.pass_time(seconds=6)  # until every process knows it

    async def new_table_moves(self) -> None:
        """The five commands, and the one for what was there before."""
        await self.five_commands()
        await self.load()

    async def load(self) -> None:
        """What was there before goes over."""
        await self.types("load", self.transfers[1], "--apply", "--yes")
        await self.moved()

    @property
    def group(self) -> list[str]:
        """The group of tables that the new one is in, where there are groups."""
        name, _, table = self.tools.table.partition(".")
        return [name] if table else []

    @property
    def transfers(self) -> tuple[str, str]:
        """There and back."""
        return self.named("tool"), self.named("tool", to_crm=True)

    async def moved(self) -> None:
        """Walks of every 15 minutes have found everything, and nothing is on its way."""
        await self.settle(quiet_seconds=1100)

    def edit_file(self, old: str, new: str) -> None:
        """Somebody edits the definition."""
        text = self.file.read_text("utf-8")
        assert old in text, text
        self.file.write_text(text.replace(old, new), "utf-8")

    async def redeploy(self) -> None:
        """After an edit: check, compile, deploy."""
        await self.types("check")
        await self.types("compile")
        await self.deploy()

    def shown(self, *columns: str) -> list[tuple[Any, ...]]:
        """These columns of the CRM's tools, ordered."""
        return sorted(tuple(row[name] for name in columns) for row in self.kept(TABLE).values())


@both
def test_a_new_table_of_the_field_service_moves_after_five_commands(dialect: Dialect, tmp_path: Path) -> None:
    """R-225, R-226: what changes there and in the CRM, keys exchanged; what was there before by a load. Customers go
    on."""

    @virtually
    async def story() -> None:
        async with Consultant(dialect, tmp_path) as world:
            world.add_table()
            world.add_tool("Drill 1", 0)
            tables = await world.types("schema", dialect.kind, *world.group, "--find", "tool", "--json")
            assert [one["name"] for one in tables.json["tables"]] == [world.tools.table]
            name, kind = "cdock_toolname", "cdock_toolkind"
            await world.five_commands()
            world.add_tool("Saw 1", 1)
            await world.moved()
            assert world.shown(name) == [("Saw 1",)]
            await world.load()
            assert world.shown(name, kind, "cdock_boughtdate") == [
                ("Drill 1", 100_000_000, BOUGHT),
                ("Saw 1", 100_000_001, BOUGHT),
            ]
            made = await world.crm.create(TABLE, {name: "Saw 2", kind: 100_000_001})
            await world.moved()
            there = {row[world.tools.what]: row for row in world.field.rows(world.tools.table).values()}
            assert there["Saw 2"][world.tools.kind] == world.tools.kinds[1]
            assert there["Saw 2"][world.tools.crm_id] == made
            assert {row[world.tools.crm_id] for row in there.values()} == set(world.crm.rows(TABLE))
            assert await world.all_parked() == []
            await world.a_customer()

    story()


@virtually
async def test_a_field_that_is_added_there_moves_after_a_line_in_the_definition(tmp_path: Path) -> None:
    """R-223, R-226: the schema shows it as unused, says the line, and declares the CRM's column."""
    async with Consultant(FSM, tmp_path) as world:
        world.add_table()
        await world.new_table_moves()
        world.field.add_column("tool", name="weight", type="amount")
        drill = world.add_tool("Drill 1", 0, weight=Decimal("3.5"))
        found = await world.types("schema", "fsm", "tool", "--find", "weight", "--json")
        assert [(one["name"], one["used"]) for one in found.json["columns"]] == [("weight", [])]
        words = ["schema", "fsm", "tool", "--with", f"dataverse:{TABLE}", "--fields", "weight"]
        said = await world.types(*words, "--start", str(world.file.with_name("tool_weight.yaml")), "--json")
        assert said.json["extends"].endswith("field_service/fsm/tool.yaml")
        world.file.write_text(world.file.read_text("utf-8") + said.json["definition"], "utf-8")
        await world.types("compile")
        await world.deploy()
        await world.types("register", "--apply")
        world.field.edit("tool", drill, {"tool_name": "Drill 01"})
        await world.moved()
        assert world.shown("cdock_toolname", "cdock_weight") == [("Drill 01", Decimal("3.5"))]


@virtually
async def test_a_field_that_is_used_for_something_else_is_mapped_anew(tmp_path: Path) -> None:
    """R-224: what the old line last agreed on counts for nothing: a value that people have entered in the new column
    stands where the field service says nothing, and the old column keeps what it has."""
    async with Consultant(FSM, tmp_path) as world:
        world.add_table()
        world.field.add_column("tool", name="remark", type="text", length=60)
        with_remark = world.add_tool("Drill 1", 0, remark="blue")
        without = world.add_tool("Drill 2", 0)
        await world.new_table_moves()
        assert world.shown("cdock_toolname", "cdock_remark") == [("Drill 1", "blue"), ("Drill 2", None)]
        tables = world.file.with_name("tool_tables.yaml")
        line = "        cdock_remark:"
        tables.write_text(
            tables.read_text("utf-8").replace(line, f"        cdock_inspected: {{label: Inspected}}\n{line}")
        )
        world.edit_file("dataverse: cdock_remark,", "dataverse: cdock_inspected,")
        await world.types("compile")
        await world.deploy()
        await world.types("register", "--apply")
        keys = {row["cdock_toolname"]: key for key, row in world.crm.rows(TABLE).items()}
        await world.crm.edit(TABLE, keys["Drill 2"], {"cdock_inspected": "by hand"})
        world.field.edit("tool", with_remark, {"remark": "2026"})
        world.field.edit("tool", without, {"tool_name": "Drill 02"})
        await world.moved()
        assert world.shown("cdock_toolname", "cdock_remark", "cdock_inspected") == [
            ("Drill 02", None, "by hand"),
            ("Drill 1", "blue", "2026"),
        ]


@virtually
async def test_when_the_process_changes_values_and_conditions_are_edited(tmp_path: Path) -> None:
    """R-227: another choice stands for a kind of tool, and only some tools are made in the CRM from then on."""
    async with Consultant(FSM, tmp_path) as world:
        world.add_table()
        drill = world.add_tool("Drill 1", 0)
        await world.new_table_moves()
        world.edit_file("values: {100000000: DRILL, 100000001: SAW}", "values: {100000001: DRILL, 100000000: SAW}")
        world.edit_file("    write_back: [crm_id]", "    write_back: [crm_id]\n    only_if: {tool_kind: SAW}")
        await world.redeploy()
        world.field.edit("tool", drill, {"tool_name": "Drill 01"})
        world.add_tool("Drill 2", 0)
        world.add_tool("Saw 1", 1)
        await world.moved()
        assert world.shown("cdock_toolname", "cdock_toolkind") == [("Drill 01", 100_000_001), ("Saw 1", 100_000_000)]


@virtually
async def test_a_field_that_is_renamed_there_stops_its_own_transfers_and_is_named(tmp_path: Path) -> None:
    """R-224, R-226: while everything runs. The health page and the check say what it may be called now; customers go on
    meanwhile, and after the edit everything that waited moves."""
    async with Consultant(FSM, tmp_path) as world:
        world.add_table()
        drill = world.add_tool("Drill 1", 0)
        await world.new_table_moves()
        world.field.rename_column("tool", "bought_date", "bought_on_date")
        world.field.edit("tool", drill, {"bought_on_date": "2026-03-01"})
        await world.pass_time(hours=1)
        named = {one["transfer"]: one["text"] for one in (await health(world.apps[0]))["definitions"]}
        assert all("did you mean bought_on_date?" in named[name] for name in world.transfers)
        assert await world.all_parked() == [], "no record is at fault"
        assert "did you mean bought_on_date?" in (await world.types("drift", world.transfers[0], code=3)).err
        checked = await world.types("check", "--json", code=1)
        (told,) = [one["sentence"] for one in checked.json["findings"] if one["code"] == "CD-4602"]
        assert told.endswith("no column 'bought_date'; did you mean bought_on_date?")
        account = await world.new_account(name="Aurora Milling", customertypecode=3)
        await world.pass_time(hours=1)
        assert [row["crm_id"] for row in world.field.rows("place").values()] == [account]
        assert world.shown("cdock_boughtdate") == [(BOUGHT,)]
        world.edit_file("fsm: bought_date,", "fsm: bought_on_date,")
        await world.redeploy()
        await world.moved()
        assert world.shown("cdock_boughtdate") == [(date(2026, 3, 1),)]


@virtually
async def test_who_answers_checks_is_only_noted_until_somebody_chooses_it(tmp_path: Path) -> None:
    """R-229: where there is no ERP, what could answer by default is missing, and nobody need ask; a system that was
    named and is none, is wrong."""
    async with Consultant(FSM, tmp_path) as world:
        copy(SHIPPED / "checks.yaml", world.folder / "field_service")
        for name in CRM_ANSWERS:
            del world.environment[name]
        noted = await world.types("check")
        assert noted.out.count("note CD-4622") == 3
        assert "CROSSDOCK_CHECKS_CREDIT_FROM is business_central, which is no system here" in noted.out
        world.environment["CROSSDOCK_CHECKS_CREDIT_FROM"] = "businesscentral"
        wrong = await world.types("check", code=1)
        assert "wrong CD-4622: CROSSDOCK_CHECKS_CREDIT_FROM is businesscentral" in wrong.out
        world.environment["CROSSDOCK_CHECKS_CREDIT_FROM"] = "dataverse"
        assert "CREDIT" not in (await world.types("check")).out
