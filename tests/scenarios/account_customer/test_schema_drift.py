"""The nightly look at both systems' metadata: what no longer fits is told before a record fails."""

from __future__ import annotations

import logging

import pytest

from sandbox.faults import FaultKind, FaultRule
from shared.errors import SystemDown
from shared.operations import Operations, health
from shared.routes import Unknown
from tests.scenarios.account_customer.world import CRM_CLIENT, RealWorld, virtually

HOUR = 3600


@virtually
async def test_a_column_that_was_secured_is_told_once_and_stays_among_the_findings() -> None:
    """In the operations, in the health answer and as a line of the log; the change is shown for 30 days."""
    async with RealWorld() as world:
        app, engine = world.apps[0], await world.apps[0].engine()
        operations = Operations(app, engine)
        with pytest.raises(Unknown):
            await operations.schema()
        first = await engine.schema_watch.look()
        assert first["changes"] == []
        assert (await health(app))["schema"] == []
        world.crm.secure_column(CRM_CLIENT, "account", "creditlimit", ["read"])
        await world.clock.sleep(HOUR)
        await engine.schema_watch.look()
        told = await operations.schema()
        assert {one["code"] for one in told["findings"]} >= {"CD-4612"}
        sentences = [one["sentence"] for one in told["changes"]]
        assert sentences == [
            "dataverse account.creditlimit was secured: our identity may not create it.",
            "dataverse account.creditlimit was secured: our identity may not update it.",
        ]
        answer = await health(app)
        assert (answer["status"], [one["code"] for one in answer["schema"]]) == ("degraded", ["CD-4612"])
        await engine.schema_watch.look()
        assert [one["sentence"] for one in (await operations.schema())["changes"]] == sentences
        await world._stop()  # nobody works in the weeks that pass now
        await world.clock.sleep(31 * 24 * HOUR)
        await engine.schema_watch.look()
        assert (await operations.schema())["changes"] == []
        assert len((await health(app))["schema"]) == 1


@virtually
async def test_each_finding_is_a_line_of_the_log_with_its_code() -> None:
    """So that an alert can be raised on it; no value of a record is in it."""
    async with RealWorld() as world:
        engine = await world.apps[0].engine()
        await world.pair_made()
        world.crm.secure_column(CRM_CLIENT, "account", "telephone1")
        lines: list[logging.LogRecord] = []
        handler = logging.Handler()
        handler.emit = lines.append  # type: ignore[assignment,method-assign] # what is written is looked at
        logging.getLogger("shared.sync.schema_watch").addHandler(handler)
        await engine.schema_watch.look()
        logging.getLogger("shared.sync.schema_watch").removeHandler(handler)
        errors = [line for line in lines if line.levelno == logging.ERROR]
        assert {getattr(line, "code", "") for line in errors} == {"CD-4612"}
        assert "0471" not in "".join(line.getMessage() for line in lines)


@virtually
async def test_a_system_that_does_not_answer_keeps_the_last_look() -> None:
    """Nothing is compared with half a look."""
    async with RealWorld() as world:
        engine = await world.apps[0].engine()
        whole = await engine.schema_watch.look()
        fault = world.erp.faults.add(FaultRule(FaultKind.UNAVAILABLE))
        with pytest.raises(SystemDown):
            await engine.schema_watch.look()
        assert (await engine.schema_watch.report() or {})["at"] == whole["at"]
        world.erp.faults.remove(fault)
        world.crm.secure_column(CRM_CLIENT, "account", "creditlimit")
        assert len((await engine.schema_watch.look())["changes"]) == 3
