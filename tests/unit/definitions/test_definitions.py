"""Definitions as people write them: what is read, and what every kind of mistake is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from local.definition_document import Faulty
from local.definitions import compile_folder, is_current, read_definition, write_index
from shared.sync.checks import CHECKS
from shared.sync.converters import CONVERTERS
from shared.sync.definition import Index, Master, OnCreate
from shared.sync.normalisers import NORMALISERS
from shared.sync.ports import Side

TRANSFERS = Path(__file__).parents[3] / "transfers"

GOOD = """\
# What people write.
pair: {dataverse: account, business_central: customers}
transfers:
  account_to_business_central:
    only_if: {country: NO, number: 00123, state: on}
    also_on: {opportunity: parentaccountid}
    walk: every 5 minutes
    choose_key: {column: number, prefix: CD-}
    write_back: [accountnumber]
  customer_to_dataverse: {if_unlinked: match}
match:
  - {dataverse: accountnumber, business_central: number}
  - {dataverse: [name, city], business_central: [displayName, city], normalise: company_name, certainty: possible}
fields:
  - {dataverse: name, business_central: displayName, master: dataverse}
  - {dataverse: city, business_central: city, master: {unlinked: dataverse, linked: business_central}}
  - {dataverse: accountnumber, business_central: number, master: business_central}
  - {dataverse: blocked, business_central: blocked, master: both, convert: values, values: {0: NO, 1: YES}}
