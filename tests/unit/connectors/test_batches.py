"""What comes back from a batch is read part by part, and never guessed at."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.connectors.business_central import batch as of_erp
from shared.connectors.dataverse import batch as of_crm
from shared.errors import UnknownResult
from shared.http_client import Reply
from shared.strict_json import Json, dump

MIXED = "multipart/mixed; boundary=batchresponse_1"


def part(status: str = "204 No Content", body: bytes = b"", *headers: str) -> bytes:
    """One answer as it stands in the answer to a batch."""
    lines = ["--batchresponse_1", "Content-Type: application/http", "Content-Transfer-Encoding: binary", ""]
    lines += [f"HTTP/1.1 {status}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body + b"\r\n"


def answered(*parts: bytes, end: bytes = b"--batchresponse_1--\r\n", kind: str = MIXED) -> Reply:
    """A whole answer to a batch."""
    return Reply(200, httpx.Headers({"content-type": kind}), None, b"".join(parts) + end, "outer")


def test_answers_are_read_in_order_with_headers_and_bodies() -> None:
    """A request id of the part's own, a body with line ends in its texts, an empty body."""
    refused = part("400 Bad Request", b'{"error":{"code":"0x1"}}', "REQ_ID: inner", "Retry-After: 7")
    reply = answered(part("201 Created", b'{"name":"a\\r\\n--batchresponse_1"}'), refused, part())
    first, second, third = of_crm.answers_of(reply, 3) or []
    assert (first.status, first.content, first.request_id) == (201, {"name": "a\r\n--batchresponse_1"}, "outer")
    assert (second.status, second.headers["retry-after"], second.request_id) == (400, "7", "inner")
    assert (third.status, third.content) == (204, None)


@pytest.mark.parametrize(
    "reply",
    [
        answered(part()),
        answered(part(), part(), part()),
        answered(part(), part(), end=b""),
        answered(part(), part(), kind="application/json"),
        answered(part(), part("20x OK")),
        answered(part(), part("200 OK", b'{"half":')),
        answered(part(), b"--batchresponse_1\r\nnothing\r\n"),
        answered(),
    ],
)
def test_an_answer_that_cannot_be_told_apart_for_certain_is_none(reply: Reply) -> None:
    """Too few, too many, cut off, of another kind, without a status, with half a body."""
    assert of_crm.answers_of(reply, 2) is None


@given(raw=st.binary(max_size=300), count=st.integers(0, 3))
def test_no_bytes_whatever_raise(raw: bytes, count: int) -> None:
    """An answer is hostile input."""
    for content in (raw, part() + raw, part("200 OK", raw)):
        of_crm.answers_of(answered(content), count)


@given(names=st.lists(st.text(), min_size=1, max_size=4))
def test_a_batch_holds_its_parts_whatever_their_texts(names: list[str]) -> None:
    """No text can end a part: JSON escapes line ends."""
    parts = [of_crm.Part("POST", "/x", {"If-Match": "*"}, {"name": name}) for name in names]
    pieces = (b"\r\n" + of_crm.batch_of(parts)).split(b"\r\n--batch_crossdock")
    assert len(pieces) == len(names) + 2
    for piece, name in zip(pieces[1:-1], names, strict=True):
        assert piece.endswith(b"\r\nIf-Match: *\r\n\r\n" + dump({"name": name}))
    assert pieces[-1] == b"--\r\n"


def erp_answer(responses: Json) -> Reply:
    """Business Central's answer to a batch."""
    return Reply(200, httpx.Headers(), {"responses": responses}, b"", "outer")


def test_answers_of_the_erp_are_matched_by_id() -> None:
    """In any order; headers of a part are its own."""
    told: Json = [
        {"id": "2", "status": 429, "headers": {"retry-after": "7"}, "body": None},
        {"id": "0", "status": 201, "headers": {}, "body": {"id": "x"}},
    ]
    found = of_erp.parts_of(erp_answer(told), [0, 2])
    assert [one.status for one in found.values() if isinstance(one, Reply)] == [201, 429]
    assert isinstance(found[2], Reply)
    assert found[2].headers["retry-after"] == "7"


@pytest.mark.parametrize("wrong", [[], None, "x", [1], [{"id": 1, "status": 201}], [{"id": "1", "status": True}]])
def test_a_part_of_the_erp_without_a_usable_answer_is_unknown(wrong: Any) -> None:
    """Missing ones may have been executed."""
    found = of_erp.parts_of(erp_answer(wrong), [1])
    assert isinstance(found[1], UnknownResult)
