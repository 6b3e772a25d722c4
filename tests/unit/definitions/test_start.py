"""The start of a definition: likely partners, ways of values, and YAML that is read again as it was meant."""

from __future__ import annotations

import pytest

from local.definition_document import read_document
from local.definition_start.fitting import how
from local.definition_start.likeness import LIKE, likeness
from local.definition_start.planning import Half, begin
from local.definition_start.writing import definition_text, tables_text
from local.definitions import read_definition
from local.own_tables import read_tables
from shared.sync.definition import Index, Master
from shared.sync.own_tables import OwnTable
from shared.sync.ports import ColumnMetadata, ColumnType, KeyMetadata, Side, TableMetadata

TEXT = ColumnType.TEXT
BOTH = list(Side)


def column(name: str, kind: ColumnType = TEXT, length: int | None = None, **more: object) -> ColumnMetadata:
    """A column."""
    return ColumnMetadata(name, kind, length, **more)  # type: ignore[arg-type] # the other facts of a column


ALIKE = [
    ("plan_start_dttm", "cdock_plannedstart"),
    ("credit_limit", "creditlimit"),
    ("zippost", "cdock_zippost"),
    ("phone", "telephone1"),
    ("email", "emailaddress1"),
    ("PlannedStart", "cdock_plannedstart"),
    ("Cf_CrmId", "cdock_crmid"),
    ("city", "address1_city"),
]
UNLIKE = [
    ("number", "cdock_vatnumber"),
    ("state", "cdock_stage"),
    ("phone_number", "cdock_postnumber"),
    ("id", "no"),
    ("postalCode", "statecode"),
]


@pytest.mark.parametrize(("one", "other"), ALIKE)
def test_columns_that_say_the_same_are_alike(one: str, other: str) -> None:
    """Whatever each system's way of writing names."""
    assert likeness(column(one), column(other)) >= LIKE


@pytest.mark.parametrize(("one", "other"), UNLIKE)
def test_columns_that_share_letters_only_are_not(one: str, other: str) -> None:
    """A wrong proposal costs more than none."""
    assert likeness(column(one), column(other)) < LIKE


def test_a_label_counts_as_well_as_a_name() -> None:
    """In the language of the organisation."""
    assert likeness(column("cdock_x7", label="Farbe der Tür"), column("FarbeDerTür")) == 1.0


CRM_STATE = column("state", ColumnType.CHOICE, choices={"1": "Open", "2": "On site", "3": "Done", "4": "Lost"})
FSM_STATE = column("status", ColumnType.CHOICE, choices={"OPEN": "", "ON SITE": "", "COMPLETED": ""})


def test_choices_are_paired_by_their_words_and_the_rest_is_named() -> None:
    """Nobody has to look numbers up."""
    found = how(CRM_STATE, FSM_STATE, BOTH)
    assert found is not None
    assert (found.convert, found.values) == ("values", {"1": "OPEN", "2": "ON SITE"})
    assert found.open == ("3", "4", "COMPLETED")


@pytest.mark.parametrize(
    ("left", "right", "convert"),
    [(TEXT, TEXT, "same"), (TEXT, ColumnType.INTEGER, "digits"), (ColumnType.DATETIME, ColumnType.DATE, "date")],
)
def test_a_converter_is_named_where_types_differ(left: ColumnType, right: ColumnType, convert: str) -> None:
    """One that leads both ways."""
    found = how(column("a", left), column("b", right), BOTH)
    assert found is not None
    assert found.convert == convert


def test_where_no_way_is_known_none_is_proposed() -> None:
    """A yes or no is no amount; a key of one system means nothing in the other."""
    assert how(column("a", ColumnType.BOOLEAN), column("b", ColumnType.DECIMAL), BOTH) is None
    assert how(column("a", ColumnType.KEY), column("b", ColumnType.REFERENCE), BOTH) is None


TOOL = TableMetadata(
    "tool",
    {
        one.name: one
        for one in (
            column("tool_id", TEXT, 20),
            column("crm_id", TEXT, 40),
            column("tool name: with, odd {signs} #1", TEXT, 5000),
            column("status", ColumnType.CHOICE, choices={"IN, USE": "", "NO": "", "true": ""}),
            column("price", ColumnType.DECIMAL),
            column("place_id", ColumnType.REFERENCE, target="place"),
            column("modified_dttm", ColumnType.DATETIME, writable=False, updatable=False),
        )
    },
    key=("tool_id",),
)


def test_odd_names_and_values_are_read_again_as_they_are() -> None:
    """Commas, braces, colons, NO and true: in both files."""
    fields = ["tool name: with, odd {signs} #1", "status", "price", "place_id"]
    begun = begin(Half("fsm", "tool", TOOL), Half("dataverse", "cdock_tool", None), fields, "", Index())
    definition = read_definition(definition_text(begun), "transfers/tool.yaml")
    rules = {rule.right: rule for rule in definition.fields}
    assert rules.keys() == {"crm_id", "tool_id", *fields[:3]}
    assert rules["status"].values == {"100000000": "IN, USE", "100000001": "NO", "100000002": "true"}
    assert any("place_id refers to place" in line for line in begun.open)
    assert begun.own is not None
    (table,) = read_tables(read_document(tables_text(begun.own)), "")
    assert without_lines(table) == without_lines(begun.own)
    assert (table.keys, table.name and table.name.type) == ((("cdock_fsmid",),), "text")


