"""A local run that is killed in the middle of its work loses nothing and does nothing twice."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

Process = subprocess.Popen[bytes]
ROOT = Path(__file__).parents[3]
PATIENCE_SECONDS = 400.0


@contextmanager
def local_run(
    state: Path, transfers: Path, first_port: int
) -> Iterator[tuple[subprocess.Popen[bytes], dict[str, Any]]]:
    """`manage.py run` as a process of its own; answers it and its run.json."""
    told = state / "run.json"
    told.unlink(missing_ok=True)
    arguments = ["--port", str(first_port), "--state", str(state), "--transfers", str(transfers), "--switch-on"]
    quick = ["--notice-seconds", "1", "--lease-seconds", "10"]
    process = subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, "-m", "local.run", *arguments, *quick], cwd=ROOT, stdout=subprocess.DEVNULL
    )
    try:
        end = time.monotonic() + PATIENCE_SECONDS
        while not told.exists():
            assert process.poll() is None, "the run ended"
            assert time.monotonic() < end, "the run did not start"
            time.sleep(0.1)
        yield process, json.loads(told.read_text("utf-8"))
    finally:
        process.kill()
        process.wait()


def six_free_ports() -> int:
    """The first of six free ports in a row: the second run listens where the first did, so waiting webhooks find
    it."""
    for first in range(21000, 29000, 7):
        with contextlib.ExitStack() as probes, contextlib.suppress(OSError):
            for port in range(first, first + 6):
                probes.enter_context(socket.create_server(("127.0.0.1", port)))
            return first
    raise AssertionError("there are no six free ports in a row")


class Outside:
    """An outside client that knows nothing but run.json."""

    def __init__(self, run: dict[str, Any]) -> None:
        self._run = run
        self._http = httpx.AsyncClient(timeout=60)

    async def _token(self, who: str, audience: str) -> dict[str, str]:
        form = {**self._run["keys"][who], "grant_type": "client_credentials", "scope": f"{audience}/.default"}
        answer = (await self._http.post(self._run["sign_in"], data=form)).raise_for_status()
        return {"Authorization": f"Bearer {answer.json()['access_token']}"}

    async def create_accounts(self, numbers: range) -> None:
        crm = self._run["sandboxes"]["dataverse"]
        signed_in = await self._token("dataverse", crm)
        for number in numbers:
            body = {"name": f"Company {number:04d}", "cdock_stage": "qualified", "address1_country": "IT"}
            answer = await self._http.post(f"{crm}/api/data/v9.2/accounts", json=body, headers=signed_in)
            answer.raise_for_status()

    async def accounts(self) -> list[dict[str, Any]]:
        crm = self._run["sandboxes"]["dataverse"]
        signed_in = await self._token("dataverse", crm)
        address = f"{crm}/api/data/v9.2/accounts?$select=accountid,name,accountnumber"
        found: list[dict[str, Any]] = (
            (await self._http.get(address, headers=signed_in)).raise_for_status().json()["value"]
        )
        return found

    async def customers(self) -> list[dict[str, Any]]:
        signed_in = await self._token("business_central", "https://api.businesscentral.dynamics.com")
        address = f"{self._run['business_central_api']}/customers?$select=id,number,displayName"
        found: list[dict[str, Any]] = (
            (await self._http.get(address, headers=signed_in)).raise_for_status().json()["value"]
        )
        return found

    async def parked(self) -> list[Any]:
        address = f"{self._run['functions']}/api/ops/transfers/account_to_business_central/parked"
        headers = {"x-crossdock-key": self._run["keys"]["operator"]}
        items: list[Any] = (await self._http.get(address, headers=headers)).raise_for_status().json()["items"]
        return items

    async def until_customers(self, wanted: int) -> None:
        end = time.monotonic() + PATIENCE_SECONDS
        while (there := len(await self.customers())) < wanted:
            assert time.monotonic() < end, f"{there} customers instead of {wanted}; parked: {await self.parked()}"
            await asyncio.sleep(0.5)

    async def until_all_numbers(self) -> None:
        end = time.monotonic() + PATIENCE_SECONDS
        while missing := [one["name"] for one in await self.accounts() if not one["accountnumber"]]:
            assert time.monotonic() < end, f"{len(missing)} accounts have no number"
            await asyncio.sleep(0.5)

    async def aclose(self) -> None:
        await self._http.aclose()


def _with_wide_brakes(folder: Path) -> Path:
    """The product's definitions, with brakes that let hundreds of creates through."""
    text = (ROOT / "transfers" / "business_central" / "account.yaml").read_text("utf-8")
    (folder / "business_central").mkdir(parents=True)
    wide = text.replace("creates_per_hour: 200", "creates_per_hour: 10000")
    assert wide != text
    (folder / "business_central" / "account.yaml").write_text(wide, "utf-8")
    return folder


async def _begin(run: dict[str, Any], accounts: int) -> int:
    """Make the accounts; answers how many are customers when it is time to kill."""
    outside = Outside(run)
    try:
        await outside.create_accounts(range(accounts))
        await outside.until_customers(accounts // 12)
        return len(await outside.customers())
    finally:
        await outside.aclose()


async def _finish(run: dict[str, Any], accounts: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[Any]]:
    outside = Outside(run)
    try:
        await outside.until_customers(accounts)
        await outside.until_all_numbers()
        return await outside.accounts(), await outside.customers(), await outside.parked()
    finally:
        await outside.aclose()


@pytest.mark.timeout(900)
@pytest.mark.parametrize("count", [100, pytest.param(500, marks=pytest.mark.long)])
def test_queued_transfers_survive_a_kill(count: int, tmp_path: Path) -> None:
    """R-054: killed with -9 while most of the transfers wait in the queue; the next run finishes them, each once."""
    transfers, state = _with_wide_brakes(tmp_path / "transfers"), tmp_path / "state"
    port = six_free_ports()
    with local_run(state, transfers, port) as (process, run):
        ready = asyncio.run(_begin(run, count))
        process.kill()
        process.wait()
    assert ready < count
    with local_run(state, transfers, port) as (_, run):
        accounts, customers, parked = asyncio.run(_finish(run, count))
    assert parked == []
    assert len(accounts) == len(customers) == count
    assert Counter(one["displayName"] for one in customers) == Counter(f"Company {n:04d}" for n in range(count))
    numbers = {one["displayName"]: one["number"] for one in customers}
    assert {one["name"]: one["accountnumber"] for one in accounts} == numbers
