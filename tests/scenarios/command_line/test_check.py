"""`manage.py check` on the sandboxes: what would not work is named before a record fails, and nothing is written."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from local.command_line.context import Surroundings
from local.command_line.running import run_command
from local.definitions import compile_folder
from sandbox.faults import FaultKind, FaultRule
from tests.scenarios.account_customer.world import CRM_CLIENT, RealWorld, definition_text, virtually
from tests.scenarios.command_line.terminal import Said, typed, typed_at
from tests.unit.definitions.test_own_tables import JOBS

NAME = "{dataverse: name,                     business_central: displayName,"
BLOCKED = "values: {100000000: Ship, 100000001: Invoice, 100000002: All}"


@dataclass(frozen=True)
class Mistake:
    """A mistake in the definition: what is replaced by what, the line's beginning, code, severity, what is told."""

    old: str
    new: str
    code: str
    severity: str
    told: str


MISTAKES = {
    "an unknown table": Mistake(
        "{dataverse: account, business_central: customers}",
        "{dataverse: accounts, business_central: customers}",
        "CD-4601",
        "wrong",
        "dataverse has no table 'accounts'; did you mean account",
    ),
    "an unknown column": Mistake(
        "dataverse: creditlimit, ", "dataverse: creditlmit, ", "CD-4602", "wrong", "did you mean creditlimit"
    ),
    "a column that only an extension brings": Mistake(
        "business_central: website,               master: dataverse,",
        "business_central: gln, master: dataverse, if_missing: leave_out,",
        "CD-4602",
        "note",
        "no column 'gln'",
    ),
    "an unknown column behind a reference": Mistake(
        "paymentTermsId.code", "paymentTermsId.number", "CD-4602", "wrong", "paymentTermsId.number"
    ),
    "a text into an amount": Mistake(
        "dataverse: creditlimit,              business_central: creditLimit,           master: business_central",
        "dataverse: websiteurl2, business_central: creditLimit, master: dataverse".replace("websiteurl2", "fax"),
        "CD-4603",
        "wrong",
        "account.fax (text) cannot go into business_central customers.creditLimit (decimal) by 'same'",
    ),
    "a key that crosses as it is": Mistake(
        "dataverse: cdock_paymentterms,       business_central: paymentTermsId.code,",
        "dataverse: preferredsystemuserid, business_central: paymentTermsId,",
        "CD-4604",
        "wrong",
        "a key of one system means nothing in the other",
    ),
    "a longer text without a rule": Mistake(
        "check: email, on_create: fill, too_long: park", "check: email, on_create: fill", "CD-4605", "warning", "100"
    ),
    "a value that is no choice": Mistake(
        BLOCKED,
        "values: {100000000: Ship, 100000001: Invoice, 100000009: All}",
        "CD-4606",
        "wrong",
        "account.cdock_blocked has no choice '100000009'",
    ),
    "a member that the ERP does not have": Mistake(
        BLOCKED,
        "values: {100000000: Ship, 100000001: Invoice, 100000002: Everything}",
        "CD-4606",
        "wrong",
        "customers.blocked has no choice 'Everything'",
    ),
    "a choice without an entry": Mistake(
        BLOCKED,
        "values: {100000000: Ship, 100000001: Invoice}",
        "CD-4607",
        "warning",
        "The choice 'All' of business_central customers.blocked leads nowhere",
    ),
    "a condition on a value that is no choice": Mistake(
        "only_if: {cdock_stage: qualified}",
        "only_if: {customertypecode: 33}",
        "CD-4606",
        "wrong",
        "account.customertypecode has no choice '33'",
    ),
    "a read-only target": Mistake(
        "business_central: creditLimit,           master: business_central",
        "business_central: lastModifiedDateTime, master: dataverse",
        "CD-4608",
        "wrong",
        "customers.lastModifiedDateTime is read-only, but dataverse is master",
    ),
    "a number that would have to be renamed": Mistake(
        "business_central: number,                master: business_central",
        "business_central: number, master: dataverse",
        "CD-4609",
        "warning",
        "customers.number can be written at a create only",
    ),
    "a table beside the pair that is not there": Mistake(
        "also_on: {opportunity: parentaccountid}",
        "also_on: {opportunities: parentaccountid}",
        "CD-4601",
        "wrong",
        "dataverse has no table 'opportunities'; did you mean opportunity",
    ),
    "a column of a related table that is not there": Mistake(
        "also_on: {opportunity: parentaccountid}",
        "also_on: {opportunity: accountid}",
        "CD-4602",
        "wrong",
        "opportunity has no column 'accountid'",
    ),
}


