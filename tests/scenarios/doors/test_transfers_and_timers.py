"""Queue functions and timers: from a message to a partner, from a failed run back to the queue, from a tick to work."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import azure.functions as func
import pytest
from azure.functions.servicebus import ServiceBusMessage
from azure.functions.timer import TimerRequest

from functions import feeds, timers, transfers
from functions.door import RunFailed, new_blueprint
from local.host import QueueTrigger, TimerTrigger
from shared.app import App, installed, transfer_names
from shared.errors import QueueUnavailable, SettingsError, StoreUnavailable
from shared.settings import schedule
from shared.stores.rows import RowStoreUnavailable
from shared.sync.feed_tasks import QUEUE, FeedTask, Task
from shared.sync.message import Message, MessageInvalid
from shared.sync.ports import Claim, LinkRow, LinkState, Mode, Outgoing, PendingItem, Side, Switch
from tests.scenarios.doors.world import NOON, Doors, DownQueue, dump, outgoing

TO_ERP, TO_CRM = "account_to_business_central", "customer_to_dataverse"
ACCOUNT = "0f8fad5b-d9cb-469f-a165-70867728950e"


def functions_of(blueprint: func.Blueprint) -> dict[str, Callable[..., Awaitable[None]]]:
    """The functions of a blueprint by name, as a worker finds them."""
    app = func.FunctionApp()
    app.register_functions(blueprint)
    return {str(one.get_function_name()): one.get_user_function() for one in app.get_functions()}


QUEUE_FUNCTIONS = functions_of(transfers.blueprint)
(FEEDS,) = functions_of(feeds.blueprint).values()
TICKS = functions_of(timers.blueprint)


def message(transfer: str = TO_ERP, key: str = ACCOUNT) -> Message:
    """A change of an account."""
    return Message(transfer, Side.LEFT, "account", (key,), "webhook", NOON, 0, "c", f"change/{key}")


async def deliver(body: bytes, function: str = TO_ERP, deliveries: int = 1) -> None:
    """Hand a queue function a message."""
    await QUEUE_FUNCTIONS[function](
        ServiceBusMessage(
            body=body, message_id="m", delivery_count=deliveries, application_properties={}, user_properties={}
        )
    )


async def switch_on(doors: Doors, *names: str) -> None:
    """Switch transfers on."""
    for name in names:
        await doors.stores.modes.put(Mode(name, Switch.ON, NOON, "test"))


# --- transfers ------------------------------------------------------------------------------------


def test_every_transfer_is_a_function_on_the_queue_of_its_name(doors: Doors) -> None:
    """Function, queue and transfer have one name, so that the portal lists transfers; one more is for the feeds."""
    queues = {one.name: one.trigger for one in doors.host.functions() if isinstance(one.trigger, QueueTrigger)}
    assert queues.pop(QUEUE).queue == QUEUE
    assert list(queues) == list(transfer_names())
    assert set(doors.names) < set(queues)
    assert all((trigger.queue, trigger.connection) == (name, "ServiceBus") for name, trigger in queues.items())


async def test_a_message_makes_the_partner(doors: Doors) -> None:
    """Through the function, the pipeline and two systems."""
    await switch_on(doors, TO_ERP)
    key = doors.crm.type_in({"name": "Officina Meccanica Prova S.r.l.", "cdock_stage": "qualified"})
    await deliver(message(key=key).to_json().encode())
    (customer,) = doors.erp.records.values()
    assert customer.values["displayName"] == "Officina Meccanica Prova S.r.l."
    assert doors.clock.slept == []


async def test_a_transfer_that_is_off_writes_nothing(doors: Doors) -> None:
    """The message is done, and the journal says why."""
    key = doors.crm.type_in({"name": "Officina Meccanica Prova S.r.l.", "cdock_stage": "qualified"})
    await deliver(message(key=key).to_json().encode())
    assert doors.erp.records == {}


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", message(TO_CRM).to_json().encode()])
async def test_a_message_that_is_none_goes_to_the_dead_letters_at_once(doors: Doors, body: bytes) -> None:
    """It raises without a pause; after the last delivery the sweep shows it in the parked list."""
    with pytest.raises(MessageInvalid):
        await deliver(body)
    assert doors.clock.slept == []


class DownRows:
    """A store that cannot be opened."""

    async def prepare(self) -> None:
        """Fail."""
        raise RowStoreUnavailable("simulated")

    async def aclose(self) -> None:
        """Nothing is open."""


@pytest.mark.parametrize(("deliveries", "pause"), [(1, 2.0), (2, 4.0), (5, 32.0), (6, 60.0), (10, 60.0)])
async def test_while_the_store_is_down_a_message_comes_again_after_a_pause(
    doors: Doors, deliveries: int, pause: float
) -> None:
    """The queue delivers again at once and counts; without pauses ten deliveries would be gone in a second."""
    with installed(doors.new_app(rows=DownRows())), pytest.raises(StoreUnavailable):
        await deliver(message().to_json().encode(), deliveries=deliveries)
    assert doors.clock.slept == [pause]


async def test_a_wrong_setting_keeps_messages_in_the_queue(doors: Doors) -> None:
    """Until it is mended; the error names the setting."""
    doors.environment["CROSSDOCK_FINGERPRINT_KEY"] = ""
    with installed(doors.new_app()), pytest.raises(SettingsError, match="CROSSDOCK_FINGERPRINT_KEY: is missing"):
        await deliver(message().to_json().encode())


async def test_a_queue_that_is_down_keeps_the_message(doors: Doors) -> None:
    """Somebody else is creating the partner: a copy that could not be sent is no copy, so the original comes again."""
    await switch_on(doors, TO_ERP)
    key = doors.crm.type_in({"name": "Officina Meccanica Prova S.r.l.", "cdock_stage": "qualified"})
    pair = "dataverse/org/account~business_central/production/company/customers"
    claim = Claim("attempt", "another run", NOON + timedelta(minutes=2))
    await doors.stores.links.insert(LinkRow(pair, Side.LEFT, key, LinkState.CREATING, claim=claim))
    down = DownQueue(doors.queue, frozenset(doors.names), QueueUnavailable("simulated"))
    with installed(doors.new_app(queue=down)), pytest.raises(QueueUnavailable):
        await deliver(message(key=key).to_json().encode())
    await deliver(message(key=key).to_json().encode())
    assert doors.queue.counts(TO_ERP).scheduled == 1


async def test_an_unforeseen_error_leaves_without_its_text(
    doors: Doors, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The host writes the text of what a function raises into its log."""
    engine = await doors.app.engine()

    async def fail(_: object) -> None:
        raise ValueError("Kontoinhaber-4711")

    monkeypatch.setattr(engine.pipeline, "run", fail)
    with caplog.at_level(logging.DEBUG), pytest.raises(RunFailed) as raised:
        await deliver(message().to_json().encode())
    assert "Kontoinhaber" not in str(raised.value) + caplog.text
    assert raised.value.__suppress_context__
    assert "ValueError at" in caplog.text


