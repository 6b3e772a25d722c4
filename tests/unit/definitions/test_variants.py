"""One definition for several systems: what an entry under `for` changes, and what it may not."""

from __future__ import annotations

from pathlib import Path

import pytest

from local.definition_document import Faulty
from local.definitions import compile_folder, read_definition
from shared.sync.definition import Definition, Index, Master, OnCreate
from shared.sync.ports import Profile
from tests.scenarios.several_companies.world import page_examples

BASE = """pair: {dataverse: account, business_central: customers}
transfers:
  account_to_business_central: {only_if: {stage: qualified}, walk: every 5 minutes}
  customer_to_dataverse: {}
match:
  - {dataverse: vat, business_central: taxNumber}
fields:
  - {dataverse: accountnumber, business_central: number, master: business_central}
  - {dataverse: name, business_central: displayName, master: {unlinked: dataverse, linked: business_central}}
  - {dataverse: phone, business_central: phoneNumber, master: dataverse}
"""
ERP_IS_MASTER = (
    BASE[: BASE.index("fields:")]
    + """fields:
  - {dataverse: accountnumber, business_central: number, master: business_central}
"""
)
SECOND = """for:
  - business_central: business_central
  - business_central: bc_de
    hands_over: no
    transfers:
      account_to_business_central: {only_if: {stage: german}}
    fields:
      - {dataverse: number_de, business_central: number, master: business_central}
"""


def compiled(folder: Path, text: str) -> Index:
    """The index of a folder with this one file."""
    transfers = folder / "transfers"
    transfers.mkdir()
    (transfers / "account.yaml").write_text(text, "utf-8")
    return compile_folder(transfers)


def both(folder: Path, text: str = BASE + SECOND) -> tuple[Definition, Definition]:
    """The definitions of the first and of the second company."""
    index = compiled(folder, text)
    assert index.problems == ()
    first, second = index.definitions
    return first, second


def test_each_entry_is_a_definition_of_its_own_with_transfers_named_after_its_systems(tmp_path: Path) -> None:
    """The first company's are named as if there were no other."""
    first, second = both(tmp_path)
    assert (first.right.system, second.right.system) == ("business_central", "bc_de")
    assert first.left == second.left
    assert [one.name for one in first.transfers] == ["account_to_business_central", "customer_to_dataverse"]
    assert [one.name for one in second.transfers] == ["account_to_bc_de", "customer_from_bc_de_to_dataverse"]
    assert first == read_definition(BASE, "transfers/account.yaml")


def test_an_entry_changes_keys_of_a_transfer_and_lines_by_their_columns(tmp_path: Path) -> None:
    """What it does not name is as in the file; every line knows where it stands."""
    first, second = both(tmp_path)
    changed, kept = second.transfers[0], first.transfers[0]
    assert changed.only_if[0].columns == {"stage": ("german",)}
    assert changed.walk_seconds == kept.walk_seconds == 300
    lines = {rule.right: (rule.left, rule.line) for rule in second.fields}
    assert lines == {"displayName": ("name", 9), "phoneNumber": ("phone", 10), "number": ("number_de", 18)}
    assert second.match == first.match


def test_what_is_not_handed_over_stays_with_the_master_of_unlinked_records(tmp_path: Path) -> None:
    """And an account made of a customer starts with the customer's value."""
    first, second = both(tmp_path)
    here, there = ({rule.left: rule for rule in one.fields}["name"] for one in (first, second))
    assert (here.master_linked, here.on_create) == (Master.RIGHT, OnCreate.CARRY)
    assert (there.master_unlinked, there.master_linked, there.on_create) == (Master.LEFT, Master.LEFT, OnCreate.FILL)


