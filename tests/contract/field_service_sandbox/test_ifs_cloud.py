"""An environment of IFS Cloud: its sign-in, its metadata, its rows, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree

import pytest

from sandbox.faults import FaultKind, FaultRule
from tests.contract.field_service_sandbox.conftest import IfsSite, MakeIfs
from tests.contract.hand_clock import HandClock

CUSTOMERS = "CustomerHandling.svc/CustomerInfoSet"
TASKS = "WorkTaskHandling.svc/JtTaskSet"
SERIALS = "PartSerialsHandling.svc/PartSerialCatalogSet"
CUSTOMER: dict[str, Any] = {"Name": "Muster & Söhne", "Active": True}
TASK: dict[str, Any] = {"CustomerId": "C-1", "WorkTypeId": "Repair", "Description": "Pump"}
EDM = "{http://docs.oasis-open.org/odata/ns/edm}"


async def customer(ifs: IfsSite, **more: Any) -> dict[str, Any]:
    return dict(await ifs.told("POST", CUSTOMERS, CUSTOMER | more, 201))


async def listed(ifs: IfsSite, path: str, **options: str) -> list[dict[str, Any]]:
    query = "&".join(f"${name}={quote(said)}" for name, said in {"top": "100", **options}.items())
    return list((await ifs.told("GET", f"{path}?{query}"))["value"])


async def test_a_token_needs_a_client_and_both_scopes(make_ifs: MakeIfs) -> None:
    ifs = make_ifs()
    assert (await ifs.refusal("GET", f"{CUSTOMERS}?$top=1"))[:2] == (401, "Unauthorized")
    assert (await ifs.sign_in(client_secret="wrong")).status_code == 401
    assert (await ifs.sign_in("openid")).json()["error"] == "invalid_scope"
    assert (await ifs.sign_in(grant_type="password")).json()["error"] == "unsupported_grant_type"
    assert (await ifs.sign_in()).json()["expires_in"] == 180
    assert await listed(ifs, CUSTOMERS) == []
    ifs.clock.move(seconds=180)
    assert (await ifs.refusal("GET", f"{CUSTOMERS}?$top=1"))[:2] == (401, "Unauthorized")


async def test_the_projections_are_listed(ifs: IfsSite) -> None:
    found = (await ifs.told("GET", "AllProjections.svc/Projections?$select=ProjectionName,Description"))["value"]
    names = {one["ProjectionName"]: one["Description"] for one in found}
    assert names["WorkTaskHandling"] == "Work task handling"
    assert len(names) == len(found) == 12


async def test_metadata_tells_keys_types_choices_references_and_who_writes(ifs: IfsSite) -> None:
    answer = await ifs.ask("GET", "WorkTaskHandling.svc/$metadata")
    root = ElementTree.fromstring(answer.content)  # noqa: S314 # our own sandbox wrote it
    (entity,) = [one for one in root.iter(f"{EDM}EntityType") if one.get("Name") == "JtTask"]
    assert [key.get("Name") for key in entity.iter(f"{EDM}PropertyRef")] == ["TaskSeq"]
    properties = {one.get("Name"): one for one in entity.iter(f"{EDM}Property")}
    terms = {
        name: [str(term.get("Term")).rpartition(".")[2] for term in one.iter(f"{EDM}Annotation")]
        for name, one in properties.items()
    }
    assert (terms["TaskSeq"], terms["ModifiedTime"], terms["luname"]) == (["Immutable"], ["Computed"], ["Computed"])
    assert terms["Description"] == []
    assert properties["Description"].attrib == {
        "Name": "Description",
        "Type": "Edm.String",
        "Nullable": "false",
        "MaxLength": "200",
    }
    assert properties["Objstate"].get("Type") == "IfsApp.WorkTaskHandling.JtTaskObjstate"
    states = [one for one in root.iter(f"{EDM}EnumType") if one.get("Name") == "JtTaskObjstate"]
    assert [member.get("Name") for member in states[0]] == ["New", "Scheduled", "WorkStarted", "WorkDone", "Cancelled"]
    leads = {one.get("Name"): one for one in entity.iter(f"{EDM}NavigationProperty")}
    constraints = [(one.get("Property"), one.get("ReferencedProperty")) for one in leads["PartSerialRef"]]
    assert constraints == [("PartNo", "PartNo"), ("SerialNo", "SerialNo")]
    bound = {one.get("Path"): one.get("Target") for one in root.iter(f"{EDM}NavigationPropertyBinding")}
    assert bound["PartSerialRef"] == "IfsApp.PartSerialsHandling.Container/PartSerialCatalogSet"
    uris = [one.get("Uri") for one in root if one.tag.endswith("Reference")]
    assert "../PartSerialsHandling.svc/$metadata" in uris


async def test_a_row_is_made_read_changed_and_deleted(ifs: IfsSite) -> None:
    made = await customer(ifs, CustomerId="C-1", Country="CH")
    assert (made["luname"], made["keyref"], made["Objgrants"]) == ("CustomerInfo", "CUSTOMER_ID=C-1^", None)
    path = f"{CUSTOMERS}(CustomerId='C-1')"
    read = await ifs.told("GET", f"{path}?$select=Name,ModifiedTime")
    assert read.keys() == {"@odata.etag", "luname", "keyref", "Objgrants", "Name", "ModifiedTime"}
    assert read["ModifiedTime"] == "2026-03-02T08:00:00Z"
    assert read["@odata.etag"] == made["@odata.etag"]
    ifs.clock.move(minutes=1)
    changed = await ifs.told("PATCH", path, {"City": "Chur"}, If_Match=made["@odata.etag"])
    assert (changed["City"], changed["Country"], changed["ModifiedTime"]) == ("Chur", "CH", "2026-03-02T08:01:00Z")
    assert (await ifs.refusal("PATCH", path, {"City": ""}, If_Match=made["@odata.etag"]))[:2] == (412, "Changed")
    assert (await ifs.told("PATCH", path, {"City": ""}, If_Match="*"))["City"] is None
    assert (await ifs.refusal("DELETE", path))[0] == 428
    await ifs.ask("DELETE", path, status=204, If_Match="*")
    assert (await ifs.refusal("GET", path))[0] == 404
    assert (await ifs.refusal("PATCH", path, {"City": "Chur"}, If_Match="*"))[0] == 404


async def test_a_change_without_a_version_makes_what_is_not_there(ifs: IfsSite) -> None:
    path = f"{CUSTOMERS}(CustomerId='C-7')"
    assert (await ifs.told("PATCH", path, CUSTOMER, 201))["CustomerId"] == "C-7"
    assert (await ifs.told("PATCH", path, {"City": "Chur"}))["City"] == "Chur"


async def test_a_repeated_create_creates_again_and_only_the_key_is_unique(ifs: IfsSite) -> None:
    first, second = await customer(ifs, Cf_CrmId="A"), await customer(ifs, Cf_CrmId="A")
    assert first["CustomerId"] != second["CustomerId"]
    taken = CUSTOMER | {"CustomerId": first["CustomerId"]}
    assert await ifs.refusal("POST", CUSTOMERS, taken) == (409, "DuplicateKey", "CustomerId")


async def test_keys_of_several_columns_and_of_numbers(ifs: IfsSite) -> None:
    await customer(ifs, CustomerId="C-1")
    serial = {"PartNo": "A'1", "SerialNo": "7,/8", "CustomerId": "C-1"}
    await ifs.ask("POST", SERIALS, serial, 201)
    key = quote("PartNo='A''1',SerialNo='7,/8'", safe="=',")
    assert (await ifs.told("GET", f"{SERIALS}({key})"))["keyref"] == "PART_NO=A'1^SERIAL_NO=7,/8^"
    task = await ifs.told("POST", TASKS, TASK | {"PartNo": "A'1", "SerialNo": "7,/8"}, 201)
    assert (await ifs.told("GET", f"{TASKS}(TaskSeq={task['TaskSeq']})"))["PartNo"] == "A'1"
    for wrong in ("TaskSeq='1'", "1", "TaskSeq=1,", "WoNo=1", ""):
        assert (await ifs.refusal("GET", f"{TASKS}({wrong})"))[:2] == (400, "BadKey")
    for wrong in ("PartNo='A'", "PartNo=1,SerialNo='7'"):
        assert (await ifs.refusal("GET", f"{SERIALS}({wrong})"))[:2] == (400, "BadKey")
    elsewhere = TASK | {"PartNo": "A'1", "SerialNo": "9"}
    assert await ifs.refusal("POST", TASKS, elsewhere) == (400, "UnknownReference", "PartSerialRef")
    half = await ifs.told("POST", TASKS, TASK | {"PartNo": "A'1"}, 201)
    assert half["SerialNo"] is None
    used = f"{CUSTOMERS}(CustomerId='C-1')"
    assert (await ifs.refusal("DELETE", used, If_Match="*"))[:2] == (400, "Referenced")


@pytest.mark.parametrize(
    ("changes", "code", "column"),
    [
        ({"Name": None}, "Required", "Name"),
        ({"Country": "CHE"}, "TooLong", "Country"),
        ({"Active": "Y"}, "BadValue", "Active"),
        ({"LastPaymentDate": "2026-03-02T00:00:00Z"}, "BadValue", "LastPaymentDate"),
        ({"ModifiedTime": "2026-03-02T00:00:00Z"}, "ReadOnly", "ModifiedTime"),
        ({"Colour": "red"}, "UnknownColumn", "Colour"),
        ({"luname": "CustomerInfo"}, "UnknownColumn", "luname"),
    ],
)
async def test_a_wrong_property_is_named(ifs: IfsSite, changes: dict[str, Any], code: str, column: str) -> None:
    assert await ifs.refusal("POST", CUSTOMERS, CUSTOMER | changes) == (400, code, column)
    await customer(ifs, CustomerId="C-1")
    path = f"{CUSTOMERS}(CustomerId='C-1')"
    assert await ifs.refusal("PATCH", path, changes, If_Match="*") == (400, code, column)
    assert await ifs.refusal("PATCH", path, {"CustomerId": "C-1"}, If_Match="*") == (400, "ReadOnly", "CustomerId")


async def test_a_list_is_filtered_ordered_and_cut(ifs: IfsSite) -> None:
    await customer(ifs, CustomerId="C-1")
    for number in range(4):
        ifs.clock.move(seconds=30)
        state = {"Objstate": "WorkDone"} if number % 2 else {}
        await ifs.ask("POST", TASKS, TASK | state | {"TaskSeq": number, "PlannedStart": "2026-03-02T08:00:00.5Z"}, 201)
    since = await listed(ifs, TASKS, filter="ModifiedTime ge 2026-03-02T08:01:00Z", orderby="ModifiedTime,TaskSeq")
    assert [row["TaskSeq"] for row in since] == [1, 2, 3]
    assert since[0]["PlannedStart"] == "2026-03-02T08:00:00Z"
    cut = await listed(ifs, TASKS, orderby="TaskSeq", skip="1", top="2", select="TaskSeq")
    assert [row["TaskSeq"] for row in cut] == [1, 2]
    keys = await listed(ifs, TASKS, filter="TaskSeq eq 0 or TaskSeq eq 3", orderby="TaskSeq desc")
    assert [row["TaskSeq"] for row in keys] == [3, 0]
    done = "Objstate eq IfsApp.WorkTaskHandling.JtTaskObjstate'WorkDone' and CustomerId eq 'C-1'"
    assert [row["TaskSeq"] for row in await listed(ifs, TASKS, filter=done, orderby="TaskSeq")] == [1, 3]
    assert len(await listed(ifs, TASKS, filter="Objstate ne null")) == 2
    assert await listed(ifs, TASKS, filter="CustomerId eq 'c-1'") == []
    one, other = [await listed(ifs, TASKS, orderby="CustomerId") for _ in range(2)]
    assert one == other[::-1]


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("$top=1&$filter=Colour eq 'red'", 400),
        ("$top=1&$filter=Objstate eq 'WorkDone'", 400),
        ("$top=1&$filter=Objstate eq IfsApp.WorkTaskHandling.JtTaskWorkTypeId'Repair'", 400),
        ("$top=1&$filter=CustomerId eq 7", 400),
        ("$top=1&$filter=CustomerId eq", 400),
        ("$top=1&$select=Colour", 400),
        ("$top=1&$orderby=Colour", 400),
        ("$top=1001", 400),
        ("$top=1&$top=2", 400),
        ("$top=1&$filter=Description eq '" + "x" * 8000 + "'", 414),
        ("$filter=TaskSeq eq 1", 501),
        ("$top=1&$filter=TaskSeq in (1,2)", 501),
        ("$top=1&$expand=CustomerRef", 501),
        ("$top=1&$count=true", 501),
    ],
)
async def test_wrong_and_unforeseen_queries(ifs: IfsSite, query: str, status: int) -> None:
    await ifs.ask("GET", f"{TASKS}?{query}", status=status)


async def test_what_is_not_there_or_not_granted(make_ifs: MakeIfs) -> None:
    ifs = make_ifs(denied=frozenset({"PromotionHandling"}), base="int/ifsapplications/projection/v1")
    await ifs.sign_in()
    ifs.client.base_url = str(ifs.client.base_url).replace("/main/", "/int/")
    assert (await ifs.refusal("GET", "ColourHandling.svc/$metadata"))[0] == 404
    assert (await ifs.refusal("GET", "WorkTaskHandling.svc/ColourSet?$top=1"))[0] == 404
    assert (await ifs.refusal("GET", "PromotionHandling.svc/PromotionSet?$top=1"))[0] == 403
    assert (await ifs.refusal("GET", "PromotionHandling.svc/$metadata"))[0] == 403
    for path in ("WorkTaskHandling.svc", f"{TASKS}(TaskSeq=1)/Objstate", "AllProjections.svc/Projections(1)"):
        await ifs.ask("GET", path, status=501 if "Projections" not in path else 400)
    await ifs.ask("PUT", f"{TASKS}(TaskSeq=1)", {}, 501)


async def test_too_many_requests_wait(make_ifs: MakeIfs) -> None:
    ifs = make_ifs(requests_per_minute=1)
    await ifs.sign_in()
    await listed(ifs, CUSTOMERS)
    assert (await ifs.ask("GET", f"{CUSTOMERS}?$top=1", status=429)).headers["Retry-After"] == "60"


async def test_people_add_fields_and_tables(ifs: IfsSite) -> None:
    """R-223, R-225: what people change shows in the metadata at once."""
    ifs.sandbox.add_column("CustomerHandling.CustomerInfoSet", name="Cf_Floor", type="whole")
    assert 'Name="Cf_Floor" Type="Edm.Int64"' in (await ifs.ask("GET", "CustomerHandling.svc/$metadata")).text
    await customer(ifs, CustomerId="C-1", Cf_Floor=3)
    columns: list[dict[str, Any]] = [
        {"name": "VisitNo", "type": "whole"},
        {"name": "CustomerId", "type": "text", "required": True},
    ]
    leads = {"CustomerRef": {"target": "CustomerHandling.CustomerInfoSet", "columns": {"CustomerId": "CustomerId"}}}
    ifs.sandbox.add_table("VisitHandling.VisitSet", ["VisitNo"], columns, navigation=leads)
    await ifs.ask("POST", "VisitHandling.svc/VisitSet", {"CustomerId": "C-1"}, 201)
    assert (await ifs.refusal("POST", "VisitHandling.svc/VisitSet", {"CustomerId": "C-2"}))[1] == "UnknownReference"
    assert 'EntitySet Name="VisitSet"' in (await ifs.ask("GET", "VisitHandling.svc/$metadata")).text
    ifs.sandbox.rename_column("VisitHandling.VisitSet", "CustomerId", "PartyId")
    assert 'Constraint Property="PartyId"' in (await ifs.ask("GET", "VisitHandling.svc/$metadata")).text
    ifs.sandbox.drop_column("VisitHandling.VisitSet", "PartyId")
    assert "CustomerRef" not in (await ifs.ask("GET", "VisitHandling.svc/$metadata")).text


async def test_a_stale_read_shows_what_was_before(ifs: IfsSite) -> None:
    await customer(ifs, CustomerId="C-1")
    path = f"{CUSTOMERS}(CustomerId='C-1')"
    await ifs.told("PATCH", path, {"City": "Chur"}, If_Match="*")
    ifs.sandbox.rename_column("CustomerHandling.CustomerInfoSet", "City", "Town")
    ifs.sandbox.faults.add(FaultRule(FaultKind.STALE_READ, times=2))
    assert (await ifs.told("GET", path))["Town"] is None
    assert [row["Town"] for row in await listed(ifs, CUSTOMERS)] == [None]
    assert [row["Town"] for row in await listed(ifs, CUSTOMERS)] == ["Chur"]


async def test_what_was_answered_survives_the_process(make_ifs: MakeIfs, tmp_path: Path) -> None:
    file, clock = tmp_path / "ifs.sqlite", HandClock()
    ifs = make_ifs(persist=file, clock=clock)
    await ifs.sign_in()
    made = await customer(ifs)
    again = make_ifs(persist=file, clock=clock)
    await again.sign_in()
    assert await listed(again, CUSTOMERS) == [made]
