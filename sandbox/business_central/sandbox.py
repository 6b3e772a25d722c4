"""The sandbox of Business Central online: one environment, with doors for tests and for people in the application."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import httpx
from starlette.types import ASGIApp

from sandbox.admin import admin_app
from sandbox.business_central import items, small_tables
from sandbox.business_central.api import Api, create, delete, edit
from sandbox.business_central.contacts import is_customer_contact
from sandbox.business_central.crm_entities import EVERY, EXTENSION
from sandbox.business_central.entities import TABLES, EntityType
from sandbox.business_central.errors import no_such_segment
from sandbox.business_central.limits import Limits
from sandbox.business_central.notices import Notices
from sandbox.business_central.records import Session
from sandbox.business_central.relations import relate
from sandbox.business_central.service import Failures, Service
from sandbox.business_central.setup import BusinessCentralOptions, Company
from sandbox.business_central.showing import shown
from sandbox.business_central.store import ENVIRONMENT, Held, Store, Work
from sandbox.business_central.subscriptions import Subscriptions
from sandbox.business_central.values import Row
from sandbox.clock import Clock
from sandbox.disk import Disk
from sandbox.faults import Faults, NoticeFaults
from sandbox.front import FrontDoor
from sandbox.request_log import RequestLog
from sandbox.tokens import TokenIssuer

_ResultT = TypeVar("_ResultT")


@dataclass(frozen=True)
class HeldEdit:
    """A change that has begun and is not committed."""

    sandbox: BusinessCentralSandbox
    company_id: str
    entity_set: str
    record_id: str
    body: Mapping[str, Any]
    held: Held

    async def commit(self) -> dict[str, Any]:
        """Make it visible, with the time and the row version of its beginning."""
        return self.sandbox.finish_edit(self)


class BusinessCentralSandbox:
    """An imitation of one environment of Business Central online, API v2.0.

    `app` is the ASGI application: the vendor's routes, and `/_sandbox` for people. `base_url` is where it is
    reached; links in answers start with it. With `persist` everything answered is in that file first and is there
    again after a restart with the same companies; without it the memory is all there is. Notices go out when
    `deliver_due` or the task `run_deliveries` is asked to, through `post` (None = an own client). The same seed and
    the same history give the same ids, etags and faults.

    The doors `create`, `edit`, `delete` are a person in the application: the same rules, new etags, notices. They
    raise `sandbox.business_central.ApiError` where the application would refuse.
    """

    def __init__(
        self,
        *,
        base_url: str,
        tenant: str,
        environment: str,
        companies: Sequence[Company],
        clock: Clock,
        issuer: TokenIssuer,
        persist: Path | None = None,
        seed: int = 0,
        post: httpx.AsyncClient | None = None,
        options: BusinessCentralOptions | None = None,
    ) -> None:
        self.options = options or BusinessCentralOptions()
        self.companies = {company.id.lower(): company for company in companies}
        self.faults = Faults(seed)
        self.notice_faults = NoticeFaults(seed=seed)
        self.requests = RequestLog("business_central")
        self._disk = Disk(persist)
        self._store = Store({company.id: company.name for company in companies}, clock.now, self._disk, seed)
        self._limits = Limits(clock, self.options)
        self._notices = Notices(self._store, clock, self.options, self.notice_faults, post)
        self._subscriptions = Subscriptions(self._store, clock, self.options, self.companies, self._notices)
        self._service = Service(
            base_url=base_url,
            tenant=tenant,
            environment=environment,
            apis=self._apis(list(companies)),
            store=self._store,
            clock=clock,
            issuer=issuer,
            options=self.options,
            subscriptions=self._subscriptions,
            notices=self._notices,
            limits=self._limits,
            seed=seed,
        )
        self.app: ASGIApp = FrontDoor(
            self._service,
            admin_app(_Administered(self)),
            faults=self.faults,
            requests=self.requests,
            clock=clock,
            answers=Failures(),
        )
        if self._store.load():
            self._notices.wake_all()
        self._seed_missing()

    def _apis(self, companies: Sequence[Company]) -> Mapping[str, Api]:
        standard = {"v2.0": Api(companies, self.options)}
        if not self.options.extension:
            return standard
        return standard | {self.options.extension: Api(companies, self.options, EXTENSION)}

    def _seed_missing(self) -> None:
        """Fill the companies that hold nothing yet."""
        work = self._store.begin()
        for company in self.companies.values():
            session = Session(work, company, self.options)
            if not session.table("numberSeries").rows:
                small_tables.seed(session)
        work.commit()

    def reset(self) -> None:
        """Empty the environment, as after a fresh start: companies as seeded, no subscriptions, nothing waiting."""
        self._store.clear()
        self._notices.clear()
        self._limits.clear()
        self._seed_missing()

    async def aclose(self) -> None:
        """Close the file and the own client."""
        self._disk.close()
        await self._notices.aclose()

    @property
    def granted(self) -> int:
        """How many requests the limits have let through, each part of a batch being one."""
        return self._limits.granted

    # --- doors ---

    def rows(self, company_id: str, entity_set: str) -> dict[str, dict[str, Any]]:
        """Return all rows of an entity set by id, as the interface shows them."""
        session, entity = self._at(company_id, entity_set)
        rows = session.table(entity.table).rows.items()
        return {row_id: shown(session, entity, row) for row_id, row in rows if _belongs(entity, row)}

    async def create(self, company_id: str, entity_set: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Create a record as a person in the application does; returns it as the interface shows it."""
        session, entity = self._at(company_id, entity_set)
        return self._written(session, entity, lambda: create(session, entity, body))

    async def edit(self, company_id: str, entity_set: str, record_id: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Change a record as a person in the application does; returns it as the interface shows it."""
        session, entity = self._at(company_id, entity_set)
        row = self._row(session, entity, record_id)
        return self._written(session, entity, lambda: edit(session, entity, row, body))

    def begin_edit(self, company_id: str, entity_set: str, record_id: str, body: Mapping[str, Any]) -> HeldEdit:
        """Begin a person's change that takes a while: it has its time and row version, and nobody sees it yet."""
        session, entity = self._at(company_id, entity_set)
        self._row(session, entity, record_id)
        return HeldEdit(self, company_id, entity_set, record_id, body, self._store.hold())

    def finish_edit(self, edit_: HeldEdit) -> dict[str, Any]:
        """Commit what `begin_edit` has begun."""
        company = self.companies[edit_.company_id.lower()]
        session = Session(self._store.begin(held=edit_.held), company, self.options)
        entity = EVERY[edit_.entity_set]
        row = self._row(session, entity, edit_.record_id)
        return self._written(session, entity, lambda: edit(session, entity, row, edit_.body))

    async def delete(self, company_id: str, entity_set: str, record_id: str) -> None:
        """Delete a record as a person in the application does."""
        session, entity = self._at(company_id, entity_set)
        row = self._row(session, entity, record_id)
        self._work(session.work, lambda: delete(session, entity, row))

    async def book(self, company_id: str, customer_id: str, amount: Decimal, due: date) -> None:
        """Post an amount on a customer's account: its balance changes, and it can no longer be deleted."""
        session, entity = self._at(company_id, "customers")
        customer = self._row(session, entity, customer_id)
        self._work(session.work, lambda: small_tables.ledger_entry(session, customer, amount, due))

    async def stock(self, company_id: str, item_id: str, quantity: Decimal) -> None:
        """Post a quantity of an item that comes in, or goes out where it is negative."""
        session, entity = self._at(company_id, "items")
        item = self._row(session, entity, item_id)
        self._work(session.work, lambda: items.book(session, item, quantity))

    async def relate(self, company_id: str, contact_id: str, kind: str) -> None:
        """Relate a contact to a record of another table than customers, such as `Vendor`, as a person does."""
        session, entity = self._at(company_id, "contacts")
        contact = self._row(session, entity, contact_id)
        self._work(session.work, lambda: relate(session, contact, kind))

    def subscriptions(self) -> list[Row]:
        """Return the subscriptions that have not expired."""
        return self._subscriptions.rows()

    def forget_subscriptions(self) -> None:
        """Delete all subscriptions, as copying or restoring an environment does."""
        self._subscriptions.forget()

    # --- notices ---

    async def deliver_due(self) -> int:
        """Send the notices that are due; returns the number of requests made."""
        return await self._notices.deliver_due()

    async def run_deliveries(self) -> None:
        """Send notices as they fall due, until cancelled."""
        await self._notices.run()

    async def flush(self) -> int:
        """Send all waiting notices once, due or not; returns the number of requests made."""
        return await self._notices.flush()

    def waiting_notices(self) -> int:
        """Count the notices that wait, for their time or for a repetition."""
        return self._notices.waiting()

    # --- inside ---

    def _at(self, company_id: str, entity_set: str) -> tuple[Session, EntityType]:
        company = self.companies[company_id.lower()]
        return Session(self._store.begin(), company, self.options), EVERY[entity_set]

    def _row(self, session: Session, entity: EntityType, record_id: str) -> Row:
        row = session.table(entity.table).rows.get(record_id.lower())
        if row is None or not _belongs(entity, row):
            raise no_such_segment(entity.entity_set)
        return row

    def _written(self, session: Session, entity: EntityType, write: Callable[[], Row]) -> dict[str, Any]:
        return shown(session, entity, self._work(session.work, write))

    def _work(self, work: Work, write: Callable[[], _ResultT]) -> _ResultT:
        try:
            result = write()
        except Exception:
            work.undo()
            raise
        self._service.finish(work, by_person=True)
        return result


def _belongs(entity: EntityType, row: Row) -> bool:
    return entity.name != "customerContact" or is_customer_contact(row)


class _Administered:
    """The sandbox as the admin routes see it: tables across all companies."""

    def __init__(self, sandbox: BusinessCentralSandbox) -> None:
        self._sandbox = sandbox
        self.faults = sandbox.faults
        self.notice_faults = sandbox.notice_faults
        self.requests = sandbox.requests

    def rows(self, table: str) -> Mapping[str, Mapping[str, Any]]:
        """Return an entity set's or an inner table's rows of all companies, or one of the environment's tables."""
        sandbox = self._sandbox
        if table in ("subscriptions", "notices"):
            return dict(sandbox._store.table(ENVIRONMENT, table).rows)
        found: dict[str, Mapping[str, Any]] = {}
        for company in sandbox.companies.values():
            if table in EVERY and EVERY[table].table:
                rows: Mapping[str, Mapping[str, Any]] = sandbox.rows(company.id, table)
            elif table in TABLES:
                rows = sandbox._store.table(company.id, table).rows
            else:
                raise KeyError(table)
            found.update({f"{company.id}/{row_id}": {"company": company.name, **row} for row_id, row in rows.items()})
        return found

    def reset(self) -> None:
        """Empty the sandbox."""
        self._sandbox.reset()

    async def flush(self) -> int:
        """Send all waiting notices now."""
        return await self._sandbox.flush()