def test_two_databases_that_never_run_together_may_master_the_same_column(tmp_path: Path) -> None:
    """One is for tests and the other is productive; without the profiles the second one is refused."""
    names = ("business_central", "bc_test")
    entries = "for:\n" + "".join(f"  - business_central: {name}\n    profile: {{}}\n" for name in names)
    first, second = both(tmp_path, ERP_IS_MASTER + entries.format("productive", "test"))
    assert (first.profile, second.profile) == (Profile.PRODUCTIVE, Profile.TEST)
    (tmp_path / "same").mkdir()
    index = compiled(tmp_path / "same", ERP_IS_MASTER + entries.format("test", "test"))
    assert [one.profile for one in index.definitions] == [Profile.TEST]
    assert "would have two masters" in index.problems[0].text


def test_lines_can_be_left_out_and_match_rules_and_brakes_replaced(tmp_path: Path) -> None:
    """By a column of either system."""
    more = """    without: [name, phoneNumber]
    match: []
    brakes: {creates_per_hour: 3}
"""
    first, second = both(tmp_path, BASE + SECOND + more)
    assert [rule.right for rule in second.fields] == ["number"]
    assert (second.match, second.brakes.creates_per_hour) == ((), 3)
    assert (len(first.match), first.brakes.creates_per_hour) == (1, 200)


def test_a_system_may_take_the_place_of_the_left_one(tmp_path: Path) -> None:
    """Two organisations, told apart by a flag, as the page has it; the ERP is master of what both hold."""
    *_, organisations = page_examples()
    index = compiled(tmp_path, ERP_IS_MASTER + organisations)
    assert index.problems == ()
    assert [one.left.system for one in index.definitions] == ["dataverse", "crm_test"]
    names = [[one.name for one in definition.transfers] for definition in index.definitions]
    assert names[0] == ["account_to_business_central", "customer_to_dataverse"]
    assert names[1] == ["account_from_crm_test_to_business_central", "customer_to_crm_test"]
    wanted = [definition.transfers[1].only_if[0].columns for definition in index.definitions]
    assert wanted == [{"customerGroup": ("LIVE",)}, {"customerGroup": ("TEST",)}]


def test_both_systems_may_be_others(tmp_path: Path) -> None:
    """A test environment beside the productive one."""
    more = "for:\n  - {dataverse: crm_test, business_central: bc_test}\n"
    (one,) = compiled(tmp_path, BASE + more).definitions
    assert (one.left.system, one.right.system) == ("crm_test", "bc_test")
    assert [transfer.name for transfer in one.transfers] == ["account_to_bc_test", "customer_to_crm_test"]


def test_a_second_company_may_not_be_master_of_the_same_column(tmp_path: Path) -> None:
    """R-047: they would overwrite each other for ever. All columns are named at once, and the first company goes on."""
    index = compiled(tmp_path, BASE + "for:\n  - business_central: business_central\n  - business_central: bc_de\n")
    assert [one.right.system for one in index.definitions] == ["business_central"]
    (problem,) = index.problems
    assert "dataverse.accountnumber would have two masters, business_central" in problem.text
    assert "likewise name" in problem.text
    assert problem.line == 8
    assert problem.transfers == ("account_to_bc_de", "customer_from_bc_de_to_dataverse")


def test_a_second_file_may_not_be_master_of_the_same_column_either(tmp_path: Path) -> None:
    """R-047: whatever the other system's table."""
    other = BASE.replace("customers", "vendors").replace("account_to", "seller_to").replace("customer_to", "vendor_to")
    transfers = tmp_path / "transfers"
    transfers.mkdir()
    (transfers / "a.yaml").write_text(BASE, "utf-8")
    (transfers / "b.yaml").write_text(other, "utf-8")
    index = compile_folder(transfers)
    assert [one.file for one in index.definitions] == ["transfers/a.yaml"]
    assert "two masters" in index.problems[0].text


