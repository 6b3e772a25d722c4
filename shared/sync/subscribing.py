"""Keeps the subscriptions alive through which systems tell us of changes: made, renewed, made again when they are gone.

What is to be done is a pure plan from what is wanted and what there is; it is carried out until nothing is left to do
or the tries are used up, and looked at again by the clock. Whatever was missed while there was no subscription, a walk
catches up on: it follows every subscription that was not there at the last look, and only its end is written down, so
that no crash can forget it. Subscriptions that lead to somebody else's address are never touched.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from shared.errors import ConnectorError, CrossdockError, SettingsError, SystemDown
from shared.sync.definition import Index
from shared.sync.pipeline import Pipeline
from shared.sync.ports import Connector, Side, Subscribing, Subscription, SubscriptionRow
from shared.sync.walking import Walks

log = logging.getLogger(__name__)

PAUSES_SECONDS = (5.0, 20.0)
"""Before the second and the third try. The handshake of the first may have found our app asleep: it has five seconds,
and a cold start takes longer."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a system is to send its notices. root: what all addresses of ours there begin with, whatever secret they
    hold; address: of one table; state: what its notices are to show. own: what stands before the table in the last part
    of the addresses, where several systems share a root."""

    root: str
    addresses: Mapping[str, str] = field(repr=False)
    state: str = field(repr=False)
    own: str = ""

    def is_ours(self, subscription: Subscription) -> bool:
        own, _, _ = subscription.address.rpartition("/")[2].rpartition(".")
        return subscription.address.startswith(self.root) and own == self.own

    def fits(self, subscription: Subscription) -> bool:
        """Whether it leads where it should and shows what it should, with the secrets of today."""
        wanted = (self.addresses.get(subscription.table), self.state)
        return (subscription.address, subscription.state) == wanted


class Act(StrEnum):
    """What to do about a subscription."""

    KEEP = "kept"
    MAKE = "made"
    RENEW = "renewed"
    END = "ended"


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do. present: the subscription it is done to; None for one to be made."""

    act: Act
    table: str
    present: Subscription | None = None


def plan(place: Place, present: Sequence[Subscription], now: datetime, life: timedelta) -> list[Step]:
    """What to do so that every table of the place has one living subscription, and nothing else of ours is left.

    Renewed is what has lived half of its life, or leads to an address or shows a state of yesterday.
    """
    ours = sorted(
        (one for one in present if place.is_ours(one)), key=lambda one: (place.fits(one), one.expires_at), reverse=True
    )
    best = {one.table: one for one in reversed(ours) if one.table in place.addresses and one.expires_at > now}
    surplus = [Step(Act.END, one.table, one) for one in ours if one is not best.get(one.table)]
    return [*surplus, *(_step(place, table, best.get(table), now + life / 2) for table in place.addresses)]


def _step(place: Place, table: str, one: Subscription | None, soon: datetime) -> Step:
    if one is None:
        return Step(Act.MAKE, table)
    return Step(Act.KEEP if place.fits(one) and one.expires_at > soon else Act.RENEW, table, one)


@dataclass(frozen=True, slots=True)
class Subscribed:
    """How it stands with one table of a system after a look. did: what was done, or why nothing could be."""

    system: str
    table: str
    did: str
    expires_at: datetime | None = None
    code: str = ""
    sentence: str = ""
    remedy: str = ""


def tables_of(index: Index, system: str) -> list[str]:
    """The tables of a system whose changes concern a transfer: those of the pairs, and related ones."""
    found: list[str] = []
    for definition in index.linking:
        for side in Side:
            if definition.table(side).system == system:
                found.append(definition.table(side).table)
                found += [table for one in definition.transfers if one.source is side for table in one.also_on]
    return list(dict.fromkeys(found))


CANNOT_NOTIFY = "cannot be subscribed to, walks find its changes"
NOT_SEEN = "not looked at"


