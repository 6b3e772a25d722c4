"""A world of companies and their people: two pairs, of which the second refers to the first.

Every system has two tables behind one connector. People work at companies; a contact crosses only when its company has
a partner, comes along when that is made, and may move to another company.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import cache

from local.definitions import read_definition
from shared.errors import ConnectorError
from shared.messaging.memory import MemoryQueue, Rules
from shared.sync.context import pair_name
from shared.sync.definition import Definition, Index
from shared.sync.feed_tasks import QUEUE
from shared.sync.message import Message
from shared.sync.pipeline import Pipeline
from shared.sync.ports import (
    Capabilities,
    Change,
    ChangePage,
    Clock,
    LinkState,
    NewRecord,
    Outgoing,
    Profile,
    Record,
    RecordPage,
    Side,
    TableMetadata,
    Value,
)
from tests.simulation.systems import MemorySystem
from tests.simulation.world import Faults, Setup, World, _run_now

CONTACTS = """\
pair: {dataverse: contact, business_central: contacts}
transfers:
  contact_to_business_central: {walk: every 5 minutes, choose_key: {column: number, prefix: CP-, digits: 6}}
  contact_to_dataverse: {walk: every 5 minutes}
match:
  - {dataverse: [emailaddress1, company], business_central: [email, customerId], normalise: text}
fields:
  - {dataverse: fullname, business_central: displayName, master: dataverse, on_create: fill}
  - {dataverse: emailaddress1, business_central: email, master: dataverse, on_create: fill}
  - dataverse: company
    business_central: customerId
    master: dataverse
    on_create: fill
    reference: {dataverse: account, business_central: customers, needed: true}
brakes: {creates_per_hour: 100000, changes_per_hour: 100000, blanks_per_hour: 100000, deletes_per_hour: 100000}
"""


PARTS = """\
pair: {dataverse: contact, business_central: contacts}
transfers:
  contact_to_business_central: {walk: every 5 minutes, on_delete: delete}
match:
  - {dataverse: [company, emailaddress1], business_central: [customerId, email], normalise: text}
fields:
  - {dataverse: fullname, business_central: displayName, master: dataverse}
  - {dataverse: emailaddress1, business_central: email, master: dataverse}
  - dataverse: company
    business_central: customerId
    master: dataverse
    reference: {dataverse: account, business_central: customers, needed: true}
brakes: {creates_per_hour: 100000, changes_per_hour: 100000, blanks_per_hour: 100000, deletes_per_hour: 100000}
"""
"""The same where the ERP's contacts are parts of its customers, and the CRM decides about their life."""


