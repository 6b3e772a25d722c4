"""The base of the command line: which installation, how it speaks, how it ends; and the page of its commands."""

from __future__ import annotations

import ast
import io
import json
import re
import sqlite3
from pathlib import Path

import pytest

from local import bootstrap
from local.bootstrap import ROOT, commands, names_of_commands
from local.command_line.context import Surroundings
from local.command_line.errors import NothingToWorkOn
from local.command_line.exits import Exit, exit_of
from local.command_line.installations import find_installation
from local.command_line.output import Output
from local.command_line.page import MEANINGS, PAGE, page
from local.command_line.running import all_commands, run_command
from local.error_pages import _below
from local.run_installation import LOCK_FILE, RUN_FILE
from shared.errors import CrossdockError, SettingsError

GIVEN = {"CROSSDOCK_DATAVERSE_URL": "https://contoso.crm4.dynamics.com", "CROSSDOCK_VENV": "/elsewhere"}


class Screen(io.StringIO):
    """A stream that is a terminal."""

    def isatty(self) -> bool:
        return True


def run_of(state: Path, **settings: str) -> sqlite3.Connection:
    """A local run with these settings; it runs until the answered lock is closed."""
    told = {"transfers": str(ROOT / "transfers"), "settings": settings}
    (state / RUN_FILE).write_text(json.dumps(told), encoding="utf-8")
    lock = sqlite3.connect(state / LOCK_FILE, isolation_level=None)
    lock.execute("BEGIN EXCLUSIVE")
    return lock


# --- the page and the list ------------------------------------------------------------------------


def test_the_page_is_what_the_parsers_give() -> None:
    """Written anew by `python -m local.command_line.page`; every command and option is on it."""
    text = PAGE.read_text(encoding="utf-8")
    assert text == page()
    for command in all_commands():
        assert f"\n## {command.name}\n" in text
    assert set(MEANINGS) == set(Exit)


def test_every_command_is_listed_by_manage_and_in_the_readme(capsys: pytest.CaptureFixture[str]) -> None:
    """The readme's table names each; the list shows the first line of its help."""
    readme = (ROOT / "README.md").read_text("utf-8")
    assert bootstrap.main([]) == Exit.USAGE
    said = "".join(capsys.readouterr())
    for name, command in commands().items():
        assert re.search(rf"manage\.py {name}\b", readme), name
        assert command.line
        assert re.search(rf"^  {name} +{re.escape(command.line)}$", said, re.MULTILINE), name
    assert [command.name for command in all_commands()] == list(names_of_commands())


def test_a_command_that_changes_nothing_has_no_apply() -> None:
    """And one that does says WRITES; a file that applies without saying so would never be allowed to."""
    for command in all_commands():
        source = (ROOT / "local/command_line/commands" / f"{command.name.replace('-', '_')}.py").read_text("utf-8")
        uses = [one for one in ast.walk(ast.parse(source)) if isinstance(one, ast.Attribute) and one.attr == "applies"]
        assert bool(uses) == command.writes, command.name


# --- which installation ---------------------------------------------------------------------------


def test_without_settings_and_without_a_local_run_it_says_what_to_do(tmp_path: Path) -> None:
    """Settings of manage.py itself are none of an installation."""
    for environment in ({}, {"CROSSDOCK_VENV": "x", "CROSSDOCK_SET_UP": "1"}):
        with pytest.raises(NothingToWorkOn):
            find_installation(environment, tmp_path, tmp_path, local=False)


def test_the_settings_of_the_file_count_and_those_of_the_environment_count_first(tmp_path: Path) -> None:
    """As in the local run."""
    file = {"Values": {"CROSSDOCK_DATAVERSE_URL": "https://other.example", "CROSSDOCK_STORE_PREFIX": "test"}}
    (tmp_path / "local.settings.json").write_text(json.dumps(file), encoding="utf-8")
    found = find_installation(GIVEN, tmp_path, tmp_path, local=False)
    assert found.environment["CROSSDOCK_DATAVERSE_URL"] == GIVEN["CROSSDOCK_DATAVERSE_URL"]
    assert found.environment["CROSSDOCK_STORE_PREFIX"] == "test"
    assert GIVEN["CROSSDOCK_DATAVERSE_URL"] in found.name
    assert not found.is_local_run


def test_a_broken_settings_file_is_named(tmp_path: Path) -> None:
    """With what it should hold."""
    (tmp_path / "local.settings.json").write_text("[]", encoding="utf-8")
    with pytest.raises(SettingsError, match=r"local\.settings\.json"):
        find_installation({}, tmp_path, tmp_path, local=False)


