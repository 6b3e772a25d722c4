"""What the Cockpit's backend asks of Crossdock, in the name of who looks at the page: half B of the contract."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

NO_ANSWER = 0
"""In the place of a status where none came."""


@dataclass(frozen=True)
class Told:
    """An answer: its status, and its body where it was an object."""

    status: int
    body: Mapping[str, Any]

    @property
    def code(self) -> str:
        """Crossdock's code of a refusal."""
        return str(self.body.get("code", ""))

    @property
    def sentence(self) -> str:
        """What a refusal says."""
        return str(self.body.get("sentence", "")) or ("Crossdock does not answer." if not self.status else "")


class Crossdock:
    """Crossdock's functions at one address."""

    def __init__(self, url: str, post: httpx.AsyncClient) -> None:
        self._url = url.rstrip("/")
        self._post = post

    async def opportunity(self, token: str, opportunity: str) -> Told:
        """The opportunity's live values, as the person may see them. Nothing of it is kept."""
        return await self._ask("GET", f"opportunities/{opportunity}", token, None)

    async def send(self, token: str, evaluation: Mapping[str, Any]) -> Told:
        """Tell of a rating, and hear what became of it."""
        return await self._ask("POST", "evaluations", token, evaluation)

    async def _ask(self, method: str, path: str, token: str, body: Mapping[str, Any] | None) -> Told:
        headers = {"Authorization": f"Bearer {token}"}
        try:
            answer = await self._post.request(
                method, f"{self._url}/api/cockpit/{path}", headers=headers, json=body, timeout=30
            )
            found = answer.json() if "json" in answer.headers.get("content-type", "") else {}
        except (httpx.HTTPError, ValueError):
            return Told(NO_ANSWER, {})
        return Told(answer.status_code, found if isinstance(found, dict) else {})
