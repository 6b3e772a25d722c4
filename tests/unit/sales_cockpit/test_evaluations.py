"""Evaluations at the door, on the queue and in the look, with a CRM and a Cockpit in memory that behave."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from shared.errors import QueueUnavailable, SettingsError, StoreUnavailable, SystemDown, Throttled, UnknownResult
from shared.sales_cockpit.errors import (
    MayNotChange,
    NotSetUp,
    NotTheRater,
    NotVisible,
    OpportunityClosed,
    OutOfRange,
)
from shared.sales_cockpit.messages import QUEUE, EvaluationMessage
from shared.sales_cockpit.ports import Evaluation, EvaluationRow, Stage, State
from shared.sales_cockpit.telling import Cause
from shared.sync.message import MessageInvalid
from shared.sync.ports import Outgoing
from shared.users import User
from tests.simulation.evaluations import ANNA, BRUNO, DEAL, Effects, FakeCrm, Held, World, evaluation, world

OTHER_DEAL = "d0000000-0000-4000-8000-00000000000e"


@pytest.fixture
async def here() -> AsyncIterator[World]:
    async with world() as made:
        yield made


def body(one: Evaluation, **changes: Any) -> bytes:
    """What the Cockpit sends of it."""
    told = {
        "evaluationId": one.key,
        "projectId": one.project,
        "opportunityId": one.opportunity,
        "evaluatedAt": one.at.isoformat(),
        "evaluatedBy": one.by,
        "probability": one.probability,
        "results": dict(one.results),
    }
    return json.dumps({**told, **changes}).encode()


async def tell(here: World, one: Evaluation, user: str = "") -> tuple[Any, int]:
    """The Cockpit tells of it while its user waits."""
    if all(known != one for _, known in here.cockpit.evaluated):
        here.rated(one)
    return await here.receiving().take(User(user or one.by), body(one))


async def outcomes(here: World) -> list[tuple[str, str]]:
    """How the tries ended, the first one first."""
    return [(entry.outcome, entry.code) for entry in reversed(await here.told())]


# --- at the door


async def test_an_evaluation_stands_in_the_opportunity_when_the_answer_goes_out(here: World) -> None:
    """R-017, R-018, R-026: with two calls of Dynamics, and the further result beside it."""
    here.results = {"advice": "cdock_advice"}
    answer, status = await tell(here, evaluation(0, 66.5, advice="call again"))
    assert (answer, status) == ({"applied": True, "etag": 'W/"2"'}, 200)
    assert here.crm.wrote == [(ANNA, DEAL, {"closeprobability": 67, "cdock_advice": "call again"})]
    assert here.crm.asked == ["read", "write"]


async def test_the_same_evaluation_again_is_harmless(here: World) -> None:
    """R-026: it is answered as before and writes nothing, also after somebody has changed the probability by hand
    (R-006)."""
    await tell(here, evaluation(0))
    here.crm.edit(DEAL, closeprobability=55)
    answer, status = await tell(here, evaluation(0))
    assert (answer, status) == ({"applied": True, "etag": 'W/"3"'}, 200)
    assert here.probability() == 55
    assert here.crm.asked == ["read", "write", "read"]
    assert await outcomes(here) == [("updated", ""), ("unchanged", "")]


async def test_an_older_evaluation_is_ignored(here: World) -> None:
    """The newest counts, not the last one that arrives; of two of the same moment always the same one."""
    await tell(here, evaluation(2, 70, minutes=0))
    assert await tell(here, evaluation(1, 40, minutes=-1)) == ({"applied": False, "reason": "older"}, 200)
    assert await tell(here, evaluation(1, 45, minutes=0)) == ({"applied": False, "reason": "older"}, 200)
    assert here.probability() == 70
    assert (await outcomes(here))[1:] == [("skipped", "")] * 2
    (kept,) = (await here.told())[0].fields
    assert (kept.action, kept.reason) == ("keep", "a newer evaluation was written, or is about to be")


async def test_what_stands_there_already_is_not_written(here: World) -> None:
    """One call of Dynamics, and the evaluation counts as written."""
    assert await tell(here, evaluation(0, 10.2)) == ({"applied": True, "etag": 'W/"1"'}, 200)
    assert here.crm.asked == ["read"]
    row = await here.row()
    assert row is not None
    assert row.stage is Stage.CONFIRMED


@pytest.mark.parametrize("state", [State.WON, State.LOST])
async def test_a_closed_opportunity_takes_no_evaluation(here: World, state: State) -> None:
    """409; a repetition of what was written before it was closed is still harmless."""
    await tell(here, evaluation(0))
    here.crm.held[DEAL].state = state
    with pytest.raises(OpportunityClosed):
        await tell(here, evaluation(1))
    assert (await tell(here, evaluation(0)))[0]["applied"]
    assert here.probability() == 70
    assert await outcomes(here) == [("updated", ""), ("skipped", "CD-7003"), ("unchanged", "")]


async def test_who_may_not_see_or_change_it_writes_nothing(here: World) -> None:
    """R-022: the user's own rights decide; nothing is queued."""
    here.crm.unseen.add((ANNA, DEAL))
    here.crm.fixed.add((BRUNO, DEAL))
    with pytest.raises(NotVisible):
        await tell(here, evaluation(0, by=ANNA))
    with pytest.raises(MayNotChange) as refused:
        await tell(here, evaluation(1, by=BRUNO))
    assert (refused.value.status, here.probability()) == (403, 10)
    assert here.queue.counts(QUEUE).ready == 0
    assert await outcomes(here) == [("skipped", "CD-7001"), ("skipped", "CD-7011")]


