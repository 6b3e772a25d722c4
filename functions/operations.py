"""The operations API, of which console and command line are views: docs/reference/operations.md."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import azure.functions as func
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from functions.door import Call, answered, door, new_blueprint
from shared.routes import RequestError, checked
from shared.sync.ports import Side, Switch

if TYPE_CHECKING:
    from shared.operations import Operations

MAX_PAGE: Final = 1000

blueprint = new_blueprint()

By = Annotated[str, StringConstraints(strip_whitespace=True, max_length=64, pattern=r"^[A-Za-z0-9._-]*$")]
Key = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=512)]
Reason = Annotated[str, StringConstraints(strip_whitespace=True, min_length=3, max_length=200)]


class Wish(BaseModel):
    """What every write says. by: who wants it; needed with the operator key, which belongs to nobody."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    by: By = ""


class SwitchWish(Wish):
    """Move a switch. etag: of the switch as it was read."""

    switch: Switch
    reason: Reason
    etag: Annotated[str, StringConstraints(max_length=256)]


class UnlinkWish(Wish):
    """Undo a link. transfer: one of the pair's, where several pairs have the table."""

    reason: Reason
    transfer: str = ""


class PairWish(BaseModel):
    """Two records of a transfer's pair."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    left: Key
    right: Key


class LinkWish(Wish):
    """Link two records, or keep them apart."""

    left: Key
    right: Key
    reason: Reason


class AdoptWish(Wish):
    """Work in another environment. environment: as it was read, so that nobody adopts one unseen."""

    reason: Reason
    environment: Annotated[str, StringConstraints(min_length=1, max_length=400)]


class RetryAllWish(Wish):
    """Put all parked records of a transfer back. after: `next` of the answer before."""

    after: Annotated[str | None, StringConstraints(max_length=600)] = None


class PageWish(BaseModel):
    """The query of a list."""

    model_config = ConfigDict(hide_input_in_errors=True)

    after: Annotated[str | None, StringConstraints(max_length=600)] = None
    limit: Annotated[int, Field(ge=1, le=MAX_PAGE)] = 100


async def _operations(call: Call) -> Operations:
    from shared.operations import Operations  # not before it is needed: webhooks start cold without the engine

    return Operations(call.app, await call.app.engine())


def paging_of(call: Call) -> tuple[str | None, int]:
    """Where a page begins, and how long it may be."""
    given = {name: call.query(name) for name in PageWish.model_fields if call.query(name)}
    wish = checked(PageWish.model_validate, given)
    return wish.after, wish.limit


def by_of(call: Call, wish: Wish) -> str:
    """Who is written down: the signed-in id, or what the holder of the key says."""
    by = call.caller.id or wish.by
    if not by:
        raise RequestError("Say who asks: letters, digits, dot, hyphen and underscore.", "by")
    return by


def _side(text: str) -> Side:
    if text not in tuple(Side):
        raise RequestError("A side is left or right.", "side")
    return Side(text)


def _record(call: Call) -> tuple[str, str, str]:
    return call.path("system"), call.path("table"), call.path("key")


def _parked(call: Call) -> tuple[str, Side, str]:
    return call.path("transfer"), _side(call.path("side")), call.path("key")


@door(blueprint, "ops_health")
async def ops_health(call: Call) -> func.HttpResponse:
    """Whether the app answers; for a known caller also what is wrong."""
    if call.caller.role is None:
        return answered({"status": "up"})
    from shared.operations import health

    return answered(await health(call.app))


@door(blueprint, "ops_transfers")
async def ops_transfers(call: Call) -> func.HttpResponse:
    """All transfers with their switches."""
    return answered(await (await _operations(call)).transfers())


@door(blueprint, "ops_transfer")
async def ops_transfer(call: Call) -> func.HttpResponse:
    """One transfer with its switch."""
    return answered(await (await _operations(call)).transfer(call.path("transfer")))


@door(blueprint, "ops_switch")
async def ops_switch(call: Call) -> func.HttpResponse:
    """Move a transfer's switch."""
    wish = call.wish(SwitchWish)
    name, by = call.path("transfer"), by_of(call, wish)
    return answered(await (await _operations(call)).switch(name, wish.switch, by, wish.reason, wish.etag))


@door(blueprint, "ops_links")
async def ops_links(call: Call) -> func.HttpResponse:
    """The links of a transfer's pair."""
    side = _side(call.query("side")) if call.query("side") else None
    return answered(await (await _operations(call)).links(call.path("transfer"), side, *paging_of(call)))


