"""Evaluations through the door, the queue and the timer, with Dynamics, the Cockpit and the sign-in as sandboxes."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

import azure.functions as func
import httpx
import pytest
from azure.functions.servicebus import ServiceBusMessage
from azure.functions.timer import TimerRequest

from functions import evaluations
from functions.door import new_blueprint
from local.command_line.context import Surroundings
from local.command_line.installations import Installation
from local.command_line.running import run_command
from sandbox.faults import FaultKind, FaultRule
from shared.app import installed
from shared.sales_cockpit.messages import QUEUE
from tests.scenarios.account_customer.world import virtually
from tests.scenarios.command_line.terminal import Said
from tests.scenarios.doors.test_transfers_and_timers import functions_of
from tests.scenarios.sales_cockpit.people_world import ANNA, BERTA, CRM_CLIENT, NOBODY, PeopleWorld, Setup

SETTING: Final = "CROSSDOCK_SALES_COCKPIT_"
FIVE_GREEN: Final = {"need": 3, "budget": 3, "decision": 3, "uniqueness": 3, "timing": 3}
SOME: Final = {"need": 3, "budget": 2}


def _registered() -> func.Blueprint:
    blueprint = new_blueprint()
    evaluations.register(blueprint)
    return blueprint


FUNCTIONS: Final = functions_of(_registered())


class RatingWorld(PeopleWorld):
    """People rate; what the Cockpit does with it is up to the story."""

    async def deal(self, owner: str = ANNA) -> str:
        """An opportunity whose project has been opened."""
        key = await self.opportunity(owner)
        assert (await self.launch(key, owner)).status_code == 302
        self.forget_requests()
        return key

    def rated(self, key: str, lights: Mapping[str, int], person: str = ANNA) -> dict[str, Any]:
        """Somebody rates in the Cockpit, which has told nobody of it yet."""
        projects = self.cockpit.rows("projects")
        project = next(one for one, row in projects.items() if row["externalId"] == key)
        return self.cockpit.rate(project, person, lights)

    async def told(self, evaluation: Mapping[str, Any], person: str = ANNA, app: int = 0) -> httpx.Response:
        """The Cockpit's backend sends an evaluation with the token of who rated."""
        await asyncio.sleep(0.1)  # no two entries of the journal are of the same moment
        return await self.ask("POST", "evaluations", person, app=app, body=dict(evaluation))

    async def take_messages(self) -> int:
        """Do what is due on the queue, through the function."""
        done = 0
        while delivery := await self.queue.receive(QUEUE):
            message = ServiceBusMessage(
                body=delivery.body.encode(), message_id=delivery.message_id, delivery_count=delivery.delivery_count,
                application_properties={}, user_properties={},
            )  # fmt: skip
            await asyncio.sleep(0.1)
            with installed(self.apps[0]):
                await FUNCTIONS[QUEUE](message)
            await self.queue.complete(delivery)
            done += 1
        return done

    async def settle(self) -> None:
        """Let time pass until nothing waits on the queue."""
        while (event := self.queue.next_event()) or self.queue.counts(QUEUE).ready:
            if event is not None:
                await asyncio.sleep(max((event - self.clock.now()).total_seconds(), 0) + 0.001)
            await self.take_messages()

    async def tick(self) -> None:
        """The timer ticks."""
        with installed(self.apps[0]):
            await FUNCTIONS["evaluations"](TimerRequest())

    def probability(self, key: str) -> Any:
        """What the opportunity holds."""
        return self.of_crm(key).get("closeprobability")

    def changed_by(self, key: str) -> str:
        """Whose name stands in the opportunity."""
        return str(self.of_crm(key)["modifiedby"])

    async def journal(self, key: str) -> Sequence[Mapping[str, Any]]:
        """What the operations API tells of it, the oldest first."""
        client = self.host()
        with installed(self.apps[0]):
            answer = await client.get(
                f"/api/ops/journal/dataverse/opportunity/{key}", headers={"x-crossdock-key": OPERATOR_KEY}
            )
        assert answer.status_code == 200, answer.text
        return [one for one in reversed(answer.json()["items"]) if one["transfer"] == QUEUE]


