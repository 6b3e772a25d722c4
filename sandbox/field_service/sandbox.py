"""The sandboxes of field service, with doors for tests and for people in the application."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import httpx
from starlette.types import ASGIApp

from sandbox.admin import admin_app
from sandbox.clock import Clock
from sandbox.disk import Disk
from sandbox.faults import Faults, NoticeFaults
from sandbox.field_service.designing import designer_routes
from sandbox.field_service.errors import Failures
from sandbox.field_service.fsm import Fsm, Perform
from sandbox.field_service.ifs_cloud import IfsCloud
from sandbox.field_service.messages import Write, event_action, fsm_json, xml
from sandbox.field_service.options import FsmOptions, IfsCloudOptions
from sandbox.field_service.outbound import Outbound, Proof, Receiver
from sandbox.field_service.realm import Realm
from sandbox.field_service.records import Records
from sandbox.field_service.service import Service
from sandbox.field_service.store import Store
from sandbox.field_service.tables import Column, Table, tables_of
from sandbox.field_service.values import Forms, FsmForms, IfsCloudForms, shown_row
from sandbox.front import FrontDoor
from sandbox.per_minute import PerMinute
from sandbox.request_log import RequestLog
from sandbox.rows_on_disk import Row
from sandbox.tokens import TokenIssuer


class FieldServiceSandbox(ABC):
    """What both dialects have: one database, and doors.

    `app` is the ASGI application, `/_sandbox` for people beside the vendor's routes. With `persist` everything answered
    is in that file first; without it the memory is all there is. The doors `add`, `edit` and `delete` are a person in
    the application, with the rules of the tables; they take and give values as the dialect writes them in JSON, and
    raise `Refused`. `add_table`, `drop_table`, `add_column`, `drop_column` and `rename_column` are a person who changes
    the application itself; the schema shows it at once.
    """

    writes: ClassVar[Mapping[str, Write]]
    """How the dialect words outbound messages, by their media."""

    def __init__(
        self,
        name: str,
        *,
        clock: Clock,
        persist: Path | None,
        seed: int,
        post: httpx.AsyncClient | None,
        tables: Mapping[str, Table],
        forms: Forms,
    ) -> None:
        self.faults = Faults(seed)
        self.notice_faults = NoticeFaults(seed=seed)
        self.requests = RequestLog(name)
        self._disk = Disk(persist)
        self._store = Store(clock.now, self._disk, tables, forms)
        self._store.load()
        self._outbound = Outbound(self._store, forms, clock, self.notice_faults, post)
        self._records = Records(self._store, forms, self._outbound)
        self._limit = PerMinute(clock, self._most)
        self._service = self._made()
        self.app: ASGIApp = FrontDoor(
            self._service,
            admin_app(self, designer_routes(self)),
            faults=self.faults,
            requests=self.requests,
            clock=clock,
            answers=Failures(),
        )

    @abstractmethod
    def _made(self) -> Service:
        """The dialect's service."""

    @abstractmethod
    def _most(self) -> int:
        """How many requests are taken within a minute; 0 is no limit."""

    @abstractmethod
    def set(self, **options: Any) -> None:
        """Change options of the dialect while it serves."""

    def reset(self) -> None:
        """Empty the installation, as after a fresh start."""
        self._store.clear()
        self._limit.clear()
        self._outbound.clear()

    async def aclose(self) -> None:
        """Close the client of outbound messages, unless it was given, and the file."""
        await self._outbound.aclose()
        self._disk.close()

    # --- outbound messages ---

    def tell(
        self,
        url: str,
        secret: str,
        *,
        media: str = "application/json",
        proof: Proof = Proof.HEADER,
        tables: Collection[str] | None = None,
        names: Mapping[str, str] | None = None,
        every: bool = False,
        receiver: str = "crossdock",
    ) -> None:
        """Post changes by people to an address from now on, or with `every` those by the interface, too.

        media: `application/json` or `application/xml`. tables: None is all. names: of records in messages, where they
        differ from the tables'. receiver: who it is; another address takes the place of the one before.
        """
        wanted = None if tables is None else frozenset(tables)
        self._outbound.receivers[receiver] = Receiver(
            url, secret, self.writes[media], media, proof, wanted, dict(names or {}), every
        )

    @property
    def refused(self) -> Sequence[int]:
        """The statuses of the messages that were given up; 0 is no answer."""
        return tuple(self._outbound.refused)

    async def deliver_due(self) -> int:
        """Post the messages that are due now; returns how many were posted."""
        return await self._outbound.outbox.deliver_due()

    async def flush(self) -> int:
        """Post all waiting messages now, due or not; returns how many were posted."""
        return await self._outbound.outbox.flush()

    async def run_deliveries(self) -> None:
        """Post messages as they fall due, until cancelled."""
        await self._outbound.outbox.run()

    def waiting_notices(self) -> int:
        """Count the messages that have not been posted yet."""
        return self._outbound.outbox.waiting()

    # --- rows ---

    def rows(self, table: str) -> Mapping[str, Mapping[str, Any]]:
        """Return all rows of a table by key. KeyError if unknown."""
        return {key: self._shown(table, row) for key, row in self._store.rows(self._store.tables[table].name)}

    def add(self, table: str, values: Mapping[str, Any]) -> str:
        """Add a record as a person does; returns its key."""
        key, _ = self._records.create(self._store.tables[table], values, by_person=True)
        self._store.commit()
        return key

    def edit(self, table: str, key: str, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """Change a record as a person does; returns it."""
        row = self._records.change(self._store.tables[table], key, values, by_person=True)
        self._store.commit()
        return self._shown(table, row)

    def delete(self, table: str, key: str) -> None:
        """Delete a record as a person does."""
        self._records.delete(self._store.tables[table], key, by_person=True)
        self._store.commit()

    # --- tables ---

    def add_table(
        self,
        name: str,
        keys: Sequence[str],
        columns: Sequence[Mapping[str, Any]],
        *,
        label: str = "",
        navigation: Mapping[str, Any] | None = None,
    ) -> None:
        """Add a table; columns and navigation as the files of tables say them. ValueError if it makes no table."""
        if name in self._store.tables:
            raise ValueError(f"{name} is there already")
        said = {"label": label, "keys": list(keys), "columns": list(columns), "navigation": navigation or {}}
        self._store.define(Table.read(name, said))
        self._store.commit()

    def drop_table(self, name: str) -> None:
        """Take a table away, with what it holds."""
        self._store.drop_table(name)
        self._store.commit()

    def add_column(self, table: str, **column: Any) -> None:
        """Add a column to a table, as the files of tables say it: name, type, length, required, choices ..."""
        self._store.add_column(table, Column.read(column))
        self._store.commit()

    def drop_column(self, table: str, name: str) -> None:
        """Take a column away, with what it holds; ValueError for a key."""
        self._store.drop_column(table, name)
        self._store.commit()

    def rename_column(self, table: str, old: str, new: str) -> None:
        """Give a column another name; ValueError for a key."""
        self._store.rename_column(table, old, new)
        self._store.commit()

    # --- inside ---

    def _shown(self, table: str, row: Row) -> Mapping[str, Any]:
        return shown_row(self._store.tables[table], row, self._records.forms)


class FsmSandbox(FieldServiceSandbox):
    """An imitation of one FSM 6.x server under `base_path`. post: the client for outbound messages."""

    writes: ClassVar[Mapping[str, Write]] = {"application/json": fsm_json, "application/xml": xml}

    def __init__(
        self,
        *,
        clock: Clock,
        issuer: TokenIssuer,
        base_path: str = "",
        persist: Path | None = None,
        seed: int = 0,
        post: httpx.AsyncClient | None = None,
        options: FsmOptions | None = None,
    ) -> None:
        self.options = options or FsmOptions()
        self._issuer = issuer
        self._base_path = base_path
        forms = FsmForms(self.options.zone, self.options.flags)
        tables = tables_of("fsm_tables.json")
        super().__init__("fsm", clock=clock, persist=persist, seed=seed, post=post, tables=tables, forms=forms)

    def _made(self) -> Service:
        self._fsm = Fsm(self._base_path, self._records, lambda: self.options, self._limit, self._issuer)
        return self._fsm

    def _most(self) -> int:
        return self.options.requests_per_minute

    def set(self, **options: Any) -> None:
        """Change options while it serves; the forms of times and flags stay."""
        self.options = replace(self.options, **options)

    def perform(self, message: str, by: Perform) -> None:
        """Have a message that the interface can ask to perform, and what becomes of it."""
        self._fsm.messages[message] = by


class IfsCloudSandbox(FieldServiceSandbox):
    """An imitation of one environment of IFS Cloud, its sign-in included. post: the client for outbound messages."""

    writes: ClassVar[Mapping[str, Write]] = {"application/json": event_action, "application/xml": xml}

    def __init__(
        self,
        *,
        clock: Clock,
        issuer: TokenIssuer,
        persist: Path | None = None,
        seed: int = 0,
        post: httpx.AsyncClient | None = None,
        options: IfsCloudOptions | None = None,
    ) -> None:
        self.options = options or IfsCloudOptions()
        self._issuer = issuer
        tables = tables_of("ifs_cloud_tables.json")
        super().__init__(
            "ifs_cloud", clock=clock, persist=persist, seed=seed, post=post, tables=tables, forms=IfsCloudForms()
        )

    def _made(self) -> Service:
        realm = Realm(self._issuer, lambda: self.options)
        return IfsCloud(self._records, lambda: self.options, self._limit, realm)

    def _most(self) -> int:
        return self.options.requests_per_minute

    def set(self, **options: Any) -> None:
        """Change options while it serves."""
        self.options = replace(self.options, **options)
