"""From a customer of the system that asks to the same customer in the system that answers: along links, by point reads.

Nothing is searched: who is not linked is unknown.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from shared.field_service.errors import CustomerUnknown
from shared.sync.context import pair_name
from shared.sync.definition import Definition, TableName
from shared.sync.homes import linked_home
from shared.sync.ports import Connector, Links, Side

MOST_LINKS: Final = 3
"""Links between the one customer and the other."""
Hop = tuple[Definition, Side]
"""A pair, and the side from which its link is followed."""


@dataclass(frozen=True)
class Customers:
    """Follows links over the pairs of an installation."""

    links: Links
    definitions: Sequence[Definition]
    connectors: Mapping[str, Connector]

    async def in_system(self, asking: Iterable[TableName], key: str, answering: TableName) -> str:
        """The key of a customer in the table that answers; raises CustomerUnknown.

        asking: the tables in which the key may be that of a customer. Two customers for one key are none.
        """
        found: set[str] = set()
        for table in asking:
            if table.system in self.connectors and (known := self._canonical(table, key)) is not None:
                found |= await self._reached(table, known, answering)
        if len(found) != 1:
            raise CustomerUnknown
        return found.pop()

    def _canonical(self, table: TableName, key: str) -> str | None:
        try:
            return self.connectors[table.system].canonical_key(table.table, key)
        except ValueError:
            return None

    async def _reached(self, start: TableName, key: str, goal: TableName) -> set[str]:
        """Where the links of the shortest ways lead."""
        found: set[str] = set()
        for way in self._ways(start, goal):
            at: str | None = key
            for definition, side in way:
                at = await self._other(definition, side, at) if at is not None else None
            found |= {at} if at is not None else set()
        return found

    async def _other(self, definition: Definition, side: Side, key: str) -> str | None:
        home = await linked_home(self.links, pair_name(definition, self.connectors), side, key)
        return home.key_on(side.other) if home else None

    def _ways(self, start: TableName, goal: TableName) -> Sequence[Sequence[Hop]]:
        """Every shortest way over pairs from one table to another; the empty one where they are the same."""
        ways: list[tuple[TableName, tuple[Hop, ...]]] = [(start, ())]
        for _ in range(MOST_LINKS + 1):
            if arrived := [way for table, way in ways if table == goal]:
                return arrived
            ways = [(end, (*way, hop)) for table, way in ways for end, hop in self._hops(table) if hop not in way]
        return []

    def _hops(self, table: TableName) -> Iterator[tuple[TableName, Hop]]:
        for definition in self.definitions:
            for side in Side:
                if definition.table(side) == table and definition.table(side.other).system in self.connectors:
                    yield definition.table(side.other), (definition, side)
