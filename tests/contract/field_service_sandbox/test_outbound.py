"""What field service tells of changes: in which words, how it shows the secret, and how the messages travel."""

from __future__ import annotations

import hashlib
import hmac
import json
from pathlib import Path
from xml.etree import ElementTree

from sandbox.field_service.outbound import Proof
from tests.contract.field_service_sandbox.conftest import FsmSite, IfsSite, MakeFsm
from tests.contract.hand_clock import HandClock

URL = "https://crossdock.example/api/fsm/outbound"
PLACE = {"place_id": "P-1", "place_type": "CUSTOMER", "name": "Muster & Söhne"}
STOCK = {"location_id": "VAN-3", "part_id": "47,11", "quantity": 2}


async def test_changes_by_people_are_told_with_their_keys(fsm: FsmSite) -> None:
    fsm.sandbox.tell(URL, "secret", tables=["place", "stock"])
    fsm.sandbox.add("place", PLACE)
    fsm.sandbox.add("stock", STOCK)
    fsm.sandbox.add("promotion", {"name": "Spring"})
    await fsm.ask("PATCH", "tables/place/P-1", {"city": "Chur"}, If_Match="*")
    fsm.sandbox.delete("place", "P-1")
    assert fsm.sandbox.waiting_notices() == 3
    assert await fsm.sandbox.deliver_due() == 3
    told = [json.loads(body) for _, body in fsm.receiver.came]
    assert [(one["operation"], one["table"], one.get("key")) for one in told] == [
        ("create", "place", "P-1"),
        ("create", "stock", None),
        ("delete", "place", "P-1"),
    ]
    assert told[1]["keys"] == {"location_id": "VAN-3", "part_id": "47,11"}
    assert told[0]["at"] == "2026-03-02T08:00:00Z"
    assert len({one["messageId"] for one in told}) == 3
    headers, _ = fsm.receiver.came[0]
    assert (headers["x-crossdock-secret"], headers["content-type"]) == ("secret", "application/json; charset=utf-8")


async def test_changes_by_the_interface_are_told_where_that_is_wanted(fsm: FsmSite) -> None:
    fsm.sandbox.tell(URL, "secret", every=True)
    await fsm.ask("POST", "tables/place", PLACE, 201)
    assert await fsm.sandbox.deliver_due() == 1


async def test_a_signature_holds_for_the_body_and_the_time(fsm: FsmSite) -> None:
    fsm.sandbox.tell(URL, "secret", media="application/xml", proof=Proof.SIGNATURE, names={"place": "PlaceChanged"})
    fsm.sandbox.add("place", PLACE)
    await fsm.sandbox.deliver_due()
    ((headers, body),) = fsm.receiver.came
    at = headers["x-crossdock-timestamp"]
    assert int(at) == fsm.clock.now().timestamp()
    signature = hmac.new(b"secret", at.encode() + b"." + body, hashlib.sha256).hexdigest()
    assert headers["x-crossdock-signature"] == f"sha256={signature}"
    assert "x-crossdock-secret" not in headers
    root = ElementTree.fromstring(body)  # noqa: S314 # our own sandbox wrote it
    assert root.keys() == ["messageId", "at"]
    (record,) = root
    assert (record.tag, record.get("operation"), record.findtext("place_id")) == ("PlaceChanged", "create", "P-1")
    assert record.findtext("name") == PLACE["name"]


async def test_an_event_action_tells_table_and_key_and_nothing_else(ifs: IfsSite) -> None:
    ifs.sandbox.tell(URL, "secret")
    ifs.sandbox.add("CustomerHandling.CustomerInfoSet", {"CustomerId": "C-1", "Name": "Muster"})
    task = {"TaskSeq": 12, "CustomerId": "C-1", "WorkTypeId": "Repair", "Description": "Pump"}
    ifs.sandbox.add("WorkTaskHandling.JtTaskSet", task)
    serial = {"PartNo": "A", "SerialNo": "7", "CustomerId": "C-1"}
    ifs.sandbox.add("PartSerialsHandling.PartSerialCatalogSet", serial)
    await ifs.sandbox.flush()
    assert [json.loads(body) for _, body in ifs.receiver.came] == [
        {"table": "CustomerHandling.CustomerInfoSet", "key": "C-1"},
        {"table": "WorkTaskHandling.JtTaskSet", "key": "12"},
        {"table": "PartSerialsHandling.PartSerialCatalogSet", "keys": {"PartNo": "A", "SerialNo": "7"}},
    ]


async def test_messages_are_lost_doubled_and_late(fsm: FsmSite) -> None:
    fsm.sandbox.tell(URL, "secret")
    fsm.sandbox.notice_faults.set(drop=1.0)
    fsm.sandbox.add("place", PLACE)
    assert fsm.sandbox.waiting_notices() == 0
    fsm.sandbox.notice_faults.set(drop=0.0, duplicate=1.0, delay_seconds=(60.0, 60.0))
    fsm.sandbox.edit("place", "P-1", {"city": "Chur"})
    assert await fsm.sandbox.deliver_due() == 0
    fsm.clock.move(minutes=1)
    assert await fsm.sandbox.deliver_due() == 2
    (_, one), (_, other) = fsm.receiver.came
    assert one == other


async def test_what_cannot_be_taken_now_comes_again_and_a_refusal_ends_it(fsm: FsmSite) -> None:
    fsm.sandbox.tell(URL, "secret")
    fsm.receiver.answers = [503, 202, 401]
    fsm.sandbox.add("place", PLACE)
    await fsm.sandbox.deliver_due()
    assert (fsm.sandbox.waiting_notices(), fsm.sandbox.refused) == (1, ())
    fsm.clock.move(minutes=1)
    await fsm.sandbox.deliver_due()
    assert len(fsm.receiver.came) == 2
    fsm.sandbox.edit("place", "P-1", {"city": "Chur"})
    await fsm.sandbox.deliver_due()
    assert (fsm.sandbox.waiting_notices(), fsm.sandbox.refused) == (0, (401,))


async def test_what_waits_survives_the_process_and_goes_to_the_receiver_of_then(make: MakeFsm, tmp_path: Path) -> None:
    file, clock = tmp_path / "fsm.sqlite", HandClock()
    before = make(persist=file, clock=clock)
    before.sandbox.tell("https://gone.example", "old")
    before.sandbox.add("place", PLACE)
    after = make(persist=file, clock=clock)
    after.sandbox.tell(URL, "new")
    assert await after.sandbox.deliver_due() == 1
    assert after.receiver.came[0][0]["x-crossdock-secret"] == "new"
    assert make(persist=file, clock=clock).sandbox.waiting_notices() == 0
