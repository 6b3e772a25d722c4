"""Several identities take turns; one that is refused or told to wait is passed over."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from shared.connectors.turns import InTurn
from shared.errors import SignInFailed, Throttled
from shared.http_client import Call, HttpClient
from shared.identity import TokenRefused
from tests.unit.connectors.fakes import CountedTokens, JumpingClock, client

READ = Call("GET", "/things", "things")
WRITE = Call("POST", "/things", "things", body={"name": "Aurora Milling"})


class Team:
    """Three identities at one system that notes whose request came."""

    def __init__(self) -> None:
        self.clock = JumpingClock()
        self.seen: list[int] = []
        self.answers: dict[int, Callable[[], httpx.Response]] = {}
        self.turns = InTurn([self._client(number) for number in range(3)])

    def _client(self, number: int) -> HttpClient:
        def answer(request: httpx.Request) -> httpx.Response:
            self.seen.append(number)
            return self.answers.get(number, lambda: httpx.Response(200, json={}))()

        return client(answer, clock=self.clock)


async def test_requests_go_out_as_one_identity_after_the_other() -> None:
    """Each does a third of the work."""
    team = Team()
    for _ in range(6):
        await team.turns.send(READ)
    assert sorted(team.seen) == [0, 0, 1, 1, 2, 2]
    assert team.seen[:3] == team.seen[3:]
    await team.turns.aclose()


@pytest.mark.parametrize("call", [READ, WRITE], ids=["read", "write"])
async def test_a_refused_identity_is_passed_over_for_a_while(call: Call) -> None:
    """The request was not executed, so another identity sends it, even a write; after a minute it is tried again."""
    team = Team()
    team.answers[1] = lambda: httpx.Response(401)
    for _ in range(6):
        assert (await team.turns.send(call)).status == 200
    assert team.seen.count(1) == 2  # one request, and once more with a fresh token
    await team.clock.sleep(61)
    del team.answers[1]
    for _ in range(3):
        await team.turns.send(call)
    assert team.seen.count(1) == 3
    await team.turns.aclose()


async def test_when_all_are_refused_the_sign_in_has_failed() -> None:
    """Each was asked once."""
    team = Team()
    team.answers = dict.fromkeys(range(3), lambda: httpx.Response(401))
    with pytest.raises(SignInFailed):
        await team.turns.send(READ)
    assert sorted(team.seen) == [0, 0, 1, 1, 2, 2]
    await team.turns.aclose()


async def test_an_identity_without_a_token_counts_as_refused() -> None:
    """A secret that has expired, say: nothing was sent."""

    class NoTokens(CountedTokens):
        async def token(self, scope: str, *, refused: str | None = None) -> str:
            raise TokenRefused("AADSTS7000222")

    clock = JumpingClock()
    bad = client(lambda request: httpx.Response(500), clock=clock, tokens=NoTokens())
    good = client(lambda request: httpx.Response(200, json={}), clock=clock)
    turns = InTurn([bad, good])
    for _ in range(3):
        assert (await turns.send(READ)).status == 200
    await turns.aclose()


async def test_an_identity_that_is_told_to_wait_is_passed_over() -> None:
    """Its wait is longer than the call may take; the others go on."""
    team = Team()
    team.answers[1] = lambda: httpx.Response(429, headers={"Retry-After": "200"})
    for _ in range(6):
        assert (await team.turns.send(READ)).status == 200
    assert team.seen.count(1) == 1
    team.answers = dict.fromkeys(range(3), lambda: httpx.Response(429, headers={"Retry-After": "200"}))
    with pytest.raises(Throttled):
        await team.turns.send(READ)
    await team.turns.aclose()


async def test_requests_that_belong_together_go_out_as_one_identity() -> None:
    """And each identity can be had for itself."""
    team = Team()
    together = team.turns.one()
    for _ in range(3):
        await together.send(READ)
    assert len(set(team.seen)) == 1
    team.seen.clear()
    for one in team.turns.each():
        await one.send(READ)
    assert team.seen == [0, 1, 2]
    await team.turns.aclose()


def test_without_any_identity_there_is_nothing_to_send_as() -> None:
    """A fault of the caller."""
    with pytest.raises(ValueError, match="at least one identity"):
        InTurn([])