OPERATOR_KEY: Final = "operator-key-for-tests-of-32-characters"


def settings(**own: str) -> Setup:
    """A world with these settings of the Cockpit."""
    named = {f"{SETTING}{name.upper()}": value for name, value in own.items()}
    return Setup(environment={**named, "CROSSDOCK_OPERATOR_KEY": OPERATOR_KEY})


PLAIN: Final = settings()


# --- written at once


@pytest.mark.parametrize("way", ["on_behalf_of", "caller_object_id"])
def test_the_probability_stands_in_the_opportunity_before_the_answer(way: str) -> None:
    """R-003, R-017, R-022, R-026: written as the user, with at most two calls of Dynamics, and journalled."""

    @virtually
    async def story() -> None:
        async with RatingWorld(settings(as_user=way)) as world:
            world.crm.allow_acting_for_others(CRM_CLIENT)
            key = await world.deal()
            answer = await world.told(world.rated(key, SOME))
            assert (answer.status_code, answer.json()["applied"]) == (200, True)
            assert world.probability(key) == 33
            assert world.changed_by(key) == world.user_ids[ANNA]
            assert [one.method for one in world.crm_calls()] == ["GET", "PATCH"]
            (entry,) = await world.journal(key)
            assert (entry["outcome"], entry["code"]) == ("updated", "")
            assert [(one["left"], one["right"]) for one in entry["fields"]] == [("closeprobability", "probability")]

    story()


@virtually
async def test_further_results_go_where_the_map_says() -> None:
    """R-018, R-023: each into its own column, with the probability, in one write; one without a column is left out."""
    results = "score=budgetamount, trafficLight=stepname, recommendation=proposedsolution"
    async with RatingWorld(settings(results=results)) as world:
        key = await world.deal()
        advice = "Frau Zwetschgenmus noch einmal anrufen"
        world.kept.hide({"advice": advice})
        evaluation = world.rated(key, FIVE_GREEN)
        evaluation["results"] = {**evaluation["results"], "recommendation": advice, "mood": "good"}
        assert (await world.told(evaluation)).status_code == 200
        row = world.of_crm(key)
        assert (row["closeprobability"], row["budgetamount"]) == (100, 15)
        assert (row["stepname"], row["proposedsolution"]) == ("green", advice)
        assert len(world.crm_calls()) == 2


@pytest.mark.parametrize(
    ("own", "column", "holds"),
    [
        ({"probability_column": "budgetamount"}, "budgetamount", 33.3),
        (
            {"probability_column": "opportunityratingcode", "probability_choices": "0-33=3,34-66=2,67-100=1"},
            "opportunityratingcode",
            3,
        ),
    ],
    ids=["an amount", "a choice"],
)
def test_the_setting_says_into_which_column_the_probability_goes(
    own: dict[str, str], column: str, holds: float
) -> None:
    """R-028: decided by the organisation's metadata; the standard column stays as it is."""

    @virtually
    async def story() -> None:
        async with RatingWorld(settings(**own)) as world:
            key = await world.deal()
            before = world.probability(key)
            answer = await world.told({**world.rated(key, SOME), "probability": 33.3})
            assert answer.status_code == 200
            assert float(world.of_crm(key)[column]) == holds
            assert world.probability(key) == before

    story()


@virtually
async def test_a_repetition_is_harmless_and_an_older_evaluation_is_ignored() -> None:
    """R-006, R-026: what a person has typed in since then stays; one call of Dynamics."""
    async with RatingWorld(PLAIN) as world:
        key = await world.deal()
        older = world.rated(key, SOME)
        await asyncio.sleep(60)
        newer = world.rated(key, FIVE_GREEN)
        assert (await world.told(newer)).json()["applied"] is True
        await world.crm.edit("opportunity", key, {"closeprobability": 55})
        world.forget_requests()
        assert (await world.told(newer, app=1)).json()["applied"] is True
        assert (await world.told(older, app=1)).json() == {"applied": False, "reason": "older"}
        assert world.probability(key) == 55
        assert [one.method for one in world.crm_calls()] == ["GET", "GET"]
        assert [one["outcome"] for one in await world.journal(key)] == ["updated", "unchanged", "skipped"]


