"""What IFS field service posts, at the door: ids are queued, nothing else is kept, and hostile bodies queue nothing."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from local.definitions import read_definition
from shared.app import installed
from shared.connectors.field_service.outbound import MAX_BODY_BYTES
from shared.errors import QueueUnavailable
from shared.notices import NO_TRANSFER
from shared.sync.ports import Side
from tests.scenarios.doors.test_field_service_door import FSM_SECRET, FSM_SECRET_BEFORE, IFS_SECRET, SETTINGS, signed
from tests.scenarios.doors.world import SECRETS, Doors, DownQueue, dump, shipped

SITE = {"outbound": {"TaskCompleted": {"table": "task", "key": ["TaskId"]}}, "time_zone": "Europe/Rome"}
TASKS, WORK = "job_to_fsm", "job_to_ifs_cloud"
SYSTEMS = {"fsm": "task", "ifs_cloud": "WorkTaskHandling.JtTaskSet"}
MARKER = "Mario Rossi, Via Roma 1"


def between(system: str) -> Any:
    """A definition between the CRM's service jobs and the tasks of a field service."""
    text = f"""
pair: {{dataverse: cdock_servicejob, {system}: {SYSTEMS[system]}}}
transfers:
  job_to_{system}: {{walk: every hour}}
fields:
  - {{dataverse: cdock_name, {system}: description, master: dataverse}}
"""
    return read_definition(text, f"transfers/{system}.yaml")


@pytest.fixture
async def field() -> AsyncIterator[Doors]:
    """The doors of an installation with both kinds of field service."""
    settings = SETTINGS | {"CROSSDOCK_FSM_SITE": json.dumps(SITE)}
    made = Doors(environment=settings, definitions=(shipped(), between("fsm"), between("ifs_cloud")))
    await made.rows.prepare()
    systems = {"dataverse": made.crm, "business_central": made.erp, "fsm": made.erp, "ifs_cloud": made.erp}
    with installed(made.new_app(connectors=systems)) as app:
        made.app = app
        yield made
    await made.http.aclose()
    await made.app.aclose()
    await made.rows.aclose()


async def posted(doors: Doors, body: Any, secret: str = FSM_SECRET, **headers: str) -> httpx.Response:
    """Post a message."""
    raw = body if isinstance(body, bytes) else dump(body)
    return await doors.http.post("/api/fsm/outbound", content=raw, headers={"x-crossdock-secret": secret} | headers)


async def queued(doors: Doors) -> dict[str, list[tuple[str, ...]]]:
    """The keys of each message, by the transfers that have any."""
    return {name: [one.keys for one in messages] for name, messages in (await doors.queued()).items() if messages}


async def test_a_completed_task_arrives_at_once(field: Doors) -> None:
    """R-205, R-230: by an event action of IFS Cloud, by a message of an FSM server; each speaks for its own system."""
    action = b'{"table": "WorkTaskHandling.JtTaskSet", "key": "4711"}'
    assert (await posted(field, action, IFS_SECRET)).status_code == 202
    xml = b"<TaskCompleted><TaskId>T-7</TaskId><status>COMPLETED</status></TaskCompleted>"
    assert (await posted(field, xml, FSM_SECRET_BEFORE)).status_code == 202
    found = await field.queued()
    for name, table, key in ((WORK, SYSTEMS["ifs_cloud"], "4711"), (TASKS, "task", "T-7")):
        (message,) = found[name]
        assert (message.table, message.keys, message.side, message.cause) == (table, (key,), Side.RIGHT, "webhook")
    assert field.app.notices.counts["field_service: queued"] == 2


async def test_a_signed_message_needs_no_secret_in_a_header(field: Doors) -> None:
    """As the checks take it."""
    body = b'{"table": "task", "key": "T-7"}'
    headers = signed(field, FSM_SECRET, body)
    assert (await field.http.post("/api/fsm/outbound", content=body, headers=headers)).status_code == 202
    assert await queued(field) == {TASKS: [("T-7",)]}
    assert (await field.http.post("/api/fsm/outbound", content=body + b" ", headers=headers)).status_code == 401


async def test_a_doubled_message_is_one_and_a_second_change_another(field: Doors) -> None:
    """By the sender's id. Without any, nothing is taken for a repetition, whatever the words."""
    for message_id in ("m-1", "m-1", "m-2"):
        await posted(field, {"table": "task", "key": "T-7", "messageId": message_id})
    assert await queued(field) == {TASKS: [("T-7",), ("T-7",)]}
    for _ in range(2):
        await posted(field, {"table": "task", "key": "T-7"})
    assert await queued(field) == {TASKS: [("T-7",), ("T-7",)]}


