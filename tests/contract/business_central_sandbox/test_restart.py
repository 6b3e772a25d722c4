"""What a killed and restarted sandbox still knows, and what it does the same way again."""

from __future__ import annotations

from pathlib import Path

from tests.contract.business_central_sandbox.conftest import MakeRig
from tests.contract.business_central_sandbox.rig import COMPANY, CUSTOMERS, ROOT, Rig


async def test_a_restart_keeps_rows_etags_series_subscriptions_and_waiting_notices(
    make: MakeRig, tmp_path: Path
) -> None:
    """The first sandbox is never closed properly; the second finds everything that was answered."""
    path = tmp_path / "erp.sqlite"
    first = make(persist=path)
    subscription = await first.subscribe()
    row = await first.create(creditLimit=12.5, city="Bolzano")
    gone = await first.create()
    await first.sandbox.delete(COMPANY, "customers", gone["id"])
    second = make(persist=path, clock=first.clock)
    assert await second.get(f"{CUSTOMERS}({row['id']})") == row
    assert (await second.values(f"{ROOT}/subscriptions"))[0]["@odata.etag"] == subscription["@odata.etag"]
    assert (await second.change(row, city="Merano"))["city"] == "Merano"
    new = await second.create()
    assert new["number"] == "K00012"
    assert new["id"] not in (row["id"], gone["id"])
    await second.clock.advance(30)
    await second.sandbox.deliver_due()
    assert second.receiver.kinds() == ["created", "created", "deleted", "updated", "created"]


async def test_a_rolled_back_batch_leaves_nothing_in_the_file(make: MakeRig, tmp_path: Path) -> None:
    """What was answered with a misleading 201 is not there after a restart either."""
    path = tmp_path / "erp.sqlite"
    first = make(persist=path)
    requests = [
        {"id": n, "method": "POST", "url": f"companies({COMPANY})/customers", "headers": {}, "body": {"displayName": d}}
        for n, d in (("1", "X"), ("2", ""))
    ]
    await first.http.post(f"{ROOT}/$batch", json={"requests": requests}, headers={"Isolation": "snapshot"})
    assert make(persist=path).sandbox.rows(COMPANY, "customers") == {}


async def test_what_waits_on_the_ladder_waits_on_after_a_restart(make: MakeRig, tmp_path: Path) -> None:
    """The step reached is kept: the next repetition comes when it would have come."""
    path = tmp_path / "erp.sqlite"
    first = make(persist=path)
    await first.subscribe()
    await first.create()
    first.receiver.status = 503
    await first.clock.advance(30)
    await first.sandbox.deliver_due()
    second = make(persist=path, clock=first.clock)
    await second.clock.advance(59)
    assert await second.sandbox.deliver_due() == 0
    await second.clock.advance(1)
    assert await second.sandbox.deliver_due() == 1
    assert second.sandbox.waiting_notices() == 0


async def test_the_same_history_gives_the_same_ids_and_etags(make: MakeRig) -> None:
    """Two sandboxes with one seed agree in every byte, so a run can be repeated."""

    async def story(rig: Rig) -> list[object]:
        row = await rig.create()
        changed = await rig.change(row, city="Merano")
        return [row, changed, await rig.values(CUSTOMERS)]

    assert await story(make()) == await story(make())
