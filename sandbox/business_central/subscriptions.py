"""Webhook subscriptions: registering with a handshake, renewing, listing, deleting, expiring.

Source: Microsoft Learn, 'Working with webhooks in Dynamics 365 Business Central' and 'subscriptions resource type'.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import httpx

from sandbox.business_central.api import parse_segment
from sandbox.business_central.calls import Answer, Call, require_etag
from sandbox.business_central.crm_entities import EVERY, NOTIFYING
from sandbox.business_central.entities import SUBSCRIPTION, WEBHOOK_SETS
from sandbox.business_central.errors import (
    ApiError,
    NotImitated,
    bad_request,
    dialog,
    method_not_allowed,
    no_such_property,
    no_such_segment,
)
from sandbox.business_central.notices import Notices, watched_key
from sandbox.business_central.queries import answer_list, read_query
from sandbox.business_central.records import Session, read_body
from sandbox.business_central.setup import BusinessCentralOptions, Company
from sandbox.business_central.showing import etag_of, shown
from sandbox.business_central.store import ENVIRONMENT, REVISION, Store, Work
from sandbox.business_central.values import Row, read
from sandbox.clock import Clock

_RESOURCE = re.compile(
    r"(?:https?://[^/]+/v2\.0/(?:[^/]+/){1,2})?/?api/(?P<api>v2\.0|\w+/\w+/[\w.]+)"
    r"/companies\((?P<company>[0-9a-fA-F-]{36})\)/(?P<set>\w+)"
)
_LOCAL_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})
_ODATA = {"OData-Version": "4.0"}


class Subscriptions:
    """The environment's subscriptions, and their HTTP resource."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        options: BusinessCentralOptions,
        companies: Mapping[str, Company],
        notices: Notices,
    ) -> None:
        self._store = store
        self._clock = clock
        self._options = options
        self._companies = companies
        self._notices = notices

    async def answer(self, call: Call, api: str) -> Answer:
        """Carry out a call on an API's `subscriptions`; commits what it writes."""
        name, key = parse_segment(call.segments[0])
        if len(call.segments) > 1:
            raise NotImitated("what follows a subscription in the address")
        self._expire()
        match call.method, key:
            case "GET", None:
                return self._list(call)
            case "POST", None:
                return await self._register(call, api)
            case "GET", str():
                return Answer(200, self._shown(call, self._row(key)), _ODATA)
            case "PATCH", str():
                return await self._renew(call, key, api)
            case "DELETE", str():
                return self._delete(call, key)
        raise method_not_allowed(call.method, name)

    def rows(self) -> list[Row]:
        """Return the subscriptions that have not expired."""
        now = self._clock.now()
        rows = self._store.table(ENVIRONMENT, "subscriptions").rows.values()
        return [row for row in rows if row["expirationDateTime"] > now]

    def forget(self) -> None:
        """Delete all subscriptions and what waits for them: what becomes of them in a copied environment."""
        work = self._store.begin()
        for row in list(work.table(ENVIRONMENT, "subscriptions").rows.values()):
            _remove(work, row)
        work.commit()

    def _expire(self) -> None:
        now = self._clock.now()
        expired = [
            row
            for row in self._store.table(ENVIRONMENT, "subscriptions").rows.values()
            if row["expirationDateTime"] <= now
        ]
        if expired:
            work = self._store.begin()
            for row in expired:
                _remove(work, row)
            work.commit()

    def _row(self, key: str) -> Row:
        """Return the subscription with a quoted id; the quotes are part of the address."""
        if not (len(key) > 1 and key.startswith("'") and key.endswith("'")):
            raise ApiError(400, "BadRequest_NotFound", "query", reason="Bad Request - Error in query syntax.")
        row = self._store.table(ENVIRONMENT, "subscriptions").rows.get(key[1:-1])
        if row is None:
            raise no_such_segment("subscriptions")
        return row

    # --- reading ---

    def _session(self, work: Work) -> Session:
        return Session(work, Company("", ""), self._options)

    def _list(self, call: Call) -> Answer:
        session = self._session(self._store.begin())
        query = read_query(session, SUBSCRIPTION, call.options, call.prefer)
        rows = sorted((_visible(row) for row in self.rows()), key=lambda row: str(row["subscriptionId"]))
        context = f"{call.root}/$metadata#subscriptions"
        body = answer_list(session, SUBSCRIPTION, rows, query, url=call.url, context=context, options=call.options)
        return Answer(200, body, _ODATA)

    def _shown(self, call: Call, row: Row) -> dict[str, Any]:
        context = f"{call.root}/$metadata#subscriptions/$entity"
        session = self._session(self._store.begin())
        return {"@odata.context": context, **shown(session, SUBSCRIPTION, _visible(row))}

    # --- writing ---

    async def _register(self, call: Call, api: str) -> Answer:
        values = self._values(call, {"clientState": ""}, api)
        if len(self.rows()) >= self._options.subscriptions_maximum:
            raise dialog("too_many_subscriptions", maximum=self._options.subscriptions_maximum)
        await self._shake_hands(values["notificationUrl"])
        work = self._store.begin()
        row_id = uuid.UUID(work.new_id()).hex
        created = {"systemCreatedAt": work.now, "userId": call.user_id}
        row = self._put(work, {"id": row_id, **created, **values})
        location = f"{call.root}/subscriptions('{row_id}')"
        return Answer(201, self._shown(call, row), {**_ODATA, "Location": location})

    async def _renew(self, call: Call, key: str, api: str) -> Answer:
        row = self._row(key)
        require_etag(call, self._etag(row))
        values = self._values(call, row, api)
        await self._shake_hands(values["notificationUrl"])
        row = self._row(key)
        require_etag(call, self._etag(row))
        work = self._store.begin()
        for notice in work.table(ENVIRONMENT, "notices").find("subscriptionId", row["id"]):
            if notice["notificationUrl"] != values["notificationUrl"]:
                work.put(ENVIRONMENT, "notices", {**notice, "notificationUrl": values["notificationUrl"]})
        renewed = self._put(work, {**row, **values})
        self._notices.wake_all()
        return Answer(200, self._shown(call, renewed), _ODATA)

    def _delete(self, call: Call, key: str) -> Answer:
        row = self._row(key)
        require_etag(call, self._etag(row))
        work = self._store.begin()
        _remove(work, row)
        work.commit()
        return Answer(204)

    def _etag(self, row: Row) -> str:
        return etag_of(self._session(self._store.begin()), row)

    def _put(self, work: Work, row: Mapping[str, Any]) -> Row:
        life = timedelta(seconds=self._options.subscription_life_seconds)
        written = work.put(ENVIRONMENT, "subscriptions", {**row, "expirationDateTime": work.now + life})
        work.commit()
        return written

    def _values(self, call: Call, before: Mapping[str, Any], api: str) -> dict[str, Any]:
        """Read and check a body; what is not in it stays as it was."""
        values = {name: before[name] for name in ("notificationUrl", "resource", "clientState") if name in before}
        for name, value in read_body(call.body).items():
            if not name.startswith("@"):
                values[name] = _value(name, value)
        for name in ("notificationUrl", "resource"):
            if not values.get(name):
                raise ApiError(400, "BadRequest_RequiredParamNotProvided", "not_provided", name=name)
        _check_url(values["notificationUrl"])
        return {**values, "watched": self._watched(values["resource"], api)}

    def _watched(self, resource: str, api: str) -> str:
        """Return what to look out for; the API of the resource is the one that the request went to."""
        found = _RESOURCE.fullmatch(resource)
        company = found["company"].lower() if found is not None else ""
        sets = WEBHOOK_SETS if api == "v2.0" else NOTIFYING
        if found is None or found["api"] != api or company not in self._companies or found["set"] not in sets:
            raise bad_request("no_webhooks", resource=resource)
        return watched_key(self._companies[company].id, EVERY[found["set"]].table)

    async def _shake_hands(self, url: str) -> None:
        """Ask the address to give back a token, in time and as text."""
        token = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{url} {self._clock.now().isoformat()}"))
        limit = self._options.handshake_seconds
        since = self._clock.now()
        address = httpx.URL(url).copy_add_param("validationToken", token)
        try:
            response = await self._notices.client.post(address, timeout=limit)
        except httpx.TransportError:
            raise bad_request("handshake") from None
        late = (self._clock.now() - since).total_seconds() > limit
        if late or response.status_code != 200 or response.text.strip() not in (token, f'"{token}"'):
            raise bad_request("handshake")


