"""The JSON Schema for editors: what is shipped passes it, mistakes do not, and it knows what the models know."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from local.definition_schema import FILE, definition_schema, schema_text
from shared.sync.confirming import (
    Confirmation,
    Confirming,
    CreditColumns,
    CreditSource,
    Lines,
    OneRecord,
    Priced,
    PricedFor,
    PriceSource,
    StockSource,
)
from shared.sync.definition import Brakes, ChooseKey, Definition, FieldRule, MatchRule, Transfer
from shared.sync.own_tables import MADE_IN, OwnColumn, OwnTable, OwnView
from tests.unit.definitions.test_definitions import GOOD, TRANSFERS

Schema = Mapping[str, Any]
TYPES: Mapping[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
}


def faults(schema: Schema, value: Any, where: str = "") -> Iterator[str]:
    """The places at which a value breaks a schema; knows the keywords that ours uses, and no other."""
    unknown = set(schema) - _KEYWORDS
    assert not unknown, f"the checker does not know {unknown}"
    if "anyOf" in schema and all(list(faults(one, value)) for one in schema["anyOf"]):
        yield f"{where}: anyOf"
    if "enum" in schema and value not in schema["enum"]:
        yield f"{where}: enum"
    if "type" in schema and not _is_of(schema["type"], value):
        yield f"{where}: type"
        return
    if isinstance(value, str) and not re.search(schema.get("pattern", ""), value):
        yield f"{where}: pattern"
    if isinstance(value, str | list | dict) and not _fits(schema, value):
        yield f"{where}: size"
    if isinstance(value, int) and not schema.get("minimum", value) <= value <= schema.get("maximum", value):
        yield f"{where}: limit"
    for place, item in enumerate(value if isinstance(value, list) else ()):
        yield from faults(schema.get("items", {}), item, f"{where}/{place}")
    if isinstance(value, dict):
        yield from _member_faults(schema, value, where)


_KEYWORDS = {
    *(
        "$schema",
        "title",
        "description",
        "anyOf",
        "enum",
        "type",
        "pattern",
        "minLength",
        "minItems",
        "maxItems",
        "minProperties",
    ),
    *("maxProperties", "minimum", "maximum", "items", "properties", "patternProperties", "additionalProperties"),
    "required",
}


def _is_of(types: str | list[str], value: Any) -> bool:
    names = [types] if isinstance(types, str) else types
    if isinstance(value, bool):
        return "boolean" in names
    return any(isinstance(value, TYPES[name]) for name in names)


def _fits(schema: Schema, value: str | list[Any] | dict[str, Any]) -> bool:
    kind = {str: "Length", list: "Items", dict: "Properties"}[type(value)]
    least, most = schema.get(f"min{kind}", 0), schema.get(f"max{kind}", len(value))
    return bool(least <= len(value) <= most)


def _member_faults(schema: Schema, value: Mapping[Any, Any], where: str) -> Iterator[str]:
    yield from (f"{where}: {name} is missing" for name in schema.get("required", ()) if name not in value)
    for key, member in value.items():
        part = _schema_of(schema, str(key))
        if part is False:
            yield f"{where}: {key} is not known"
        elif part is not True:
            yield from faults(part, member, f"{where}/{key}")


def _schema_of(schema: Schema, key: str) -> Any:
    if key in schema.get("properties", {}):
        return schema["properties"][key]
    matching = [part for pattern, part in schema.get("patternProperties", {}).items() if re.search(pattern, key)]
    return matching[0] if matching else schema.get("additionalProperties", True)


def _faults(text: str) -> list[str]:
    return list(faults(definition_schema(), yaml.safe_load(text)))


def test_the_file_is_what_the_module_makes() -> None:
    """Written anew by `python -m local.definition_schema`."""
    assert FILE.read_text(encoding="utf-8") == schema_text()


@pytest.mark.parametrize("path", sorted(TRANSFERS.rglob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_definition_passes(path: Path) -> None:
    """As an editor reads it, with YAML's own types."""
    assert _faults(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("master: dataverse}", "}"),
        ("master: dataverse}", "master: [dataverse, business_central]}"),
        ("master: dataverse}", "master: sap}"),
        ("master: dataverse}", "master: dataverse, convrt: trim}"),
        ("master: dataverse}", "master: dataverse, convert: shout}"),
        ("company_name", "shout"),
        ("every 5 minutes", "5 min"),
        ("prefix: CD-", "prefix: cd_"),
        ("customer_to_dataverse", "customers"),
        ("brakes:", "breaks:"),
        ("creates_per_hour: 7", "creates_per_hour: seven"),
        ("pair: {dataverse: account, ", "pair: {"),
    ],
)
def test_mistakes_are_underlined(right: str, wrong: str) -> None:
    """Those that a schema can see."""
    assert _faults(GOOD) == []
    assert len(_faults(GOOD.replace(right, wrong, 1))) >= 1


