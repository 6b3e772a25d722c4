"""Writes an evaluation into its opportunity so that the newest one stands there, whoever is at it at the same time.

Look at our row, read the opportunity, reserve in the row, write by the version that was read, confirm. The row is
changed only as it was looked at, and taken over only by a newer evaluation. So whoever holds an older reservation has
read the opportunity before the newer one was made: either its write comes first, and the newer one's meets another
version and starts over; or the newer one's comes first, and the older one meets another version, starts over and finds
itself overtaken.

A write that would change nothing is left out, except where a reservation was overtaken that nobody ever confirmed: its
write may still be under way with the very version that we have read, and only a write of ours makes it miss. That the
row is looked at before the read matters here: nobody can have written between the two without having changed the row.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from shared.errors import (
    CrossdockError,
    NotAllowed,
    RecordMissing,
    Refused,
    SettingsError,
    StoreUnavailable,
    SystemDown,
    UnknownColumn,
    VersionConflict,
)
from shared.routes import RequestError
from shared.sales_cockpit.errors import (
    EvaluationRefused,
    MayNotChange,
    NotVisible,
    OpportunityClosed,
    OutOfRange,
)
from shared.sales_cockpit.messages import QUEUE
from shared.sales_cockpit.ports import Crm, Evaluation, EvaluationRow, EvaluationRows, Opportunity, Stage, State
from shared.sales_cockpit.rating import COLUMN_SETTING, RESULTS_SETTING, Rated, Rating, differing
from shared.sales_cockpit.telling import Cause, Ending, Telling, Told
from shared.strict_json import Json
from shared.sync.ports import Clock, RowTaken
from shared.users import User

log = logging.getLogger(__name__)

ROUNDS: Final = 8
"""How often a try starts over because somebody else was faster, or because Dynamics does not answer."""
FIRST_PAUSE_SECONDS: Final = 0.5
LEAST_SECONDS: Final = 0.5
"""What a call needs at least; with less left none is begun."""
FINAL: Final = (OutOfRange, NotVisible, OpportunityClosed, MayNotChange, EvaluationRefused)
"""The same evaluation would be refused again, whenever it comes."""


@dataclass(frozen=True, slots=True)
class Done:
    """How it ended. etag: of the opportunity, where the evaluation stands in it."""

    ending: Ending
    etag: str = ""


@dataclass(frozen=True)
class WritingBack:
    """Writes evaluations as their users. instance: system and instance of the opportunities, for our rows."""

    crm: Crm
    instance: str
    rows: EvaluationRows
    rating: Callable[[], Awaitable[Rating]]
    telling: Telling
    clock: Clock

    async def write(self, user: User, evaluation: Evaluation, cause: Cause, within_seconds: float) -> Done:
        """Write one, and journal how it ended.

        Raises one of FINAL when it can never be written as it is, else what may go better later: the errors of
        connectors and of the store, SettingsError, and what the sign-in needs.
        """
        told = self.telling.of(evaluation.key, evaluation.opportunity, cause)
        try:
            return await _Try(self, user, evaluation, told, self.clock.monotonic() + within_seconds).run()
        except CrossdockError as error:
            field = error.field if isinstance(error, RequestError) else ""
            await told.failed(error, waits=not isinstance(error, FINAL), field=field)
            raise


@dataclass(frozen=True)
class _Try:
    """One evaluation on its way into the opportunity."""

    of: WritingBack
    user: User
    evaluation: Evaluation
    told: Told
    deadline: float

    async def run(self) -> Done:
        """Rounds until one comes to its end or the time is up."""
        pause = FIRST_PAUSE_SECONDS
        for _ in range(ROUNDS):
            with suppress(VersionConflict, RowTaken):
                try:
                    return await self._round()
                except SystemDown:
                    if self._left() - pause < LEAST_SECONDS:
                        raise
                await self.of.clock.sleep(pause)
                pause *= 2
        raise VersionConflict(self.of.crm.system)

    async def _round(self) -> Done:
        """Raises RowTaken and VersionConflict when somebody else was faster."""
        rated = await self._rated()
        row = await self.of.rows.get(self.of.instance, self.evaluation.opportunity)
        opportunity = await self._read(rated)
        if row is not None and row.stage is Stage.CONFIRMED and order(row) == order(self.evaluation):
            return await self._end(Ending.BEFORE, rated, opportunity.etag)
        if opportunity.state is not State.OPEN:
            raise OpportunityClosed
        if row is not None and order(row) > order(self.evaluation):
            return await self._end(Ending.OLDER, rated)
        return await self._apply(rated, opportunity, row)

    async def _apply(self, rated: Rated, opportunity: Opportunity, row: EvaluationRow | None) -> Done:
        wanted = self._row(row)
        values = differing(rated.values, opportunity.values)
        if not values and not wanted.overtook:
            await self.of.rows.put(_confirmed(wanted))
            return await self._end(Ending.EQUAL, rated, opportunity.etag)
        reserved = await self.of.rows.put(wanted)
        etag = await self._write(opportunity, rated, values or rated.values)
        done = await self._end(Ending.WRITTEN, rated, etag, values or rated.values)
        await self._confirm(reserved)
        return done

    def _row(self, row: EvaluationRow | None) -> EvaluationRow:
        """The row as this evaluation's reservation."""
        one = self.evaluation
        if row is None:
            return EvaluationRow(self.of.instance, one.opportunity, one.key, one.at, Stage.RESERVED)
        if row.stage is Stage.RESERVED and order(row) == order(one):
            return row
        overtook = row.stage is Stage.RESERVED
        return dataclasses.replace(row, evaluation=one.key, at=one.at, stage=Stage.RESERVED, overtook=overtook)

    async def _confirm(self, reserved: EvaluationRow) -> None:
        """Remember that it is written. Where that fails whoever comes next finds it written, or is newer."""
        try:
            await self.of.rows.put(_confirmed(reserved))
        except (RowTaken, StoreUnavailable) as error:
            facts = {"action": QUEUE, "evaluation": self.evaluation.key, "why": type(error).__name__}
            log.info("an evaluation was written and not confirmed", extra=facts)

    async def _end(
        self, ending: Ending, rated: Rated, etag: str = "", written: Mapping[str, Json] | None = None
    ) -> Done:
        self.of.telling.left_out(rated.ignored)
        wrote = {column: place for column, place in rated.places.items() if column in (written or {})}
        kept = {column: place for column, place in rated.places.items() if column not in wrote}
        await self.told.ended(ending, wrote, kept)
        return Done(ending, etag)

    # --- calls, each within what is left of the time

    async def _rated(self) -> Rated:
        try:
            async with asyncio.timeout(self._seconds()):
                rating = await self.of.rating()
        except TimeoutError:
            raise SystemDown(self.of.crm.system) from None
        return rating.rate(self.evaluation)

    async def _read(self, rated: Rated) -> Opportunity:
        key, columns = self.evaluation.opportunity, list(rated.values)
        try:
            return await self.of.crm.read(self.user, key, columns, self._seconds())
        except UnknownColumn as error:
            raise _unknown(error) from None

    async def _write(self, opportunity: Opportunity, rated: Rated, values: Mapping[str, Json]) -> str:
        try:
            return await self.of.crm.write(self.user, opportunity.key, opportunity.etag, values, self._seconds())
        except UnknownColumn as error:
            raise _unknown(error) from None
        except RecordMissing:
            raise NotVisible from None
        except NotAllowed as error:
            raise MayNotChange(error.answer.vendor_code, rated.places.get(error.answer.field, "")) from None
        except Refused as error:
            raise EvaluationRefused(error.answer.vendor_code, rated.places.get(error.answer.field, "")) from None

    def _left(self) -> float:
        return self.deadline - self.of.clock.monotonic()

    def _seconds(self) -> float:
        """What is left for a call; raises SystemDown when it is too little to begin one."""
        if self._left() < LEAST_SECONDS:
            raise SystemDown(self.of.crm.system)
        return self._left()


def order(one: EvaluationRow | Evaluation) -> tuple[datetime, str]:
    """What comes later is newer; of two of the same moment always the same one."""
    return one.at, one.evaluation if isinstance(one, EvaluationRow) else one.key


def _confirmed(row: EvaluationRow) -> EvaluationRow:
    return dataclasses.replace(row, stage=Stage.CONFIRMED, overtook=False)


def _unknown(error: UnknownColumn) -> SettingsError:
    named = error.answer.field or "one of the columns"
    return SettingsError(f"{COLUMN_SETTING}, {RESULTS_SETTING}: {named} is no column of the opportunity any more.")