async def test_nobody_tells_of_an_evaluation_that_somebody_else_made(here: World) -> None:
    """R-022: the write carries the name of who rated."""
    with pytest.raises(NotTheRater):
        await tell(here, evaluation(0, by=ANNA), user=BRUNO)
    assert here.crm.asked == []


async def test_a_result_that_its_column_cannot_take_is_refused_whole(here: World) -> None:
    """R-018: 422 with the result's name; the probability is not written either."""
    here.results = {"advice": "cdock_advice"}
    with pytest.raises(OutOfRange) as refused:
        await tell(here, evaluation(0, advice="much too long for its column"))
    assert refused.value.field == "results.advice"
    (entry,) = await here.told()
    assert (entry.code, entry.field, here.probability()) == ("CD-7004", "results.advice", 10)


async def test_settings_that_can_never_work_are_told_to_the_caller_and_nothing_is_queued(here: World) -> None:
    """R-028: the administrator has something to do; the look makes up for it."""
    here.column = "cdock_nothing"
    here.crm.held[DEAL].values["cdock_nothing"] = None
    with pytest.raises(SettingsError, match="PROBABILITY_COLUMN"):
        await tell(here, evaluation(0))
    assert here.queue.counts(QUEUE).ready == 0
    here.column = "closeprobability"
    assert await here.reconciling().look() == {"written": 1}


async def test_another_column_is_written_when_the_setting_says_so(here: World) -> None:
    """R-028: a choice by ranges instead of the standard column."""
    here.column, here.ranges = "cdock_light", ((0, 33, "1"), (34, 66, "2"), (67, 100, "3"))
    await tell(here, evaluation(0, 66.4))
    assert here.crm.wrote == [(ANNA, DEAL, {"cdock_light": 2})]


async def test_results_without_a_column_are_told_once_and_fill_no_log(
    here: World, caplog: pytest.LogCaptureFixture
) -> None:
    """R-018: however many new names somebody sends; what is no plain name is told nowhere."""
    caplog.set_level("INFO")
    writing = here.writing()
    for number in range(5):
        names: dict[str, Any] = {f"r{number}_{one}": 1 for one in range(50)} | {"no name: Anna": 1, "mood": 1}
        await writing.write(User(ANNA), evaluation(number, **names), Cause.TOLD, 8)
    told = [name for record in caplog.records for name in getattr(record, "results", ())]
    assert len(told) == len(set(told)) == 100
    assert "mood" in told
    assert "Anna" not in str([vars(record) for record in caplog.records])


# --- Dynamics is down


