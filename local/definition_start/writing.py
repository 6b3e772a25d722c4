"""A begun definition as the YAML that people go on with."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from local.definition_start.planning import Line, Started
from shared.sync.own_tables import USUAL_LENGTH, OwnColumn, OwnTable

WIDTH: Final = 120
_PLAIN: Final = re.compile(r"[A-Za-z0-9_./+][A-Za-z0-9_./+ -]*(?<! )")


def definition_text(started: Started) -> str:
    """The definition, with what is to be decided in comments; of one that there is the new lines only."""
    if started.extends:
        told = (line for sentence in started.open for line in _comment(sentence))
        return "\n".join([*told, *_lines(started.lines, started)]) + "\n"
    return "\n".join([*_head(started), *_transfers(started), *_match(started), *_fields(started)]) + "\n"


def tables_text(table: OwnTable) -> str:
    """The declaration of what is to be made."""
    lines = [
        f"# What is missing in {table.system} for {_told(table.table)}. Labels are what people see.",
        f"needed_for: [{', '.join(table.needed_for)}]",
        "",
        "tables:",
        f"  {table.system}:",
        f"    {_scalar(table.table)}:",
    ]
    if table.name is not None:
        length = {"length": str(table.name.length)} if table.name.length else {}
        named = {"column": table.name.name, "label": table.name.label, **length}
        lines += [
            f"      label: {_scalar(table.label)}",
            f"      plural: {_scalar(table.plural)}",
            f"      name: {_flow(named)}",
        ]
    if table.columns:
        lines += ["      columns:", *(f"        {one.name}: {_flow(_facts(one))}" for one in table.columns)]
    if table.keys:
        keys = ", ".join(key[0] if len(key) == 1 else f"[{', '.join(key)}]" for key in table.keys)
        lines.append(f"      keys: [{keys}]")
    return "\n".join(lines) + "\n"


def _head(started: Started) -> Iterator[str]:
    left, right = started.left, started.right
    yield f"# {_told(right[1])} of {right[0]} and {_told(left[1])} of {left[0]} are the same thing."
    yield "#"
    yield "# Begun by manage.py schema. To decide before it is switched on:"
    yield "# - who is master of each field; what is edited in the other system is put back."
    yield "# - which records go over at all: only_if: {column: value} in a transfer; without it every record does."
    for sentence in started.open:
        yield from _comment(sentence)
    yield f"pair: {{{left[0]}: {_scalar(left[1])}, {right[0]}: {_scalar(right[1])}}}"


def _transfers(started: Started) -> Iterator[str]:
    yield from ("", "transfers:")
    external = started.external
    for name, source in started.transfers.items():
        yield f"  {name}:"
        if external is not None:
            sides = {started.left[0]: external.left.name, started.right[0]: external.right.name}
            keeper = next(system for system in sides if system != external.master)
            if source == keeper:
                yield f"    write_back: [{sides[keeper]}]"
            else:
                yield f'    on_unlink: {{{sides[keeper]}: ""}}   # free for another record'
        yield "    walk: every 15 minutes"


def _match(started: Started) -> Iterator[str]:
    rules = [[started.external]] if started.external else []
    rules += [list(started.keys)] if started.keys else []
    if not rules:
        yield from (
            "",
            "# match: how the partner of a record is found that has none yet; without it one is always created.",
        )
        return
    yield from (
        "",
        "# A record that holds the other's key is its partner, also where the answer to a create was lost.",
        "match:",
    )
    for rule in rules:
        yield f"  - {{{started.left[0]}: {_names(rule, 'left')}, {started.right[0]}: {_names(rule, 'right')}}}"


def _names(rule: Sequence[Line], side: str) -> str:
    names = [_scalar(getattr(line, side).name) for line in rule]
    return names[0] if len(names) == 1 else f"[{', '.join(names)}]"


def _fields(started: Started) -> Iterator[str]:
    yield from ("", "fields:")
    yield from _lines([*([started.external] if started.external else []), *started.keys, *started.lines], started)


def _lines(lines: Sequence[Line], started: Started) -> Iterator[str]:
    rows = [list(_row(line, started.left[0], started.right[0])) for line in lines]
    widths = [max((len(row[place]) for row in rows), default=0) for place in (0, 1)]
    for row in rows:
        first, second = (f"{text},".ljust(width + 1) for text, width in zip(row, widths, strict=False))
        whole = f"  - {{{first} {second} {', '.join(row[2:])}}}"
        yield from [whole] if len(whole) <= WIDTH else [f"  - {row[0]}", *(f"    {part}" for part in row[1:])]


def _row(line: Line, left: str, right: str) -> Iterator[str]:
    yield f"{left}: {_scalar(line.left.name)}"
    yield f"{right}: {_scalar(line.right.name)}"
    if isinstance(line.master, str):
        yield f"master: {line.master}"
    else:
        yield f"master: {{unlinked: {line.master[0]}, linked: {line.master[1]}}}"
    if line.reference:
        yield f"reference: {{{left}: {_scalar(line.reference[0])}, {right}: {_scalar(line.reference[1])}}}"
    if line.how.convert != "same":
        yield f"convert: {line.how.convert}"
    if line.how.values:
        yield f"values: {_flow(line.how.values)}"
    if line.cut:
        yield "too_long: park"


def _facts(column: OwnColumn) -> dict[str, str | Mapping[str, str]]:
    facts: dict[str, str | Mapping[str, str]] = {"label": column.label}
    if column.choices:
        return facts | {"choices": column.choices}
    if column.refers_to:
        return facts | {"refers_to": column.refers_to}
    if column.type != "text":
        facts["type"] = column.type
    if column.length is not None and column.length != USUAL_LENGTH:
        facts["length"] = str(column.length)
    if column.decimals is not None:
        facts["decimals"] = str(column.decimals)
    return facts


def _flow(facts: Mapping[str, str | Mapping[str, str]]) -> str:
    """Names with values on one line."""
    told = (
        f"{_scalar(key)}: {_scalar(value) if isinstance(value, str) else _flow(value)}" for key, value in facts.items()
    )
    return f"{{{', '.join(told)}}}"


def _scalar(text: str) -> str:
    """A text as YAML reads it again; JSON's quotes are YAML's."""
    return text if _PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)


def _comment(sentence: str) -> Iterator[str]:
    """A sentence as an entry of the list in the head, over as many lines as it needs."""
    line = "# -"
    for word in sentence.split():
        if len(line) + len(word) >= WIDTH:
            yield line
            line = "#  "
        line += f" {word}"
    yield line


def _told(name: str) -> str:
    """A name within a comment."""
    return " ".join(name.split())
