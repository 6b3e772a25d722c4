"""Reads the definitions people write in YAML, checks them and compiles the index that the functions are registered
from.

Scalars are read as text and typed by the models, since `NO`, `00123` and `on` are real data here. Every problem names
file and line and says what to do; a file with a problem is left out of the index with its problem, and the others are
compiled.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from local.confirming import CHECKS, only_one, read_checks
from local.definition_document import Document, Faulty, Location, first_place, read_document
from local.definition_variants import KEY, Variant, variants
from local.own_tables import TABLES, read_tables, without_second_declarations
from shared.sync.arguments import FROM
from shared.sync.confirming import Confirming
from shared.sync.definition import Definition, IfMissing, Index, Problem, TableName
from shared.sync.joined import parts_of
from shared.sync.own_tables import OwnTable
from shared.sync.ports import Profile, Side

_TRANSFER_KEYS = {
    *("only_if", "gone_if", "require", "also_on", "if_unlinked", "choose_key", "create_with", "on_delete", "on_unlink"),
    *("on_return", "write_back", "walk"),
    *("window", "on_vanish"),
}
_FIELD_KEYS = {
    *(
        "master",
        "convert",
        "values",
        "check",
        "too_long",
        "default",
        "on_create",
        "conflict",
        "reference",
        "last_editor",
        "if_missing",
    ),
}
_MATCH_KEYS = {"normalise", "certainty", "if_missing"}
_FILE_KEYS = {
    *("pair", "transfers", "match", "fields", "on_delete", "foreign_edit", "brakes", "profile", "selection"),
    *("identity", "key", "day", "instead_of"),
}
_SELECTION_KEYS = {"of", "name", "within", "show"}


@dataclass
class _Reader:
    """Turns a document into the models' form: systems become left and right."""

    file: str
    variant: Variant
    systems: tuple[str, str] = ("", "")

    @property
    def document(self) -> Document:
        return self.variant.document

    def definition(self) -> Definition:
        tree = self.document.names((), self.document.tree, _FILE_KEYS)
        pair = self.document.names(("pair",), tree.get("pair", ""), None)
        if len(pair) != 2:
            raise Faulty(self.document.line(("pair",)), "pair: must name exactly two systems, each with its table")
        left, right = pair
        self.systems = (left, right)
        fields = [self._field(("fields", n), rule) for n, rule in enumerate(self._list("fields", tree))]
        match = [self._match(("match", n), rule) for n, rule in enumerate(self._list("match", tree))]
        self._name_both_columns(fields, match)
        raw = {
            "file": self.file,
            "left": {"system": self.variant.system(left), "table": pair[left]},
            "right": {"system": self.variant.system(right), "table": pair[right]},
            "transfers": list(self._transfers(tree.get("transfers", {}))),
            "match": match,
            "fields": fields,
        }
        as_they_are = ("on_delete", "foreign_edit", "brakes", "profile", "instead_of", "identity", "day")
        raw |= {name: tree[name] for name in as_they_are if name in tree}
        raw |= {"key": tuple(self._list("key", tree))} if "key" in tree else {}
        if "selection" in tree:
            raw["selection"] = self._selection(("selection",), tree["selection"])
        self._complete(raw)
        try:
            return Definition.model_validate(raw)
        except ValidationError as error:
            raise self._faulty(error) from None

    def _selection(self, where: Location, tree: Any) -> dict[str, Any]:
        """Whose records are offered, and which of their columns are shown."""
        facts = dict(self.document.names(where, tree, _SELECTION_KEYS))
        if facts.get("of") not in self.systems:
            text = f"selection: of: names the system whose records are offered, {' or '.join(self.systems)}"
            raise Faulty(self.document.line(where), text)
        shown = facts.get("show", [])
        return facts | {"of": Side.LEFT if facts["of"] == self.systems[0] else Side.RIGHT, "show": _as_tuple(shown)}

    def _complete(self, raw: Mapping[str, Any]) -> None:
        """Something to do, and every column that is written back has a rule that says from where."""
        for name in ("transfers", "fields"):
            if not raw[name]:
                raise Faulty(self.document.line((name,)), f"{name}: there is none, so nothing could move; add one")
        for transfer in raw["transfers"]:
            side = "left" if transfer["source"] is Side.LEFT else "right"
            known = {rule[side] for rule in raw["fields"]}
            for column in transfer.get("write_back", ()):
                if column not in known:
                    where = ("transfers", transfer["name"], "write_back")
                    raise Faulty(
                        self.document.line(where), f"write_back: {column} has no field rule; add one to fields:"
                    )

    def _name_both_columns(self, fields: Sequence[dict[str, Any]], match: Sequence[dict[str, Any]]) -> None:
        """A column that a converter, check or normaliser looks at has a field rule, which says its name on both
        sides."""
        pairs = {rule[side]: (rule["left"], rule["right"]) for side in ("right", "left") for rule in fields}
        for rule in [*fields, *match]:
            for key in ("convert", "check", "normalise"):
                for told in _as_tuple(rule.get(f"{key}_with", ())):
                    for name, column in told["columns"].items():
                        if column not in pairs:
                            text = f"{key}: {name}{FROM}: {column} has no field rule; add one to fields:"
                            raise Faulty(rule["line"], text)
                        told["columns"][name] = pairs[column]

    def _list(self, name: str, tree: Mapping[str, Any]) -> Sequence[Any]:
        found = tree.get(name, [])
        if not isinstance(found, list):
            raise Faulty(self.document.line((name,)), f"{name}: must be a list; begin its lines with -")
        return found

    def _transfers(self, tree: Any) -> Iterator[dict[str, Any]]:
        for name, body in self.document.names(("transfers",), tree, None).items():
            where: Location = ("transfers", name)
            facts = dict(self.document.names(where, body, _TRANSFER_KEYS))
            target = next((system for system in self.systems if name.endswith(f"_to_{system}")), None)
            if target is None:
                text = f"a transfer's name ends with _to_{self.systems[0]} or _to_{self.systems[1]}; rename it"
                raise Faulty(self.document.line(where), text)
            source = Side.RIGHT if target == self.systems[0] else Side.LEFT
            if "walk" in facts:
                facts["walk_seconds"] = self._seconds((*where, "walk"), facts.pop("walk"))
            if "window" in facts:
                facts["window_days"] = self._days((*where, "window"), facts.pop("window"))
            for name_of_list in ("write_back", "require"):
                if isinstance(facts.get(name_of_list), list):
                    facts[name_of_list] = tuple(facts[name_of_list])
            if "on_delete" in facts:
                facts |= self._on_delete((*where, "on_delete"), facts["on_delete"])
            if "only_if" in facts:
                facts["only_if"] = self._only_if((*where, "only_if"), facts["only_if"])
                facts["also_on"] = self._told_by(facts["only_if"]) | facts.get("also_on", {})
            if "gone_if" in facts:
                facts["gone_if"] = self._gone_if((*where, "gone_if"), facts["gone_if"])
            by_place = self.systems if source is Side.LEFT else self.systems[::-1]
            named = self.variant.transfer(name, *by_place)
            yield {"name": named, "source": source, "line": self.document.line(where)} | facts

    def _on_delete(self, where: Location, tree: Any) -> dict[str, Any]:
        """A policy's name, or `{set: {column: value}}`."""
        if tree == "set":
            raise Faulty(self.document.line(where), "on_delete: set needs columns and values: {set: {blocked: All}}")
        if not isinstance(tree, dict):
            return {"on_delete": tree}
        values = self.document.names(where, tree, {"set"}).get("set")
        if not values:
            raise Faulty(self.document.line(where), "on_delete: set: names no column; add one with its value")
        return {"on_delete": "set", "set_on_delete": self.document.names((*where, "set"), values, None)}

    def _gone_if(self, where: Location, tree: Any) -> dict[str, Any]:
        """Columns of the record itself, all of which hold one of their values."""
        condition = self._condition(where, tree)
        if "related" in condition:
            raise Faulty(self.document.line(where), "gone_if: looks at columns of the record itself; name those")
        return condition

    def _only_if(self, where: Location, tree: Any) -> list[dict[str, Any]]:
        """One condition, or the alternatives below `any`."""
        facts = self.document.names(where, tree, None)
        if set(facts) != {"any"}:
            return [self._condition(where, facts)]
        alternatives = facts["any"]
        if not isinstance(alternatives, list) or not alternatives:
            raise Faulty(self.document.line(where), "any: is a list of conditions; begin its lines with -")
        return [self._condition((*where, "any", n), one) for n, one in enumerate(alternatives)]

    def _condition(self, where: Location, tree: Any) -> dict[str, Any]:
        """Columns with the values that each may hold; below a table's name with `by`: of its related records."""
        facts = self.document.names(where, tree, None)
        tables = [name for name, value in facts.items() if isinstance(value, dict)]
        if not tables:
            return {"columns": {name: _as_tuple(value) for name, value in facts.items()}}
        if len(facts) != 1:
            text = f"a condition on {tables[0]} stands alone; write the others as conditions of their own below any:"
            raise Faulty(self.document.line(where), text)
        columns = dict(facts[tables[0]])
        by = columns.pop("by", None)
        if not isinstance(by, str):
            text = f"{tables[0]}: needs by: with the column of {tables[0]} that names the record"
            raise Faulty(self.document.line((*where, tables[0])), text)
        wanted = {name: _as_tuple(value) for name, value in columns.items()}
        return {"columns": wanted, "related": {"table": tables[0], "by": by}}

    def _told_by(self, conditions: Sequence[Mapping[str, Any]]) -> dict[str, str]:
        """A change of a related record that a condition looks at concerns the record."""
        related = [one["related"] for one in conditions if "related" in one]
        return {one["table"]: one["by"] for one in related}

    def _seconds(self, where: Location, text: Any) -> int:
        units = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}
        match = re.fullmatch(r"every (?:(\d+) )?(second|minute|hour|day)s?", str(text))
        if match is None:
            raise Faulty(self.document.line(where), "walk: is written as 'every 5 minutes'; correct it")
        seconds = int(match.group(1) or 1) * units[match.group(2)]
        if seconds == 0:
            raise Faulty(self.document.line(where), "walk: 0 would never walk; name a time, or leave walk out")
        return seconds

    def _days(self, where: Location, text: Any) -> int:
        match = re.fullmatch(r"([1-9]\d{0,2}) days?", str(text))
        if match is None:
            raise Faulty(self.document.line(where), "window: is written as '30 days', 1 to 999; correct it")
        return int(match.group(1))

    def _sides(self, where: Location, tree: Any) -> dict[str, Any]:
        """A rule with its systems' names replaced by left and right; one column may stand for a list of one."""
        keys = _MATCH_KEYS if where[0] == "match" else _FIELD_KEYS
        facts = dict(self.document.names(where, tree, {*self.systems, *keys}))
        sides = {}
        for side, system in zip(("left", "right"), self.systems, strict=True):
            if not facts.get(system):
                raise Faulty(self.document.line(where), f"the rule names no column of {system}; add {system}: <column>")
            column = facts.pop(system)
            if where[0] == "match":
                column = tuple(column) if isinstance(column, list) else (column,)
            elif not isinstance(column, str):
                raise Faulty(self.document.line(where), f"{system}: a field rule names one column; write one rule each")
            sides[side] = column
        return {**sides, "line": self.document.line(where)} | facts

    def _field(self, where: Location, tree: Any) -> dict[str, Any]:
        facts = self._sides(where, tree)
        line = self.document.line(where)
        master = facts.pop("master", None)
        if master is None:
            raise Faulty(line, f"{facts['left']} has no master; say master: {self.systems[0]} or {self.systems[1]}")
        unlinked, linked = self._masters(where, master)
        if "conflict" in facts:
            facts["conflict"] = self._side_or(("park",), (*where, "conflict"), facts["conflict"])
        if "reference" in facts:
            facts["reference"] = self._reference((*where, "reference"), facts["reference"])
        if "default" in facts:
            facts["default"] = self._default((*where, "default"), facts["default"])
        for key in {"convert", "check"} & set(facts):
            facts[key], facts[f"{key}_with"] = self._use((*where, key), facts[key])
        return facts | {"master_unlinked": unlinked, "master_linked": linked}

    def _default(self, where: Location, tree: Any) -> dict[str, Any]:
        """By system what its column gets where the other has no value."""
        facts = self.document.names(where, tree, {*self.systems, "when"})
        if not set(self.systems) & set(facts):
            text = f"default: names {self.systems[0]} or {self.systems[1]} and what its column gets; add it"
            raise Faulty(self.document.line(where), text)
        sides = dict(zip(self.systems, ("left", "right"), strict=True))
        return {sides.get(name, name): text for name, text in facts.items()}

    def _reference(self, where: Location, tree: Any) -> dict[str, Any]:
        facts = self.document.names(where, tree, {*self.systems, "needed"})
        if not set(self.systems) <= set(facts):
            raise Faulty(
                self.document.line(where), f"reference: names a table of {self.systems[0]} and {self.systems[1]}"
            )
        needed = {"needed": facts["needed"]} if "needed" in facts else {}
        return {"left": facts[self.systems[0]], "right": facts[self.systems[1]], **needed}

    def _match(self, where: Location, tree: Any) -> dict[str, Any]:
        """A match rule; one normaliser for all columns, or one for each."""
        facts = self._sides(where, tree)
        uses = [self._use((*where, "normalise"), use) for use in _as_tuple(facts.pop("normalise", "text"))]
        return facts | {"normalise": tuple(name for name, _ in uses), "normalise_with": tuple(told for _, told in uses)}

    def _use(self, where: Location, tree: Any) -> tuple[Any, dict[str, Any]]:
        """A converter, check or normaliser and what it is told: a name, or `{name: {country: IT, country_from: x}}`."""
        if not isinstance(tree, dict):
            return tree, {"settings": {}, "columns": {}}
        if len(tree) != 1:
            raise Faulty(self.document.line(where), f"{where[-1]}: names one; keep one, with its settings below")
        ((name, said),) = tree.items()
        told = self.document.names((*where, name), said, None)
        for argument, text in told.items():
            if not isinstance(text, str):
                raise Faulty(self.document.line((*where, name, argument)), f"{argument}: is one word; correct it")
        settings = {argument: text for argument, text in told.items() if not argument.endswith(FROM)}
        columns = {argument.removesuffix(FROM): text for argument, text in told.items() if argument.endswith(FROM)}
        return name, {"settings": settings, "columns": columns}

    def _masters(self, where: Location, master: Any) -> tuple[str, str]:
        if isinstance(master, list):
            text = "a field has two masters; keep the one system where people may change it"
            raise Faulty(self.document.line((*where, "master")), text)
        if isinstance(master, str):
            return self._master(where, master), self._master(where, master)
        facts = self.document.names((*where, "master"), master, {"unlinked", "linked"})
        if set(facts) != {"unlinked", "linked"}:
            text = "a master by link state names both: {unlinked: …, linked: …}"
            raise Faulty(self.document.line((*where, "master")), text)
        return self._master(where, facts["unlinked"]), self._master(where, facts["linked"])

    def _master(self, where: Location, name: Any) -> str:
        return self._side_or(("both", "nobody"), (*where, "master"), name)

    def _side_or(self, words: Sequence[str], where: Location, name: Any) -> str:
        """A system's name as its side, or one of the words as it is."""
        known = {self.systems[0]: "left", self.systems[1]: "right"} | {word: word for word in words}
        if not isinstance(name, str) or name not in known:
            text = f"'{name}' is no {where[-1]} of this pair; there are: {', '.join(known)}"
            raise Faulty(self.document.line(where), text)
        return known[name]

    def _faulty(self, error: ValidationError) -> Faulty:
        """The first complaint of the models; they know a transfer by its number, the file by its name."""
        where = first_place(error)
        if where[:1] == ("transfers",) and len(where) > 1 and isinstance(where[1], int):
            names = [place[1] for place in self.document.lines if len(place) == 2 and place[0] == "transfers"]
            where = ("transfers", names[where[1]], *where[2:])
        return self.document.faulty(error, where)


