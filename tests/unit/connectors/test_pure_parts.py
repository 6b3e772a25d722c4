"""The pure parts of the connectors: JSON, keys, value forms, error tables, the metadata document."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.connectors.business_central import converters as bc_values
from shared.connectors.business_central import errors as bc_errors
from shared.connectors.business_central.schema import tables_of
from shared.connectors.dataverse import converters as dv_values
from shared.connectors.dataverse import errors as dv_errors
from shared.connectors.dataverse.records import etag_of, quoted, version_of
from shared.connectors.keys import canonical_guid
from shared.connectors.related import split_column
from shared.connectors.values import UnfitValue
from shared.errors import (
    AlreadyExists,
    BadAnswer,
    ConnectorError,
    FeedExpired,
    NotAllowed,
    RecordMissing,
    Refused,
    SettingsError,
    SignInFailed,
    SystemDown,
    UnknownColumn,
    UnknownResult,
    VersionConflict,
)
from shared.http_client import Reply
from shared.strict_json import Json, NotJson, WrongShape, dump, load
from shared.sync.ports import ColumnType, Value

MONEY = st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**12), max_value=10**12, places=4)
MOMENTS = st.datetimes(timezones=st.just(UTC)).filter(lambda moment: moment.year > 1752)
TEXT = st.text(min_size=1)
BOTH: dict[ColumnType, st.SearchStrategy[Value]] = {
    ColumnType.TEXT: TEXT,
    ColumnType.INTEGER: st.integers(-(2**63), 2**63),
    ColumnType.DECIMAL: MONEY,
    ColumnType.BOOLEAN: st.booleans(),
    ColumnType.DATE: st.dates(min_value=date(1753, 1, 1)),
    ColumnType.KEY: st.uuids().map(str).filter(lambda text: set(text) != {"0", "-"}),
    ColumnType.REFERENCE: st.uuids().map(str).filter(lambda text: set(text) != {"0", "-"}),
}
DATAVERSE = BOTH | {
    ColumnType.CHOICE: st.integers(0, 10**9),
    ColumnType.DATETIME: MOMENTS.map(lambda moment: moment.replace(microsecond=0)),
}
MEMBERS = st.text(st.characters(exclude_categories=["Cs", "Cc", "Z"], max_codepoint=0xFFFF), min_size=1)
BUSINESS_CENTRAL = BOTH | {
    ColumnType.CHOICE: MEMBERS.filter(lambda text: "_x" not in text),
    ColumnType.DATETIME: MOMENTS.map(lambda moment: moment.replace(microsecond=moment.microsecond // 1000 * 1000)),
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | MONEY | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(JSON)
def test_json_survives_the_way_out_and_back(value: Json) -> None:
    """Every digit of an amount included; only 1.0 and 1 are the same number."""
    assert load(dump(value)) == value


@pytest.mark.parametrize("raw", [b"", b"{", b"NaN", b'{"a":Infinity}', b"\xff", b"[" * 40 + b"]" * 40, b"1" * 5000])
def test_what_is_no_acceptable_json_is_refused(raw: bytes) -> None:
    """Also what Python's parser would let through."""
    with pytest.raises(NotJson):
        load(raw)


@pytest.mark.parametrize("kind", list(ColumnType))
@given(st.data())
def test_values_survive_the_way_to_dataverse_and_back(kind: ColumnType, data: st.DataObject) -> None:
    """What is written is what is read."""
    value = data.draw(DATAVERSE[kind])
    assert dv_values.to_value(kind, load(dump(dv_values.to_json(kind, value))), "x") == value


@pytest.mark.parametrize("kind", list(ColumnType))
@given(st.data())
def test_values_survive_the_way_to_business_central_and_back(kind: ColumnType, data: st.DataObject) -> None:
    """Escapes and blanks included."""
    value = data.draw(BUSINESS_CENTRAL[kind])
    assert bc_values.to_value(kind, load(dump(bc_values.to_json(kind, value))), "x") == value


