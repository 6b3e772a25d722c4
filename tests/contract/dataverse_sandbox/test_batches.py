"""`$batch`: parts in order, change sets as transactions, references, where a failure ends it, and what is refused."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any

import httpx
import pytest

from tests.contract.dataverse_sandbox.conftest import CLIENT_ID, ROOT, Build, Organisation, code_of

FIRST, SECOND = (f"00000000-0000-4000-8000-00000000000{number}" for number in "12")
URL = "https://functions.example/api/webhooks/dataverse"
GOES_ON = {"Prefer": "odata.continue-on-error"}


def part(request: str, body: Any = None, content_id: int | None = None, **headers: str) -> str:
    """One request as a part, as the documents show it."""
    lines = ["Content-Type: application/http", "Content-Transfer-Encoding: binary"]
    lines += [] if content_id is None else [f"Content-ID: {content_id}"]
    lines += ["", f"{request} HTTP/1.1", *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items())]
    if body is None:
        return "\r\n".join([*lines, "", ""])
    return "\r\n".join([*lines, "Content-Type: application/json; type=entry", "", json.dumps(body)])


def change_set(*parts: str) -> str:
    """Parts as one change set."""
    inner = "".join(f"--changeset_1\r\n{one}\r\n" for one in parts)
    return f'Content-Type: multipart/mixed; boundary="changeset_1"\r\n\r\n{inner}--changeset_1--\r\n'


async def send(org: Organisation, *parts: str, headers: dict[str, str] | None = None) -> httpx.Response:
    """Send a batch."""
    body = "".join(f"--batch_1\r\n{one}\r\n" for one in parts) + "--batch_1--\r\n"
    kind = {"Content-Type": 'multipart/mixed; boundary="batch_1"'}
    return await org.client.post("/$batch", content=body.encode(), headers=kind | (headers or {}))


@dataclass
class Told:
    """One answer within a batch's answer."""

    status: int
    headers: dict[str, str]
    body: Any
    content_id: str | None = None


@dataclass
class Answers:
    """A batch's answer, taken apart by Python's own parser."""

    parts: list[Told] = field(default_factory=list)

    @classmethod
    def of(cls, answer: httpx.Response) -> Answers:
        kind = f"Content-Type: {answer.headers['Content-Type']}\r\n\r\n".encode()
        found = cls()
        for one in BytesParser(policy=HTTP).parsebytes(kind + answer.content).walk():
            if one.get_content_type() == "application/http":
                found.parts.append(_told(one.get_payload(decode=True), one["Content-ID"]))
        return found

    @property
    def statuses(self) -> list[int]:
        return [one.status for one in self.parts]


def _told(content: Any, content_id: str | None) -> Told:
    head, _, body = bytes(content).replace(b"\r\n", b"\n").partition(b"\n\n")
    first, *lines = head.decode().splitlines()
    headers = dict(line.split(": ", 1) for line in lines)
    return Told(int(first.split()[1]), headers, json.loads(body) if body.strip() else None, content_id)


async def test_parts_are_carried_out_in_order_and_answered_in_order(org: Organisation) -> None:
    """Absolute and relative addresses; a later part sees what an earlier one wrote."""
    answer = await send(
        org,
        part("POST /api/data/v9.2/accounts", {"name": "Rossi", "accountid": FIRST}),
        part(f"PATCH {ROOT}/accounts({FIRST})", {"telephone1": "1"}, If_Match="*"),
        part(f"GET {ROOT}/accounts?$select=name,telephone1&$filter=name eq 'Rossi'"),
    )
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("multipart/mixed; boundary=batchresponse_")
    told = Answers.of(answer)
    assert told.statuses == [204, 204, 200]
    assert told.parts[0].headers["Location"] == told.parts[0].headers["OData-EntityId"] == f"{ROOT}/accounts({FIRST})"
    assert [row["telephone1"] for row in told.parts[2].body["value"]] == ["1"]


async def test_the_first_failure_ends_a_batch(org: Organisation) -> None:
    """Its status is the whole answer's; what came before stays, what comes after is not run."""
    answer = await send(
        org,
        part("POST /api/data/v9.2/accounts", {"name": "before"}),
        part("POST /api/data/v9.2/accounts", {"name": "x" * 161}),
        part("POST /api/data/v9.2/accounts", {"name": "after"}),
    )
    told = Answers.of(answer)
    assert (answer.status_code, told.statuses) == (400, [204, 400])
    assert told.parts[1].body["error"]["code"] == "0x80044331"
    assert told.parts[1].headers["REQ_ID"]
    assert [row["name"] for row in org.sandbox.rows("account").values()] == ["before"]


