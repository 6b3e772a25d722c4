"""What the sandboxes cannot show: tables without change tracking, without webhooks, with required columns."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from shared.sync.checking import check
from shared.sync.converters import CONVERTERS
from shared.sync.correspondence import SAMPLES, can_correspond
from shared.sync.definition import (
    Arguments,
    ChooseKey,
    Condition,
    Definition,
    FieldRule,
    IfUnlinked,
    Index,
    Master,
    OnCreate,
    OnDelete,
    Reference,
    TableName,
    Transfer,
)
from shared.sync.findings import FINDINGS, Severity
from shared.sync.ports import (
    Capabilities,
    ColumnMetadata,
    ColumnType,
    KeyMetadata,
    Reach,
    Right,
    Side,
    TableMetadata,
    VersionKind,
)
from shared.sync.surveying import Survey
from tests.unit.sync.making import rule

CRM, ERP = ("crm", "a"), ("erp", "b")
TEXT = ColumnType.TEXT


def capable(chooses_key: bool, enforced: str | None) -> Capabilities:
    columns = frozenset({enforced} if enforced else ())
    return Capabilities(chooses_key, columns, VersionKind.OPAQUE, True, True, timedelta(minutes=3), 100)


LEFT = TableMetadata(
    "a",
    {name: ColumnMetadata(name, TEXT, 20) for name in ("a", "number")},
    tracked=True,
    announced=True,
    keys=[KeyMetadata("k", ("number",), True)],
    rights=dict.fromkeys(Right, Reach.ALL),
)
RIGHT = TableMetadata("b", {name: ColumnMetadata(name, TEXT, 20) for name in ("b", "code")}, announced=True)
TO_ERP = Transfer(name="a_to_erp", source=Side.LEFT, walk_seconds=300, line=4)
TO_CRM = Transfer(name="b_to_crm", source=Side.RIGHT, walk_seconds=300, line=5)
PAIR = Definition(
    file="transfers/x.yaml",
    left=TableName(system="crm", table="a"),
    right=TableName(system="erp", table="b"),
    transfers=(TO_ERP, TO_CRM),
    fields=(
        rule().model_copy(update={"line": 7}),
        rule("number", "code", Master.RIGHT).model_copy(update={"line": 8}),
    ),
)


ERP_CAPABLE = capable(False, "code")


def found(
    left: TableMetadata = LEFT,
    right: TableMetadata = RIGHT,
    pair: Definition = PAIR,
    erp: Capabilities = ERP_CAPABLE,
) -> list[tuple[str, str, int]]:
    """Code, severity and line of everything that is found."""
    survey = Survey({CRM: left, ERP: right}, {CRM: capable(True, None), ERP: erp})
    return [(one.code, one.severity.value, one.line) for one in check(Index(definitions=(pair,)), survey)]


def with_transfers(*transfers: Transfer) -> Definition:
    return PAIR.model_copy(update={"transfers": transfers})


def test_a_pair_that_fits_gives_nothing() -> None:
    """The other tests change one thing of it."""
    assert found() == []


def test_a_table_without_change_tracking_cannot_be_walked() -> None:
    """Only where the system says so, and only for a transfer that walks."""
    off = replace(LEFT, tracked=False)
    assert found(off) == [("CD-4611", "wrong", 4)]
    assert found(off, pair=with_transfers(TO_ERP.model_copy(update={"walk_seconds": None}))) == []
    assert found(replace(LEFT, tracked=None)) == []


def test_a_table_that_nothing_tells_of_is_wrong_and_a_walked_one_a_note() -> None:
    """Without webhook and without walk no change would ever be heard."""
    silent = replace(RIGHT, announced=False)
    assert found(right=silent) == [("CD-4614", "note", 5)]
    unwalked = with_transfers(TO_ERP, TO_CRM.model_copy(update={"walk_seconds": None}))
    assert found(right=silent, pair=unwalked) == [("CD-4614", "wrong", 5)]


def test_related_tables_must_be_heard_too() -> None:
    """also_on: relies on webhooks alone."""
    pair = with_transfers(TO_ERP.model_copy(update={"also_on": {"a": "number"}}), TO_CRM)
    assert ("CD-4614", "wrong", 4) in found(replace(LEFT, announced=False), pair=pair)


def test_a_required_column_that_nothing_fills_is_named_only_where_records_are_created() -> None:
    """A field rule, a default for new records, or another policy settle it."""
    needed = replace(RIGHT, columns={**RIGHT.columns, "kind": ColumnMetadata("kind", TEXT, 20, required=True)})
    assert found(right=needed) == [("CD-4616", "warning", 4)]
    for change in ({"if_unlinked": IfUnlinked.MATCH}, {"create_with": {"kind": "Company"}}):
        assert found(right=needed, pair=with_transfers(TO_ERP.model_copy(update=change), TO_CRM)) == []
    unsent = PAIR.model_copy(update={"fields": (*PAIR.fields, rule("a2", "kind", on_create=OnCreate.LEAVE))})
    more = replace(LEFT, columns={**LEFT.columns, "a2": ColumnMetadata("a2", TEXT, 20)})
    assert found(more, needed, unsent) == [("CD-4616", "warning", 4)]


def test_a_required_column_is_filled_by_a_reference_that_is_made_of_it() -> None:
    """The reference has a name of its own."""
    leads = ColumnMetadata("leads", ColumnType.REFERENCE, target="b", over=("kind",))
    needed = {"kind": ColumnMetadata("kind", TEXT, 20, required=True), "leads": leads}
    refers = rule("ref", "leads").model_copy(update={"reference": Reference(left="a", right="b")})
    pair = PAIR.model_copy(update={"fields": (*PAIR.fields, refers)})
    left = replace(LEFT, columns={**LEFT.columns, "ref": ColumnMetadata("ref", ColumnType.REFERENCE, target="a")})
    assert found(left, replace(RIGHT, columns={**RIGHT.columns, **needed}), pair) == []


@pytest.mark.parametrize(
    ("keys", "told"), [([], "no alternate key"), ([KeyMetadata("k", ("number",), False)], "k over")]
)
def test_the_partners_number_has_to_be_unique_where_we_choose_keys(keys: list[KeyMetadata], told: str) -> None:
    """A key that is there and not built is told apart from none."""
    survey = Survey(
        {CRM: replace(LEFT, keys=keys), ERP: RIGHT}, {CRM: capable(True, None), ERP: capable(False, "code")}
    )
    (one,) = check(Index(definitions=(PAIR,)), survey)
    assert (one.code, one.line, told in one.sentence) == ("CD-4610", 8, True)


def test_reading_is_needed_always_and_writing_only_where_something_is_written() -> None:
    """A transfer in one direction only needs fewer rights."""
    none = replace(LEFT, rights=dict.fromkeys(Right, Reach.NONE))
    assert len(found(none)) == 3, "read, create, change"
    assert len(found(none, pair=with_transfers(TO_ERP))) == 1, "read"
    back = TO_ERP.model_copy(update={"write_back": ("number",)})
    assert len(found(none, pair=with_transfers(back))) == 2, "read, change"
    assert found(replace(LEFT, rights=None)) == [], "the system does not tell"


def test_a_write_back_into_a_read_only_column_is_wrong() -> None:
    """And what is created with a value that the column does not take."""
    fixed = {**LEFT.columns, "number": ColumnMetadata("number", TEXT, 20, updatable=False)}
    back = with_transfers(TO_ERP.model_copy(update={"write_back": ("number",)}))
    assert found(replace(LEFT, columns=fixed), pair=back) == [("CD-4608", "wrong", 4)]
    choice = ColumnMetadata("b", ColumnType.CHOICE, choices={"One": "One"}, writable=False)
    made = with_transfers(TO_ERP.model_copy(update={"create_with": {"code": "Two"}}))
    right = replace(RIGHT, columns={**RIGHT.columns, "code": replace(choice, name="code")})
    assert {code for code, _, _ in found(right=right, pair=made)} == {"CD-4606", "CD-4608"}
    blocked = with_transfers(TO_ERP.model_copy(update={"on_delete": "set", "set_on_delete": {"code": "Two"}}))
    right = replace(RIGHT, columns={**RIGHT.columns, "code": replace(choice, name="code", updatable=False)})
    assert {code for code, _, _ in found(right=right, pair=blocked)} == {"CD-4606", "CD-4608"}


def test_what_counts_as_deleted_has_to_be_a_choice_that_there_is() -> None:
    choice = ColumnMetadata("state", ColumnType.CHOICE, choices={"0": "Open", "1": "Won"})
    left = replace(LEFT, columns={**LEFT.columns, "state": choice})
    ends = TO_ERP.model_copy(update={"gone_if": Condition(columns={"state": ("1", "7")})})
    assert found(left, pair=with_transfers(ends, TO_CRM)) == [("CD-4606", "wrong", 4)]
    assert found(pair=with_transfers(ends, TO_CRM)) == [("CD-4602", "wrong", 4)]


def test_a_delete_that_the_target_does_not_take_is_wrong() -> None:
    """A table whose records stay cannot follow the source's deletes."""
    gone = with_transfers(TO_ERP.model_copy(update={"on_delete": OnDelete.DELETE}), TO_CRM)
    assert found(pair=gone) == []
    assert found(pair=gone, erp=replace(ERP_CAPABLE, deletes=False)) == [("CD-4619", "wrong", 4)]


