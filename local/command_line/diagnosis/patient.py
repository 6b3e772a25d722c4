"""The installation under examination: what of it can be opened, each part for itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from local.command_line.diagnosis.symptoms import CannotLook
from shared.app import App
from shared.engine import Engine, Systems, load_index
from shared.errors import CrossdockError, SettingsError
from shared.settings import SALES_COCKPIT
from shared.sync.definition import Index

if TYPE_CHECKING:
    from shared.http_client import HttpClient
    from shared.sync.ports import Connector


@dataclass(frozen=True)
class Identified:
    """A connector that signs in as one identity only. number: which of the system's, from 1."""

    number: int
    connector: Connector
    client: HttpClient


class Patient:
    """One installation. is_built_here: its definitions are those of this checkout."""

    def __init__(self, app: App, *, is_built_here: bool) -> None:
        self.app = app
        self.is_built_here = is_built_here

    async def engine(self) -> Engine:
        """The whole; raises CannotLook where settings, store or queue keep it from being made, which have probes."""
        try:
            return await self.app.engine()
        except CrossdockError:
            raise CannotLook from None

    @cached_property
    def index(self) -> Index:
        """The definitions, also without the systems."""
        return load_index(self.app.index_json)

    @property
    def transfers(self) -> Sequence[str]:
        """The names of all transfers that could be loaded."""
        return [transfer.name for _, transfer in self.index.transfers()]

    @property
    def systems(self) -> Sequence[str]:
        """The systems that definitions name; raises CannotLook where the settings do not tell which there are."""
        try:
            kinds = self.app.settings.kinds
        except SettingsError:
            raise CannotLook from None
        return [name for name in self.index.systems if name in kinds]

    @property
    def has_cockpit(self) -> bool:
        """Whether the installation has a Sales Cockpit, as far as the settings can be read."""
        try:
            return SALES_COCKPIT in self.app.settings.kinds.values()
        except SettingsError:
            return False

    async def each_identity(self, system: str) -> Sequence[Identified]:
        """A connector for each identity of a system; raises CannotLook for wrong settings, which have a probe."""
        found: list[Identified] = []
        while True:
            systems = Systems(self.app, None, only=len(found))
            made = systems.made([system])
            if system not in made:
                await systems.aclose()
                if found:
                    return found
                raise CannotLook
            found.append(Identified(len(found) + 1, made[system], systems.clients[system][0]))