brakes: {creates_per_hour: 7}
"""


def test_a_definition_is_read_as_it_is_written() -> None:
    """Systems become left and right, every rule remembers its line."""
    read = read_definition(GOOD, "transfers/good.yaml")
    there, back = read.transfers
    assert (read.left.system, read.right.table) == ("dataverse", "customers")
    assert (there.source, there.walk_seconds, there.write_back) == (Side.LEFT, 300, ("accountnumber",))
    assert (back.source, back.if_unlinked.value, back.walk_seconds) == (Side.RIGHT, "match", None)
    assert [rule.line for rule in read.fields] == [15, 16, 17, 18]
    assert (read.fields[1].master_unlinked, read.fields[1].master_linked) == (Master.LEFT, Master.RIGHT)
    assert read.fields[0].on_create is OnCreate.CARRY
    assert read.match[1].left == ("name", "city")
    assert read.brakes.creates_per_hour == 7


def test_what_yaml_takes_for_numbers_and_truths_stays_text() -> None:
    """Norway is not "false", a number with leading zeros keeps them, "on" is a word."""
    read = read_definition(GOOD, "transfers/good.yaml")
    assert read.transfers[0].only_if[0].columns == {"country": ("NO",), "number": ("00123",), "state": ("on",)}
    assert read.fields[3].values == {"0": "NO", "1": "YES"}


def test_what_counts_as_deleted_is_read_like_a_condition() -> None:
    """Of the record itself; its columns are read with the record."""
    text = GOOD.replace("customer_to_dataverse: {", "customer_to_dataverse: {gone_if: {blocked: [YES, NO]}, ")
    transfer = read_definition(text, "g.yaml").transfers[1]
    assert transfer.gone_if is not None
    assert transfer.gone_if.columns == {"blocked": ("YES", "NO")}
    assert transfer.own_columns == ["blocked"]


def test_a_check_with_settings_and_a_column_knows_the_column_on_both_sides() -> None:
    """The column may be named as either system calls it."""
    for named in ("city", "town"):
        text = GOOD.replace(FIRST, f"{FIRST}, check: {{vat_number: {{country: IT, country_from: {named}}}}}", 1)
        (rule, *_) = read_definition(text.replace("business_central: city", "business_central: town"), "g.yaml").fields
        assert rule.check == "vat_number"
        assert rule.check_with.settings == {"country": "IT"}
        assert rule.check_with.columns == {"country": ("city", "town")}


FIRST = "business_central: displayName, master: dataverse"
MISTAKES = {
    "two masters as a list": (FIRST, f"{FIRST[:-9]}[dataverse, business_central]", 15, "two masters; keep"),
    "a column twice": ("dataverse: city", "dataverse: name", 16, "dataverse.name has two rules and so two masters"),
    "no master": (", master: dataverse", "", 15, "name has no master; say master: dataverse or business_central"),
    "nobody for ever": ("master: dataverse}", "master: nobody}", 15, "without a master; say master:"),
    "an unknown master": ("master: dataverse}", "master: sap}", 15, "there are: dataverse, business_central, both"),
    "half a master": ("unlinked: dataverse, linked:", "linked:", 16, "names both: {unlinked"),
    "a wrong link state": ("unlinked: dataverse", "unlnked: dataverse", 16, "there are: linked, unlinked"),
    "a related table that counts as deleted": (
        "{if_unlinked: match}",
        "{gone_if: {contact: {by: parent, state: 1}}}",
        10,
        "gone_if: looks at columns of the record itself",
    ),
    "an unknown converter": (FIRST, f"{FIRST}, convert: shout", 15, f"there are: {', '.join(sorted(CONVERTERS))}"),
    "an unknown check": (FIRST, f"{FIRST}, check: shout", 15, f"there are: {', '.join(sorted(CHECKS))}"),
    "a setting that a check does not take": (
        FIRST,
        f"{FIRST}, check: {{vat_number: {{contry: IT}}}}",
        15,
        "check: vat_number does not take 'contry'; it takes: country, country_from",
    ),
    "a setting for a check that takes none": (
        FIRST,
        f"{FIRST}, check: {{phone: {{country: IT}}}}",
        15,
        "check: phone does not take 'country'; it takes nothing; leave it out",
    ),
    "a setting in another form": (
        FIRST,
        f"{FIRST}, check: {{vat_number: {{country: Italy}}}}",
        15,
        "check: vat_number: country is an ISO code of two capital letters; correct it",
    ),
    "a setting that is a list": (
        FIRST,
        f"{FIRST}, check: {{vat_number: {{country: [IT]}}}}",
        15,
        "country: is one word",
    ),
    "a setting for a converter that takes none": (
        FIRST,
        f"{FIRST}, convert: {{trim: {{country: IT}}}}",
        15,
        "convert: trim does not take 'country'",
    ),
    "a column beside without a rule": (
        FIRST,
        f"{FIRST}, check: {{vat_number: {{country_from: land}}}}",
        15,
        "check: country_from: land has no field rule; add one to fields:",
    ),
    "a column where only a setting can be": (
        FIRST,
        f"{FIRST}, check: {{recipient_code: {{pec: info@example.com}}}}",
        15,
        "does not take 'pec'; it takes: pec_from",
    ),
    "a converter without what it needs": (FIRST, f"{FIRST}, convert: round", 15, "has to be told decimals; add it"),
    "a form of days that lacks one part": (
        FIRST,
        f"{FIRST}, convert: {{date_text: {{form: dd.MM.MM}}}}",
        15,
        "convert: date_text: form is dd, MM and yyyy, each once",
    ),
    "an empty text to be replaced": (
        FIRST,
        f"{FIRST}, convert: replace, values: {{x: ''}}",
        15,
        "values: an empty text cannot be replaced",
    ),
    "a default for nobody": (
        FIRST,
        f"{FIRST}, default: {{when: always}}",
        15,
        "default: names dataverse or business_central",
    ),
    "a default of another system": (FIRST, f"{FIRST}, default: {{sap: X}}", 15, "'sap' is not known here"),
    "a default at another time": (
        FIRST,
        f"{FIRST}, default: {{dataverse: X, when: never}}",
        15,
        "'create' or 'always'",
    ),
    "a default that is never sent": (
        FIRST,
        f"{FIRST}, default: {{business_central: X}}, on_create: leave",
        15,
        "on_create: leave never sends the field; keep one",
    ),
    "two checks at once": (FIRST, f"{FIRST}, check: {{phone: {{}}, email: {{}}}}", 15, "check: names one; keep one"),
    "an unknown check with settings": (
        FIRST,
        f"{FIRST}, check: {{shout: {{country: IT}}}}",
        15,
        "there is no check 'shout'",
    ),
    "an unknown normaliser": ("company_name", "shout", 13, f"there are: {', '.join(sorted(NORMALISERS))}"),
    "more forms than columns": ("normalise: company_name", "normalise: [text, text, text]", 13, "or one for each"),
    "a form that cannot be searched": (
        "normalise: company_name",
        "normalise: [email_domain, text]",
        13,
        "put another column first",
    ),
    "a setting that a form does not take": (
        "normalise: company_name",
        "normalise: {company_name: {country: IT}}",
        13,
        "normalise: company_name does not take 'country'",
    ),
    "a form with a column beside that has no rule": (
        "normalise: company_name",
        "normalise: [text, {phone: {country_from: land}}]",
        13,
        "normalise: country_from: land has no field rule",
    ),
    "joined columns that are to be searched": (
        "- {dataverse: accountnumber, business_central: number}",
        "- {dataverse: accountnumber, business_central: number/number2}",
        12,
        "columns that are written as one cannot be searched",
    ),
    "a column of its own and as a part of a joined one": (
        "dataverse: city, business_central: city, master",
        "dataverse: city, business_central: city/displayName, master",
        16,
        "business_central.displayName has two rules",
    ),
    "an unknown certainty": ("possible", "perhaps", 13, "'sure' or 'possible'"),
    "an unknown key in a field": (FIRST, f"{FIRST}, convrt: trim", 15, "'convrt' is not known here; there are:"),
    "an unknown key in a match": ("normalise", "normalize", 13, "'normalize' is not known here; there are:"),
    "an unknown key in a transfer": ("if_unlinked", "if_unlnked", 10, "'if_unlnked' is not known here; there are:"),
    "an unknown key of the file": ("brakes:", "breaks:", 19, "'breaks' is not known here; there are: brakes"),
    "an unknown brake": ("creates_per_hour", "creates", 19, "creates:"),
    "a brake in words": ("_hour: 7", "_hour: seven", 19, "should be a valid integer"),
    "an unknown way with the unlinked": ("if_unlinked: match", "if_unlinked: guess", 10, "'match_or_create', 'match'"),
    "a walk in other words": ("every 5 minutes", "5 min", 7, "is written as 'every 5 minutes'"),
    "a walk that never walks": ("every 5 minutes", "every 0 minutes", 7, "name a time"),
    "a name without direction": ("customer_to_dataverse", "customers", 10, "rename it"),
    "a name to elsewhere": ("customer_to_dataverse", "customer_to_ifs", 10, "_to_dataverse or _to_business_central"),
    "a name in capitals": ("customer_to_dataverse", "Customer_to_dataverse", 10, "lower-case letters"),
    "a key named twice": ("brakes:", "pair: {}\nbrakes:", 19, "'pair' is named twice; keep one"),
    "a transfer named twice": ("customer_to_dataverse:", "account_to_business_central:", 10, "named twice"),
    "no YAML": ("brakes: {", "brakes: [", 19, "this is not YAML"),
    "a control character": ("# What", "# \x01 What", 1, "save it as plain text"),
    "an alias of itself": ("brakes: {creates_per_hour: 7}", "brakes: &b [*b]", 19, "write it out"),
    "three systems": ("customers}", "customers, ifs: work}", 2, "exactly two systems"),
    "one system": ("dataverse: account, ", "", 2, "exactly two systems"),
    "a rule for one side": ("dataverse: name, ", "", 15, "names no column of dataverse; add dataverse"),
    "a rule with an empty column": ("dataverse: name,", "dataverse: ,", 15, "add dataverse"),
    "a field of two columns": ("dataverse: name,", "dataverse: [name, x],", 15, "write one rule each"),
    "a match with unequal counts": ("[displayName, city]", "[displayName]", 13, "as many columns"),
    "values leading back to two": ("1: YES", "1: NO", 18, "no way back; make them differ"),
    "values without the converter": ("convert: values, ", "", 18, "belong together"),
    "the converter without values": (FIRST, f"{FIRST}, convert: values", 15, "belong together"),
    "a prefix the ERP would change": ("prefix: CD-", "prefix: cd_", 8, "capital letters, digits or -; choose"),
    "too many digits": ("prefix: CD-", "prefix: CD-, digits: 40", 8, "less than or equal to 12"),
    "written back from nowhere": ("[accountnumber]", "[accountno]", 9, "accountno has no field rule; add one"),
    "a delete that cascades": ("brakes:", "on_delete: cascade\nbrakes:", 19, "'unlink'"),
    "a delete that sets in both directions": ("brakes:", "on_delete: set\nbrakes:", 19, "within the transfer"),
    "a delete that deletes in both directions": ("brakes:", "on_delete: delete\nbrakes:", 19, "within its transfer"),
    "a delete that sets nothing": ("if_unlinked: match", "on_delete: {set: {}}", 10, "names no column"),
    "a delete that sets without values": ("if_unlinked: match", "on_delete: set", 10, "needs columns and values"),
    "a delete that sets a list": ("if_unlinked: match", "on_delete: {set: [x]}", 10, "names with values"),
    "a delete of a transfer that cascades": ("if_unlinked: match", "on_delete: cascade", 10, "'unlink'"),
    "a delete that also reports": ("if_unlinked: match", "on_delete: {set: {a: 1}, report: 1}", 10, "'report' is not"),
    "fields that are no list": (
        "fields:\n  - {dataverse: name, ",
        "fields:\n  x: {dataverse: name, ",
        15,
        "list; begin",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_every_mistake_is_told_with_its_line_and_what_to_do(name: str) -> None:
    """One mistake at a time in a file that is good otherwise."""
    right, wrong, line, told = MISTAKES[name]
    text = GOOD.replace(right, wrong, 1)
    if name == "fields that are no list":
        text = text.split("\n  - {dataverse: city, business")[0] + "\n"
        line = 14
    with pytest.raises(Faulty) as raised:
        read_definition(text, "transfers/bad.yaml")
    assert told in raised.value.text
    assert raised.value.line == line


@pytest.mark.parametrize("part", ["transfers", "fields"])
def test_a_file_in_which_nothing_could_move_is_refused(part: str) -> None:
    """Better than a definition that silently does nothing."""
    text = (
        "pair: {dataverse: a, business_central: b}\n"
        + {
            "fields": "transfers: {a_to_dataverse: {}}\n",
            "transfers": "fields:\n  - {dataverse: x, business_central: y, master: dataverse}\n",
        }[part]
    )
    with pytest.raises(Faulty, match="nothing could move"):
        read_definition(text, "transfers/bad.yaml")


# --- folders --------------------------------------------------------------------------------------

BEYOND_TEXT = {
    "empty.yaml": (b"", "the file is empty; it must name a pair"),
    "remarks.yaml": (b"# only remarks\n", "the file is empty"),
    "latin.yaml": (b"# K\xf6ln\n" + GOOD.encode(), "not UTF-8; save it as UTF-8"),
    "word.yaml": (b"account\n", "must hold names with values"),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder transfers/ with one good file."""
    made = tmp_path / "transfers"
    (made / "good").mkdir(parents=True)
    (made / "good" / "account.yaml").write_text(GOOD, encoding="utf-8")
    return made


