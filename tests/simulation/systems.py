"""Two systems in memory behind the Connector port: quick imitations for simulation, with the behaviour that matters.

They keep versions, enforce keys, normalise what they store, fill in what a template would, and tell whoever listens
about every change, also about our own. The sandboxes imitate the real systems over HTTP; these imitate the port.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import partial

from shared.errors import (
    AlreadyExists,
    ConnectorError,
    FeedExpired,
    ManualNumbersForbidden,
    RecordMissing,
    UnknownResult,
    VersionConflict,
)
from shared.sync.ports import (
    Capabilities,
    Change,
    ChangePage,
    Clock,
    ColumnMetadata,
    ColumnType,
    NewRecord,
    Profile,
    Record,
    RecordPage,
    TableMetadata,
    Value,
    VersionKind,
)

_NAMES = uuid.UUID("9f2f6b7e-0f7b-4a51-9d1e-3f4a7d1c2b60")

Listener = Callable[[str, str, str], None]
Gate = Callable[[str, Callable[[], Awaitable[object]]], Awaitable[object]]


@dataclass
class Stored:
    """A record as the system keeps it."""

    values: dict[str, Value]
    version: int
    changed_at: datetime


@dataclass
class MemorySystem:
    """One system with one table. `gate` stands between caller and system and may fail or lose answers. owner: the
    column that names the record which a record is a part of; the key begins with that one's."""

    system: str
    instance: str
    table: str
    columns: Mapping[str, int | None]
    clock: Clock
    chooses_key: bool
    enforced_column: str | None = None
    manual_numbers: bool = True
    uppercase: frozenset[str] = frozenset()
    template: Mapping[str, Value] = field(default_factory=dict)
    version_kind: VersionKind = VersionKind.OPAQUE
    takes_notes: bool = False
    owner: str = ""
    notes: dict[str, tuple[str, str]] = field(default_factory=dict)
    records: dict[str, Stored] = field(default_factory=dict)
    merged: dict[str, str] = field(default_factory=dict)
    listener: Listener | None = None
    gate: Gate | None = None
    creates: int = 0
    bulk_creates: int = 0
    asked_creates: int = 0
    bulk_updates: int = 0
    updates: int = 0
    deletes: int = 0
    reads: int = 0
    edits: Counter[tuple[str, str]] = field(default_factory=Counter)
    writes: Counter[tuple[str, str]] = field(default_factory=Counter)
    _version: int = 0
    _series: int = 10000
    _deleted: list[tuple[int, str]] = field(default_factory=list)

    # --- what people do in the application ---

    def type_in(self, values: Mapping[str, Value], key: str | None = None) -> str:
        """A person creates or edits a record."""
        if key is None:
            key = str(uuid.uuid5(_NAMES, f"{self.system} typed in {self._version}"))
            self.edits.update((key, name) for name in values)
            return self._insert(key, values)
        self.edits.update((key, name) for name in values)
        self._change(key, values)
        return key

    def remove(self, key: str) -> None:
        """A person deletes a record."""
        del self.records[key]
        self._version += 1
        self._deleted.append((self._version, key))
        self._tell(key)

    def merge(self, loser: str, winner: str) -> None:
        """A person merges two records; both stay."""
        self.merged[loser] = winner
        self._change(loser, {})

    # --- storage ---

    def _insert(self, key: str, values: Mapping[str, Value]) -> str:
        stored = dict.fromkeys(self.columns) | dict(self.template) | {n: self._kept(n, v) for n, v in values.items()}
        if self.enforced_column and not stored.get(self.enforced_column):
            self._series += 1
            stored[self.enforced_column] = str(self._series)
        self._version += 1
        self.records[key] = Stored(stored, self._version, self.clock.now())
        self._tell(key)
        return key

    def _change(self, key: str, values: Mapping[str, Value]) -> None:
        stored = self.records[key]
        new = {name: self._kept(name, value) for name, value in values.items()}
        self._version += 1
        self.records[key] = Stored(stored.values | new, self._version, self.clock.now())
        self._tell(key)

    def _kept(self, name: str, value: Value) -> Value:
        if isinstance(value, str):
            return (value.upper() if name in self.uppercase else value) or None
        return value

    def _tell(self, key: str) -> None:
        if self.listener:
            self.listener(self.system, key, f"{self._version}")

    def _record(self, key: str) -> Record:
        stored = self.records[key]
        version = None if self.version_kind is VersionKind.NONE else f'W/"{stored.version}"'
        return Record(key, version, dict(stored.values), self.merged.get(key))

    # --- the port ---

    def capabilities(self, table: str) -> Capabilities:
        return Capabilities(
            chooses_key=self.chooses_key,
            enforced_columns=frozenset({self.enforced_column} if self.enforced_column else ()),
            version=self.version_kind,
            returns_new_version=True,
            read_after_write=True,
            longest_run=timedelta(minutes=20),
            keys_per_read=50,
            notes=self.takes_notes,
            owner=self.owner,
            days=True,
            deletes_many=True,
        )

    def canonical_key(self, table: str, key: str) -> str:
        owner, slash, part = key.rpartition("/")
        return f"{owner}{slash}{uuid.UUID(part)}"

    def derived_key(self, table: str, seed: str, values: Mapping[str, Value]) -> str:
        part = str(uuid.uuid5(_NAMES, f"{self.system}|{seed}"))
        return f"{values[self.owner]}/{part}" if self.owner else part

    def watermark_at(self, table: str, at: datetime, no_later_than: str | None = None) -> str | None:
        moments = [at] if no_later_than is None or self.chooses_key else [at, datetime.fromisoformat(no_later_than)]
        return None if self.chooses_key else min(moments).isoformat()

    async def pages(
        self, table: str, place: str | None, columns: Sequence[str], most: int = 1000
    ) -> AsyncIterator[RecordPage]:
        more = True
        while more:
            page = await self._pass("pages", partial(self._listed, place, most))
            assert isinstance(page, RecordPage)
            yield page
            place, more = page.place, page.place is not None

    async def _listed(self, place: str | None, most: int) -> RecordPage:
        if place is not None and place not in self.records and not self.chooses_key:
            raise FeedExpired(self.system)
        keys = [key for key in sorted(self.records) if place is None or key > place][:most]
        return RecordPage([self._record(key) for key in keys], keys[-1] if len(keys) == most else None)

    async def of_day(
        self, table: str, column: str, day: date, columns: Sequence[str]
    ) -> AsyncIterator[Sequence[Record]]:
        """Two records on a page, each page as it is when it is asked for, behind the last one told."""

        async def page() -> list[Record]:
            keys = [key for key, one in self.records.items() if one.values.get(column) == day and key > last]
            return [self._record(key) for key in sorted(keys)[:2]]

        last, told = "", True
        while told:
            found = await self._pass("of day", page)
            assert isinstance(found, list)
            yield found
            last, told = (found[-1].key, True) if found else (last, False)

    async def _pass(self, name: str, do: Callable[[], Awaitable[object]]) -> object:
        return await (self.gate(name, do) if self.gate else do())

    async def read(self, table: str, keys: Sequence[str], columns: Sequence[str]) -> Mapping[str, Record]:
        async def do() -> dict[str, Record]:
            self.reads += 1
            return {key: self._record(key) for key in keys if key in self.records}

        found = await self._pass("read", do)
        assert isinstance(found, dict)
        return found

    async def find(
        self, table: str, column: str, values: Sequence[str], columns: Sequence[str], limit: int = 10
    ) -> Sequence[Record]:
        wanted = {value.casefold() for value in values}

        async def do() -> list[Record]:
            hits = [k for k, s in self.records.items() if str(s.values.get(column) or "").casefold() in wanted]
            return [self._record(key) for key in hits[:limit]]

        found = await self._pass("find", do)
        assert isinstance(found, list)
        return found

    async def changes(self, table: str, since: str | None, columns: Sequence[str]) -> AsyncIterator[ChangePage]:
        async def do() -> ChangePage:
            return self._page(since)

        if table != self.table:
            return  # what only names records of ours is in no feed here
        page = await self._pass("changes", do)
        assert isinstance(page, ChangePage)
        yield page

    def _page(self, since: str | None) -> ChangePage:
        """Ordered by version where we choose keys (a delta token), by time with overlap where the ERP gives them."""
        if self.chooses_key:
            after = int(since or 0)
            changed = [self._record(key) for key, stored in self.records.items() if stored.version > after]
            return ChangePage(changed, [key for at, key in self._deleted if at > after], str(self._version))
        after_time = datetime.fromisoformat(since) - timedelta(minutes=10) if since else None
        fresh = [k for k, s in self.records.items() if after_time is None or s.changed_at > after_time]
        newest = max((s.changed_at for s in self.records.values()), default=None)
        return ChangePage([self._record(k) for k in fresh], [], newest.isoformat() if newest else since)

    async def create(
        self,
        table: str,
        values: Mapping[str, Value],
        columns: Sequence[str],
        *,
        key: str | None,
        within_seconds: float,
    ) -> Record:
        async def do() -> Record:
            return self._create(values, key)

        created = await self._pass("create", do)
        assert isinstance(created, Record)
        return created

    async def create_many(
        self, table: str, wanted: Sequence[NewRecord], columns: Sequence[str], *, within_seconds: float
    ) -> Sequence[Record | ConnectorError]:
        async def do() -> list[Record | ConnectorError]:
            self.bulk_creates += 1
            self.asked_creates += len(wanted)
            return [self._created(one) for one in wanted]

        try:
            made = await self._pass("create", do)
        except UnknownResult:
            return [UnknownResult(self.system) for _ in wanted]
        assert isinstance(made, list)
        return made

    def _created(self, one: NewRecord) -> Record | ConnectorError:
        try:
            return self._create(one.values, one.key)
        except ConnectorError as error:
            return error

    def _create(self, values: Mapping[str, Value], key: str | None) -> Record:
        number = values.get(self.enforced_column) if self.enforced_column else None
        if number and not self.manual_numbers:
            raise ManualNumbersForbidden(self.system)
        column = self.enforced_column or ""
        taken = {stored.values.get(column) for stored in self.records.values()} if number else set()
        if key in self.records or number in taken:
            raise AlreadyExists(self.system)
        if self.owner and str(key).rpartition("/")[0] != values.get(self.owner):
            raise ValueError("the key names another owner")
        self.creates += 1
        return self._record(
            self._insert(key or str(uuid.uuid5(_NAMES, f"{self.system} created {self._version}")), values)
        )

    async def update(
        self, table: str, key: str, values: Mapping[str, Value], columns: Sequence[str], *, version: str | None
    ) -> Record:
        async def do() -> Record:
            return self._update(Change(key, values, version))

        updated = await self._pass("update", do)
        assert isinstance(updated, Record)
        return updated

    async def update_many(
        self, table: str, changes: Sequence[Change], columns: Sequence[str], *, within_seconds: float
    ) -> Sequence[Record | ConnectorError]:
        async def do() -> list[Record | ConnectorError]:
            self.bulk_updates += 1
            return [self._updated(one) for one in changes]

        try:
            updated = await self._pass("update", do)
        except UnknownResult:
            return [UnknownResult(self.system) for _ in changes]
        assert isinstance(updated, list)
        return updated

    def _updated(self, one: Change) -> Record | ConnectorError:
        try:
            return self._update(one)
        except ConnectorError as error:
            return error

    def _update(self, one: Change) -> Record:
        if one.key not in self.records:
            raise RecordMissing(self.system)
        if one.version is not None and one.version != self._record(one.key).version:
            raise VersionConflict(self.system)
        if self.owner in one.values:
            raise ValueError("a part of another owner is another record")
        self.updates += 1
        self.writes.update((one.key, name) for name in one.values)
        self._change(one.key, one.values)
        return self._record(one.key)

    async def delete_many(
        self, table: str, keys: Sequence[str], *, within_seconds: float
    ) -> Sequence[ConnectorError | None]:
        async def do() -> list[ConnectorError | None]:
            for key in keys:
                if key in self.records:
                    self.deletes += 1
                    self.remove(key)
            return [None for _ in keys]

        try:
            done = await self._pass("delete", do)
        except UnknownResult:
            return [UnknownResult(self.system) for _ in keys]
        assert isinstance(done, list)
        return done

    async def delete(self, table: str, key: str) -> None:
        async def do() -> None:
            if key in self.records:
                self.remove(key)

        await self._pass("delete", do)

    async def note(self, table: str, key: str, seed: str, subject: str, text: str) -> None:
        async def do() -> None:
            self.notes.setdefault(seed, (key, text))

        await self._pass("note", do)

    async def metadata(self, table: str) -> TableMetadata:
        own = {name.partition(".")[0]: length for name, length in self.columns.items()}
        columns = {name: ColumnMetadata(name, ColumnType.TEXT, length) for name, length in own.items()}
        return TableMetadata(table, columns)

    async def survey(self, table: str) -> TableMetadata:
        return await self.metadata(table)

    async def profile(self) -> Profile | None:
        return None

    async def ourselves(self) -> frozenset[str]:
        return frozenset()

    async def identify(self) -> str:
        async def do() -> str:
            return self.instance

        answered = await self._pass("identify", do)
        assert isinstance(answered, str)
        return answered

    async def ping(self) -> None:
        async def do() -> None:
            return None

        await self._pass("ping", do)
