"""One request and one answer, apart from how they travel: alone over HTTP or as a part of a batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sandbox.business_central.errors import stale_etag, token_needed
from sandbox.business_central.store import PRESENT, StateOf
from sandbox.business_central.values import well_formed_etag


@dataclass(frozen=True)
class Call:
    """A request below the API's root.

    `segments` are the parts of the path after `api/v2.0`, `headers` have lower-case names, `url` is the address
    without the query, `root` that of the API. `body` is JSON already read (numbers as Decimal), or None.
    """

    method: str
    segments: tuple[str, ...]
    options: Mapping[str, str]
    headers: Mapping[str, str]
    url: str
    root: str
    body: Any = None
    state: StateOf = PRESENT
    user_id: str = ""

    @property
    def prefer(self) -> str:
        """The Prefer header, blank without one."""
        return self.headers.get("prefer", "")


@dataclass(frozen=True)
class Answer:
    """What a request is answered with. A `body` of None is no body; text goes out as `media` says."""

    status: int
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    media: str = "application/json; odata.metadata=minimal; odata.streaming=true"


def require_etag(call: Call, current: str) -> None:
    """Check If-Match where it is mandatory; raises the 400 or the 409 of the service."""
    given = call.headers.get("if-match")
    if given is None or not well_formed_etag(given):
        raise token_needed()
    if given not in ("*", current):
        raise stale_etag()


def check_etag(call: Call, current: str) -> None:
    """Check If-Match where it counts only if it is there."""
    if "if-match" in call.headers:
        require_etag(call, current)
