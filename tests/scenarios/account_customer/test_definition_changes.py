"""A consultant changes what moves by editing the definition; a mistake stops only what it concerns."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from local.definitions import compile_folder, read_definition
from shared.errors import UnknownColumn
from shared.operations import health
from shared.sync.definition import Index
from shared.sync.lengths import length_findings
from shared.sync.ports import Side
from tests.scenarios.account_customer.world import (
    COMPANY,
    COMPANY_VALUES,
    DEFINITION,
    TO_CRM,
    RealWorld,
    Setup,
    definition_text,
    virtually,
)

LAST_FIELD = "  - {dataverse: cdock_salesperson,        business_central: salespersonCode,       master: dataverse"
CONTACTS = """\
pair: {dataverse: contact, business_central: contacts}
transfers:
  contact_to_business_central:
    if_unlinked: match_or_create
fields:
  - {dataverse: lastname, business_central: displayName, master: dataverse}
  - {dataverse: telephone1, business_central: phoneNumber, master: dataverse}
"""


def compiled(folder: Path, **files: str) -> Index:
    """A folder of definitions, compiled as manage.py does."""
    home = folder / "transfers"
    home.mkdir(exist_ok=True)
    for name, text in files.items():
        (home / f"{name}.yaml").write_text(text, "utf-8", newline="\n")
    return compile_folder(home)


def line_of(text: str, part: str) -> int:
    """The number of the first line that holds a text."""
    return next(number for number, line in enumerate(text.splitlines(), 1) if part in line)


@pytest.mark.parametrize("named", [False, True], ids=["not named", "named"])
@virtually
async def test_a_line_in_the_definition_is_all_it_takes_to_move_a_field(named: bool) -> None:
    """R-042, R-059: one line more and a field travels, without any code; without the line it stays where it is."""
    line = "dataverse: address1_line3, business_central: addressLine2, master: dataverse"
    without = "\n".join(row for row in definition_text().splitlines() if "addressLine2" not in row) + "\n"
    text = without.replace(LAST_FIELD, f"  - {{{line}}}\n{LAST_FIELD}") if named else without
    async with RealWorld(Setup(text=text)) as world:
        account, customer = await world.pair_made(address1_line3="Back door")
        assert world.customer(customer)["addressLine2"] == ("Back door" if named else "")
        await world.edit_account(account, address1_line3="Gate 2")
        await world.settle()
        assert world.customer(customer)["addressLine2"] == ("Gate 2" if named else "")


@virtually
async def test_a_default_and_a_fixed_value_go_with_the_create_and_the_default_comes_back() -> None:
    """R-055: what the ERP needs and the CRM does not know; the account learns the terms, since the ERP owns them."""
    terms = "business_central: paymentTermsId.code,   master: business_central"
    text = definition_text().replace(terms, f"{terms}, default: {{business_central: 30T}}")
    text = text.replace("    write_back:", "    create_with: {type: Person, phoneNumber: '0'}\n    write_back:")
    async with RealWorld(Setup(text=text)) as world:
        account, customer = await world.pair_made()
        assert world.customer(customer)["type"] == "Person"
        assert world.customer(customer)["phoneNumber"] == COMPANY_VALUES["telephone1"], "a mapped value goes before"
        assert world.account(account)["cdock_paymentterms"] == "30T"
        assert await world.parked() == []


@virtually
async def test_a_long_address_goes_on_in_the_second_line_and_comes_back_as_one() -> None:
    """R-055: one line in the CRM, two in the ERP; the ERP masters both once it is a customer."""
    rows = [row for row in definition_text().splitlines() if "address1_line2" not in row]
    text = (
        "\n".join(rows).replace("business_central: addressLine1, ", "business_central: addressLine1/addressLine2, ")
        + "\n"
    )
    street = f"{'Old Mill Lane ' * 8}17"
    async with RealWorld(Setup(text=text)) as world:
        account, customer = await world.pair_made(address1_line1=street)
        lines = [str(world.customer(customer)[line]) for line in ("addressLine1", "addressLine2")]
        assert " ".join(lines) == street
        assert len(lines[0]) <= 100
        await world.edit_customer(customer, addressLine1="Mill Lane 2", addressLine2="Back door")
        await world.settle(quiet_seconds=700)
        assert world.account(account)["address1_line1"] == "Mill Lane 2 Back door"
        assert world.customer(customer)["addressLine2"] == "Back door"
        assert await world.parked() == await world.parked(TO_CRM) == []


PERSONS = """\
pair: {dataverse: contact, business_central: contacts}
transfers:
  contact_to_business_central: {create_with: {type: Person}}
  person_to_dataverse: {if_unlinked: match}
fields:
  - {dataverse: firstname+lastname, business_central: displayName, master: both}
"""


@virtually
async def test_first_and_last_name_are_one_name_in_the_erp_and_two_when_they_come_back() -> None:
    """R-056, R-057: the ERP's contacts have one name only; its last word is the last name."""
    async with RealWorld(Setup(text=PERSONS)) as world:
        contact = await world.crm.create("contact", {"firstname": "Anna Maria", "lastname": "Rossi"})
        await world.announce(Side.LEFT, contact)
        await world.settle()
        (person,) = [row for row in world.erp.rows(COMPANY, "contacts").values() if row["type"] == "Person"]
        assert person["displayName"] == "Anna Maria Rossi"
        await world.erp.edit(COMPANY, "contacts", person["id"], {"displayName": "Anna Maria Verdi"})
        await world.announce(Side.RIGHT, person["id"])
        await world.settle()
        row = world.crm.rows("contact")[contact]
        assert (row["firstname"], row["lastname"]) == ("Anna Maria", "Verdi")