def test_the_schema_knows_every_key_of_the_models() -> None:
    """A key that the compiler learns must be offered by editors too."""
    parts = definition_schema()["properties"]
    (transfer,) = parts["transfers"]["patternProperties"].values()
    known = transfer["properties"]
    assert set(known) == _keys(Transfer, *_COMPILED) | {"walk", "window"}
    assert set(known["choose_key"]["properties"]) == _keys(ChooseKey)
    assert set(parts["brakes"]["properties"]) == _keys(Brakes)
    own = {"left", "right", "line", "master_unlinked", "master_linked", "convert_with", "check_with"}
    assert set(parts["fields"]["items"]["properties"]) == _keys(FieldRule, *own) | {"master"}
    assert set(parts["match"]["items"]["properties"]) == _keys(MatchRule, *own, "normalise_with")
    assert set(parts) == _keys(Definition, "file", *own) | {"pair", "for", "tables", "needed_for", "checks"}
    alike = {"identity", "key", "day", "instead_of"}
    assert set(parts["for"]["items"]["properties"]) == _keys(Definition, "file", *own, *alike) | {
        "without",
        "hands_over",
    }


def test_the_schema_knows_every_key_of_declared_tables() -> None:
    """Likewise; a table is named by its system and name, a column by its name."""
    (table,) = definition_schema()["properties"]["tables"]["properties"][MADE_IN]["patternProperties"].values()
    assert set(table["properties"]) == _keys(OwnTable, "file", "system", "table", "needed_for")
    (column,) = table["properties"]["columns"]["patternProperties"].values()
    assert set(column["properties"]) == _keys(OwnColumn, "name")
    assert set(table["properties"]["views"]["additionalProperties"]["properties"]) == _keys(OwnView, "name")
    assert set(table["properties"]["name"]["properties"]) == {"column", "label", "length"}


_COMPILED = ("name", "source", "walk_seconds", "window_days", "set_on_delete")


def _keys(model: type[Any], *compiled: str) -> set[str]:
    """What people write: the model's fields without those that the compiler adds."""
    return set(model.model_fields) - {"line", *compiled}


def test_the_schema_knows_every_key_of_what_answers_checks() -> None:
    """And no other."""
    parts = definition_schema()["properties"]["checks"]["properties"]
    assert set(parts) == _keys(Confirming, "file", "answering", "asking")
    price, stock, credit = (parts[name]["additionalProperties"]["properties"] for name in ("price", "stock", "credit"))
    assert set(price) == _keys(PriceSource, "line")
    assert set(price["items"]["properties"]) == set(price["prices"]["properties"]) == _keys(Priced)
    assert set(price["customer"]["properties"]) == _keys(PricedFor)
    assert set(price["currency"]["properties"]) == set(credit["currency"]["properties"]) == _keys(OneRecord)
    assert set(stock) == _keys(StockSource, "line")
    assert set(credit) == _keys(CreditSource, "line")
    assert set(credit["tables"]["additionalProperties"]["properties"]) == _keys(CreditColumns)
    confirmation = parts["confirm"]["additionalProperties"]["items"]["properties"]
    assert set(confirmation) == _keys(Confirmation, "line")
    assert set(confirmation["lines"]["properties"]) == _keys(Lines)