@pytest.mark.parametrize(
    "kind", [kind for kind in ColumnType if kind not in (ColumnType.INTEGER, ColumnType.DECIMAL, ColumnType.BOOLEAN)]
)
def test_no_value_is_the_blank_of_its_type_in_business_central(kind: ColumnType) -> None:
    """And the blank is read as no value; a number or a yes/no has none."""
    assert bc_values.to_value(kind, bc_values.to_json(kind, None), "x") is None


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (ColumnType.INTEGER, "-12", -12),
        (ColumnType.DECIMAL, "12.50", Decimal("12.5")),
        (ColumnType.BOOLEAN, "true", True),
        (ColumnType.BOOLEAN, "false", False),
        (ColumnType.DATE, "2026-02-28", date(2026, 2, 28)),
    ],
)
def test_the_text_of_a_definition_is_written_as_the_columns_type(kind: ColumnType, text: str, value: Value) -> None:
    """Tables of values and defaults are text, whatever column they are for."""
    assert dv_values.to_json(kind, text) == dv_values.to_json(kind, value)
    assert bc_values.to_json(kind, text) == bc_values.to_json(kind, value)
    assert dv_values.to_json(ColumnType.CHOICE, "100000001") == 100000001


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (ColumnType.INTEGER, "1.5"),
        (ColumnType.DECIMAL, "1,5"),
        (ColumnType.BOOLEAN, "on"),
        (ColumnType.DATE, "2026-02-30"),
        (ColumnType.DATE, "28.02.2026"),
    ],
)
def test_a_text_of_another_type_is_no_value_of_the_column(kind: ColumnType, text: str) -> None:
    """It is refused before it is sent, and the message does not hold it."""
    for write in (dv_values.to_json, bc_values.to_json):
        with pytest.raises(UnfitValue) as raised:
            write(kind, text)
        assert text not in str(raised.value)


@pytest.mark.parametrize("kind", list(ColumnType))
@pytest.mark.parametrize("value", [[], {}, ["a"], {"a": 1}])
def test_a_value_of_another_shape_is_noticed(kind: ColumnType, value: Json) -> None:
    """Answers are hostile input; the place is named, the value is not."""
    for read in (dv_values.to_value, bc_values.to_value):
        with pytest.raises(WrongShape, match="place"):
            read(kind, value, "place")


@pytest.mark.parametrize(
    "text", ["2025-03-05T19:19:22.37Z", "2025-03-05T19:19:22.3700000Z", "2025-03-05T20:19:22.37+01:00"]
)
def test_times_are_read_in_all_their_forms(text: str) -> None:
    """Trailing zeros come and go, seven digits happen."""
    expected = datetime(2025, 3, 5, 19, 19, 22, 370_000, UTC)
    assert bc_values.to_value(ColumnType.DATETIME, text, "x") == expected
    assert dv_values.to_value(ColumnType.DATETIME, text, "x") == expected


def test_members_are_shown_without_their_escapes() -> None:
    """As people see them in the application."""
    assert bc_values.plain_member("Non_x002D_Inventory") == "Non-Inventory"
    assert bc_values.plain_member("In_x0020_Review") == "In Review"
    assert bc_values.plain_member("_x0020_") == ""
    assert bc_values.escaped_member("Bank Account") == "Bank_x0020_Account"


@given(st.text())
def test_any_text_is_one_literal(text: str) -> None:
    """However many quotes it holds, an OData literal ends where it should."""
    literal = quoted(text)
    assert literal[1:-1].replace("''", "").count("'") == 0
    assert literal[1:-1].replace("''", "'") == text


@given(st.text())
def test_no_text_but_a_guid_is_a_key(text: str) -> None:
    """Keys go into addresses."""
    try:
        key = canonical_guid(text)
    except ValueError:
        return
    assert len(key) == 36
    assert set(key) <= set("0123456789abcdef-")


@given(st.text())
def test_no_text_but_names_is_a_column(text: str) -> None:
    """Columns go into addresses too."""
    try:
        near, far = split_column(text)
    except ValueError:
        return
    assert (near + far).replace("_", "a").isalnum()
    assert (near + far).isascii()


def test_a_version_is_a_number_where_it_can_be_ordered() -> None:
    """Elastic tables have etags of another form; they stay as they are."""
    assert (version_of('W/"123"'), etag_of("123")) == ("123", 'W/"123"')
    other = 'W/"0500b1c2-0000"'
    assert (version_of(other), etag_of(other)) == (other, other)