@virtually
async def test_many_evaluations_at_the_same_moment_end_with_the_newest() -> None:
    """R-003, R-017: told in any order to two instances at once."""
    async with RatingWorld(PLAIN) as world:
        key = await world.deal()
        rated = []
        for light in (1, 3, 2, 1, 3, 2):
            rated.append(world.rated(key, {"need": light}))
            await asyncio.sleep(1)
        answers = await asyncio.gather(*(world.told(one, app=at % 2) for at, one in enumerate(reversed(rated))))
        assert {one.status_code for one in answers} <= {200, 202}
        await world.settle()
        assert world.probability(key) == rated[-1]["probability"]


@pytest.mark.parametrize("won", [True, False])
def test_a_closed_opportunity_is_refused(won: bool) -> None:
    """409, nothing is written or queued, and the journal says so."""

    @virtually
    async def story() -> None:
        async with RatingWorld(PLAIN) as world:
            key = await world.deal()
            await world.crm.close_opportunity(key, won=won)
            before = world.probability(key)
            answer = await world.told(world.rated(key, SOME))
            assert (answer.status_code, answer.json()["code"]) == (409, "CD-7003")
            assert world.probability(key) == before
            assert world.queue.counts(QUEUE).ready == 0
            assert [one["code"] for one in await world.journal(key)] == ["CD-7003"]

    story()


@virtually
async def test_a_users_own_rights_decide() -> None:
    """R-022: 404 for what he may not see, 403 for what he may not change, whatever our application may do."""
    async with RatingWorld(PLAIN) as world:
        key = await world.deal()
        answer = await world.told(world.rated(key, SOME, BERTA), BERTA)
        assert (answer.status_code, answer.json()["code"]) == (404, "CD-7001")
        unknown = await world.told(world.rated(key, SOME, NOBODY), NOBODY)
        assert (unknown.status_code, unknown.json()["code"]) == (404, "CD-7001")
        world.crm.user_may(world.user_ids[BERTA], "opportunity", "Read", "Global")
        world.crm.user_may(world.user_ids[BERTA], "opportunity", "Write", "Basic")
        assert (await world.launch(key, BERTA)).status_code == 302
        answer = await world.told(world.rated(key, SOME, BERTA), BERTA)
        assert (answer.status_code, answer.json()["code"]) == (403, "CD-7011")
        assert world.probability(key) is None
        assert world.queue.counts(QUEUE).ready == 0


@virtually
async def test_what_the_door_does_not_take() -> None:
    """R-019, R-022: nobody without a sign-in, nothing of another's, nothing that is no evaluation; Dynamics is asked
    nothing."""
    async with RatingWorld(settings(results="trafficLight=stepname")) as world:
        key = await world.deal()
        rated = world.rated(key, SOME)
        nobody = await world.ask("POST", "evaluations", headers={}, body=rated)
        assert nobody.status_code == 401
        others = await world.told(rated, BERTA)
        assert (others.status_code, others.json()["code"]) == (403, "CD-7013")
        wrong: list[tuple[dict[str, Any], int, str]] = [
            ({"opportunityId": "one"}, 400, "opportunityId"),
            ({"evaluatedAt": "2031-01-01T00:00:00Z"}, 400, "evaluatedAt"),
            ({"probability": 101}, 422, "probability"),
            ({"results": {"trafficLight": "g" * 201}}, 422, "results.trafficLight"),
        ]
        for change, status, field in wrong:
            answer = await world.told({**rated, **change})
            assert (answer.status_code, answer.json()["field"]) == (status, field)
        client = world.host()
        with installed(world.apps[0]):
            headers = {"Authorization": f"Bearer {world.token()}", "Content-Type": "text/plain"}
            answer = await client.post("/api/cockpit/evaluations", headers=headers, content=b"{}")
        assert answer.status_code == 415
        assert world.crm_calls() == []


