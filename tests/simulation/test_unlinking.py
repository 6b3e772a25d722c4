"""A person undoes the link with PostOffice, and the process dies at any effect, or between any two of its requests."""

from __future__ import annotations

import asyncio

import pytest

from shared.errors import CrossdockError
from shared.routes import Overtaken
from shared.sync.context import pair_name
from shared.sync.ports import LinkState, Side
from tests.simulation.postoffice import PostWorld
from tests.simulation.sweep import FAULTS
from tests.simulation.world import Crash, Faults


async def undone(site: str, faults: Faults, *, by_requests: bool) -> list[str]:
    """The story with one fault; nobody tries again. Answers what is wrong at the end."""
    faults.active = False
    world = PostWorld(site, ("customer",), faults, by_requests=by_requests)
    await world.prepare()
    account = await world.typed("account", {"name": "Alfa"})
    await world.settled()
    faults.active = True
    try:
        place = ("dataverse", "account", account)
        await world.operations(world.process()).unlink(place, "account_to_postoffice", "ann", "two companies")
    except (Crash, CrossdockError, Overtaken):
        pass
    faults.active = False
    await world.settled()
    wrong = await _wrong(world, account)
    await world.aclose()
    return wrong


async def _wrong(world: PostWorld, account: str) -> list[str]:
    """Neither linked as before nor PostOffice's own again."""
    ((key, there),) = world.site.rows("customers").items()
    pair = pair_name(world.index.definitions[0], world.clean)
    rows = [await world.stores.links.get(pair, side, one) for side, one in ((Side.LEFT, account), (Side.RIGHT, key))]
    states = {row.state for row in rows if row is not None}
    wanted = (account, "CRM") if states == {LinkState.LINKED} else (None, "PO")
    if len(states) > 1 or (there["crmId"], there["master"]) != wanted:
        return [
            f"the link is {sorted(states)}, and PostOffice's customer belongs to {there['crmId']}, {there['master']}"
        ]
    return []


@pytest.mark.parametrize(
    ("site", "by_requests", "every"), [("whole", True, 1), ("poor", True, 1), ("whole", False, 5), ("poor", False, 7)]
)
def test_an_undone_link_gives_postoffice_its_customer_back_wherever_the_process_dies(
    site: str, by_requests: bool, every: int
) -> None:
    """R-089, R-091: either nothing has happened yet, or the customer is PostOffice's own again; never undone and still
    locked."""

    async def points() -> dict[str, list[str]]:
        faults, found = Faults(), dict[str, list[str]]()
        assert await undone(site, faults, by_requests=by_requests) == []
        names = list(faults.names)
        assert len(names) >= 3
        for effect, how in [(effect, how) for effect in range(1, len(names) + 1) for how in FAULTS][::every]:
            if wrong := await undone(site, Faults(at=(effect, how)), by_requests=by_requests):
                found[f"{how} effect {effect} ({names[effect - 1]})"] = wrong
        return found

    assert asyncio.run(points()) == {}
