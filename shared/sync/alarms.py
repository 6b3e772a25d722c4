"""What of the running whole needs somebody although nothing has failed loudly: late walks, tokens about to expire,
transfers that only fail, items that lie for too long. Looking is apart from deciding.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from shared.errors import Who
from shared.sync.context import pair_name
from shared.sync.definition import Transfer
from shared.sync.pipeline import Pipeline
from shared.sync.ports import Mode, Switch, Watermark
from shared.sync.problems import Catalogued
from shared.sync.pulse import Pulse
from shared.sync.walking import Feed, feed_name, feeds
from shared.sync.windows import Window, window_name, windows

MOST_READ: Final = 1000
"""Parked and waiting items of a transfer that are read to find the oldest."""
SHORTEST_LATENESS: Final = timedelta(minutes=5)

ALARMS: Mapping[str, Catalogued] = {
    "CD-4801": Catalogued(
        "A change feed was not walked for a while, so changes without a notice are not found.",
        Who.ADMINISTRATOR,
        "Look whether the function walks runs and whether the system answers; manage.py doctor looks at both.",
    ),
    "CD-4802": Catalogued(
        "The place in a change feed is so old that the system may soon forget it; then everything is read again.",
        Who.ADMINISTRATOR,
        "Let the transfers of the pair move again, or accept a walk over the whole table.",
    ),
    "CD-4803": Catalogued(
        "Nothing of a transfer has succeeded for a while, although it was tried.",
        Who.ADMINISTRATOR,
        "Look at the systems' health and at the journal of a waiting record; manage.py doctor names most causes.",
    ),
    "CD-4804": Catalogued(
        "A record has waited for a person for a long time.",
        Who.RECORD_OWNER,
        "Go through the work list: manage.py parked says for each record what to do.",
    ),
    "CD-4805": Catalogued(
        "A change has waited for a long time for a system or for a stopped transfer.",
        Who.ADMINISTRATOR,
        "Look whether the system answers, and whether the transfer is to be stopped for so long.",
    ),
    "CD-4806": Catalogued(
        "A message has lain in its queue for a long time.",
        Who.ADMINISTRATOR,
        "Look whether the transfer's function is enabled and runs, and whether a load has just queued much.",
    ),
}


@dataclass(frozen=True, slots=True)
class Limits:
    """From when on something is told.

    intervals: of a walk; token_age: of the place in a feed that the system forgets; failing: since when a transfer has
    only failed; parked, pending, queued: how long the oldest one may wait.
    """

    intervals: int
    token_age: timedelta
    failing: timedelta
    parked: timedelta
    pending: timedelta
    queued: timedelta


@dataclass(frozen=True, slots=True)
class Alarm:
    """One thing that needs somebody. about: a transfer, or the table of a feed; since: from when it dates."""

    code: str
    about: str
    since: datetime

    @property
    def known(self) -> Catalogued:
        return ALARMS[self.code]


@dataclass(frozen=True, slots=True)
class FeedFacts:
    """A change feed as it stands. modes: of its pair's transfers. memory: how long the system remembers a place."""

    table: str
    every: timedelta | None
    mark: Watermark | None
    modes: Sequence[Mode]
    memory: timedelta | None


