"""The Dataverse sandbox: puts the parts together, and gives tests and local runs their doors in Python."""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from starlette.types import ASGIApp

from sandbox.admin import admin_app
from sandbox.clock import Clock
from sandbox.dataverse import registrations
from sandbox.dataverse.bulk import BulkMessages
from sandbox.dataverse.bulk_delete import BulkDeletes
from sandbox.dataverse.context import Caller, ContextWriter, Organization
from sandbox.dataverse.customizing import ENGLISH, Customizations
from sandbox.dataverse.definitions import Definitions
from sandbox.dataverse.files import Files
from sandbox.dataverse.limits import Limits
from sandbox.dataverse.merging import Merges
from sandbox.dataverse.metadata import Table, load_model
from sandbox.dataverse.metadata_api import MetadataApi
from sandbox.dataverse.notices import Notices
from sandbox.dataverse.notifying import Notifying
from sandbox.dataverse.options import DataverseOptions
from sandbox.dataverse.reading import Reader
from sandbox.dataverse.records import Records
from sandbox.dataverse.registrations import HTTP_HEADER, WEBHOOK, Registrations
from sandbox.dataverse.routes import Refusals, WebApi
from sandbox.dataverse.rows import RowApi
from sandbox.dataverse.security import Security
from sandbox.dataverse.store import Store
from sandbox.dataverse.values import BodyReader
from sandbox.disk import Disk
from sandbox.faults import Faults, NoticeFaults
from sandbox.front import FrontDoor
from sandbox.request_log import RequestLog
from sandbox.tokens import TokenIssuer

APP_NAME = "sandbox_Sales"


