"""What a run works with: the ports of the process, and what is prepared once per transfer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol

from shared.sync.definition import Definition, FieldRule, TableName, Transfer
from shared.sync.fingerprint import Fingerprints
from shared.sync.ports import (
    Breakers,
    Capabilities,
    Clock,
    CompareRows,
    Connector,
    Counters,
    Environments,
    Ids,
    Journal,
    Links,
    MatchClaims,
    Modes,
    NeverMatches,
    Numbers,
    ParkedItems,
    PendingItems,
    Queue,
    Reports,
    Side,
    SiteModes,
    SubscriptionRows,
    Watermarks,
)


class StoreSet(Protocol):
    """All stores; `shared.stores` opens them over SQLite or Azure Tables."""

    @property
    def links(self) -> Links: ...
    @property
    def match_claims(self) -> MatchClaims: ...
    @property
    def never_match(self) -> NeverMatches: ...
    @property
    def numbers(self) -> Numbers: ...
    @property
    def journal(self) -> Journal: ...
    @property
    def parked(self) -> ParkedItems: ...
    @property
    def pending(self) -> PendingItems: ...
    @property
    def watermarks(self) -> Watermarks: ...
    @property
    def modes(self) -> Modes: ...
    @property
    def site_modes(self) -> SiteModes: ...
    @property
    def breakers(self) -> Breakers: ...
    @property
    def counters(self) -> Counters: ...
    @property
    def subscriptions(self) -> SubscriptionRows: ...
    @property
    def reports(self) -> Reports: ...
    @property
    def environments(self) -> Environments: ...
    @property
    def compares(self) -> CompareRows: ...


class MatchIndex(Protocol):
    """Which records of a table hold which match keys; made for one pass over a table, kept outside of memory."""

    def add(self, rule: str, value: str, key: str) -> None: ...

    def find(self, rule: str, value: str) -> Sequence[str]: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Timing:
    """The engine's times. The lease outlasts a run's budget and a create's deadline; a create is sent only within
    the lease.

    compare_ahead: how many of its messages a full compare leaves unhandled before it waits, `compare_pause` at a time;
    after `compare_stalls` without any being handled it goes on.
    """

    lease: timedelta = timedelta(seconds=180)
    create_deadline: timedelta = timedelta(seconds=90)
    budget: timedelta = timedelta(seconds=60)
    switch_age: timedelta = timedelta(seconds=5)
    breaker_age: timedelta = timedelta(seconds=2)
    probe_every: timedelta = timedelta(seconds=30)
    drain_again: timedelta = timedelta(minutes=5)
    link_settles: timedelta = timedelta(seconds=3)
    environment_age: timedelta = timedelta(minutes=15)
    wrong_environment_age: timedelta = timedelta(seconds=30)
    profile_age: timedelta = timedelta(seconds=1)
    walk_budget: timedelta = timedelta(minutes=4)
    compare_pause: timedelta = timedelta(seconds=5)
    compare_stalls: timedelta = timedelta(minutes=10)
    compare_ahead: int = 4
    failures_to_open: int = 5
    at_once: int = 4


@dataclass(frozen=True)
class Ports:
    """Everything outside, as one process sees it. moded: systems whose exchange has a mode that people choose."""

    connectors: Mapping[str, Connector]
    stores: StoreSet
    queue: Queue
    clock: Clock
    ids: Ids
    prints: Fingerprints
    timing: Timing = field(default_factory=Timing)
    moded: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Prepared:
    """One transfer, ready to run: its connectors, columns and lengths.

    definition: without the rules that were left out because a system lacks their columns, which `left_out` names.
    match_index: the target's match keys, where a load has noted them all; searches_too: what is not found there is
    also searched in the target, because others may create partners at the same time. shared: the target's table, where
    other pairs create partners in it, too; else empty.
    """

    definition: Definition
    transfer: Transfer
    pair: str
    source: Connector
    target: Connector
    source_columns: Sequence[str]
    target_columns: Sequence[str]
    lengths: Mapping[str, int | None]
    capabilities: Capabilities
    left_out: Sequence[str] = ()
    match_index: MatchIndex | None = None
    searches_too: bool = True
    shared: str = ""

    @property
    def side(self) -> Side:
        return self.transfer.source

    @property
    def rules(self) -> Sequence[FieldRule]:
        return self.definition.fields

    @property
    def source_table(self) -> str:
        return self.definition.table(self.side).table

    @property
    def target_table(self) -> str:
        return self.definition.table(self.side.other).table

    def connector(self, side: Side) -> Connector:
        return self.source if side is self.side else self.target

    def columns(self, side: Side) -> Sequence[str]:
        return self.source_columns if side is self.side else self.target_columns


def pair_name(definition: Definition, connectors: Mapping[str, Connector]) -> str:
    """The pair's canonical name: system, instance and table of both sides. It is part of every link key."""
    return "~".join(table_name(definition.table(side), connectors) for side in Side)


def table_name(table: TableName, connectors: Mapping[str, Connector]) -> str:
    """A table's canonical name: system, instance and table."""
    return f"{table.system}/{connectors[table.system].instance}/{table.table}"