def written(folder: Path, text: str) -> Path:
    """A folder with one definition."""
    place = folder / "transfers"
    place.mkdir(exist_ok=True)
    (place / "account.yaml").write_text(text, encoding="utf-8")
    return place


async def checked(world: RealWorld, folder: Path, text: str, *more: str) -> Said:
    """Check one definition."""
    return await typed(world, "check", "--transfers", str(written(folder, text)), *more)


def codes(said: Said) -> list[str]:
    """The codes of an answer to --json."""
    return [one["code"] for one in said.json["findings"]]


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_is_named_with_its_line(case: str, tmp_path: Path) -> None:
    """Code, severity, file, line, sentence and remedy; at least a warning ends with 1."""
    mistake = MISTAKES[case]
    assert mistake.old in definition_text()
    text = definition_text().replace(mistake.old, mistake.new)
    line = text[: text.index(mistake.new)].count("\n") + 1

    @virtually
    async def story() -> None:
        async with RealWorld() as world:
            said = await checked(world, tmp_path, text, "--json")
            found = [one for one in said.json["findings"] if one["code"] == mistake.code]
            assert found, said.json
            told = next(one for one in found if mistake.told in one["sentence"])
            assert (told["severity"], told["file"]) == (mistake.severity, "transfers/account.yaml")
            assert told["line"] in {1, 9, *range(line - 4, line + 1)}, "the file's, the transfer's, the rule's"
            assert told["remedy"]
            assert said.code == 1  # there is no alternate key yet

    story()


@virtually
async def test_the_definition_that_is_shipped_needs_nothing_but_what_register_makes() -> None:
    """Notes of what cannot be read or only an extension brings, and the alternate key; with the key it is fine. Both
    systems are only read."""
    async with RealWorld() as world:
        world.forget_requests()
        said = await typed(world, "check", "--json")
        notes = ["CD-4602"] * 4 + ["CD-4614"] + ["CD-4615"] * 2
        assert (said.code, sorted(codes(said))) == (1, sorted(["CD-4610", *notes]))
        world.crm.add_alternate_key("account", "cdock_AccountNumber", ["accountnumber"])
        fine = await typed(world, "check")
        assert (fine.code, "4 transfers can run" in fine.out, " note" in fine.out) == (0, True, True)
        asked = [*world.crm.requests.entries(), *world.erp.requests.entries()]
        assert {entry.method for entry in asked} == {"GET"}


@virtually
async def test_a_right_that_our_identity_lacks_is_named_before_a_record_fails() -> None:
    """R-055: none at all is wrong, some records only a warning; each privilege is told by what it is needed for."""
    async with RealWorld() as world:
        world.crm.limit_privilege(CRM_CLIENT, "account", "Create")
        world.crm.limit_privilege(CRM_CLIENT, "account", "Write", "Local")
        world.crm.limit_privilege(CRM_CLIENT, "transactioncurrency", "AppendTo")
        said = await typed(world, "check", "--json")
        told = {one["sentence"]: one["severity"] for one in said.json["findings"] if one["code"] == "CD-4613"}
        assert told["Our identity may not create dataverse account."] == "wrong"
        assert told["Our identity may not refer to dataverse transactioncurrency."] == "wrong"
        (some,) = [severity for sentence, severity in told.items() if "change some records" in sentence]
        assert some == "warning"


@virtually
async def test_a_column_that_security_denies_us_is_named() -> None:
    """Reading is needed where the column is the source, writing where it is the target."""
    async with RealWorld() as world:
        world.crm.secure_column(CRM_CLIENT, "account", "creditlimit", ["read"])
        world.crm.secure_column(CRM_CLIENT, "account", "telephone1")
        world.crm.secure_column(CRM_CLIENT, "account", "fax")
        said = await typed(world, "check", "--json")
        told = [one["sentence"] for one in said.json["findings"] if one["code"] == "CD-4612"]
        assert told == [
            "Column security does not let our identity change or create dataverse account.creditlimit.",
            "Column security does not let our identity read dataverse account.telephone1.",
            "Column security does not let our identity create or read dataverse account.telephone1.",
        ]


