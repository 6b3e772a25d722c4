"""A comparison of both systems: what is equal, what differs on which side, what is gone; repaired only when asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from local.command_line.exits import Exit
from shared.errors import QueueUnavailable
from shared.messaging.memory import MemoryQueue
from shared.sync.drifting import Standing
from shared.sync.ports import Outgoing, Side, Switch
from tests.scenarios.account_customer.world import COMPANY, RealWorld, Setup, vat_number, virtually
from tests.scenarios.command_line.terminal import TemporaryFile, typed


async def companies(world: RealWorld, count: int) -> list[str]:
    """Accounts with their customers, which every walk has seen."""
    accounts = []
    for number in range(count):
        values = {"cdock_stage": "qualified", "cdock_vatnumber": vat_number(number + 1)}
        accounts.append(await world.new_account(name=f"Company {number}", **values))
        await world.announce(Side.LEFT, accounts[-1])
        await world.settle()
    await world.pass_time(minutes=6)
    await world.settle()
    return accounts


@virtually
async def test_drift_is_counted_by_how_it_stands_and_repaired_only_when_asked() -> None:
    """R-052, R-058, R-060: equal, edited elsewhere, on its way, gone; a repair is an ordinary transfer."""
    async with RealWorld(Setup(hooks=False)) as world:
        assert "No linked records to compare" in (await typed(world, "drift")).out
        pairs = [(account, await world.partner_of(account)) for account in await companies(world, 4)]
        for name in world.names:
            await world.switch(name, Switch.STOPPED)
        await world.edit_account(pairs[1][0], name="Typed in vain")
        await world.edit_account(pairs[2][0], telephone1="0471 999999")
        await world.erp.delete(COMPANY, "customers", pairs[3][1])
        said = await typed(world, "drift", "--json")
        assert said.code == 1
        standing = {row["left"]: (row["standing"].partition(":")[0], row["columns"]) for row in said.json["rows"]}
        assert standing[pairs[1][0]] == ("differs", "name")
        assert standing[pairs[2][0]] == ("differs", "telephone1")
        assert standing[pairs[3][0]][0] == "a record does not exist any more"
        assert said.json["pairs"]["equal"] == 1
        assert "Typed in vain" not in said.out
        assert world.account(pairs[1][0])["name"] == "Typed in vain"
        for name in world.names:
            await world.switch(name, Switch.ON)
        repaired = await typed(world, "drift", world.names[0], "--apply")
        assert (repaired.code, "3 pairs are queued" in repaired.out) == (0, True)
        await world.settle()
        assert world.account(pairs[1][0])["name"] == "Company 1"
        assert world.customer(pairs[2][1])["phoneNumber"] == "+390471999999"
        again = await typed(world, "drift", "--json")
        assert (again.code, again.json["rows"]) == (0, [])


@virtually
async def test_a_reviewed_plan_of_repair_leaves_alone_what_was_taken_out_of_it() -> None:
    """R-060: the file of the differences, shortened by a person, is what is repaired; what came since is not in it."""
    async with RealWorld(Setup(hooks=False)) as world:
        accounts = await companies(world, 3)
        partners = {account: await world.partner_of(account) for account in accounts}
        for name in world.names:
            await world.switch(name, Switch.STOPPED)
        for account in accounts[:2]:
            await world.edit_account(account, name="Typed in vain")
        with TemporaryFile(Path("plan.csv"), "") as path:
            assert (await typed(world, "drift", "--rows", str(path))).code == 1
            lines = path.read_text("utf-8").splitlines()
            path.write_text("\n".join(line for line in lines if accounts[1] not in line), encoding="utf-8")
            await world.edit_account(accounts[2], name="Typed in vain since")
            said = await typed(world, "drift", "--reviewed", str(path), "--apply")
            assert (said.code, "1 pairs are queued" in said.out) == (0, True)
            path.write_text("something else", encoding="utf-8")
            wrong = await typed(world, "drift", "--reviewed", str(path), "--apply")
            assert (wrong.code, "--reviewed" in wrong.err) == (2, True)
        await world.pass_time(seconds=5)
        waiting = {row.key for name in world.names for row in await world.stores.pending.page(name, None, 100)}
        assert waiting == {accounts[0], partners[accounts[0]]}


@virtually
async def test_what_has_no_partner_and_what_is_there_twice_is_told_and_made_good_only_when_asked() -> None:
    """R-041, R-052, R-054: prospects are no orphans; two that match are told once; what needs a person stays."""
    async with RealWorld(Setup(hooks=False)) as world:
        await companies(world, 1)
        for name in world.names:
            await world.switch(name, Switch.OFF)
        told = {"cdock_stage": "qualified"}
        lonely = await world.new_account(name="Lonely", cdock_vatnumber=vat_number(11), **told)
        await world.new_account(name="Prospect", cdock_vatnumber=vat_number(12))
        one = await world.new_account(name="Birch", cdock_vatnumber=vat_number(13), **told)
        other = await world.new_customer(displayName="Birch Ltd", taxRegistrationNumber=vat_number(13))
        twice = await world.new_account(name="Twice", cdock_vatnumber=vat_number(14), **told)
        two = [await world.new_customer(displayName="Twice", taxRegistrationNumber=vat_number(14)) for _ in range(2)]
        await world.pass_time(minutes=11)
        assert (await typed(world, "drift", "--json")).json["rows"] == []
        said = await typed(world, "drift", world.names[0], "--unlinked", "--json")
        orphan, doubled = Standing.ORPHAN.value, Standing.DUPLICATE.value
        assert {(row["left"], row["right"]): row["standing"] for row in said.json["rows"]} == {
            (lonely, ""): orphan,
            (one, other): orphan,
            (twice, two[0]): doubled,
            (twice, two[1]): doubled,
        }
        for name in world.names:
            await world.switch(name, Switch.ON)
        await typed(world, "drift", world.names[0], "--unlinked", "--apply")
        await world.pass_time(minutes=1)
        links = await world.links()
        assert (links[one], lonely in links) == (other, True)


class FailingQueue(MemoryQueue):
    """Takes the messages of some transfers and does not answer for the others."""

    def __init__(self, inner: MemoryQueue, answers: Sequence[str]) -> None:
        self._inner = inner
        self._answers = answers

    async def send(self, queue: str, messages: Sequence[Outgoing]) -> None:
        if queue not in self._answers:
            raise QueueUnavailable("simulated")
        await self._inner.send(queue, messages)


@pytest.mark.parametrize("answers", [0, 1])
def test_a_repair_while_the_queue_is_down_says_so_and_can_be_repeated(answers: int) -> None:
    """R-060: nothing is told as queued; whatever was queued before does no harm the second time."""

    @virtually
    async def story() -> None:
        async with RealWorld(Setup(hooks=False)) as world:
            account = await world.new_account(name="Company", cdock_stage="qualified")
            await world.announce(Side.LEFT, account)
            await world.settle()
            customer = await world.partner_of(account)
            await world.edit_account(account, name="Typed in vain", telephone1="0471 999999")
            app, outside = world.apps[0], world.apps[0].outside
            app.outside = replace(outside, queue=FailingQueue(world.queue, world.names[:answers]))
            said = await typed(world, "drift", world.names[0], "--apply")
            app.outside = outside
            assert (said.code, "queued" in said.out) == (Exit.UNREACHABLE, False)
            assert "CD-" in said.err
            world.forget_requests()
            repaired = await typed(world, "drift", world.names[0], "--apply")
            assert (repaired.code, "1 pairs are queued" in repaired.out) == (0, True)
            await world.settle()
            assert world.account(account)["name"] == "Company"
            assert world.customer(customer)["phoneNumber"] == "+390471999999"
            assert world.erp_writes() <= 1

    story()
