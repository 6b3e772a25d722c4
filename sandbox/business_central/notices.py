"""Notices of changes: gathered per subscription, sent together, repeated, given up.

Source: Microsoft Learn, 'Working with webhooks in Dynamics 365 Business Central'; published source of the base
application (codeunits "API Webhook Notification Mgt." and "API Webhook Notification Send") for delay, merging, the
collection notice and the ladder of repetitions.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import httpx

from sandbox.business_central.crm_entities import EXTENSION, NOTIFYING
from sandbox.business_central.entities import WEBHOOK_SETS
from sandbox.business_central.setup import BusinessCentralOptions
from sandbox.business_central.store import ENVIRONMENT, REVISION, Change, Store, Work
from sandbox.business_central.values import Row, moment
from sandbox.clock import Clock
from sandbox.faults import NoticeFaults
from sandbox.outbox import Outbox

LADDER_SECONDS = (60.0, 60.0, 600.0, 6000.0, 60_000.0)
"""How long the service waits before each repetition; after the last one the subscriptions are deleted."""
_WATCHED = WEBHOOK_SETS | {EXTENSION[name].table for name in NOTIFYING}
"""The tables whose changes anybody may have subscribed to."""
_STAMPS = (REVISION, "lastModifiedDateTime", "systemModifiedBy")


@dataclass(frozen=True)
class Wake:
    """Time to look at what waits for an address."""

    url: str


@dataclass(frozen=True)
class Parcel:
    """A body on its way late. `ids` are the notices it settles, none for a second copy."""

    url: str
    body: str
    ids: tuple[str, ...]


class Notices:
    """Holds notices back, sends them, and deletes the subscriptions of receivers that refuse."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        options: BusinessCentralOptions,
        faults: NoticeFaults,
        post: httpx.AsyncClient | None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._options = options
        self._faults = faults
        self._post = post
        self._own_client = post is None
        self._outbox: Outbox[Wake | Parcel] = Outbox(clock, self._deliver)
        self._windows: dict[str, datetime] = {}
        self._travelling: set[str] = set()
        self._late: list[Parcel] = []
        self._posted = 0

    @property
    def client(self) -> httpx.AsyncClient:
        """The client notices and handshakes go out with."""
        if self._post is None:
            self._post = httpx.AsyncClient()
        return self._post

    async def aclose(self) -> None:
        """Close the client if it is our own."""
        if self._own_client and self._post is not None:
            await self._post.aclose()
            self._post = None

    # --- taking up changes ---

    def record(self, work: Work, *, by_person: bool) -> None:
        """Write down a notice for every subscription a unit of work concerns; part of the same unit of work."""
        scheduled = by_person or self._options.scheduling_right
        for change in list(work.changes):
            if change.table in _WATCHED and not _is_null(change):
                self._record_change(work, change, scheduled)

    def _record_change(self, work: Work, change: Change, scheduled: bool) -> None:
        watched = watched_key(change.company, change.table)
        for subscription in work.table(ENVIRONMENT, "subscriptions").find("watched", watched):
            if subscription["expirationDateTime"] > work.now:
                due = self._window(subscription["notificationUrl"], work.now) if scheduled else None
                if scheduled:
                    self._release_held(work, subscription, due)
                if not self._merged(work, subscription, change):
                    work.put(ENVIRONMENT, "notices", _notice(work, subscription, change, due))

    def _window(self, url: str, now: datetime) -> datetime:
        """Return when the present window of an address closes; its first change opens it."""
        if url not in self._windows:
            self._windows[url] = now + timedelta(seconds=self._options.subscription_delay_seconds)
            self._outbox.put(Wake(url), self._windows[url])
        return self._windows[url]

    def _release_held(self, work: Work, subscription: Row, due: datetime | None) -> None:
        """Let notices go that waited for somebody who may schedule jobs."""
        if self._options.scheduling_right:
            return
        for notice in work.table(ENVIRONMENT, "notices").find("subscriptionId", subscription["id"]):
            if notice["due"] is None:
                work.put(ENVIRONMENT, "notices", {**notice, "due": due})

    def _merged(self, work: Work, subscription: Row, change: Change) -> bool:
        """Merge an update into the one before it, if that one has not left yet."""
        if change.before is None or change.after is None:
            return False
        before = work.table(ENVIRONMENT, "notices").find("entity", entity_key(subscription["id"], change.row_id))
        last = before[-1] if before else None
        if last is None or last["changeType"] != "updated" or last["attempt"] or last["id"] in self._travelling:
            return False
        work.put(ENVIRONMENT, "notices", {**last, "changedAt": change.at})
        return True

    def wake_all(self) -> None:
        """Set the alarm for everything that waits, as after a restart."""
        self._outbox.clear()
        self._windows.clear()
        notices = self._store.table(ENVIRONMENT, "notices").rows.values()
        waiting = [notice for notice in notices if notice["due"] is not None]
        for url, due in sorted({(notice["notificationUrl"], notice["due"]) for notice in waiting}):
            self._outbox.put(Wake(url), due)
        for notice in waiting:
            if not notice["attempt"]:
                url = notice["notificationUrl"]
                self._windows[url] = min(notice["due"], self._windows.get(url, notice["due"]))

    def clear(self) -> None:
        """Forget what is on its way; the rows are the store's."""
        self._outbox.clear()
        self._windows.clear()
        self._travelling.clear()
        self._late.clear()

    # --- sending ---

    def waiting(self) -> int:
        """Count the notices that have not been settled yet."""
        return len(self._store.table(ENVIRONMENT, "notices").rows)

    def next_due(self) -> datetime | None:
        """Return when something is to be sent next, or None when nothing waits for its time."""
        return self._outbox.next_due()

    async def deliver_due(self) -> int:
        """Send what is due; returns the number of requests made."""
        before = self._posted
        await self._outbox.deliver_due()
        return self._posted - before

    async def run(self) -> None:
        """Send what falls due, until cancelled."""
        await self._outbox.run()

    async def flush(self) -> int:
        """Send everything once, due or not, and what travels late; returns the number of requests made."""
        before = self._posted
        for parcel in list(self._late):
            await self._deliver(parcel)
        rows = self._store.table(ENVIRONMENT, "notices").rows.values()
        for url in dict.fromkeys(row["notificationUrl"] for row in rows):
            await self._send(url, list(self._ready(url, None)))
        return self._posted - before

    async def _deliver(self, item: Wake | Parcel) -> None:
        if isinstance(item, Wake):
            self._close_window(item.url)
            await self._dispatch(item.url, list(self._ready(item.url, self._clock.now())))
        elif item in self._late:
            self._late.remove(item)
            await self._send_body(item.url, item.body, item.ids)

    def _close_window(self, url: str) -> None:
        if url in self._windows and self._windows[url] <= self._clock.now():
            del self._windows[url]

    def _ready(self, url: str, now: datetime | None) -> Iterator[Row]:
        """Yield what goes with the next request: what is new, and what is to be repeated by now (None: anything)."""
        for notice in self._store.table(ENVIRONMENT, "notices").find("notificationUrl", url):
            if notice["id"] in self._travelling:
                continue
            due = notice["due"]
            if now is None or (due is not None and (not notice["attempt"] or due <= now)):
                yield notice

    async def _dispatch(self, url: str, notices: Sequence[Row]) -> None:
        """Let chance decide how a request travels: lost, at once, late, twice."""
        if not notices:
            return
        ids = tuple(notice["id"] for notice in notices)
        delays = self._faults.delays()
        if not delays:
            self._settle(ids)
            return
        if delays == (0.0,):
            await self._send(url, notices)
            return
        self._post_late(url, notices, delays)

    def _post_late(self, url: str, notices: Sequence[Row], delays: Sequence[float]) -> None:
        body = self._body(notices)
        ids = tuple(notice["id"] for notice in notices)
        self._travelling.update(ids)
        for position, delay in enumerate(sorted(delays)):
            parcel = Parcel(url, body, ids if position == 0 else ())
            self._late.append(parcel)
            self._outbox.put(parcel, self._clock.now() + timedelta(seconds=delay))

    async def _send(self, url: str, notices: Sequence[Row]) -> None:
        if notices:
            ids = tuple(notice["id"] for notice in notices)
            self._travelling.update(ids)
            await self._send_body(url, self._body(notices), ids)

    async def _send_body(self, url: str, body: str, ids: tuple[str, ...]) -> None:
        self._posted += 1
        status = await self._status_of(url, body)
        self._travelling.difference_update(ids)
        if status is not None and 200 <= status < 300:
            self._settle(ids)
        elif status is None or status in (408, 429) or status >= 500:
            self._repeat(url, ids)
        else:
            self._give_up(url)

    async def _status_of(self, url: str, body: str) -> int | None:
        """Post a body; None means no answer."""
        number = f"notice {self._store.seed}/{self._posted}"
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "clientRequestId": str(uuid.uuid5(uuid.NAMESPACE_URL, f"client {number}")),
            "x-ms-correlation-id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"correlation {number}")),
        }
        timeout = self._options.notice_answer_seconds
        try:
            response = await self.client.post(url, content=body.encode(), headers=headers, timeout=timeout)
        except httpx.TransportError:
            return None
        return response.status_code

    # --- outcomes ---

    def _settle(self, ids: Iterable[str]) -> None:
        work = self._store.begin()
        for notice_id in ids:
            work.remove(ENVIRONMENT, "notices", notice_id)
        work.commit()

    def _repeat(self, url: str, ids: Iterable[str]) -> None:
        rows = self._store.table(ENVIRONMENT, "notices").rows
        failed = [rows[notice_id] for notice_id in ids if notice_id in rows]
        if any(notice["attempt"] >= len(LADDER_SECONDS) for notice in failed):
            self._give_up(url)
            return
        work = self._store.begin()
        for notice in failed:
            due = work.now + timedelta(seconds=LADDER_SECONDS[notice["attempt"]])
            work.put(ENVIRONMENT, "notices", {**notice, "attempt": notice["attempt"] + 1, "due": due})
            self._outbox.put(Wake(url), due)
        work.commit()

    def _give_up(self, url: str) -> None:
        """Delete all subscriptions with an address, and what waits for it."""
        work = self._store.begin()
        for subscription in work.table(ENVIRONMENT, "subscriptions").find("notificationUrl", url):
            work.remove(ENVIRONMENT, "subscriptions", subscription["id"])
        for notice in work.table(ENVIRONMENT, "notices").find("notificationUrl", url):
            work.remove(ENVIRONMENT, "notices", notice["id"])
        work.commit()

    # --- the body ---

    def _body(self, notices: Sequence[Row]) -> str:
        by_subscription: dict[str, list[Row]] = {}
        for notice in notices:
            by_subscription.setdefault(notice["subscriptionId"], []).append(notice)
        subscriptions = self._store.table(ENVIRONMENT, "subscriptions").rows
        value = [
            entry
            for subscription_id, rows in by_subscription.items()
            if subscription_id in subscriptions
            for entry in self._entries(subscriptions[subscription_id], rows)
        ]
        return json.dumps({"value": value}, ensure_ascii=False)

    def _entries(self, subscription: Row, notices: Sequence[Row]) -> list[dict[str, Any]]:
        if len(notices) > self._options.collection_above:
            return [_collection(subscription, notices)]
        resource = subscription["resource"].lstrip("/")
        return [
            _entry(subscription, f"{resource}({notice['rowId']})", notice["changeType"], notice["changedAt"])
            for notice in notices
        ]


