"""A CRM and a field service in one of its dialects, with everything real between them, in virtual time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from starlette.types import ASGIApp

from sandbox.business_central import BusinessCentralSandbox
from sandbox.dataverse import DataverseOptions
from sandbox.faults import FaultKind, FaultRule
from shared.app import INDEX
from shared.engine import load_index
from shared.sync.context import pair_name
from shared.sync.definition import Definition, Index
from shared.sync.own_tables import OwnTable
from shared.sync.ports import JournalEntry, ParkedItem, Side, Switch
from tests.own_tables import make_own_tables
from tests.scenarios.account_customer.world import APP_URL, CRM_CLIENT, WIDE, RealWorld, Setup
from tests.scenarios.field_service.dialects import FSM, IFS_CLOUD, OTHER_FSM, SECRET, Dialect, Row

WALK_SECONDS = 300
CRM_ANSWERS = {f"CROSSDOCK_CHECKS_{check}_FROM": "dataverse" for check in ("PRICE", "STOCK", "CREDIT")}
"""Where there is no ERP."""
OPERATOR_KEY = "operator-key-of-at-least-32-characters"
both = pytest.mark.parametrize("dialect", [FSM, IFS_CLOUD], ids=["fsm", "ifs_cloud"])
"""Every story is told in both dialects,"""
everywhere = pytest.mark.parametrize("dialect", [FSM, OTHER_FSM, IFS_CLOUD], ids=["fsm", "other fsm", "ifs_cloud"])
"""some also at an FSM server that words things otherwise."""


@cache
def _compiled() -> Index:
    """What is shipped, once for all worlds."""
    return load_index(INDEX.read_bytes())


def shipped(dialect: Dialect, *stems: str, erp: bool = False) -> Index:
    """The product's own definitions for a dialect: of these names and of what they refer to, all if none is named;
    walked every five minutes, since the stories take no days. With the tables of ours that they need. erp: with that of
    the ERP's customers."""
    mine = {Path(one.file).stem: one for one in _compiled().definitions if one.right.system == dialect.kind}
    kept = _with_referred(mine, stems or tuple(mine))
    customers = [one for one in _compiled().definitions if one.right.system == "business_central"][: int(erp)]
    found = [*(mine[stem] for stem in mine if stem in kept), *customers]
    index = Index(definitions=tuple(map(often_walked, found)))
    more = {
        "tables": tuple(_declared({one.left.table for one in index.definitions})),
        "confirming": _compiled().confirming,
    }
    return index.model_copy(update=more)


def _declared(wanted: set[str]) -> Iterator[OwnTable]:
    """What is declared of these tables and of those that they refer to, in the order of the file."""
    tables, named = {one.table: one for one in _compiled().tables}, list(wanted)
    while named:
        table = tables.get(named.pop())
        referred = {one.refers_to for one in table.columns} if table else set()
        named += referred - wanted - {""}
        wanted |= referred
    return (one for name, one in tables.items() if name in wanted)


def _with_referred(mine: Mapping[str, Definition], stems: Sequence[str]) -> set[str]:
    """The definitions of these names, and those whose links translate their references."""
    kept: set[str] = set()
    wanted = ["account", *stems]
    while wanted:
        stem = wanted.pop()
        kept.add(stem)
        for rule in mine[stem].fields:
            if rule.reference is not None:
                tables = (rule.reference.left, rule.reference.right)
                led = next(name for name, one in mine.items() if (one.left.table, one.right.table) == tables)
                wanted += [] if led in kept else [led]
    return kept


def often_walked(definition: Definition) -> Definition:
    """A definition whose walks and brakes are no matter of a story."""
    walked = [
        one.model_copy(update={"walk_seconds": one.walk_seconds and WALK_SECONDS}) for one in definition.transfers
    ]
    return definition.model_copy(update={"transfers": tuple(walked), "brakes": WIDE})


class _Blanks(dict[str, Any]):
    """A row in which a column without a value is None."""

    def __missing__(self, name: str) -> None:
        return None


