"""What field service posts: tables and keys are taken, nothing else is looked at."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.connectors.field_service.outbound import (
    DEEPEST,
    Bound,
    Ignored,
    NotAMessage,
    Sender,
    outbound_of,
    read_message,
)
from shared.sync.notices import Notice

SITE = json.dumps(
    {
        "time_zone": "Europe/Rome",
        "outbound": {
            "TaskCompleted": {"table": "task", "key": ["TaskId"]},
            "stock": {"table": "stock", "key": ["location_id", "part_id"]},
        },
    }
)
FSM = Sender("fsm", ("task", "place", "stock"), outbound_of(SITE))


def read(body: Any, *senders: Sender) -> list[Notice | Ignored]:
    """What is read of a body; text is taken as it is, everything else as JSON."""
    raw = body if isinstance(body, bytes) else (body if isinstance(body, str) else json.dumps(body)).encode()
    ids = (f"new-{number}" for number in count())
    return list(read_message(raw, senders or (FSM,), lambda: next(ids)))


def named(found: Sequence[Notice | Ignored]) -> list[Any]:
    """System, table and key of each notice; the reason of what is ignored."""
    return [(one.system, one.table, one.key) if isinstance(one, Notice) else one for one in found]


def test_json_is_a_record_or_a_list_of_them() -> None:
    """With the key as it is written, or its columns."""
    assert named(read({"table": "task", "key": "T-7"})) == [("fsm", "task", "T-7")]
    several = [{"table": "task", "key": 12}, {"table": "place", "keys": {"place_id": "P,1%"}, "operation": "UPDATE"}]
    assert named(read(several)) == [("fsm", "task", "12"), ("fsm", "place", "P%2C1%25")]
    assert read([]) == []


def test_several_columns_stand_in_the_order_of_the_sites_binding() -> None:
    """However the sender orders them; a table without an entry keeps the sender's order."""
    keys = {"part_id": "4711", "location_id": "VAN-3"}
    assert named(read({"table": "stock", "keys": keys})) == [("fsm", "stock", "VAN-3,4711")]
    assert named(read({"table": "bins", "keys": keys})) == [("fsm", "bins", "4711,VAN-3")]
    assert named(read({"table": "stock", "keys": {"part_id": "4711"}})) == [Ignored.NO_KEY]


def test_xml_elements_named_like_tables_are_records_wherever_they_stand() -> None:
    """By default the key of `task` is `task_id`; a record within another one is a record, too."""
    body = """<?xml version="1.0" encoding="ISO-8859-1"?>
      <f:message xmlns:f="urn:x"><place><place_id> P-1 </place_id><name>Bäckerei Rossi</name>
        <task><task_id><![CDATA[T-7]]></task_id><description>Herr Rossi, 0171 1234</description></task>
      </place><f:task><f:task_id>T-8</f:task_id></f:task></f:message>""".encode("iso-8859-1")
    assert named(read(body)) == [("fsm", "task", "T-7"), ("fsm", "place", "P-1"), ("fsm", "task", "T-8")]


def test_other_names_are_bound_by_the_site() -> None:
    """A message of the server's own, and a key of several columns."""
    assert named(read("<TaskCompleted><TaskId>T-7</TaskId></TaskCompleted>")) == [("fsm", "task", "T-7")]
    stock = "<r><stock><part_id>4711</part_id><location_id>VAN-3</location_id></stock></r>"
    assert named(read(stock)) == [("fsm", "stock", "VAN-3,4711")]
    assert named(read({"table": "TaskCompleted", "keys": {"TaskId": "T-7"}})) == [("fsm", "task", "T-7")]


def test_what_names_no_record_is_told_apart() -> None:
    """A record without its key spoils none of its neighbours; a message about nothing of ours says so."""
    body = "<m><task><name>no key</name></task><task><task_id>T-8</task_id></task></m>"
    assert named(read(body)) == [Ignored.NO_KEY, ("fsm", "task", "T-8")]
    assert named(read("<m><task><a><task_id>T-9</task_id></a></task></m>")) == [Ignored.NO_KEY], "of something else"
    assert read("<m><person><person_id>1</person_id></person></m>") == [Ignored.NO_TABLE]
    rows = [{"table": "task", "key": "T-8"}, {"table": "task"}, {"key": "T-9"}, {"table": "task", "key": True}, 7]
    assert named(read(rows)) == [("fsm", "task", "T-8"), Ignored.NO_KEY, *[Ignored.SHAPE] * 3]


def ids(*bodies: Any) -> list[str]:
    """The ids of the changes that bodies announce, each read by itself but with ids of its own."""
    fresh = (f"new-{number}" for number in count())
    found = [one for body in bodies for one in read_message(body.encode(), (FSM,), lambda: next(fresh))]
    return [one.change_id for one in found if isinstance(one, Notice)]


TASK = {"table": "task", "key": "T-7"}


