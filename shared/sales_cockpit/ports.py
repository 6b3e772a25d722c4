"""What the Sales Cockpit's functions need of the outside. They run as the signed-in user wherever he is there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from shared.strict_json import Json
from shared.sync.ports import TableMetadata
from shared.users import User as User


class State(StrEnum):
    """How an opportunity stands."""

    OPEN = "open"
    WON = "won"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Opportunity:
    """An opportunity as its user sees it. values: the asked columns, as JSON has them; a column that he may not see is
    missing. formatted: what the system shows for a value, such as a look-up's name."""

    key: str
    etag: str
    state: State
    name: str = field(repr=False)
    values: Mapping[str, Json] = field(repr=False)
    formatted: Mapping[str, str] = field(repr=False)


class Crm(Protocol):
    """The opportunities of one organisation, as a user may see and change them. Every call is one request.

    Raises NotVisible (shared.sales_cockpit.errors) for one that does not exist or that he may not see, and the errors
    of connectors: NotAllowed, VersionConflict, SystemDown, Throttled, UnknownResult.
    """

    system: str

    async def read(self, user: User, key: str, columns: Sequence[str], within_seconds: float) -> Opportunity:
        """One opportunity with these columns. Never from a cache, never kept."""
        ...

    async def write(self, user: User, key: str, etag: str, values: Mapping[str, Json], within_seconds: float) -> str:
        """Change these columns of the opportunity that still has this etag; answers the new one."""
        ...

    async def metadata(self) -> TableMetadata:
        """The table's columns, as our own identity sees them; kept for an hour."""
        ...


@dataclass(frozen=True, slots=True)
class Project:
    """A project of the Cockpit. opportunity: whose it is. url: where people open it."""

    key: str
    opportunity: str
    name: str = field(repr=False)
    url: str = field(repr=False)
    solution: str | None = None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A rating of an opportunity, as the Cockpit tells it. by: the object id of who rated. probability: 0 to 100.

    results: further results by their name."""

    key: str
    project: str
    opportunity: str
    at: datetime
    by: str
    probability: float = field(repr=False)
    results: Mapping[str, Json] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class EvaluationPage:
    """Some evaluations, the oldest change first. next: where the next page begins; None on the last one."""

    items: Sequence[Evaluation]
    next: str | None


class Cockpit(Protocol):
    """The Cockpit's projects and evaluations. Raises the errors of connectors."""

    system: str

    async def find(self, opportunity: str, user: User | None, within_seconds: float) -> Project | None:
        """The project of an opportunity; as the user where there is one, else as our own identity."""
        ...

    async def create(
        self, opportunity: str, name: str, solution: str | None, user: User | None, within_seconds: float
    ) -> tuple[Project, bool]:
        """The project of an opportunity, made if there is none, and whether it was made now. Repeating is harmless."""
        ...

    async def evaluations(self, since: datetime, cursor: str | None, within_seconds: float) -> EvaluationPage:
        """What was rated since then, as our own identity."""
        ...


class Stage(StrEnum):
    """How far the writing of an evaluation is. reserved: it may be written at any moment; confirmed: it is written."""

    RESERVED = "reserved"
    CONFIRMED = "confirmed"


@dataclass(frozen=True, slots=True)
class EvaluationRow:
    """The newest evaluation of an opportunity that was or is being written. No value of it.

    crm: system and instance of the opportunity; at: when it was rated. overtook: it took the place of a reservation
    that was never confirmed, whose write may still be under way.
    """

    crm: str
    opportunity: str
    evaluation: str
    at: datetime
    stage: Stage
    overtook: bool = False
    etag: str = ""


class EvaluationRows(Protocol):
    """One row for each opportunity that was rated."""

    async def get(self, crm: str, opportunity: str) -> EvaluationRow | None: ...

    async def put(self, row: EvaluationRow) -> EvaluationRow:
        """Conditional on the etag given (empty: must not exist yet); raises RowTaken when somebody else was faster.

        A row that is already there with the same content counts as written.
        """
        ...
