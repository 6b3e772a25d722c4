"""Writes docs/errors.md from the error classes and the catalogue of parked items, so that the page is never wrong.

`python -m local.error_pages` writes the page anew; a test holds the page to what this module makes.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from shared.errors import CrossdockError, Who
from shared.sync.alarms import ALARMS
from shared.sync.findings import FINDINGS
from shared.sync.problems import PROBLEMS
from shared.sync.registering import REGISTERING

MODULES = (
    "shared.errors",
    "shared.sync.message",
    "shared.routes",
    "shared.sales_cockpit.errors",
    "shared.field_service.errors",
    "functions.door",
    "local.host.errors",
    "local.command_line.errors",
)
"""Where error classes with a code of their own are defined."""

PAGE = Path(__file__).parents[1] / "docs" / "errors.md"

_FAMILIES = {
    "CD-0": "Unforeseen",
    "CD-1": "What a system answers",
    "CD-2": "Our own store, queue and messages",
    "CD-3": "Settings",
    "CD-40": "A value",
    "CD-42": "Creating a partner",
    "CD-43": "Finding a partner",
    "CD-44": "The run",
    "CD-46": "What checking a definition finds",
    "CD-47": "Setting an installation up",
    "CD-48": "What health tells of",
    "CD-5": "Requests to the operations API",
    "CD-6": "The command line",
    "CD-7": "The Sales Cockpit",
    "CD-8": "Checks",
    "CD-9": "The local run",
}

_INTRODUCTION = """# Errors

Every error has a code that never changes its meaning, a sentence, somebody who can mend it and the first thing to do.
Search for the code in the log, in the parked list or in the journal of a record.

What happens to a record: a refusal, a value that does not fit or a partner that is not certain *parks* it. It stands in
the parked list with the code, its neighbours go on, and its next success closes the item. A system that is down,
throttles, or refuses our sign-in makes the change *wait*; so does a wrong setting. Only after three days is it parked
too. Anything unforeseen is tried eight times before.

No error ever holds a value of a record or the text a system answered; the system's own code, the field and the
request's id are kept.

This page is generated: `python -m local.error_pages`.
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """One code of the page. what: what the machine does, as the class's docstring says it; empty for the catalogue."""

    code: str
    sentence: str
    what: str
    who: Who
    remedy: str


def entries() -> Sequence[Entry]:
    """Every code, in order; raises ValueError if two errors share one."""
    found = sorted([*_classes(), *_catalogue()], key=lambda entry: entry.code)
    for one, other in pairwise(found):
        if one.code == other.code:
            raise ValueError(f"{one.code} has two meanings: '{one.sentence}' and '{other.sentence}'; renumber one")
    return found


def _classes() -> Iterator[Entry]:
    for module in MODULES:
        importlib.import_module(module)
    classes: list[type[CrossdockError]] = [CrossdockError, *_below(CrossdockError)]
    for error in classes:
        if "code" in vars(error) and error.__module__ in MODULES and "sentence" in vars(error):
            told = " ".join((error.__doc__ or "").split())
            yield Entry(error.code, error.sentence, told, error.who, error.remedy)


def _below(error: type[CrossdockError]) -> Iterator[type[CrossdockError]]:
    for one in error.__subclasses__():
        yield one
        yield from _below(one)


def _catalogue() -> Iterator[Entry]:
    for code, known in {**PROBLEMS, **FINDINGS, **REGISTERING, **ALARMS}.items():
        yield Entry(code, known.sentence, "", known.who, known.remedy)


def error_page() -> str:
    """The whole page."""
    lines, family = [_INTRODUCTION], ""
    for entry in entries():
        heading = next(name for prefix, name in _FAMILIES.items() if entry.code.startswith(prefix))
        if heading != family:
            lines += [f"## {heading}", ""]
            family = heading
        lines += _section(entry)
    return "\n".join(lines).rstrip() + "\n"


def _section(entry: Entry) -> list[str]:
    told = [f"What it means here: {entry.what}"] if entry.what else []
    facts = [*told, f"Who can mend it: {entry.who.value}.", f"First thing to do: {entry.remedy}"]
    return [f"### {entry.code}: {entry.sentence}", "", *(f"- {fact}" for fact in facts), ""]


def write_error_page() -> None:
    """Write docs/errors.md."""
    PAGE.write_text(error_page(), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    write_error_page()
