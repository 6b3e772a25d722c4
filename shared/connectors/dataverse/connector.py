"""The connector of Dataverse: the port's methods as requests to the Web API."""

from __future__ import annotations

import re
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from shared.connectors.browsing import beginning_with
from shared.connectors.budget import Budget
from shared.connectors.cache import Cache
from shared.connectors.dataverse.batch import PARTS_PER_BATCH
from shared.connectors.dataverse.bulk import BulkWrites
from shared.connectors.dataverse.client import DataverseClient
from shared.connectors.dataverse.errors import SYSTEM, Doing, error_of
from shared.connectors.dataverse.records import Records, equals, etag_of, is_one_of, preferring, rows_of, selected
from shared.connectors.dataverse.registrar import Registrar
from shared.connectors.dataverse.schema import Field, Schema, Table
from shared.connectors.dataverse.surveys import Surveys
from shared.connectors.keys import canonical_guid
from shared.connectors.paging import SKIP_TOKEN, place_behind
from shared.connectors.turns import InTurn
from shared.errors import (
    AlreadyExists,
    Answer,
    BadAnswer,
    ConnectorError,
    FeedExpired,
    RecordMissing,
    Refused,
    SettingsError,
    SignInFailed,
    UnknownColumn,
    WrongEnvironment,
)
from shared.http_client import HttpClient
from shared.strict_json import JsonObject, as_text
from shared.sync.ports import (
    Capabilities,
    Change,
    ChangePage,
    Clock,
    ColumnType,
    NewRecord,
    Profile,
    Record,
    RecordPage,
    TableLabel,
    TableMetadata,
    Value,
    VersionKind,
)
from shared.sync.registering import NoticeWish, Part, TableWish

NAMESPACE = uuid.UUID("6f0d3f4e-5b0a-5c55-9a57-0f6f1d5f3c11")
"""Of the keys we choose ourselves. It must never change: a repeated create finds its record by it."""

CAPABILITIES = Capabilities(
    chooses_key=True,
    enforced_columns=frozenset(),
    version=VersionKind.ORDERED,
    returns_new_version=True,
    read_after_write=True,
    longest_run=timedelta(minutes=3),
    keys_per_read=100,
    writes_per_call=PARTS_PER_BATCH,
    feed_memory=timedelta(days=7),
    days=True,
    deletes_many=True,
)
"""feed_memory: the default of `ExpireChangeTrackingInDays`.

longest_run: a Web API call ends after two minutes at most (Microsoft Learn, 'Execution timeout'), with margin."""

LONGEST_TITLE, LONGEST_TOLD = 100, 2000
"""Of the columns title and body of the table appnotification."""
FAILURE_ICON, TIMED_TOAST, HIGH_PRIORITY = 100000002, 200000000, 200000001
"""Choices of a notification (Microsoft Learn, 'Send in-app notifications within model-driven apps')."""
LONGEST_SUBJECT = 500
LONGEST_NOTE = 100_000
"""Of the columns subject and notetext of the table annotation."""
VALUES_PER_SEARCH = 20
"""Even long values in any alphabet then stay under the limit of 32,768 characters of an address."""
_TOKEN = re.compile(r"[^\x00-\x20\x7f-\uffff]{1,2000}(?: [^\x00-\x20\x7f-\uffff]{1,200})*")


@dataclass(frozen=True, slots=True)
class _Draft:
    """A write about to be sent. names: the columns as the definition names them."""

    shape: Table
    fields: Sequence[Field]
    body: JsonObject
    names: Sequence[str]

    @property
    def refers(self) -> bool:
        """Whether it points to another record, which may be the one that is missing."""
        return any(name.endswith("@odata.bind") for name in self.body)


