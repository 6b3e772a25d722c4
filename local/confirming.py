"""Reads what a file with `checks:` says: which tables and columns answer the checks of a transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic import ValidationError

from local.definition_document import Document, Faulty, Location, first_place
from shared.sync.confirming import Confirming
from shared.sync.definition import Problem

CHECKS: Final = "checks"
"""The key by which a file is one of these, and no definition."""
_PARTS: Final = {"customers", "units", "price", "stock", "credit", "confirm"}


def read_checks(document: Document, file: str) -> Confirming:
    """What a file says; raises Faulty."""
    return _Reader(document, file).read()


@dataclass(frozen=True)
class _Reader:
    document: Document
    file: str

    def read(self) -> Confirming:
        tree = self.document.names((), self.document.tree, {CHECKS})
        parts = self.document.names((CHECKS,), tree[CHECKS], _PARTS)
        raw: dict[str, Any] = {
            "file": self.file,
            **{name: parts[name] for name in ("customers", "units") if name in parts},
        }
        for name in ("price", "stock", "credit"):
            by_kind = self.document.names((CHECKS, name), parts.get(name, {}), None)
            raw[name] = {kind: self._source((CHECKS, name, kind), body) for kind, body in by_kind.items()}
        by_kind = self.document.names((CHECKS, "confirm"), parts.get("confirm", {}), None)
        raw["confirm"] = {kind: self._confirmations((CHECKS, "confirm", kind), body) for kind, body in by_kind.items()}
        try:
            return Confirming.model_validate(raw)
        except ValidationError as error:
            raise self.document.faulty(error, (CHECKS, *first_place(error))) from None

    def _source(self, where: Location, tree: Any) -> dict[str, Any]:
        facts = self._with_lists(self.document.names(where, tree, None))
        return {"line": self.document.line(where), **facts}

    def _with_lists(self, tree: Any) -> Any:
        """The same with a list in the place of each single value under `blocked`, `only` and `when`."""
        if not isinstance(tree, dict):
            return tree
        return {
            name: {column: _several(values) for column, values in body.items()}
            if name in ("blocked", "only", "when") and isinstance(body, dict)
            else self._with_lists(body)
            for name, body in tree.items()
        }

    def _confirmations(self, where: Location, tree: Any) -> tuple[dict[str, Any], ...]:
        if not isinstance(tree, list):
            raise Faulty(self.document.line(where), f"{where[-1]}: is a list of tables; begin its lines with -")
        found = []
        for place, one in enumerate(tree):
            here = (*where, place)
            facts = self._with_lists(self.document.names(here, one, None))
            found.append({"line": self.document.line(here), **facts, "checks": _several(facts.get("checks", ()))})
        return tuple(found)


def _several(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, list | tuple) else (value,)


def only_one(found: Sequence[Confirming]) -> tuple[Confirming | None, list[Problem]]:
    """One file says what answers; a later one is refused."""
    text = f"what answers checks stands in {found[0].file} already; keep one file" if found else ""
    return (found[0] if found else None), [Problem(file=one.file, line=1, text=text) for one in found[1:]]