@virtually
async def test_what_is_declared_as_ours_is_told_as_what_register_makes_and_never_as_unknown(tmp_path: Path) -> None:
    """A table and a column that a definition names: where they are declared, once; then register makes them."""
    async with RealWorld() as world:
        text = definition_text().replace("cdock_salesperson,", "cdock_seller,")
        folder = written(tmp_path, text.replace("opportunity: parentaccountid", "cdock_job: cdock_accountid"))
        declared = JOBS.replace("needed_for: [fsm]\n", "").replace(
            "cdock_forjobs: {label: Has jobs, type: boolean}", "cdock_seller: {label: Seller, length: 20}"
        )
        (folder / "jobs.yaml").write_text(declared, encoding="utf-8")
        told = (await typed(world, "check", "--transfers", str(folder), "--json")).json["findings"]
        lines = [(one["file"], one["line"], one["sentence"]) for one in told if one["code"] == "CD-4620"]
        assert lines == [
            ("transfers/jobs.yaml", 4, "dataverse cdock_job is declared and not there yet."),
            ("transfers/jobs.yaml", 23, "dataverse account.cdock_seller is declared and not there yet."),
        ]
        assert not any("cdock_" in one["sentence"] for one in told if one["code"] in ("CD-4601", "CD-4602"))
        world.index = compile_folder(folder)
        assert (await typed(world, "register", "--apply")).code == 0
        found = codes(await typed(world, "check", "--transfers", str(folder), "--json"))
        assert not {"CD-4601", "CD-4620", "CD-4621"} & set(found)


@virtually
async def test_a_key_whose_index_is_not_built_yet_is_not_enough() -> None:
    """It cannot be used until it is active."""
    async with RealWorld() as world:
        world.crm.add_alternate_key("account", "cdock_Other", ["cdock_vatnumber"])
        said = await typed(world, "check", "--json")
        assert "CD-4610" in codes(said)


@virtually
async def test_without_a_folder_the_installations_own_definitions_are_checked(tmp_path: Path) -> None:
    """A local run of another folder than this checkout's."""
    async with RealWorld() as world:
        folder = written(tmp_path, definition_text().replace("business_central: displayName", "business_central: nam"))
        said = await typed_at(world.apps[0].outside, world, ["check", "--json"], {}, transfers=folder)
        assert "CD-4602" in codes(said)
        assert "has no column 'nam'" in said.out


@virtually
async def test_a_file_that_is_refused_is_named_beside_the_findings_of_the_others(tmp_path: Path) -> None:
    """And a definition of a system that there is no connector for."""
    async with RealWorld() as world:
        folder = written(tmp_path, definition_text())
        (folder / "bad.yaml").write_text("pair: x\n", encoding="utf-8")
        other = "pair: {dataverse: contact, elsewhere: people}\ntransfers:\n  contact_to_elsewhere: {}\nfields:\n"
        (folder / "other.yaml").write_text(f"{other}  - {{dataverse: lastname, elsewhere: name, master: dataverse}}\n")
        said = await typed(world, "check", "--transfers", str(folder))
        assert said.code == 1
        for told in ("transfers/bad.yaml:1:", "transfers/other.yaml:1: elsewhere:", "CD-4610"):
            assert told in said.out


@virtually
async def test_a_system_that_does_not_answer_ends_with_4() -> None:
    """The files alone can still be checked."""
    async with RealWorld() as world:
        world.erp.faults.add(FaultRule(FaultKind.UNAVAILABLE))
        said = await typed(world, "check")
        assert (said.code, "CD-1001" in said.err) == (4, True)
        assert (await typed(world, "check", "--offline")).code == 0


async def test_without_an_installation_it_says_how_to_check_the_files_alone(tmp_path: Path) -> None:
    """3, and a pipeline that has no systems says --offline."""
    words: Sequence[str] = ["check", "--state", str(tmp_path), "--transfers", str(written(tmp_path, definition_text()))]
    for more, code in (([], 3), (["--offline"], 0)):
        err = io.StringIO()
        assert await run_command([*words, *more], Surroundings({}, io.StringIO(), err, folder=tmp_path)) == code
        assert ("--offline" in err.getvalue()) == (code == 3)
