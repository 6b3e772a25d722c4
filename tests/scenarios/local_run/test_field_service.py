"""A field service of a local run, as other programs find it: a customer goes there, and a service job comes back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.scenarios.local_run.test_run_file import running

Rows = Sequence[Mapping[str, Any]]
TRIES = 200


class Outside:
    """A program that knows nothing but run.json."""

    def __init__(self, run: Mapping[str, Any], kind: str) -> None:
        self._run = run
        self._kind = kind
        self.http = httpx.AsyncClient(timeout=60)

    async def _crm(self) -> dict[str, str]:
        crm = self._run["sandboxes"]["dataverse"]
        form = {"grant_type": "client_credentials", "scope": f"{crm}/.default", **self._run["keys"]["dataverse"]}
        token = (await self.http.post(self._run["sign_in"], data=form)).raise_for_status().json()["access_token"]
        return {"Authorization": f"Bearer {token}"}

    async def new_account(self, name: str) -> None:
        """A customer, made over the Web API."""
        body = {"name": name, "customertypecode": 3}
        address = f"{self._run['sandboxes']['dataverse']}/api/data/v9.2/accounts"
        (await self.http.post(address, json=body, headers=await self._crm())).raise_for_status()

    async def jobs(self) -> Rows:
        """The service jobs in the CRM."""
        address = f"{self._run['sandboxes']['dataverse']}/api/data/v9.2/cdock_servicejobs?$select=cdock_name"
        answer = await self.http.get(address, headers=await self._crm())
        return list(answer.raise_for_status().json()["value"])

    async def customers(self) -> Rows:
        """The accounts that have a number in the field service."""
        address = f"{self._run['sandboxes']['dataverse']}/api/data/v9.2/accounts?$select=name,cdock_fsmid"
        answer = await self.http.get(f"{address}&$filter=cdock_fsmid ne null", headers=await self._crm())
        return list(answer.raise_for_status().json()["value"])

    async def new_task(self, customer: str) -> None:
        """A task for a customer, made by the interface of the field service."""
        if self._kind == "fsm":
            body = {"place_id": customer, "task_type": "REPAIR", "description": "The pump is loud"}
            key = self._run["keys"]["fsm"]
            address, sign_in = f"{self._run['sandboxes']['fsm']}/tables/task", (key["user"], key["password"])
            (await self.http.post(address, json=body, auth=sign_in)).raise_for_status()
            return
        form = {
            "grant_type": "client_credentials",
            "scope": "openid microprofile-jwt",
            **self._run["keys"]["ifs_cloud"],
        }
        answer = await self.http.post(self._run["ifs_cloud"]["sign_in"], data=form)
        headers = {"Authorization": f"Bearer {answer.raise_for_status().json()['access_token']}"}
        body = {"CustomerId": customer, "WorkTypeId": "Repair", "Description": "The pump is loud"}
        address = f"{self._run['ifs_cloud']['projections']}/WorkTaskHandling.svc/JtTaskSet"
        (await self.http.post(address, json=body, headers=headers)).raise_for_status()


async def _there(look: Callable[[], Awaitable[Rows]]) -> Rows:
    """What comes in time; what is walked every fifteen minutes would not."""
    for _ in range(TRIES):
        if found := await look():
            return found
        await asyncio.sleep(0.2)
    raise AssertionError("nothing came")


async def _there_and_back(run: Mapping[str, Any], kind: str) -> None:
    outside = Outside(run, kind)
    try:
        await outside.new_account("A new mill")
        (customer,) = await _there(outside.customers)
        await outside.new_task(customer["cdock_fsmid"])
        (job,) = await _there(outside.jobs)
        assert job["cdock_name"] == "The pump is loud"
    finally:
        await outside.http.aclose()


@pytest.mark.xdist_group("local_run")
@pytest.mark.parametrize("kind", ["fsm", "ifs_cloud"])
def test_a_customer_goes_to_the_field_service_and_a_job_comes_back(tmp_path: Path, kind: str) -> None:
    """R-230, R-234, R-235: told by the CRM's webhook there, and back by the field service's outbound message."""
    with running(tmp_path, "--switch-on", CROSSDOCK_SYSTEMS=f"dataverse,{kind}") as (_, run):
        assert set(run["sandboxes"]) == {"dataverse", kind}
        asyncio.run(_there_and_back(run, kind))
