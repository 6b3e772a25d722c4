"""What keeps a check from being confirmed; docs/systems/field_service_checks.md lists it all.

`name` is what the contract calls the kind of answer. A caller that gets any of these does not register his transaction.
"""

from __future__ import annotations

from collections.abc import Sequence

from shared.errors import Who
from shared.routes import RequestError


class CheckRefused(RequestError):
    """No answer to a check, or none that confirms. lines: the ids of the lines that it is about."""

    name = "BadRequest"

    def __init__(self, detail: str = "", field: str = "", lines: Sequence[str] = ()) -> None:
        super().__init__(detail, field)
        self.lines = tuple(lines)


class NotConfirmed(CheckRefused):
    """The system whose data count has not said yes. reason: the same in one word, for programs."""

    name = "NotConfirmed"
    reason = ""
    status = 503


class ChecksNotSetUp(NotConfirmed):
    """No table is named that could answer this check from the system that the settings choose."""

    code = "CD-8101"
    reason = "not_set_up"
    sentence = "No system answers this check."
    who = Who.CONSULTANT
    remedy = "Name the tables that answer in transfers/field_service/checks.yaml, and compile."
