"""The app settings that people gave on this machine: local.settings.json, and above it the environment."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from shared.errors import SettingsError

FILE: Final = "local.settings.json"
OURS: Final = ("CROSSDOCK_", "ServiceBus", "AzureWebJobs")
"""How the names of the settings begin that the functions and their triggers read."""
NO_SETTINGS: Final = ("CROSSDOCK_VENV", "CROSSDOCK_SET_UP")
"""What `manage.py` itself says to the programs it starts."""


def given_settings(environment: Mapping[str, str], folder: Path) -> dict[str, str]:
    """The settings of the folder's local.settings.json and of the environment, which counts first. Raises
    SettingsError."""
    found = {name: value for name, value in environment.items() if name.startswith(OURS) and name not in NO_SETTINGS}
    return _of_file(folder / FILE) | found


def _of_file(path: Path) -> dict[str, str]:
    if not path.exists():
        return {}
    try:
        return {str(name): str(value) for name, value in json.loads(path.read_bytes())["Values"].items()}
    except (ValueError, KeyError, AttributeError, TypeError):
        raise SettingsError(f'{path} cannot be read; it needs an object "Values" with names and texts.') from None