def _as_tuple(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, list | tuple) else (value,)


def read_definition(text: str, file: str) -> Definition:
    """Read the one definition of a YAML text; raises Faulty."""
    document = read_document(text)
    variant, *more = variants(document)
    if more:
        raise Faulty(document.line((KEY,)), f"{KEY}: names several systems; only one is wanted here")
    return _Reader(file, variant).definition()


def compile_folder(folder: Path) -> Index:
    """Compile every YAML file below a folder; files with problems are named in the index and left out."""
    definitions: list[Definition] = []
    tables: list[OwnTable] = []
    checks: list[Confirming] = []
    problems: list[Problem] = []
    sources: dict[str, str] = {}
    for path in sorted(folder.rglob("*.yaml")):
        file = f"{folder.name}/{path.relative_to(folder).as_posix()}"
        content = path.read_bytes().replace(b"\r\n", b"\n")
        sources[file] = hashlib.sha256(content).hexdigest()
        read = list(_read_file(content, file))
        definitions += [one for one in read if isinstance(one, Definition)]
        tables += [one for one in read if isinstance(one, OwnTable)]
        checks += [one for one in read if isinstance(one, Confirming)]
        problems += [one for one in read if isinstance(one, Problem)]
    definitions, doubles = _without_doubles(definitions)
    definitions, fought_over = _without_second_masters(definitions)
    definitions, unknown = _without_unknown_references(definitions)
    tables, declared_twice = without_second_declarations(tables)
    confirming, said_twice = only_one(checks)
    return Index(
        sources=sources,
        definitions=tuple(definitions),
        tables=tuple(tables),
        confirming=confirming,
        problems=(*problems, *doubles, *fought_over, *unknown, *declared_twice, *said_twice),
    )