async def test_a_short_pause_of_dynamics_is_waited_for(here: World) -> None:
    """Within the time budget nothing is queued."""
    here.crm.down = [SystemDown("dataverse"), SystemDown("dataverse")]
    assert (await tell(here, evaluation(0)))[1] == 200
    assert here.probability() == 70
    assert here.clock.monotonic() < 8


@pytest.mark.parametrize(
    "error",
    [SystemDown("dataverse"), Throttled("dataverse", timedelta(minutes=5)), UnknownResult("dataverse")],
    ids=["down", "throttled", "unknown"],
)
async def test_beyond_the_budget_the_evaluation_waits_on_the_queue_without_a_value(
    here: World, error: Exception
) -> None:
    """R-003, R-022, R-024, R-025: 202; ids and times only; later it is read again and written as the same user."""
    here.crm.down = [error] * 20
    answer, status = await tell(here, evaluation(0, 83.5, by=BRUNO))
    assert (answer, status) == ({"queued": True}, 202)
    delivery = await here.queue.receive(QUEUE)
    assert delivery is not None
    told = json.loads(delivery.body)
    assert set(told) == {"v", "evaluation", "opportunity", "at", "by", "since", "attempt", "failures"}
    assert (told["evaluation"], told["opportunity"], told["by"]) == ("e-0", DEAL, BRUNO)
    assert "83" not in delivery.body
    await here.queue.abandon(delivery)
    here.crm.down = []
    await here.settle()
    assert here.crm.wrote == [(BRUNO, DEAL, {"closeprobability": 84})]


async def test_an_outage_of_hours_ends_with_the_newest_evaluation(here: World) -> None:
    """Messages are put off again and again; of two that waited the newest stands in the end."""
    here.crm.always_down = True
    for number, probability in ((0, 40), (1, 60)):
        assert (await tell(here, evaluation(number, probability)))[1] == 202
    for _ in range(20):
        await here.take_messages()
        here.clock.step_to(here.queue.next_event(), 1e6)
    here.crm.always_down = False
    await here.settle()
    assert here.probability() == 60
    assert here.clock.monotonic() > 3600