def test_a_new_transfer_needs_no_code() -> None:
    """Names from an index become functions."""
    blueprint = new_blueprint()
    transfers.register(blueprint, ["price_group_to_dataverse", "account_to_postoffice"])
    assert set(functions_of(blueprint)) == {"price_group_to_dataverse", "account_to_postoffice"}


def test_without_an_index_the_other_functions_still_load(tmp_path: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A missing or broken index registers no transfer and says so."""
    broken = tmp_path / "index.json"
    assert transfer_names(broken) == ()
    for text in ("", "{", "[]", '{"definitions": [{}]}', '{"definitions": [{"transfers": [{"name": "x"}]}]}'):
        broken.write_text(text)
        assert transfer_names(broken) == ()
    assert "no transfer can be registered" in caplog.text


async def test_a_definition_that_does_not_load_disables_only_itself(
    doors: Doors, caplog: pytest.LogCaptureFixture
) -> None:
    """The other pair runs; log and health say file and what to do."""
    tree = json.loads(doors.app.index_json)
    broken = json.loads(json.dumps(tree["definitions"][0])) | {"file": "transfers/broken.yaml"}
    broken["transfers"] = [broken["transfers"][0] | {"name": "broken_to_business_central"}]
    broken["fields"][0]["convert"] = "magic"
    tree["definitions"].append(broken)
    app = App(doors.environment, doors.app.outside, dump(tree))
    engine = await app.engine()
    assert [transfer.name for _, transfer in engine.index.transfers()] == doors.names
    (problem,) = engine.index.problems
    assert (problem.file, problem.transfers) == ("transfers/broken.yaml", ("broken_to_business_central",))
    assert "there is no converter 'magic'" in problem.text
    assert "transfers/broken.yaml" in caplog.text


async def test_a_definition_of_an_unknown_system_disables_only_itself(doors: Doors) -> None:
    """There is no connector for it yet."""
    tree = json.loads(doors.app.index_json)
    text = (
        json.dumps(tree["definitions"][0]).replace("business_central", "salesforce").replace("customer_to", "post_to")
    )
    tree["definitions"].append(json.loads(text))
    engine = await App(doors.environment, doors.app.outside, dump(tree)).engine()
    assert [transfer.name for _, transfer in engine.index.transfers()] == doors.names
    assert "salesforce" in engine.index.problems[0].text


async def test_a_definition_of_a_kind_that_is_not_here_is_for_others(doors: Doors) -> None:
    """PostOffice's definitions are shipped, and an installation without one neither runs nor names them."""
    tree = json.loads(doors.app.index_json)
    text = (
        json.dumps(tree["definitions"][0]).replace("business_central", "postoffice").replace("customer_to", "post_to")
    )
    tree["definitions"].append(json.loads(text))
    app = App(doors.environment, doors.app.outside, dump(tree))
    engine = await app.engine()
    assert [transfer.name for _, transfer in engine.index.transfers()] == doors.names
    assert engine.index.problems == ()
    assert list(app.recipients.transfers) == doors.names


async def test_a_definition_that_stands_instead_of_a_system_that_is_here_does_not_run(doors: Doors) -> None:
    """Neither a function nor a notice knows it, and it is no problem."""
    tree = json.loads(doors.app.index_json)
    text = json.dumps(tree["definitions"][0]).replace("account_to", "company_to").replace("customer_to", "post_to")
    tree["definitions"].append(json.loads(text) | {"instead_of": "sales_cockpit"})
    here, there = dump(tree), dict(doors.environment)
    app = App(there, doors.app.outside, here)
    assert len((await app.engine()).index.definitions) == 2
    tree["definitions"][1]["instead_of"] = "postoffice"
    connectors = doors.app.outside.connectors
    assert connectors is not None
    beside = replace(doors.app.outside, connectors={**connectors, "postoffice": connectors["business_central"]})
    app = App(there, beside, dump(tree))
    engine = await app.engine()
    assert [transfer.name for _, transfer in engine.index.transfers()] == doors.names
    assert engine.index.problems == ()
    assert list(app.recipients.transfers) == doors.names


# --- feeds ----------------------------------------------------------------------------------------


def task(kind: Task = Task.WALK, **more: Any) -> ServiceBusMessage:
    """A task of the feeds, as the host hands it over."""
    one = FeedTask(kind, "test", "test/1", system="business_central", table="customers", **more)
    return ServiceBusMessage(
        body=one.outgoing().body.encode(), message_id="m", application_properties={}, user_properties={}
    )


async def test_a_task_of_the_feeds_walks_at_once(doors: Doors) -> None:
    """R-052: from the time that the notice names, however far the last walk has come."""
    await switch_on(doors, TO_ERP, TO_CRM)
    await tick("walks")
    doors.clock.at += timedelta(minutes=1)
    key = doors.erp.type_in({"displayName": "Officina Meccanica Prova S.r.l."})
    await FEEDS(task(since=NOON))
    assert [(one.keys, one.cause) for one in (await doors.queued())[TO_CRM]] == [((key,), "walk")]


async def test_a_task_that_cannot_be_read_goes_to_the_dead_letters_and_is_swept_away(doors: Doors) -> None:
    """Nobody could do anything with it; a good one is put back for later."""
    with pytest.raises(MessageInvalid):
        await FEEDS(ServiceBusMessage(body=b"{}", message_id="m", application_properties={}, user_properties={}))
    assert doors.clock.slept == []
    for number, body in enumerate([b"{}".decode(), task().get_body().decode()]):
        await doors.queue.send(QUEUE, [Outgoing(f"m{number}", body)])
        delivery = await doors.queue.receive(QUEUE)
        assert delivery is not None
        await doors.queue.dead_letter(delivery, "MaxDeliveryCountExceeded")
    await tick("sweep")
    counts = doors.queue.counts(QUEUE)
    assert (counts.dead, counts.scheduled) == (0, 1)


async def test_while_the_store_is_down_a_task_comes_again_after_a_pause(doors: Doors) -> None:
    """As the messages of transfers do."""
    with installed(doors.new_app(rows=DownRows())), pytest.raises(StoreUnavailable):
        await FEEDS(task())
    assert doors.clock.slept == [2.0]


# --- timers ---------------------------------------------------------------------------------------


async def tick(name: str) -> None:
    """Let a timer tick."""
    await TICKS[name](TimerRequest(past_due=False))


async def test_the_walk_finds_what_no_notice_told(doors: Doors) -> None:
    """The first tick takes its starting point; a later one queues to both directions, as a chunk of keys."""
    await switch_on(doors, TO_ERP, TO_CRM)
    await tick("walks")
    doors.clock.at += timedelta(minutes=6)
    key = doors.crm.type_in({"name": "Officina Meccanica Prova S.r.l."})
    await tick("walks")
    queued = await doors.queued()
    assert [(one.keys, one.cause) for one in queued[TO_ERP]] == [((key,), "walk")]
    assert [(one.keys, one.cause) for one in queued[TO_CRM]] == [((key,), "walk")]


async def test_a_drain_queues_what_waited(doors: Doors) -> None:
    """Pending rows of a transfer that runs again."""
    await switch_on(doors, TO_ERP)
    await doors.stores.pending.put(PendingItem(TO_ERP, Side.LEFT, ACCOUNT, NOON, "a system is down", "c"))
    await tick("drain")
    assert [(one.keys, one.cause) for one in (await doors.queued())[TO_ERP]] == [((ACCOUNT,), "drain")]


async def test_the_sweep_shows_dead_letters_in_the_parked_list(doors: Doors) -> None:
    """Nothing stays in a place where nobody looks."""
    await doors.queue.send(TO_ERP, [outgoing(message())])
    delivery = await doors.queue.receive(TO_ERP)
    assert delivery is not None
    await doors.queue.dead_letter(delivery, "MaxDeliveryCountExceeded")
    await tick("sweep")
    (item,) = await doors.stores.parked.page(TO_ERP)
    assert (item.key, item.code) == (ACCOUNT, "CD-4403")
    assert doors.queue.counts(TO_ERP).dead == 0


@pytest.mark.parametrize("name", ["walks", "drain", "sweep", "subscriptions", "compare", "schema_drift"])
async def test_a_tick_that_fails_says_no_more_than_it_may(
    doors: Doors, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    """The next tick comes; the text of an unforeseen error goes nowhere."""

    async def fail(*_: object) -> None:
        raise ValueError("Kontoinhaber-4711")

    monkeypatch.setattr(type(doors.app), "engine", fail)
    with caplog.at_level(logging.DEBUG), pytest.raises(RunFailed) as raised:
        await tick(name)
    assert "Kontoinhaber" not in str(raised.value) + caplog.text


def test_the_timers_tick_as_their_settings_say(doors: Doors) -> None:
    """Defaults where there is no setting; the host would load no function with an unresolved %NAME%."""
    found = {one.name: one.trigger for one in doors.host.functions() if isinstance(one.trigger, TimerTrigger)}
    assert {name: trigger.schedule.text for name, trigger in found.items()} == {
        "walks": "*/30 * * * * *",
        "drain": "*/10 * * * * *",
        "sweep": "15 * * * * *",
        "subscriptions": "0 7 * * * *",
        "compare": "0 0 2 * * *",
        "schema_drift": "0 20 2 * * *",
    }
    assert not any(trigger.run_on_startup or trigger.use_monitor for trigger in found.values())
    assert schedule("walks", {"CROSSDOCK_WALKS_SCHEDULE": "0 * * * * *"}) == "%CROSSDOCK_WALKS_SCHEDULE%"
    assert schedule("walks", {"CROSSDOCK_WALKS_SCHEDULE": " "}) == "*/30 * * * * *"
