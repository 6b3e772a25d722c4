"""What a command gets: its installation, the operations on it, how to speak and how to ask."""

from __future__ import annotations

import argparse
import getpass
import os
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from local.bootstrap import ROOT
from local.command_line.errors import NotConfirmed
from local.command_line.installations import Installation, find_installation, open_app
from local.command_line.output import Output
from shared.app import App, Outside
from shared.sync.definition import Index

if TYPE_CHECKING:
    from shared.engine import Engine
    from shared.operations import Operations
    from shared.sites import SiteOperations


@dataclass(frozen=True)
class Surroundings:
    """What a command takes from outside; tests give their own.

    folder: where local.settings.json is looked for. ask: puts a question to whoever sits there; None: nobody does.
    installation: the one to work on; None: it is looked for.
    """

    environment: Mapping[str, str] = field(repr=False)
    out: TextIO
    err: TextIO
    folder: Path = ROOT
    ask: Callable[[str], str] | None = None
    outside: Outside | None = None
    installation: Installation | None = None

    @classmethod
    def of_process(cls) -> Surroundings:
        """This process's own."""
        ask = input if sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty() else None
        return cls(os.environ, sys.stdout, sys.stderr, ask=ask)


class Context:
    """One run of a command. The app is made when first asked for, and closed with the context."""

    def __init__(self, surroundings: Surroundings, arguments: argparse.Namespace) -> None:
        self._surroundings = surroundings
        self._arguments = arguments
        self._app: App | None = None
        self.out = Output(surroundings.out, surroundings.err, as_json=bool(arguments.json))

    @property
    def applies(self) -> bool:
        """Whether the command may change anything; only ever true for one that says it writes."""
        return bool(getattr(self._arguments, "apply", False))

    @property
    def by(self) -> str:
        """Who is written down for a change: a plain id."""
        given = getattr(self._arguments, "by", "") or _login()
        return re.sub(r"[^A-Za-z0-9._-]", "-", given)[:64]

    @cached_property
    def installation(self) -> Installation:
        """The installation to work on; said on standard error when first asked for. Raises NothingToWorkOn."""
        found = self._surroundings.installation or find_installation(
            self._surroundings.environment,
            self._surroundings.folder,
            self._arguments.state.absolute(),
            local=bool(self._arguments.local),
        )
        self.out.note(f"Working on {found.name}")
        return found

    @property
    def app(self) -> App:
        """The app over the installation."""
        if self._app is None:
            self._app = open_app(self.installation, self._surroundings.outside)
        return self._app

    def open_with(self, index: Index) -> App:
        """The app over the installation with other definitions than those it runs; before it is opened otherwise."""
        assert self._app is None, "the app is open already"
        other = replace(self.installation, index_json=index.model_dump_json().encode())
        self._app = open_app(other, self._surroundings.outside)
        return self._app

    async def engine(self) -> Engine:
        """Connectors, stores and all; raises SettingsError and StoreUnavailable."""
        return await self.app.engine()

    async def operations(self) -> Operations:
        """What operators can do; the operations API does the same."""
        from shared.operations import Operations

        return Operations(self.app, await self.engine())

    async def sites(self) -> SiteOperations:
        """What operators can do with a site's exchange."""
        from shared.sites import SiteOperations

        return SiteOperations(self.app, await self.engine())

    def confirm(self, question: str) -> None:
        """Ask before a change that concerns much; raises NotConfirmed. With --yes it is not asked."""
        if self._arguments.yes:
            return
        ask = self._surroundings.ask
        if ask is None or ask(f"{question} [y/N] ").strip().lower() not in ("y", "yes"):
            raise NotConfirmed

    async def aclose(self) -> None:
        """Give back what was opened."""
        if self._app is not None:
            await self._app.aclose()


def _login() -> str:
    """The name of the account on this machine."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container may run under a number without a name
        return "command-line"