async def test_without_dynamics_and_queue_the_caller_is_told(here: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """503: nobody says that something was taken which is nowhere."""

    async def closed(queue: str, messages: object) -> None:
        raise QueueUnavailable

    here.crm.always_down = True
    monkeypatch.setattr(here.queue, "send", closed)
    with pytest.raises(QueueUnavailable):
        await tell(here, evaluation(0))


async def test_without_our_store_the_evaluation_waits_on_the_queue(
    here: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is written without a reservation."""

    async def down(crm: str, opportunity: str) -> EvaluationRow | None:
        raise StoreUnavailable

    with monkeypatch.context() as broken:
        broken.setattr(here.stores.evaluations, "get", down)
        assert (await tell(here, evaluation(0)))[1] == 202
    assert here.crm.asked == []
    await here.settle()
    assert here.probability() == 70


async def test_a_record_that_keeps_changing_ends_the_try_and_not_the_evaluation(here: World) -> None:
    """Somebody else is faster every time: it waits on the queue."""

    class Restless(FakeCrm):
        async def read(self, *args: Any, **more: Any) -> Any:
            seen = await super().read(*args, **more)
            self.edit(DEAL, name="again")
            return seen

    here.crm = Restless(held=here.crm.held)
    assert (await tell(here, evaluation(0)))[1] == 202
    here.crm = FakeCrm(held=here.crm.held)
    await here.settle()
    assert here.probability() == 70


# --- what waits


async def test_what_was_changed_in_the_cockpit_meanwhile_counts(here: World) -> None:
    """R-025: no value waits; the message only says which evaluation."""
    here.crm.always_down = True
    await tell(here, evaluation(0, 40))
    here.cockpit.evaluated = [(here.clock.now(), evaluation(0, 90))]
    here.crm.always_down = False
    await here.settle()
    assert here.probability() == 90


async def test_an_evaluation_that_the_cockpit_no_longer_has_is_given_up(here: World) -> None:
    """After a few tries, with an entry in the journal."""
    here.crm.always_down = True
    await tell(here, evaluation(0))
    here.crm.always_down, here.cockpit.evaluated = False, []
    await here.settle()
    assert here.probability() == 10
    assert (await outcomes(here))[-1] == ("skipped", "CD-7014")
    assert await here.writing().telling.refused_lately() == 1


async def test_what_is_refused_later_is_told_by_the_journal(here: World) -> None:
    """Nobody waits any more who could be told."""
    here.crm.always_down = True
    await tell(here, evaluation(0))
    here.crm.always_down = False
    here.crm.held[DEAL].state = State.WON
    await here.settle()
    assert await outcomes(here) == [("deferred", "CD-1001"), ("skipped", "CD-7003")]
    assert await here.writing().telling.refused_lately() == 1


async def test_without_the_right_to_act_for_users_it_waits_and_says_why(here: World) -> None:
    """R-022: never as our own identity; it goes on once the administrator has given the right."""
    here.crm.always_down = True
    await tell(here, evaluation(0))
    here.crm.always_down, here.crm.down = False, [NotSetUp("0x80040204")] * 12
    await here.settle()
    assert here.crm.wrote == [(ANNA, DEAL, {"closeprobability": 70})]
    assert [code for _, code in await outcomes(here)] == ["CD-1001", *["CD-7010"] * 12, ""]


async def test_after_three_days_it_is_given_up(here: World) -> None:
    """The journal keeps why."""
    here.crm.always_down = True
    await tell(here, evaluation(0))
    await here.settle()
    assert here.clock.monotonic() > timedelta(days=3).total_seconds()
    assert (await outcomes(here))[-1] == ("skipped", "CD-1001")


async def test_messages_that_the_queue_gave_up_are_taken_up_again(here: World) -> None:
    """Our store was down for longer than the queue is patient; what cannot be read goes."""
    here.rated(evaluation(0))
    good = EvaluationMessage.about(evaluation(0), here.clock.now()).outgoing()
    await here.queue.send(QUEUE, [good, Outgoing("odd", '{"v":1}')])
    for _ in range(2):
        delivery = await here.queue.receive(QUEUE)
        assert delivery is not None
        await here.queue.dead_letter(delivery, "MaxDeliveryCountExceeded")
    await here.queued().sweep()
    assert here.queue.counts(QUEUE).dead == 0
    await here.settle()
    assert here.probability() == 70


@pytest.mark.parametrize(
    "change", [{"v": 2}, {"evaluation": ""}, {"opportunity": None}, {"at": "2026-03-02T09:00:00"}, {"attempt": -1}]
)
async def test_a_message_that_is_none_of_ours_is_refused(here: World, change: dict[str, Any]) -> None:
    """By the names of its wrong members."""
    message = EvaluationMessage.about(evaluation(0), here.clock.now())
    assert EvaluationMessage.from_json(message.outgoing().body) == message
    with pytest.raises(MessageInvalid, match=next(iter(change))):
        EvaluationMessage.from_json(json.dumps({**json.loads(message.outgoing().body), **change}))


# --- the look


def deal(number: int) -> str:
    return f"d0000000-0000-4000-8000-{number:012d}"


def with_deals(here: World, count: int) -> None:
    """Opportunities with one evaluation each that nobody has told of."""
    for number in range(count):
        here.crm.held[deal(number)] = Held({"name": f"Deal {number}", "closeprobability": 10})
        here.rated(evaluation(number, 60 + number % 40, minutes=number - count, by=(ANNA, BRUNO)[number % 2],
                              key=deal(number)))  # fmt: skip


async def test_what_nobody_told_of_is_written_as_who_rated(here: World) -> None:
    """R-003, R-022: only each opportunity's newest one, whatever the order in which the Cockpit tells."""
    for number, minutes, by in ((1, -30, ANNA), (3, -10, BRUNO), (2, -20, ANNA)):
        here.rated(evaluation(number, 40 + number, minutes=minutes, by=by))
    assert await here.reconciling().look() == {"written": 1}
    assert here.crm.wrote == [(BRUNO, DEAL, {"closeprobability": 43})]
    (entry,) = await here.told()
    assert (entry.cause, entry.correlation_id) == ("look at all evaluations", "e-3")
    assert [(one.left, one.right, one.action) for one in entry.fields] == [("closeprobability", "probability", "write")]


async def test_what_is_written_is_not_looked_at_again(here: World) -> None:
    """R-006: a person's later edit stays; the next look asks Dynamics for nothing."""
    await tell(here, evaluation(0))
    here.crm.edit(DEAL, closeprobability=55)
    asked = len(here.crm.asked)
    for _ in range(3):
        assert await here.reconciling().look() == {"settled": 1}
        here.clock.step_to(None, 600)
    assert (here.probability(), len(here.crm.asked)) == (55, asked)


async def test_a_look_goes_on_where_the_last_one_began(here: World) -> None:
    """With an overlap, since clocks differ; the first one goes a day back and no further."""
    here.rated(evaluation(1, 40, minutes=-2000))
    assert await here.reconciling().look() == {}
    here.clock.step_to(None, 3600)
    here.rated(evaluation(2, 50, minutes=-10))
    assert await here.reconciling().look() == {"written": 1}
    here.clock.step_to(None, 7200)
    assert await here.reconciling().look() == {}
    looked_at = await here.reconciling().looked_at()
    assert looked_at is not None
    assert here.clock.now() - looked_at < timedelta(seconds=1)


async def test_a_bad_evaluation_stops_no_other(here: World) -> None:
    """Closed, invisible, out of range, unreadable, and one that fails for now: each ends for itself."""
    with_deals(here, 8)
    here.results = {"advice": "cdock_advice"}
    here.crm.held[deal(0)].state = State.LOST
    here.crm.unseen.add((BRUNO, deal(1)))
    here.crm.fixed.add((ANNA, deal(2)))
    here.rated(evaluation(20, 50, minutes=-1, key=deal(3), advice="x" * 21))
    here.rated(evaluation(21, 50, minutes=-1, key="no key"))
    here.crm.down = [UnknownResult("dataverse")]
    assert await here.reconciling().look() == {"refused": 4, "queued": 1, "written": 3}
    assert await here.writing().telling.refused_lately() == 4
    await here.settle()
    assert [here.probability(deal(number)) for number in range(8)] == [10, 10, 10, 10, 64, 65, 66, 67]


async def test_an_evaluation_of_the_future_does_not_stand_above_those_that_follow(here: World) -> None:
    """The Cockpit's clock was wrong once."""
    here.rated(evaluation(1, 90, minutes=60 * 24 * 365))
    here.rated(evaluation(2, 40, minutes=1))
    assert await here.reconciling().look() == {"written": 1}
    assert here.probability() == 40


async def test_a_mass_of_evaluations_goes_a_few_at_a_time(here: World) -> None:
    """Never more than four at once, and none is forgotten."""
    with_deals(here, 60)
    at_once = Counting()
    here.crm.effects = at_once
    here.cockpit.page = 7
    assert await here.reconciling().look() == {"written": 60}
    assert at_once.most == 4
    assert here.queue.counts(QUEUE).ready == 0


async def test_what_the_look_has_no_time_for_goes_to_the_queue(here: World) -> None:
    """Dynamics is down: each try takes its time, and the look ends all the same."""
    with_deals(here, 40)
    here.crm.always_down = True
    assert await here.reconciling().look() == {"queued": 40}
    here.crm.always_down = False
    await here.settle()
    assert len(here.crm.wrote) == 40


async def test_without_the_cockpit_the_look_is_made_up_for(here: World) -> None:
    """The mark stays where it was."""
    await here.reconciling().look()
    here.rated(evaluation(1, 50, minutes=1))
    here.cockpit.down = True
    for _ in range(5):
        here.clock.step_to(None, 3600)
        with pytest.raises(SystemDown):
            await here.reconciling().look()
    here.cockpit.down = False
    assert await here.reconciling().look() == {"written": 1}


class Counting(Effects):
    """Counts how many calls are under way at once."""

    def __init__(self) -> None:
        self.now = self.most = 0

    async def pass_through(self, name: str, lost: Exception, do: Any) -> Any:
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(0)
        try:
            return await do()
        finally:
            self.now -= 1
