"""What brings waiting things back: probes of open breakers, drains of pending rows, the sweep of dead letters,
retries of parked items."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from shared.sync.definition import Transfer
from shared.sync.message import DRAIN, MAX_KEYS, Message, MessageInvalid
from shared.sync.pipeline import Pipeline
from shared.sync.ports import DeadLetter, ParkedItem, PendingItem, RowTaken, Side, Switch, Watermark
from shared.sync.problems import PROBLEMS

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Draining:
    """The housekeeping that a timer calls every few seconds."""

    pipeline: Pipeline

    async def tick(self) -> dict[str, int]:
        """Probe what is due, then queue the pending rows of every transfer that may run; answers how many rows by
        transfer."""
        ports = self.pipeline.ports
        back = [one.system for one in ports.connectors.values() if await self.pipeline.panel.probe(one)]
        for system in back:
            await self.drain_anew(system)
        if back:
            await ports.clock.sleep(ports.timing.breaker_age.total_seconds())
        return {transfer.name: await self.drain(transfer) for _, transfer in self.pipeline.index.transfers()}

    async def drain_anew(self, system: str) -> None:
        """Let all transfers of a system be drained as soon as every process knows that it is back."""
        for definition, transfer in self.pipeline.index.transfers():
            if system in definition.systems:
                await self._drain_after(transfer.name, self.pipeline.ports.timing.breaker_age)

    async def drain_soon(self, transfer: str) -> None:
        """Let the transfer be drained as soon as every process knows of its switch."""
        await self._drain_after(transfer, self.pipeline.ports.timing.switch_age)

    async def _drain_after(self, transfer: str, wait: timedelta) -> None:
        """Let the first tick after a while drain the transfer, however short ago one did.

        A pass that begins earlier is half in vain: processes that do not know yet that the transfer may run put back
        what they are sent, and it would wait for the next pass.
        """
        ports = self.pipeline.ports
        mark = await ports.stores.watermarks.get(f"drain|{transfer}")
        if mark is not None:
            due = ports.clock.now() + wait
            await self._put(f"drain|{transfer}", replace(mark, done_at=due - ports.timing.drain_again))

    async def _put(self, name: str, mark: Watermark) -> bool:
        try:
            await self.pipeline.ports.stores.watermarks.put(name, mark)
        except RowTaken:
            return False
        return True

    async def drain(self, transfer: Transfer) -> int:
        """Queue the pending keys of a transfer in chunks; a row goes only after its key has been transferred.

        A pass begins when a breaker closes or a transfer is resumed (`drain_soon`), and every `drain_again` for what
        came late; so rows that are on their way are not queued over and over, and an idle system is left in peace.
        """
        if not await self._may_run(transfer):
            return 0
        name, now = f"drain|{transfer.name}", self.pipeline.ports.clock.now()
        mark = await self.pipeline.ports.stores.watermarks.get(name)
        again = self.pipeline.ports.timing.drain_again
        if mark and mark.done_at and now - mark.done_at < again:
            return 0
        if not await self._put(name, replace(mark or Watermark(None), done_at=now)):
            return 0
        return await self._send_all(
            transfer, await self.pipeline.ports.stores.pending.page(transfer.name, None, MAX_KEYS)
        )

    async def _may_run(self, transfer: Transfer) -> bool:
        if await self.pipeline.switch(transfer.name) is not Switch.ON:
            return False
        definition = next(d for d, t in self.pipeline.index.transfers() if t.name == transfer.name)
        systems = definition.systems
        environments = self.pipeline.environments
        if environments.is_unfit(systems) or any(environments.is_wrong(system) for system in systems):
            return False
        connectors = [self.pipeline.ports.connectors[system] for system in systems]
        return not any([await self.pipeline.panel.is_open(connector) for connector in connectors])

    async def _send_all(self, transfer: Transfer, page: Sequence[PendingItem]) -> int:
        sent = 0
        while page:
            for alike in _alike(page):
                await self._send(transfer, alike)
            sent += len(page)
            last = page[-1]
            page = await self.pipeline.ports.stores.pending.page(transfer.name, _after(last), MAX_KEYS)
        return sent

    async def _send(self, transfer: Transfer, items: Sequence[PendingItem]) -> None:
        definition = next(d for d, t in self.pipeline.index.transfers() if t.name == transfer.name)
        ids, first = self.pipeline.ports.ids, items[0]
        message = Message(
            transfer=transfer.name,
            side=first.side,
            table=first.table or definition.table(first.side).table,
            keys=tuple(item.key for item in items),
            cause=first.cause or DRAIN,
            occurred_at=self.pipeline.ports.clock.now(),
            attempt=0,
            correlation_id=ids.new(),
            change_id=f"drain/{ids.new()}",
            editors={item.key: item.editor for item in items if item.editor},
        )
        await self.pipeline.ports.queue.send(transfer.name, [message.outgoing()])

    # --- dead letters and parked items ---

    async def sweep(self, limit: int = 100) -> int:
        """Park every message that the queue gave up on, so that people find it where they look; answers how many."""
        swept = 0
        for _, transfer in self.pipeline.index.transfers():
            for letter in await self.pipeline.ports.queue.dead_letters(transfer.name, limit):
                await self._park_letter(transfer, letter)
                await self.pipeline.ports.queue.settle_dead_letter(transfer.name, letter)
                swept += 1
        return swept

    async def _park_letter(self, transfer: Transfer, letter: DeadLetter) -> None:
        now = self.pipeline.ports.clock.now()
        try:
            message = Message.from_json(letter.body)
        except MessageInvalid:
            log.error("unreadable dead letter", extra={"transfer": transfer.name, "reason": letter.reason})
            await self._park(transfer, transfer.source, f"message {letter.message_id}", "", now)
            return
        own = next(d for d, t in self.pipeline.index.transfers() if t.name == transfer.name).table(message.side).table
        table = "" if message.table == own else message.table
        for key in message.keys:
            await self._park(transfer, message.side, key, message.correlation_id, now, table)

    async def _park(
        self, transfer: Transfer, side: Side, key: str, correlation_id: str, now: datetime, table: str = ""
    ) -> None:
        known = PROBLEMS["CD-4403"]
        item = ParkedItem(
            transfer=transfer.name,
            side=side,
            key=key,
            code="CD-4403",
            sentence=known.sentence,
            who=known.who.value,
            remedy=known.remedy,
            field="",
            first_at=now,
            last_at=now,
            times=1,
            correlation_id=correlation_id,
            run="",
            table=table,
        )
        await self.pipeline.ports.stores.parked.put(item)

    async def retry(self, item: ParkedItem, by: str) -> None:
        """Queue a parked record again; the source is read anew. The item stays until the record has been
        transferred."""
        definition = next(d for d, t in self.pipeline.index.transfers() if t.name == item.transfer)
        ids = self.pipeline.ports.ids
        message = Message(
            transfer=item.transfer,
            side=item.side,
            table=item.table or definition.table(item.side).table,
            keys=(item.key,),
            cause=f"retry by {by}",
            occurred_at=self.pipeline.ports.clock.now(),
            attempt=0,
            correlation_id=ids.new(),
            change_id=f"retry/{ids.new()}",
        )
        await self.pipeline.ports.queue.send(item.transfer, [message.outgoing()])


def _alike(items: Sequence[PendingItem]) -> Sequence[Sequence[PendingItem]]:
    """Those that one message may name together."""
    found: dict[tuple[Side, str, str], list[PendingItem]] = {}
    for one in items:
        found.setdefault((one.side, one.table, one.cause), []).append(one)
    return [*found.values()]


def _after(item: PendingItem) -> str:
    """Where the next page of pending rows begins."""
    return f"{item.side.value}/{item.name}"