def test_a_running_local_run_is_found_without_settings_and_with_its_own(tmp_path: Path) -> None:
    """Another installation's settings win over it, unless --local says otherwise."""
    lock = run_of(tmp_path, CROSSDOCK_LOCAL="on", **GIVEN)
    assert find_installation({}, tmp_path, tmp_path, local=False).is_local_run
    assert find_installation(GIVEN, tmp_path, tmp_path, local=False).is_local_run
    elsewhere = {"CROSSDOCK_DATAVERSE_URL": "https://other.example"}
    assert not find_installation(elsewhere, tmp_path, tmp_path, local=False).is_local_run
    assert find_installation(elsewhere, tmp_path, tmp_path, local=True).is_local_run
    lock.close()


def test_what_a_killed_run_has_left_behind_is_no_local_run(tmp_path: Path) -> None:
    """Its file is there, its lock is not."""
    run_of(tmp_path, CROSSDOCK_LOCAL="on").close()
    with pytest.raises(NothingToWorkOn, match="No local run"):
        find_installation(GIVEN, tmp_path, tmp_path, local=True)


# --- how it speaks and ends -----------------------------------------------------------------------


def test_a_pipe_gets_lines_with_tabs_and_a_terminal_gets_a_table() -> None:
    """A terminal's control characters in a text are blanks; what looks like markup is text."""
    pipe, screen = io.StringIO(), Screen()
    rows = [["a[red]b", "x\x1b[2Jy\tz"]]
    for stream in (pipe, screen):
        Output(stream, io.StringIO(), as_json=False).table(("one", "two"), rows)
    assert pipe.getvalue() == "one\ttwo\na[red]b\tx [2Jy z\n"
    assert "a[red]b" in screen.getvalue()
    assert "\x1b[2J" not in screen.getvalue()


def test_with_json_there_is_one_object_and_nothing_else() -> None:
    """Lines and tables are for people."""
    out = io.StringIO()
    output = Output(out, io.StringIO(), as_json=True)
    output.line("for people")
    output.table(("one",), [["x"]])
    output.answer({"one": "ü"})
    assert json.loads(out.getvalue()) == {"one": "ü"}


@pytest.mark.parametrize("stream", [io.StringIO, Screen])
def test_progress_is_told_on_standard_error(stream: type[io.StringIO]) -> None:
    """A bar on a terminal, every tenth as a line elsewhere."""
    out, err = io.StringIO(), stream()
    with Output(out, err, as_json=True).progress("put back", 20) as advance:
        for _ in range(20):
            advance(1)
    assert "put back" in err.getvalue()
    assert out.getvalue() == ""
    if not err.isatty():
        assert err.getvalue().count("\n") == 10
        assert err.getvalue().endswith("put back: 20 of 20\n")


def test_every_error_ends_a_command_with_a_documented_code() -> None:
    """The code for the unforeseen is for none of them."""
    modules = ("shared.errors", "shared.routes", "local.command_line.errors")
    kinds = [kind for kind in _below(CrossdockError) if kind.__module__ in modules]
    assert len(kinds) > 20
    assert [kind for kind in kinds if exit_of(_made(kind)) is Exit.UNFORESEEN] == []


def _made(kind: type[CrossdockError]) -> CrossdockError:
    error = kind.__new__(kind)
    Exception.__init__(error, "")
    return error


async def test_help_says_the_exit_codes_and_ends_with_0(tmp_path: Path) -> None:
    """Without an installation, and a wrong option names itself."""
    out, err = io.StringIO(), io.StringIO()
    surroundings = Surroundings({}, out, err, folder=tmp_path)
    assert await run_command(["mode", "--help"], surroundings) == 0
    assert "exit codes" in out.getvalue()
    assert await run_command(["mode", "--nonsense"], surroundings) == 2
    assert "--nonsense" in err.getvalue()


async def test_definitions_are_checked_and_compiled_without_an_installation(tmp_path: Path) -> None:
    """A problem ends with 1 and names file and line; the others are compiled."""
    folder = tmp_path / "transfers"
    folder.mkdir()
    good = (ROOT / "transfers/business_central/account.yaml").read_text("utf-8")
    (folder / "good.yaml").write_text(good, encoding="utf-8")
    (folder / "bad.yaml").write_text("pair: x\n", encoding="utf-8")
    out = io.StringIO()
    surroundings = Surroundings({}, out, io.StringIO(), folder=tmp_path)
    assert await run_command(["compile", "--transfers", str(folder)], surroundings) == 1
    assert "transfers/bad.yaml:1:" in out.getvalue()
    assert "2 transfers can run" in out.getvalue()
    assert (folder / "index.json").exists()