class FieldWorld(RealWorld):
    """The whole, with a field service in the place of the ERP, or beside it. stems: names of definitions, all if none
    is named.

    hooks: whether both systems tell of changes; without it only walks find any. on: whether the transfers begin
    switched on.
    """

    tick_seconds = 60.0
    """So many feeds are walked that looking at all of them more often would cost most of the time."""

    def __init__(
        self, dialect: Dialect, *stems: str, on: bool = True, hooks: bool = False, erp: bool = False, **setup: Any
    ) -> None:
        self.dialect = dialect
        self._on = on
        environment = {
            "CROSSDOCK_SYSTEMS": f"dataverse,{dialect.kind}{',business_central' if erp else ''}",
            "CROSSDOCK_OPERATOR_KEY": OPERATOR_KEY,
            **({} if erp else CRM_ANSWERS),
            **dialect.settings,
        }
        setup.setdefault("crm", DataverseOptions(application_users=(CRM_CLIENT,), untracked=()))
        setup.setdefault("index", shipped(dialect, *stems, erp=erp))
        super().__init__(Setup(environment=environment, hooks=hooks, **setup))

    def _make_erp(self) -> BusinessCentralSandbox:
        self.field = self.dialect.sandbox(self.clock, self.issuer, self._post, self.setup.seed)
        return super()._make_erp()

    def _served(self) -> dict[str, ASGIApp]:
        return super()._served() | {self.dialect.kind: self.field.app}

    async def _enter(self) -> None:
        setting_up = self._make_app()  # another process: the others look for the first time when all is there
        await make_own_tables((await setting_up.engine()).pipeline.ports.connectors, self.index.tables)
        await setting_up.aclose()
        self.at_first = {(await self.stores.modes.get(name)).switch for name in self.queues}
        await super()._enter()
        if not self._on:
            await self.switch_all(Switch.OFF)

    async def _register(self) -> None:
        """Steps in the CRM; in the field service somebody enters our address."""
        for definition in self.index.definitions:
            await self.listen(definition.left.table)
        self.field.tell(f"{APP_URL}/api/fsm/outbound", SECRET)

    async def _run(self) -> None:
        await super()._run()
        if self.setup.hooks:
            self._start(self.field.run_deliveries())

    async def _is_quiet(self) -> bool:
        return not self.field.waiting_notices() and await super()._is_quiet()

    async def __aexit__(self, kind: object, error: object, trace: object) -> None:
        await super().__aexit__(kind, error, trace)
        await self.field.aclose()
        if error is None:
            assert self.field.requests.unforeseen() == []
            assert self.field.refused == ()

    async def switch_all(self, switch: Switch) -> None:
        """Somebody moves the switches of all transfers."""
        for name in self.queues:
            await self.switch(name, switch)

    # --- the field service, in the stories' words ---

    def enter(self, table: str, **values: Any) -> str:
        """Somebody in the field service makes a record; answers its key."""
        return self.field.add(self.dialect.table(table), self.dialect.said(table, values))

    def change(self, table: str, key: str, **values: Any) -> None:
        """Somebody in the field service changes a record."""
        self.field.edit(self.dialect.table(table), key, self.dialect.said(table, values))

    def remove(self, table: str, key: str) -> None:
        """Somebody in the field service deletes a record."""
        self.field.delete(self.dialect.table(table), key)

    def there(self, table: str) -> dict[str, dict[str, Any]]:
        """The rows of a table of the field service by key."""
        rows = self.field.rows(self.dialect.table(table))
        return {key: self.dialect.heard(table, row) for key, row in rows.items()}

    def row(self, table: str, key: str | None = None) -> dict[str, Any]:
        """A row of the field service; the only one if none is named."""
        rows = self.there(table)
        if key is None:
            ((_, row),) = rows.items()
            return row
        return rows[key]

    def goes_away(self) -> int:
        """From now on the field service answers nobody; answers the id of the fault, to take it back with."""
        return self.field.faults.add(FaultRule(FaultKind.UNAVAILABLE))

    # --- the CRM ---

    def kept(self, table: str) -> dict[str, Row]:
        """The rows of a table of the CRM by key; what is blank is None."""
        return {key: _Blanks(row) for key, row in self.crm.rows(table).items()}

    def here(self, table: str) -> Row:
        """The only row of a table of the CRM."""
        (row,) = self.kept(table).values()
        return row

    async def a_customer(self, name: str = "Aurora Milling", **values: Any) -> tuple[str, str]:
        """An account of a customer that has arrived in the field service: both keys."""
        account = await self.new_account(name=name, customertypecode=3, **values)
        await self.next_walk()
        return account, next(key for key, row in self.there("place").items() if row["crm_id"] == account)

    # --- waiting and looking ---

    async def next_walk(self) -> None:
        """Wait until the next walks have found everything and nothing is on its way."""
        await self.settle(quiet_seconds=WALK_SECONDS + 2 * self.tick_seconds, hours=3)

    async def night(self) -> None:
        """The nightly comparison, to its end."""
        await (await self.apps[0].engine()).compares.begin_all()
        await self.settle()

    def named(self, what: str, *, to_crm: bool = False) -> str:
        """A transfer's name in this dialect."""
        return f"{what}_from_{self.dialect.kind}_to_dataverse" if to_crm else f"{what}_to_{self.dialect.kind}"

    def definition_of(self, stem: str) -> Definition:
        """The pair of this file."""
        return next(one for one in self.index.definitions if Path(one.file).stem == stem)

    async def told(self, stem: str, side: Side, key: str) -> Sequence[JournalEntry]:
        """What was decided about a record of a pair, the newest first."""
        return await self.stores.journal.of_record(pair_name(self.definition_of(stem), self._connectors), side, key)

    async def all_parked(self) -> list[ParkedItem]:
        """What waits for a person, of all transfers."""
        return [one for name in self.queues for one in await self.parked(name)]
