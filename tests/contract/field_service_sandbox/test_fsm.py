"""An FSM 6.x server: its schema, its records and its queries, and what it refuses."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from sandbox.faults import FaultKind, FaultRule
from sandbox.field_service.errors import Refused
from sandbox.field_service.options import Auth
from tests.contract.field_service_sandbox.conftest import HOST, FsmSite, MakeFsm
from tests.contract.hand_clock import HandClock

PLACE: dict[str, Any] = {"place_type": "CUSTOMER", "name": "Muster & Söhne", "active": "Y"}


async def placed(fsm: FsmSite, **more: Any) -> dict[str, Any]:
    return dict(await fsm.told("POST", "tables/place", PLACE | more, 201))


async def test_the_schema_tells_tables_and_columns(fsm: FsmSite) -> None:
    tables = (await fsm.told("GET", "schema"))["tables"]
    assert {"name": "task", "label": "Task"} in tables
    told = await fsm.told("GET", "schema/task")
    columns = {column["name"]: column for column in told["columns"]}
    assert told["keys"] == ["task_id"]
    assert columns["place_id"] == {
        "name": "place_id",
        "type": "text",
        "length": 20,
        "required": True,
        "readOnly": False,
        "references": "place",
        "choices": None,
    }
    assert columns["task_status"]["choices"] == ["OPEN", "SCHEDULED", "ON SITE", "COMPLETED", "CANCELED"]
    assert columns["modified_dttm"]["readOnly"]
    assert (await fsm.refusal("GET", "schema/colours"))[:2] == (404, "UnknownTable")


async def test_a_record_is_made_read_changed_and_deleted(fsm: FsmSite) -> None:
    made = await placed(fsm, credit_limit=Decimal("1234.56"), last_payment_date="2026-02-27")
    assert (made["credit_limit"], made["active"], made["email"]) == (Decimal("1234.56"), "Y", None)
    assert made["modified_dttm"] == "2026-03-02T08:00:00"
    path = f"tables/place/{made['place_id']}"
    read = await fsm.ask("GET", path)
    fsm.clock.move(minutes=1)
    changed = await fsm.ask("PATCH", path, {"phone": "044 000 00 00"}, If_Match=read.headers["ETag"])
    assert (changed.json()["phone"], changed.json()["name"]) == ("044 000 00 00", PLACE["name"])
    assert changed.json()["modified_dttm"] == "2026-03-02T08:01:00"
    assert changed.headers["ETag"] != read.headers["ETag"]
    assert (await fsm.refusal("PATCH", path, {"phone": ""}, If_Match=read.headers["ETag"]))[:2] == (412, "Changed")
    assert (await fsm.refusal("PATCH", path, {"phone": ""}))[0] == 428
    assert (await fsm.told("PATCH", path, {"phone": ""}, If_Match="*"))["phone"] is None
    await fsm.ask("DELETE", path, status=204)
    assert (await fsm.refusal("GET", path))[:2] == (404, "NotFound")
    assert (await fsm.refusal("DELETE", path))[:2] == (404, "NotFound")


async def test_a_repeated_create_creates_again(fsm: FsmSite) -> None:
    first, second = await placed(fsm, crm_id="A"), await placed(fsm, crm_id="A")
    assert first["place_id"] != second["place_id"]
    assert len(fsm.sandbox.rows("place")) == 2


async def test_only_the_key_is_unique(fsm: FsmSite) -> None:
    await placed(fsm, place_id="P,1/%")
    assert await fsm.refusal("POST", "tables/place", PLACE | {"place_id": "P,1/%"}) == (409, "DuplicateKey", "place_id")
    await placed(fsm, place_id="p,1/%")
    assert (await fsm.told("GET", "tables/place/P%2C1%2F%25"))["place_id"] == "P,1/%"
    assert (await fsm.refusal("GET", "tables/place/P,1%2F%25"))[:2] == (404, "NotFound")


async def test_a_key_of_several_columns_has_all_of_them(fsm: FsmSite) -> None:
    stock = {"location_id": "VAN-3", "part_id": "47,11", "quantity": 2}
    await fsm.ask("POST", "tables/stock", stock, 201)
    assert await fsm.refusal("POST", "tables/stock", {"part_id": "1", "quantity": 2}) == (
        422,
        "Required",
        "location_id",
    )
    assert (await fsm.told("GET", "tables/stock/VAN-3,47%2C11"))["quantity"] == 2
    assert list(fsm.sandbox.rows("stock")) == ["VAN-3,47%2C11"]


@pytest.mark.parametrize(
    ("changes", "code", "column"),
    [
        ({"name": ""}, "Required", "name"),
        ({"name": "x" * 101}, "TooLong", "name"),
        ({"place_type": "FACTORY"}, "BadValue", "place_type"),
        ({"active": True}, "BadValue", "active"),
        ({"active": "y"}, "BadValue", "active"),
        ({"credit_limit": "12"}, "BadValue", "credit_limit"),
        ({"last_payment_date": "2026-02-30"}, "BadValue", "last_payment_date"),
        ({"last_payment_date": "20260227"}, "BadValue", "last_payment_date"),
        ({"modified_dttm": "2026-03-02T08:00:00"}, "ReadOnly", "modified_dttm"),
        ({"colour": "red"}, "UnknownColumn", "colour"),
    ],
)
async def test_a_wrong_column_is_named(fsm: FsmSite, changes: dict[str, Any], code: str, column: str) -> None:
    assert await fsm.refusal("POST", "tables/place", PLACE | changes) == (422, code, column)
    made = await placed(fsm)
    path = f"tables/place/{made['place_id']}"
    assert await fsm.refusal("PATCH", path, changes, If_Match="*") == (422, code, column)
    assert list(fsm.sandbox.rows("place")) == [made["place_id"]]


async def test_references_lead_to_records(fsm: FsmSite) -> None:
    task = {"place_id": "P-1", "task_type": "REPAIR", "description": "Pump"}
    assert await fsm.refusal("POST", "tables/task", task) == (422, "UnknownReference", "place_id")
    await placed(fsm, place_id="P-1")
    made = await fsm.told("POST", "tables/task", task, 201)
    assert (await fsm.refusal("DELETE", "tables/place/P-1"))[:2] == (409, "Referenced")
    path = f"tables/task/{made['task_id']}"
    assert await fsm.refusal("PATCH", path, {"task_id": "T-2"}, If_Match="*") == (422, "ReadOnly", "task_id")
    for zoned in ("2026-03-02T08:00:00Z", "2026-03-02 08:00:00", "2026-03-02T08:00:00.5"):
        assert (await fsm.refusal("PATCH", path, {"plan_start_dttm": zoned}, If_Match="*"))[1] == "BadValue"


async def test_a_query_filters_orders_and_cuts(fsm: FsmSite) -> None:
    for number in range(5):
        fsm.clock.move(minutes=1)
        await placed(fsm, place_id=f"P-{number}", city="Zürich" if number % 2 else None)
    assert await fsm.query("place", ["place_id"], ("place_id", "in", ["P-3", "P-9", "p-1"]))
    rows = await fsm.query("place", ["place_id", "city"], ("modified_dttm", "ge", ["2026-03-02T08:02:00"]), limit=1000)
    assert {row["place_id"]: row.get("city") for row in rows} == {
        "P-1": "Zürich",
        "P-2": None,
        "P-3": "Zürich",
        "P-4": None,
    }
    both = ("modified_dttm", "gt", ["2026-03-02T08:02:00"]), ("modified_dttm", "le", ["2026-03-02T08:04:00"])
    ordered = await fsm.query("place", ["place_id"], *both, orderBy=["city", "place_id"])
    assert [row["place_id"] for row in ordered] == ["P-3", "P-2"]
    cut = await fsm.query("place", ["place_id"], orderBy=["place_id"], limit=2, offset=1)
    assert [row["place_id"] for row in cut] == ["P-1", "P-2"]
    assert cut[0]["@etag"] == (await fsm.ask("GET", "tables/place/P-1")).headers["ETag"]


async def test_a_server_may_tell_versions_of_records_only(make: MakeFsm) -> None:
    fsm = make(versions_in_queries=False)
    await placed(fsm, place_id="P-1")
    assert await fsm.query("place", ["place_id"]) == [{"place_id": "P-1"}]
    assert "ETag" in (await fsm.ask("GET", "tables/place/P-1")).headers


async def test_what_the_order_leaves_equal_comes_in_any_order(fsm: FsmSite) -> None:
    for _ in range(3):
        await placed(fsm)
    one, other = [await fsm.query("place", ["place_id"], orderBy=["name"]) for _ in range(2)]
    assert one == other[::-1]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"columns": ["colour"]}, "UnknownColumn"),
        ({"columns": []}, "BadFilter"),
        ({"orderBy": ["colour"]}, "UnknownColumn"),
        ({"limit": 1001}, "BadFilter"),
        ({"limit": None}, "BadFilter"),
        ({"offset": -1}, "BadFilter"),
        ({"where": "1=1"}, "BadFilter"),
        ({"filter": [{"column": "colour", "operator": "in", "values": ["x"]}]}, "UnknownColumn"),
        ({"filter": [{"column": "name", "operator": "like", "values": ["x"]}]}, "BadFilter"),
        ({"filter": [{"column": "name", "operator": "in", "values": []}]}, "BadFilter"),
        ({"filter": [{"column": "name", "operator": "in", "values": ["x"] * 101}]}, "BadFilter"),
        ({"filter": [{"column": "name", "operator": "in", "values": [None]}]}, "BadFilter"),
        ({"filter": [{"column": "name", "operator": "ge", "values": ["x", "y"]}]}, "BadFilter"),
        ({"filter": [{"column": "credit_limit", "operator": "ge", "values": ["12"]}]}, "BadFilter"),
        ({"filter": [{"column": "active", "operator": "ge", "values": ["Y"]}]}, "BadFilter"),
        ({"filter": [{"column": "name", "operator": "in"}]}, "BadFilter"),
    ],
)
async def test_wrong_queries_are_refused(fsm: FsmSite, changes: dict[str, Any], code: str) -> None:
    body = {"columns": ["name"], "filter": [], "orderBy": [], "limit": 10, "offset": 0, **changes}
    assert (await fsm.refusal("POST", "tables/place/query", body))[:2] == (400, code)


async def test_what_is_not_foreseen_is_said_so(fsm: FsmSite) -> None:
    await fsm.ask("GET", "colours", status=501)
    await fsm.ask("GET", "tables/place/1?expand=tasks", status=501)
    await fsm.ask("POST", "tables/place", PLACE, status=501, Prefer="return=minimal")
    assert len(fsm.sandbox.requests.unforeseen()) == 3
    assert (await fsm.refusal("PUT", "tables/place/1"))[:2] == (405, "MethodNotAllowed")
    assert (
        await fsm.client.post("tables/place", content=b"{", headers={"Content-Type": "text/plain"})
    ).status_code == 415
    for body in (b"{", b"[]", b'{"credit_limit": NaN}'):
        answer = await fsm.client.post("tables/place", content=body, headers={"Content-Type": "application/json"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "BadBody")


async def test_times_are_those_on_the_wall_of_the_installation(make: MakeFsm) -> None:
    """In the hour that the clocks go back, a later change has an earlier time."""
    clock = HandClock()
    fsm = make(zone="Europe/Zurich", clock=clock)
    clock.move(seconds=(datetime(2026, 10, 25, 0, 40, tzinfo=UTC) - clock.now()).total_seconds())
    first = await placed(fsm)
    clock.move(minutes=30)
    second = await placed(fsm)
    assert (first["modified_dttm"], second["modified_dttm"]) == ("2026-10-25T02:40:00", "2026-10-25T02:10:00")


async def test_an_installation_may_word_things_otherwise(make: MakeFsm) -> None:
    paths = {"read": "entity/{table}({key})", "update": "entity/{table}({key})", "query": "search/{table}"}
    fsm = make(versions=False, flags=("true", "false"), paths=paths, auth=Auth.API_KEY)
    fsm.sandbox.rename_column("place", "modified_dttm", "changed_on")
    made = await fsm.ask("POST", "tables/place", PLACE | {"active": "true"}, 201)
    assert "ETag" not in made.headers
    assert made.json()["changed_on"] == "2026-03-02T08:00:00"
    path = f"entity/place({made.json()['place_id']})"
    assert (await fsm.told("PATCH", path, {"active": "false"}, If_Match='"old"'))["active"] == "false"
    query = {"columns": ["name"], "limit": 5}
    assert (await fsm.told("POST", "search/place", query))["rows"] == [{"name": PLACE["name"]}]
    assert (await fsm.told("GET", path))["active"] == "false"
    await fsm.ask("POST", "tables/place/query", query, 405)


@pytest.mark.parametrize("auth", list(Auth))
async def test_one_signs_in_as_the_installation_says(make: MakeFsm, auth: Auth) -> None:
    fsm = make(auth=auth)
    if auth is Auth.OAUTH2:
        fsm.client.headers["Authorization"] = f"Bearer {fsm.issuer.issue('crossdock', 'api://fsm')}"
    await fsm.ask("GET", "schema")
    fsm.sandbox.set(password="changed", api_key="changed", audience="api://another")
    assert (await fsm.refusal("GET", "schema"))[:2] == (401, "Unauthorized")


async def test_a_table_may_be_closed_to_the_user(make: MakeFsm) -> None:
    fsm = make(denied=frozenset({"contract"}))
    names = [table["name"] for table in (await fsm.told("GET", "schema"))["tables"]]
    assert "task" in names
    assert "contract" not in names
    assert (await fsm.refusal("GET", "schema/contract"))[:2] == (403, "Forbidden")


async def test_too_many_requests_wait(make: MakeFsm) -> None:
    fsm = make(requests_per_minute=2)
    await fsm.ask("GET", "schema")
    fsm.clock.move(seconds=20)
    await fsm.ask("GET", "schema")
    late = await fsm.ask("GET", "schema", status=429)
    assert late.headers["Retry-After"] == "40"
    fsm.clock.move(seconds=40)
    await fsm.ask("GET", "schema")


async def test_messages_are_performed(fsm: FsmSite) -> None:
    fsm.sandbox.perform("greet", lambda said: {"hello": said["name"]})
    assert await fsm.told("POST", "messages/greet", {"name": "Anna"}) == {"hello": "Anna"}
    assert (await fsm.refusal("POST", "messages/curse", {}))[:2] == (404, "UnknownMessage")


async def test_people_add_columns_and_tables(fsm: FsmSite) -> None:
    """R-223, R-224, R-225: what people change shows at once."""
    await placed(fsm, place_id="P-1", web="https://a.example")
    fsm.sandbox.add_column("place", name="floor", type="whole")
    fsm.sandbox.rename_column("place", "web", "site")
    fsm.sandbox.drop_column("place", "phone")
    names = [column["name"] for column in (await fsm.told("GET", "schema/place"))["columns"]]
    assert ("floor" in names, "site" in names, "web" in names, "phone" in names) == (True, True, False, False)
    changed = await fsm.told("PATCH", "tables/place/P-1", {"floor": 3}, If_Match="*")
    assert (changed["floor"], changed["site"]) == (3, "https://a.example")
    columns = [
        {"name": "visit_id", "type": "text", "length": 20},
        {"name": "place_id", "type": "text", "references": "place", "required": True},
        {"name": "modified_dttm", "type": "time", "readOnly": True},
    ]
    fsm.sandbox.add_table("visit", ["visit_id"], columns, label="Visit")
    await fsm.ask("POST", "tables/visit", {"place_id": "P-1"}, 201)
    assert await fsm.refusal("POST", "tables/visit", {"place_id": "P-2"}) == (422, "UnknownReference", "place_id")
    assert len(await fsm.query("visit", ["visit_id"])) == 1
    with pytest.raises(ValueError, match="place_id"):
        fsm.sandbox.drop_column("place", "place_id")


async def test_people_change_the_application_over_http(fsm: FsmSite) -> None:
    """R-223, R-224, R-225: while a local run serves; what cannot be is refused and changes nothing."""
    tables = f"{HOST}/_sandbox/tables"
    columns = [{"name": "tool_id", "type": "text"}, {"name": "weight", "type": "amount"}]
    await fsm.ask("POST", tables, {"name": "tool", "keys": ["tool_id"], "columns": columns}, 204)
    await fsm.ask("POST", f"{tables}/tool/columns", {"name": "colour", "type": "text"}, 204)
    await fsm.ask("PATCH", f"{tables}/tool/columns/weight", {"name": "weight_kg"}, 204)
    await fsm.ask("DELETE", f"{tables}/tool/columns/colour", status=204)
    for path, body in ((tables, {"name": "tool"}), (f"{tables}/tools/columns", {"name": "a", "type": "text"})):
        await fsm.ask("POST", path, body, 400)
    await fsm.ask("DELETE", f"{tables}/tool/columns/tool_id", status=400)
    told = await fsm.told("GET", "schema/tool")
    assert [column["name"] for column in told["columns"]] == ["tool_id", "weight_kg"]


async def test_what_was_answered_survives_the_process(make: MakeFsm, tmp_path: Path) -> None:
    file, clock = tmp_path / "fsm.sqlite", HandClock()
    fsm = make(persist=file, clock=clock)
    made = await placed(fsm, credit_limit=Decimal("0.10"), last_payment_date="2026-02-27")
    fsm.sandbox.add_column("place", name="floor", type="whole")
    fsm.sandbox.edit("place", made["place_id"], {"floor": 2})
    columns = [{"name": "visit_id", "type": "text"}]
    fsm.sandbox.add_table("visit", ["visit_id"], columns)
    visit = fsm.sandbox.add("visit", {})
    before = fsm.sandbox.rows("place")
    again = make(persist=file, clock=clock)
    assert again.sandbox.rows("place") == before
    assert list(again.sandbox.rows("visit")) == [visit]
    again.sandbox.reset()
    assert again.sandbox.rows("place") == {}
    with pytest.raises(KeyError):
        again.sandbox.rows("visit")


async def test_people_keep_the_rules_and_may_write_what_the_interface_may_not(fsm: FsmSite) -> None:
    fsm.sandbox.add_column("place", name="rank", type="whole", readOnly=True)
    key = fsm.sandbox.add("place", PLACE | {"rank": 1})
    assert fsm.sandbox.rows("place")[key]["rank"] == 1
    assert await fsm.refusal("PATCH", f"tables/place/{key}", {"rank": 2}, If_Match="*") == (422, "ReadOnly", "rank")
    with pytest.raises(Refused, match="BadValue place_type"):
        fsm.sandbox.edit("place", key, {"place_type": "FACTORY"})
    fsm.sandbox.delete("place", key)
    assert fsm.sandbox.rows("place") == {}


async def test_faults_strike(fsm: FsmSite) -> None:
    made = await placed(fsm)
    path = f"tables/place/{made['place_id']}"
    await fsm.ask("PATCH", path, {"city": "Chur"}, If_Match="*")
    fsm.sandbox.faults.add(FaultRule(FaultKind.STALE_READ, times=1))
    assert (await fsm.told("GET", path))["city"] is None
    fsm.sandbox.faults.add(FaultRule(FaultKind.THROTTLED, retry_after_seconds=7, times=1))
    answer = await fsm.ask("GET", path, status=429)
    assert (answer.headers["Retry-After"], answer.json()["error"]["code"]) == ("7", "TooManyRequests")