@door(blueprint, "ops_link")
async def ops_link(call: Call) -> func.HttpResponse:
    """The links of one record."""
    return answered(await (await _operations(call)).link(*_record(call)))


@door(blueprint, "ops_unlink")
async def ops_unlink(call: Call) -> func.HttpResponse:
    """Undo a link by hand."""
    wish = call.wish(UnlinkWish)
    by = by_of(call, wish)
    return answered(await (await _operations(call)).unlink(_record(call), wish.transfer, by, wish.reason))


@door(blueprint, "ops_preview_link")
async def ops_preview_link(call: Call) -> func.HttpResponse:
    """What a link by hand would change."""
    wish = call.wish(PairWish)
    return answered(await (await _operations(call)).preview_link(call.path("transfer"), wish.left, wish.right))


@door(blueprint, "ops_link_records")
async def ops_link_records(call: Call) -> func.HttpResponse:
    """Link two records by hand."""
    wish = call.wish(LinkWish)
    name, by = call.path("transfer"), by_of(call, wish)
    return answered(await (await _operations(call)).link_records(name, wish.left, wish.right, by, wish.reason))


@door(blueprint, "ops_keep_apart")
async def ops_keep_apart(call: Call) -> func.HttpResponse:
    """Remember that two records are never the same."""
    wish = call.wish(LinkWish)
    name, by = call.path("transfer"), by_of(call, wish)
    return answered(await (await _operations(call)).keep_apart(name, wish.left, wish.right, by, wish.reason))


@door(blueprint, "ops_allow_again")
async def ops_allow_again(call: Call) -> func.HttpResponse:
    """Forget that two records are never the same."""
    wish = call.wish(LinkWish)
    by_of(call, wish)
    return answered(await (await _operations(call)).allow_again(call.path("transfer"), wish.left, wish.right))


@door(blueprint, "ops_explain")
async def ops_explain(call: Call) -> func.HttpResponse:
    """Why a record's fields have their values."""
    return answered(await (await _operations(call)).explain(*_record(call), call.query("column")))


@door(blueprint, "ops_journal")
async def ops_journal(call: Call) -> func.HttpResponse:
    """Why a record has the values it has."""
    return answered(await (await _operations(call)).journal(*_record(call), paging_of(call)[1]))


@door(blueprint, "ops_parked")
async def ops_parked(call: Call) -> func.HttpResponse:
    """What waits for a person."""
    return answered(await (await _operations(call)).parked(call.path("transfer"), *paging_of(call)))


@door(blueprint, "ops_parked_item")
async def ops_parked_item(call: Call) -> func.HttpResponse:
    """One record that waits for a person."""
    return answered(await (await _operations(call)).parked_item(*_parked(call)))


@door(blueprint, "ops_retry")
async def ops_retry(call: Call) -> func.HttpResponse:
    """Put one parked record back."""
    by = by_of(call, call.wish(Wish))
    return answered(await (await _operations(call)).retry(*_parked(call), by), 202)


@door(blueprint, "ops_retry_all")
async def ops_retry_all(call: Call) -> func.HttpResponse:
    """Put all parked records of a transfer back."""
    wish = call.wish(RetryAllWish)
    by = by_of(call, wish)
    return answered(await (await _operations(call)).retry_all(call.path("transfer"), wish.after, by), 202)


@door(blueprint, "ops_waiting")
async def ops_waiting(call: Call) -> func.HttpResponse:
    """How many records are parked or wait by themselves."""
    return answered(await (await _operations(call)).waiting())


@door(blueprint, "ops_schema")
async def ops_schema(call: Call) -> func.HttpResponse:
    """What of the systems' metadata no longer fits the definitions."""
    return answered(await (await _operations(call)).schema())


@door(blueprint, "ops_breakers")
async def ops_breakers(call: Call) -> func.HttpResponse:
    """Which systems are being left alone."""
    return answered(await (await _operations(call)).breakers())


@door(blueprint, "ops_environments")
async def ops_environments(call: Call) -> func.HttpResponse:
    """Which environment each system's links were made for, and which one answers."""
    return answered(await (await _operations(call)).environments())


@door(blueprint, "ops_adopt")
async def ops_adopt(call: Call) -> func.HttpResponse:
    """Work in another environment from now on."""
    wish = call.wish(AdoptWish)
    by = by_of(call, wish)
    return answered(await (await _operations(call)).adopt(call.path("system"), wish.environment, by, wish.reason))