def test_a_number_that_we_choose_is_a_note() -> None:
    """Whether the series allows it cannot be read."""
    chosen = TO_ERP.model_copy(update={"choose_key": ChooseKey(column="code", prefix="CD-")})
    assert found(pair=with_transfers(chosen, TO_CRM)) == [("CD-4615", "note", 4)]


def test_a_reference_must_point_to_the_table_that_it_names() -> None:
    """The pair is there, but the column points elsewhere."""
    refers = rule("ref", "other").model_copy(update={"reference": Reference(left="a", right="b"), "line": 9})
    pair = PAIR.model_copy(update={"fields": (*PAIR.fields, refers)})
    right = replace(RIGHT, columns={**RIGHT.columns, "other": ColumnMetadata("other", ColumnType.REFERENCE)})
    for target, expected in (("c", [("CD-4604", "wrong", 9)]), ("a", [])):
        column = ColumnMetadata("ref", ColumnType.REFERENCE, target=target)
        assert found(replace(LEFT, columns={**LEFT.columns, "ref": column}), right, pair) == expected


@pytest.mark.parametrize(
    ("kind", "target", "told"),
    [
        (ColumnType.KEY, ColumnMetadata("theirs", ColumnType.TEXT), []),
        (ColumnType.KEY, ColumnMetadata("theirs", ColumnType.TEXT, updatable=False), ["CD-4604"]),
        (ColumnType.REFERENCE, ColumnMetadata("theirs", ColumnType.TEXT), ["CD-4604"]),
    ],
)
def test_a_systems_own_key_may_be_kept_as_text_by_the_other_one(
    kind: ColumnType, target: ColumnMetadata, told: list[str]
) -> None:
    """By that a create is recognised; what refers to a third record means nothing there."""
    pair = PAIR.model_copy(update={"fields": (*PAIR.fields, rule("ours", "theirs").model_copy(update={"line": 9}))})
    left = replace(LEFT, columns={**LEFT.columns, "ours": ColumnMetadata("ours", kind)})
    right = replace(RIGHT, columns={**RIGHT.columns, "theirs": target})
    assert [code for code, *_ in found(left, right, pair) if code == "CD-4604"] == told