@virtually
async def test_the_shipped_definition_says_what_becomes_of_every_text_that_may_be_too_long() -> None:
    """R-055: by the metadata of both systems; a line that says nothing is named."""
    async with RealWorld() as world:
        left, right = [await world.metadata(side) for side in Side]
        assert list(length_findings(world.definition, left, right)) == []
        silent = read_definition(definition_text().replace(", too_long: park", ""), DEFINITION)
        named = [finding.text.split()[0] for finding in length_findings(silent, left, right)]
        assert "dataverse.name" in named
        assert "dataverse.emailaddress1" in named
        assert "dataverse.telephone1" not in named, "the international form is short"


@virtually
async def test_a_new_field_reaches_linked_records_with_their_next_change() -> None:
    """R-042: pairs that were linked before the line was added agree on it once either of them changes."""
    before = definition_text().replace("  - {dataverse: websiteurl, ", "  # {dataverse: websiteurl, ")
    assert before != definition_text()
    async with RealWorld(Setup(text=before)) as world:
        account, customer = await world.pair_made(websiteurl="https://aurora-milling.example")
        assert world.customer(customer)["website"] == ""
        await world.work_with(Setup().definition())
        await world.edit_account(account, telephone1="+390471888888")
        await world.settle()
        assert world.customer(customer)["website"] == "https://aurora-milling.example"
        assert world.customer(customer)["phoneNumber"] == "+390471888888"


MISTAKES = {
    "two masters of one field": ("dataverse: telephone1, business_central: phoneNumber, master: business_central", ()),
    "a master that is none": (
        "dataverse: fax, business_central: website, master: sharepoint",
        ("sharepoint", "dataverse", "business_central"),
    ),
    "no master": ("dataverse: fax, business_central: website", ("master",)),
    "an unknown converter": (
        "dataverse: fax, business_central: website, master: dataverse, convert: shout",
        ("shout", "upper"),
    ),
    "an unknown check": (
        "dataverse: fax, business_central: website, master: dataverse, check: shoe_size",
        ("shoe_size", "phone"),
    ),
}


@pytest.mark.parametrize(("line", "words"), MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_is_refused_with_file_line_and_remedy_and_the_others_run(
    line: str, words: tuple[str, ...], tmp_path: Path
) -> None:
    """R-058: a field has exactly one master; what cannot be meant is refused before anything moves."""
    bad = CONTACTS + f"  - {{{line}}}\n"
    index = compiled(tmp_path, accounts=definition_text(), contacts=bad)
    (problem,) = index.problems
    assert problem.file == "transfers/contacts.yaml"
    assert problem.line == line_of(bad, line)
    assert problem.transfers == ("contact_to_business_central",)
    assert [word for word in words if word not in problem.text] == []
    assert [definition.left.table for definition in index.definitions] == ["account"]


@virtually
async def test_beside_a_refused_definition_the_others_run() -> None:
    """R-041: the index names the problem, and accounts become customers all the same."""
    with TemporaryDirectory() as folder:
        bad = CONTACTS.replace("master: dataverse}", "master: nobody}")
        index = compiled(Path(folder), accounts=definition_text(), contacts=bad)
    assert len(index.problems) == 1
    async with RealWorld(Setup(index=index)) as world:
        account, _ = await world.pair_made()
        assert list(await world.links()) == [account]


@pytest.mark.parametrize(
    ("right", "wrong", "meant"),
    [
        ("dataverse: telephone1", "dataverse: telefone1", "telephone1"),
        ("phoneNumber", "phoneNumer", "phoneNumber"),
        ("dataverse: contact", "dataverse: Contakt", "contact"),
        ("business_central: contacts", "business_central: contakts", "contacts"),
    ],
)
@virtually
async def test_an_unknown_table_or_column_stops_its_transfer_alone_and_names_what_may_be_meant(
    right: str, wrong: str, meant: str
) -> None:
    """R-041: found against the living systems; changes wait until the definition is mended, other transfers run."""
    bad = CONTACTS.replace(right, wrong)
    with TemporaryDirectory() as folder:
        index = compiled(Path(folder), accounts=definition_text(), contacts=bad)
    assert index.problems == ()
    async with RealWorld(Setup(index=index)) as world:
        engine = await world.apps[0].engine()
        with pytest.raises(UnknownColumn) as refused:
            await engine.pipeline.prepare("contact_to_business_central")
        assert f"transfers/contacts.yaml:{line_of(bad, wrong)}:" in str(refused.value)
        assert f"did you mean {meant}" in str(refused.value)
        named = {one.get("transfer"): one["text"] for one in (await health(world.apps[0]))["definitions"]}
        assert named["contact_to_business_central"] == refused.value.detail, "the health page says the same"
        account, _ = await world.pair_made()
        assert list(await world.links()) == [account]