def watched_key(company: str, table: str) -> str:
    """Return the index value under which a table's subscriptions are found."""
    return f"{company}/{table}"


def entity_key(subscription_id: str, row_id: str) -> str:
    """Return the index value under which one row's notices of a subscription are found."""
    return f"{subscription_id}/{row_id}"


def _is_null(change: Change) -> bool:
    """Say whether a modification changed no field."""
    if change.before is None or change.after is None:
        return False
    before, after = change.before, change.after
    return all(before[name] == after[name] for name in after if name not in _STAMPS)


def _notice(work: Work, subscription: Row, change: Change, due: datetime | None) -> Row:
    kind = "created" if change.before is None else "deleted" if change.after is None else "updated"
    return {
        "id": f"{work.next_number():012d}",
        "subscriptionId": subscription["id"],
        "notificationUrl": subscription["notificationUrl"],
        "entity": entity_key(subscription["id"], change.row_id),
        "rowId": change.row_id,
        "changeType": kind,
        "changedAt": change.at,
        "due": due,
        "attempt": 0,
    }


def _collection(subscription: Row, notices: Sequence[Row]) -> dict[str, Any]:
    """Return the one row that stands for many; after a delete only a full comparison finds what happened."""
    resource = subscription["resource"]
    if "://" not in resource:
        resource = "/" + resource.lstrip("/")
    if not any(notice["changeType"] == "deleted" for notice in notices):
        first = min(notice["changedAt"] for notice in notices) - timedelta(milliseconds=50)
        resource += f"?$filter=lastModifiedDateTime%20gt%20{moment(first)}"
    return _entry(subscription, resource, "collection", max(notice["changedAt"] for notice in notices))


def _entry(subscription: Row, resource: str, kind: str, at: datetime) -> dict[str, Any]:
    return {
        "subscriptionId": subscription["id"],
        "clientState": subscription["clientState"],
        "expirationDateTime": moment(subscription["expirationDateTime"]),
        "resource": resource,
        "changeType": kind,
        "lastModifiedDateTime": moment(at),
    }
