"""How the feeds stand: what health shows of the ways in which we hear of changes."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from shared.engine import Engine
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