@dataclass(frozen=True, slots=True)
class TransferFacts:
    """A transfer as it stands: the oldest of what waits, where anything does."""

    name: str
    mode: Mode
    pulse: Pulse
    parked: datetime | None = None
    pending: datetime | None = None
    queued: datetime | None = None
    dead: int = 0


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that alarms are decided from."""

    feeds: Sequence[FeedFacts]
    transfers: Sequence[TransferFacts]


def alarms(facts: Facts, limits: Limits, now: datetime) -> list[Alarm]:
    """Everything that needs somebody now."""
    found = [alarm for feed in facts.feeds for alarm in _of_feed(feed, limits, now)]
    return found + [alarm for one in facts.transfers for alarm in _of_transfer(one, limits, now)]


def late_since(feed: FeedFacts, limits: Limits, now: datetime) -> datetime | None:
    """Since when a walk is overdue beyond the limit; None while it is not. It cannot be before it was switched on, and
    a walk that was asked to go back is due at once."""
    on = [mode.since for mode in feed.modes if mode.switch is Switch.ON and mode.since]
    if feed.every is None or not on or (feed.mark is not None and feed.mark.done_at is None):
        return None
    last = max(filter(None, (min(on), feed.mark.done_at if feed.mark else None)))
    allowed = max(feed.every * limits.intervals, SHORTEST_LATENESS)
    return last if now - last > allowed else None


def _of_feed(feed: FeedFacts, limits: Limits, now: datetime) -> Iterator[Alarm]:
    since = late_since(feed, limits, now)
    if since is not None:
        yield Alarm("CD-4801", feed.table, since)
    held = any(mode.switch is not Switch.OFF for mode in feed.modes)
    taken_at = feed.mark.done_at if feed.mark and feed.mark.value else None
    if held and feed.memory is not None and taken_at and now - taken_at > min(limits.token_age, feed.memory):
        yield Alarm("CD-4802", feed.table, taken_at)


def _of_transfer(one: TransferFacts, limits: Limits, now: datetime) -> Iterator[Alarm]:
    failing = one.pulse.only_fails_since if one.mode.switch is Switch.ON else None
    for code, since, limit in (
        ("CD-4803", failing, limits.failing),
        ("CD-4804", one.parked, limits.parked),
        ("CD-4805", one.pending, limits.pending),
        ("CD-4806", one.queued, limits.queued),
    ):
        if since is not None and now - since > limit:
            yield Alarm(code, one.name, since)


@dataclass(frozen=True)
class Watch:
    """Reads the facts."""

    pipeline: Pipeline

    async def facts(self) -> Facts:
        """How feeds and transfers stand. Raises StoreUnavailable and QueueUnavailable."""
        modes = await self._modes()
        return Facts(await self._feeds(modes), await self._transfers(modes))

    async def feeds(self) -> Sequence[FeedFacts]:
        """How the feeds stand. Raises StoreUnavailable."""
        return await self._feeds(await self._modes())

    async def transfers(self) -> Sequence[TransferFacts]:
        """How the transfers stand. Raises StoreUnavailable and QueueUnavailable."""
        return await self._transfers(await self._modes())

    async def _feeds(self, modes: Mapping[str, Mode]) -> Sequence[FeedFacts]:
        looked = [await self._feed(feed, modes) for feed in feeds(self.pipeline.index)]
        return looked + [await self._window(window, modes) for window in windows(self.pipeline.index)]

    async def _transfers(self, modes: Mapping[str, Mode]) -> Sequence[TransferFacts]:
        return [await self._transfer(one, modes) for _, one in self.pipeline.index.transfers()]

    async def _modes(self) -> Mapping[str, Mode]:
        """The switches as they work: in mode none every one is off."""
        get, modes = self.pipeline.ports.stores.modes.get, dict[str, Mode]()
        for definition, transfer in self.pipeline.index.transfers():
            mode = await get(transfer.name)
            none = await self.pipeline.site_modes.is_none(definition)
            modes[transfer.name] = replace(mode, switch=Switch.OFF) if none else mode
        return modes

    async def _feed(self, feed: Feed, modes: Mapping[str, Mode]) -> FeedFacts:
        ports = self.pipeline.ports
        connector = ports.connectors[feed.system]
        mark = await ports.stores.watermarks.get(feed_name(feed, pair_name(feed.definition, ports.connectors)))
        return FeedFacts(
            table=f"{feed.system} {feed.table}",
            every=feed.every,
            mark=mark,
            modes=[modes[one.name] for one in feed.definition.transfers],
            memory=connector.capabilities(feed.table).feed_memory,
        )

    async def _window(self, window: Window, modes: Mapping[str, Mode]) -> FeedFacts:
        ports, source = self.pipeline.ports, window.definition.table(window.transfer.source)
        name = window_name(pair_name(window.definition, ports.connectors))
        return FeedFacts(
            table=f"{source.system} {source.table}",
            every=window.every,
            mark=await ports.stores.watermarks.get(name),
            modes=[modes[window.transfer.name]],
            memory=None,
        )

    async def _transfer(self, transfer: Transfer, modes: Mapping[str, Mode]) -> TransferFacts:
        ports, name = self.pipeline.ports, transfer.name
        parked = await ports.stores.parked.page(name, None, MOST_READ)
        pending = await ports.stores.pending.page(name, None, MOST_READ)
        lies = await ports.queue.look(name)
        return TransferFacts(
            name=name,
            mode=modes[name],
            pulse=await self.pipeline.pulses.of(name),
            parked=min((one.first_at for one in parked), default=None),
            pending=min((one.since for one in pending), default=None),
            queued=lies.oldest_at,
            dead=lies.dead,
        )
