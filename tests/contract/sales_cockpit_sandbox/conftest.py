"""A Cockpit in process, on a clock the test moves, asked as its contract says."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from sandbox.sales_cockpit.options import SalesCockpitOptions
from sandbox.sales_cockpit.sandbox import SalesCockpitSandbox
from sandbox.tokens import TokenIssuer
from sandbox.transport import SandboxTransport
from tests.contract.hand_clock import HandClock

OPPORTUNITY = "0b1f9a5e-2f7c-4d63-9d0a-3a1f6f1e2c01"
OTHER = "0b1f9a5e-2f7c-4d63-9d0a-3a1f6f1e2c02"
ANNA = "0b1f9a5e-2f7c-4d63-9d0a-3a1f6f1e2ca1"
PROJECT: dict[str, Any] = {"externalSystem": "dataverse", "externalId": OPPORTUNITY, "name": "A new mill"}


class Cockpit:
    """A sandbox and a client that is signed in as an application."""

    def __init__(self, options: SalesCockpitOptions, persist: Path | None, clock: HandClock) -> None:
        self.clock = clock
        self.issuer = TokenIssuer(clock)
        self.sandbox = SalesCockpitSandbox(
            clock=clock,
            issuer=self.issuer,
            portal="https://cockpit.example",
            persist=persist,
            options=options,
        )
        token = self.issuer.issue("crossdock", f"api://{options.client_id}")
        self.client = httpx.AsyncClient(
            base_url="https://cockpit.example/api/v1",
            transport=SandboxTransport(self.sandbox.app),
            headers={"Authorization": f"Bearer {token}"},
        )

    async def ask(self, method: str, path: str, body: Any = None, status: int = 200, **headers: str) -> Any:
        """Ask, expect a status, and return the answer's body."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = await self.client.request(method, path, json=body, headers=named)
        assert answer.status_code == status, answer.text
        return answer.json() if answer.content else None

    async def refusal(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, str, list[str]]:
        """Ask for what is refused; returns status, code and the fields that are named."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = await self.client.request(method, path, json=body, headers=named)
        assert answer.headers["content-type"] == "application/problem+json"
        problem = answer.json()
        assert problem["status"] == answer.status_code
        return answer.status_code, problem["code"], [one["field"] for one in problem["errors"]]


MakeCockpit = Callable[..., Cockpit]


@pytest.fixture
async def make() -> AsyncIterator[MakeCockpit]:
    """Make Cockpits with options; all are closed after the test."""
    made: list[Cockpit] = []

    def build(*, persist: Path | None = None, clock: HandClock | None = None, **other: Any) -> Cockpit:
        made.append(Cockpit(replace(SalesCockpitOptions(), **other), persist, clock or HandClock()))
        return made[-1]

    yield build
    for one in made:
        await one.client.aclose()
        await one.sandbox.aclose()


@pytest.fixture
async def cockpit(make: MakeCockpit) -> Cockpit:
    """A Cockpit that offers all of the contract."""
    return make()
