"""The JSON Schema of the YAML form of a definition, for editors: completion, explanations, mistakes shown while typing.

The schema says what may be written where; what belongs together (one master per column, no way back in a table of
values) is checked when the definitions are compiled. `python -m local.definition_schema` writes
transfers/definition.schema.json anew; a test holds the file to this module, and the module to the models.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from shared.sync.arguments import FROM, Argument
from shared.sync.checks import CHECKS
from shared.sync.confirming import Check
from shared.sync.converters import CONVERTERS
from shared.sync.definition import (
    Brakes,
    DefaultWhen,
    ForeignEdit,
    Identity,
    IfMissing,
    IfUnlinked,
    OnCreate,
    OnDelete,
    OnReturn,
    OnVanish,
    TooLong,
)
from shared.sync.normalisers import NORMALISERS
from shared.sync.own_tables import CUSTOM, LONGEST_MEMO, MADE_IN, MOST_DECIMALS, MOST_KEY_COLUMNS, TABLE, TYPES, Way
from shared.sync.ports import Profile

SYSTEMS = ("business_central", "dataverse", "fsm", "ifs_cloud", "postoffice", "sales_cockpit")
"""Names of systems in definitions."""

FILE = Path(__file__).parents[1] / "transfers" / "definition.schema.json"

Schema = dict[str, Any]

_SCALAR: Schema = {"type": ["string", "number", "boolean"]}  # YAML types it, the compiler reads it as text
_COLUMN: Schema = {"type": "string", "minLength": 1}
_COLUMNS: Schema = {"type": "array", "items": _COLUMN, "minItems": 1}
_VALUES: Schema = {"anyOf": [_SCALAR, {"type": "array", "items": _SCALAR, "minItems": 1}]}


def _object(told: str, properties: Schema, required: Iterable[str] = (), by_system: Schema | None = None) -> Schema:
    """An object that knows its keys; by_system: what stands under each system's name."""
    schema: Schema = {"type": "object", "description": told, "additionalProperties": False, "properties": properties}
    if by_system is not None:
        schema["patternProperties"] = {f"^({'|'.join(SYSTEMS)})$": by_system}
    if needed := list(required):
        schema["required"] = needed
    return schema


def _table(told: str, of: Schema) -> Schema:
    return {"type": "object", "description": told, "additionalProperties": of}


_WORDS_ON_DELETE = [one.value for one in OnDelete if one is not OnDelete.SET]
_ON_EITHER_SIDE = [word for word in _WORDS_ON_DELETE if word != OnDelete.DELETE]


def _choice(told: str, names: Iterable[str]) -> Schema:
    return {"description": told, "enum": list(names)}


def _master() -> Schema:
    one = {"enum": [*SYSTEMS, "both", "nobody"]}
    by_state = _object("By link state.", {"unlinked": one, "linked": one}, ("unlinked", "linked"))
    told = "The one system where people may change the field; by link state where it changes hands."
    return {"description": told, "anyOf": [one, by_state]}


def _default() -> Schema:
    when = _choice("With a create only, or whenever the other side has no value.", DefaultWhen)
    return _object("By system what its column gets where the other has no value.", {"when": when}, (), _SCALAR)


def _if_missing() -> Schema:
    return _choice("When a system has no such column: refuse the transfer, or leave the line out.", IfMissing)


def _reference() -> Schema:
    needed = {"type": "boolean", "description": "Create nothing before the record it refers to has a partner."}
    told = "The pair whose links translate the key: its table on each side."
    return _object(told, {"needed": needed}, (), _COLUMN)


def _only_if() -> Schema:
    wanted = _VALUES
    related = {"type": "object", "additionalProperties": wanted, "required": ["by"], "properties": {"by": _COLUMN}}
    condition = _table("Columns, each with the value or values it may hold.", {"anyOf": [wanted, related]})
    alternatives = {"type": "array", "items": condition, "minItems": 1}
    told = "What an unlinked record must meet: columns, or alternatives below any:."
    either = {
        "type": "object",
        "properties": {"any": alternatives},
        "additionalProperties": {"anyOf": [wanted, related]},
    }
    return {"description": told} | either


def _use(told: str, takes: Mapping[str, Mapping[str, Argument]]) -> Schema:
    """One by its name, or with its settings and columns below its name."""
    with_arguments = {name: _arguments(arguments) for name, arguments in takes.items() if arguments}
    one = _object(told, with_arguments) | {"minProperties": 1, "maxProperties": 1}
    return {"description": told, "anyOf": [{"enum": list(takes)}, one]}


def _arguments(takes: Mapping[str, Argument]) -> Schema:
    settings = {name: {"type": "string", "pattern": f"^({one.pattern})$"} for name, one in takes.items() if one.pattern}
    columns = {name + FROM: _COLUMN for name, one in takes.items() if one.column}
    return {"type": "object", "additionalProperties": False, "properties": settings | columns}


