"""The tables and columns of our own that definitions declare, made in a Dataverse sandbox as `manage.py register` makes
them: for every story that needs them. It takes less than half a second for all that are shipped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from shared.sync.breaker import unwatched
from shared.sync.definition import Index
from shared.sync.own_tables import MADE_IN, OwnTable
from shared.sync.ports import Connector
from shared.sync.registering import Part, Registering, wishes
from shared.sync.surveying import survey


async def make_own_tables(connectors: Mapping[str, Connector], tables: Sequence[OwnTable]) -> None:
    """Make what is missing, keys included; the indexes of these are built by and by. Views of a new table are made once
    it is there."""
    for part in [*await own_parts(connectors, tables)]:
        if part.standing.can_be_settled and part.kind != "view":
            await registering(connectors).settle(part)
    for part in await own_parts(connectors, tables) if any(one.views for one in tables) else ():
        if part.kind == "view" and part.standing.can_be_settled:
            await registering(connectors).settle(part)


async def own_parts(connectors: Mapping[str, Connector], tables: Sequence[OwnTable]) -> Sequence[Part]:
    """How what is declared stands."""
    index = Index(tables=tuple(tables))
    known = await survey(connectors, index)
    return await registering(connectors).parts(wishes(index, known, MADE_IN), None)


def registering(connectors: Mapping[str, Connector]) -> Registering:
    """The connector of the system that tables are made in."""
    connector = unwatched(connectors[MADE_IN])
    assert isinstance(connector, Registering)
    return connector