def reply(status: int, code: str = "", message: str = "", raw: bytes = b"") -> Reply:
    content: Json = {"error": {"code": code, "message": message}} if code or message else None
    return Reply(status, httpx.Headers(), content, raw, "request-1")


DV = dv_errors.Doing


@pytest.mark.parametrize(
    ("doing", "status", "code", "expected"),
    [
        (DV.READ, 400, "0x80041103", UnknownColumn),
        (DV.METADATA, 404, "0x80060888", UnknownColumn),
        (DV.READ, 400, "0x80044352", FeedExpired),
        (DV.READ, 403, "0x80040220", NotAllowed),
        (DV.UPDATE, 403, "0x8004f504", NotAllowed),
        (DV.UPDATE, 403, "", NotAllowed),
        (DV.READ, 403, "0x80072560", SignInFailed),
        (DV.UPDATE, 412, "0x80060882", VersionConflict),
        (DV.UPDATE, 412, "", VersionConflict),
        (DV.UPDATE, 412, "0x80060892", Refused),
        (DV.UPDATE, 412, "0x80040333", Refused),
        (DV.UPDATE, 412, "0x80040237", Refused),
        (DV.CREATE_WITH_KEY, 412, "0x80040237", AlreadyExists),
        (DV.CREATE_WITH_KEY, 412, "", AlreadyExists),
        (DV.CREATE_WITH_KEY, 409, "", AlreadyExists),
        (DV.CREATE_WITH_KEY, 412, "0x80060892", Refused),
        (DV.CREATE, 412, "0x80060892", AlreadyExists),
        (DV.UPDATE, 404, "0x80040217", RecordMissing),
        (DV.UPDATE, 404, "-2147220969", RecordMissing),
        (DV.UPDATE, 404, "", RecordMissing),
        (DV.CREATE_WITH_KEY, 404, "0x80040217", Refused),
        (DV.CREATE, 500, "0x80044150", SystemDown),
        (DV.CREATE, 500, "0x80040224", Refused),
        (DV.CREATE, 500, "0x80040216", UnknownResult),
        (DV.CREATE, 500, "", UnknownResult),
        (DV.READ, 500, "", SystemDown),
        (DV.UPDATE, 502, "", UnknownResult),
        (DV.UPDATE, 504, "", UnknownResult),
        (DV.UPDATE, 408, "", UnknownResult),
        (DV.READ, 504, "", SystemDown),
        (DV.UPDATE, 503, "", SystemDown),
        (DV.UPDATE, 400, "0x80040265", Refused),
        (DV.UPDATE, 400, "0x80044331", Refused),
        (DV.UPDATE, 413, "", Refused),
        (DV.UPDATE, 501, "", Refused),
    ],
)
def test_what_dataverses_answers_mean(
    doing: dv_errors.Doing, status: int, code: str, expected: type[ConnectorError]
) -> None:
    """The class decides whether to wait, to look up, to start over or to ask a person."""
    assert type(dv_errors.error_of(doing, reply(status, code))) is expected


BC = bc_errors.Doing


@pytest.mark.parametrize(
    ("doing", "status", "code", "expected"),
    [
        (BC.UPDATE, 409, "Request_EntityChanged", VersionConflict),
        (BC.UPDATE, 412, "", VersionConflict),
        (BC.UPDATE, 409, "Unknown", Refused),
        (BC.CREATE, 400, "Internal_EntityWithSameKeyExists", AlreadyExists),
        (BC.CREATE, 409, "Internal_EntityWithSameKeyExists", AlreadyExists),
        (BC.UPDATE, 404, "BadRequest_ResourceNotFound", RecordMissing),
        (BC.UPDATE, 404, "Internal_RecordNotFound", RecordMissing),
        (BC.UPDATE, 400, "Internal_DataNotFoundFilter", RecordMissing),
        (BC.READ, 404, "BadRequest_ResourceNotFound", UnknownColumn),
        (BC.READ, 400, "BadRequest", UnknownColumn),
        (BC.CREATE, 400, "BadRequest", Refused),
        (BC.CREATE, 400, "Application_StringExceededLength", Refused),
        (BC.CREATE, 400, "Internal_InvalidTableRelation", Refused),
        (BC.CREATE, 403, "", NotAllowed),
        (BC.CREATE, 400, "Authorization_RequestDenied", NotAllowed),
        (BC.CREATE, 503, "", SystemDown),
        (BC.CREATE, 502, "", SystemDown),
        (BC.CREATE, 400, "Internal_TenantUnavailable", SystemDown),
        (BC.CREATE, 408, "", UnknownResult),
        (BC.CREATE, 504, "", UnknownResult),
        (BC.CREATE, 500, "Internal_ServerError", UnknownResult),
        (BC.READ, 408, "", SystemDown),
        (BC.READ, 504, "", SystemDown),
        (BC.CREATE, 413, "", Refused),
        (BC.CREATE, 405, "BadRequest_MethodNotAllowed", Refused),
        (BC.READ, 404, "Internal_CompanyNotFound", SettingsError),
    ],
)
def test_what_business_centrals_answers_mean(
    doing: bc_errors.Doing, status: int, code: str, expected: type[Exception]
) -> None:
    """The code decides first, the status second."""
    assert type(bc_errors.error_of(doing, reply(status, code))) is expected


