"""What one direction of a pair leaves to the other: a record that is gone or merged concerns one transfer only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from shared.sync.context import Ports
from shared.sync.definition import Definition, Transfer
from shared.sync.message import Message
from shared.sync.ports import Side, Switch


@dataclass(frozen=True)
class OtherDirection:
    """The transfers whose source is on a side."""

    ports: Ports
    definition: Definition
    side: Side

    async def acting(self) -> Sequence[Transfer]:
        """Those that move now or later; what waits for a stopped one goes on with it."""
        modes = [(one, await self.ports.stores.modes.get(one.name)) for one in self.transfers]
        return [one for one, mode in modes if mode.switch is not Switch.OFF]

    @property
    def transfers(self) -> Sequence[Transfer]:
        return [one for one in self.definition.transfers if one.source is self.side]

    async def tell(
        self, transfers: Sequence[Transfer], key: str, cause: str, run: str, due: datetime | None = None
    ) -> None:
        """Queue the record to them, not before a moment if one is named."""
        for transfer in transfers:
            message = Message(
                transfer=transfer.name,
                side=self.side,
                table=self.definition.table(self.side).table,
                keys=(key,),
                cause=cause,
                occurred_at=self.ports.clock.now(),
                attempt=0,
                correlation_id=run,
                change_id=f"{run}/{key}/{cause}",
            )
            await self.ports.queue.send(transfer.name, [message.outgoing(due)])
