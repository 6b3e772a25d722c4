"""Records that refer to another one come along when that gets its partner: contacts with their account.

While a link is being made, every transfer whose records refer to the pair gets one message that names the parent.
Handled, it looks the dependents up in their system and queues them as ordinary changes; until the link is confirmed
it waits. So no list of waiting records is kept anywhere, and no crash can forget one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from shared.sync.context import Ports, Prepared, pair_name
from shared.sync.definition import Definition, FieldRule, Index, Transfer
from shared.sync.message import MAX_KEYS, Message
from shared.sync.outcome import Kind, Outcome, Why
from shared.sync.ports import LinkState, Outgoing, Side

MOST_DEPENDENTS = 20_000
"""Of one record; what is beyond waits for the next walk."""


@dataclass(frozen=True)
class Dependents:
    """Finds and queues the records that refer to others."""

    ports: Ports
    index: Index

    async def tell_of_link(self, pair: Definition, keys: Mapping[Side, str], message: Message, run: str) -> None:
        """Send every transfer with references to the pair a message about the record on its source's side, to all at
        the same time: a customer has a dozen, and his create waits for them."""
        due = self.ports.clock.now() + self.ports.timing.link_settles
        by_transfer: dict[str, list[Outgoing]] = {}
        for definition in self.index.linking:
            for transfer in definition.transfers:
                if self._rules(definition, pair, transfer):
                    side = transfer.source
                    about = self._about(message, transfer, pair.table(side).table, keys[side], run)
                    by_transfer.setdefault(transfer.name, []).append(about.outgoing(due))
        if by_transfer:
            await self.ports.queue.send_all(by_transfer)

    def _about(self, message: Message, transfer: Transfer, table: str, key: str, run: str) -> Message:
        return replace(
            message,
            transfer=transfer.name,
            side=transfer.source,
            table=table,
            keys=(key,),
            cause="linked",
            change_id=f"{run}/{key}",
            attempt=0,
            failures=0,
        )

    def is_about_a_parent(self, message: Message, prepared: Prepared) -> bool:
        """Whether the message names a record that the transfer's records refer to."""
        own = {prepared.definition.table(side).table for side in Side}
        return message.table not in own | set(prepared.transfer.also_on) and bool(self._pairs(message, prepared))

    def _rules(self, definition: Definition, pair: Definition, transfer: Transfer) -> list[FieldRule]:
        """The rules for whose sake the records of a transfer wait for the pair's: those that it carries or needs."""
        return [
            rule
            for rule in definition.refers_to(pair)
            if rule.travels_from(transfer.source) or (rule.reference is not None and rule.reference.needed)
        ]

    def _pairs(self, message: Message, prepared: Prepared) -> list[Definition]:
        transfer = prepared.transfer
        found = [pair for pair in self.index.definitions if self._rules(prepared.definition, pair, transfer)]
        return [pair for pair in found if pair.table(message.side).table == message.table]

    async def queue_those_of(self, key: str, message: Message, prepared: Prepared) -> Outcome:
        """Queue the dependents of a linked record; comes again while the link is being made."""
        for pair in self._pairs(message, prepared):
            row = await self.ports.stores.links.get(pair_name(pair, self.ports.connectors), message.side, key)
            if row is not None and row.state is LinkState.CREATING:
                return Outcome(Kind.DEFERRED, Why.CLAIMED, delay=timedelta(seconds=5), burns_attempt=False)
            if row is None or row.state is not LinkState.LINKED:
                return Outcome(Kind.SKIPPED, Why.NOT_LINKED)
            for rule in self._rules(prepared.definition, pair, prepared.transfer):
                await self._queue(await self._waiting_for(key, rule, message, prepared), message)
        return Outcome(Kind.SKIPPED, Why.HANDED_ON)

    async def _waiting_for(self, key: str, rule: FieldRule, message: Message, prepared: Prepared) -> Sequence[str]:
        """The records to be looked at again. Of a last editor those whose field waits for him: the record itself may no
        longer name him, and of what names him most has gone over long ago."""
        if not rule.last_editor:
            return await self._found(key, rule.column(message.side), message, prepared)
        found: list[str] = []
        after: str | None = None
        while page := await self.ports.stores.parked.page(message.transfer, after, 1000):
            found += [
                one.key for one in page if one.side is message.side and one.code == "CD-4021" and key in one.others
            ]
            after = f"{page[-1].side.value}/{page[-1].key}"
        return found

    async def _found(self, key: str, column: str, message: Message, prepared: Prepared) -> Sequence[str]:
        table = prepared.definition.table(message.side)
        connector = self.ports.connectors[table.system]
        found = await connector.find(table.table, column, [key], (), limit=MOST_DEPENDENTS)
        return [record.key for record in found]

    async def _queue(self, keys: Sequence[str], message: Message) -> None:
        prepared_table = self._table_of(message)
        for at in range(0, len(keys), MAX_KEYS):
            chunk = tuple(keys[at : at + MAX_KEYS])
            part = replace(message, table=prepared_table, keys=chunk, change_id=f"{message.change_id}+{at}", attempt=0)
            await self.ports.queue.send(part.transfer, [part.outgoing()])

    def _table_of(self, message: Message) -> str:
        """The transfer's own table on the message's side."""
        found = (one for one, transfer in self.index.transfers() if transfer.name == message.transfer)
        return next(found).table(message.side).table
