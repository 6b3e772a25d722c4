"""The connector of the Sales Cockpit, and its client, on a Cockpit behind the contract."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import httpx
import pytest

from sandbox.faults import FaultKind, FaultRule
from sandbox.sales_cockpit.options import SalesCockpitOptions
from sandbox.sales_cockpit.sandbox import SalesCockpitSandbox
from sandbox.tokens import TokenIssuer
from sandbox.transport import SandboxTransport
from shared.allowance import Allowance
from shared.connectors.sales_cockpit.client import ALLOWED, LONGEST_NAME, CockpitClient
from shared.connectors.sales_cockpit.connector import SalesCockpitConnector
from shared.connectors.turns import InTurn
from shared.errors import (
    BadAnswer,
    CrossdockError,
    DeleteNotOffered,
    FeedExpired,
    RecordMissing,
    Refused,
    SignInFailed,
    SystemDown,
    UnknownColumn,
    UnknownResult,
)
from shared.http_client import HttpClient
from shared.identity import FixedCredential
from shared.sales_cockpit.ports import Cockpit, User
from shared.sync.ports import Change, Connector, NewRecord, Record
from tests.unit.connectors.fakes import START, CountingIds, JumpingClock

ONE = "0b1f9a5e-2f7c-4d63-9d0a-3a1f6f1e2c01"
OTHER = "0b1f9a5e-2f7c-4d63-9d0a-3a1f6f1e2c02"
ANNA = "0b1f9a5e-2f7c-4d63-9d0a-3a1f6f1e2ca1"
COLUMNS = ["externalId", "name", "solutionId"]
Answer = Callable[[httpx.Request], httpx.Response]


@dataclass
class World:
    """A Cockpit with its sandbox, our connector to it, and the client that it uses."""

    options: SalesCockpitOptions = field(default_factory=SalesCockpitOptions)

    def __post_init__(self) -> None:
        self.clock = JumpingClock()
        self.issuer = TokenIssuer(self.clock)
        self.sandbox = SalesCockpitSandbox(
            clock=self.clock,
            issuer=self.issuer,
            portal="https://cockpit.example",
            base_path="/tenant",
            options=self.options,
        )
        self.http = self.signed_in(self.issuer.issue("crossdock", f"api://{self.options.client_id}"))
        self.connector = SalesCockpitConnector([self.http], self.clock, instance="one", base_path="/tenant")
        self.asked_for: list[User | None] = []
        self.client = CockpitClient(self._sender, base_path="/tenant")

    def _sender(self, user: User | None) -> InTurn:
        self.asked_for.append(user)
        return InTurn([self.http])

    def signed_in(self, token: str, http: httpx.AsyncBaseTransport | None = None) -> HttpClient:
        return HttpClient(
            system="sales_cockpit",
            base_url="https://cockpit.example",
            scope="",
            tokens=FixedCredential(token),
            clock=self.clock,
            ids=CountingIds(),
            allowance=Allowance(ALLOWED, self.clock),
            http=http or SandboxTransport(self.sandbox.app),
        )

    def answered(self, answer: Answer) -> CockpitClient:
        """A client of a Cockpit that answers whatever the test says."""
        http = self.signed_in("any", httpx.MockTransport(answer))
        return CockpitClient(lambda _: http, base_path="/tenant")

    async def make(self, opportunity: str = ONE, name: str = "A new mill") -> Record:
        values = {"externalId": opportunity, "name": name}
        return await self.connector.create("projects", values, COLUMNS, key=opportunity, within_seconds=60)

    def strike(self, kind: FaultKind, method: str, **more: Any) -> None:
        self.sandbox.faults.add(FaultRule(kind, method, "/projects", times=1, **more))


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """Every request must have been one that the contract knows."""
    made = World()
    yield made
    await made.connector.aclose()
    await made.sandbox.aclose()
    assert made.sandbox.requests.unforeseen() == []


def test_they_are_what_the_engine_and_the_launch_need() -> None:
    """As the type checker sees it."""
    made = World()
    connector: Connector = made.connector
    cockpit: Cockpit = made.client
    assert (connector.system, cockpit.system) == ("sales_cockpit", "sales_cockpit")


async def test_a_project_is_known_by_its_opportunity(world: World) -> None:
    """R-005: the key of the project is the id of the opportunity, in whatever spelling it comes."""
    made = await world.make()
    assert made == Record(ONE, None, {"externalId": ONE, "name": "A new mill", "solutionId": None})
    assert await world.connector.read("projects", ["{" + ONE.upper() + "}", OTHER], COLUMNS) == {ONE: made}
    assert await world.connector.find("projects", "externalId", [ONE, "no id"], COLUMNS) == [made]
    assert world.connector.derived_key("projects", "any seed", {"externalId": ONE.upper()}) == ONE


async def test_only_the_ids_and_the_name_of_a_project_go_over(world: World) -> None:
    """R-024: no other column exists that could."""
    assert set((await world.connector.metadata("projects")).columns) == set(COLUMNS)
    with pytest.raises(UnknownColumn):
        await world.connector.create(
            "projects", {"externalId": ONE, "name": "X", "customer": "Y"}, [], key=ONE, within_seconds=60
        )
    await world.make()
    (row,) = world.sandbox.rows("projects").values()
    assert set(row) == {"externalId", "name", "solutionId", "createdBy"}


async def test_a_second_create_answers_the_project_that_is_there(world: World) -> None:
    """R-011: by the key of repetition, or where somebody else made it, by the refusal's body."""
    first = await world.client.create(ONE, "A new mill")
    again = await world.client.create(ONE, "Another name")
    assert (first[1], again[1]) == (True, False)
    assert again[0] == first[0]
    assert len(world.sandbox.rows("projects")) == 1


