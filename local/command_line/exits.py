"""How a command ends: one meaning for each exit code, whatever the command."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from local.command_line.errors import NotConfirmed, NothingToWorkOn, WrongUsage
from shared.errors import (
    ConnectorError,
    CrossdockError,
    QueueUnavailable,
    Refused,
    SettingsError,
    SignInUnavailable,
    StoreUnavailable,
    UnknownColumn,
)
from shared.routes import ModeForbids, Overtaken, RequestError, SwitchedOff


class Exit(IntEnum):
    """The exit codes of `manage.py`; docs/reference/command-line.md explains them."""

    FINE = 0
    ATTENTION = 1
    USAGE = 2
    SET_UP = 3
    UNREACHABLE = 4
    REFUSED = 5
    UNFORESEEN = 6


_BY_ERROR: Final[tuple[tuple[type[CrossdockError], Exit], ...]] = (
    (WrongUsage, Exit.USAGE),
    (NothingToWorkOn, Exit.SET_UP),
    (NotConfirmed, Exit.REFUSED),
    (SettingsError, Exit.SET_UP),
    (StoreUnavailable, Exit.UNREACHABLE),
    (QueueUnavailable, Exit.UNREACHABLE),
    (SignInUnavailable, Exit.UNREACHABLE),
    (Refused, Exit.REFUSED),
    (UnknownColumn, Exit.SET_UP),
    (ConnectorError, Exit.UNREACHABLE),
    (Overtaken, Exit.REFUSED),
    (SwitchedOff, Exit.REFUSED),
    (ModeForbids, Exit.REFUSED),
    (RequestError, Exit.USAGE),
)


def exit_of(error: CrossdockError) -> Exit:
    """The exit code that an error ends a command with."""
    return next((code for kind, code in _BY_ERROR if isinstance(error, kind)), Exit.UNFORESEEN)
