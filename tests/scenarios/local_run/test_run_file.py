"""What other programs find out about a local run."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from azure.servicebus.aio import ServiceBusClient

from shared.app import transfer_names
from tests.scenarios.several_companies.world import two_companies_in

ROOT = Path(__file__).parents[3]
TO_ERP = "account_to_business_central"


@contextmanager
def running(state: Path, *words: str, **settings: str) -> Iterator[tuple[subprocess.Popen[bytes], dict[str, Any]]]:
    """`manage.py run` on free ports; answers the process and what its run.json says."""
    command = [sys.executable, "-m", "local.run", "--port", "0", "--state", str(state), *words]
    environment = {**os.environ, **settings}
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, env=environment)  # noqa: S603 - our own program
    try:
        yield process, _told(process, state / "run.json")
    finally:
        process.kill()
        process.wait()


def _told(process: subprocess.Popen[bytes], path: Path) -> dict[str, Any]:
    end = time.monotonic() + 120
    while not path.exists():
        assert process.poll() is None, "the run ended"
        assert time.monotonic() < end, "the run did not start"
        time.sleep(0.1)
    told: dict[str, Any] = json.loads(path.read_bytes())
    return told


async def _switches(run: dict[str, Any]) -> dict[str, str]:
    async with httpx.AsyncClient(headers={"x-crossdock-key": run["keys"]["operator"]}) as http:
        answer = (await http.get(f"{run['functions']}/api/ops/transfers")).raise_for_status()
    return {item["transfer"]: item["switch"] for item in answer.json()["items"]}


async def _sandbox_statuses(run: dict[str, Any]) -> set[int]:
    async with httpx.AsyncClient() as http:
        return {(await http.get(f"{url}/_sandbox/requests")).status_code for url in run["sandboxes"].values()}


async def _peeked(run: dict[str, Any]) -> int:
    async with ServiceBusClient.from_connection_string(run["servicebus"]) as client:
        receiver = client.get_queue_receiver(TO_ERP)
        async with receiver:
            return len(await receiver.peek_messages())


@pytest.mark.xdist_group("local_run")
def test_an_outside_client_finds_everything_and_nothing_is_switched_on(tmp_path: Path) -> None:
    """The addresses and keys of run.json work; every transfer is off until a person switches it on."""
    with running(tmp_path) as (_, run):
        assert set(run["sandboxes"]) == {"dataverse", "business_central"}
        assert asyncio.run(_sandbox_statuses(run)) == {200}
        assert asyncio.run(_switches(run)) == dict.fromkeys(transfer_names(), "off")
        assert asyncio.run(_peeked(run)) == 0


async def _companies(run: dict[str, Any]) -> list[str]:
    """The ids of the companies in the sandbox of Business Central."""
    client = run["keys"]["business_central"]
    form = {
        "grant_type": "client_credentials",
        "scope": "https://api.businesscentral.dynamics.com/.default",
        **client,
    }
    async with httpx.AsyncClient() as http:
        token = (await http.post(run["sign_in"], data=form)).raise_for_status().json()["access_token"]
        root = run["business_central_api"].partition("/companies")[0]
        answer = await http.get(f"{root}/companies", headers={"Authorization": f"Bearer {token}"})
        return sorted(company["id"] for company in answer.raise_for_status().json()["value"])


@pytest.mark.xdist_group("local_run")
def test_a_further_company_of_the_settings_is_imitated_beside_the_first(tmp_path: Path) -> None:
    """In the same environment, with an id made up for it and the definitions' transfers of its own."""
    index = two_companies_in(tmp_path)
    names = [transfer.name for _, transfer in index.transfers()]
    words, setting = ("--transfers", str(tmp_path / "transfers")), "dataverse,business_central,bc_de=business_central"
    with running(tmp_path / "state", *words, CROSSDOCK_SYSTEMS=setting) as (_, run):
        given = run["settings"]
        ids = {given["CROSSDOCK_BUSINESS_CENTRAL_COMPANY_ID"], given["CROSSDOCK_BC_DE_COMPANY_ID"]}
        assert asyncio.run(_companies(run)) == sorted(ids)
        assert asyncio.run(_switches(run)) == dict.fromkeys(names, "off")
        assert "account_to_bc_de" in names