# --- types ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(set(CONVERTERS) - {"values"}))
def test_every_converter_takes_a_sample_of_some_type(name: str) -> None:
    """Else no rule that uses it could ever be found fit."""
    told = {"country": "IT", "form": "dd.MM.yyyy", "decimals": "2", "names": "en", "prefixed": "both"}
    takes = CONVERTERS[name].takes
    settings = {one: told[one] for one in takes}
    table = {"one": "two"} if CONVERTERS[name].table else {}
    one = FieldRule(
        left="a",
        right="b",
        master_unlinked=Master.LEFT,
        master_linked=Master.LEFT,
        convert=name,
        convert_with=Arguments(settings=settings),
        values=table,
    )
    columns = [ColumnMetadata("x", kind) for kind in SAMPLES]
    assert any(can_correspond(one, Side.LEFT, source, target) for source in columns for target in columns)


@pytest.mark.parametrize(
    ("source", "target", "convert", "fits"),
    [
        (ColumnType.INTEGER, ColumnType.DECIMAL, "same", True),
        (ColumnType.DECIMAL, ColumnType.INTEGER, "same", False),
        (ColumnType.INTEGER, ColumnType.TEXT, "same", False),
        (ColumnType.INTEGER, ColumnType.TEXT, "digits", True),
        (ColumnType.TEXT, ColumnType.INTEGER, "digits", True),
        (ColumnType.TEXT, ColumnType.BOOLEAN, "not", False),
        (ColumnType.BOOLEAN, ColumnType.BOOLEAN, "not", True),
        (ColumnType.DATETIME, ColumnType.DATE, "same", False),
        (ColumnType.DATETIME, ColumnType.DATE, "date", True),
        (ColumnType.DATE, ColumnType.DATETIME, "date", False),
    ],
)
def test_types_correspond_as_their_values_do(source: ColumnType, target: ColumnType, convert: str, fits: bool) -> None:
    """From left to right."""
    columns = ColumnMetadata("a", source), ColumnMetadata("b", target)
    assert can_correspond(rule(convert=convert), Side.LEFT, *columns) is fits


def test_a_date_becomes_a_moment_on_the_way_back() -> None:
    """The converter's other direction."""
    columns = ColumnMetadata("b", ColumnType.DATE), ColumnMetadata("a", ColumnType.DATETIME)
    assert can_correspond(rule(convert="date"), Side.RIGHT, *columns)


def test_choices_correspond_where_they_share_a_value() -> None:
    """Those without a counterpart are named one by one."""
    one = ColumnMetadata("a", ColumnType.CHOICE, choices={"1": "One", "2": "Two"})
    other = ColumnMetadata("b", ColumnType.CHOICE, choices={"2": "Zwei"})
    assert can_correspond(rule(), Side.LEFT, one, other)
    assert not can_correspond(rule(), Side.LEFT, one, replace(other, choices={"Ship": "Ship"}))


def test_every_finding_has_its_page() -> None:
    """Severity words are those of the page, codes those of the catalogue."""
    assert {severity.value for severity in Severity} == {"wrong", "warning", "note"}
    assert all(entry.sentence.endswith(".") and entry.remedy.endswith(".") for entry in FINDINGS.values())
