"""Subscriptions of Business Central: made and renewed with a handshake, three days alive, 200 in an environment.

Source: Microsoft Learn, "Working with webhooks in Dynamics 365 Business Central" and "subscriptions resource type".
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import quote

from shared.connectors.answers import object_of
from shared.connectors.business_central.client import BusinessCentralClient
from shared.connectors.business_central.errors import SYSTEM, Doing, error_of
from shared.connectors.business_central.resources import STANDARD, page_of, read_resource, resource_of
from shared.connectors.business_central.rows import rows_of, text_in, value_in
from shared.errors import (
    CrossdockError,
    NotAllowed,
    RecordMissing,
    Refused,
    SubscriptionRefused,
    TooManySubscriptions,
    UnknownColumn,
)
from shared.http_client import Reply
from shared.strict_json import JsonObject
from shared.sync.ports import ColumnType, Subscription

LIFE: Final = timedelta(days=3)
MOST: Final = 200
SET: Final = "subscriptions"
LONG_AGO: Final = datetime.min.replace(tzinfo=UTC)
"""The end of a life that the service leaves blank."""


class Subscriptions:
    """The subscriptions of one environment, seen from one company.

    A table that API v2.0 does not tell of is subscribed to through the extension, where that does.
    """

    def __init__(self, client: BusinessCentralClient, environment: str, company_id: str, extension: str) -> None:
        self._clients = {STANDARD: client, extension: client.beside(extension)}
        self._client = client
        self._environment = environment
        self._company_id = company_id
        self._apis: dict[str, str] = {}

    async def notifying(self, tables: Collection[str]) -> Collection[str]:
        """Ask the environment; one that does not tell lets us try each table."""
        try:
            page = await self._client.supported([])
        except UnknownColumn:
            return tables
        known = {str(row.get("resource", "")) for row in rows_of(page)}
        for table in tables:
            apis = [api for api in self._clients if f"{api}/{page_of(api, table)}" in known]
            self._apis |= {table: apis[0]} if apis else {}
        return [table for table in tables if table in self._apis]

    async def all(self) -> Sequence[Subscription]:
        """Every subscription of the environment."""
        pages = self._client.root_pages(SET)
        return [self._subscription(row) async for page in pages for row in rows_of(page)]

    async def make(self, table: str, address: str, state: str) -> Subscription:
        """Subscribe to a table of the company."""
        client = self._client_of(table)
        reply = await client.ask("POST", client.below(SET), SET, self._body(table, address, state))
        return await self._made(Doing.CREATE, reply)

    async def renew(self, subscription: Subscription, address: str, state: str) -> Subscription:
        """Renew: the same address (with quotes around the id), the same handshake."""
        body = self._body(subscription.table, address, state)
        reply = await self._client.ask("PATCH", self._place(subscription), f"{SET}(..)", body, _condition(subscription))
        return await self._made(Doing.UPDATE, reply)

    async def end(self, subscription: Subscription) -> None:
        """Delete; one that is gone already is fine."""
        place = self._place(subscription)
        reply = await self._client.ask("DELETE", place, f"{SET}(..)", headers=_condition(subscription))
        if reply.status >= 400:
            error = error_of(Doing.UPDATE, reply)
            if not isinstance(error, RecordMissing):
                raise error

    def _client_of(self, table: str) -> BusinessCentralClient:
        return self._clients[self._apis.get(table, STANDARD)]

    def _body(self, table: str, address: str, state: str) -> JsonObject:
        resource = resource_of(self._company_id, self._apis.get(table, STANDARD), table)
        return {"notificationUrl": address, "resource": resource, "clientState": state}

    def _place(self, subscription: Subscription) -> str:
        return self._client_of(subscription.table).below(f"{SET}('{quote(subscription.id, safe='')}')")

    async def _made(self, doing: Doing, reply: Reply) -> Subscription:
        if reply.status >= 400:
            raise await self._refusal(doing, reply)
        return self._subscription(object_of(SYSTEM, reply))

    async def _refusal(self, doing: Doing, reply: Reply) -> CrossdockError:
        """Neither code nor text say which limit was met, so the subscriptions are counted."""
        error = error_of(doing, reply)
        if not isinstance(error, Refused) or isinstance(error, NotAllowed):
            return error
        full = doing is Doing.CREATE and len(await self.all()) >= MOST
        return (TooManySubscriptions if full else SubscriptionRefused)(SYSTEM, error.answer)

    def _subscription(self, row: JsonObject) -> Subscription:
        resource = read_resource(text_in(row, "resource"))
        ours = resource is not None and resource.is_in(self._company_id, self._environment)
        expires_at = value_in(row, "expirationDateTime", ColumnType.DATETIME)
        return Subscription(
            id=text_in(row, "subscriptionId"),
            table=resource.table if resource is not None and ours and not resource.key else "",
            address=text_in(row, "notificationUrl"),
            state=text_in(row, "clientState") if "clientState" in row else "",
            expires_at=expires_at if isinstance(expires_at, datetime) else LONG_AGO,
            version=text_in(row, "@odata.etag"),
        )


def _condition(subscription: Subscription) -> dict[str, str]:
    return {"If-Match": subscription.version}
