"""A site's PostOffice in process, on a clock the test moves, asked as its contract says."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from sandbox.postoffice.options import Auth, PostOfficeOptions
from sandbox.postoffice.sandbox import PostOfficeSandbox
from sandbox.tokens import TokenIssuer
from sandbox.transport import SandboxTransport
from tests.contract.hand_clock import HandClock

BASE_URL = "https://post.example/gateway"
CRM_ID = "0b1f9a5e-2f7c-4d63-9d0a-3a1f6f1e2c01"
OTHER_CRM_ID = "0b1f9a5e-2f7c-4d63-9d0a-3a1f6f1e2c02"


class Site:
    """A sandbox and a client that is signed in."""

    def __init__(self, options: PostOfficeOptions, persist: Path | None, clock: HandClock) -> None:
        self.clock = clock
        self.issuer = TokenIssuer(clock)
        self.sandbox = PostOfficeSandbox(
            clock=clock, issuer=self.issuer, base_path="/gateway", persist=persist, options=options
        )
        self.client = httpx.AsyncClient(
            base_url=f"{BASE_URL}/v1",
            transport=SandboxTransport(self.sandbox.app),
            headers={options.api_key_header: options.api_key} if options.auth is Auth.API_KEY else {},
            auth=(options.user, options.password) if options.auth is Auth.BASIC else None,
        )

    async def ask(self, method: str, path: str, body: Any = None, status: int = 200, **headers: str) -> httpx.Response:
        """Ask, expect a status, and return the answer."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = await self.client.request(method, path, json=body, headers=named)
        assert answer.status_code == status, answer.text
        return answer

    async def refusal(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, str, list[str]]:
        """Ask for what is refused; returns status, code and the fields that are named."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = await self.client.request(method, path, json=body, headers=named)
        assert answer.headers["content-type"] == "application/problem+json"
        problem = answer.json()
        assert problem["status"] == answer.status_code
        return answer.status_code, problem["code"], [one["field"] for one in problem["errors"]]

    async def all(self, path: str, **query: str) -> list[dict[str, Any]]:
        """Go through all pages of a list."""
        found: list[dict[str, Any]] = []
        place: dict[str, str] = {}
        while True:
            page = (await self.client.get(path, params={**query, **place})).raise_for_status().json()
            found += page["items"]
            if not page["hasMore"]:
                return found
            place = {"cursor": page["nextCursor"]} if page["nextCursor"] else {"offset": str(len(found))}


MakeSite = Callable[..., Site]


@pytest.fixture
async def make() -> AsyncIterator[MakeSite]:
    """Make sites with options; all are closed after the test."""
    made: list[Site] = []

    def build(
        options: PostOfficeOptions | None = None,
        *,
        persist: Path | None = None,
        clock: HandClock | None = None,
        **other: Any,
    ) -> Site:
        made.append(Site(replace(options or PostOfficeOptions(), **other), persist, clock or HandClock()))
        return made[-1]

    yield build
    for site in made:
        await site.client.aclose()
        await site.sandbox.aclose()


@pytest.fixture
async def site(make: MakeSite) -> Site:
    """A site that offers all of the contract."""
    return make()
