"""One definition for several systems: what stands under `for`, as a document of its own for each entry.

An entry says which system takes the place of one of the pair's two, and what is different there. Its lines take the
place of the lines that name one of their columns; everything else is as the file says.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from local.definition_document import Document, Faulty, Location

KEY: Final = "for"
_REPLACED: Final = ("match", "on_delete", "foreign_edit", "brakes", "profile", "selection")
_KNOWN: Final = frozenset({*_REPLACED, "transfers", "fields", "without", "hands_over"})


@dataclass(frozen=True)
class Variant:
    """A document, and by the pair's names of systems those that they stand for in it."""

    document: Document
    systems: Mapping[str, str] = field(default_factory=dict)

    def system(self, name: str) -> str:
        """The system that a name of the pair stands for."""
        return self.systems.get(name, name)

    def transfer(self, name: str, source: str, target: str) -> str:
        """The name of a transfer: it ends with its target, and says its source where only that one is another."""
        if self.system(source) == source and self.system(target) == target:
            return name
        what = name.removesuffix(f"_to_{target}")
        if self.system(target) == target:
            what = f"{what}_from_{self.system(source)}"
        return f"{what}_to_{self.system(target)}"


def variants(document: Document) -> list[Variant]:
    """What a file defines: itself, or one variant for each entry under `for`; raises Faulty."""
    tree = document.tree
    if not isinstance(tree, dict) or KEY not in tree:
        return [Variant(document)]
    entries, pair = tree[KEY], tree.get("pair")
    if not isinstance(entries, list) or not entries:
        raise Faulty(document.line((KEY,)), f"{KEY}: is a list of systems; begin its lines with -")
    found = [_Entry(document, (KEY, place), entry, pair).variant() for place, entry in enumerate(entries)]
    for place, one in enumerate(found):
        if any(one.systems == other.systems for other in found[:place]):
            raise Faulty(document.line((KEY, place)), f"{KEY}: the same systems are named twice; keep one")
    return found


@dataclass
class _Entry:
    """One entry on its way to a document."""

    document: Document
    where: Location
    entry: Any
    pair: Any

    def variant(self) -> Variant:
        names = tuple(self.pair) if isinstance(self.pair, dict) else ()
        self._check(names)
        tree = {key: value for key, value in self._base.items() if key != KEY}
        lines = {place: line for place, line in self.document.lines.items() if place[:1] != (KEY,)}
        for key in _REPLACED:
            if key in self.entry:
                tree[key] = self.entry[key]
                lines = {place: line for place, line in lines.items() if place[:1] != (key,)}
                lines |= self._lines((*self.where, key), (key,))
        tree["transfers"] = self._transfers(tree.get("transfers"), lines)
        tree["fields"] = self._fields(names, lines)
        return Variant(Document(tree, lines), {name: str(self.entry[name]) for name in names if name in self.entry})

    @property
    def _base(self) -> dict[str, Any]:
        assert isinstance(self.document.tree, dict)
        return self.document.tree

    def _check(self, names: tuple[str, ...]) -> None:
        if not isinstance(self.entry, dict) or not set(names) & set(self.entry):
            text = f"{KEY}: says which system takes the place of one of {', '.join(names)}; add it"
            raise Faulty(self.document.line(self.where), text)
        for key, value in self.entry.items():
            if key not in {*names, *_KNOWN}:
                text = f"'{key}' is not known here; there are: {', '.join(sorted({*names, *_KNOWN}))}"
                raise Faulty(self.document.line((*self.where, key)), text)
            if key in names and not isinstance(value, str):
                raise Faulty(self.document.line((*self.where, key)), f"{key}: is the name of one system; correct it")

    def _lines(self, from_place: Location, to_place: Location) -> dict[Location, int]:
        """The lines of a part, as if it stood elsewhere."""
        length = len(from_place)
        return {
            (*to_place, *place[length:]): line
            for place, line in self.document.lines.items()
            if place[:length] == from_place
        }

    def _transfers(self, tree: Any, lines: dict[Location, int]) -> Any:
        """Each transfer with the keys that are different here."""
        where = (*self.where, "transfers")
        changes = self.entry.get("transfers", {})
        if not isinstance(changes, dict) or not isinstance(tree, dict):
            raise Faulty(self.document.line(where), "transfers: must hold names with values; see the other definitions")
        merged = dict(tree)
        for name, change in changes.items():
            if not isinstance(change, dict) or not isinstance(tree.get(name), dict):
                text = f"{name}: is no transfer of this file; name one, with what is different below it"
                raise Faulty(self.document.line((*where, name)), text)
            merged[name] = {**tree[name], **change}
            for key in change:
                lines |= self._lines((*where, name, key), ("transfers", name, key))
        return merged

    def _fields(self, names: tuple[str, ...], lines: dict[Location, int]) -> list[Any]:
        """The lines of the file that still hold, then those of the entry."""
        base, mine = self._list(("fields",), self._base), self._list((*self.where, "fields"), self.entry)
        replaced = {
            (name, str(rule[name])) for rule in mine if isinstance(rule, dict) for name in names if name in rule
        }
        replaced |= self._left_out(base, names)
        kept: list[tuple[Location, Any]] = [
            (("fields", place), rule) for place, rule in enumerate(base) if not replaced & set(_columns(rule, names))
        ]
        kept += [((*self.where, "fields", place), rule) for place, rule in enumerate(mine)]
        for place in [place for place in lines if place[:1] == ("fields",) and len(place) > 1]:
            del lines[place]
        for number, (place, _) in enumerate(kept):
            lines |= self._lines(place, ("fields", number))
        return [self._kept(rule) if place[:1] == ("fields",) else rule for place, rule in kept]

    def _kept(self, rule: Any) -> Any:
        """A line of the file; with `hands_over: no` its master stays the one of unlinked records, and a partner that is
        made from the other side starts with that side's value, as it would have."""
        said = self.entry.get("hands_over", "yes")
        if said not in ("yes", "no"):
            raise Faulty(self.document.line((*self.where, "hands_over")), "hands_over: is yes or no; correct it")
        master = rule.get("master") if isinstance(rule, dict) else None
        unlinked = master.get("unlinked", "nobody") if isinstance(master, dict) else "nobody"
        return {"on_create": "fill", **rule, "master": unlinked} if said == "no" and unlinked != "nobody" else rule

    def _left_out(self, base: list[Any], names: tuple[str, ...]) -> set[tuple[str, str]]:
        known = {one for rule in base for one in _columns(rule, names)}
        found: set[tuple[str, str]] = set()
        for place, column in enumerate(self._list((*self.where, "without"), self.entry)):
            named = {(name, str(column)) for name in names} & known
            if not named:
                text = f"without: {column} has no line under fields:; correct it or leave it out"
                raise Faulty(self.document.line((*self.where, "without", place)), text)
            found |= named
        return found

    def _list(self, where: Location, tree: Mapping[str, Any]) -> list[Any]:
        found = tree.get(str(where[-1]), [])
        if not isinstance(found, list):
            raise Faulty(self.document.line(where), f"{where[-1]}: must be a list; begin its lines with -")
        return found


def _columns(rule: Any, names: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """The columns of a line, each with the name of its system."""
    if isinstance(rule, dict):
        yield from ((name, str(rule[name])) for name in names if name in rule)