class DataverseConnector:
    """Reads and writes the tables of one organisation.

    `clients`: one per identity, used in turn. `organization_id` is what `WhoAmI` answers; `ping` compares it, so that a
    copied environment is not taken for the original. `tag` travels with every write and shows in the notices that the
    write causes. `system`: its name in this installation.
    """

    def __init__(
        self,
        clients: Sequence[HttpClient],
        clock: Clock,
        organization_id: str,
        tag: str = "crossdock",
        page_size: int = 1000,
        system: str = SYSTEM,
        profile: Profile = Profile.PRODUCTIVE,
    ) -> None:
        self._client = DataverseClient(InTurn(clients))
        self._clock = clock
        self._schema = Schema(self._client, clock)
        self._records = Records(self._client, self._schema, clock)
        self._bulk = BulkWrites(self._client, self._schema, self._records, clock, tag)
        self._surveys = Surveys(self._client, self._schema, clock)
        self._registrar = Registrar(self._client, self._schema)
        self._ourselves = Cache(clock, self._load_ourselves)
        self.instance: Final = canonical_guid(organization_id)
        self._tag = tag
        self._page_size = page_size
        self.system: Final = system
        self._profile = profile

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    def capabilities(self, table: str) -> Capabilities:
        """Notes are known of once the table's metadata was read."""
        return replace(CAPABILITIES, notes=self._schema.has_notes(table))

    def canonical_key(self, table: str, key: str) -> str:
        return canonical_guid(key)

    def derived_key(self, table: str, seed: str, values: Mapping[str, Value]) -> str:
        return str(uuid.uuid5(NAMESPACE, f"{table}\n{seed}"))

    def watermark_at(self, table: str, at: datetime, no_later_than: str | None = None) -> str | None:
        return None

    async def read(self, table: str, keys: Sequence[str], columns: Sequence[str]) -> Mapping[str, Record]:
        asked = list(dict.fromkeys(canonical_guid(key) for key in keys))
        if not asked:
            return {}
        shape, fields = await self._shape(table, columns)
        if len(asked) == 1:
            return await self._read_one(shape, fields, asked[0])
        found: dict[str, Record] = {}
        for start in range(0, len(asked), CAPABILITIES.keys_per_read):
            condition = is_one_of(shape.primary_id, asked[start : start + CAPABILITIES.keys_per_read])
            found.update({record.key: record for record in await self._search(shape, fields, condition)})
        return found

    async def find(
        self, table: str, column: str, values: Sequence[str], columns: Sequence[str], limit: int = 10
    ) -> Sequence[Record]:
        shape, fields = await self._shape(table, columns)
        (field,) = await self._schema.fields(table, [column])
        conditions = [text for value in dict.fromkeys(values) if value and (text := equals(field, value)) is not None]
        found: list[Record] = []
        for start in range(0, len(conditions), VALUES_PER_SEARCH):
            condition = " or ".join(conditions[start : start + VALUES_PER_SEARCH])
            found += await self._search(shape, fields, condition, limit - len(found))
            if len(found) >= limit:
                break
        return found[:limit]

    async def create(
        self,
        table: str,
        values: Mapping[str, Value],
        columns: Sequence[str],
        *,
        key: str | None,
        within_seconds: float,
    ) -> Record:
        """With a key the record is created under it or, if it exists, AlreadyExists is raised; nothing is updated."""
        budget = Budget(SYSTEM, self._clock, within_seconds)
        async with budget.preparing():
            draft = await self._draft(table, values, columns)
        if key is None:
            return await self._write(draft, budget, "POST", draft.shape.set_name, Doing.CREATE, {})
        target = f"{draft.shape.set_name}({canonical_guid(key)})"
        return await self._write(draft, budget, "PATCH", target, Doing.CREATE_WITH_KEY, {"If-None-Match": "*"})

    async def create_many(
        self, table: str, wanted: Sequence[NewRecord], columns: Sequence[str], *, within_seconds: float
    ) -> Sequence[Record | ConnectorError]:
        return await self._bulk.create(table, wanted, columns, within_seconds)

    async def update_many(
        self, table: str, changes: Sequence[Change], columns: Sequence[str], *, within_seconds: float
    ) -> Sequence[Record | ConnectorError]:
        return await self._bulk.update(table, changes, columns, within_seconds)

    async def update(
        self,
        table: str,
        key: str,
        values: Mapping[str, Value],
        columns: Sequence[str],
        *,
        version: str | None,
    ) -> Record:
        """`If-Match: *` without a version: a PATCH without it would create a record that is gone (Microsoft Learn,
        'Update and delete table rows')."""
        budget = Budget(SYSTEM, self._clock, self._client.timeout_seconds)
        async with budget.preparing():
            draft = await self._draft(table, values, columns)
        target = f"{draft.shape.set_name}({canonical_guid(key)})"
        condition = {"If-Match": "*" if version is None else etag_of(version)}
        try:
            return await self._write(draft, budget, "PATCH", target, Doing.UPDATE, condition)
        except RecordMissing as error:
            if draft.refers and await self._read_one(draft.shape, [], canonical_guid(key)):
                self._records.forget()
                raise Refused(SYSTEM, error.answer, f"{SYSTEM}: a reference points to a missing record.") from None
            raise

    async def changes(self, table: str, since: str | None, columns: Sequence[str]) -> AsyncIterator[ChangePage]:
        """By change tracking. Only the last page has a watermark: the token of the delta link, never the link."""
        shape, fields = await self._shape(table, columns)
        if not shape.tracked:
            raise SettingsError(f"{self.system}: switch change tracking on for the table {table}.")
        if since is not None and not _TOKEN.fullmatch(since):
            raise FeedExpired(SYSTEM, detail=f"{SYSTEM}: the watermark is no delta token")
        query = [selected(shape, fields)] + ([("$deltatoken", since)] if since is not None else [])
        prefer = preferring(fields, "odata.track-changes", f"odata.maxpagesize={self._page_size}")
        async for page in self._client.pages(shape.set_name, query, shape.set_name, prefer, columns):
            yield await self._change_page(shape, fields, page)

    async def pages(
        self, table: str, place: str | None, columns: Sequence[str], most: int = 1000
    ) -> AsyncIterator[RecordPage]:
        """In the order of the primary id; a place is the paging cookie, which names the last row."""
        shape, fields = await self._shape(table, columns)
        query = [selected(shape, fields)] + ([] if place is None else [(SKIP_TOKEN, place)])
        prefer = preferring(fields, f"odata.maxpagesize={min(most, self._page_size)}")
        async for page in self._client.pages(shape.set_name, query, shape.set_name, prefer, columns):
            records = await self._records.records(shape, fields, rows_of(page))
            yield RecordPage(records, place_behind(page, SYSTEM))

    async def of_day(
        self, table: str, column: str, day: date, columns: Sequence[str]
    ) -> AsyncIterator[Sequence[Record]]:
        """By a filter on a column that holds days, in the order of the primary id, in pages as large as they come."""
        shape, fields = await self._shape(table, columns)
        (field,) = await self._schema.fields(table, [column])
        if field.type is not ColumnType.DATE:
            raise UnknownColumn(SYSTEM, Answer(field=column), f"{SYSTEM}: the column {column} holds no days.")
        query = [selected(shape, fields), ("$filter", f"{field.json_name} eq {day.isoformat()}")]
        async for page in self._client.pages(shape.set_name, query, shape.set_name, preferring(fields), columns):
            yield await self._records.records(shape, fields, rows_of(page))

    async def delete_many(
        self, table: str, keys: Sequence[str], *, within_seconds: float
    ) -> Sequence[ConnectorError | None]:
        return await self._bulk.delete(table, keys, within_seconds)

    async def delete(self, table: str, key: str) -> None:
        """What hangs on the record goes with it, as the organisation's relationships say."""
        budget = Budget(SYSTEM, self._clock, self._client.timeout_seconds)
        async with budget.preparing():
            shape = await self._schema.table(table)
        with suppress(RecordMissing):
            await self._client.delete(
                f"{shape.set_name}({canonical_guid(key)})", [("tag", self._tag)], f"{shape.set_name}(..)", budget.left()
            )

    async def note(self, table: str, key: str, seed: str, subject: str, text: str) -> None:
        """A row of the table annotation, under a key that the seed gives; one that exists already is left as it is."""
        note_key, shape = self.derived_key("annotation", seed, {}), await self._schema.table(table)
        body: JsonObject = {
            "subject": subject[:LONGEST_SUBJECT],
            "notetext": text[:LONGEST_NOTE],
            f"objectid_{table}@odata.bind": f"/{shape.set_name}({canonical_guid(key)})",
        }
        with suppress(AlreadyExists):
            await self._client.write(
                "PATCH",
                f"annotations({note_key})",
                [("$select", "annotationid"), ("tag", self._tag)],
                "annotations(..)",
                body,
                doing=Doing.CREATE_WITH_KEY,
                headers={"Prefer": "return=representation", "If-None-Match": "*"},
                columns=["subject", "notetext"],
                within_seconds=self._client.timeout_seconds,
            )

    async def tell(self, user: str, title: str, text: str, within_seconds: float) -> None:
        """Let a user see a notification in the model-driven app that he works in; nothing is looked up or repeated.

        Raises ConnectorError; UnknownResult where he may have been told.
        """
        body: JsonObject = {
            "Title": title[:LONGEST_TITLE],
            "Body": text[:LONGEST_TOLD],
            "Recipient": f"/systemusers({canonical_guid(user)})",
            "IconType": FAILURE_ICON,
            "ToastType": TIMED_TOAST,
            "Priority": HIGH_PRIORITY,
        }
        reply = await self._client.act("SendAppNotification", [], "SendAppNotification", body, within_seconds)
        if reply.status >= 400:
            raise error_of(Doing.UPDATE, reply)

    async def metadata(self, table: str) -> TableMetadata:
        return TableMetadata(table, await self._schema.detailed_columns(table))

    async def measured(self, table: str) -> TableMetadata:
        """The metadata with what numbers may be, which transfers do without."""
        return TableMetadata(table, await self._schema.measured_columns(table))

    async def survey(self, table: str) -> TableMetadata:
        return await self._surveys.survey(table)

    async def browse(self, within: str = "") -> Sequence[TableLabel]:
        """Those whose name begins with `within`."""
        return beginning_with(within, await self._schema.tables())

    async def ourselves(self) -> frozenset[str]:
        """The users of all our identities. One whose sign-in is refused writes nothing either, and is left out."""
        return await self._ourselves.get("ourselves")

    async def _load_ourselves(self, _: str) -> frozenset[str]:
        found: set[str] = set()
        for one in self._client.each_identity():
            with suppress(SignInFailed):
                answer = await one.get("WhoAmI", [], "WhoAmI")
                found.add(_user_of(answer))
        return frozenset(found)

    async def identify(self) -> str:
        """The organisation's id."""
        answer = await self._client.get("WhoAmI", [], "WhoAmI")
        if answer.get("OrganizationId") != self.instance:
            raise WrongEnvironment(
                f"{self.system}: the address belongs to another organisation than {self.instance}. Correct "
                f"CROSSDOCK_{self.system.upper()}_URL or CROSSDOCK_{self.system.upper()}_ORGANIZATION_ID."
            )
        return self.instance

    async def profile(self) -> Profile | None:
        """As the settings say; an organisation does not tell."""
        return self._profile

    async def parts(self, wishes: Sequence[TableWish], notices: NoticeWish | None) -> Sequence[Part]:
        return await self._registrar.parts(wishes, notices)

    async def settle(self, part: Part) -> None:
        await self._registrar.settle(part)

    async def ping(self) -> None:
        """Raises WrongEnvironment when another organisation answers than the configured one."""
        await self.identify()

    async def _shape(self, table: str, columns: Sequence[str]) -> tuple[Table, list[Field]]:
        fields = await self._schema.fields(table, columns)
        return await self._schema.table(table), fields

    async def _read_one(self, shape: Table, fields: Sequence[Field], key: str) -> dict[str, Record]:
        query, target = [selected(shape, fields)], f"{shape.set_name}({key})"
        row = await self._client.get_or_none(target, query, f"{shape.set_name}(..)", preferring(fields))
        records = await self._records.records(shape, fields, [] if row is None else [row])
        return {record.key: record for record in records}

    async def _search(
        self, shape: Table, fields: Sequence[Field], condition: str, limit: int | None = None
    ) -> list[Record]:
        query = [selected(shape, fields), ("$filter", condition)]
        query += [] if limit is None else [("$top", str(limit))]
        found: list[Record] = []
        async for page in self._client.pages(shape.set_name, query, shape.set_name, preferring(fields)):
            found += await self._records.records(shape, fields, rows_of(page))
        return found

    async def _draft(self, table: str, values: Mapping[str, Value], columns: Sequence[str]) -> _Draft:
        shape, fields = await self._shape(table, columns)
        return _Draft(shape, fields, await self._records.body(shape, values), list(values))

    async def _write(
        self, draft: _Draft, budget: Budget, method: str, target: str, doing: Doing, condition: Mapping[str, str]
    ) -> Record:
        row = await self._client.write(
            method,
            target,
            [selected(draft.shape, draft.fields), ("tag", self._tag)],
            target if method == "POST" else f"{draft.shape.set_name}(..)",
            draft.body,
            doing=doing,
            headers={"Prefer": preferring(draft.fields, "return=representation"), **condition},
            columns=draft.names,
            within_seconds=budget.left(),
        )
        async with budget.understanding():
            (stored,) = await self._records.records(draft.shape, draft.fields, [row])
            return stored

    async def _change_page(self, shape: Table, fields: Sequence[Field], page: JsonObject) -> ChangePage:
        rows = rows_of(page)
        changed = [row for row in rows if not _is_deletion(row)]
        return ChangePage(
            records=await self._records.records(shape, fields, changed, partial=True),
            deleted=[_deleted_key(row) for row in rows if _is_deletion(row)],
            watermark=_watermark(page),
        )


