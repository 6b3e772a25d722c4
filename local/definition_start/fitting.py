"""How the values of one column can become those of another: as they are, by a converter, or by a table of values."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

from local.definition_start.likeness import words_of
from shared.sync.correspondence import KEYS, can_correspond
from shared.sync.definition import FieldRule, Master
from shared.sync.ports import ColumnMetadata, ColumnType, Side

_CONVERTERS: Final = ("same", "digits", "date")


@dataclass(frozen=True, slots=True)
class How:
    """A converter, with its table of values from the left side's to the right side's. open: values that lead nowhere
    yet."""

    convert: str = "same"
    values: Mapping[str, str] = field(default_factory=dict)
    open: tuple[str, ...] = ()


def how(left: ColumnMetadata, right: ColumnMetadata, sources: Collection[Side]) -> How | None:
    """How values go over from these sides; None where nothing is known that leads there. Keys have a way of their
    own."""
    if {left.type, right.type} & KEYS:
        return None
    if ColumnType.CHOICE in (left.type, right.type) and (found := _by_values(left, right)):
        return found
    for name in _CONVERTERS:
        rule = FieldRule(
            left=left.name, right=right.name, master_unlinked=Master.LEFT, master_linked=Master.LEFT, convert=name
        )
        columns = {Side.LEFT: left, Side.RIGHT: right}
        if all(can_correspond(rule, side, columns[side], columns[side.other]) for side in sources):
            return How(name)
    return None


def _by_values(left: ColumnMetadata, right: ColumnMetadata) -> How | None:
    """By a table of values, as the choices' texts are alike; the same choices on both sides need none."""
    here, there = _told(left), _told(right)
    if not (here and there) or here.keys() == there.keys():
        return None
    values = _matched(here, there)
    missing = (*(one for one in here if one not in values), *(one for one in there if one not in values.values()))
    return How("values", values, missing) if values else None


def _told(column: ColumnMetadata) -> Mapping[str, str]:
    """The choices with a text for each."""
    if column.type is not ColumnType.CHOICE:
        return {}
    return {value: label or value for value, label in column.choices.items()}


def _matched(here: Mapping[str, str], there: Mapping[str, str]) -> dict[str, str]:
    """The values whose texts have the same words, or begin with them."""
    found: dict[str, str] = {}
    for exact in (True, False):
        for value, label in here.items():
            for other, told in there.items():
                if value not in found and other not in found.values() and _same(label, told, exact=exact):
                    found[value] = other
    return {value: found[value] for value in here if value in found}


def _same(one: str, other: str, *, exact: bool) -> bool:
    near, far = "".join(words_of(one)), "".join(words_of(other))
    return near == far if exact else bool(near and far) and (near.startswith(far) or far.startswith(near))
