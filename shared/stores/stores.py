"""All domain stores over one row store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from shared.field_service.ports import AnswerRows
from shared.sales_cockpit.ports import EvaluationRows
from shared.stores import (
    answers,
    breakers,
    compares,
    counters,
    environments,
    evaluations,
    journal,
    links,
    match_claims,
    modes,
    never_match,
    numbers,
    parked,
    pending,
    permits,
    reports,
    site_modes,
    subscriptions,
    watermarks,
)
from shared.stores.rows import RowStore
from shared.sync.ports import (
    Breakers,
    Clock,
    CompareRows,
    Counters,
    Environments,
    Journal,
    Links,
    MatchClaims,
    Modes,
    NeverMatches,
    Numbers,
    ParkedItems,
    PendingItems,
    Permits,
    Reports,
    SiteModes,
    SubscriptionRows,
    Watermarks,
)

TABLES: Final = tuple(
    store.TABLE
    for store in (
        links,
        match_claims,
        never_match,
        numbers,
        journal,
        parked,
        pending,
        watermarks,
        modes,
        site_modes,
        breakers,
        counters,
        environments,
        permits,
        subscriptions,
        reports,
        compares,
        evaluations,
        answers,
    )
)
"""The tables that the row store must be made with."""


@dataclass(frozen=True)
class Stores:
    """What the engine remembers, port by port."""

    links: Links
    match_claims: MatchClaims
    never_match: NeverMatches
    numbers: Numbers
    journal: Journal
    parked: ParkedItems
    pending: PendingItems
    watermarks: Watermarks
    modes: Modes
    site_modes: SiteModes
    breakers: Breakers
    counters: Counters
    permits: Permits
    environments: Environments
    subscriptions: SubscriptionRows
    reports: Reports
    compares: CompareRows
    evaluations: EvaluationRows
    answers: AnswerRows


def open_stores(rows: RowStore, clock: Clock) -> Stores:
    """Put the domain stores over a row store that was made with `TABLES`; preparing and closing it stays outside."""
    return Stores(
        links=links.LinksStore(rows),
        match_claims=match_claims.MatchClaimsStore(rows),
        never_match=never_match.NeverMatchStore(rows),
        numbers=numbers.NumbersStore(rows, clock),
        journal=journal.JournalStore(rows),
        parked=parked.ParkedStore(rows),
        pending=pending.PendingStore(rows),
        watermarks=watermarks.WatermarksStore(rows),
        modes=modes.ModesStore(rows),
        site_modes=site_modes.SiteModesStore(rows),
        breakers=breakers.BreakersStore(rows),
        counters=counters.CountersStore(rows, clock),
        permits=permits.PermitsStore(rows),
        environments=environments.EnvironmentsStore(rows),
        subscriptions=subscriptions.SubscriptionsStore(rows),
        reports=reports.ReportsStore(rows),
        compares=compares.ComparesStore(rows),
        evaluations=evaluations.EvaluationsStore(rows),
        answers=answers.AnswersStore(rows),
    )
