"""`manage.py schema` on the sandboxes: what can be picked from, and the start of a definition that compiles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from local.definitions import compile_folder
from tests.scenarios.account_customer.world import RealWorld, definition_text, virtually
from tests.scenarios.command_line.terminal import Said, typed

SALES = ("business_central", "salespeoplePurchasers")


def folder_with(folder: Path, **files: str) -> Path:
    """A folder of definitions."""
    home = folder / "transfers"
    home.mkdir(exist_ok=True)
    for name, text in files.items():
        (home / f"{name}.yaml").write_text(text, "utf-8")
    return home


def columns(said: Said) -> dict[str, Any]:
    """The columns of an answer to --json, by name."""
    return {one["name"]: one for one in said.json["columns"]}


@virtually
async def test_systems_and_tables_are_listed_with_their_labels() -> None:
    """R-223, R-225: by name or label; the beginning of a name lists those that begin so."""
    async with RealWorld() as world:
        world.forget_requests()
        assert (await typed(world, "schema")).rows[1:] == [[name, name] for name in ("dataverse", "business_central")]
        assert ["account", "Account"] in (await typed(world, "schema", "dataverse")).rows
        assert (await typed(world, "schema", "dataverse", "--find", "OPPORT")).rows[1:] == [
            ["opportunity", "Opportunity"]
        ]
        begun = await typed(world, "schema", "business_central", "payment", "--json")
        assert [one["name"] for one in begun.json["tables"]] == ["paymentMethods", "paymentTerms"]
        asked = [*world.crm.requests.entries(), *world.erp.requests.entries()]
        assert {entry.method for entry in asked} == {"GET"}


@virtually
async def test_a_tables_columns_say_what_they_take_and_which_line_uses_them(tmp_path: Path) -> None:
    """R-223: type, length, choices, when it can be written, what it refers to; file, line, way and master."""
    home = folder_with(tmp_path, account=definition_text())
    line = next(n for n, text in enumerate(definition_text().splitlines(), 1) if "dataverse: creditlimit," in text)
    async with RealWorld() as world:
        said = await typed(world, "schema", "dataverse", "account", "--json", "--transfers", str(home))
        found = columns(said)
        assert (said.code, said.json["key"]) == (0, ["accountid"])
        assert (found["name"]["type"], found["name"]["max_length"], found["name"]["written"]) == ("text", 160, "always")
        assert found["createdon"]["written"] == "never"
        assert found["primarycontactid"]["refers_to"] == "contact"
        assert found["accountcategorycode"]["choices"]["1"] == "Preferred Customer"
        assert found["fax"]["used"] == []
        (use,) = found["creditlimit"]["used"]
        assert (use["file"], use["line"]) == ("transfers/account.yaml", line)
        assert (use["way"], use["partner"]) == ("comes from", "business_central customers.creditLimit")
        assert use["master"] == "business_central"
        assert found["name"]["used"][0]["master"] == "dataverse, once linked business_central"
        some = await typed(world, "schema", "dataverse", "account", "--find", "credit", "--transfers", str(home))
        assert f"transfers/account.yaml:{line} comes from business_central customers.creditLimit" in some.out
        assert {row[0] for row in some.rows[1:]} >= {"creditlimit", "creditonhold"}
        assert "name" not in {row[0] for row in some.rows}


WRONG = {
    "dataverze": "did you mean dataverse?",
    "dataverse acount": "dataverse has no table 'acount'; did you mean account",
    "dataverse account --with business_central:custmers": "did you mean customers",
    "business_central customers --with dataverse:accout": "did you mean account",
    "business_central customers --with dataverse:account --fields credtLimit": "creditLimit",
    "business_central customers --with dataverse:account --from erp": "--from names one of the two",
    "business_central customers --with business_central:contacts": "--with names another system",
    "business_central customers --start x.yaml": "belong to --with",
    "business_central --with dataverse:account": "Name the table",
}


@virtually
async def test_what_cannot_be_understood_says_what_may_be_meant(tmp_path: Path) -> None:
    """R-041: exit code 2, and the names that there are."""
    async with RealWorld() as world:
        for words, told in WRONG.items():
            said = await typed(world, "schema", *words.split(), "--transfers", str(tmp_path))
            assert (said.code, told in said.err) == (2, True), said.err


@virtually
async def test_the_start_of_a_definition_compiles_and_the_check_takes_it(tmp_path: Path) -> None:
    """R-225: the picked columns with those that are like them, both ways, masters stated. Without a file it is only
    shown."""
    home = folder_with(tmp_path)
    words = ["schema", "business_central", "customers", "--with", "dataverse:account", "--transfers", str(home)]
    async with RealWorld() as world:
        shown = await typed(world, *words)
        assert (shown.code, list(home.iterdir())) == (0, [])
        said = await typed(
            world, *words, "--fields", "displayName,creditLimit,balanceDue", "--start", str(home / "x.yaml")
        )
        assert said.code == 0, said.out
        index = compile_folder(home)
        assert index.problems == ()
        (definition,) = index.definitions
        assert [one.name for one in definition.transfers] == [
            "customers_to_business_central",
            "customers_from_business_central_to_dataverse",
        ]
        lines = {
            rule.right: (rule.left, rule.master_unlinked.value, rule.master_linked.value) for rule in definition.fields
        }
        assert lines["displayName"] == ("name", "left", "right")
        assert lines["balanceDue"][2] == "right", "it can only be read"
        checked = await typed(world, "check", "--transfers", str(home), "--json")
        assert not [one for one in checked.json["findings"] if one["severity"] == "wrong"], checked.json


@virtually
async def test_what_the_crm_does_not_have_is_declared_beside_the_definition(tmp_path: Path) -> None:
    """R-225, R-226: a table of its own with a column for each that is picked, choices and references translated."""
    home = folder_with(tmp_path, account=definition_text())
    fields = "displayName,type,customerId,privacyBlocked,email"
    words = ["schema", "business_central", "contacts", "--with", "dataverse:cdock_person", "--from", "business_central"]
    async with RealWorld() as world:
        start = str(home / "person.yaml")
        said = await typed(world, *words, "--fields", fields, "--transfers", str(home), "--start", start, "--json")
        assert (said.code, [Path(one).name for one in said.json["files"]]) == (0, ["person.yaml", "person_tables.yaml"])
        index = compile_folder(home)
        assert index.problems == ()
        (table,) = index.tables
        made = {one.name: one for one in table.every_column}
        assert (table.table, table.name and table.name.name, table.needed_for) == (
            "cdock_person",
            "cdock_displayname",
            ("business_central",),
        )
        assert made["cdock_customerid"].refers_to == "account"
        assert made["cdock_type"].choices == {"100000000": "Company", "100000001": "Person"}
        definition = index.definitions[1]
        rules = {rule.right: rule for rule in definition.fields}
        assert rules.keys() == set(fields.split(","))
        assert rules["type"].values == {"100000000": "Company", "100000001": "Person"}
        assert rules["customerId"].reference
        assert {rule.master_linked.value for rule in definition.fields} == {"right"}


@virtually
async def test_what_is_declared_already_is_not_declared_again(tmp_path: Path) -> None:
    """R-223: although it is not made yet; a table that another definition has declared, and a column of it."""
    tables = """
