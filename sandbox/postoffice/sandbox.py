"""The sandbox of one site's PostOffice, with doors for tests and for people in the application."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from starlette.types import ASGIApp

from sandbox.admin import admin_app
from sandbox.clock import Clock
from sandbox.disk import Disk
from sandbox.faults import Faults, NoticeFaults
from sandbox.front import FrontDoor
from sandbox.postoffice import csv_drop
from sandbox.postoffice.api import CRM, POST_OFFICE, Api
from sandbox.postoffice.errors import SYSTEM, not_found
from sandbox.postoffice.options import PostOfficeOptions
from sandbox.postoffice.service import Service
from sandbox.postoffice.showing import shown
from sandbox.postoffice.store import Store
from sandbox.postoffice.tables import LOCKED_FIELDS, LOCKED_PARTS, Table
from sandbox.problems import ApiError, Failures
from sandbox.request_log import RequestLog
from sandbox.rows_on_disk import Row
from sandbox.tokens import TokenIssuer


class PostOfficeSandbox:
    """An imitation of one site's PostOffice behind the contract.

    `app` is the ASGI application: the contract's routes under `{base_path}/v1`, and `/_sandbox` for people. With
    `persist` everything answered is in that file first; without it the memory is all there is. The doors `create`,
    `edit`, `delete`, `put_part`, `drop_part` are a person in the application: the same rules, and of a record that the
    CRM masters the locked parts are refused, unless the change goes past the application, into the database. They raise
    `ApiError`.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        issuer: TokenIssuer,
        base_path: str = "",
        persist: Path | None = None,
        seed: int = 0,
        options: PostOfficeOptions | None = None,
    ) -> None:
        self.options = options or PostOfficeOptions()
        self.faults = Faults(seed)
        self.notice_faults = NoticeFaults(seed=seed)
        self.requests = RequestLog("postoffice")
        self._disk = Disk(persist)
        self._store = Store(clock.now, self._disk, self.options.tables)
        self._store.load()
        self._api = Api(self._store, self.options)
        self._service = Service(
            base_path=base_path, api=self._api, store=self._store, options=self.options, clock=clock, issuer=issuer
        )
        self.app: ASGIApp = FrontDoor(
            self._service,
            admin_app(self),
            faults=self.faults,
            requests=self.requests,
            clock=clock,
            answers=Failures(SYSTEM),
        )

    def reset(self) -> None:
        """Empty the site, as after a fresh start."""
        self._store.clear()
        self._service.clear()
        self._api.statistics.forget()

    async def flush(self) -> int:
        """Deliver waiting notices: PostOffice has none."""
        return 0

    async def aclose(self) -> None:
        """Close the file."""
        self._disk.close()

    # --- doors ---

    @property
    def is_test_system(self) -> bool:
        """The database's own mark of being a test system."""
        return self._api.is_test_system

    def mark_as_test_system(self, is_test: bool) -> None:
        """Set that mark."""
        self._api.is_test_system = is_test

    def rows(self, table: str) -> Mapping[str, Mapping[str, Any]]:
        """Return all rows of a table by id with their parts; also `journal` and `statistics`. KeyError if unknown."""
        if table in ("journal", "statistics"):
            return {key: one if isinstance(one, dict) else {"sums": one} for key, one in self._small(table)}
        return {row_id: self._shown(self._store.tables[table], row_id, row) for row_id, row in self._store.rows(table)}

    def create(self, table: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Create a record as a person does; returns it with its parts."""
        row_id, row = self._api.create(self._store.tables[table], body, POST_OFFICE)
        return self._done(self._store.tables[table], row_id, row)

    def edit(self, table: str, row_id: str, body: Mapping[str, Any], *, past_the_lock: bool = False) -> dict[str, Any]:
        """Change a record as a person does; returns it with its parts."""
        locked = LOCKED_FIELDS | LOCKED_PARTS
        self._check_lock(table, row_id, past_the_lock or not locked & body.keys())
        return self._done(self._store.tables[table], row_id, self._api.change(self._store.tables[table], row_id, body))

    def put_part(
        self, table: str, row_id: str, name: str, key: str, body: Mapping[str, Any], *, past_the_lock: bool = False
    ) -> dict[str, Any]:
        """Put a sub-record as a person does; returns the record with its parts."""
        self._check_lock(table, row_id, past_the_lock)
        return self._done(
            self._store.tables[table], row_id, self._api.put_part(self._store.tables[table], row_id, name, key, body)
        )

    def drop_part(self, table: str, row_id: str, name: str, key: str, *, past_the_lock: bool = False) -> dict[str, Any]:
        """Take a sub-record away as a person does; returns the record with its parts."""
        self._check_lock(table, row_id, past_the_lock)
        return self._done(
            self._store.tables[table], row_id, self._api.drop_part(self._store.tables[table], row_id, name, key)
        )

    def delete(self, table: str, row_id: str) -> None:
        """Delete a record as a person does."""
        row = self._row(table, row_id)
        self._store.write(table, row_id, row, deleted=True)
        self._store.commit()

    def ship(
        self,
        customer_id: str,
        service_id: str,
        day: date,
        *,
        items: int,
        grams: int = 0,
        amount: Decimal = Decimal(0),
        cost_centre_id: str | None = None,
    ) -> None:
        """Set what was shipped on a day, of a customer's service; no items take the row away, as a correction may."""
        self._api.statistics.book(customer_id, cost_centre_id, service_id, day, (items, grams, amount))
        self._store.commit()

    def export_csv(self, folder: Path, first: date, last: date) -> list[Path]:
        """Write the read-only lists as files, as the export module does; returns them."""
        return csv_drop.export(folder, self._store, self._api.statistics, first, last)

    # --- inside ---

    def _small(self, space: str) -> list[tuple[str, Any]]:
        return list(self._store.spaces[space].items())

    def _row(self, table: str, row_id: str) -> Row:
        row = self._store.get(table, row_id)
        if row is None:
            raise not_found(table)
        return row

    def _check_lock(self, table: str, row_id: str, allowed: bool) -> None:
        if not allowed and self._store.tables[table].mastered and self._row(table, row_id)["master"] == CRM:
            raise ApiError(409, "CrmMastered", "This is maintained in the CRM.")

    def _done(self, table: Table, row_id: str, row: Row) -> dict[str, Any]:
        self._store.commit()
        return self._shown(table, row_id, row)

    def _shown(self, table: Table, row_id: str, row: Row) -> dict[str, Any]:
        return shown(table, row_id, row, versions=True, expand=list(table.parts))
