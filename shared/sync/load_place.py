"""How far a load is in its source, kept in the store so that the next one goes on there.

The kept place lies behind pages whose every record has its outcome; what is still under way, or comes again later,
holds it back. Of the pages behind a held one only those are remembered that have such a record, and the ends of the
stretches in between. A place of another environment or of a changed definition counts for nothing.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import islice

from shared.sync.context import Prepared
from shared.sync.ports import Reports


@dataclass(frozen=True, slots=True)
class Begun:
    """Where an earlier load stopped, and how many records it had gone over. None: there is none to go on with."""

    place: str | None = None
    seen: int = 0


@dataclass
class _Page:
    """A page in hand. place: behind it; seen: records up to its end; open: those without an outcome."""

    place: str | None
    seen: int
    open: frozenset[str]


@dataclass
class LoadPlace:
    """The place of one transfer's load."""

    reports: Reports
    prepared: Prepared
    _pages: deque[_Page] = field(default_factory=deque)

    async def begun(self) -> Begun:
        """Where to go on."""
        kept = json.loads(await self.reports.get(self._name) or "{}")
        if kept.get("about") != self._about:
            return Begun()
        return Begun(kept["place"], kept["seen"])

    async def came(self, place: str | None, seen: int, unfinished: Collection[str]) -> None:
        """A page came, with records that are to be transferred."""
        self._pages.append(_Page(place, seen, frozenset(unfinished)))
        await self._advance()

    async def settled(self, keys: Collection[str]) -> None:
        """Records have their outcome."""
        done = frozenset(keys)
        for page in self._pages:
            page.open -= done
        await self._advance()

    async def forget(self) -> None:
        """Begin at the beginning next time."""
        self._pages.clear()
        await self._keep(Begun())

    async def _advance(self) -> None:
        self._join()
        if self._pages and not self._pages[0].open:
            done = self._pages.popleft()
            if done.place is not None:
                await self._keep(Begun(done.place, done.seen))

    def _join(self) -> None:
        """Of pages one behind another that are all through, remember the last."""
        behind = [*islice(self._pages, 1, None), None]
        through = zip(self._pages, behind, strict=True)
        self._pages = deque(one for one, after in through if one.open or after is None or after.open)

    async def _keep(self, begun: Begun) -> None:
        kept = {"about": self._about, "place": begun.place, "seen": begun.seen}
        await self.reports.put(self._name, json.dumps(kept))

    @property
    def _name(self) -> str:
        return f"load|{self.prepared.transfer.name}"

    @property
    def _about(self) -> str:
        text = f"{self.prepared.pair}\0{self.prepared.definition.model_dump_json()}"
        return blake2b(text.encode(), digest_size=16).hexdigest()