async def test_a_batch_goes_on_after_a_failure_when_asked(org: Organisation) -> None:
    """200 whatever happens inside."""
    answer = await send(
        org,
        part("POST /api/data/v9.2/accounts", {"name": "x" * 161}),
        part(f"PATCH /api/data/v9.2/accounts({FIRST})", {"name": "after"}, If_None_Match="*"),
        part(f"PATCH /api/data/v9.2/accounts({FIRST})", {"name": "again"}, If_None_Match="*"),
        part(f"GET /api/data/v9.2/accounts({SECOND})"),
        part("POST /api/data/v9.2/nix", {}),
        headers=GOES_ON,
    )
    assert (answer.status_code, Answers.of(answer).statuses) == (200, [400, 204, 412, 404, 404])
    assert [row["name"] for row in org.sandbox.rows("account").values()] == ["after"]


async def test_a_part_may_ask_for_the_row(org: Organisation) -> None:
    """Each part has headers of its own."""
    told = Answers.of(
        await send(
            org,
            part(
                f"PATCH /api/data/v9.2/accounts({FIRST})?$select=name&tag=ours",
                {"name": "Rossi", "revenue": 1.25},
                Prefer="return=representation",
                If_None_Match="*",
            ),
        )
    )
    assert (told.statuses, told.parts[0].body["name"]) == ([201], "Rossi")
    assert told.parts[0].headers["Preference-Applied"] == "return=representation"


async def test_a_change_set_is_one_transaction_with_references(org: Organisation) -> None:
    """`$1` stands for what request 1 created, in addresses and in bodies; the answers carry their Content-ID."""
    told = Answers.of(
        await send(
            org,
            change_set(
                part("POST /api/data/v9.2/contacts", {"lastname": "Rossi"}, 1),
                part("POST /api/data/v9.2/accounts", {"name": "Mill", "primarycontactid@odata.bind": "$1"}, 2),
                part("PATCH $1", {"parentcustomerid_account@odata.bind": "$2"}, 3),
            ),
        )
    )
    assert (told.statuses, [one.content_id for one in told.parts]) == ([204, 204, 204], ["1", "2", "3"])
    (account,), (contact,) = org.sandbox.rows("account").values(), org.sandbox.rows("contact").values()
    assert account["primarycontactid"] == contact["contactid"]
    assert contact["parentcustomerid"] == account["accountid"]


async def test_one_failure_undoes_the_change_set_and_nothing_else(org: Organisation) -> None:
    """One error for the whole set; rows that were changed or deleted in it are as they were."""
    await org.create(name="old", accountid=FIRST)
    await org.sandbox.register_webhook(
        "account", ["Create", "Update", "Delete"], "https://f.example/x", header=("a", "b")
    )
    answer = await send(
        org,
        part("POST /api/data/v9.2/contacts", {"lastname": "stays"}),
        change_set(
            part("POST /api/data/v9.2/accounts", {"name": "new"}, 1),
            part(f"DELETE /api/data/v9.2/accounts({FIRST})", None, 2),
            part(f"PATCH /api/data/v9.2/accounts({SECOND})", {"name": "x"}, 3, If_Match="*"),
        ),
        part("POST /api/data/v9.2/contacts", {"lastname": "goes on"}),
        headers=GOES_ON,
    )
    told = Answers.of(answer)
    assert told.statuses == [204, 404, 204]
    assert told.parts[1].body["error"]["code"] == "0x80040217"
    assert [row["name"] for row in org.sandbox.rows("account").values()] == ["old"]
    assert len(org.sandbox.rows("contact")) == 2
    assert org.sandbox.waiting_notices() == 0


async def test_a_reference_to_what_is_not_there_yet_is_refused(org: Organisation) -> None:
    """400 with the documented sentence."""
    body = {"name": "x", "primarycontactid@odata.bind": "$2"}
    told = Answers.of(await send(org, change_set(part("POST /api/data/v9.2/accounts", body, 1))))
    text = "Content-ID Reference: '$2' does not exist in the batch context."
    assert (told.statuses, told.parts[0].body["error"]["message"]) == ([400], text)