async def _customer_groups(run: dict[str, Any]) -> int:
    """The status with which the sandbox of PostOffice lists its customer groups to whoever has the key."""
    key = run["keys"]["postoffice"]
    async with httpx.AsyncClient(headers={key["header"]: key["key"]}) as http:
        return (await http.get(f"{run['sandboxes']['postoffice']}/v1/customer-groups")).status_code


@pytest.mark.xdist_group("local_run")
def test_a_postoffice_of_the_settings_is_imitated_and_an_erp_that_they_leave_out_is_not(tmp_path: Path) -> None:
    """Its key is the installation's own, also in a folder that was made before there was a PostOffice."""
    with running(tmp_path, CROSSDOCK_SYSTEMS="dataverse,postoffice") as (_, first):
        assert set(first["sandboxes"]) == {"dataverse", "postoffice"}
        assert asyncio.run(_customer_groups(first)) == 200
    kept = json.loads((tmp_path / "installation.json").read_bytes())
    del kept["post_key"]
    (tmp_path / "installation.json").write_text(json.dumps(kept), "utf-8")
    (tmp_path / "run.json").unlink(missing_ok=True)
    with running(tmp_path, CROSSDOCK_SYSTEMS="dataverse,postoffice") as (_, second):
        assert asyncio.run(_customer_groups(second)) == 200
        assert second["keys"]["dataverse"] == first["keys"]["dataverse"]


@pytest.mark.xdist_group("local_run")
def test_keys_are_for_their_owner_and_a_second_run_on_the_same_state_is_refused(tmp_path: Path) -> None:
    """Two runs would drive the same timers and sandboxes; the files with keys are readable by their owner only."""
    with running(tmp_path):
        second = [sys.executable, "-m", "local.run", "--port", "0", "--state", str(tmp_path)]
        refused = subprocess.run(second, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)  # noqa: S603 - our own program
        assert refused.returncode == 2
        assert "another run" in refused.stderr
        if os.name == "posix":
            for name in ("run.json", "installation.json", "store.sqlite", "servicebus.sqlite"):
                assert (tmp_path / name).stat().st_mode & 0o077 == 0, name


@pytest.mark.xdist_group("local_run")
def test_a_clean_end_removes_the_addresses_and_keeps_the_state(tmp_path: Path) -> None:
    """Told to end, the run ends with 0 where the system has signals; its keys are the same at the next start."""
    with running(tmp_path) as (process, first):
        process.send_signal(signal.SIGTERM)
        code = process.wait(timeout=60)
    if os.name == "posix":
        assert code == 0
        assert not (tmp_path / "run.json").exists()
    (tmp_path / "run.json").unlink(missing_ok=True)
    with running(tmp_path) as (_, second):
        assert second["keys"] == first["keys"]


def _typed(state: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """A command of the command line in a process of its own, with no settings but those of the run."""
    command = [sys.executable, "-m", "local.command_line", *words, "--state", str(state)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CROSSDOCK_")}
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False, env=environment)  # noqa: S603 - our own program


@pytest.mark.xdist_group("local_run")
def test_the_command_line_works_on_a_running_local_run(tmp_path: Path) -> None:
    """It opens the store beside the running process, whose answers then show what it did; afterwards it finds none."""
    with running(tmp_path) as (_, run):
        moved = _typed(tmp_path, "mode", "on", TO_ERP, "--reason", "trying it", "--by", "me", "--apply")
        assert moved.returncode == 0, moved.stderr
        assert "the local run in" in moved.stderr
        assert asyncio.run(_switches(run)) == dict.fromkeys(transfer_names(), "off") | {TO_ERP: "on"}
        shown = json.loads(_typed(tmp_path, "mode", "--json").stdout)
        switches = {item["transfer"]: (item["switch"], item["by"]) for item in shown["items"]}
        assert switches == dict.fromkeys(transfer_names(), ("off", "")) | {TO_ERP: ("on", "me")}
        assert _typed(tmp_path, "parked").returncode == 0
    ended = _typed(tmp_path, "mode", "--local")
    assert (ended.returncode, "CD-6003" in ended.stderr) == (3, True)
