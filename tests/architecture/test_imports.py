"""Imports point one way: function_app, functions, shared.app, connectors and stores, shared.sync; read as syntax."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OURS = ("function_app", "functions", "shared", "local", "sandbox")
AZURE = re.compile(r"azure(\.|$)")


def modules(*tops: str) -> Iterator[Path]:
    """The Python files of these top-level names."""
    for top in tops:
        yield from [ROOT / f"{top}.py"] if (ROOT / f"{top}.py").exists() else sorted((ROOT / top).rglob("*.py"))


def name_of(path: Path) -> str:
    """The dotted name of a module."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@cache
def imports(path: Path) -> tuple[tuple[int, str, bool], ...]:
    """Every import of a file wherever it stands: line, dotted name, whether for type checkers only."""
    tree = ast.parse(path.read_text("utf-8"))
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
        for one in node.body
        for inner in ast.walk(one)
    }
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name, id(node) in typing_only) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import; the worker imports modules absolutely"
            found += [(node.lineno, f"{node.module}.{alias.name}", id(node) in typing_only) for alias in node.names]
    return tuple(found)


def broken(tops: tuple[str, ...], forbidden: str, *, under: str = "", types_too: bool = True) -> list[str]:
    """Where modules of `tops` (below the dotted name `under`) import what the expression matches."""
    pattern = re.compile(rf"(?:{forbidden})(\.|$)")
    return [
        f"{name_of(path)}:{line} imports {name}"
        for path in modules(*tops)
        if name_of(path).startswith(under)
        for line, name, typing_only in imports(path)
        if pattern.match(name) and (types_too or not typing_only)
    ]


def test_the_files_are_found() -> None:
    """The other tests here would hold for an empty folder, too."""
    assert {name.partition(".")[0] for name in map(name_of, modules(*OURS))} == set(OURS)
    assert len(list(modules("shared"))) > 40


def test_shared_never_imports_the_doors() -> None:
    """Nor the parts for one machine, nor the sandboxes."""
    assert broken(("shared",), "functions|function_app|local|sandbox|tests") == []


def test_the_doors_import_no_part_for_one_machine() -> None:
    """They are what is deployed."""
    assert broken(("functions", "function_app"), "local|sandbox|tests") == []


def test_only_the_doors_know_the_functions_package() -> None:
    """So that everything else can be used and tested without a host."""
    assert broken(("shared",), r"azure\.functions") == []


def test_only_tests_know_microsofts_package_for_tables() -> None:
    """The store speaks the protocol itself; the package is not deployed, it is the tests' witness."""
    assert broken(OURS, r"azure\.data") == []


def test_the_engine_names_no_system_and_no_azure_package() -> None:
    """shared.sync imports the ports, the errors and nothing else of the product."""
    assert broken(("shared",), "azure|httpx|aiohttp|sqlite3", under="shared.sync") == []
    allowed = re.compile(r"shared\.(sync|errors)(\.|$)")
    strangers = [
        f"{name_of(path)}:{line} imports {name}"
        for path in modules("shared")
        if name_of(path).startswith("shared.sync")
        for line, name, _ in imports(path)
        if name.startswith("shared") and not allowed.match(name)
    ]
    assert strangers == []


def test_a_connector_never_imports_another_connector() -> None:
    """What they share stands beside them."""
    systems = sorted(
        path.name for path in (ROOT / "shared" / "connectors").iterdir() if (path / "__init__.py").exists()
    )
    assert {"dataverse", "business_central"} <= set(systems)
    for system in systems:
        others = "|".join(rf"shared\.connectors\.{other}" for other in systems if other != system)
        assert broken(("shared",), others, under=f"shared.connectors.{system}.") == []


@pytest.mark.parametrize("layer", ["connectors", "stores", "messaging"])
def test_connectors_stores_and_queue_do_not_know_who_uses_them(layer: str) -> None:
    """Nor each other."""
    others = "|".join(rf"shared\.{one}" for one in ("connectors", "stores", "messaging") if one != layer)
    above = r"shared\.app|shared\.engine|shared\.operations|shared\.notices|shared\.routes|shared\.settings"
    assert broken(("shared",), f"{others}|{above}", under=f"shared.{layer}.") == []


def test_a_sandbox_imports_nothing_of_the_product() -> None:
    """It is written from the vendors' documents: a mistake of ours must not be imitated by our own imitation."""
    assert broken(("sandbox",), "shared|functions|function_app|local|tests") == []


def test_heavy_packages_are_imported_when_they_are_needed() -> None:
    """Each import at the top of a module is paid by every cold start that loads it."""
    late = r"azure\.servicebus|azure\.identity|stdnum|phonenumbers|email_validator|rapidfuzz"
    found = [
        f"{name_of(path)}:{node.lineno}"
        for path in modules("shared", "functions", "function_app")
        for node in ast.parse(path.read_text("utf-8")).body
        if isinstance(node, ast.Import | ast.ImportFrom)
        and re.match(late, node.module or "" if isinstance(node, ast.ImportFrom) else node.names[0].name)
    ]
    assert found == []


def test_the_environment_is_read_in_one_place() -> None:
    """Settings come in through shared.settings; the root hands it the environment."""
    assert set(asked(r"os\.(environ|getenv)")) == {"shared.app", "functions.timers"}


def test_nothing_in_the_product_reads_the_clock_or_chance_by_itself() -> None:
    """Time, ids and chance are injected; only their own module asks the machine.

    One exception: how long a process waits for another one's lock on a file is real time by its nature.
    """
    own = {"shared.clock", "shared.stores.sqlite_rows"}
    by_themselves = r"datetime\.(now|utcnow)|time\.(time|monotonic|sleep)|uuid\.uuid[14]|random\.\w+|asyncio\.sleep"
    assert set(asked(by_themselves)) - own == set()


def asked(what: str) -> list[str]:
    """The modules of the product whose code names an attribute that the expression matches."""
    pattern = re.compile(what)
    return [
        name_of(path)
        for path in modules("shared", "functions", "function_app")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Attribute) and pattern.fullmatch(ast.unparse(node))
    ]
