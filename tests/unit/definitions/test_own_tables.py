"""Tables and columns of our own as people declare them: what is read, and what every kind of mistake is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from local.definition_document import Faulty, read_document
from local.definitions import compile_folder
from local.own_tables import read_tables
from shared.sync.own_tables import OwnTable, declared
from shared.sync.ports import ColumnType
from tests.unit.definitions.test_definitions import GOOD, TRANSFERS

JOBS = """\
# What people write.
needed_for: [fsm]
tables:
  dataverse:
    cdock_job:
      label: Service job
      plural: Service jobs
      name: {column: cdock_name, label: Job, length: 200}
      columns:
        cdock_number: {label: Number, length: 20}
        cdock_accountid: {label: Customer, refers_to: account}
        cdock_state: {label: State, choices: {100000000: NO, 100000001: On site}}
        cdock_start: {label: Start, type: datetime}
        cdock_amount: {label: Amount, type: decimal, decimals: 2}
        cdock_wish: {label: Wish, type: memo, length: 5000}
      keys: [cdock_number, [cdock_name, cdock_start]]
      views:
        Jobs soon:
          where: {cdock_start: next 7 days, cdock_state: ["", 100000000], statecode: 0}
          columns: [cdock_number, cdock_start]
          order: {cdock_start: up}
    account:
      columns:
        cdock_forjobs: {label: Has jobs, type: boolean}
