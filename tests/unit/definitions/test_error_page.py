"""docs/errors.md says every code there is, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

from local.error_pages import PAGE, entries, error_page

ROOT = Path(__file__).parents[3]
CODE = re.compile(r"CD-\d{4}")


def test_the_page_is_what_the_classes_and_the_catalogue_give() -> None:
    """Written anew by `python -m local.error_pages`."""
    assert PAGE.read_text(encoding="utf-8") == error_page()


def test_every_code_in_the_source_is_on_the_page() -> None:
    """Also one that somebody just made up in passing; the number of a class is not enough."""
    named = {
        code
        for folder in ("shared", "functions", "local")
        for path in sorted((ROOT / folder).rglob("*.py"))
        for code in CODE.findall(path.read_text(encoding="utf-8"))
    }
    assert named - {entry.code for entry in entries()} - WITHOUT_A_MEANING == set()


WITHOUT_A_MEANING = {"CD-1000"}
"""The root of the connectors' errors; only its subclasses are raised."""


def test_every_code_has_one_meaning_and_says_what_to_do() -> None:
    """No code twice, no empty advice, whole sentences."""
    found = entries()
    assert len({entry.code for entry in found}) == len(found)
    for entry in found:
        assert CODE.fullmatch(entry.code)
        assert entry.sentence.endswith(".")
        assert entry.remedy
