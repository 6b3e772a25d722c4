"""What people do in a CRM and in a field service while the engine runs; each story at every site."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shared.stores.rows import RowStore
from tests.simulation.field_service import SITES, FieldWorld
from tests.simulation.site_sweep import SiteStory, at_each
from tests.simulation.world import Faults

ACCOUNT: Mapping[str, Any] = {"name": "Alfa", "customertypecode": 3, "address1_city": "Zug"}


@dataclass(frozen=True)
class FieldStory(SiteStory[FieldWorld]):
    """A story at an installation of field service."""

    def world(self, faults: Faults, rows: RowStore | None) -> FieldWorld:
        return FieldWorld(self.site, self.definitions, faults, rows, by_requests=self.by_requests)


async def _account(world: FieldWorld) -> None:
    await world.typed("account", ACCOUNT)


STORIES = at_each(
    SITES,
    FieldStory("a customer becomes a place", ("account",), _account, holds={"place": 1}),
)
"""Every story of field service's transfers."""