class DataverseSandbox:
    """An imitated organisation. `base_url` is its address without a trailing slash, also the token's audience.

    `post` delivers webhooks; None makes a real client when it is first needed. `persist` names the file that keeps
    rows, versions, keys, registrations and waiting notices; a sandbox made on the same file goes on where the last
    one stopped. Deliveries happen in `deliver_due`, `flush` or `run_deliveries`, never by themselves.
    """

    def __init__(
        self,
        *,
        base_url: str,
        organization_id: str,
        clock: Clock,
        issuer: TokenIssuer,
        persist: Path | None = None,
        seed: int = 0,
        post: httpx.AsyncClient | None = None,
        options: DataverseOptions | None = None,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self.organization_id = organization_id
        self.options = options or DataverseOptions()
        self.clock = clock
        self.faults = Faults(seed)
        self.notice_faults = NoticeFaults(seed=seed)
        self.requests = RequestLog("dataverse")
        self._model = load_model()
        self._disk = Disk(persist)
        self._customizations = Customizations(self._model, self._disk, self.options.untracked)
        self._store = Store(self._model, clock, self._disk)
        self._random = random.Random(f"dataverse {seed} {self._store.version}")
        self._post = post
        self._own_client: httpx.AsyncClient | None = None
        self._fixed = _FixedIds(organization_id)
        self._registrations = Registrations(self._model, self._store, self.options.any_port)
        self._notices = self._make_notices()
        self._records = Records(
            model=self._model,
            store=self._store,
            clock=clock,
            notices=self._notices,
            registrations=self._registrations,
            currency_id=self._fixed.currency,
            business_unit_id=self._fixed.business_unit,
            new_id=self._new_id,
        )
        self._bodies = BodyReader(self._model, self._store, self.base_url)
        reader = Reader(self._model, self._store, clock, self.options, self.base_url)
        self._files = Files(store=self._store, disk=self._disk, root=reader.root, new_id=self._new_id)
        self._bulk_deletes = BulkDeletes(
            model=self._model,
            store=self._store,
            disk=self._disk,
            records=self._records,
            clock=clock,
            root=reader.root,
            seconds=self.options.bulk_delete_seconds,
            new_id=self._new_id,
        )
        self._security = Security(self._model, self._fixed.business_unit)
        self._definitions = Definitions(
            self._model,
            self._store,
            clock,
            reader.root,
            self.options.key_index_seconds,
            self._security,
            self._customizations.many_to_many,
        )
        vendor = self._make_api(reader, issuer, Limits(clock, self.options, seed))
        self.app: ASGIApp = FrontDoor(
            vendor, admin_app(self), faults=self.faults, requests=self.requests, clock=clock, answers=Refusals()
        )
        if not self._store.table("organization"):
            self._seed_rows()
        for client_id in self.options.application_users:
            self.add_application_user(client_id)

    def _make_notices(self) -> Notices:
        domain = urlsplit(self.base_url).netloc.lower()
        organization = Organization(
            self.organization_id, self._fixed.business_unit, domain, self.options.currency_symbol
        )
        return Notices(
            store=self._store,
            disk=self._disk,
            registrations=self._registrations,
            writer=ContextWriter(self._model, self._store, organization),
            clock=self.clock,
            faults=self.notice_faults,
            options=self.options,
            domain=domain,
            new_id=self._new_id,
            client=self._client,
        )

    def _make_api(self, reader: Reader, issuer: TokenIssuer, limits: Limits) -> WebApi:
        return WebApi(
            base_url=self.base_url,
            organization_id=self.organization_id,
            business_unit_id=self._fixed.business_unit,
            model=self._model,
            store=self._store,
            disk=self._disk,
            clock=self.clock,
            issuer=issuer,
            limits=limits,
            options=self.options,
            records=self._records,
            rows=self._make_rows(reader),
            bulk_deletes=self._bulk_deletes,
            merges=Merges(
                model=self._model,
                store=self._store,
                records=self._records,
                bodies=self._bodies,
                security=self._security,
            ),
            notifying=Notifying(
                model=self._model,
                store=self._store,
                records=self._records,
                bodies=self._bodies,
                security=self._security,
                root=reader.root,
            ),
            metadata=MetadataApi(
                definitions=self._definitions,
                customizations=self._customizations,
                store=self._store,
                security=self._security,
                root=reader.root,
            ),
            security=self._security,
            new_id=self._new_id,
        )

    def _make_rows(self, reader: Reader) -> RowApi:
        bulk = BulkMessages(
            root=reader.root,
            store=self._store,
            records=self._records,
            bodies=self._bodies,
            security=self._security,
            clock=self.clock,
            target_seconds=self.options.target_seconds,
        )
        return RowApi(
            model=self._model,
            store=self._store,
            records=self._records,
            reader=reader,
            bodies=self._bodies,
            security=self._security,
            bulk=bulk,
            files=self._files,
        )

    def _new_id(self) -> str:
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))

    def _client(self) -> httpx.AsyncClient:
        if self._post is not None:
            return self._post
        if self._own_client is None:
            self._own_client = httpx.AsyncClient(follow_redirects=False)
        return self._own_client

    # Doors for tests and local runs

    @property
    def person_id(self) -> str:
        """Return the id of the user in whose name people work unless another is named."""
        return self._fixed.person

    def rows(self, table: str) -> dict[str, dict[str, Any]]:
        """Return a table's rows by id, with columns by logical name; raises KeyError for an unknown table.

        A lookup is the id it points to; lookups to several tables also have `<column>@table`. Write-only columns
        (secrets) are left out.
        """
        hidden = {name for name, column in self._model.tables[table].columns.items() if not column.readable}
        return {
            row_id: {name: value for name, value in row.items() if name not in hidden}
            for row_id, row in self._store.table(table).items()
        }

    async def create(self, table: str, values: Mapping[str, Any], user: str | None = None) -> str:
        """Create a row as a person does in the application, and return its id; raises webhooks like any write.

        `values` are Python values by logical name; a lookup is the id, or (table, id) where several tables are
        possible; None empties. Raises `DataverseError` like the Web API.
        """
        about = self._model.tables[table]
        changes = self._bodies.read(about, self._body(about, values), creating=True)
        row = await self._records.create(about, changes, self._person(user))
        self._disk.commit()
        return str(row[about.primary_id])

    async def edit(self, table: str, key: str, values: Mapping[str, Any], user: str | None = None) -> None:
        """Change a row as a person does in the application; see `create`."""
        about = self._model.tables[table]
        changes = self._bodies.read(about, self._body(about, values), creating=False)
        await self._records.update(about, key, changes, self._person(user))
        self._disk.commit()

    async def delete(self, table: str, key: str, user: str | None = None) -> None:
        """Delete a row as a person does in the application; see `create`."""
        await self._records.delete(self._model.tables[table], key, self._person(user))
        self._disk.commit()

    async def merge(self, table: str, key: str, into: str, values: Mapping[str, Any], user: str | None = None) -> None:
        """Merge a row into another one, which gets the values, as a person does in the application; see `create`."""
        about = self._model.tables[table]
        content = self._bodies.read(about, self._body(about, values), creating=False) if values else {}
        await self._records.merge(about, into, key, content, self._person(user))
        self._disk.commit()

    async def close_opportunity(
        self, key: str, *, won: bool, revenue: Decimal | None = None, user: str | None = None
    ) -> None:
        """Close an opportunity as won, or as lost to somebody else, as a person does in the application; see `create`.

        Webhooks of its update follow. The activity that records the closing is not imitated.
        """
        state, status = (1, 3) if won else (2, 5)
        closing = {"statecode": state, "statuscode": status, "actualclosedate": self.clock.now().date()}
        if revenue is not None:
            closing["actualvalue"] = revenue
        about = self._model.tables["opportunity"]
        changes = self._bodies.read(about, self._body(about, closing), creating=False)
        await self._records.update(about, key, changes, self._person(user), closes=True)
        self._disk.commit()

    async def register_webhook(
        self,
        table: str,
        messages: Iterable[str],
        url: str,
        *,
        header: tuple[str, str],
        filtering_attributes: Sequence[str] = (),
        mode: int = 1,
        auto_delete: bool = True,
    ) -> list[str]:
        """Register one step per message for a webhook with a secret header; returns the steps' ids.

        Writes the same rows a client would; a second call registers a second webhook. `mode` is 0 for synchronous,
        1 for asynchronous; `filtering_attributes` apply to Update only.
        """
        name, value = header
        endpoint = {
            "name": f"{table} webhook {url}"[:256],
            "url": url,
            "contract": WEBHOOK,
            "authtype": HTTP_HEADER,
            "authvalue": registrations.header_setting(name, value),
        }
        endpoint_id = await self.create("serviceendpoint", endpoint)
        steps = []
        for message in messages:
            step: dict[str, Any] = {
                "name": f"{endpoint['name']}: {message} of {table}"[:256],
                "stage": 40,
                "mode": mode,
                "rank": 1,
                "asyncautodelete": auto_delete,
                "eventhandler": ("serviceendpoint", endpoint_id),
                "sdkmessageid": registrations.platform_id(message),
                "sdkmessagefilterid": registrations.platform_id(f"{message} of {table}"),
            }
            if message == "Update" and filtering_attributes:
                step["filteringattributes"] = ",".join(filtering_attributes)
            steps.append(await self.create("sdkmessageprocessingstep", step))
        return steps

    def add_application_user(self, client_id: str) -> str:
        """Give an application its user, and return the user's id; a second call returns the same one."""
        found = self._store.find("systemuser", ["applicationid"], [client_id.lower()])
        if found:
            return str(found[0]["systemuserid"])
        user_id = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{self.organization_id} application {client_id.lower()}"))
        self._put_user(user_id, "Integration", applicationid=client_id.lower(), accessmode=4)
        self._disk.commit()
        return user_id

    def add_user(self, name: str, object_id: str | None = None, *, mail: str | None = None) -> str:
        """Give a person a user, and return the user's id; `object_id` is the person's in the directory.

        A second call for the same object id returns the same user.
        """
        user_id = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{self.organization_id} person {(object_id or name).lower()}"))
        if self._store.get("systemuser", user_id) is None:
            known = {} if object_id is None else {"azureactivedirectoryobjectid": object_id.lower()}
            self._put_user(user_id, name, accessmode=0, internalemailaddress=mail, **known)
            self._disk.commit()
        return user_id

    def user_may(self, user_id: str, table: str, action: str, depth: str = "") -> None:
        """Lower what a user may do with a table: "Basic" reaches the rows he owns (of Read, Write and Delete), no depth
        takes the privilege away; see `limit_privilege` for applications."""
        self._security.limit(user_id, table, action, depth)

    def allow_acting_for_others(self, client_id: str) -> None:
        """Give an application the privilege prvActOnBehalfOfAnotherUser: it may name a user in CallerObjectId."""
        self._security.allow_acting_for_others(self.add_application_user(client_id))

    def add_alternate_key(self, table: str, schema_name: str, columns: Sequence[str]) -> None:
        """Define an alternate key that is usable at once; raises DataverseError when it cannot be one."""
        self._definitions.define_key(table, schema_name, columns)
        self._disk.commit()

    def limit_privilege(self, client_id: str, table: str, action: str, depth: str = "") -> None:
        """Give an application a lower depth (Basic, Local, Deep) of Create, Read, Write, Delete, Append or AppendTo on
        a table; no depth takes the privilege away."""
        self._security.limit(self.add_application_user(client_id), table, action, depth)

    def forbid_customizing(self, client_id: str) -> None:
        """Take from an application what makes, changes and publishes tables, columns and keys."""
        self._security.forbid_customizing(self.add_application_user(client_id))

    def secure_column(self, client_id: str, table: str, column: str, allowed: Sequence[str] = ()) -> None:
        """Secure a column; of it the application may do what is `allowed` (create, read, update), nobody else
        anything."""
        self._security.secure(table, column, self.add_application_user(client_id), allowed)

    # Notices

    async def deliver_due(self) -> int:
        """Run the bulk deletions and post the notices that are due now, and return how many were posted."""
        await self._bulk_deletes.outbox.deliver_due()
        return await self._notices.outbox.deliver_due()

    async def flush(self) -> int:
        """Run all waiting bulk deletions and post all waiting notices now, due or not; returns how many were
        posted."""
        await self._bulk_deletes.outbox.flush()
        return await self._notices.outbox.flush()

    async def run_deliveries(self) -> None:
        """Run bulk deletions and post notices as they fall due, until cancelled."""
        await asyncio.gather(self._bulk_deletes.outbox.run(), self._notices.outbox.run())

    def waiting_notices(self) -> int:
        """Count the notices that have not been posted yet."""
        return self._notices.outbox.waiting()

    def reset(self) -> None:
        """Empty the organisation: as freshly made, without rows, keys, registrations and waiting notices."""
        self._customizations.reset()
        self._store.reset()
        self._notices.outbox.clear()
        self._bulk_deletes.outbox.clear()
        self._files.reset()
        self._registrations.forget()
        self._seed_rows()
        for client_id in self.options.application_users:
            self.add_application_user(client_id)

    async def aclose(self) -> None:
        """Close the file and the client this sandbox made; a second call does nothing."""
        self._disk.close()
        if self._own_client is not None:
            await self._own_client.aclose()
            self._own_client = None

    # Inside

    def _person(self, user: str | None) -> Caller:
        user_id = user or self._fixed.person
        row = self._store.get("systemuser", user_id)
        object_id = row.get("azureactivedirectoryobjectid") if row is not None else None
        return Caller(
            user_id=user_id,
            object_id=object_id or Caller("").object_id,
            app_name=APP_NAME,
            correlation_id=self._new_id(),
            request_id=self._new_id(),
        )

    def _body(self, table: Table, values: Mapping[str, Any]) -> dict[str, Any]:
        """Write Python values as a request's body, so that people's edits go the same way as the API's."""
        body: dict[str, Any] = {}
        for name, value in values.items():
            column = table.columns.get(name)
            if column is None or not column.is_lookup:
                body[name] = _json_value(value)
                continue
            target, row_id = value if isinstance(value, tuple) else (column.targets[0], value)
            names = column.navigation_names()
            navigation = next(found for found, points_to in names.items() if points_to == target)
            address = None if row_id is None else f"/{self._model.tables[target].set_name}({row_id})"
            body[f"{navigation}@odata.bind"] = address
        return body

    def _seed_rows(self) -> None:
        fixed, now = self._fixed, self.clock.now().replace(microsecond=0)
        stamps = {"createdon": now, "modifiedon": now}
        organization = {"organizationid": self.organization_id, "name": "Sandbox", "languagecode": ENGLISH}
        organization["expirechangetrackingindays"] = self.options.token_life_days
        self._store.put("organization", self.organization_id, {**organization, **stamps})
        unit = {"businessunitid": fixed.business_unit, "name": "Sandbox"}
        self._store.put("businessunit", fixed.business_unit, {**unit, **stamps})
        currency = {
            "transactioncurrencyid": fixed.currency,
            "currencyname": self.options.currency_code,
            "isocurrencycode": self.options.currency_code,
            "currencysymbol": self.options.currency_symbol,
            "currencyprecision": 2,
            "exchangerate": Decimal(1).quantize(Decimal("1E-10")),
            "statecode": 0,
            "statuscode": 1,
        }
        self._store.put("transactioncurrency", fixed.currency, {**currency, **stamps})
        self._put_user(fixed.person, "Sales user", accessmode=0)
        registrations.seed_messages(self._model, self._store, self.options.no_bulk_messages)
        self._disk.commit()

    def _put_user(self, user_id: str, name: str, **values: Any) -> None:
        now = self.clock.now().replace(microsecond=0)
        row = {
            "systemuserid": user_id,
            "fullname": name,
            "lastname": name,
            "azureactivedirectoryobjectid": str(uuid.uuid5(uuid.NAMESPACE_URL, f"directory object {user_id}")),
            "businessunitid": self._fixed.business_unit,
            "isdisabled": False,
            "createdon": now,
            "modifiedon": now,
            **values,
        }
        self._store.put("systemuser", user_id, row)


class _FixedIds:
    """Ids of the rows every organisation has, derived from the organisation's id."""

    def __init__(self, organization_id: str) -> None:
        def derived(text: str) -> str:
            return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{organization_id} {text}"))

        self.business_unit = derived("business unit")
        self.currency = derived("currency")
        self.person = derived("person")


def _json_value(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return value.isoformat() if isinstance(value, date) else value