def test_a_file_that_stands_instead_of_another_system_may_master_the_same_column(tmp_path: Path) -> None:
    """R-047: an installation has one of the two. A third system that is master of it is refused all the same."""
    transfers = tmp_path / "transfers"
    transfers.mkdir()
    for name in ("business_central", "cloud", "mainframe"):
        stands = "instead_of: business_central\n" if name == "cloud" else ""
        text = ERP_IS_MASTER.replace("customer_to", f"{name}_customer_to").replace("business_central", name)
        (transfers / f"{name}.yaml").write_text(stands + text, "utf-8")
    index = compile_folder(transfers)
    assert [one.right.system for one in index.definitions] == ["business_central", "cloud"]
    cloud = index.definitions[1]
    assert cloud.runs_among(["dataverse", "cloud"])
    assert not cloud.runs_among(["dataverse", "cloud", "business_central"])
    assert "two masters" in index.problems[0].text
    (transfers / "cloud.yaml").write_text("instead_of: cloud\n" + BASE.replace("business_central", "cloud"), "utf-8")
    assert "is one of the pair" in compile_folder(transfers).problems[0].text


def test_files_that_only_make_records_of_their_own_may_fill_the_same_table(tmp_path: Path) -> None:
    """R-113: phone calls and notes in one journal: nothing is matched, and nothing comes back."""
    transfers = tmp_path / "transfers"
    transfers.mkdir()
    for name in ("call", "note"):
        text = (
            f"pair: {{dataverse: {name}, postoffice: journal}}\n"
            f"transfers:\n  {name}_to_postoffice: {{}}\n"
            "fields:\n  - {dataverse: subject, postoffice: subject, master: dataverse}\n"
        )
        (transfers / f"{name}.yaml").write_text(text, "utf-8")
    assert compile_folder(transfers).problems == ()
    matching = (transfers / "note.yaml").read_text("utf-8") + "match:\n  - {dataverse: subject, postoffice: subject}\n"
    (transfers / "note.yaml").write_text(matching, "utf-8")
    (problem,) = compile_folder(transfers).problems
    assert "two masters" in problem.text


MISTAKES: dict[str, tuple[str, int, str]] = {
    "no list": ("for: {business_central: bc_de}\n", 11, "is a list of systems"),
    "no system": ("for:\n  - {hands_over: no}\n", 12, "takes the place of one of dataverse, business_central"),
    "an unknown key": ("for:\n  - {business_central: bc_de, handover: no}\n", 12, "'handover' is not known here"),
    "a list of systems": ("for:\n  - business_central: [a, b]\n", 12, "the name of one system"),
    "a system twice": ("for:\n  - business_central: b\n  - business_central: b\n", 13, "named twice; keep one"),
    "an unknown transfer": (
        "for:\n  - business_central: b\n    transfers:\n      accounts: {}\n",
        14,
        "accounts: is no transfer of this file",
    ),
    "a column without a line": ("for:\n  - business_central: b\n    without: [vatt]\n", 13, "vatt has no line"),
    "neither yes nor no": ("for:\n  - business_central: b\n    hands_over: never\n", 13, "is yes or no"),
    "fields that are no list": ("for:\n  - business_central: b\n    fields: {}\n", 13, "must be a list"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_every_mistake_in_an_entry_is_told_with_its_line(name: str) -> None:
    """As everywhere in a definition."""
    more, line, told = MISTAKES[name]
    with pytest.raises(Faulty) as raised:
        read_definition(BASE + more, "transfers/bad.yaml")
    assert told in raised.value.text
    assert raised.value.line == line


def test_a_mistake_in_one_entry_stops_that_one_only(tmp_path: Path) -> None:
    """Its problem names the system, since the line may be one that all share."""
    wrong = SECOND.replace("{only_if: {stage: german}}", "{walk: often}")
    index = compiled(tmp_path, BASE + wrong)
    assert [one.right.system for one in index.definitions] == ["business_central"]
    (problem,) = index.problems
    assert problem.text.startswith("business_central bc_de: walk: is written as")
    assert problem.line == 16
