"""A definition's YAML as plain data that remembers its lines.

Scalars are read as text, since `NO`, `00123` and `on` are real data here.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import yaml
from pydantic import ValidationError

Tree = dict[str, "Tree"] | list["Tree"] | str  # a YAML document, every scalar as text
Location = tuple[str | int, ...]

_DEEPEST = 12


class Faulty(Exception):
    """A definition cannot be used: what is wrong in which line."""

    def __init__(self, line: int, text: str) -> None:
        super().__init__(text)
        self.line = line
        self.text = text


@dataclass(frozen=True)
class Document:
    """A YAML file as plain data, with the line of every part."""

    tree: Tree
    lines: Mapping[Location, int]

    def line(self, where: Location) -> int:
        """The line of a part, or of the nearest part around it."""
        while where and where not in self.lines:
            where = where[:-1]
        return self.lines.get(where, 1)

    def names(self, where: Location, tree: Any, known: Collection[str] | None) -> dict[str, Any]:
        """A part that holds names with values, those that are known; raises Faulty."""
        if not isinstance(tree, dict):
            name = ".".join(map(str, where)) or "the file"
            raise Faulty(self.line(where), f"{name} must hold names with values; see the other definitions")
        for key in tree:
            if known is not None and key not in known:
                text = f"'{key}' is not known here; there are: {', '.join(sorted(known))}"
                raise Faulty(self.line((*where, key)), text)
        return tree

    def faulty(self, error: ValidationError, place: Location) -> Faulty:
        """The first complaint of the models, in the words and lines of the file. place: of what it is about."""
        first = error.errors(include_url=False, include_input=False)[0]
        text = str(first["msg"]).removeprefix("Value error, ")
        stated = re.match(r"line (\d+): (.*)", text, re.DOTALL)
        if stated:
            return Faulty(int(stated.group(1)), stated.group(2))
        name = str(place[-1]) if place else "the file"
        plain = text if first["type"] == "value_error" else f"{name}: {text[0].lower()}{text[1:]}"
        return Faulty(self.line(place), plain)


def first_place(error: ValidationError) -> Location:
    """What the models' first complaint is about."""
    return tuple(error.errors(include_url=False, include_input=False)[0]["loc"])


def read_document(text: str) -> Document:
    """Parse YAML with all scalars as text; raises Faulty for what is not YAML or names a key twice."""
    lines: dict[Location, int] = {}
    try:
        node = yaml.compose(text, Loader=yaml.BaseLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise Faulty(line, f"this is not YAML: {error.problem}; mend the line") from None
    except yaml.YAMLError:
        raise Faulty(1, "the file holds a character that YAML does not allow; save it as plain text") from None
    if node is None:
        raise Faulty(1, "the file is empty; it must name a pair, transfers and fields, or tables")
    return Document(_plain(node, (), lines), lines)


def _plain(node: yaml.Node, where: Location, lines: dict[Location, int]) -> Tree:
    lines[where] = node.start_mark.line + 1
    if len(where) > _DEEPEST:
        raise Faulty(node.start_mark.line + 1, "the file is nested too deeply; an alias may name itself, write it out")
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, where, lines)
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item, (*where, place), lines) for place, item in enumerate(node.value)]
    return str(node.value)


def _mapping(node: yaml.MappingNode, where: Location, lines: dict[Location, int]) -> Tree:
    found: dict[str, Tree] = {}
    for key_node, value in node.value:
        key, line = str(key_node.value), key_node.start_mark.line + 1
        if key in found:
            raise Faulty(line, f"'{key}' is named twice; keep one")
        found[key] = _plain(value, (*where, key), lines)
        lines[(*where, key)] = line
    return found