@pytest.mark.parametrize("name", BEYOND_TEXT)
def test_a_file_that_cannot_be_read_disables_only_itself(folder: Path, name: str) -> None:
    """It is named in the index with its problem; the others are compiled all the same."""
    content, told = BEYOND_TEXT[name]
    (folder / name).write_bytes(content)
    index = compile_folder(folder)
    assert [definition.file for definition in index.definitions] == ["transfers/good/account.yaml"]
    (problem,) = index.problems
    assert problem.file == f"transfers/{name}"
    assert told in problem.text
    assert str(problem).startswith(f"transfers/{name}:1: ")


def test_a_refused_file_says_which_transfers_are_missing(folder: Path) -> None:
    """So the health page can name them."""
    bad = GOOD.replace("_to_", "_x_to_").replace(", master: dataverse", "")
    (folder / "bad.yaml").write_text(bad, encoding="utf-8")
    (problem,) = compile_folder(folder).problems
    assert problem.transfers == ("account_x_to_business_central", "customer_x_to_dataverse")


def test_a_transfer_of_one_name_in_two_files_is_refused_in_the_second(folder: Path) -> None:
    """A name is a function and a queue; the first file, by path, keeps it."""
    (folder / "later.yaml").write_text(GOOD, encoding="utf-8")
    index = compile_folder(folder)
    assert [definition.file for definition in index.definitions] == ["transfers/good/account.yaml"]
    (problem,) = index.problems
    assert (problem.file, problem.line) == ("transfers/later.yaml", 4)
    assert "stands in transfers/good/account.yaml already; rename" in problem.text


def test_windows_line_ends_and_a_byte_order_mark_change_nothing(folder: Path) -> None:
    """The same definition and the same digest on every machine."""
    path = folder / "good" / "account.yaml"
    before = compile_folder(folder)
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert compile_folder(folder) == before
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert compile_folder(folder).definitions == before.definitions


def test_an_index_is_current_until_a_file_changes(folder: Path) -> None:
    """Also a remark counts; the same files give the same bytes."""
    assert not is_current(folder)
    assert write_index(folder) == Index.model_validate_json((folder / "index.json").read_bytes())
    before = (folder / "index.json").read_bytes()
    assert is_current(folder)
    write_index(folder)
    assert (folder / "index.json").read_bytes() == before
    (folder / "good" / "account.yaml").write_text(GOOD + "# a remark\n", encoding="utf-8")
    assert not is_current(folder)


def test_the_shipped_index_is_current_and_without_problems() -> None:
    """Compile again after editing a definition: `manage.py check`."""
    assert is_current(TRANSFERS)
    assert compile_folder(TRANSFERS).problems == ()