def _value(name: str, value: Any) -> Any:
    field = SUBSCRIPTION.by_name.get(name)
    if field is None:
        raise no_such_property(name, SUBSCRIPTION.name)
    if field.read_only:
        raise ApiError(400, "BadRequest_InvalidOperation", "read_only", name=name)
    return read(field, value)


def _check_url(url: str) -> None:
    """Insist on https; only addresses of this very machine may do without."""
    parts = urlsplit(url)
    if parts.scheme == "https" and parts.hostname:
        return
    if parts.scheme == "http" and parts.hostname in _LOCAL_HOSTS:
        return
    raise bad_request("bad_url")


def _visible(row: Row) -> Row:
    """Return a subscription with what its resource shows over and above what is kept."""
    return {
        **row,
        "subscriptionId": row["id"],
        "timestamp": row[REVISION],
        "systemCreatedBy": row["userId"],
        "systemModifiedAt": row["lastModifiedDateTime"],
        "systemModifiedBy": row["userId"],
    }


def _remove(work: Work, row: Row) -> None:
    work.remove(ENVIRONMENT, "subscriptions", row["id"])
    for notice in work.table(ENVIRONMENT, "notices").find("subscriptionId", row["id"]):
        work.remove(ENVIRONMENT, "notices", notice["id"])
