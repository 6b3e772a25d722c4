"""What was asked of a sandbox, so that tests can count requests and notice the unforeseen ones."""

from __future__ import annotations

import logging
import re
from collections import Counter, deque
from dataclasses import dataclass
from datetime import datetime

from sandbox.faults import FaultKind

LOG = logging.getLogger("sandbox")
KEPT = 100_000

_GUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_KEY_VALUES = re.compile(r"'(?:[^']|'')*'")


def path_template(path: str) -> str:
    """Return a path with ids and quoted key values replaced, so that equal kinds of request look equal."""
    return _KEY_VALUES.sub("'..'", _GUID.sub("{id}", path))


@dataclass(frozen=True)
class LoggedRequest:
    """One request as it was answered. `status` is 0 when the connection broke before an answer."""

    sequence: int
    at: datetime
    method: str
    path: str
    query_names: tuple[str, ...]
    """Names of the query parameters; their values are not kept, they may be secrets."""
    status: int
    unforeseen: bool
    fault: FaultKind | None


class RequestLog:
    """The last 100,000 requests, and counts of all of them by method, path template and status."""

    def __init__(self, name: str, kept: int = KEPT) -> None:
        self._name = name
        self._entries: deque[LoggedRequest] = deque(maxlen=kept)
        self._sequence = 0
        self.totals: Counter[tuple[str, str, int]] = Counter()

    def add(
        self,
        *,
        at: datetime,
        method: str,
        path: str,
        query_names: tuple[str, ...] = (),
        status: int,
        unforeseen: bool = False,
        fault: FaultKind | None = None,
    ) -> LoggedRequest:
        """Write one request down. An unforeseen one is also logged as a warning, without its values."""
        self._sequence += 1
        entry = LoggedRequest(self._sequence, at, method, path, query_names, status, unforeseen, fault)
        self._entries.append(entry)
        template = path_template(path)
        self.totals[(method, template, status)] += 1
        if unforeseen:
            names = ",".join(query_names)
            LOG.warning("%s sandbox: unforeseen request %s %s (query: %s)", self._name, method, template, names)
        return entry

    def entries(self) -> list[LoggedRequest]:
        """Return the kept requests, oldest first."""
        return list(self._entries)

    def unforeseen(self) -> list[LoggedRequest]:
        """Return the kept requests the sandbox has no imitation for; a test asserts that there are none."""
        return [entry for entry in self._entries if entry.unforeseen]

    def count(self, method: str | None = None, path_regex: str | None = None, status: int | None = None) -> int:
        """Count the kept requests that fit; None means any."""
        pattern = re.compile(path_regex) if path_regex is not None else None
        return sum(
            1
            for entry in self._entries
            if (method is None or entry.method == method)
            and (pattern is None or pattern.search(entry.path) is not None)
            and (status is None or entry.status == status)
        )

    def clear(self) -> None:
        """Forget all requests; the sequence goes on."""
        self._entries.clear()
        self.totals.clear()
