"""Which installation a command works on: the one of the settings, or the local run that is up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from local.bootstrap import ROOT
from local.command_line.errors import NothingToWorkOn
from local.definitions import compile_folder
from local.given_settings import given_settings
from local.run_installation import what_runs
from shared.app import App, Outside
from shared.settings import SECTIONS

_KNOWN = frozenset(str(facts.alias) for kind in SECTIONS for facts in kind.model_fields.values())


@dataclass(frozen=True)
class Installation:
    """An installation: what to call it, its settings, the folder of its definitions.

    index_json: its compiled definitions; None: those of this checkout's `transfers/index.json`.
    """

    name: str
    environment: Mapping[str, str] = field(repr=False)
    transfers: Path = ROOT / "transfers"
    index_json: bytes | None = field(default=None, repr=False)
    is_local_run: bool = False


def find_installation(environment: Mapping[str, str], folder: Path, state: Path, *, local: bool) -> Installation:
    """The installation to work on.

    local: the local run whose state is in that folder, whatever the settings say. Otherwise the settings count; without
    any, or where the local run was started with these very settings, it is the local run. Raises SettingsError and
    NothingToWorkOn.
    """
    given = {} if local else given_settings(environment, folder)
    told = what_runs(state)
    if told is not None and given.items() <= told["settings"].items():
        return _of_run(told, state)
    if not given.keys() & _KNOWN:
        raise NothingToWorkOn(f"No local run is up with its state in {state}." if local else "")
    return Installation(_place(given), given)


def _of_run(told: Mapping[str, object], state: Path) -> Installation:
    transfers, settings = Path(str(told["transfers"])), told["settings"]
    assert isinstance(settings, dict)
    index = compile_folder(transfers).model_dump_json().encode()
    return Installation(f"the local run in {state}", settings, transfers, index, is_local_run=True)


def _place(settings: Mapping[str, str]) -> str:
    """The systems' addresses, for people to see where they are about to work."""
    parts = [settings.get(f"CROSSDOCK_{name}", "") for name in ("DATAVERSE_URL", "DATAVERSE_SANDBOX_URL")]
    erp = [settings.get(f"CROSSDOCK_BUSINESS_CENTRAL_{name}", "") for name in ("ENVIRONMENT", "COMPANY_ID")]
    return " ".join(filter(None, [*parts, *erp])) or "the installation of the settings"


def open_app(installation: Installation, outside: Outside | None = None) -> App:
    """The app over the installation, as its functions have it."""
    return App(installation.environment, outside, installation.index_json)
