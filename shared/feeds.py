"""How feeds and transfers stand: what health shows of how we hear of changes, and what of it needs somebody."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from shared.engine import Engine
from shared.settings import Alarms, Settings
from shared.sync.alarms import Alarm, Facts, Limits, alarms, late_since
from shared.sync.ports import SubscriptionRow

Json = dict[str, Any]


async def subscriptions_health(engine: Engine) -> list[Json]:
    """Every table that a system is to tell us of, until when it will, and what stands in the way."""
    now = engine.pipeline.ports.clock.now()
    return [_subscription(row, now) for row in await engine.stores.subscriptions.all()]


def _subscription(row: SubscriptionRow, now: datetime) -> Json:
    lives = row.expires_at is not None and row.expires_at > now
    return {
        "system": row.system,
        "instance": row.instance,
        "table": row.table,
        "lives": lives,
        "made_at": row.made_at.isoformat() if row.made_at else None,
        "expires_at": row.expires_at.isoformat() if row.expires_at else None,
        "looked_at": row.looked_at.isoformat() if row.looked_at else None,
        "code": row.code,
        "bad": bool(row.code) or (row.expires_at is not None and not lives),
    }


def limits_of(settings: Settings) -> Limits:
    """From when on something is told, as the settings say; raises SettingsError."""
    wanted = settings.get(Alarms)
    return Limits(
        intervals=wanted.walk_intervals,
        token_age=timedelta(days=wanted.token_days),
        failing=timedelta(hours=wanted.failing_hours),
        parked=timedelta(days=wanted.parked_days),
        pending=timedelta(hours=wanted.pending_hours),
        queued=timedelta(minutes=wanted.queue_minutes),
    )


async def watched_health(engine: Engine, settings: Settings) -> Json:
    """Every feed with its last walk, every transfer with its last success, and the alarms."""
    facts, limits = await engine.watch.facts(), limits_of(settings)
    now = engine.pipeline.ports.clock.now()
    return {
        "feeds": _feeds(facts, limits, now),
        "transfers": _transfers(facts),
        "alarms": [_alarm(one) for one in alarms(facts, limits, now)],
    }


def _feeds(facts: Facts, limits: Limits, now: datetime) -> list[Json]:
    return [
        {
            "table": one.table,
            "every_seconds": int(one.every.total_seconds()) if one.every else None,
            "walked_at": _time(one.mark.done_at if one.mark else None),
            "late": late_since(one, limits, now) is not None,
        }
        for one in facts.feeds
    ]


def _transfers(facts: Facts) -> list[Json]:
    return [
        {
            "transfer": one.name,
            "switch": one.mode.switch.value,
            "last_success": _time(one.pulse.success_at),
            "failing_since": _time(one.pulse.only_fails_since),
            "oldest_parked": _time(one.parked),
            "oldest_pending": _time(one.pending),
            "oldest_message": _time(one.queued),
            "dead_letters": one.dead,
        }
        for one in facts.transfers
    ]


def _alarm(one: Alarm) -> Json:
    known = one.known
    told = {"sentence": known.sentence, "who": known.who.value, "remedy": known.remedy}
    return {"code": one.code, "about": one.about, "since": one.since.isoformat(), **told}


def _time(at: datetime | None) -> str | None:
    return at.isoformat() if at else None