def _read_file(content: bytes, file: str) -> Iterator[Definition | OwnTable | Confirming | Problem]:
    """What a file declares; a problem of one system stops the definition for that system only."""
    try:
        document = read_document(content.decode("utf-8-sig"))
        if TABLES in document.tree:
            yield from read_tables(document, file)
            return
        if CHECKS in document.tree:
            yield read_checks(document, file)
            return
        found = variants(document)
    except Faulty as faulty:
        yield Problem(file=file, line=faulty.line, text=faulty.text, transfers=_named(content))
        return
    except UnicodeDecodeError:
        yield Problem(file=file, line=1, text="the file is not UTF-8; save it as UTF-8")
        return
    for variant in found:
        try:
            yield _Reader(file, variant).definition()
        except Faulty as faulty:
            names = _named(content) if len(found) == 1 else ()
            said = "".join(f"{name} {system}: " for name, system in variant.systems.items())
            yield Problem(file=file, line=faulty.line, text=f"{said}{faulty.text}", transfers=names)


def _named(content: bytes) -> tuple[str, ...]:
    """The transfers of a refused file, as well as they can be read."""
    found = re.findall(rb"^  ([a-z][a-z0-9_]+_to_[a-z0-9_]+):", content, re.MULTILINE)
    return tuple(name.decode() for name in found)