@virtually
async def test_braces_and_capitals_of_an_id_do_not_matter() -> None:
    """Dynamics itself writes ids like that."""
    async with RatingWorld(PLAIN) as world:
        key = await world.deal()
        rated = world.rated(key, SOME)
        told = {**rated, "opportunityId": f"{{{key.upper()}}}", "evaluatedBy": ANNA.upper()}
        assert (await world.told(told)).status_code == 200
        assert world.probability(key) == 33


# --- Dynamics is down


@pytest.mark.parametrize(
    "fault",
    [
        FaultRule(FaultKind.UNAVAILABLE),
        FaultRule(FaultKind.THROTTLED, retry_after_seconds=300),
        FaultRule(FaultKind.STALL, seconds=60, executes=False),
        FaultRule(FaultKind.REFUSED_CONNECTION),
        FaultRule(FaultKind.LOST_ANSWER, method="PATCH"),
        FaultRule(FaultKind.STALL, method="PATCH", seconds=60, executes=True),
    ],
    ids=["unavailable", "throttled", "silent", "unreachable", "lost answer", "silent after the write"],
)
def test_beyond_the_time_budget_the_evaluation_waits_without_a_value(fault: FaultRule) -> None:
    """R-003, R-022, R-024, R-025, R-026: 202; what waits holds ids and times only; it is read from the Cockpit
    again, and written as who rated once Dynamics answers."""

    @virtually
    async def story() -> None:
        async with RatingWorld(settings(results="recommendation=proposedsolution")) as world:
            world.crm.allow_acting_for_others(CRM_CLIENT)
            world.kept.hide({"advice": "Find out more"})
            key = await world.deal(BERTA)
            rated = world.rated(key, {**SOME, "timing": 3}, BERTA)
            outage = world.crm.faults.add(fault)
            began = world.clock.now()
            answer = await world.told(rated, BERTA)
            assert (answer.status_code, answer.json()) == (202, {"queued": True})
            assert world.clock.now() - began < timedelta(seconds=10)
            await world.take_messages()
            world.crm.faults.remove(outage)
            await world.settle()
            row = world.of_crm(key)
            assert (row["closeprobability"], row["proposedsolution"]) == (53, "Find out more")
            assert world.changed_by(key) == world.user_ids[BERTA]
            entries = await world.journal(key)
            assert [one["outcome"] for one in entries[:-1]] == ["deferred"] * (len(entries) - 1)
            assert entries[-1]["outcome"] in ("updated", "unchanged")

    story()


@virtually
async def test_what_waits_is_written_by_nobody_else_than_who_rated() -> None:
    """R-022: without the right to act for users it waits and the journal says what is missing; never as our own
    application."""
    async with RatingWorld(PLAIN) as world:
        key = await world.deal()
        outage = world.crm.faults.add(FaultRule(FaultKind.UNAVAILABLE))
        assert (await world.told(world.rated(key, SOME))).status_code == 202
        world.crm.faults.remove(outage)
        await world.take_messages()
        assert world.probability(key) is None
        assert (await world.journal(key))[-1]["code"] == "CD-7010"
        world.crm.allow_acting_for_others(CRM_CLIENT)
        await world.settle()
        assert (world.probability(key), world.changed_by(key)) == (33, world.user_ids[ANNA])


# --- the look


@virtually
async def test_the_hourly_look_makes_up_for_what_nobody_told() -> None:
    """R-003, R-006, R-022: each opportunity's newest, as who rated; what is written is left alone; health tells when it
    was looked."""
    async with RatingWorld(PLAIN) as world:
        world.crm.allow_acting_for_others(CRM_CLIENT)
        first, second, lost = await world.deal(), await world.deal(BERTA), await world.deal()
        for key, person in ((first, ANNA), (second, BERTA), (lost, ANNA)):
            world.rated(key, SOME, person)
            await asyncio.sleep(1)
            world.rated(key, FIVE_GREEN, person)
        await world.crm.close_opportunity(lost, won=False)
        await world.tick()
        assert (world.probability(first), world.probability(second)) == (100, 100)
        assert (world.changed_by(first), world.changed_by(second)) == (world.user_ids[ANNA], world.user_ids[BERTA])
        assert [one["code"] for one in await world.journal(lost)] == ["CD-7003"]
        await world.crm.edit("opportunity", first, {"closeprobability": 55})
        world.forget_requests()
        await asyncio.sleep(60)
        await world.tick()
        assert world.probability(first) == 55
        assert not [one for one in world.crm_calls() if one.method == "PATCH"]
        client = world.host()
        with installed(world.apps[0]):
            health = await client.get("/api/ops/health", headers={"x-crossdock-key": OPERATOR_KEY})
        told = health.json()["evaluations"]
        assert told["looked_at"] == world.clock.now().isoformat()
        assert told["refused_lately"] == 2