def _field() -> Schema:
    properties: Schema = {
        "master": _master(),
        "convert": _use("How the value goes over.", {name: one.takes for name, one in CONVERTERS.items()}),
        "values": _table("For convert: values. The first system's value, then the second's.", _SCALAR),
        "check": _use("What a value must be before it is written.", {name: one.takes for name, one in CHECKS.items()}),
        "too_long": _choice("A text longer than the target's column.", TooLong),
        "default": _default(),
        "on_create": _choice("Whether a new partner gets the value.", OnCreate),
        "conflict": _choice("master: both, changed on both sides: who wins.", ["park", *SYSTEMS]),
        "reference": _reference(),
        "last_editor": _COLUMN
        | {"description": "The master's column names who changed the record last; its column that says when."},
        "if_missing": _if_missing(),
    }
    return _object("A column of each system, and who is its master.", properties, ["master"], _COLUMN)


def _match_rule() -> Schema:
    takes = {name: one.takes for name, one in NORMALISERS.items()}
    normaliser = _use("The form in which values are compared.", takes)
    properties: Schema = {
        "normalise": {"anyOf": [normaliser, {"type": "array", "items": normaliser, "minItems": 1}]},
        "certainty": _choice("sure: one hit links. possible: a hit is put before a person.", ("sure", "possible")),
        "if_missing": _if_missing(),
    }
    column = {"anyOf": [_COLUMN, _COLUMNS]}
    return _object("Natural keys that say two records are the same thing.", properties, (), column)


def _transfer() -> Schema:
    choose = {
        "column": _COLUMN,
        "prefix": {"type": "string", "pattern": "^[A-Z0-9-]{1,8}$"},
        "digits": {"type": "integer", "minimum": 1, "maximum": 12},
    }
    properties: Schema = {
        "only_if": _only_if(),
        "gone_if": _table("Columns of the source, and what they hold when it counts as deleted.", _VALUES),
        "require": {**_COLUMNS, "description": "Source columns without which nothing is created."},
        "also_on": _table("Related tables: table, then its column that names the source record.", _COLUMN),
        "if_unlinked": _choice("What may be done for a record without a partner.", IfUnlinked),
        "choose_key": _object("The number we choose for a new partner.", choose, ("column", "prefix")),
        "create_with": _table("Columns of the target and what every new record gets there.", _SCALAR),
        "on_delete": _on_delete(),
        "on_return": _choice(
            "When the key of a deleted source record is there again: leave it, or take it as new.", OnReturn
        ),
        "on_unlink": _table("Columns of the target and what they get when a person undoes the link.", _SCALAR),
        "write_back": {**_COLUMNS, "description": "Source columns that get the new partner's values at once."},
        "walk": {
            "type": "string",
            "description": "How often the source's change feed is read.",
            "pattern": "^every ([0-9]+ )?(second|minute|hour|day)s?$",
        },
        "window": {
            "type": "string",
            "description": "Of derived rows: how many days back from today they are computed anew.",
            "pattern": "^[1-9][0-9]{0,2} days?$",
        },
        "on_vanish": _choice("Of derived rows: what follows when the source no longer has one.", OnVanish),
    }
    return _object("One direction: one function, one queue.", properties)


def _on_delete() -> Schema:
    values = _table("Columns of the target and what the partner gets.", _SCALAR) | {"minProperties": 1}
    word = {"enum": _WORDS_ON_DELETE}
    told = "What follows for the partner when a source record is deleted."
    return {"description": told, "anyOf": [word, _object("Values for the partner.", {"set": values}, ("set",))]}


def _selection() -> Schema:
    properties: Schema = {
        "of": {"enum": list(SYSTEMS), "description": "The system whose records are offered."},
        "name": {**_COLUMN, "description": "Its column with what people call a record."},
        "within": {**_COLUMN, "description": "Its column that refers to what the record is a part of."},
        "show": {**_COLUMNS, "description": "Its columns that are shown as well."},
    }
    return _object("In mode manual people say which records get a partner.", properties, ("of", "name"))


def _brakes() -> Schema:
    limit = {"type": "integer", "minimum": 0}
    return _object("Limits within an hour that stop a transfer and ask.", dict.fromkeys(Brakes.model_fields, limit))


def _transfers() -> Schema:
    return {
        "type": "object",
        "description": "One or both directions, each named <what>_to_<system>.",
        "patternProperties": {f"^[a-z][a-z0-9_]*_to_({'|'.join(SYSTEMS)})$": _transfer()},
        "additionalProperties": False,
        "minProperties": 1,
    }