def _without_doubles(definitions: Sequence[Definition]) -> tuple[list[Definition], list[Problem]]:
    """A transfer's name is its function and its queue, so it is unique over all files; the later file is refused."""
    seen: dict[str, str] = {}
    kept: list[Definition] = []
    problems: list[Problem] = []
    for definition in definitions:
        clash = next((transfer for transfer in definition.transfers if transfer.name in seen), None)
        if clash is None:
            kept.append(definition)
            seen |= {transfer.name: definition.file for transfer in definition.transfers}
        else:
            text = f"the transfer {clash.name} stands in {seen[clash.name]} already; rename one of them"
            problems.append(Problem(file=definition.file, line=clash.line, text=text))
    return kept, problems


@dataclass(frozen=True)
class _Mastering:
    """A line by which a column of a table is mastered from outside. by: the table whose values it gets; instead_of: as
    the definition says; of_its_own: only records that the definition itself has made get any."""

    table: TableName
    column: str
    by: TableName
    profile: Profile | None
    instead_of: str
    of_its_own: bool
    place: str
    line: int

    def clashes_with(self, other: _Mastering) -> bool:
        """Whether both would write the same column of the same records. Definitions of different profiles never run at
        the same time, nor those of systems that stand in for each other; and different tables may each bring records of
        their own."""
        together = None in (self.profile, other.profile) or self.profile == other.profile
        together = together and self.instead_of != other.by.system and other.instead_of != self.by.system
        same = (self.table, self.column) == (other.table, other.column)
        return same and together and not (self.of_its_own and other.of_its_own and self.by != other.by)