@dataclass(frozen=True)
class Subscriptions:
    """The subscriptions of all systems that have any."""

    pipeline: Pipeline
    walks: Walks

    def subscribers(self) -> Iterator[tuple[Connector, Subscribing]]:
        """The connectors whose systems can be subscribed to."""
        for connector in self.pipeline.ports.connectors.values():
            if isinstance(connector, Subscribing):
                yield connector, connector

    async def keep(self, connector: Connector, subscriber: Subscribing, place: Place) -> list[Subscribed]:
        """Make, renew and end what is needed in one system; `place` names all tables that concern us."""
        tables = list(place.addresses)
        try:
            if await self.pipeline.panel.is_open(connector):
                raise SystemDown(connector.system)
            await self.pipeline.environments.require([connector.system])
            able = await subscriber.notifying(tables)
        except (ConnectorError, SettingsError) as error:
            return [await self._noted(connector, _unseen(connector.system, table, error)) for table in tables]
        await self._forget_others(connector, tables)
        mute = [Subscribed(connector.system, table, CANNOT_NOTIFY) for table in tables if table not in able]
        wanted = replace(place, addresses={table: place.addresses[table] for table in tables if table in able})
        work = _Work(self.pipeline, connector, subscriber, wanted)
        ended = await work.rounds()
        told = [*work.told.values(), *mute]
        return [*[await self._noted(connector, one, work.living.get(one.table)) for one in told], *ended]

    async def _noted(self, connector: Connector, told: Subscribed, living: Subscription | None = None) -> Subscribed:
        """Catch up where the subscription is another one than at the last look, then write down how it stands."""
        rows, now = self.pipeline.ports.stores.subscriptions, self.pipeline.ports.clock.now()
        place = connector.system, connector.instance, told.table
        row = replace(await rows.get(*place) or SubscriptionRow(*place), looked_at=now, code=told.code)
        if living is not None:
            row = await self._followed(row, living)
        elif told.did != NOT_SEEN:
            row = replace(row, id="", made_at=None, expires_at=None)
        await rows.put(row)
        return told

    async def _followed(self, row: SubscriptionRow, living: Subscription) -> SubscriptionRow:
        """The row of a living subscription; its id stands for a catch-up walk that came to its end."""
        now = self.pipeline.ports.clock.now()
        if living.id == row.id:
            return replace(row, expires_at=living.expires_at)
        walked = await self.walks.now(row.system, row.table)
        caught_up = not any(one.code or one.unfinished for one in walked)
        return replace(row, id=living.id if caught_up else "", made_at=now, expires_at=living.expires_at)

    async def _forget_others(self, connector: Connector, tables: Collection[str]) -> None:
        """Rows of tables that no definition names any more."""
        rows = self.pipeline.ports.stores.subscriptions
        for row in await rows.all():
            if (row.system, row.instance) == (connector.system, connector.instance) and row.table not in tables:
                await rows.remove(row)


@dataclass
class _Work:
    """The tries to make the subscriptions of one system what they should be."""

    pipeline: Pipeline
    connector: Connector
    subscriber: Subscribing
    place: Place
    living: dict[str, Subscription] = field(default_factory=dict)
    told: dict[str, Subscribed] = field(default_factory=dict)

    async def rounds(self) -> list[Subscribed]:
        """Look, plan and act; again after a pause while something failed. Answers what was ended."""
        ended: list[Subscribed] = []
        for pause in (*PAUSES_SECONDS, None):
            ended += await self._round()
            if pause is None or not any(one.code for one in self.told.values()):
                break
            await self.pipeline.ports.clock.sleep(pause)
        return ended

    async def _round(self) -> list[Subscribed]:
        now = self.pipeline.ports.clock.now()
        try:
            steps = plan(self.place, await self.subscriber.subscriptions(), now, self.subscriber.subscription_life)
        except (ConnectorError, SettingsError) as error:
            system = self.connector.system
            self.told |= {table: _unseen(system, table, error) for table in self.place.addresses}
            return []
        done = [await self._done(step) for step in steps]
        return [one for one in done if one.did == Act.END]

    async def _done(self, step: Step) -> Subscribed:
        """Do one step; what failed leaves the subscription that there is as it is."""
        system = self.connector.system
        try:
            living = await self._act(step)
        except (ConnectorError, SettingsError) as error:
            told = _failed(system, step.table, error)
            log.warning("subscription failed", extra={"system": system, "table": step.table, "code": error.code})
            if step.act is Act.RENEW and step.present is not None:
                self.living[step.table] = step.present
                told = replace(told, expires_at=step.present.expires_at)
        else:
            told = Subscribed(system, step.table, step.act.value, living.expires_at if living else None)
            if living is not None:
                self.living[step.table] = living
        if step.act is not Act.END:
            self.told[step.table] = _first(self.told.get(step.table), told)
        return told

    async def _act(self, step: Step) -> Subscription | None:
        address = self.place.addresses.get(step.table, "")
        match step.act, step.present:
            case Act.MAKE, None:
                return await self.subscriber.subscribe(step.table, address, self.place.state)
            case Act.RENEW, Subscription() as present:
                return await self.subscriber.renew(present, address, self.place.state)
            case Act.END, Subscription() as present:
                await self.subscriber.unsubscribe(present)
                return None
        return step.present


def _first(before: Subscribed | None, now: Subscribed) -> Subscribed:
    """What was done stays told when a later look only finds it done."""
    if before is None or before.code or now.did != Act.KEEP:
        return now
    return replace(now, did=before.did)


def _failed(system: str, table: str, error: CrossdockError) -> Subscribed:
    return Subscribed(system, table, "failed", None, error.code, error.sentence, error.remedy)


def _unseen(system: str, table: str, error: CrossdockError) -> Subscribed:
    return replace(_failed(system, table, error), did=NOT_SEEN)
