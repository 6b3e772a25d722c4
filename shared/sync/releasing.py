"""A record whose link a person has undone gets back what the link has put there: `on_unlink` of the definition.

Done once right after the link was undone, and looked at again whenever a message meets the tombstone: a run that was
under way beside the undoing may have written the value once more. What somebody else has put there stays. The same
before a link goes over to the record that another one was merged into: the partner is free for it then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shared.errors import RecordMissing
from shared.sync.context import Ports, Prepared
from shared.sync.definition import Transfer
from shared.sync.outcome import Why
from shared.sync.planner import Action, converted
from shared.sync.ports import FieldDecision, LinkRow, LinkState, Side, Value
from shared.sync.values import Unfit, same_value

_NOT_BY_A_PERSON = frozenset(why.value for why in Why)


@dataclass(frozen=True)
class Releasing:
    """Releases the records of one pair. prepared: any of its transfers."""

    ports: Ports
    prepared: Prepared

    async def of(self, tomb: LinkRow) -> Sequence[FieldDecision]:
        """Release both records of a link that a person has undone; answers what was written."""
        if tomb.state is not LinkState.UNLINKED or not tomb.other or tomb.reason in _NOT_BY_A_PERSON:
            return ()
        return await self.former(tomb)

    async def former(self, row: LinkRow) -> Sequence[FieldDecision]:
        """Release both records of a link that is undone, or about to go over to another record."""
        wanted = [one for one in self.prepared.definition.transfers if one.on_unlink]
        return [told for one in wanted for told in await self._released(one, row)]

    async def _released(self, transfer: Transfer, row: LinkRow) -> Sequence[FieldDecision]:
        side, key = transfer.target, row.key_on(transfer.target)
        columns = list(transfer.on_unlink)
        target = await self._read(side, key, columns)
        if target is None:
            return ()
        given = await self._given(transfer, row)
        values: dict[str, Value] = {}
        for column, text in transfer.on_unlink.items():
            held = target[1].get(column)
            if not same_value(held, text) and (column not in given or same_value(held, given[column])):
                values[column] = text or None
        if not values:
            return ()
        table, connector = self.prepared.definition.table(side).table, self.prepared.connector(side)
        try:
            await connector.update(table, key, values, list(values), version=target[0])
        except RecordMissing:
            return ()
        return [_told(side, column) for column in values]

    async def _read(
        self, side: Side, key: str, columns: Sequence[str]
    ) -> tuple[str | None, Mapping[str, Value]] | None:
        """A record's version and values; None for one that does not exist."""
        table = self.prepared.definition.table(side).table
        found = (await self.prepared.connector(side).read(table, [key], columns)).get(key)
        return (found.version, found.values) if found is not None else None

    async def _given(self, transfer: Transfer, row: LinkRow) -> Mapping[str, Value]:
        """What the link gives the columns that have a rule; None for a value that it has given nobody."""
        rules = [rule for rule in self.prepared.rules if rule.column(transfer.target) in transfer.on_unlink]
        columns = [rule.column(transfer.source) for rule in rules]
        source = await self._read(transfer.source, row.key_on(transfer.source), columns) if rules else None
        given: dict[str, Value] = {}
        for rule in rules:
            try:
                given[rule.column(transfer.target)] = converted(rule, transfer.source, source[1]) if source else None
            except Unfit:
                given[rule.column(transfer.target)] = None
        return given


def _told(side: Side, column: str) -> FieldDecision:
    left, right = (column, "") if side is Side.LEFT else ("", column)
    return FieldDecision(left, right, Action.WRITE.value, Why.RELEASED.value)
