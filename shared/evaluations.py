"""The composition root of what writes the Cockpit's evaluations, over the engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.sales_cockpit.ports import Cockpit, Crm
from shared.sales_cockpit.queued import QueuedEvaluations
from shared.sales_cockpit.rating import Rating
from shared.sales_cockpit.receiving import Receiving
from shared.sales_cockpit.reconciling import Reconciling
from shared.sales_cockpit.telling import Telling
from shared.sales_cockpit.writing_back import WritingBack
from shared.settings import SalesCockpitSettings
from shared.sync.context import table_name
from shared.sync.definition import TableName
from shared.sync.ports import ColumnMetadata

if TYPE_CHECKING:
    from shared.app import App
    from shared.engine import Engine

OPPORTUNITIES, PROJECTS = "opportunity", "projects"


class CurrentRating:
    """The settings held against the columns as they are now."""

    def __init__(self, settings: SalesCockpitSettings, crm: Crm) -> None:
        self._settings = settings
        self._crm = crm
        self._known: tuple[Mapping[str, ColumnMetadata], Rating] | None = None

    async def rating(self) -> Rating:
        """Made anew when the columns were read anew; raises SettingsError and the connector's errors."""
        table = await self._crm.metadata()
        if self._known is None or self._known[0] is not table.columns:
            wanted = self._settings
            made = Rating.of(wanted.probability_column, wanted.choices(), wanted.result_columns(), table)
            self._known = table.columns, made
        return self._known[1]


@dataclass(frozen=True)
class Evaluations:
    """The door's half, what lies on the queue, and the look at all of them."""

    receiving: Receiving
    queued: QueuedEvaluations
    reconciling: Reconciling
    current: CurrentRating

    async def tick(self) -> None:
        """The timer's work: the look, then what the queue gave up. Repeating it is harmless."""
        await self.reconciling.look()
        await self.queued.sweep()

    async def health(self) -> Mapping[str, object]:
        """When the last look began, and how many evaluations were refused that nobody was told of."""
        looked_at = await self.reconciling.looked_at()
        return {
            "looked_at": looked_at.isoformat() if looked_at else None,
            "refused_lately": await self.queued.writing.telling.refused_lately(),
        }


def evaluations_of(app: App, engine: Engine, name: str, crm: Crm, crm_by_id: Crm, cockpit: Cockpit) -> Evaluations:
    """crm: as users who are there; crm_by_id: as those known by their ids; name: the Cockpit's."""
    wanted, outside = app.settings.of(SalesCockpitSettings, name), app.outside
    connectors, stores = engine.pipeline.ports.connectors, engine.stores
    ends = (TableName(system=wanted.crm, table=OPPORTUNITIES), TableName(system=name, table=PROJECTS))
    pair = "~".join(table_name(one, connectors) for one in ends)
    current = CurrentRating(wanted, crm_by_id)
    telling = Telling(stores.journal, stores.counters, pair, outside.clock, outside.ids)

    def writing(as_whom: Crm) -> WritingBack:
        instance = f"{wanted.crm}/{connectors[wanted.crm].instance}"
        return WritingBack(as_whom, instance, stores.evaluations, current.rating, telling, outside.clock)

    later = writing(crm_by_id)
    queued = QueuedEvaluations(later, cockpit, app.queue, outside.clock, outside.ids)
    place = f"{name}/{connectors[name].instance}"
    return Evaluations(
        receiving=Receiving(writing(crm), queued, outside.clock, wanted.budget_seconds),
        queued=queued,
        reconciling=Reconciling(cockpit, place, later, queued, stores.watermarks, outside.clock),
        current=current,
    )
