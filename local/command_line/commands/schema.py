"""Show the tables and columns of a system, to pick from, and begin a definition.

  manage.py schema                                      the systems
  manage.py schema fsm                                  its tables; --find TEXT: those with that text in name or label
  manage.py schema fsm tool                             a table's columns, and the definitions that use them already
  manage.py schema fsm tool --with dataverse:cdock_tool             the start of a definition of both, to read
  manage.py schema fsm tool --with dataverse:cdock_tool --start transfers/field_service/fsm/tool.yaml
                                                                    the same as a file; none is ever overwritten
  manage.py schema fsm tool --with dataverse:cdock_tool --fields tool_id,colour --from fsm

Where there is a definition of both tables already, the lines are shown that can be added to it.
The start compiles: transfers, match rules, a line for each picked field with the column of the other side that is most
like it, and comments on what is to be decided. Where Dataverse has no such table or column yet, a second file declares
it (…_tables.yaml), and manage.py register --apply makes it. Nothing is written into any system.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from local.command_line.context import Context
from local.command_line.definition_folder import add_folder, folder_of
from local.command_line.errors import WrongUsage
from local.command_line.exits import Exit
from local.definitions import compile_folder

if TYPE_CHECKING:
    from local.command_line.column_uses import Use
    from local.definition_start.planning import Half
    from shared.app import App
    from shared.sync.definition import Index
    from shared.sync.ports import ColumnMetadata, Connector, TableLabel, TableMetadata

SYSTEMS: Final = ("system", "kind")
TABLES: Final = ("table", "label")
COLUMNS: Final = ("column", "label", "type", "length", "required", "written", "refers_to", "choices", "used")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_folder(parser)
    parser.add_argument("system", nargs="?", help="the system, as CROSSDOCK_SYSTEMS names it")
    parser.add_argument("table", nargs="?", help="a table, or the beginning of several tables' names")
    parser.add_argument("--find", default="", metavar="TEXT", help="only what has this text in its name or label")
    start = parser.add_argument_group("the start of a definition")
    start.add_argument(
        "--with", dest="partner", default="", metavar="SYSTEM:TABLE", help="the table that holds the same things"
    )
    start.add_argument("--start", type=Path, metavar="FILE", help="write it into this file, which must not exist")
    start.add_argument("--fields", default="", metavar="A,B,C", help="the columns; all that are like one of the other")
    start.add_argument("--from", dest="source", default="", metavar="SYSTEM", help="records come from this one only")


async def run(context: Context, arguments: argparse.Namespace) -> int:
    if not arguments.partner and (arguments.start or arguments.fields or arguments.source):
        raise WrongUsage(
            "--start, --fields and --from belong to --with: name the other table, such as dataverse:account."
        )
    if arguments.partner and not arguments.table:
        raise WrongUsage("Name the table that is paired: manage.py schema <system> <table> --with …")
    kinds = context.app.settings.kinds
    if not arguments.system:
        return _systems(context, kinds)
    index = compile_folder(folder_of(arguments, context.installation.transfers))
    ours = tuple(one for one in index.definitions if one.runs_among(kinds))
    return await _Looking(context, arguments, index.model_copy(update={"definitions": ours})).run()


def _systems(context: Context, kinds: Mapping[str, str]) -> int:
    context.out.answer({"systems": [{"system": name, "kind": kind} for name, kind in kinds.items()]})
    context.out.table(SYSTEMS, list(kinds.items()))
    return Exit.FINE


class _Looking:
    """One look, with the connectors that it needs. index: the definitions that there are."""

    def __init__(self, context: Context, arguments: argparse.Namespace, index: Index) -> None:
        self._context = context
        self._arguments = arguments
        self._index = index

    async def run(self) -> int:
        from shared.engine import Systems

        app, own = self._context.app, Systems(self._context.app, None)
        try:
            connector = self._connector(app, own, self._arguments.system)
            if not self._arguments.table:
                return self._tables(await _browsed(connector))
            table = await _surveyed(connector, self._arguments.table)
            if table is None:
                return await self._beginning_with(connector)
            if not self._arguments.partner:
                return self._columns(table)
            return await self._start(table, app, own)
        finally:
            await own.aclose()

    def _connector(self, app: App, own: Any, system: str) -> Connector:
        """The connector of a system; raises WrongUsage and SettingsError."""
        from shared.sync.closest import asking

        kinds = app.settings.kinds
        if system not in kinds:
            there = [(name, "") for name in kinds]
            raise WrongUsage(asking(f"There is no system {system} (there are: {', '.join(kinds)})", system, there))
        if app.outside.connectors is not None:
            return app.outside.connectors[system]
        made: Mapping[str, Connector] = own.made([system])
        if system not in made:
            raise own.wrong[system]
        return made[system]

    # --- lists ---

    def _tables(self, found: Sequence[TableLabel]) -> int:
        wanted = [one for one in found if _has(self._arguments.find, one.name, one.label)]
        out = self._context.out
        out.answer({"system": self._arguments.system, "tables": [asdict(one) for one in wanted]})
        out.table(TABLES, [(f"{one.name}." if one.group else one.name, one.label) for one in wanted])
        if any(one.group for one in wanted):
            out.line(f"A name that ends with a point is a group: manage.py schema {self._arguments.system} <group>")
        if not wanted:
            out.line("There is no such table.")
        return Exit.FINE

    async def _beginning_with(self, connector: Connector) -> int:
        """The tables of a group, or those whose names begin so; raises WrongUsage where there are none."""
        from shared.sync.closest import asking, tables_like

        system, name = self._arguments.system, self._arguments.table
        found = [] if self._arguments.partner else await _browsed(connector, name.removesuffix("."))
        if found:
            return self._tables(found)
        offered = [(one.name, one.label) for one in await tables_like(connector, name)]
        raise WrongUsage(asking(f"{system} has no table '{name}'", name, offered))

    def _columns(self, table: TableMetadata) -> int:
        from local.command_line.column_uses import uses_of

        uses = uses_of(self._index, self._arguments.system, table.name)
        wanted = [one for one in table.columns.values() if _has(self._arguments.find, one.name, one.label)]
        facts = [_facts(one, table, uses.get(one.name, ())) for one in wanted]
        out = self._context.out
        out.answer({"system": self._arguments.system, "table": table.name, "key": list(table.key), "columns": facts})
        out.table(COLUMNS, [_cells(one, uses.get(one.name, ()), table.key) for one in wanted])
        if not wanted:
            out.line("There is no such column.")
        return Exit.FINE

    # --- the start of a definition ---

    async def _start(self, table: TableMetadata, app: App, own: Any) -> int:
        from local.definition_start.planning import Half, begin
        from local.definition_start.writing import definition_text, tables_text

        picked = [name.strip() for name in self._arguments.fields.split(",") if name.strip()]
        _all_there(picked, table, self._arguments.system)
        other = await self._partner(app, own)
        systems = (self._arguments.system, other.system)
        if self._arguments.source not in ("", *systems):
            raise WrongUsage(f"--from names one of the two systems: {' or '.join(systems)}.")
        begun = begin(Half(systems[0], table.name, table), other, picked, self._arguments.source, self._index)
        texts = {"definition": definition_text(begun), "tables": tables_text(begun.own) if begun.own else ""}
        if self._arguments.start:
            return self._write(self._arguments.start, texts, begun.extends)
        self._context.out.answer({**texts, "extends": begun.extends, "files": []})
        self._show(texts, begun.extends)
        return Exit.FINE

    async def _partner(self, app: App, own: Any) -> Half:
        """The other table: as it is, as it is declared, or as one that is to be made."""
        from local.definition_start.planning import Half
        from shared.sync.closest import asking, tables_like
        from shared.sync.own_tables import CUSTOM, MADE_IN

        system, _, name = self._arguments.partner.partition(":")
        if not name or system == self._arguments.system:
            raise WrongUsage("--with names another system and its table, such as dataverse:account.")
        connector = self._connector(app, own, system)
        found = self._with_declared(system, name, await _surveyed(connector, name), app.settings.kinds)
        if found is None and (system != MADE_IN or not CUSTOM.fullmatch(name)):
            offered = [(one.name, one.label) for one in await tables_like(connector, name)]
            told = asking(f"{system} has no table '{name}'", name, offered)
            hint = " One of your own begins with a prefix, such as cdock_." if system == MADE_IN else ""
            raise WrongUsage(told + hint)
        return Half(system, name, found)

    def _with_declared(
        self, system: str, name: str, found: TableMetadata | None, kinds: Mapping[str, str]
    ) -> TableMetadata | None:
        """The table with what is declared of it and not made yet."""
        from shared.sync.own_tables import declared
        from shared.sync.ports import ColumnMetadata, ColumnType, TableMetadata

        wanted = [one for one in self._index.tables if one.needed_with({*kinds, *kinds.values()})]
        table = declared(wanted, system).get(name)
        if table is None or (found is None and not table.is_ours):
            return found
        known = found or TableMetadata(name, {f"{name}id": ColumnMetadata(f"{name}id", ColumnType.KEY)}, (f"{name}id",))
        return replace(known, columns={**{one.name: one.as_made for one in table.every_column}, **known.columns})

    def _show(self, texts: Mapping[str, str], extends: str) -> None:
        if extends:
            self._context.out.line(f"Lines for {extends}, below fields:")
        for text in filter(None, texts.values()):
            self._context.out.line(text.rstrip("\n"))

    def _write(self, file: Path, texts: Mapping[str, str], extends: str) -> int:
        """Both files or none, and what compiling says of them. Of a definition that there is nothing is written but
        what it needs in Dataverse."""
        wanted = {} if extends else {file: texts["definition"]}
        if texts["tables"]:
            wanted[file if extends else file.with_name(f"{file.stem}_tables{file.suffix}")] = texts["tables"]
        if file.suffix != ".yaml":
            raise WrongUsage("--start: a definition's file ends with .yaml.")
        if there := [path for path in wanted if path.exists()]:
            raise WrongUsage(f"--start: {there[0]} is there already and stays as it is; name another file.")
        for path, text in wanted.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8", newline="\n") as written:
                written.write(text)
        folder = folder_of(self._arguments, self._context.installation.transfers)
        problems = [str(one) for one in compile_folder(folder).problems]
        files = [str(path) for path in wanted]
        self._context.out.answer({**texts, "extends": extends, "files": files, "problems": problems})
        if extends:
            self._show({"definition": texts["definition"]}, extends)
        for path in wanted:
            self._context.out.line(f"Written: {path}")
        for problem in problems:
            self._context.out.line(problem)
        self._context.out.line("Decide what its comments ask; then manage.py check, compile, register and mode.")
        return Exit.ATTENTION if problems else Exit.FINE


async def _surveyed(connector: Connector, name: str) -> TableMetadata | None:
    from shared.errors import UnknownColumn

    try:
        return await connector.survey(name)
    except UnknownColumn:
        return None


async def _browsed(connector: Connector, within: str = "") -> Sequence[TableLabel]:
    """The tables; none for a group that there is not. Raises WrongUsage for a system that does not list its tables."""
    from shared.errors import UnknownColumn
    from shared.sync.ports import Browsable

    if not isinstance(connector, Browsable):
        raise WrongUsage(f"{connector.system} does not list its tables; docs/systems names them.")
    try:
        return await connector.browse(within)
    except UnknownColumn:
        return []


def _all_there(picked: Sequence[str], table: TableMetadata, system: str) -> None:
    from shared.sync.closest import asking

    for name in picked:
        if name not in table.columns:
            offered = [(one.name, one.label) for one in table.columns.values()]
            raise WrongUsage(asking(f"--fields: {system} {table.name} has no column '{name}'", name, offered))


def _has(text: str, name: str, label: str) -> bool:
    return text.lower() in name.lower() or text.lower() in label.lower()


def _written(column: ColumnMetadata) -> str:
    """When the column can be written."""
    if not column.writable:
        return "never"
    return "always" if column.updatable else "at a create"


def _facts(column: ColumnMetadata, table: TableMetadata, uses: Sequence[Use]) -> dict[str, Any]:
    return {
        "name": column.name,
        "label": column.label,
        "type": column.type.value,
        "key": column.name in table.key,
        "max_length": column.max_length,
        "required": column.required,
        "written": _written(column),
        "refers_to": column.target,
        "choices": dict(column.choices),
        "used": [asdict(one) for one in uses],
    }


def _cells(column: ColumnMetadata, uses: Sequence[Use], key: Sequence[str]) -> Sequence[object]:
    choices = [value if label in ("", value) else f"{value}={label}" for value, label in column.choices.items()]
    return (
        column.name,
        column.label,
        ", ".join(dict.fromkeys([column.type.value, *(["key"] if column.name in key else [])])),
        column.max_length,
        "yes" if column.required else "",
        _written(column),
        column.target,
        ", ".join(choices),
        "; ".join(map(str, uses)),
    )