async def test_two_hundred_creates_at_once_make_one_project(world: World) -> None:
    """R-011: only one of them is told that it made it."""
    made = await asyncio.gather(*(world.client.create(ONE, "A new mill", None, None, 60) for _ in range(200)))
    assert len({project.key for project, _ in made}) == 1
    assert sum(created for _, created in made) == 1


async def test_who_asks_for_a_user_sends_as_the_user(world: World) -> None:
    """R-022: the client chooses nobody itself."""
    anna = User(ANNA, "her token")
    await world.client.create(ONE, "A new mill", None, anna, 60)
    await world.client.find(ONE, anna, 60)
    await world.client.find(ONE, None, 60)
    assert world.asked_for == [anna, anna, None]


async def test_a_project_may_be_assigned_to_a_solution(world: World) -> None:
    """R-010: it is optional, and there has to be one of that id."""
    solution = world.sandbox.add_solution("Milling")
    assert (await world.client.create(ONE, "A new mill", solution))[0].solution == solution
    with pytest.raises(Refused) as refused:
        await world.client.create(OTHER, "Another", "S-1")
    assert (refused.value.answer.vendor_code, refused.value.answer.field) == ("UnknownSolution", "solutionId")


async def test_a_rename_costs_two_calls_and_nothing_else_changes(world: World) -> None:
    await world.make()
    before = len(world.sandbox.requests.entries())
    renamed = await world.connector.update("projects", ONE, {"name": "An old mill"}, ["name"], version=None)
    assert renamed.values == {"name": "An old mill"}
    assert [one.method for one in world.sandbox.requests.entries()[before:]] == ["GET", "PATCH"]


async def test_what_is_gone_is_told(world: World) -> None:
    with pytest.raises(RecordMissing):
        await world.connector.update("projects", ONE, {"name": "X"}, [], version=None)
    await world.make()
    await world.connector.delete("projects", ONE)
    await world.connector.delete("projects", ONE)
    assert world.sandbox.rows("projects") == {}


async def test_a_cockpit_that_deletes_nothing_refuses_for_good() -> None:
    world = World(SalesCockpitOptions(deletes=False))
    await world.make()
    with pytest.raises(DeleteNotOffered):
        await world.connector.delete("projects", ONE)
    assert len(world.sandbox.rows("projects")) == 1


async def test_a_blank_name_is_refused_before_anything_is_sent(world: World) -> None:
    await world.make()
    before = len(world.sandbox.requests.entries())
    with pytest.raises(Refused, match="name"):
        await world.connector.update("projects", ONE, {"name": None}, [], version=None)
    assert len(world.sandbox.requests.entries()) == before


