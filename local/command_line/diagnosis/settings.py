"""Settings: wrong ones, secrets that are placeholders, names nobody reads, doors that stay closed."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Final

from local.bootstrap import ROOT
from local.command_line.diagnosis.patient import Patient
from local.command_line.diagnosis.symptoms import SETTINGS_PAGE, Symptom, note, of_error, warning, wrong
from shared.errors import SettingsError
from shared.operations import closed_doors
from shared.settings import ADDRESSES, OperatorDoor, known_settings

PREFIX: Final = "CROSSDOCK_"
OF_TOOLS: Final = frozenset({"CROSSDOCK_VENV"})
"""Read by manage.py itself."""
_SECRET: Final = re.compile(r"_(SECRET|SECRET_PREVIOUS|STATE|STATE_PREVIOUS|KEY|KEY_PREVIOUS|IDENTITIES)$")
_PLACEHOLDER: Final = re.compile(
    r"change[-_ ]?me|placeholder|your[-_ ]|\byours?\b|<[^>]*>|to[-_ ]?do|x{6,}|\.{4,}|^(.)\1+$|1234567890|insert[-_ ]",
    re.IGNORECASE,
)


async def settings(patient: Patient) -> list[Symptom]:
    """Every mistake in the settings, whatever it closes."""
    environment = patient.app.settings.environment
    found = [of_error(error, page=SETTINGS_PAGE) for error in patient.app.settings.check()]
    return [*found, *_placeholders(environment), *_unknown(patient), *_closed(patient)]


def _placeholders(environment: Mapping[str, str]) -> Iterator[Symptom]:
    example: Mapping[str, str] = json.loads((ROOT / "local.settings.example.json").read_text("utf-8"))["Values"]
    for name, value in sorted(environment.items()):
        if not name.startswith(PREFIX) or not _SECRET.search(name) or not value.strip():
            continue
        parts = [part.rpartition(":")[2] for part in value.split()]
        if value == example.get(name) or any(_PLACEHOLDER.search(part) for part in parts):
            yield wrong(
                f"{name}: holds a placeholder, which everybody can guess.",
                "Set a random value of at least 32 characters, and register anew where a system shows it.",
                SETTINGS_PAGE,
            )


def _unknown(patient: Patient) -> Iterator[Symptom]:
    """Names that nobody reads: usually a typing error, and the setting that was meant is missing."""
    try:
        known = known_settings(patient.app.settings.kinds)
    except SettingsError:
        known = known_settings({kind: kind for kind in ADDRESSES})
    for name in sorted(patient.app.settings.environment):
        if name.startswith(PREFIX) and name not in known | OF_TOOLS:
            close = difflib.get_close_matches(name, known, n=1)
            meant = f" Did you mean {close[0]}?" if close else ""
            yield warning(f"{name}: no such setting is read.{meant}", "Correct or remove the setting.", SETTINGS_PAGE)


def _closed(patient: Patient) -> Iterator[Symptom]:
    for name in closed_doors(patient.app):
        yield warning(
            f"{name}: is missing, so the webhook takes nothing and only walks find changes.",
            "Set it; manage.py register --apply tells Dataverse and Business Central, people tell the field service.",
            SETTINGS_PAGE,
        )
    try:
        door = patient.app.settings.get(OperatorDoor)
    except SettingsError:
        return
    if door.key is None and door.platform_sign_in == "off":
        yield note(
            "CROSSDOCK_OPERATOR_KEY: is missing and the platform's sign-in is off: nobody can use the operations API.",
            "Set one of the two if the API is to be used.",
            SETTINGS_PAGE,
        )