def test_the_same_message_is_the_same_change() -> None:
    """By the sender's id of it, or by its time and words; each record of a message is a change of its own."""
    for said in ({"messageId": "m-1"}, {"messageId": 17}, {"at": "2026-03-02T11:00:00"}):
        first, second = ids(json.dumps(TASK | said), json.dumps(TASK | said))
        assert first == second
    both = f'<m messageId="m-1" at="x">{"".join(f"<task><task_id>T-{n}</task_id></task>" for n in (1, 2))}</m>'
    first, second, third, fourth = ids(both, both)
    assert (first, second) == (third, fourth)
    assert first != second


def test_a_second_change_is_never_taken_for_the_first() -> None:
    """Two changes of a record may be announced in the same words, or within the same second."""
    assert len(set(ids(*[json.dumps(TASK)] * 2))) == 2
    assert len(set(ids(*["<task><task_id>T-7</task_id></task>"] * 2))) == 2
    at = {"at": "2026-03-02T11:00:00"}
    assert len(set(ids(json.dumps(TASK | at), json.dumps(TASK | at | {"state": "DONE"})))) == 2
    assert len(set(ids(*(json.dumps(TASK | {"messageId": name}) for name in ("m-1", "m-2"))))) == 2


def test_nothing_but_table_and_key_is_kept() -> None:
    """Neither values, nor the sender's own words for its message."""
    told = {"messageId": "order of Mario Rossi", "at": "Rossi", "name": "Mario Rossi", "operation": "Rossi"}
    assert "Rossi" not in repr(read(TASK | told))
    assert "Rossi" not in repr(read("<m messageId='Rossi'><task><task_id>T-7</task_id><name>Rossi</name></task></m>"))


def test_a_message_is_read_for_every_system_that_its_sender_speaks_of() -> None:
    """Two servers may show the same secret; each has its own tables and names."""
    other = Sender("fsm_test", ("place",), {"task": Bound(table="work", key=("task_id",))})
    body = "<task><task_id>T-7</task_id></task>"
    assert named(read(body, FSM, other)) == [("fsm", "task", "T-7"), ("fsm_test", "work", "T-7")]


BOMB = '<!DOCTYPE a [<!ENTITY x0 "xxxxxxxxxx">' + "".join(f'<!ENTITY x{n} "{10 * f"&x{n - 1};"}">' for n in range(1, 9))
HOSTILE: dict[str, Any] = {
    "nothing": "",
    "blanks": " \n",
    "a word": "T-7",
    "a text": '"T-7"',
    "a number": "17",
    "no table": {"key": "T-7"},
    "a list of other things": [1, None, "x", []],
    "half an object": '{"table": "task"',
    "twice": '{"table": "task", "key": "1"}{"table": "task", "key": "2"}',
    "NaN": '{"table": "task", "key": NaN}',
    "nested lists": "[" * 100_000,
    "a deep object": '{"table": "task", "key": "1", "x": ' + '{"x":' * DEEPEST + "1" + "}" * DEEPEST + "}",
    "a number without end": '{"table": "task", "key": ' + "9" * 10_000 + "}",
    "half an element": "<task><task_id>T-7</task_id>",
    "two documents": "<a/><b/>",
    "nested elements": "<a>" * 100_000,
    "too deep": "<a>" * (DEEPEST + 1) + "</a>" * (DEEPEST + 1),
    "entities that grow": BOMB + "]><task><task_id>&x8;</task_id></task>",
    "an entity of a file": '<!DOCTYPE a [<!ENTITY f SYSTEM "file:///etc/passwd">]><task><task_id>&f;</task_id></task>',
    "a document type": "<!DOCTYPE task SYSTEM 'http://127.0.0.1:1/x.dtd'><task><task_id>T-7</task_id></task>",
    "an unknown entity": "<task><task_id>&nbsp;</task_id></task>",
    "an unknown encoding": '<?xml version="1.0" encoding="utf-7"?><task><task_id>T-7</task_id></task>',
    "bytes": b"\xff\xfe\x00\x00\x80",
    "a nul": "<task>\0</task>",
}


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE)
def test_what_is_no_message_is_refused_without_its_words(body: Any) -> None:
    """Quickly, and with nothing of it in the error."""
    with pytest.raises(NotAMessage) as caught:
        read(body)
    assert "T-7" not in str(caught.value)


@given(st.binary(max_size=300) | st.text('<>/task_id&;[]{}":, T7!', max_size=200).map(str.encode))
def test_whatever_is_posted_nothing_unforeseen_is_raised(body: bytes) -> None:
    """A notice, a reason, or a refusal."""
    try:
        found = read(body)
    except NotAMessage:
        return
    assert all(isinstance(one, Notice | Ignored) for one in found)


@pytest.mark.parametrize(
    ("site", "place"),
    [("[]", "object"), ("{", "object"), ('{"outbound": {"x": {"table": "t", "key": []}}}', "outbound.x.key")],
)
def test_a_wrong_binding_is_named_by_its_place(site: str, place: str) -> None:
    """Not by its value."""
    with pytest.raises(ValueError, match=place):
        outbound_of(site)
