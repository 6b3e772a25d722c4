"""What lies on a queue: which records changed and why we know, never what they contain.

The body is JSON with a version, so that instances of two releases can share a queue during a deployment: unknown
names are ignored, an unknown version is refused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Final, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from pydantic_core import PydanticSerializationError, to_json

from shared.errors import CrossdockError, Who
from shared.sync.ports import Outgoing, Side

VERSION: Final = 1
MAX_KEYS: Final = 100
MAX_MESSAGE_ID: Final = 128
"""Characters of a message id (Microsoft Learn, "Service Bus quotas")."""
DRAIN: Final = "drain"
"""The cause of what has waited and is not a person's word."""
COMPARE: Final = "compare"
"""The cause of what a full compare has found; its messages carry the compare's run as correlation id."""


class MessageInvalid(CrossdockError, ValueError):
    """A message's body is not one of ours; the text names the fields and never holds a value."""

    code = "CD-2003"
    sentence = "A message on the queue cannot be read."
    who = Who.DEVELOPER
    remedy = (
        "Look at the named field; messages are only ever sent by Crossdock itself, in the same or an older version."
    )


@dataclass(frozen=True, slots=True)
class Message:
    """Records of one table that changed: one key (a change) or up to a hundred (a walk, a load, a drain,
    many changes announced together).

    transfer: whose queue it lies on. side and table: where the keys are from; either end of the transfer. cause: how
    we know (webhook, walk, load …). occurred_at: when the change happened or was found. attempt: 0 at first, raised
    by each deferred copy. failures: how many of those attempts failed for an unforeseen reason; waiting is no failure.
    change_id: id of the change, the same for the same change however often it is announced. editors: by key the last
    edit that notices told of.
    Raises MessageInvalid for what no message may hold.
    """

    transfer: str
    side: Side
    table: str
    keys: tuple[str, ...]
    cause: str
    occurred_at: datetime
    attempt: int
    correlation_id: str
    change_id: str
    failures: int = 0
    editors: Mapping[str, str] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if not 1 <= len(self.keys) <= MAX_KEYS:
            raise MessageInvalid(f"keys: {len(self.keys)} given, a message has 1 to {MAX_KEYS}; send several messages")
        if not (self.transfer and self.table and self.change_id):
            name = next(name for name in ("transfer", "table", "change_id") if not getattr(self, name))
            raise MessageInvalid(f"{name}: is empty; fill it in before sending")
        if self.occurred_at.tzinfo is None:
            raise MessageInvalid("occurred_at: has no time zone; give an aware time")

    def message_id(self) -> str:
        """Return the id for the queue's duplicate detection: the change's, with the attempt for a deferred copy.

        So the same change announced twice is taken once, and neither a second change nor a retry is swallowed.
        """
        return short_id(f"{self.change_id}/{self.attempt}" if self.attempt else self.change_id)

    def to_json(self) -> str:
        """Return the body to send; raises MessageInvalid where a text holds half a character."""
        return _address(self.transfer, self.side) + self._news()

    def outgoing(self, not_before: datetime | None = None) -> Outgoing:
        """Return what the queue takes: id, body, due time and correlation id."""
        return Outgoing(self.message_id(), self.to_json(), not_before, self.correlation_id)

    def outgoing_to(self, addresses: Iterable[tuple[str, Side]]) -> dict[str, Outgoing]:
        """Return the same news for several transfers, each with the side that the keys are from, by transfer."""
        message_id, news = self.message_id(), self._news()
        return {
            transfer: Outgoing(message_id, _address(transfer, side) + news, None, self.correlation_id)
            for transfer, side in addresses
        }

    def _news(self) -> str:
        """The body behind the address."""
        body = {
            "table": self.table,
            "keys": self.keys,
            "cause": self.cause,
            "occurred_at": self.occurred_at.astimezone(UTC),
            "attempt": self.attempt,
            "correlation_id": self.correlation_id,
            "change_id": self.change_id,
            "failures": self.failures,
            "editors": {key: self.editors[key] for key in self.keys if key in self.editors},
        }
        return _json(body)[1:]

    @staticmethod
    def from_json(body: str | bytes) -> Message:
        """Read a body again; raises MessageInvalid naming every wrong field, without its value."""
        try:
            wire = _Wire.model_validate_json(body)
        except ValidationError as error:
            raise MessageInvalid(explain(error)) from None
        return Message(
            transfer=wire.transfer,
            side=wire.side,
            table=wire.table,
            keys=tuple(wire.keys),
            cause=wire.cause,
            occurred_at=wire.occurred_at.astimezone(UTC),
            attempt=wire.attempt,
            correlation_id=wire.correlation_id,
            change_id=wire.change_id,
            failures=wire.failures,
            editors=wire.editors,
        )


def short_id(text: str) -> str:
    """The text as a message id; a digest of it where it is too long for one."""
    if len(text) <= MAX_MESSAGE_ID:
        return text
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


@lru_cache(maxsize=256)
def _address(transfer: str, side: Side) -> str:
    """The beginning of a body: the same for every message to a transfer from one side."""
    return _json({"v": VERSION, "transfer": transfer, "side": side})[:-1] + ","


def _json(body: dict[str, object]) -> str:
    try:
        return to_json(body).decode()
    except PydanticSerializationError:
        raise MessageInvalid("a text holds half a surrogate pair; only whole characters can be sent") from None


_Name = Annotated[str, StringConstraints(min_length=1, max_length=256)]
_Text = Annotated[str, StringConstraints(max_length=256)]
_Key = Annotated[str, StringConstraints(min_length=1, max_length=512)]
_ChangeId = Annotated[str, StringConstraints(min_length=1, max_length=2048)]


class _Wire(BaseModel):
    """The body as it travels."""

    model_config = ConfigDict(extra="ignore", strict=True, hide_input_in_errors=True, defer_build=True)

    v: Literal[1]
    transfer: _Name
    side: Side
    table: _Name
    keys: Annotated[list[_Key], Field(min_length=1, max_length=MAX_KEYS)]
    cause: _Text
    occurred_at: AwareDatetime
    attempt: Annotated[int, Field(ge=0)]
    correlation_id: _Text
    change_id: _ChangeId
    failures: Annotated[int, Field(ge=0)] = 0
    editors: dict[_Key, Annotated[str, StringConstraints(max_length=128)]] = {}


def explain(error: ValidationError) -> str:
    """Every wrong field of a body, without its value."""
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    return "; ".join(f"{'.'.join(map(str, fault['loc'])) or 'body'}: {fault['msg']}" for fault in faults[:10])
