"""The nightly look at both systems' metadata: what of it no longer fits the definitions, and what has changed since
the last look, before a record fails."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from shared.sync.checking import check
from shared.sync.findings import Finding, Severity
from shared.sync.pipeline import Pipeline
from shared.sync.schema_changes import TableFacts, changes, facts_of, named_columns
from shared.sync.surveying import Place, Survey, survey

log = logging.getLogger(__name__)

REPORT: Final = "schema"
SHOWN_FOR: Final = timedelta(days=30)
"""How long a change stays in the report."""
_LEVELS: Final = {Severity.WRONG: logging.ERROR, Severity.WARNING: logging.WARNING, Severity.NOTE: logging.INFO}


@dataclass(frozen=True)
class SchemaWatch:
    """Looks, compares, remembers and tells."""

    pipeline: Pipeline

    async def look(self) -> dict[str, Any]:
        """Look now; answers the report. Raises ConnectorError when a system does not answer: then nothing is
        remembered, and the next look compares with the last whole one."""
        ports, index = self.pipeline.ports, self.pipeline.index
        found = await survey(ports.connectors, index)
        last, now = await self._last(), ports.clock.now()
        facts = facts_of(index, found)
        changed = self._changed(last.get("tables", {}), facts, found)
        findings = check(index, found)
        report = {
            "at": now.isoformat(),
            "findings": [asdict(one) for one in findings],
            "changes": [*(asdict(one) | {"at": now.isoformat()} for one in changed), *_recent(last, now)],
            "tables": {self._name(place): one for place, one in facts.items()},
        }
        await ports.stores.reports.put(REPORT, json.dumps(report))
        _tell(findings, changed)
        return report

    async def report(self) -> dict[str, Any] | None:
        """The report of the last look, without what only the next one needs; None before the first."""
        last = await self._last()
        return {name: last[name] for name in ("at", "findings", "changes")} if last else None

    async def _last(self) -> dict[str, Any]:
        text = await self.pipeline.ports.stores.reports.get(REPORT)
        last: dict[str, Any] = json.loads(text) if text else {}
        return last

    def _changed(
        self, before: Mapping[str, TableFacts], facts: Mapping[Place, TableFacts], found: Survey
    ) -> list[Finding]:
        where = named_columns(self.pipeline.index, found)
        return [
            one
            for place, now in facts.items()
            for one in changes(place, before.get(self._name(place), {}), now, where[place])
        ]

    def _name(self, place: Place) -> str:
        """A table of one instance: another environment's metadata is nothing to compare with."""
        connector = self.pipeline.ports.connectors[place[0]]
        return f"{place[0]}/{connector.instance}/{place[1]}"


def _recent(last: dict[str, Any], now: datetime) -> list[dict[str, Any]]:
    return [one for one in last.get("changes", ()) if now - datetime.fromisoformat(one["at"]) < SHOWN_FOR]


def _tell(findings: Sequence[Finding], changed: Sequence[Finding]) -> None:
    for one in [*findings, *changed]:
        log.log(_LEVELS[one.severity], str(one), extra={"action": "schema_drift", "code": one.code})
    wrong = sum(one.severity is Severity.WRONG for one in findings)
    log.info("looked at the metadata", extra={"action": "schema_drift", "wrong": wrong, "changes": len(changed)})