async def test_a_long_name_is_cut_at_a_launch(world: World) -> None:
    """As the transfer cuts it later."""
    project, _ = await world.client.create(ONE, "x" * 300)
    assert project.name == "x" * LONGEST_NAME


async def test_several_are_written_one_call_each(world: World) -> None:
    made = await world.connector.create_many(
        "projects", [NewRecord({"name": "A"}, ONE), NewRecord({"name": ""}, OTHER)], ["name"], within_seconds=60
    )
    assert isinstance(made[0], Record)
    assert isinstance(made[1], Refused)
    changed = await world.connector.update_many(
        "projects",
        [Change(ONE, {"name": "B"}), Change(OTHER, {"name": "C"}), Change(ONE, {"name": "D"})],
        ["name"],
        within_seconds=60,
    )
    assert isinstance(changed[1], RecordMissing)
    assert (await world.connector.read("projects", [ONE], ["name"]))[ONE].values == {"name": "D"}


def test_what_the_contract_lacks_is_said(world: World) -> None:
    """Projects are no source of a transfer: they can be asked for one by one only."""
    for call in (
        lambda: world.connector.changes("projects", None, []),
        lambda: world.connector.pages("projects", None, []),
        lambda: world.connector.changes("customers", None, []),
    ):
        with pytest.raises(UnknownColumn):
            call()


async def test_a_survey_asks_whether_we_are_let_in(world: World) -> None:
    found = await world.connector.survey("projects")
    assert (found.tracked, found.announced) == (False, False)
    stranger = SalesCockpitConnector(
        [world.signed_in(world.issuer.issue("crossdock", "api://another"))],
        world.clock,
        instance="x",
        base_path="/tenant",
    )
    with pytest.raises(SignInFailed):
        await stranger.survey("projects")


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (FaultKind.LOST_ANSWER, UnknownResult),
        (FaultKind.GATEWAY_TIMEOUT, UnknownResult),
        (FaultKind.HALF_BODY, UnknownResult),
        (FaultKind.GARBAGE, UnknownResult),
        (FaultKind.REFUSED_CONNECTION, SystemDown),
        (FaultKind.UNAVAILABLE, SystemDown),
        (FaultKind.SERVER_ERROR, UnknownResult),
    ],
)
async def test_a_create_that_fails_says_whether_it_may_have_happened(
    world: World, kind: FaultKind, expected: type[CrossdockError]
) -> None:
    """And repeating it is harmless, whatever happened."""
    world.strike(kind, "POST")
    with pytest.raises(expected) as failed:
        await world.make()
    assert type(failed.value) is expected
    await world.make()
    assert len(world.sandbox.rows("projects")) == 1


@pytest.mark.parametrize("kind", [FaultKind.GARBAGE, FaultKind.HALF_BODY, FaultKind.UNAVAILABLE])
async def test_a_read_that_fails_is_no_missing_project(world: World, kind: FaultKind) -> None:
    await world.make()
    world.strike(kind, "GET")
    with pytest.raises(SystemDown):
        await world.connector.read("projects", [ONE], COLUMNS)


async def test_evaluations_are_told_page_by_page(world: World) -> None:
    """R-017: who rated, when, how likely it is, and the further results by their names."""
    project, _ = await world.client.create(ONE, "A new mill")
    for light in range(3):
        world.clock.elapsed += 60
        world.sandbox.rate(project.key, ANNA, {"need": light + 1})
    page = await world.client.evaluations(START)
    assert page.next is None
    assert [one.probability for one in page.items] == [7, 13, 20]
    assert {(one.project, one.opportunity, one.by) for one in page.items} == {(project.key, ONE, ANNA)}
    assert page.items[0].results == {"score": 1, "trafficLight": "red", "recommendation": "Let it go"}
    assert [one.at for one in page.items] == [START + timedelta(minutes=minute) for minute in (1, 2, 3)]
    assert len((await world.client.evaluations(START + timedelta(minutes=3))).items) == 1


