"""The documents for users say what the code does: its tables are compared, and what they point to exists."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from local.definitions import read_definition
from shared.sync.checks import CHECKS
from shared.sync.converters import CONVERTERS
from shared.sync.definition import Brakes, ChooseKey, Definition, FieldRule, Master, MatchRule, OnCreate, Transfer
from shared.sync.normalisers import NORMALISERS
from shared.sync.ports import Side
from shared.sync.problems import PROBLEMS

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"
DEFINITIONS = (DOCS / "definitions.md").read_text(encoding="utf-8")
MINE = [
    *(DOCS / name for name in ("definitions.md", "how-it-works.md", "glossary.md", "errors.md")),
    DOCS / "systems" / "business_central.md",
    DOCS / "how-to" / "lock-fields.md",
    DOCS / "systems" / "field_service_data.md",
    *sorted((DOCS / "decisions").glob("00*.md")),
]
FIELD_SERVICE = ROOT / "transfers" / "field_service"


COMPILED = {"left", "right", "line", "master_linked", "master_unlinked", "convert_with", "check_with"}


def table(heading: str) -> Mapping[str, list[str]]:
    """The table of definitions.md whose first column is called so: first cells without ticks, then the others."""
    found = re.search(rf"^\| {re.escape(heading)} \|.*\n\|[ |-]+\n((?:\|.*\n)+)", DEFINITIONS, re.MULTILINE)
    assert found, f"there is no table of {heading}"
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in found.group(1).splitlines()]
    return {row[0].strip("`"): row[1:] for row in rows}


def section(title: str) -> str:
    """The text below a heading of definitions.md, up to the next one of its level or above."""
    level = title.split()[0]
    rest = DEFINITIONS.split(f"{title}\n", 1)[1]
    return re.split(rf"^#{{2,{len(level)}}} ", rest, maxsplit=1, flags=re.MULTILINE)[0]


def test_every_converter_is_explained_in_its_own_words() -> None:
    """The sentence of the page is the one in the code."""
    assert table("converter") == {
        name: [converter.meaning, ", ".join(f"`{one}`" for one in converter.takes)]
        for name, converter in CONVERTERS.items()
    }


def test_every_check_is_explained_in_its_own_words() -> None:
    """With what it may be told, and the codes under which a value is parked."""
    assert table("check") == {
        name: [check.meaning, ", ".join(f"`{one}`" for one in check.takes), ", ".join(check.codes)]
        for name, check in CHECKS.items()
    }
    assert {code for check in CHECKS.values() for code in check.codes} <= set(PROBLEMS)


def test_every_argument_is_explained() -> None:
    """Those of checks and of converters."""
    takes = [*(one.takes for one in CHECKS.values()), *(one.takes for one in CONVERTERS.values())]
    assert set(table("argument")) == {argument for one in takes for argument in one}


def test_every_normaliser_is_explained_in_its_own_words() -> None:
    """With what it may be told."""
    assert table("normaliser") == {
        name: [one.meaning, ", ".join(f"`{argument}`" for argument in one.takes)] for name, one in NORMALISERS.items()
    }


@pytest.mark.parametrize(
    ("title", "model", "compiled"),
    [
        ("## The file", Definition, {"file", "left", "right"}),
        ("## A transfer", Transfer, {"name", "source", "line", "walk_seconds", "window_days", "set_on_delete"}),
        ("## Matching", MatchRule, {"left", "right", "line", "normalise_with"}),
        ("## A field", FieldRule, COMPILED),
        ("## A transfer", ChooseKey, set()),
    ],
)
def test_every_key_is_explained(title: str, model: type[Definition], compiled: set[str]) -> None:
    """A key that the compiler learns needs its sentence."""
    told = section(title)
    assert [key for key in model.model_fields if key not in compiled and not re.search(rf"\b{key}\b", told)] == []


def test_brakes_are_told_with_their_defaults() -> None:
    """The figures of the page are those of the code."""
    rows = re.findall(r"^\| `(\w+_(?:per_hour|per_day|percent))` \| (\d+) \|", DEFINITIONS, re.MULTILINE)
    assert {name: int(limit) for name, limit in rows} == Brakes().model_dump()


def test_every_word_of_on_create_is_explained() -> None:
    """carry, fill, leave."""
    assert set(table("word")) == set(OnCreate)


def test_the_example_is_a_good_definition() -> None:
    """People copy it."""
    example = re.search(r"```yaml\n(.*?)```", DEFINITIONS, re.DOTALL)
    assert example
    assert len(read_definition(example.group(1), "transfers/example.yaml").transfers) == 2


@pytest.mark.parametrize("page", MINE, ids=lambda page: page.name)
def test_what_a_page_points_to_exists(page: Path) -> None:
    """Links between pages, and files and folders of the project that are named."""
    text = page.read_text(encoding="utf-8")
    targets = [page.parent / target for target in re.findall(r"\]\(([^)#:]+)\)", text)]
    targets += [ROOT / named for named in re.findall(r"`((?:tests|shared|transfers|docs|local)/[\w/.-]+)`", text)]
    assert [str(target) for target in targets if not target.exists()] == []


@pytest.mark.parametrize("path", sorted((FIELD_SERVICE / "fsm").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_field_services_fields_are_told_with_their_masters(path: Path) -> None:
    """In both dialects, line by line as the definitions have them."""
    page = (DOCS / "systems" / "field_service_data.md").read_text(encoding="utf-8")
    fsm = read_definition(path.read_text("utf-8"), path.name)
    other = read_definition((FIELD_SERVICE / "ifs_cloud" / path.name).read_text("utf-8"), path.name)
    named = {rule.left: f"`{rule.right}`" for rule in other.fields}
    words = {Master.LEFT: "CRM", Master.RIGHT: "field service", Master.BOTH: "both, the field service wins"}
    rows = []
    for rule in fsm.fields:
        before, after = words[rule.master_unlinked], words[rule.master_linked]
        master = after if before == after else f"{before}; linked: {after}"
        rows.append(f"| `{rule.left}` | `{rule.right}` | {named.get(rule.left, '')} | {master} |")
    assert "\n".join(rows) in page


def test_the_field_services_transfers_are_told_with_their_times() -> None:
    """Each kind of data with its three tables, and how often each of its directions is walked, in both dialects."""
    page = (DOCS / "systems" / "field_service_data.md").read_text(encoding="utf-8")
    words = {300: "every 5 minutes", 900: "every 15 minutes", 3600: "every hour", 86400: "every day"}
    for path in sorted((FIELD_SERVICE / "fsm").glob("*.yaml")):
        fsm, other = (
            read_definition((FIELD_SERVICE / dialect / path.name).read_text("utf-8"), path.name)
            for dialect in ("fsm", "ifs_cloud")
        )
        tables = f"| `{fsm.left.table}` | `{fsm.right.table}` | `{other.right.table}` |"
        line = next(one for one in page.splitlines() if tables in one)
        told = [re.sub(r" \(.*\)", "", cell).strip() for cell in line.split("|")[5:7]]
        walked = [{one.source: one.walk_seconds for one in definition.transfers} for definition in (fsm, other)]
        assert walked[0] == walked[1]
        assert told == [
            f"at once, {words[walked[0][side] or 0]}" if side in walked[0] else "" for side in (Side.LEFT, Side.RIGHT)
        ]


def test_the_glossary_is_in_order_and_says_each_word_once() -> None:
    """One meaning for each."""
    text = (DOCS / "glossary.md").read_text(encoding="utf-8")
    words = [line.split("**")[1] for line in text.splitlines() if line.startswith("| **")]
    assert words == sorted(set(words), key=str.casefold)


def test_decisions_have_a_number_each_and_say_why() -> None:
    """Each page has a question, a decision and reasons or a measurement."""
    pages = sorted((DOCS / "decisions").glob("00*.md"))
    numbers = [int(page.name[:4]) for page in pages]
    assert len(set(numbers)) == len(numbers) > 0
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert text.startswith(f"# {int(page.name[:4])}. ")
        assert "## Question" in text
        assert "## Decision" in text