def _variant(common: Schema) -> Schema:
    """An entry under for: a system in the place of one of the pair's, and what is different there."""
    properties: Schema = {
        **common,
        "transfers": _transfers(),
        "fields": {"type": "array", "items": _field()},
        "without": {**_COLUMNS, "description": "Columns whose lines do not hold here."},
        "hands_over": {
            "description": "no: fields that would change hands with the link stay with their master.",
            "enum": ["yes", "no", True, False],
        },
    }
    name = {"type": "string", "pattern": "^[a-z][a-z0-9_]{0,29}$"}
    return _object("A system of the installation, and what is different there.", properties, (), name)


def _own_column(told: str, properties: Schema, required: Iterable[str]) -> Schema:
    length = {"type": "integer", "minimum": 1, "maximum": LONGEST_MEMO, "description": "Of a text, in characters."}
    label = {**_COLUMN, "description": "What people see."}
    return _object(told, {"label": label, "length": length, **properties}, required)


def _own_table() -> Schema:
    """A table of ours, or columns of ours in another one."""
    own_name: Schema = {"type": "string", "pattern": f"^{CUSTOM.pattern}$"}
    whole = {"type": "integer", "minimum": 0, "maximum": MOST_DECIMALS}
    options: Schema = {"patternProperties": {"^[0-9]+$": _SCALAR}, "additionalProperties": False, "minProperties": 1}
    column = _own_column(
        "A column; its type is text unless choices or refers_to say otherwise.",
        {
            "type": _choice("What it holds.", TYPES),
            "decimals": {**whole, "description": "Of type decimal: how many places are kept."},
            "choices": {"type": "object", "description": "Each choice's number, with its label."} | options,
            "refers_to": {"type": "string", "pattern": f"^{TABLE.pattern}$", "description": "The table it points to."},
        },
        ("label",),
    )
    columns: Schema = {"patternProperties": {f"^{CUSTOM.pattern}$": column}, "additionalProperties": False}
    key = {"anyOf": [_COLUMN, {**_COLUMNS, "maxItems": MOST_KEY_COLUMNS}]}
    view = {
        "columns": {**_COLUMNS, "description": "The columns that it shows."},
        "where": _table("Columns with the value or values that each may hold; times: next 90 days.", _VALUES),
        "order": _table("Columns by which it is sorted.", _choice("The first one first, or last.", Way)),
    }
    properties: Schema = {
        "label": {**_COLUMN, "description": "What people call one record."},
        "plural": {**_COLUMN, "description": "What people call several."},
        "name": _own_column("The column with a record's name.", {"column": own_name}, ("column", "label")),
        "columns": {"type": "object", "description": "Columns of ours.", **columns},
        "keys": {"type": "array", "items": key, "description": "Columns that are kept unique, alone or together."},
        "views": _table("Lists of records that people choose by name.", _object("A list.", view, ("columns",))),
    }
    return _object("A table of ours, or what we add to another one.", properties)


def _own_tables() -> Schema:
    by_name = {f"^{TABLE.pattern}$": _own_table()}
    tables = {"type": "object", "patternProperties": by_name, "additionalProperties": False}
    return _object("Tables and columns of ours, made by manage.py register.", {MADE_IN: tables}, (MADE_IN,))


def _column(told: str) -> Schema:
    return {**_COLUMN, "description": told}


def _one_record() -> Schema:
    place = {"table": _COLUMN, "column": _COLUMN}
    return _object("A column of a table that has one record.", place, ("table", "column"))


def _blocked() -> Schema:
    return _table("Columns, each with the value or values that stand in the way.", _VALUES)


def _priced(told: str) -> Schema:
    properties: Schema = {
        "table": _COLUMN,
        "item": _column("The item's number."),
        "price": _column("The price of one unit."),
        "unit": _column("The unit that the price is for; missing: any."),
        "discount": _column("Told to who asks; nothing is reckoned with it."),
        "currency": _column("The currency's code."),
        "valid_until": _column("The last day of the price."),
        "price_list": _column("The list that the price stands in."),
        "only": _table("Columns, each with the value or values that a record must hold to count.", _VALUES),
        "blocked": _blocked(),
    }
    return _object(told, properties, ("table", "item"))


def _price_source() -> Schema:
    customer = {"currency": _column("In which he is invoiced."), "price_list": _column("Whose prices he gets.")}
    properties: Schema = {
        "items": _priced("Which items there are, and perhaps their prices."),
        "prices": _priced("The prices, where they stand in a table of their own."),
        "customer": _object("Columns of the customer's record.", customer),
        "currency": _one_record(),
    }
    return _object("What tells prices.", properties, ("items",))


def _stock_source() -> Schema:
    together = {"type": "boolean", "description": "What all locations have together counts for each of them."}
    properties: Schema = {
        "table": _COLUMN,
        "item": _column("The item's number."),
        "available": _column("How many there are."),
        "location": _column("Where they are."),
        "any_location": together,
        "expected_on": _column("The day on which more comes."),
        "expected": _column("How many come."),
        "blocked": _blocked(),
    }
    return _object("What tells what there is.", properties, ("table", "item", "available"))


