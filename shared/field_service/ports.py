"""What the checks need from outside beside the systems."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class AnswerRow:
    """A question that is being asked or has been answered. Ids, numbers and the answer only.

    system, check, request: under which it is known. print: of the question's body, so that another one under the same
    id is told apart. holder: who asks or has asked. answer: JSON, empty while somebody is asking. until: from when on
    it counts no more.
    """

    system: str
    check: str
    request: str
    print: str
    holder: str
    until: datetime
    answer: str = field(default="", repr=False)
    etag: str = ""


class AnswerRows(Protocol):
    """The answers that a repeat gets again."""

    async def get(self, system: str, check: str, request: str) -> AnswerRow | None: ...

    async def put(self, row: AnswerRow) -> AnswerRow:
        """Conditional on the etag given (empty: must not exist yet); raises RowTaken."""
        ...

    async def remove(self, row: AnswerRow) -> None:
        """Remove it if it is still this one; nothing happens if it is gone or somebody else's."""
        ...

    async def sweep(self, now: datetime) -> int:
        """Remove what counts no more; answers how many there were. Not on the way of a question."""
        ...