@dataclass
class TwoTables:
    """One connector over two tables."""

    tables: Mapping[str, MemorySystem]

    def _of(self, table: str) -> MemorySystem:
        """The table; of one that only names records of another (opportunities) that other one."""
        return self.tables.get(table) or next(iter(self.tables.values()))

    @property
    def system(self) -> str:
        return next(iter(self.tables.values())).system

    @property
    def instance(self) -> str:
        return next(iter(self.tables.values())).instance

    def capabilities(self, table: str) -> Capabilities:
        return self._of(table).capabilities(table)

    def canonical_key(self, table: str, key: str) -> str:
        return self._of(table).canonical_key(table, key)

    def derived_key(self, table: str, seed: str, values: Mapping[str, Value]) -> str:
        return self._of(table).derived_key(table, f"{table}|{seed}", values)

    def watermark_at(self, table: str, at: datetime, no_later_than: str | None = None) -> str | None:
        return self._of(table).watermark_at(table, at, no_later_than)

    def pages(
        self, table: str, place: str | None, columns: Sequence[str], most: int = 1000
    ) -> AsyncIterator[RecordPage]:
        return self._of(table).pages(table, place, columns, most)

    async def read(self, table: str, keys: Sequence[str], columns: Sequence[str]) -> Mapping[str, Record]:
        return await self._of(table).read(table, keys, columns)

    async def find(
        self, table: str, column: str, values: Sequence[str], columns: Sequence[str], limit: int = 10
    ) -> Sequence[Record]:
        return await self._of(table).find(table, column, values, columns, limit)

    def changes(self, table: str, since: str | None, columns: Sequence[str]) -> AsyncIterator[ChangePage]:
        return self._of(table).changes(table, since, columns)

    async def create(
        self,
        table: str,
        values: Mapping[str, Value],
        columns: Sequence[str],
        *,
        key: str | None,
        within_seconds: float,
    ) -> Record:
        return await self._of(table).create(table, values, columns, key=key, within_seconds=within_seconds)

    async def create_many(
        self, table: str, wanted: Sequence[NewRecord], columns: Sequence[str], *, within_seconds: float
    ) -> Sequence[Record | ConnectorError]:
        return await self._of(table).create_many(table, wanted, columns, within_seconds=within_seconds)

    async def update(
        self, table: str, key: str, values: Mapping[str, Value], columns: Sequence[str], *, version: str | None
    ) -> Record:
        return await self._of(table).update(table, key, values, columns, version=version)

    async def update_many(
        self, table: str, changes: Sequence[Change], columns: Sequence[str], *, within_seconds: float
    ) -> Sequence[Record | ConnectorError]:
        return await self._of(table).update_many(table, changes, columns, within_seconds=within_seconds)

    def of_day(self, table: str, column: str, day: date, columns: Sequence[str]) -> AsyncIterator[Sequence[Record]]:
        return self._of(table).of_day(table, column, day, columns)

    async def delete_many(
        self, table: str, keys: Sequence[str], *, within_seconds: float
    ) -> Sequence[ConnectorError | None]:
        return await self._of(table).delete_many(table, keys, within_seconds=within_seconds)

    async def delete(self, table: str, key: str) -> None:
        await self._of(table).delete(table, key)

    async def note(self, table: str, key: str, seed: str, subject: str, text: str) -> None:
        await self._of(table).note(table, key, seed, subject, text)

    async def metadata(self, table: str) -> TableMetadata:
        return await self._of(table).metadata(table)

    async def survey(self, table: str) -> TableMetadata:
        return await self._of(table).survey(table)

    async def ourselves(self) -> frozenset[str]:
        return frozenset()

    async def identify(self) -> str:
        return await next(iter(self.tables.values())).identify()

    async def profile(self) -> Profile | None:
        return None

    async def ping(self) -> None:
        await next(iter(self.tables.values())).ping()


@cache
def _contacts(text: str) -> Definition:
    """Read once for all worlds."""
    return read_definition(text, "transfers/contact.yaml")