def without_lines(table: OwnTable) -> dict[str, object]:
    """What a declaration says, wherever it stands."""
    told = table.model_dump(exclude={"line", "file"})
    for one in [told["name"], *told["columns"]]:
        one.pop("line", None)
    return told


def test_partners_are_found_by_the_key_that_each_keeps_of_the_other() -> None:
    """A create whose answer is lost is recognised; the CRM learns the number, the field service the CRM's key."""
    begun = begin(Half("fsm", "tool", TOOL), Half("dataverse", "cdock_tool", None), ["price"], "", Index())
    definition = read_definition(definition_text(begun), "transfers/tool.yaml")
    assert [(rule.left, rule.right) for rule in definition.match] == [
        (("cdock_toolid",), ("crm_id",)),
        (("cdock_fsmid",), ("tool_id",)),
    ]
    there, back = definition.transfers
    assert (there.name, there.on_unlink) == ("tool_to_fsm", {"crm_id": ""})
    assert (back.name, back.write_back) == ("tool_from_fsm_to_dataverse", ("crm_id",))
    masters = {rule.right: (rule.master_unlinked, rule.master_linked) for rule in definition.fields}
    assert masters == {
        "crm_id": (Master.LEFT, Master.LEFT),
        "tool_id": (Master.RIGHT, Master.RIGHT),
        "price": (Master.LEFT, Master.RIGHT),
    }


def test_a_field_that_the_crms_table_lacks_is_declared_and_one_that_it_has_is_not() -> None:
    """R-223: the table stands; one column more."""
    there = {
        one.name: one
        for one in (
            column("cdock_toolid", ColumnType.KEY),
            column("cdock_fsmid"),
            column("cdock_price", ColumnType.DECIMAL),
        )
    }
    crm = TableMetadata("cdock_tool", there, key=("cdock_toolid",), keys=[KeyMetadata("k", ("cdock_fsmid",), True)])
    begun = begin(Half("fsm", "tool", TOOL), Half("dataverse", "cdock_tool", crm), ["price", "status"], "fsm", Index())
    assert begun.own is not None
    assert ([one.name for one in begun.own.columns], begun.own.is_ours) == (["cdock_status"], False)
    assert [(line.left.name, line.master) for line in begun.lines] == [("cdock_price", "fsm"), ("cdock_status", "fsm")]
    assert [line.left.name for line in begun.keys] == ["cdock_fsmid"]


def test_a_reference_goes_where_the_pairs_partner_is_referred_to() -> None:
    """Whatever it is called: an account is a place."""
    pair = read_definition(
        "pair: {dataverse: account, fsm: place}\ntransfers: {account_to_fsm: {}}\n"
        "fields: [{dataverse: name, fsm: name, master: dataverse}]\n",
        "x",
    )
    there = {"cdock_customer": column("cdock_customer", ColumnType.REFERENCE, target="account")}
    begun = begin(
        Half("fsm", "tool", TOOL), Half("dataverse", "t", TableMetadata("t", there)), [], "", Index(definitions=(pair,))
    )
    assert [(line.left.name, line.right.name, line.reference) for line in begun.lines] == [
        ("cdock_customer", "place_id", ("account", "place"))
    ]


def test_where_there_is_a_definition_only_the_new_lines_are_begun() -> None:
    """R-223: with the column that they need; what it uses already is told."""
    crm = TableMetadata("cdock_tool", {"cdock_price": column("cdock_price", ColumnType.DECIMAL)})
    half = Half("dataverse", "cdock_tool", None)
    first = read_definition(
        definition_text(begin(Half("fsm", "tool", TOOL), half, ["price"], "fsm", Index())), "x.yaml"
    )
    there = Half("dataverse", "cdock_tool", crm)
    more = begin(Half("fsm", "tool", TOOL), there, ["price", "status"], "", Index(definitions=(first,)))
    assert (more.extends, list(more.transfers), more.external, list(more.keys)) == ("x.yaml", [], None, [])
    assert [(line.left.name, line.right.name, line.master) for line in more.lines] == [
        ("cdock_status", "status", "fsm")
    ]
    assert more.own is not None
    assert [one.name for one in more.own.columns] == ["cdock_status"]
    assert definition_text(more).startswith("# - price: x.yaml uses it already.\n  - ")


def test_a_name_that_a_transfer_has_already_gets_a_number() -> None:
    """It is a function's and a queue's."""
    half = Half("dataverse", "cdock_tool", None)
    first = read_definition(definition_text(begin(Half("fsm", "tool", TOOL), half, ["price"], "", Index())), "x")
    other = Half("dataverse", "cdock_device", None)
    again = begin(Half("fsm", "tool", TOOL), other, ["price"], "fsm", Index(definitions=(first,)))
    assert list(again.transfers) == ["tool_2_from_fsm_to_dataverse"]
    long = TableMetadata("x" * 90, TOOL.columns, key=("tool_id",))
    assert [len(name) for name in begin(Half("fsm", "x" * 90, long), half, ["price"], "", Index()).transfers] == [
        63,
        63,
    ]
