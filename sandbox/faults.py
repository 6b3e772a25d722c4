"""Faults on demand: what goes wrong with a request, and what goes wrong with a notice.

A rule says which requests it concerns, how likely it is and how often it strikes. The draws come from a
generator with a seed, so a run repeats itself exactly.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from enum import StrEnum


class FaultKind(StrEnum):
    """What can go wrong with one request."""

    LOST_ANSWER = "lost_answer"
    """The request is executed, then the connection breaks before any answer."""
    REFUSED_CONNECTION = "refused_connection"
    """Nothing is executed, the connection breaks."""
    THROTTLED = "throttled"
    """429 with Retry-After and the system's own body; nothing is executed."""
    UNAVAILABLE = "unavailable"
    """503, nothing is executed."""
    STALL = "stall"
    """No answer for `seconds`, then the connection breaks; executed or not as `executes` says."""
    GATEWAY_TIMEOUT = "gateway_timeout"
    """The request is executed, the answer is 504."""
    HALF_BODY = "half_body"
    """The request is executed, half of the body arrives, then the connection breaks."""
    GARBAGE = "garbage"
    """200 with an HTML sign-in page; nothing is executed."""
    STALE_READ = "stale_read"
    """A GET shows the state of `seconds` ago; with 0 seconds each record's previous version."""
    SERVER_ERROR = "server_error"
    """500, nothing is executed."""


@dataclass(frozen=True)
class FaultRule:
    """One fault to strike: which requests, how likely, how often.

    `method` is compared as it stands ("POST"), `path` is a regular expression searched in the request's path;
    None means any. `after` skips that many matching requests first, `times` ends the rule after so many strikes.
    """

    kind: FaultKind
    method: str | None = None
    path: str | None = None
    probability: float = 1.0
    times: int | None = None
    after: int = 0
    retry_after_seconds: float = 1
    seconds: float = 0
    executes: bool = True

    def concerns(self, method: str, path: str) -> bool:
        """Say whether a request is one this rule is about."""
        if self.method is not None and self.method != method:
            return False
        if self.kind is FaultKind.STALE_READ and method != "GET":
            return False
        return self.path is None or re.search(self.path, path) is not None


@dataclass
class _Active:
    rule: FaultRule
    seen: int = 0
    struck: int = 0


class Faults:
    """The rules in force. The first rule that concerns a request and draws its chance strikes."""

    def __init__(self, seed: int = 0) -> None:
        self._random = random.Random(seed)
        self._active: dict[int, _Active] = {}
        self._next_id = 1

    def add(self, rule: FaultRule) -> int:
        """Put a rule in force and return its id. A malformed `path` raises `re.error` here, not later."""
        if rule.path is not None:
            re.compile(rule.path)
        rule_id, self._next_id = self._next_id, self._next_id + 1
        self._active[rule_id] = _Active(rule)
        return rule_id

    def remove(self, rule_id: int) -> None:
        """Take a rule out of force; an id that is not in force is ignored."""
        self._active.pop(rule_id, None)

    def clear(self) -> None:
        """Take every rule out of force."""
        self._active.clear()

    def rules(self) -> dict[int, FaultRule]:
        """Return the rules in force by their id."""
        return {rule_id: active.rule for rule_id, active in self._active.items()}

    def pick(self, method: str, path: str) -> FaultRule | None:
        """Choose the fault that strikes this request, or None. Counts the request for `after` and `times`."""
        for active in self._active.values():
            if active.rule.concerns(method, path) and self._strikes(active):
                return active.rule
        return None

    def _strikes(self, active: _Active) -> bool:
        active.seen += 1
        rule = active.rule
        if active.seen <= rule.after or (rule.times is not None and active.struck >= rule.times):
            return False
        if rule.probability < 1.0 and self._random.random() >= rule.probability:
            return False
        active.struck += 1
        return True


class ConnectionBroken(Exception):
    """Raised out of a sandbox's application: the connection ends here, with whatever has been sent so far.

    In process `sandbox.transport.SandboxTransport` turns it into the exception a real client would see; over a
    real port `sandbox.server.serve` closes the socket.
    """

    def __init__(self, kind: FaultKind) -> None:
        super().__init__(f"the sandbox broke the connection on demand ({kind})")
        self.kind = kind


@dataclass(frozen=True)
class NoticeChances:
    """How likely each mishap of a notice is (0 to 1), and the range of extra delay in seconds."""

    duplicate: float = 0.0
    drop: float = 0.0
    reorder: float = 0.0
    delay_seconds: tuple[float, float] = (0.0, 0.0)


class NoticeFaults:
    """What goes wrong with notices (webhook calls): doubled, lost, overtaken, late. Seeded."""

    REORDER_SECONDS = 5.0
    """How long an overtaken notice is held back, so that those that follow within that time come first."""

    def __init__(
        self,
        duplicate: float = 0.0,
        drop: float = 0.0,
        reorder: float = 0.0,
        delay_seconds: tuple[float, float] = (0.0, 0.0),
        seed: int = 0,
    ) -> None:
        self.chances = NoticeChances(duplicate, drop, reorder, delay_seconds)
        self._random = random.Random(seed)

    def set(
        self,
        *,
        duplicate: float | None = None,
        drop: float | None = None,
        reorder: float | None = None,
        delay_seconds: tuple[float, float] | None = None,
    ) -> None:
        """Change some of the chances; what is not named stays."""
        now = self.chances
        self.chances = NoticeChances(
            now.duplicate if duplicate is None else duplicate,
            now.drop if drop is None else drop,
            now.reorder if reorder is None else reorder,
            now.delay_seconds if delay_seconds is None else delay_seconds,
        )

    def clear(self) -> None:
        """Let every notice travel well again."""
        self.chances = NoticeChances()

    def delays(self) -> tuple[float, ...]:
        """Draw one notice's fate: a delay in seconds per copy to deliver; an empty tuple means it is lost."""
        chances = self.chances
        if self._drawn(chances.drop):
            return ()
        copies = 2 if self._drawn(chances.duplicate) else 1
        return tuple(self._delay() for _ in range(copies))

    def _delay(self) -> float:
        low, high = self.chances.delay_seconds
        late = self._random.uniform(low, high) if high > 0 else 0.0
        return late + (self.REORDER_SECONDS if self._drawn(self.chances.reorder) else 0.0)

    def _drawn(self, chance: float) -> bool:
        return chance > 0 and self._random.random() < chance
