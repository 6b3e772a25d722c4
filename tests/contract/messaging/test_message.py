"""The message on the queue: what it may hold, what it is called, and what happens to one that is none."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.errors import CrossdockError
from shared.messaging.outgoing import MAX_BODY_BYTES
from shared.sync.message import MAX_KEYS, Message, MessageInvalid
from shared.sync.ports import Side
from tests.contract.domain_stores.fakes import START

MESSAGE = Message(
    transfer="account_to_business_central",
    side=Side.LEFT,
    table="account",
    keys=("3f2b8c1e-0000-4000-8000-00000000a001",),
    cause="webhook",
    occurred_at=START,
    attempt=0,
    correlation_id="c-1",
    change_id="nordwind/op-1/step-1",
)

_texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)
_moments = st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis takes naive bounds
_messages = st.builds(
    Message,
    transfer=_texts,
    side=st.sampled_from(Side),
    table=_texts,
    keys=st.lists(_texts, min_size=1, max_size=5).map(tuple),
    cause=_texts,
    occurred_at=_moments,
    attempt=st.integers(0, 1000),
    correlation_id=_texts,
    change_id=_texts,
    failures=st.integers(0, 1000),
)


@settings(max_examples=60, deadline=None)
@given(message=_messages)
def test_any_message_survives_the_round_trip(message: Message) -> None:
    """As text and as bytes."""
    assert Message.from_json(message.to_json()) == message
    assert Message.from_json(message.to_json().encode()) == message


def test_times_travel_in_utc() -> None:
    """Whatever zone they had."""
    summer = replace(MESSAGE, occurred_at=datetime(2026, 7, 1, 10, tzinfo=timezone(timedelta(hours=2))))
    assert json.loads(summer.to_json())["occurred_at"] == "2026-07-01T08:00:00Z"
    assert Message.from_json(summer.to_json()).occurred_at.tzinfo is UTC


def test_the_same_news_for_several_transfers_differ_in_their_address_only() -> None:
    """Each is what a message of its own would be; the id is that of the change, each queue knows it for itself."""
    addresses = [("account_to_business_central", Side.LEFT), ('Größe "eins"', Side.RIGHT)]
    assert MESSAGE.outgoing_to(addresses) == {
        transfer: replace(MESSAGE, transfer=transfer, side=side).outgoing() for transfer, side in addresses
    }


def test_half_a_character_is_refused_before_it_is_sent() -> None:
    """Nobody could read it; the text says so without showing it."""
    for field in ("transfer", "table", "cause", "correlation_id", "change_id"):
        with pytest.raises(MessageInvalid, match="half a surrogate pair"):
            replace(MESSAGE, **{field: "x\ud800"}).to_json()  # type: ignore[arg-type]  # the field's name is chosen here


def test_the_id_is_that_of_the_change() -> None:
    """The same change has the same id, a retry and another change have others, and none is too long."""
    long = replace(MESSAGE, change_id="x" * 300)
    ids = [
        MESSAGE.message_id(),
        replace(MESSAGE, attempt=1).message_id(),
        replace(MESSAGE, attempt=2).message_id(),
        replace(MESSAGE, change_id="nordwind/op-2/step-1").message_id(),
        long.message_id(),
        replace(long, attempt=1).message_id(),
        replace(long, change_id="x" * 301).message_id(),
    ]
    assert ids[:2] == ["nordwind/op-1/step-1", "nordwind/op-1/step-1/1"]
    assert len(set(ids)) == len(ids)
    assert max(map(len, ids)) <= 128
    assert replace(MESSAGE, keys=("another",)).message_id() == MESSAGE.message_id()


def test_a_full_message_fits_the_queue() -> None:
    """A hundred keys of the longest kind, with characters that JSON has to escape."""
    full = replace(MESSAGE, keys=tuple(f"{number:03d}" + "ä" * 253 for number in range(MAX_KEYS)))
    assert len(full.to_json().encode()) <= MAX_BODY_BYTES
    assert Message.from_json(full.to_json()) == full


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"keys": ()}, "keys"),
        ({"keys": tuple(map(str, range(101)))}, "keys"),
        ({"transfer": ""}, "transfer"),
        ({"change_id": ""}, "change_id"),
        ({"occurred_at": datetime(2026, 3, 2)}, "occurred_at"),  # noqa: DTZ001 - the fault
    ],
)
def test_what_no_message_may_hold_is_refused_at_once(change: dict[str, object], field: str) -> None:
    """Where it is made, not where it is received; the text names the field."""
    with pytest.raises(MessageInvalid, match=field):
        replace(MESSAGE, **change)  # type: ignore[arg-type]  # the wrong type or value is the point


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("v", 2),
        ("v", "1"),
        ("side", "middle"),
        ("keys", []),
        ("keys", ["k"] * 101),
        ("keys", "K-SECRET"),
        ("keys", [7]),
        ("keys", [""]),
        ("attempt", -1),
        ("attempt", "1"),
        ("attempt", True),
        ("occurred_at", "yesterday SECRET"),
        ("occurred_at", "2026-03-02T08:30:00"),
        ("failures", -1),
        ("transfer", None),
        ("change_id", "x" * 2049),
    ],
)
def test_a_body_that_is_no_message_is_refused_by_field(field: str, value: object) -> None:
    """The text names the field and keeps the value to itself."""
    body = json.loads(MESSAGE.to_json()) | {field: value}
    with pytest.raises(MessageInvalid, match=f"CD-2003 .*{field}") as raised:
        Message.from_json(json.dumps(body))
    assert "SECRET" not in str(raised.value)
    assert raised.value.__cause__ is None
    assert isinstance(raised.value, CrossdockError)


@pytest.mark.parametrize("body", ["", "null", "[]", "{", "SECRET", b"\xff\xfe", '{"v":1}'])
def test_a_body_that_is_no_json_of_ours_is_refused(body: str | bytes) -> None:
    """Empty, cut off, another shape, no text: always the same error."""
    with pytest.raises(MessageInvalid) as raised:
        Message.from_json(body)
    assert "SECRET" not in str(raised.value)


def test_names_of_a_newer_release_are_ignored_and_old_bodies_are_read() -> None:
    """During a deployment two releases share a queue; `failures` was not always there."""
    body = json.loads(MESSAGE.to_json()) | {"colour": "blue"}
    del body["failures"]
    assert Message.from_json(json.dumps(body)) == MESSAGE