def _without_second_masters(definitions: Sequence[Definition]) -> tuple[list[Definition], list[Problem]]:
    """A column of a table that several definitions share gets its value from one other system at most: two would
    overwrite each other for ever. The later definition is refused."""
    masters: dict[tuple[TableName, str], list[_Mastering]] = {}
    kept: list[Definition] = []
    problems: list[Problem] = []
    for definition in definitions:
        mastered = list(_mastered_outside(definition))
        before = ((one, other) for one in mastered for other in masters.get((one.table, one.column), ()))
        clashes = [(one, other) for one, other in before if one.clashes_with(other)]
        if clashes:
            problems.append(_second_master(definition, clashes))
            continue
        kept.append(definition)
        for one in mastered:
            masters.setdefault((one.table, one.column), []).append(one)
    return kept, problems


def _second_master(definition: Definition, clashes: Sequence[tuple[_Mastering, _Mastering]]) -> Problem:
    (one, first), *rest = clashes
    more = ", ".join(dict.fromkeys(other.column for other, _ in rest if other.column != one.column))
    text = (
        f"{one.table.system}.{one.column} would have two masters, {first.by.system} ({first.place}) and "
        f"{one.by.system}; let {one.table.system} be master of it here, or give it a column of its own"
        f"{f' (likewise {more})' if more else ''}"
    )
    names = tuple(transfer.name for transfer in definition.transfers)
    return Problem(file=definition.file, line=one.line, text=text, transfers=names)