def _user_of(answer: JsonObject) -> str:
    try:
        return canonical_guid(as_text(answer.get("UserId"), "UserId"))
    except ValueError as error:
        raise BadAnswer(SYSTEM, detail=f"{SYSTEM}: {error}") from None


def _is_deletion(row: JsonObject) -> bool:
    context = row.get("@odata.context")
    return isinstance(context, str) and context.endswith("/$deletedEntity")


def _deleted_key(row: JsonObject) -> str:
    try:
        return canonical_guid(as_text(row.get("id"), "the id of a deletion"))
    except ValueError as error:
        raise BadAnswer(SYSTEM, detail=f"{SYSTEM}: {error}") from None


def _watermark(page: JsonObject) -> str | None:
    """The token of the delta link on the last page; a page without any link is no page of a feed."""
    link = page.get("@odata.deltaLink")
    if isinstance(link, str):
        tokens = [value for name, value in parse_qsl(urlsplit(link).query) if name == "$deltatoken"]
        if len(tokens) == 1 and _TOKEN.fullmatch(tokens[0]):
            return tokens[0]
        raise BadAnswer(SYSTEM, detail=f"{SYSTEM}: the delta link has no token")
    if "@odata.nextLink" not in page:
        raise BadAnswer(SYSTEM, detail=f"{SYSTEM}: the change feed ends without a delta link")
    return None
