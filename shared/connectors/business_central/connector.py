"""The connector of Business Central: the port's methods as requests to API v2.0."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

from shared.connectors.browsing import beginning_with
from shared.connectors.budget import Budget
from shared.connectors.business_central.batch import PARTS_PER_BATCH
from shared.connectors.business_central.bulk import BulkWrites, refuse_given_once
from shared.connectors.business_central.client import BusinessCentralClient
from shared.connectors.business_central.converters import to_json
from shared.connectors.business_central.errors import (
    PLACE_GONE,
    STALE_REFERENCE,
    SYSTEM,
    Doing,
    code_and_text,
    error_of,
    is_unexplained_dialog,
    manual_numbers_forbidden,
)
from shared.connectors.business_central.extension import API, ROW_VERSION, checked_api
from shared.connectors.business_central.feed import CHANGED_AT, Asked, by_time, by_version, watermark_at
from shared.connectors.business_central.persons import COLUMN
from shared.connectors.business_central.records import Records, selected
from shared.connectors.business_central.rows import rows_of
from shared.connectors.business_central.schema import NUMBERED, Field, Schema
from shared.connectors.business_central.subscriptions import LIFE, Subscriptions
from shared.connectors.keys import canonical_guid
from shared.connectors.paging import SKIP_TOKEN, place_behind
from shared.connectors.turns import InTurn
from shared.errors import (
    Answer,
    ConnectorError,
    CrossdockError,
    FeedExpired,
    NotAllowed,
    RecordMissing,
    SettingsError,
    SystemDown,
    UnknownColumn,
    WrongEnvironment,
)
from shared.http_client import HttpClient, Reply
from shared.strict_json import JsonObject
from shared.sync.ports import (
    Capabilities,
    Change,
    ChangePage,
    Clock,
    ColumnType,
    NewRecord,
    Profile,
    Reach,
    Record,
    RecordPage,
    Right,
    Subscription,
    TableLabel,
    TableMetadata,
    Value,
    VersionKind,
)

LONGEST_RUN = timedelta(minutes=20)
UNCREATABLE: Mapping[str, JsonObject] = {
    "customers": {"paymentTermsId": "deadbeef-0000-4000-8000-000000000000"},
    "vendors": {"paymentTermsId": "deadbeef-0000-4000-8000-000000000000"},
    "contacts": {"country": "NO COUNTRY"},
}
"""Bodies that cannot become a record: they lack the mandatory `displayName` and refer to what does not exist."""
KEYS_PER_READ = 40
VALUES_PER_SEARCH = 20
_PLACE = re.compile(r"[A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class _Draft:
    """A write about to be sent."""

    table: str
    doing: Doing
    method: str
    key: str
    values: Mapping[str, Value]
    columns: Sequence[str]

    @property
    def numbered(self) -> bool:
        """Whether it carries a number of ours."""
        return self.values.get(NUMBERED.get(self.table, "")) is not None

    def target(self, page: str) -> str:
        """The address of the record, or of the page that makes one."""
        return f"{page}({self.key})" if self.key else page

    @property
    def refers(self) -> bool:
        """Whether it names records of other tables, which may have been replaced since we read them."""
        return any("." in name or name == COLUMN for name in self.values)


class BusinessCentralConnector:
    """Reads and writes the tables of one company.

    `clients`: one per identity, used in turn. `base_path`, `tenant` and `environment` make the address:
    `{base_path}/{tenant}/{environment}/api/v2.0`; `extension` is the optional one beside it. Deletions are in no feed;
    they are found by reading the keys again. `system`: its name in this installation.
    """

    def __init__(
        self,
        clients: Sequence[HttpClient],
        clock: Clock,
        *,
        tenant: str,
        environment: str,
        company_id: str,
        base_path: str = "/v2.0",
        extension: str = API,
        page_size: int = 1000,
        system: str = SYSTEM,
    ) -> None:
        if not _PLACE.fullmatch(tenant) or not _PLACE.fullmatch(environment):
            raise SettingsError(f"{system}: tenant and environment are names of letters, digits, dots and hyphens.")
        api = checked_api(extension)
        company = canonical_guid(company_id)
        place = f"{base_path.rstrip('/')}/{tenant}/{environment}/api"
        self._client = BusinessCentralClient(InTurn(clients), place, company)
        self._clock = clock
        self._schema = Schema(self._client, self._client.beside(api), clock)
        self._records = Records(self._client, self._schema, clock)
        self._bulk = BulkWrites(self._schema, self._records, clock, self._create_one, self._update_one)
        self._subscriptions = Subscriptions(self._client, environment, company, api)
        self._tenant, self._company_id = tenant, company
        self.instance: Final = f"{environment}/{company}"
        self._page_size = page_size
        self._took_our_number: set[str] = set()
        self.system: Final = system

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    def capabilities(self, table: str) -> Capabilities:
        return Capabilities(
            chooses_key=False,
            enforced_columns=self._schema.enforced(table),
            version=VersionKind.OPAQUE,
            returns_new_version=True,
            read_after_write=True,
            longest_run=LONGEST_RUN,
            keys_per_read=KEYS_PER_READ,
            writes_per_call=PARTS_PER_BATCH,
        )

    def canonical_key(self, table: str, key: str) -> str:
        return canonical_guid(key)

    def derived_key(self, table: str, seed: str, values: Mapping[str, Value]) -> str:
        """Not offered: Business Central gives the keys itself."""
        raise ValueError(f"{SYSTEM} does not let us choose a key")

    def watermark_at(self, table: str, at: datetime, no_later_than: str | None = None) -> str | None:
        return watermark_at(at, no_later_than)

    async def read(self, table: str, keys: Sequence[str], columns: Sequence[str]) -> Mapping[str, Record]:
        asked = list(dict.fromkeys(canonical_guid(key) for key in keys))
        if not asked:
            return {}
        fields = await self._schema.fields(table, columns)
        if len(asked) == 1:
            place = await self._schema.place(table)
            target, template = f"{place.page}({asked[0]})", f"{place.page}(..)"
            row = await place.client.get_or_none(target, [selected(fields)], template)
            rows = [] if row is None else [row]
            return {record.key: record for record in await self._records.records(fields, rows)}
        found: dict[str, Record] = {}
        for start in range(0, len(asked), KEYS_PER_READ):
            condition = " or ".join(f"id eq {key}" for key in asked[start : start + KEYS_PER_READ])
            found.update({record.key: record for record in await self._search(table, fields, condition)})
        return found

    async def find(
        self, table: str, column: str, values: Sequence[str], columns: Sequence[str], limit: int = 10
    ) -> Sequence[Record]:
        fields = await self._schema.fields(table, columns)
        (field,) = await self._schema.fields(table, [column])
        texts = [value for value in dict.fromkeys(values) if value]
        found: list[Record] = []
        for start in range(0, len(texts), VALUES_PER_SEARCH):
            condition = await self._records.condition(field, texts[start : start + VALUES_PER_SEARCH])
            found += await self._search(table, fields, condition, limit - len(found)) if condition else []
            if len(found) >= limit:
                break
        return found[:limit]

    def of_day(self, table: str, column: str, day: date, columns: Sequence[str]) -> AsyncIterator[Sequence[Record]]:
        """Not offered: no table of it is kept by days."""
        raise ValueError(f"{SYSTEM} lists nothing by days")

    async def create(
        self,
        table: str,
        values: Mapping[str, Value],
        columns: Sequence[str],
        *,
        key: str | None,
        within_seconds: float,
    ) -> Record:
        """Raises ManualNumbersForbidden when the table's number series takes no numbers of ours."""
        if key is not None:
            raise ValueError(f"{SYSTEM} does not let us choose a key")
        budget = Budget(SYSTEM, self._clock, within_seconds)
        return await self._write(_Draft(table, Doing.CREATE, "POST", "", values, columns), budget, {})

    async def create_many(
        self, table: str, wanted: Sequence[NewRecord], columns: Sequence[str], *, within_seconds: float
    ) -> Sequence[Record | ConnectorError]:
        """In batches; Business Central gives the keys."""
        if any(one.key is not None for one in wanted):
            raise ValueError(f"{SYSTEM} does not let us choose a key")
        return await self._bulk.create(table, wanted, columns, within_seconds)

    async def update_many(
        self, table: str, changes: Sequence[Change], columns: Sequence[str], *, within_seconds: float
    ) -> Sequence[Record | ConnectorError]:
        """In batches, each part bound to its version."""
        return await self._bulk.update(table, changes, columns, within_seconds)

    async def delete_many(
        self, table: str, keys: Sequence[str], *, within_seconds: float
    ) -> Sequence[ConnectorError | None]:
        """Not offered: nothing there is derived from other systems' rows."""
        raise ValueError(f"{SYSTEM} deletes nothing in bulk")

    async def _create_one(self, table: str, one: NewRecord, columns: Sequence[str], seconds: float) -> Record:
        return await self.create(table, one.values, columns, key=None, within_seconds=seconds)

    async def _update_one(self, table: str, one: Change, columns: Sequence[str], seconds: float) -> Record:
        budget = Budget(SYSTEM, self._clock, seconds)
        draft = _Draft(table, Doing.UPDATE, "PATCH", canonical_guid(one.key), one.values, columns)
        return await self._write(draft, budget, {"If-Match": one.version or "*"})

    async def update(
        self,
        table: str,
        key: str,
        values: Mapping[str, Value],
        columns: Sequence[str],
        *,
        version: str | None,
    ) -> Record:
        """Never writes `number`: that would rename the record. Nor `externalId`, which is given once."""
        refuse_given_once(table, values)
        return await self._update_one(table, Change(key, values, version), columns, self._client.timeout_seconds)

    async def changes(self, table: str, since: str | None, columns: Sequence[str]) -> AsyncIterator[ChangePage]:
        """By row version where the table has one, else by time; never any deletions."""
        fields, place = await self._schema.fields(table, columns), await self._schema.place(table)
        versions = await self._schema.has_versions(table)
        mark = ROW_VERSION if versions else CHANGED_AT
        if mark not in await self._schema.columns(table):
            raise UnknownColumn(SYSTEM, Answer(field=mark))
        asked = Asked(place.client, place.page, selected(fields, mark), columns, self._page_size)
        async for found in (by_version if versions else by_time)(asked, since):
            yield ChangePage(await self._records.records(fields, found.rows), [], found.watermark)

    async def pages(
        self, table: str, place: str | None, columns: Sequence[str], most: int = 1000
    ) -> AsyncIterator[RecordPage]:
        """In the order of the table's key; a place is the id of the last row, which may have been deleted since."""
        fields, at = await self._schema.fields(table, columns), await self._schema.place(table)
        query = [selected(fields)] + ([] if place is None else [("aid", "FIN"), (SKIP_TOKEN, place)])
        try:
            size = min(most, self._page_size)
            async for page in at.client.pages(at.page, query, at.page, size, columns):
                yield RecordPage(await self._records.records(fields, rows_of(page)), place_behind(page, SYSTEM))
        except SystemDown as error:
            if error.answer.vendor_code == PLACE_GONE:
                raise FeedExpired(SYSTEM, error.answer) from None
            raise

    async def delete(self, table: str, key: str) -> None:
        """Raises Refused for a record that something has been booked on."""
        place = await self._schema.place(table)
        target = f"{place.page}({canonical_guid(key)})"
        with suppress(RecordMissing):
            await place.client.delete(target, f"{place.page}(..)", self._client.timeout_seconds)

    async def note(self, table: str, key: str, seed: str, subject: str, text: str) -> None:
        """API v2.0 has no notes; `capabilities` says so."""
        raise ValueError(f"{SYSTEM} takes no notes")

    async def metadata(self, table: str) -> TableMetadata:
        return TableMetadata(table, await self._schema.columns(table))

    async def survey(self, table: str) -> TableMetadata:
        """Of our rights the API tells only whether we may read; of number series it tells nothing."""
        columns = await self._schema.reread(table)
        return TableMetadata(
            table,
            columns,
            key=("id",) if "id" in columns else (),
            announced=bool(await self._subscriptions.notifying([table])),
            rights={Right.READ: await self._reach(table)},
        )

    async def _reach(self, table: str) -> Reach:
        try:
            place = await self._schema.place(table)
            await place.client.get(place.page, [("$top", "1"), ("$select", "id")], place.page)
        except NotAllowed:
            return Reach.NONE
        return Reach.ALL

    async def browse(self, within: str = "") -> Sequence[TableLabel]:
        """Those whose name begins with `within`; the API has no labels."""
        return beginning_with(within, map(TableLabel, await self._schema.tables()))

    async def ourselves(self) -> frozenset[str]:
        """No record names its editors."""
        return frozenset()

    async def identify(self) -> str:
        """Tenant, environment and company: a copied environment has another name, but the companies' own ids."""
        company = await self._client.company()
        if str(company.get("id", "")).lower() != self._company_id:
            raise WrongEnvironment(
                f"{self.system}: another company answers than {self._company_id}. Correct "
                f"CROSSDOCK_{self.system.upper()}_COMPANY_ID."
            )
        return f"{self._tenant}/{self.instance}".lower()

    async def profile(self) -> Profile | None:
        return None

    async def ping(self) -> None:
        """Raises SettingsError when environment or company do not exist."""
        await self._client.get("companyInformation", [("$select", "id")], "companyInformation")

    # --- subscriptions ---

    @property
    def subscription_life(self) -> timedelta:
        return LIFE

    async def notifying(self, tables: Collection[str]) -> Collection[str]:
        return await self._subscriptions.notifying(tables)

    async def subscriptions(self) -> Sequence[Subscription]:
        return await self._subscriptions.all()

    async def subscribe(self, table: str, address: str, state: str) -> Subscription:
        return await self._subscriptions.make(table, address, state)

    async def renew(self, subscription: Subscription, address: str, state: str) -> Subscription:
        return await self._subscriptions.renew(subscription, address, state)

    async def unsubscribe(self, subscription: Subscription) -> None:
        await self._subscriptions.end(subscription)

    # --- searching and writing ---

    async def _search(
        self, table: str, fields: Sequence[Field], condition: str, limit: int | None = None
    ) -> list[Record]:
        query = [selected(fields), ("$filter", condition)] + ([] if limit is None else [("$top", str(limit))])
        place = await self._schema.place(table)
        found: list[Record] = []
        async for page in place.client.pages(place.page, query, place.page):
            found += await self._records.records(fields, rows_of(page))
        return found

    async def _write(self, draft: _Draft, budget: Budget, headers: Mapping[str, str]) -> Record:
        async with budget.preparing():
            fields = await self._schema.fields(draft.table, draft.columns)
            body = await self._records.body(draft.table, draft.values)
        reply, row = await self._sent(draft, body, budget, headers)
        if draft.refers and code_and_text(reply)[0] in STALE_REFERENCE:
            async with budget.preparing():
                self._records.forget()
                fresh = await self._records.body(draft.table, draft.values)
            if fresh != body:  # sent once more: the first was refused, so nothing was written
                reply, row = await self._sent(draft, fresh, budget, headers)
        if reply.status >= 400:
            raise await self._refusal(draft, reply, budget)
        if draft.numbered:
            self._took_our_number.add(draft.table)
        async with budget.understanding():
            return await self._records.record(fields, row)

    async def _sent(
        self, draft: _Draft, body: JsonObject, budget: Budget, headers: Mapping[str, str]
    ) -> tuple[Reply, JsonObject]:
        place = await self._schema.place(draft.table)
        template = draft.target(place.page).replace(draft.key, "..") if draft.key else place.page
        return await place.client.write(
            draft.method, draft.target(place.page), template, body, headers=headers, within_seconds=budget.left()
        )

    async def _refusal(self, draft: _Draft, reply: Reply, budget: Budget) -> CrossdockError:
        if draft.numbered and await self._forbids_numbers(draft, reply, budget):
            return manual_numbers_forbidden(reply, NUMBERED[draft.table])
        return error_of(draft.doing, reply, draft.values)

    async def _forbids_numbers(self, draft: _Draft, reply: Reply, budget: Budget) -> bool:
        """Whether a create was refused because the series takes no numbers of ours.

        Neither code nor text tell: the code is that of every dialog, the text follows the user's language. So the
        same number is sent once more in a create that must fail for two other reasons, both of which the page puts
        in quoted property names: no name, and a reference to nothing. If even that is refused without quoting one of
        them, it was the number. A series that took a number of ours before is not asked.
        """
        others = UNCREATABLE.get(draft.table, {})
        known = (await self._schema.columns(draft.table)).keys() - {NUMBERED[draft.table]}
        if not others or draft.table in self._took_our_number or not is_unexplained_dialog(reply, known):
            return False
        column = NUMBERED[draft.table]
        body: JsonObject = {column: to_json(ColumnType.TEXT, draft.values[column]), **others}
        try:
            probe, _ = await self._sent(draft, body, budget, {})
        except CrossdockError:
            return False
        return is_unexplained_dialog(probe, known)