GET = part("GET /api/data/v9.2/accounts")
MALFORMED = {
    "a GET in a change set": change_set(part("GET /api/data/v9.2/accounts", None, 1)),
    "no Content-ID in a change set": change_set(part("POST /api/data/v9.2/accounts", {"name": "x"})),
    "a batch in a batch": part("POST /api/data/v9.2/$batch", {}),
    "no request line": "Content-Type: application/http\r\n\r\nnothing\r\n\r\n",
    "another content type": GET.replace("application/http", "application/json"),
    "no blank line": "Content-Type: application/http",
}


@pytest.mark.parametrize("broken", MALFORMED.values(), ids=MALFORMED)
async def test_a_malformed_batch_is_refused_as_a_whole_in_json(org: Organisation, broken: str) -> None:
    """Nothing of it is run."""
    answer = await send(org, part("POST /api/data/v9.2/accounts", {"name": "x"}), broken)
    assert answer.status_code == 400
    assert answer.headers["Content-Type"].startswith("application/json")
    assert code_of(answer) in ("0x80048d19", "0x80060888")
    assert org.sandbox.rows("account") == {}


async def test_a_batch_without_an_end_or_a_boundary_is_refused(org: Organisation) -> None:
    """Half a batch must not be taken for a whole one."""
    content = f"--batch_1\r\n{GET}\r\n".encode()
    for kind in ("multipart/mixed; boundary=batch_1", "multipart/mixed", "application/json"):
        answer = await org.client.post("/$batch", content=content, headers={"Content-Type": kind})
        assert (answer.status_code, code_of(answer)) == (400, "0x80048d19")


async def test_a_thousand_requests_are_the_most(org: Organisation) -> None:
    """Those of change sets count one by one."""
    get = part("GET /api/data/v9.2/WhoAmI")
    assert len(Answers.of(await send(org, *[get] * 1000)).parts) == 1000
    assert (await send(org, *[get] * 1001)).status_code == 400


async def test_a_batch_is_one_request_that_takes_the_time_of_its_parts(build: Build) -> None:
    """By count it is one request; each part takes the time of a request."""
    org = build(max_requests=1, latency_seconds=2, web_servers=1)
    get = part("GET /api/data/v9.2/WhoAmI")
    batch = asyncio.create_task(send(org, *[get] * 3))
    for _ in range(3):
        await org.clock.asleep(2)
        assert not batch.done()
        await org.clock.advance(2)
    answer = await batch
    assert len(Answers.of(answer).parts) == 3
    assert code_of(await org.client.get("/WhoAmI")) == "0x80072322"


async def test_bulk_messages_go_into_batches_and_change_sets(org: Organisation) -> None:
    """A bulk message in a change set is part of its transaction."""
    target = {"@odata.type": "Microsoft.Dynamics.CRM.account", "name": "x"}
    message = "POST /api/data/v9.2/accounts/Microsoft.Dynamics.CRM.CreateMultiple"
    told = Answers.of(await send(org, part(message, {"Targets": [target, target]})))
    assert (told.statuses, len(told.parts[0].body["Ids"])) == ([200], 2)
    failing = part("POST /api/data/v9.2/accounts", {"name": "x" * 161}, 2)
    await send(org, change_set(part(message, {"Targets": [target]}, 1), failing))
    assert len(org.sandbox.rows("account")) == 2


async def test_a_batch_is_carried_out_in_one_persons_name(org: Organisation) -> None:
    """The header of the batch counts for all parts; on one part alone nobody imitated it."""
    anna = "11111111-aaaa-4aaa-8aaa-111111111111"
    anna_id = org.sandbox.add_user("Anna Rossi", anna)
    org.sandbox.allow_acting_for_others(CLIENT_ID)
    parts = [part("POST /api/data/v9.2/accounts", {"name": name}) for name in ("Mill", "Forge")]
    assert Answers.of(await send(org, *parts, headers={"CallerObjectId": anna})).statuses == [204, 204]
    assert {row["createdby"] for row in org.sandbox.rows("account").values()} == {anna_id}
    alone = await send(org, part("POST /api/data/v9.2/accounts", {"name": "Mill"}, CallerObjectId=anna))
    assert alone.status_code == 501
