"""The shipped definitions, the tables that `manage.py register` makes of what is declared, and a site's schema fit."""

from __future__ import annotations

from shared.sync.checking import check
from shared.sync.surveying import survey
from tests.scenarios.account_customer.world import virtually
from tests.scenarios.field_service.dialects import Dialect
from tests.scenarios.field_service.field_world import FieldWorld, both


@both
def test_nothing_is_found_in_what_is_shipped(dialect: Dialect) -> None:
    """Tables, columns, types, lengths, choices, references and rights, in both dialects."""

    @virtually
    async def story() -> None:
        async with FieldWorld(dialect, on=False) as world:
            engine = await world.apps[0].engine()
            found = check(engine.index, await survey(engine.pipeline.ports.connectors, engine.index))
            assert len(engine.index.definitions) >= 12
            assert [str(one) for one in found if one.needs_somebody] == []

    story()