# --- what the administrator is told


async def typed(world: RatingWorld, *words: str, **own: str) -> Said:
    """Type a command at the world. own: settings of the Cockpit that are other ones."""
    named = {f"{SETTING}{name.upper()}": value for name, value in own.items()}
    environment = {"ServiceBus": "unused", **world.environment, **named}
    out, err = io.StringIO(), io.StringIO()
    index = world.index.model_dump_json().encode()
    surroundings = Surroundings(
        environment=environment,
        out=out,
        err=err,
        outside=world.apps[0].outside,
        installation=Installation("the world", environment, index_json=index),
    )
    return Said(await run_command(words, surroundings), out.getvalue(), err.getvalue())


@virtually
async def test_explain_tells_why_the_probability_was_written_or_not() -> None:
    """R-017: by time, cause, reason and code, without a value of the evaluation."""
    async with RatingWorld(PLAIN) as world:
        key = await world.deal()
        older = world.rated(key, SOME)
        await asyncio.sleep(60)
        await world.told(world.rated(key, FIVE_GREEN))
        await world.told(older)
        await world.crm.close_opportunity(key, won=False)
        await world.told({**world.rated(key, SOME), "evaluatedAt": world.clock.now().isoformat()})
        said = await typed(world, "explain", "dataverse", "opportunity", key)
        rows = [row[2:5] for row in said.rows if len(row) > 4 and row[1] == QUEUE]
        assert rows == [
            ["skipped", "The opportunity is closed.", "CD-7003"],
            ["skipped", "a newer evaluation was written, or is about to be", ""],
            ["updated", "the evaluation was written", ""],
        ]


@pytest.mark.parametrize(
    ("own", "told"),
    [
        ({"probability_column": "cdock_nothing"}, "PROBABILITY_COLUMN: cdock_nothing is no column"),
        ({"probability_column": "name"}, "PROBABILITY_COLUMN: name is a text"),
        (
            {"probability_column": "opportunityratingcode", "probability_choices": "0-50=1,51-100=9"},
            "PROBABILITY_CHOICES: opportunityratingcode has no choice 9",
        ),
        ({"results": "score=ownerid"}, "RESULTS: ownerid"),
    ],
)
def test_settings_that_the_organisation_cannot_serve_are_found_before_anybody_rates(
    own: dict[str, str], told: str
) -> None:
    """R-018, R-028: by `manage.py check` and by the doctor; whoever rates meanwhile is told, too."""

    @virtually
    async def story() -> None:
        async with RatingWorld(settings(**own)) as world:
            checked = await typed(world, "check")
            assert (checked.code, told in checked.out) == (1, True)
            examined = await typed(world, "doctor", "--json")
            (found,) = [one for one in examined.json["findings"] if one["probe"] == "evaluations"]
            assert told in found["told"]
            key = await world.deal()
            answer = await world.told(world.rated(key, SOME))
            assert (answer.status_code, answer.json()["code"]) == (503, "CD-3001")

    story()


@virtually
async def test_check_and_doctor_find_nothing_where_the_settings_fit() -> None:
    """The shipped settings fit an organisation as it comes."""
    async with RatingWorld(PLAIN) as world:
        assert "CROSSDOCK_SALES_COCKPIT" not in (await typed(world, "check")).out
        assert "evaluations" in (await typed(world, "doctor", "--json")).json["fine"]