tables:
  dataverse:
    cdock_seller:
      label: Seller
      plural: Sellers
      name: {column: cdock_displayname, label: Name, length: 50}
      columns: {cdock_email: {label: E-mail, length: 80}}
"""
    home = folder_with(tmp_path, tables=tables)
    words = ["schema", *SALES, "--with", "dataverse:cdock_seller", "--transfers", str(home)]
    async with RealWorld() as world:
        start = ["--fields", "displayName,email,jobTitle", "--start", str(home / "seller.yaml")]
        assert (await typed(world, *words, *start)).code == 0
        index = compile_folder(home)
        assert index.problems == ()
        assert {rule.right: rule.left for rule in index.definitions[0].fields} == {
            "displayName": "cdock_displayname",
            "email": "cdock_email",
            "jobTitle": "cdock_jobtitle",
        }
        (more,) = [one for one in index.tables if not one.is_ours]
        assert [one.name for one in more.columns] == ["cdock_jobtitle"]


@virtually
async def test_no_file_is_ever_overwritten(tmp_path: Path) -> None:
    """Neither of the two: with the one there the other is not written either."""
    home = folder_with(tmp_path, one="pair: x\n", two_tables="tables: y\n")
    words = ["schema", *SALES, "--with", "dataverse:cdock_seller", "--transfers", str(home), "--start"]
    async with RealWorld() as world:
        for name in ("one", "two"):
            said = await typed(world, *words, str(home / f"{name}.yaml"))
            assert (said.code, "is there already" in said.err) == (2, True)
        assert sorted(path.name for path in home.iterdir()) == ["one.yaml", "two_tables.yaml"]
        assert (home / "one.yaml").read_text("utf-8") == "pair: x\n"
        assert (await typed(world, *words, str(home / "three.yml"))).code == 2
