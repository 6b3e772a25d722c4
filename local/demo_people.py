"""The people of the demo: they work in the two sandboxes over HTTP, as in the applications, and look at the
operations API."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import httpx

from local.run import operations
from local.run_world import LocalRun
from sandbox.business_central import AUDIENCE

Json = dict[str, Any]


class Crm:
    """A person in Dynamics 365."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def create(self, values: Mapping[str, object]) -> str:
        """Create an account; answers its id."""
        answer = (await self._http.post("/accounts", json=dict(values))).raise_for_status()
        found = re.search(r"\(([0-9a-f-]{36})\)$", answer.headers["OData-EntityId"])
        assert found is not None
        return found.group(1)

    async def edit(self, key: str, values: Mapping[str, object]) -> None:
        headers = {"If-Match": "*"}
        (await self._http.patch(f"/accounts({key})", json=dict(values), headers=headers)).raise_for_status()

    async def account(self, key: str) -> Json:
        found: Json = (await self._http.get(f"/accounts({key})")).raise_for_status().json()
        return found

    async def named(self, name: str) -> list[Json]:
        answer = await self._http.get("/accounts", params={"$filter": f"name eq '{name}'"})
        found: list[Json] = answer.raise_for_status().json()["value"]
        return found


class Erp:
    """A person in Business Central."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def create(self, values: Mapping[str, object]) -> str:
        made: Json = (await self._http.post("/customers", json=dict(values))).raise_for_status().json()
        return str(made["id"])

    async def edit(self, key: str, values: Mapping[str, object]) -> None:
        headers = {"If-Match": "*"}
        (await self._http.patch(f"/customers({key})", json=dict(values), headers=headers)).raise_for_status()

    async def customers(self) -> list[Json]:
        found: list[Json] = (await self._http.get("/customers")).raise_for_status().json()["value"]
        return found

    async def named(self, name: str) -> list[Json]:
        return [customer for customer in await self.customers() if customer["displayName"] == name]


class Operator:
    """A person at the operations API."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def journal(self, key: str) -> list[Json]:
        """What was decided about an account, newest first."""
        return await self.journal_of("dataverse/account", key)

    async def journal_of(self, place: str, key: str) -> list[Json]:
        """What was decided about a record of a system and table."""
        answer = (await self._http.get(f"/journal/{place}/{key}")).raise_for_status()
        found: list[Json] = answer.json()["items"]
        return found

    async def breaker_is_open(self, system: str) -> bool:
        breakers = (await self._http.get("/breakers")).raise_for_status().json()["items"]
        return any(breaker["open"] for breaker in breakers if breaker["system"] == system)

    async def partner(self, place: str, key: str) -> str:
        """The key that a record of a system and table is linked to, "" without a link."""
        rows = (await self._http.get(f"/links/{place}/{key}")).raise_for_status().json()["items"]
        return next((str(row["other"]) for row in rows if row["state"] == "linked"), "")

    async def pending(self, transfer: str) -> int:
        """How many records of a transfer wait by themselves."""
        rows = (await self._http.get("/waiting")).raise_for_status().json()["items"]
        return next(int(row["pending"]) for row in rows if row["transfer"] == transfer)

    async def notices_taken(self) -> int:
        """How many notices of Dataverse were queued since the start."""
        counts = (await self._http.get("/health")).raise_for_status().json()["notices"]
        return int(counts.get("dataverse: queued", 0))

    async def parked(self, transfer: str) -> list[Json]:
        found: list[Json] = (await self._http.get(f"/transfers/{transfer}/parked")).raise_for_status().json()["items"]
        return found


class People:
    """All of them, signed in. Use as an asynchronous context."""

    def __init__(self, run: LocalRun) -> None:
        told = run.run_file()
        own = run.installation
        crm_root = f"{run.urls['dataverse']}/api/data/v9.2"
        crm_token = run.issuer.issue(own.crm_client, run.urls["dataverse"])
        erp_token = run.issuer.issue(own.erp_client, AUDIENCE)
        self._clients = [
            httpx.AsyncClient(base_url=crm_root, headers={"Authorization": f"Bearer {crm_token}"}, timeout=30),
            httpx.AsyncClient(
                base_url=str(told["business_central_api"]),
                headers={"Authorization": f"Bearer {erp_token}"},
                timeout=30,
            ),
            operations(run),
        ]
        self.crm, self.erp, self.operator = Crm(self._clients[0]), Erp(self._clients[1]), Operator(self._clients[2])

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for client in self._clients:
            await client.aclose()
