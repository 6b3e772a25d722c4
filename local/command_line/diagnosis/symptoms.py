"""What a probe finds: how bad it is, what, and what to do. Never a secret, a record's value or a person's name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from shared.errors import CrossdockError
from shared.sync.findings import Severity

SETTINGS_PAGE: Final = "docs/reference/settings.md"
DOCTOR_PAGE: Final = "docs/how-to/doctor.md"
ERRORS_PAGE: Final = "docs/errors.md"


@dataclass(frozen=True, slots=True)
class Symptom:
    """One finding. page: where more is told."""

    level: Severity
    told: str
    remedy: str
    page: str
    code: str = ""

    @property
    def needs_somebody(self) -> bool:
        """Whether it is more than worth knowing."""
        return self.level is not Severity.NOTE


class CannotLook(Exception):
    """What the probe needs is broken itself, and another probe says so."""


def of_error(error: CrossdockError, level: Severity = Severity.WRONG, page: str = ERRORS_PAGE) -> Symptom:
    """An error with its own remedy."""
    return Symptom(level, (error.detail or error.sentence).strip(), error.remedy, page, error.code)


def wrong(told: str, remedy: str, page: str = DOCTOR_PAGE, code: str = "") -> Symptom:
    return Symptom(Severity.WRONG, told, remedy, page, code)


def warning(told: str, remedy: str, page: str = DOCTOR_PAGE, code: str = "") -> Symptom:
    return Symptom(Severity.WARNING, told, remedy, page, code)


def note(told: str, remedy: str, page: str = DOCTOR_PAGE, code: str = "") -> Symptom:
    return Symptom(Severity.NOTE, told, remedy, page, code)
