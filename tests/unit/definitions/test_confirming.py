"""What answers checks, as people write it: what is read, and what every kind of mistake is told."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest

from local.confirming import read_checks
from local.definition_document import Faulty, read_document
from local.definitions import compile_folder
from shared.engine import load_index
from shared.sync.confirming import Check, Confirming, read_of
from tests.unit.definitions.test_definitions import GOOD, TRANSFERS

TEXT = """\
checks:
  customers: {fsm: place, business_central: customers, dataverse: account}
  units: {EA: PCS}
  price:
    business_central:
      items: {table: items, item: number, price: unitPrice, blocked: {blocked: true}}
      currency: {table: companyInformation, column: currencyCode}
    dataverse:
      items: {table: product, item: productnumber}
      prices: {table: productpricelevel, item: productnumber, price: amount, currency: code, price_list: pricelevelid}
      customer: {price_list: defaultpricelevelid}
  stock:
    business_central: {table: items, item: number, available: inventory}
  credit:
    business_central:
      tables:
        customers: {limit: creditLimit, blocked: {blocked: [Ship, All]}}
        customerFinancialDetails: {used: balance, overdue: overdueAmount}
      currency: {table: companyInformation, column: currencyCode}
      overdue_up_to: 0.50
  confirm:
    dataverse:
      - table: salesorder
        when: {statecode: 1}
        checks: [stock, credit]
        name: ordernumber
        customer: customerid_account
        currency: transactioncurrencyid.isocurrencycode
        total: totalamount
        lines: {table: salesorderdetail, by: salesorderid, item: productid.productnumber, quantity: quantity, unit: uom}
"""


def _read(text: str) -> Confirming:
    return read_checks(read_document(text), "transfers/checks.yaml")


def test_it_is_read_as_it_is_written() -> None:
    """One value stands for a list of one, texts become numbers, every part remembers its line."""
    read = _read(TEXT)
    assert read.price["business_central"].items.blocked == {"blocked": ("true",)}
    assert read.credit["business_central"].tables["customers"].blocked == {"blocked": ("Ship", "All")}
    assert read.credit["business_central"].overdue_up_to == Decimal("0.50")
    assert read.price["dataverse"].priced.table == "productpricelevel"
    (order,) = read.confirm["dataverse"]
    assert (order.column, order.when["statecode"], order.checks) == ("statecode", ("1",), (Check.STOCK, Check.CREDIT))
    assert (order.line, read.stock["business_central"].line, read.price["dataverse"].line) == (23, 13, 8)
    assert (read.unit("EA"), read.unit("pcs"), read.unit("Hour")) == ("pcs", "pcs", "hour")


def test_what_a_source_reads_is_named_table_by_table() -> None:
    """So that it can be held against the system, and read beforehand."""
    read = _read(TEXT)
    assert read_of(read.price["dataverse"], "account") == {
        "account": ["defaultpricelevelid"],
        "product": ["productnumber"],
        "productpricelevel": ["productnumber", "amount", "code", "pricelevelid"],
    }
    assert read_of(read.credit["business_central"], "customers") == {
        "customers": ["creditLimit", "blocked"],
        "customerFinancialDetails": ["balance", "overdueAmount"],
        "companyInformation": ["currencyCode"],
    }


@pytest.mark.parametrize(
    ("right", "wrong", "line", "told"),
    [
        ("  units: {EA: PCS}", "  unit: {EA: PCS}", 3, "'unit' is not known here"),
        ("price: unitPrice, ", "", 5, "price: stands under items: or under prices:"),
        ("item: number, price: unitPrice", "price: unitPrice", 6, "item: field required"),
        ("item: number, price", "number: number, item: number, price", 6, "extra inputs are not permitted"),
        ("      currency: {table: companyInformation, column: currencyCode}\n    dataverse", "    dataverse", 5,
         "currency: is a column beside the price"),
        ("      customer: {price_list: defaultpricelevelid}\n", "", 8, "price_list: is a column of the prices and one"),
        ("available: inventory", "available: inventory, expected: more", 13, "expected: needs expected_on:"),
        ("available: inventory", "available: inventory, location: x, any_location: true", 13, "any_location: is for a"),
        ("limit: creditLimit, ", "", 15, "limit: stands under one of the tables"),
        (", blocked: {blocked: [Ship, All]}", "", 15, "blocked: stands under one of the tables"),
        ("overdue_up_to: 0.50", "overdue_up_to: -1", 20, "greater than or equal to 0"),
        ("checks: [stock, credit]", "checks: [stock, stock]", 23, "checks: names one twice"),
        ("checks: [stock, credit]", "checks: [stock, weather]", 25, "should be 'price', 'stock' or 'credit'"),
        ("        total: totalamount\n", "", 23, "total: is what the customer will owe"),
        ("when: {statecode: 1}", "when: {statecode: 1, statuscode: 3}", 24, "at most 1 item"),
        ("when: {statecode: 1}", "when: {statecode: }", 23, "when: names the values that register the record"),
        ("when: {statecode: 1}", "when: {statecode: []}", 23, "when: names the values that register the record"),
        ("    dataverse:\n      - table", "    dataverse:\n      table", 22, "is a list of tables"),
        ("checks:\n  customers", "pair: {}\nchecks:\n  customers", 1, "'pair' is not known here"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_line(right: str, wrong: str, line: int, told: str) -> None:
    """And with what to do."""
    assert right in TEXT
    text = TEXT.replace(right, wrong, 1)
    if "- table" in right:
        text = text[: text.index("        when:")]
    with pytest.raises(Faulty) as faulty:
        _read(text)
    assert told in faulty.value.text
    assert faulty.value.line == line


def test_one_file_says_it_and_definitions_beside_it_are_compiled(tmp_path: Path) -> None:
    """A second one is refused; a file with a mistake stops nothing else."""
    (tmp_path / "a.yaml").write_text(TEXT, encoding="utf-8")
    (tmp_path / "b.yaml").write_text(TEXT, encoding="utf-8")
    (tmp_path / "c.yaml").write_text(GOOD, encoding="utf-8")
    index = compile_folder(tmp_path)
    (problem,) = index.problems
    assert (problem.file, problem.text) == (
        f"{tmp_path.name}/b.yaml",
        f"what answers checks stands in {tmp_path.name}/a.yaml already; keep one file",
    )
    assert len(index.definitions) == 1
    assert index.confirming is not None
    assert index.confirming.file == f"{tmp_path.name}/a.yaml"


def test_it_survives_the_compiled_index_and_a_damaged_one_is_told() -> None:
    """The functions read nothing else; what an older version wrote is named as a problem."""
    index = compile_folder(TRANSFERS)
    assert index.confirming is not None
    assert load_index(index.model_dump_json().encode()).confirming == index.confirming
    tree = index.model_dump(mode="json")
    tree["confirming"]["price"] = {"business_central": {}}
    damaged = load_index(json.dumps(tree).encode())
    assert damaged.confirming is None
    assert damaged.definitions == index.definitions
    assert "price.business_central.items" in damaged.problems[0].text