def test_a_wrong_environment_is_answered_in_xml() -> None:
    """So the code is looked for there too."""
    xml = b'<error xmlns="x"><code>NoEnvironment</code><message>Environment does not exist.</message></error>'
    assert isinstance(bc_errors.error_of(BC.READ, reply(404, raw=xml)), SettingsError)


@pytest.mark.parametrize(
    "of",
    [
        lambda r: dv_errors.error_of(DV.UPDATE, r, ["name", "other.code"]),
        lambda r: bc_errors.error_of(BC.UPDATE, r, ["name", "other.code"]),
    ],
)
def test_of_the_vendors_text_only_a_column_we_sent_remains(of: Callable[[Reply], ConnectorError]) -> None:
    """Texts quote values; a quoted value that is no column of ours is dropped with the rest."""
    text = "The value 'Aurora Milling' of 'secret' in 'other' exceeds 'name'."
    error = of(reply(400, "Some_Code", text))
    assert error.answer.field == "other.code"
    assert error.answer.request_id == "request-1"
    assert "Aurora" not in str(error)
    assert "secret" not in str(error)
    assert of(reply(400, "Aurora Milling, Main Street 5", text)).answer.vendor_code == ""


CSDL = """<?xml version="1.0"?>{doctype}<edmx:Edmx xmlns:edmx="e"><edmx:DataServices><Schema Namespace="M" xmlns="x">
<EnumType Name="kind"><Member Name="_x0020_"/><Member Name="In_x0020_Review"/></EnumType>
<EntityType Name="thing"><Property Name="id" Type="Edm.Guid"/><Property Name="name" Type="Edm.String" MaxLength="20"/>
<Property Name="kind" Type="M.kind"/><Property Name="long" Type="Edm.String" MaxLength="max"/>
<Property Name="shape" Type="Edm.GeographyPoint"/></EntityType>
<EntityContainer Name="c"><EntitySet Name="things" EntityType="M.thing"/></EntityContainer>
</Schema></edmx:DataServices></edmx:Edmx>"""


def test_the_metadata_document_becomes_tables() -> None:
    """Types that no definition can use are left out."""
    columns = tables_of(CSDL.format(doctype="").encode())["things"]
    assert {name: column.type for name, column in columns.items()} == {
        "id": ColumnType.KEY,
        "name": ColumnType.TEXT,
        "kind": ColumnType.CHOICE,
        "long": ColumnType.TEXT,
    }
    assert (columns["name"].max_length, columns["long"].max_length) == (20, None)
    assert dict(columns["kind"].choices) == {"In Review": "In Review"}


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"<html><body>Sign in</body></html>",
        b"<a><b></a>",
        CSDL.format(doctype='<!DOCTYPE a [<!ENTITY b "c">]>').encode(),
        CSDL.format(doctype='<!DOCTYPE a SYSTEM "file:///etc/passwd">').encode(),
        CSDL.format(doctype="").replace("things", "&xxe;").encode(),
    ],
)
def test_a_hostile_metadata_document_is_refused(document: bytes) -> None:
    """No document type, no entities: nothing is expanded, nothing is fetched."""
    with pytest.raises(BadAnswer):
        tables_of(document)
