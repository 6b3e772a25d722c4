"""Each system: does it answer, does it accept every identity of ours, is it the right one, do the clocks agree?"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from local.command_line.diagnosis.patient import Identified, Patient
from local.command_line.diagnosis.symptoms import Symptom, of_error, warning, wrong
from shared.errors import ConnectorError, SettingsError
from shared.sync.findings import Severity

CLOCK_WARNING_SECONDS: Final = 60
CLOCK_WRONG_SECONDS: Final = 300
"""Sign-in services accept tokens of a clock that is up to five minutes off."""


def system(name: str) -> Callable[[Patient], Awaitable[list[Symptom]]]:
    """The probe of one system."""

    async def probe(patient: Patient) -> list[Symptom]:
        identities = await patient.each_identity(name)
        found: list[Symptom] = []
        try:
            for one in identities:
                found += await _looked_at(name, one, len(identities))
        finally:
            for one in identities:
                await one.client.aclose()
        return _without_repeats(found)

    return probe


async def _looked_at(name: str, one: Identified, of: int) -> list[Symptom]:
    found: list[Symptom] = []
    try:
        await one.connector.ping()
    except (ConnectorError, SettingsError) as error:
        told = of_error(error, Severity.WRONG)
        which = f" (identity {one.number} of {of})" if of > 1 else ""
        found.append(Symptom(told.level, f"{told.told}{which}", told.remedy, told.page, told.code))
    return [*found, *_clock(name, one.client.skew_seconds)]


def _clock(name: str, seconds: float | None) -> list[Symptom]:
    if seconds is None or abs(seconds) < CLOCK_WARNING_SECONDS:
        return []
    told = f"{name}: its clock is {abs(seconds):.0f} seconds {'ahead of' if seconds > 0 else 'behind'} this machine's."
    make = wrong if abs(seconds) >= CLOCK_WRONG_SECONDS else warning
    return [make(told, "Let this machine take its time from a time server; sign-in and walks go by it.")]


def _without_repeats(found: Sequence[Symptom]) -> list[Symptom]:
    return list(dict.fromkeys(found))
