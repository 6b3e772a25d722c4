"""PostOffice's shipment statistics by days, where the site offers the whole contract and where it offers the least."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest

from sandbox.faults import FaultKind
from sandbox.transport import SandboxTransport
from shared.connectors.postoffice.tables import STATISTICS
from shared.errors import BadAnswer, SystemDown, UnknownColumn
from shared.sync.ports import Record
from tests.contract.connectors.test_postoffice import WORLDS, PostOffice

DAY = date(2026, 3, 1)
COLUMNS = ["customerId", "costCentreId", "serviceId", "day", "items", "weightGrams", "amount"]


@pytest.fixture(params=list(WORLDS))
async def post(request: pytest.FixtureRequest) -> AsyncIterator[PostOffice]:
    """Both worlds, with three rows on a page; every request must have been one that the contract knows."""
    made = PostOffice(*WORLDS[request.param])
    yield made
    await made.connector.aclose()
    await made.sandbox.aclose()
    assert made.sandbox.requests.unforeseen() == []


def ship(post: PostOffice, customers: range, day: date = DAY, items: int = 2) -> None:
    for number in customers:
        post.sandbox.ship(f"c{number:02d}", "s1", day, items=items, grams=50, amount=Decimal("1.5"))


async def told(post: PostOffice, meanwhile: Callable[[], None] | None = None) -> list[Record]:
    """A day's sums; meanwhile: what happens after the second page."""
    found: list[Record] = []
    pages = 0
    async for page in post.connector.of_day(STATISTICS, "day", DAY, COLUMNS):
        found += page
        pages += 1
        if pages == 2 and meanwhile is not None:
            meanwhile()
    return found


def customers(found: list[Record]) -> list[str]:
    return [str(one.values["customerId"]) for one in found]


async def test_the_sums_of_one_day_are_told_page_by_page(post: PostOffice) -> None:
    """Grouped by what is asked for, so that cost centres are told apart or summed up."""
    ship(post, range(7))
    ship(post, range(7), DAY + timedelta(days=1))
    post.sandbox.ship("c00", "s1", DAY, items=3, grams=5, amount=Decimal("2"), cost_centre_id="k1")
    found = {one.key: one.values for one in await told(post)}
    assert len(found) == 8
    assert found["c00//s1/2026-03-01"] == {
        "customerId": "c00",
        "costCentreId": None,
        "serviceId": "s1",
        "day": DAY,
        "items": 2,
        "weightGrams": 50,
        "amount": Decimal("1.5"),
    }
    assert found["c00/k1/s1/2026-03-01"]["items"] == 3
    (page,) = [one async for one in post.connector.of_day(STATISTICS, "day", DAY, ["day", "items"])]
    assert [(one.key, one.values["items"]) for one in page] == [("2026-03-01", 17)]


async def test_a_day_without_shipments_is_one_empty_page(post: PostOffice) -> None:
    assert [list(page) async for page in post.connector.of_day(STATISTICS, "day", DAY, COLUMNS)] == [[]]


async def test_rows_that_come_or_go_while_a_day_is_read_hide_none_of_the_others(post: PostOffice) -> None:
    """By cursor each page goes on behind the last row told; by offset the reading steps back. A row may come twice."""
    ship(post, range(12))
    found = customers(await told(post, lambda: ship(post, range(4), items=0)))
    assert set(found) == {f"c{number:02d}" for number in range(12)}
    ship(post, range(20, 30))
    found = customers(await told(post, lambda: post.sandbox.ship("a", "s1", DAY, items=1)))
    assert set(found) - {"a"} == {f"c{number:02d}" for number in (*range(4, 12), *range(20, 30))}


async def test_a_day_whose_reading_breaks_off_is_never_told_as_whole(post: PostOffice) -> None:
    ship(post, range(7))
    with pytest.raises(SystemDown):
        await told(post, lambda: post.strike(FaultKind.UNAVAILABLE, "GET", f"/{STATISTICS}"))


async def test_only_what_the_sums_are_grouped_by_can_be_a_day(post: PostOffice) -> None:
    with pytest.raises(UnknownColumn):
        await anext(post.connector.of_day(STATISTICS, "items", DAY, COLUMNS))
    with pytest.raises(UnknownColumn):
        await anext(post.connector.of_day("services", "name", DAY, ["name"]))


async def test_a_survey_asks_for_a_day(post: PostOffice) -> None:
    assert (await post.connector.survey(STATISTICS)).columns.keys() == set(COLUMNS)


class Altered(httpx.AsyncBaseTransport):
    """A site that answers otherwise than the contract says."""

    def __init__(self, post: PostOffice, alter: Callable[[dict[str, Any]], None]) -> None:
        self._inner = SandboxTransport(post.sandbox.app)
        self._alter = alter

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        answer = await self._inner.handle_async_request(request)
        body = httpx.Response(200, content=await answer.aread()).json()
        self._alter(body)
        return httpx.Response(200, json=body)


ALTERATIONS: dict[str, Callable[[dict[str, Any]], None]] = {
    "without saying whether there is more": lambda body: body.pop("hasMore"),
    "more, but not where": lambda body: body.update(hasMore=True, nextCursor=None, items=[]),
    "of another day": lambda body: body["items"][0].update(day="2026-03-02"),
    "without a sum": lambda body: body["items"][0].pop("amount") and body["items"][0].update(amount="many"),
}


@pytest.mark.parametrize("alter", ALTERATIONS.values(), ids=ALTERATIONS)
async def test_an_answer_that_may_not_be_whole_is_refused(
    post: PostOffice, alter: Callable[[dict[str, Any]], None]
) -> None:
    """For what is not told would be taken for gone, and deleted."""
    ship(post, range(7))
    post.connector = post.connect_through(Altered(post, alter))
    with pytest.raises(BadAnswer):
        await told(post)