async def test_a_cursor_that_is_gone_is_told_apart(world: World) -> None:
    with pytest.raises(FeedExpired):
        await world.client.evaluations(START, "nonsense")


GOOD = {
    "projectId": "P-1",
    "externalId": ONE,
    "name": "A new mill",
    "solutionId": None,
    "url": "https://cockpit.example/projects/P-1/open",
}


@pytest.mark.parametrize(
    "body",
    [
        [],
        {"items": {}},
        {"items": ["P-1"]},
        {"items": [GOOD, GOOD]},
        {"items": [{}] * 501},
        {"items": [GOOD | {"externalId": OTHER}]},
        {"items": [GOOD | {"externalId": 7}]},
        {"items": [GOOD | {"projectId": "../solutions"}]},
        {"items": [GOOD | {"projectId": ".."}]},
        {"items": [GOOD | {"projectId": "x" * 65}]},
        {"items": [GOOD | {"name": ["A"]}]},
        {"items": [GOOD | {"name": "x" * 4001}]},
        {"items": [GOOD | {"url": "https://cockpit.example/" + "x" * 2000}]},
        {"items": [GOOD | {"solutionId": {"id": 1}}]},
    ],
)
async def test_a_project_of_another_shape_is_no_answer(world: World, body: Any) -> None:
    """And nothing of it stands in the error."""
    client = world.answered(lambda _: httpx.Response(200, json=body))
    with pytest.raises(BadAnswer) as bad:
        await client.find(ONE)
    assert "A new mill" not in str(bad.value)
    assert "P-1" not in str(bad.value)


EVALUATION = {
    "evaluationId": "E-1",
    "projectId": "P-1",
    "opportunityId": ONE,
    "evaluatedAt": "2026-03-02T08:00:00Z",
    "evaluatedBy": ANNA,
    "probability": 61.5,
    "results": {"score": 4},
}


@pytest.mark.parametrize(
    "change",
    [
        {"evaluationId": ""},
        {"opportunityId": "1"},
        {"evaluatedAt": "yesterday"},
        {"evaluatedAt": "2026-03-02T08:00:00"},
        {"evaluatedBy": "anna@example.com"},
        {"probability": 101},
        {"probability": True},
        {"probability": "61"},
        {"probability": None},
        {"results": []},
        {"results": {"score": [1]}},
        {"results": {"a b": 1}},
        {"results": {"score": "x" * 4001}},
        {"results": {f"r{number}": 1 for number in range(101)}},
    ],
)
async def test_an_evaluation_of_another_shape_is_left_out_and_stops_no_other(
    world: World, change: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """The log says what is not as agreed, and no value of it."""
    items = [EVALUATION | change, EVALUATION | {"evaluationId": "E-2"}]
    client = world.answered(lambda _: httpx.Response(200, json={"items": items, "nextCursor": None}))
    page = await client.evaluations(START)
    assert [one.key for one in page.items] == ["E-2"]
    assert "an evaluation is left out" in caplog.text
    assert "example.com" not in caplog.text


async def test_a_decimal_probability_and_missing_results_are_fine(world: World) -> None:
    plain = {name: value for name, value in EVALUATION.items() if name != "results"}
    client = world.answered(lambda _: httpx.Response(200, json={"items": [EVALUATION, plain], "nextCursor": "more"}))
    page = await client.evaluations(START)
    assert ([one.probability for one in page.items], page.next) == ([61.5, 61.5], "more")
    assert [dict(one.results) for one in page.items] == [{"score": 4}, {}]


async def test_an_answer_to_a_create_that_cannot_be_read_leaves_its_result_unknown(world: World) -> None:
    client = world.answered(lambda _: httpx.Response(201, json=GOOD | {"externalId": OTHER}))
    with pytest.raises(UnknownResult):
        await client.create(ONE, "A new mill")


async def test_an_address_that_is_not_the_interface_is_no_missing_project(world: World) -> None:
    """A wrong base address must not look like an opportunity without a project."""
    client = world.answered(lambda _: httpx.Response(404, json={"code": "NoSuchPath"}))
    with pytest.raises(BadAnswer):
        await client.find(ONE)
