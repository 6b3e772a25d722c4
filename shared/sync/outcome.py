"""How a run of one record ended: exactly one outcome, with a reason that people can read."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from shared.sync.ports import Candidate, FieldDecision


class Kind(StrEnum):
    """The six ways a run can end."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    SKIPPED = "skipped"
    DEFERRED = "deferred"
    PARKED = "parked"


class Why(StrEnum):
    """Reasons of outcomes that wrote nothing, or more than the kind says."""

    NEW = "a new partner was created"
    FOUND_OURS = "our own earlier create was found again"
    LINKED = "an existing partner was found and linked"
    CHANGED = "changed fields went over"
    ECHO = "nothing changed since the last agreement"
    AGREED = "what had changed agrees already: written by an earlier run, or entered on both sides"
    REPLACING = "what somebody has entered is about to be replaced"
    SWITCHED_OFF = "the transfer is switched off"
    MODE_NONE = "mode none"
    OUT_OF_SCOPE = "the record does not meet only_if"
    NOT_LINKED = "the record has no partner and this run may not make one"
    TOMBSTONE = "a person or a delete has undone the link"
    RELEASED = "the link was undone, and the partner is let go"
    SOURCE_GONE = "the source record was deleted"
    SOURCE_ENDED = "the source record meets gone_if, which counts as deleted"
    TARGET_GONE = "the target record was deleted"
    MOVED = "it belongs to another record now and was removed at the former one"
    IMMUTABLE = "the target takes no change of what it has; what was edited later stays here"
    MERGED = "the record was merged into another one"
    INHERITED = "the link of a record that was merged into it went over to it"
    NO_SUBJECT = "the related record names no record of this pair"
    NO_PARTNER = "a record that it refers to has no partner yet"
    HANDED_ON = "the records that refer to it were queued"
    CLAIMED = "somebody else is creating the partner"
    SYSTEM_DOWN = "a system does not answer"
    STOPPED = "the transfer is stopped"
    THROTTLED = "a system asks for fewer requests"
    RACE = "somebody else changed the record in the same moment"
    NOT_MASTERED = "the record is maintained in its own system until it is linked there"
    FAILED = "an unforeseen error"
    ENVIRONMENT = "another environment answers than the links were made for"
    DEFINITION = "the definition names what the system does not have"
    UNSURE = "a create's result is not known yet"
    BUSY = "both sides keep changing"
    BRAKE = "a brake stopped the transfer"
    PROBLEM = "a problem needs a person"
    HANDED_BACK = "the time budget of the run was used up"
    RECOMPUTED = "the day's rows were brought in line with the source"
    SAME_ROWS = "all rows of the day agree with the source"
    OUTSIDE_WINDOW = "the day is not within the window"
    DAY_TAKEN = "another run is at this day's rows"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of a run. delay: for deferred ones. code, field, sentence, who, remedy: for parked ones. counts: of a day
    of derived rows, how many ended how."""

    kind: Kind
    why: Why
    other: str = ""
    fields: Sequence[FieldDecision] = ()
    delay: timedelta | None = None
    burns_attempt: bool = True
    pending: bool = False
    code: str = ""
    field: str = ""
    sentence: str = ""
    who: str = ""
    remedy: str = ""
    others: Sequence[str] = ()
    candidates: Sequence[Candidate] = ()
    counts: Mapping[str, int] = dataclasses.field(default_factory=dict)


Tell = Callable[[Outcome], Awaitable[None]]
"""Journals how a run is about to end, before the store remembers that it has: no crash can forget a write for good.

Told again in the same run, it replaces what was told before.
"""
