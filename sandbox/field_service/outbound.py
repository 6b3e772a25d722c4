"""Who is told of changes, and how the messages travel: lost, doubled, late, repeated, given up."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import httpx

from sandbox.clock import Clock
from sandbox.faults import NoticeFaults
from sandbox.field_service.messages import Change, Write
from sandbox.field_service.store import WAITING, Store
from sandbox.field_service.values import Forms
from sandbox.outbox import Outbox

TIMEOUT_SECONDS = 30.0
AGAIN_AFTER = timedelta(minutes=1)
MOST_ATTEMPTS = 10
_AGAIN = frozenset({408, 429, 500, 502, 503, 504})


class Proof(StrEnum):
    """How a message shows the secret."""

    HEADER = "header"
    SIGNATURE = "signature"


@dataclass(frozen=True)
class Receiver:
    """An address that is told of changes by people, or of all where it says `every`.

    tables: None is all. names: of records in messages, where they differ from the tables'. media: of the messages that
    `write` words.
    """

    url: str
    secret: str = field(repr=False)
    write: Write = field(repr=False)
    media: str = "application/json"
    proof: Proof = Proof.HEADER
    tables: frozenset[str] | None = None
    names: Mapping[str, str] = field(default_factory=dict)
    every: bool = False


@dataclass(frozen=True)
class Parcel:
    """A message on its way: to whom, which copy and attempt it is."""

    receiver: str
    message_id: str
    copy: int
    body: str
    due: datetime
    attempt: int = 1

    @property
    def key(self) -> str:
        """The name under which it waits."""
        return f"{self.receiver}/{self.message_id}/{self.copy}"


class Outbound:
    """Takes changes up and posts what is to be told of them. What waits survives the process, receivers do not.

    refused: statuses of the messages that were given up, 0 where there was no answer.
    """

    def __init__(
        self, store: Store, forms: Forms, clock: Clock, faults: NoticeFaults, post: httpx.AsyncClient | None
    ) -> None:
        self._store = store
        self._forms = forms
        self._clock = clock
        self._faults = faults
        self._post = post
        self._own_client = post is None
        self.receivers: dict[str, Receiver] = {}
        self.refused: list[int] = []
        self.outbox: Outbox[Parcel] = Outbox(clock, self._deliver)
        for kept in store.spaces[WAITING].values():
            self.outbox.put(Parcel(**kept), kept["due"])

    def clear(self) -> None:
        """Forget what waits; the file is the store's."""
        self.outbox.clear()
        self.refused.clear()

    async def aclose(self) -> None:
        """Close the client if it is our own."""
        if self._own_client and self._post is not None:
            await self._post.aclose()
            self._post = None

    def take(self, change: Change, *, by_person: bool) -> None:
        """Let everybody be told of a change who wants to."""
        for name, receiver in self.receivers.items():
            wanted = receiver.tables is None or change.table.name in receiver.tables
            if not wanted or not (by_person or receiver.every):
                continue
            called = receiver.names.get(change.table.name, change.table.name)
            body = receiver.write(change, called, self._forms)
            for copy, delay in enumerate(self._faults.delays()):
                due = self._clock.now() + timedelta(seconds=delay)
                self._wait(Parcel(name, change.message_id, copy, body, due))

    def _wait(self, parcel: Parcel) -> None:
        self._store.keep(WAITING, parcel.key, asdict(parcel))
        self.outbox.put(parcel, parcel.due)

    async def _deliver(self, parcel: Parcel) -> None:
        receiver = self.receivers.get(parcel.receiver)
        status = 200 if receiver is None else await self._posted(receiver, parcel.body)
        if status in _AGAIN | {0} and parcel.attempt < MOST_ATTEMPTS:
            self._wait(replace(parcel, attempt=parcel.attempt + 1, due=self._clock.now() + AGAIN_AFTER))
        else:
            self._store.drop(WAITING, parcel.key)
            if not 200 <= status < 300:
                self.refused.append(status)
        self._store.commit()

    async def _posted(self, receiver: Receiver, body: str) -> int:
        """The status of the answer; 0 where there was none."""
        if self._post is None:
            self._post = httpx.AsyncClient()
        headers = {"Content-Type": f"{receiver.media}; charset=utf-8", **self._shown(receiver, body)}
        try:
            answer = await self._post.post(
                receiver.url, content=body.encode(), headers=headers, timeout=TIMEOUT_SECONDS
            )
        except httpx.HTTPError:
            return 0
        return answer.status_code

    def _shown(self, receiver: Receiver, body: str) -> dict[str, Any]:
        if receiver.proof is Proof.HEADER:
            return {"x-crossdock-secret": receiver.secret}
        at = str(int(self._clock.now().timestamp()))
        signature = hmac.new(receiver.secret.encode(), f"{at}.{body}".encode(), hashlib.sha256).hexdigest()
        return {"x-crossdock-timestamp": at, "x-crossdock-signature": f"sha256={signature}"}
