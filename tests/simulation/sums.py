"""A world of companies and what is summed up of them by days: a second pair whose rows are derived, without links.

What the ERP counts becomes rows of the CRM. Sums are corrected, vanish and come back while workers run, and any effect
may be struck.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta
from functools import cache

from local.definitions import read_definition
from shared.messaging.memory import MemoryQueue, Rules
from shared.sync.claims import undo_link
from shared.sync.context import pair_name
from shared.sync.definition import Definition, Index
from shared.sync.feed_tasks import QUEUE
from shared.sync.message import Message
from shared.sync.pipeline import Pipeline
from shared.sync.ports import LinkRow, LinkState, Side, Value, Watermark
from shared.sync.windows import window_name
from tests.simulation.families import TwoTables
from tests.simulation.systems import MemorySystem
from tests.simulation.world import Faults, Setup, World

SUMS = """\
pair: {dataverse: cdock_sum, business_central: sums}
identity: derived
key: [customerId, service, day]
day: day
transfers:
  sums_to_dataverse: {walk: every day, window: 3 days, on_vanish: delete}
fields:
  - {dataverse: cdock_day, business_central: day, master: business_central}
  - dataverse: cdock_accountid
    business_central: customerId
    master: business_central
    reference: {dataverse: account, business_central: customers, needed: true}
  - {dataverse: cdock_service, business_central: service, master: business_central}
  - {dataverse: cdock_items, business_central: items, master: business_central}
brakes: {creates_per_hour: 100000, changes_per_hour: 100000, deletes_per_hour: 100000, vanished_percent: 100}
"""
TRANSFER = "sums_to_dataverse"


@cache
def _sums() -> Definition:
    """Read once for all worlds."""
    return read_definition(SUMS, "transfers/sums.yaml")


class SumsWorld(World):
    """A world whose second pair is of sums."""

    def __init__(self, setup: Setup, faults: Faults | None = None) -> None:
        super().__init__(setup, faults)
        self.sums = _sums()
        self.index = Index(definitions=(self.definition, self.sums))
        self.names = [*self.names, TRANSFER]
        self.queue = MemoryQueue(self.clock, [*self.names, QUEUE], Rules(lock_duration=setup.lock))
        self.crm_sums, self.erp_sums = self._table(Side.LEFT, self.crm), self._table(Side.RIGHT, self.erp)
        self._told = 0
        self._keys: dict[tuple[int, str, str], str] = {}

    def _table(self, side: Side, companies: MemorySystem) -> MemorySystem:
        columns = dict.fromkeys(self.sums.columns(side))
        table = MemorySystem(
            companies.system, companies.instance, self.sums.table(side).table, columns, self.clock, side is Side.LEFT
        )
        table.gate = self._gate(companies.system)
        return table

    def process(self) -> Pipeline:
        """A fresh process whose connectors have both tables."""
        pipeline = super().process()
        connectors = {
            "dataverse": TwoTables({"account": self.crm, "cdock_sum": self.crm_sums}),
            "business_central": TwoTables({"customers": self.erp, "sums": self.erp_sums}),
        }
        return Pipeline(replace(pipeline.ports, connectors=connectors), self.index)

    def notice(self, system: str, key: str, version: str) -> None:
        """Nothing is told of the companies: they are linked and stay as they are."""

    # --- what people do ---

    @property
    def today(self) -> date:
        return self.clock.now().date()

    async def companies(self, count: int) -> list[str]:
        """So many accounts linked with customers; answers the customers' keys."""
        pair, now = pair_name(self.definition, self.process().ports.connectors), self.clock.now()
        for number in range(count):
            account, customer = self.crm.type_in({"name": f"{number}"}), self.erp.type_in({"displayName": f"{number}"})
            for side, key, other in ((Side.LEFT, account, customer), (Side.RIGHT, customer, account)):
                row = LinkRow(pair, side, key, LinkState.LINKED, other, linked_at=now)
                await self.stores.links.insert(row)
        return sorted(self.erp.records)

    def count(self, customer: str, service: str, items: int, back: int = 0) -> None:
        """The ERP's sum of a day; none takes the row away."""
        place, day = (back, customer, service), self.today - timedelta(days=back)
        values: dict[str, Value] = {"customerId": customer, "service": service, "day": day, "items": items}
        if items:
            self._keys[place] = self.erp_sums.type_in(values, self._keys.get(place))
        elif key := self._keys.pop(place, None):
            self.erp_sums.remove(key)

    def _days(self) -> list[Message]:
        """A message for each day of the window."""
        self._told += 1
        days = [(self.today - timedelta(days=back)).isoformat() for back in range(3)]
        named = [(day, f"told/{self._told}/{day}") for day in days]
        now = self.clock.now()
        return [Message(TRANSFER, Side.RIGHT, "sums", (day,), "walk", now, 0, told, told) for day, told in named]

    async def run_window(self) -> None:
        """Compute every day anew, at once."""
        process = self.process()
        for message in self._days():
            await process.run(message)

    async def queue_window(self, times: int = 1) -> None:
        """Let every day be computed anew, so many times at once."""
        for _ in range(times):
            await self.queue.send(TRANSFER, [message.outgoing() for message in self._days()])

    async def walk_again(self) -> None:
        """Let the window be due, by the clock."""
        name = window_name(pair_name(self.sums, self.process().ports.connectors))
        mark = await self.stores.watermarks.get(name) or Watermark(None)
        await self.stores.watermarks.put(name, replace(mark, done_at=self.clock.now() - timedelta(days=1)))

    async def unlink(self, customer: str) -> None:
        """A person undoes the link of a customer."""
        process = self.process()
        pair = pair_name(self.definition, process.ports.connectors)
        row = await self.stores.links.get(pair, Side.RIGHT, customer)
        home = await self.stores.links.get(pair, Side.LEFT, row.other) if row else None
        assert home is not None
        await undo_link(process.ports, home, "a person has undone the link")

    # --- what must hold ---

    async def accounts(self) -> dict[str, str]:
        """The linked customers with their accounts."""
        pair = pair_name(self.definition, self.process().ports.connectors)
        rows: list[LinkRow] = list(await self.stores.links.page(pair, Side.RIGHT, None, 1000))
        return {row.key: row.other for row in rows if row.state is LinkState.LINKED}

    def _shown(self, table: MemorySystem, company: str, names: Mapping[str, str]) -> dict[tuple[int, str, str], int]:
        found: dict[tuple[int, str, str], int] = {}
        side = "cdock_" if table is self.crm_sums else ""
        for stored in table.records.values():
            values = stored.values
            day = values[f"{side}day"]
            assert isinstance(day, date)
            key = ((self.today - day).days, names.get(str(values[company]), ""), str(values[f"{side}service"]))
            assert key not in found, f"doubled: {key}"
            items = values[f"{side}items"]
            assert isinstance(items, int)
            found[key] = items
        return found

    async def check(self) -> list[str]:
        """The CRM shows exactly what the ERP counts of linked customers, each row once."""
        accounts = await self.accounts()
        there = self._shown(self.erp_sums, "customerId", {key: key for key in self.erp.records})
        wanted = {key: items for key, items in there.items() if key[1] in accounts and key[0] < 3}
        shown = self._shown(self.crm_sums, "cdock_accountid", {account: key for key, account in accounts.items()})
        wrong = [f"lost or stale: {key}" for key, items in wanted.items() if shown.get(key) != items]
        return wrong + [f"left over: {key}" for key in shown if key not in wanted]