async def test_what_concerns_no_definition_is_answered_and_counted(field: Doors) -> None:
    """An unknown table, records without a key, another's system: nothing is queued, nobody is told to send again."""
    assert (await posted(field, {"table": "person", "key": "1"})).status_code == 200
    assert (await posted(field, [])).status_code == 200
    assert (await posted(field, [{"table": "task"}, 7])).status_code == 200
    assert (await posted(field, b"<m><person/></m>")).status_code == 200
    assert (await posted(field, {"table": "task", "key": "T-7"}, IFS_SECRET)).status_code == 200
    assert await field.nothing_queued()
    counts = {name: times for name, times in field.app.notices.counts.items() if name.startswith("field_service")}
    assert counts == {
        f"field_service: {NO_TRANSFER}": 2,
        "field_service: no record is named": 1,
        "field_service: a record of another shape": 1,
        "field_service: no table of a definition is named": 1,
    }


BOMB = b'<!DOCTYPE a [<!ENTITY x "xx"><!ENTITY y "&x;&x;">]><task><task_id>&y;</task_id></task>'
FILE = b'<!DOCTYPE a [<!ENTITY f SYSTEM "file:///etc/passwd">]><task><task_id>&f;</task_id></task>'


@pytest.mark.parametrize(
    "body", [b"", b"T-7", BOMB, FILE, b"<a>" * 100_000, b"[" * 100_000, b'{"key": "T-7"}', b"\xff\xfe"]
)
async def test_a_hostile_body_is_refused_and_queues_nothing(field: Doors, body: bytes) -> None:
    """400 with a code; nothing of the body comes back."""
    answer = await posted(field, body)
    assert (answer.status_code, answer.json()["code"]) == (400, "CD-5001")
    assert "T-7" not in answer.text
    assert await field.nothing_queued()


async def test_a_body_that_is_too_large_is_not_parsed(field: Doors) -> None:
    """413; one that is as large as allowed goes through, a hundred records in a message."""
    row = b'{"table": "task", "key": "T-%06d"},'
    rows = [row % number for number in range(500)]
    body = b"[" + b"".join(rows).rstrip(b",") + b"]"
    assert (await posted(field, body.ljust(MAX_BODY_BYTES + 1))).status_code == 413
    assert (await posted(field, body.ljust(MAX_BODY_BYTES))).status_code == 202
    assert [len(keys) for keys in (await queued(field))[TASKS]] == [100] * 5


async def test_when_the_queue_takes_nothing_the_sender_is_asked_to_send_again(field: Doors) -> None:
    """503, and nothing is counted as queued."""
    down = DownQueue(field.queue, frozenset({TASKS}), QueueUnavailable())
    systems = field.app.outside.connectors
    with installed(field.new_app(connectors=systems, queue=down)) as app:
        assert (await posted(field, {"table": "task", "key": "T-7"})).status_code == 503
        assert app.notices.counts["field_service: queued"] == 0


async def test_a_wrong_binding_closes_the_door_of_that_system_and_says_so(field: Doors) -> None:
    """503 until the setting is corrected; its value stays out."""
    field.environment["CROSSDOCK_FSM_SITE"] = '{"outbound": {"TaskCompleted": {"table": "secret-task"}}}'
    with installed(field.new_app(connectors=field.app.outside.connectors)):
        answer = await posted(field, {"table": "task", "key": "T-7"})
    assert answer.status_code == 503
    assert "CROSSDOCK_FSM_SITE" in answer.text
    assert "secret-task" not in answer.text


async def test_nothing_but_ids_is_queued_logged_or_answered(field: Doors, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever a message holds beside: of the customer, of the work, of the sender."""
    told = {"messageId": MARKER, "at": MARKER, "customer": {"name": MARKER}, "notes": [MARKER]}
    xml = f"<m messageId='{MARKER}'><task id='{MARKER}'><task_id>T-8</task_id><who>{MARKER}</who></task></m>".encode()
    bodies = [
        dump({"table": "task", "key": "T-7"} | told),
        xml,
        xml[:-4],
        dump({"table": MARKER, "key": "T-9"}),
        dump(told),
    ]
    with caplog.at_level(logging.DEBUG):
        answers = [await posted(field, body) for body in bodies]
    assert [one.status_code for one in answers] == [202, 202, 400, 200, 400]
    lies = []
    while delivery := await field.queue.receive(TASKS):
        await field.queue.complete(delivery)
        lies.append(delivery.body)
    assert [json.loads(body)["keys"] for body in lies] == [["T-7"], ["T-8"]]
    written = [*lies, *(one.text for one in answers), caplog.text, str(field.app.notices.counts)]
    written += [record.getMessage() for record in caplog.records]
    assert caplog.records
    assert not [text for text in written if re.search("Rossi|Via Roma", text)]
    assert not [text for text in written if any(secret in text for secret in (*SECRETS, FSM_SECRET, IFS_SECRET))]