class FamilyWorld(World):
    """A world whose second pair is of contacts."""

    parts = False
    """Whether the ERP's contacts are parts of its customers."""

    def __init__(self, setup: Setup, faults: Faults | None = None, clock: Clock | None = None) -> None:
        super().__init__(setup, faults, clock=clock)
        self.contacts = _contacts(PARTS if self.parts else CONTACTS)
        self.index = Index(definitions=(self.definition, self.contacts))
        self.account_names = list(self.names)
        self.contact_names = [transfer.name for transfer in self.contacts.transfers]
        self.names = [*self.account_names, *self.contact_names]
        self.queue = MemoryQueue(self.clock, [*self.names, QUEUE], Rules(lock_duration=setup.lock))
        self.crm_people = self._people(Side.LEFT, self.crm, chooses=True)
        self.erp_people = self._people(Side.RIGHT, self.erp, chooses=self.parts)
        self.erp_people.owner = "customerId" if self.parts else ""

    def _people(self, side: Side, companies: MemorySystem, *, chooses: bool) -> MemorySystem:
        table = self.contacts.table(side).table
        columns = dict.fromkeys(self.contacts.columns(side))
        enforced = None if chooses else "number"
        if enforced:
            columns[enforced] = None
        people = MemorySystem(
            companies.system,
            companies.instance,
            table,
            columns,
            self.clock,
            chooses,
            enforced_column=enforced,
            version_kind=companies.version_kind,
        )
        people.gate = self._gate(companies.system)
        people.listener = lambda system, key, version: self._tell_of_person(side, key, f"{system}/{key}/{version}")
        return people

    def _tell_of_person(self, side: Side, key: str, change_id: str) -> None:
        if self.rng.random() < self.setup.drop:
            return
        table = self.contacts.table(side).table
        for name in self.contact_names:
            message = Message(
                transfer=name,
                side=side,
                table=table,
                keys=(key,),
                cause="notice",
                occurred_at=self.clock.now(),
                attempt=0,
                correlation_id=change_id,
                change_id=change_id,
            )
            _run_now(self.queue.send(name, [Outgoing(message.message_id(), message.to_json(), None, change_id)]))
            self._wake.set()

    def tell(self, system: str, key: str, change_id: str) -> None:
        """Notices of companies go to the transfers of companies only."""
        everybody, self.names = self.names, self.account_names
        try:
            super().tell(system, key, change_id)
        finally:
            self.names = everybody

    def process(self) -> Pipeline:
        """A fresh process whose connectors have both tables."""
        pipeline = super().process()
        connectors = {
            "dataverse": TwoTables({"account": self.crm, "contact": self.crm_people}),
            "business_central": TwoTables({"customers": self.erp, "contacts": self.erp_people}),
        }
        return Pipeline(replace(pipeline.ports, connectors=connectors), self.index)

    # --- what must hold ---

    async def links_of(self, definition: Definition) -> dict[str, str]:
        """All links of one pair, left to right."""
        connectors = self.process().ports.connectors
        rows = await self.stores.links.page(pair_name(definition, connectors), Side.LEFT, None, 1000)
        return {row.key: row.other for row in rows if row.state is LinkState.LINKED}

    async def check_people(self) -> list[str]:
        """Every contact of a linked company has exactly one partner, which works at that company's partner."""
        companies, people = await self.links_of(self.definition), await self.links_of(self.contacts)
        wrong: list[str] = []
        for key, stored in self.crm_people.records.items():
            company = companies.get(str(stored.values["company"]))
            partner = people.get(key)
            if company is None:
                continue
            if partner is None:
                wrong.append(f"lost: contact {key} has no partner although its company has")
            elif self.erp_people.records[partner].values["customerId"] != company:
                wrong.append(f"misplaced: contact {key} works elsewhere in the ERP")
            else:
                wrong += await self._wrong_fields(key, partner)
        if len(set(people.values())) != len(people) or len(self.erp_people.records) != len(people):
            wrong.append(f"doubled: {len(self.erp_people.records)} contacts in the ERP, {len(people)} links")
        return wrong

    async def _wrong_fields(self, left: str, right: str) -> list[str]:
        """Fields of a linked person that differ, or were written more often than somebody changed them. A record that a
        transfer made counts as one change of every field."""
        wrong, crm, erp = [], self.crm_people, self.erp_people
        names = [transfer.name for transfer in self.contacts.transfers]
        parked = [
            await self.stores.parked.get(name, side, key)
            for name in names
            for side, key in ((Side.LEFT, left), (Side.RIGHT, right))
        ]
        for rule in self.contacts.fields:
            mine, theirs = crm.records[left].values.get(rule.left), erp.records[right].values.get(rule.right)
            if rule.reference is None and mine != theirs and not any(parked):
                wrong.append(f"stale: {rule.left} of {left}")
            writes = crm.writes[left, rule.left] + erp.writes[right, rule.right]
            edits = crm.edits[left, rule.left] + erp.edits[right, rule.right]
            if writes > edits + 1:
                wrong.append(f"needless: {rule.left} of {left} was changed {edits} times and written {writes} times")
        return wrong


def setup_of(seed: int) -> Setup:
    """A family world's settings by a seed."""
    rng = random.Random(seed)
    return Setup(seed=seed, workers=rng.choice([1, 2, 3]), drop=rng.choice([0, 0.3]), own_numbers=rng.random() < 0.5)