"""


def _read(text: str) -> tuple[OwnTable, ...]:
    return tuple(read_tables(read_document(text), "transfers/jobs.yaml"))


def test_a_table_is_read_as_it_is_written() -> None:
    """Types follow from choices and references, a choice keeps its label, one column stands for a key of one."""
    job, account = _read(JOBS)
    assert (job.table, job.label, job.plural, job.is_ours) == ("cdock_job", "Service job", "Service jobs", True)
    told = {one.name: one.as_made for one in job.every_column}
    assert told["cdock_name"].max_length == 200
    assert (told["cdock_accountid"].type, told["cdock_accountid"].target) == (ColumnType.REFERENCE, "account")
    assert told["cdock_state"].choices == {"100000000": "NO", "100000001": "On site"}
    assert (told["cdock_amount"].type, told["cdock_amount"].decimals) == (ColumnType.DECIMAL, 2)
    assert (told["cdock_wish"].type, told["cdock_wish"].max_length) == (ColumnType.TEXT, 5000)
    assert job.keys == (("cdock_number",), ("cdock_name", "cdock_start"))
    assert [one.line for one in job.columns] == [10, 11, 12, 13, 14, 15]
    assert (account.is_ours, [one.name for one in account.every_column]) == (False, ["cdock_forjobs"])


def test_a_table_is_needed_where_one_of_its_systems_is() -> None:
    """Or everywhere, where the file names none."""
    assert [one.needed_with(["dataverse", "fsm"]) for one in _read(JOBS)] == [True, True]
    assert [one.needed_with(["dataverse", "postoffice"]) for one in _read(JOBS)] == [False, False]
    assert [one.needed_with([]) for one in _read(JOBS.replace("needed_for: [fsm]\n", ""))] == [True, True]


@pytest.mark.parametrize(
    ("right", "wrong", "line", "told"),
    [
        ("label: Number, ", "labl: Number, ", 10, "'labl' is not known here; there are: choices"),
        ("label: Number, ", "", 10, "cdock_number: has no label"),
        ("cdock_number: {", "number: {", 10, "'number' is no name of a column of your own"),
        ("type: datetime", "type: time", 13, "type: 'time' is not known"),
        ("type: datetime", "type: datetime, length: 5", 13, "length: belongs to texts"),
        ("type: decimal, ", "", 14, "decimals: belongs to type: decimal"),
        ("decimals: 2", "decimals: many", 14, "decimals: input should be a valid integer"),
        ("decimals: 2", "decimals: 11", 14, "decimals: is 0 to 10"),
        ("length: 20}", "length: 4001}", 10, "a longer text is of type: memo"),
        ("length: 20}", "type: choice}", 10, "type: choice needs choices:"),
        ("length: 20}", "type: reference}", 10, "type: reference needs refers_to:"),
        ("refers_to: account", "refers_to: Account", 11, "refers_to: 'Account' is no name of a table"),
        ("100000001: On site", "on_site: On site", 12, "choices: 'on_site' is no whole number"),
        ("100000001: On site", "١: On site", 12, "choices: '١' is no whole number"),
        ("100000001: On site", "100000001: ''", 12, "choices: 100000001 has no label"),
        ("      plural: Service jobs\n", "", 5, "a table of your own has label:, plural: and name:; add plural:"),
        ("name: {column: cdock_name, ", "name: {", 8, "says which column holds the records' name"),
        ("name: {column: cdock_name", "name: {column: cdock_start", 5, "cdock_start is declared twice"),
        ("cdock_job:", "job:", 5, "job: is no name of a table of your own"),
        ("keys: [cdock_number, ", "keys: [cdock_nummer, ", 5, "keys: cdock_nummer is no column"),
        ("keys: [cdock_number, ", "keys: [cdock_wish, ", 5, "keys: cdock_wish is of a type that cannot be unique"),
        ("keys: [cdock_number, ", "keys: [[cdock_number, cdock_number], ", 5, "names a column twice"),
        ("keys: [cdock_number, [cdock_name, cdock_start]]", "keys: cdock_number", 16, "must be a list of columns"),
        ("keys: [cdock_number, ", "keys: [{a: b}, ", 16, "must be a list of names"),
        ("needed_for: [fsm]", "needed_for: fsm", 2, "needed_for: must be a list of names"),
        ("next 7 days", "7 days", 18, "where: cdock_start is a time; say 'next 90 days'"),
        ('["", 100000000]', "open", 18, "where: cdock_state has no choice 'open'"),
        ("columns: [cdock_number", "columns: [cdock_numer", 18, "cdock_numer is no column that is declared here"),
        ("          columns: [cdock_number, cdock_start]\n", "", 18, "columns: tuple should have at least 1 item"),
        (
            "order: {cdock_start: up}",
            "order: {cdock_start: upwards}",
            21,
            "cdock_start: input should be 'up' or 'down'",
        ),
        ("  dataverse:", "  business_central:", 4, "tables of business_central cannot be made"),
        ("tables:", "pair: {}\ntables:", 3, "'pair' is not known here"),
        ("        cdock_forjobs: {label: Has jobs, type: boolean}\n", "        {}\n", 22, "declares no column"),
    ],
)
def test_a_mistake_is_named_with_its_line(right: str, wrong: str, line: int, told: str) -> None:
    """And with what to do."""
    assert right in JOBS
    with pytest.raises(Faulty) as faulty:
        _read(JOBS.replace(right, wrong, 1))
    assert told in faulty.value.text
    assert faulty.value.line == line


def test_what_several_files_say_of_a_table_is_put_together(tmp_path: Path) -> None:
    """A file may add columns and keys to a table that another one declares."""
    (tmp_path / "a.yaml").write_text(JOBS, encoding="utf-8")
    more = "tables: {dataverse: {cdock_job: {columns: {cdock_more: {label: More}}, keys: [cdock_more]}}}"
    (tmp_path / "b.yaml").write_text(more, encoding="utf-8")
    index = compile_folder(tmp_path)
    assert index.problems == ()
    job = declared(index.tables, "dataverse")["cdock_job"]
    assert [one.name for one in job.every_column][-2:] == ["cdock_wish", "cdock_more"]
    assert (job.label, job.keys[-1]) == ("Service job", ("cdock_more",))


@pytest.mark.parametrize(
    ("again", "told"),
    [
        ("{label: J, plural: J, name: {column: cdock_x, label: X}}", "cdock_job is declared in"),
        ("{columns: {cdock_state: {label: State}}}", "cdock_job.cdock_state is declared in"),
    ],
)
def test_nothing_is_declared_twice(tmp_path: Path, again: str, told: str) -> None:
    """The later file is told, and the rest is compiled, definitions beside it as well."""
    (tmp_path / "a.yaml").write_text(JOBS, encoding="utf-8")
    (tmp_path / "b.yaml").write_text(f"tables:\n  dataverse:\n    cdock_job: {again}\n", encoding="utf-8")
    (tmp_path / "c.yaml").write_text(GOOD, encoding="utf-8")
    index = compile_folder(tmp_path)
    ((problem,), (definition,)) = index.problems, index.definitions
    assert (told in problem.text, problem.line, problem.file) == (True, 3, f"{tmp_path.name}/b.yaml")
    assert (definition.left.table, [one.table for one in index.tables]) == ("account", ["cdock_job", "account"])


def test_the_shipped_tables_of_the_field_service_refer_to_one_another() -> None:
    """Every reference leads to a declared table or to a customer; every table of ours can be found by the key there. Of
    accounts two that are merged hold the same one."""
    index = compile_folder(TRANSFERS)
    tables = {one.table: one for one in index.tables}
    ours = {name for name, one in tables.items() if one.is_ours}
    assert {"cdock_servicejob", "cdock_warranty", "cdock_servicecontract", "cdock_slaresult"} <= ours
    assert {one.refers_to for table in tables.values() for one in table.columns if one.refers_to} <= {*ours, "account"}
    assert all(one.keys for name, one in tables.items() if name != "account")