def _credit_source() -> Schema:
    columns = dict.fromkeys(("limit", "used", "overdue", "currency"), _COLUMN) | {"blocked": _blocked()}
    table = _object("What is read of it.", columns)
    tables = {"type": "object", "additionalProperties": table, "minProperties": 1}
    properties: Schema = {
        "tables": {**tables, "description": "Tables whose records have the customer's key."},
        "currency": _one_record(),
        "zero_is_unlimited": {"type": "boolean", "description": "A limit of 0 is none, as the system itself takes it."},
        "overdue_up_to": {"type": "number", "minimum": 0, "description": "So much may be overdue."},
    }
    return _object("What tells what a customer owes and may owe.", properties, ("tables",))


def _confirmation() -> Schema:
    lines = {
        "table": _COLUMN,
        "by": _column("Refers to the record."),
        "item": _column("The item's number."),
        "quantity": _COLUMN,
        "unit": _COLUMN,
        "price": _column("Compared with what the check tells; missing: not compared."),
    }
    properties: Schema = {
        "table": _COLUMN,
        "when": _table("The column whose new value registers the record, and the values that do.", _VALUES)
        | {"minProperties": 1, "maxProperties": 1},
        "checks": {"type": "array", "items": {"enum": list(Check)}, "minItems": 1},
        "name": _column("What people call it."),
        "customer": _column("A reference to the customer's table."),
        "currency": _COLUMN,
        "total": _column("What the customer will owe more."),
        "total_of": {
            "type": "array",
            "items": _COLUMN,
            "description": "What the system makes the total of; not to be changed together with the state.",
        },
        "lines": _object("The lines of the record.", lines, ("table", "by", "item", "quantity", "unit")),
    }
    needed = ("table", "when", "checks", "name", "customer", "currency")
    return _object("A record that is registered only after a yes.", properties, needed)


def _checks() -> Schema:
    """Which tables and columns answer the checks of a transaction."""
    confirmations = {"type": "array", "items": _confirmation(), "minItems": 1}
    properties: Schema = {
        "customers": _table("Of each kind of system, the table whose records are customers.", _COLUMN),
        "units": _table("What others call a unit, and what it is called where the prices are.", _SCALAR),
        "price": _table("By kind of system.", _price_source()),
        "stock": _table("By kind of system.", _stock_source()),
        "credit": _table("By kind of system.", _credit_source()),
        "confirm": _table("By kind of system.", confirmations),
    }
    return _object("Which tables and columns answer checks.", properties, ("customers",))


def definition_schema() -> Mapping[str, Any]:
    """The schema (JSON Schema 2020-12): of a pair of tables, of tables and columns of ours, or of what answers
    checks."""
    pair = _object("The two systems, each with its table.", {}, (), _COLUMN) | {"minProperties": 2, "maxProperties": 2}
    common: Schema = {
        "match": {"type": "array", "items": _match_rule()},
        "on_delete": _choice("What follows when one record of a link is deleted.", _ON_EITHER_SIDE),
        "foreign_edit": _choice("What happens to an edit where the field is not mastered.", ForeignEdit),
        "brakes": _brakes(),
        "profile": _choice("What both databases must be for.", Profile),
        "selection": _selection(),
    }
    properties: Schema = {
        "pair": pair,
        "transfers": _transfers(),
        "fields": {"type": "array", "items": _field(), "minItems": 1},
        "identity": _choice("linked: records are linked; derived: keys follow from columns of the source.", Identity),
        "key": {**_COLUMNS, "description": "Of derived rows: the source's columns that make a row what it is."},
        "day": {**_COLUMN, "description": "Of derived rows: the column of the key by which the window goes."},
        "instead_of": {**_COLUMN, "description": "A system; where the installation has it, the file does not run."},
        **common,
        "for": {"type": "array", "items": _variant(common), "minItems": 1},
        "tables": _own_tables(),
        "checks": _checks(),
        "needed_for": {**_COLUMNS, "description": "Of tables: systems, one of which an installation must have."},
    }
    kinds = [{"required": ["pair", "transfers", "fields"]}, {"required": ["tables"]}, {"required": ["checks"]}]
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Crossdock definition"}
    told = "What corresponds to what and who is master."
    return head | _object(told, properties) | {"anyOf": kinds}


def schema_text() -> str:
    """The file's content."""
    return json.dumps(definition_schema(), indent=1, ensure_ascii=False) + "\n"


def write_schema() -> None:
    """Write transfers/definition.schema.json."""
    FILE.write_text(schema_text(), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    write_schema()