def _mastered_outside(definition: Definition) -> Iterator[_Mastering]:
    """Columns whose master, once linked, is the other system."""
    for side in Side:
        table, by = definition.table(side), definition.table(side.other)
        of_its_own = not definition.match and all(one.target is side for one in definition.transfers)
        for rule in definition.fields:
            if rule.master_linked.is_side(side.other):
                place = f"{definition.file}:{rule.line}"
                for column in parts_of(rule.column(side)):
                    yield _Mastering(
                        table,
                        column,
                        by,
                        definition.profile,
                        definition.instead_of,
                        of_its_own,
                        place,
                        rule.line,
                    )


def _without_unknown_references(definitions: Sequence[Definition]) -> tuple[list[Definition], list[Problem]]:
    """A reference names the tables of a pair that is defined; a file with another one is refused, unless the rule may
    be left out."""
    kept: list[Definition] = []
    problems: list[Problem] = []
    for definition in definitions:
        answered = [rule for pair in definitions for rule in definition.refers_to(pair)]
        needed = (rule for rule in definition.fields if rule.if_missing is IfMissing.REFUSE)
        lost = next((rule for rule in needed if rule.reference and rule not in answered), None)
        if lost is None or lost.reference is None:
            kept.append(definition)
            continue
        tables = f"{lost.reference.left} and {lost.reference.right}"
        text = f"reference: there is no pair of {tables}, with the systems in this order; name the tables of one"
        names = tuple(transfer.name for transfer in definition.transfers)
        problems.append(Problem(file=definition.file, line=lost.line, text=text, transfers=names))
    return kept, problems


def write_index(folder: Path) -> Index:
    """Compile a folder and write its `index.json`; the same input gives the same bytes."""
    index = compile_folder(folder)
    text = json.dumps(index.model_dump(mode="json"), indent=1, ensure_ascii=False)
    (folder / "index.json").write_text(text + "\n", encoding="utf-8", newline="\n")
    return index


def is_current(folder: Path) -> bool:
    """Whether the index in the folder is the one its YAML files give."""
    path = folder / "index.json"
    return path.exists() and Index.model_validate_json(path.read_bytes()) == compile_folder(folder)
