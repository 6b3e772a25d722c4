"""A killed sandbox comes back with everything it had answered."""

from __future__ import annotations

from pathlib import Path

from tests.contract.dataverse_sandbox.conftest import Build, ManualClock

URL = "https://functions.example/api/webhooks/dataverse"
PREFER = {"Prefer": "odata.track-changes"}


async def test_rows_versions_tracking_keys_and_registrations_survive(build: Build, tmp_path: Path) -> None:
    """The first sandbox is never closed: it stands for a killed process."""
    clock, file = ManualClock(), tmp_path / "dataverse.sqlite"
    first = build(clock=clock, persist=file)
    first.sandbox.add_alternate_key("account", "cdock_Number", ["accountnumber"])
    await first.sandbox.register_webhook("account", ["Update"], URL, header=("x-secret", "first"))
    kept = await first.create(name="kept", accountnumber="A1", revenue=10.5, cdock_customersince="2020-02-29")
    gone = await first.create(name="gone")
    link = (await first.client.get("/accounts?$select=name", headers=PREFER)).json()["@odata.deltaLink"]
    await first.client.patch(f"/accounts({kept})", json={"telephone1": "1"})
    await first.client.delete(f"/accounts({gone})")
    rows = first.sandbox.rows("account")

    second = build(clock=clock, persist=file)
    assert second.sandbox.rows("account") == rows
    assert (await second.client.get("/accounts(accountnumber='A1')?$select=name")).json()["name"] == "kept"
    changes = (await second.client.get(link, headers=PREFER)).json()["value"]
    assert [change.get("accountid", change.get("id")) for change in changes] == [kept, gone]
    assert (second.sandbox.waiting_notices(), await second.sandbox.flush()) == (1, 1)
    assert second.receiver.received[0].headers["x-secret"] == "first"
    await second.client.patch(f"/accounts({kept})", json={"telephone1": "2"})
    assert second.sandbox.rows("account")[kept]["versionnumber"] > rows[kept]["versionnumber"]
    assert await second.sandbox.flush() == 1

    third = build(clock=clock, persist=file)
    assert third.sandbox.waiting_notices() == 0
    assert len(third.sandbox.rows("systemuser")) == len(first.sandbox.rows("systemuser"))


async def test_new_ids_differ_after_a_restart(build: Build, tmp_path: Path) -> None:
    """The seed repeats a run, it does not repeat ids within an organisation's life."""
    clock, file = ManualClock(), tmp_path / "dataverse.sqlite"
    ids = {await build(clock=clock, persist=file).create(name="a") for _ in range(3)}
    assert len(ids) == 3


async def test_a_reset_empties_the_file_too(build: Build, tmp_path: Path) -> None:
    """After a reset the organisation is as freshly made."""
    clock, file = ManualClock(), tmp_path / "dataverse.sqlite"
    first = build(clock=clock, persist=file)
    await first.create(name="a")
    first.sandbox.reset()
    second = build(clock=clock, persist=file)
    assert second.sandbox.rows("account") == {}
    assert (await second.client.get("/WhoAmI")).status_code == 200
