"""The part of the operations API about a site's exchange: docs/reference/operations.md."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import azure.functions as func
from pydantic import Field, StringConstraints

from functions.door import Call, answered, door, new_blueprint
from functions.operations import Key, Reason, Wish, by_of, paging_of
from shared.sync.ports import SiteMode

if TYPE_CHECKING:
    from shared.sites import SiteOperations

blueprint = new_blueprint()


class ModeWish(Wish):
    """Move a site's mode. etag: of the mode as it was read. acknowledge: the number of creates that was told."""

    mode: SiteMode
    reason: Reason
    etag: Annotated[str, StringConstraints(max_length=256)]
    acknowledge: Annotated[int | None, Field(ge=0)] = None


class TakeOverWish(Wish):
    """Take records over."""

    keys: Annotated[list[Key], Field(min_length=1, max_length=100)]
    reason: Reason


async def _sites(call: Call) -> SiteOperations:
    from shared.sites import SiteOperations  # not before it is needed: webhooks start cold without the engine

    return SiteOperations(call.app, await call.app.engine())


@door(blueprint, "ops_modes")
async def ops_modes(call: Call) -> func.HttpResponse:
    """Every site with its mode."""
    return answered(await (await _sites(call)).modes())


@door(blueprint, "ops_mode")
async def ops_mode(call: Call) -> func.HttpResponse:
    """One site's mode."""
    return answered(await (await _sites(call)).mode(call.path("system"), call.path("partner")))


@door(blueprint, "ops_choose_mode")
async def ops_choose_mode(call: Call) -> func.HttpResponse:
    """Move a site's mode."""
    wish = call.wish(ModeWish)
    by, system, partner = by_of(call, wish), call.path("system"), call.path("partner")
    sites = await _sites(call)
    return answered(await sites.choose_mode(system, partner, wish.mode, by, wish.reason, wish.etag, wish.acknowledge))


@door(blueprint, "ops_offered")
async def ops_offered(call: Call) -> func.HttpResponse:
    """The records that people may take over."""
    return answered(await (await _sites(call)).offered(call.path("transfer"), *paging_of(call)))


@door(blueprint, "ops_take_over")
async def ops_take_over(call: Call) -> func.HttpResponse:
    """Take records over."""
    wish = call.wish(TakeOverWish)
    name, by = call.path("transfer"), by_of(call, wish)
    return answered(await (await _sites(call)).take_over(name, wish.keys, by, wish.reason))


@door(blueprint, "ops_locks")
async def ops_locks(call: Call) -> func.HttpResponse:
    """What must not be edited of a record as it stands."""
    return answered(await (await _sites(call)).locks(call.path("system"), call.path("table"), call.path("key")))
