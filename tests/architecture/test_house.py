"""The house as the design draws it: names of folders and files, functions per file, what is deployed."""

from __future__ import annotations

import ast
import json
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOP_LEVEL = {
    ".ci",
    ".funcignore",
    ".gitattributes",
    ".github",
    ".gitignore",
    "CHANGELOG.md",
    "LICENSE",
    "README.md",
    "SECURITY.md",
    "azure.yaml",
    "docs",
    "function_app.py",
    "functions",
    "host.json",
    "infra",
    "local",
    "local.settings.example.json",
    "manage.py",
    "pyproject.toml",
    "requirements",
    "sandbox",
    "shared",
    "tests",
    "transfers",
}
MODULE = re.compile(r"(__init__|__main__|[a-z][a-z0-9]*(_[a-z0-9]+)*)\.py")
PLACE = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
SYSTEMS = {"dataverse", "business_central", "postoffice", "sales_cockpit", "field_service", "k2", "graph"}


def tracked() -> list[Path]:
    """Every file of the repository."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)  # noqa: S607 # git of the machine, on our own repository
    return [Path(line) for line in listed.stdout.splitlines()]


def test_the_top_level_is_the_one_of_the_design() -> None:
    """A new name there is a decision."""
    locks = re.compile(r"requirements(-[a-z]+)*\.txt")
    assert {path.parts[0] for path in tracked() if not locks.fullmatch(path.parts[0])} <= TOP_LEVEL


def test_modules_and_packages_have_plain_names() -> None:
    """Small letters, words joined by underscores."""
    for path in tracked():
        if path.suffix == ".py":
            assert MODULE.fullmatch(path.name), path
            assert all(PLACE.fullmatch(part) for part in path.parts[:-1] if not part.startswith(".")), path


def test_every_python_folder_of_the_product_is_a_package() -> None:
    """So that the worker, the tests and the type checker import one and the same module."""
    folders = {path.parent for path in tracked() if path.suffix == ".py" and path.parts[0] in ("shared", "functions")}
    assert [folder for folder in folders if not (ROOT / folder / "__init__.py").exists()] == []


@pytest.mark.parametrize("place", ["shared/connectors", "transfers", "sandbox"])
def test_systems_have_one_name_everywhere(place: str) -> None:
    """The folders of systems carry the names of the vocabulary; beside them people and applications sign in."""
    folders = {path.name for path in (ROOT / place).iterdir() if path.is_dir() and not path.name.startswith("__")}
    assert folders <= (SYSTEMS | {"sign_in"} if place == "sandbox" else SYSTEMS)


def test_function_app_registers_and_does_nothing_else() -> None:
    """Imports, one app, one line for each blueprint."""
    lines = (ROOT / "function_app.py").read_text("utf-8").splitlines()
    code = [line for line in lines[1:] if line.strip()]
    assert all(
        re.match(r"(import|from) |app = func\.FunctionApp\(|app\.register_functions\(\w+\.blueprint\)", line)
        for line in code
    )


def test_handlers_are_thin() -> None:
    """Parse, one call, answer: no function of the doors is longer than thirty lines."""
    for path in sorted((ROOT / "functions").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert (node.end_lineno or node.lineno) - node.lineno <= 30, f"{path.name} {node.name}"


def test_nothing_for_one_machine_is_deployed() -> None:
    """Tests, sandboxes and the local host stay out of the package, and so do settings with secrets."""
    ignored = (ROOT / ".funcignore").read_text("utf-8").split()
    for name in ("tests/", "local/", "sandbox/", "docs/", "infra/", "local.settings.json", ".crossdock/", ".venv/"):
        assert name in ignored
    for name in ("shared", "functions", "transfers", "host.json", "function_app.py"):
        assert not {name, f"{name}/"} & set(ignored)


def test_local_settings_are_never_committed() -> None:
    """They hold secrets."""
    assert "local.settings.json" in (ROOT / ".gitignore").read_text("utf-8").split()
    assert Path("local.settings.json") not in tracked()


def test_the_host_is_told_what_the_engine_relies_on() -> None:
    """Few calls at once for each function; the lock is renewed for longer than a run and its pause may last."""
    host = json.loads((ROOT / "host.json").read_text("utf-8"))
    queue = host["extensions"]["serviceBus"]
    assert host["version"] == "2.0"
    assert (queue["autoCompleteMessages"], queue["prefetchCount"]) == (True, 0)
    assert 1 <= queue["maxConcurrentCalls"] <= 16
    assert queue["maxAutoLockRenewalDuration"] == host["functionTimeout"]


def test_successful_requests_are_not_logged_with_their_addresses() -> None:
    """Business Central's secret is a part of its path, and the host's request records hold the address."""
    host = json.loads((ROOT / "host.json").read_text("utf-8"))
    assert host["logging"]["logLevel"]["Host.Results"] == "Error"


def test_no_page_says_the_same_twice() -> None:
    """Two sides of a merge that both have a passage leave it there twice."""
    for page in (path for path in tracked() if path.suffix == ".md"):
        text = (ROOT / page).read_text("utf-8")
        blocks = [block for block in text.split("\n\n") if "\n" in block and not block.startswith("- ")]
        rows = [row for row in text.splitlines() if len(row) > 150]
        assert not {one for told in (blocks, rows) for one in told if told.count(one) > 1}, page
