"""B2: one changed field of a linked record, from the message to the remembered link, against loops without safety.

Ten messages in flight, in the steady state: one read of the CRM, one conditional write to the ERP. The loops do the
same calls (link, source, target with If-Match, link) and nothing else: no switch, breaker, plan, comparison, brake,
check of the answer or journal.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import httpx

from sandbox.business_central import AUDIENCE
from shared.http_transport import TransportKind, transport
from shared.sync.definition import Definition
from shared.sync.ports import LinkRow, Side
from tests.bench.figures import Figure, compared, processor_seconds
from tests.bench.place import IN_FLIGHT, TO_ERP, Place, at_once, open_place, token
from tests.bench.servers import CRM_CLIENT, ERP_CLIENT

Transfer = Callable[[LinkRow], Coroutine[object, object, None]]


class LinkMemory(Protocol):
    """What a loop needs to remember."""

    async def get(self, pair: str, side: Side, key: str) -> LinkRow | None: ...

    async def replace(self, row: LinkRow) -> LinkRow: ...


@dataclass(frozen=True)
class Loop:
    """A transfer without safety, as one would write it first."""

    place: Place
    links: LinkMemory
    http: httpx.AsyncClient
    crm: dict[str, str]
    erp: dict[str, str]
    columns: str

    async def one(self, known: LinkRow) -> None:
        """Link get, source GET, target PATCH, link write."""
        link = await self.links.get(known.pair, Side.LEFT, known.key)
        assert link is not None, "made before"
        url = f"{self.place.account_url(link.key)}?$select={self.columns}"
        account = (await self.http.get(url, headers=self.crm)).raise_for_status().json()
        changed = {"phoneNumber": account["telephone1"]}
        headers = {**self.erp, "If-Match": str(link.right_version)}
        answer = await self.http.patch(self.place.customer_url(link.other), json=changed, headers=headers)
        version = answer.raise_for_status().json()["@odata.etag"]
        await self.links.replace(replace(link, left_version=account["@odata.etag"], right_version=version))


def _columns(definition: Definition) -> str:
    """The source's columns that the engine reads too."""
    references = {rule.left for rule in definition.fields if rule.reference}
    names = definition.columns(Side.LEFT)
    return ",".join(f"_{name.partition('.')[0]}_value" if "." in name or name in references else name for name in names)


async def loop(place: Place, http: httpx.AsyncClient, links: LinkMemory | None = None) -> Loop:
    """A loop over the client, with the engine's links or others."""
    crm = {"Authorization": f"Bearer {await token(place.addresses, CRM_CLIENT, place.addresses.crm)}"}
    erp = {"Authorization": f"Bearer {await token(place.addresses, ERP_CLIENT, AUDIENCE)}"}
    return Loop(place, links or place.engine.stores.links, http, crm, erp, _columns(place.definition))


def engine(place: Place) -> Transfer:
    """A transfer as the product does it."""

    async def one(link: LinkRow) -> None:
        outcome = await place.run(TO_ERP, link.key)
        if outcome != "updated":
            raise SystemExit(f"a transfer ended as {outcome}; nothing can be measured")

    return one


async def _round(place: Place, links: Sequence[LinkRow], transfer: Transfer) -> float:
    """Seconds per record; people's edits before it are not measured."""
    await at_once([place.edit(link.key) for link in links])

    async def work() -> int:
        await at_once([transfer(link) for link in links])
        return len(links)

    return await processor_seconds(work)


async def in_rounds(
    place: Place, transfers: Mapping[str, Transfer], rounds: int, records: int
) -> dict[str, list[float]]:
    """Seconds per record of each, round by round, each with records of its own."""
    links = {name: await place.pairs(records) for name in transfers}
    for name, one in transfers.items():
        await _round(place, links[name][:IN_FLIGHT], one)
    seconds: dict[str, list[float]] = {name: [] for name in transfers}
    for number in range(rounds):
        for name in reversed(list(transfers)) if number % 2 else transfers:
            seconds[name].append(await _round(place, links[name], transfers[name]))
    return seconds


async def _measure(rounds: int, records: int) -> list[Figure]:
    tuned = transport(TransportKind.AIOHTTP, IN_FLIGHT)
    async with open_place() as place, httpx.AsyncClient() as stock, httpx.AsyncClient(transport=tuned) as fast:
        transfers: dict[str, Transfer] = {
            "engine": engine(place),
            "naive": (await loop(place, stock)).one,
            "tuned": (await loop(place, fast)).one,
        }
        seconds = await in_rounds(place, transfers, rounds, records)
    ms = ("B2", "one transfer, all safety on", "ms CPU", 1e3, seconds["engine"])
    return [
        compared(*ms, seconds["naive"], baseline_is="loop without safety, stock httpx", goal="as low as it goes"),
        compared(*ms, seconds["tuned"], baseline_is="same loop, our transport", goal="at most 1.5"),
    ]


def measure(rounds: int, records: int = 100) -> list[Figure]:
    """Processor time per record, `records` of them in each round of each contestant."""
    return asyncio.run(_measure(rounds, records))
