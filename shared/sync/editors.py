"""Who changed a record last, where a field is to hold that: the last person, never we ourselves.

A record names its last editor, and after a write of ours that is we. Who it was before is known from the notices: each
names who made the change, and when. That travels with messages, waits with them, and the newest stays with the link.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Protocol

from shared.sync.definition import Definition, FieldRule
from shared.sync.edits import edit, moment_of, newer, who_of
from shared.sync.message import Message
from shared.sync.ports import Record, Side, Unlinked, Untold, Value
from shared.sync.values import canonical

_MEANT = "="
"""Before the key of a partner; without it the key is that of the user."""


class Editors(Protocol):
    """What is asked of the connector of the side that names the editors."""

    async def ourselves(self) -> frozenset[str]: ...

    async def meant(self, column: str, key: str) -> Value:
        """What a user's key in a column stands for on the other side."""
        ...


def told_edits(definition: Definition, message: Message) -> Mapping[str, str]:
    """The last edits that a message tells of, by key: of the pair's own records, and only where a field is to hold
    them."""
    own = definition.table(message.side).table == message.table
    return message.editors if own and definition.editor_rule(message.side) else {}


async def with_editor(
    rule: FieldRule, side: Side, source: Record, known: str, told: str, editors: Editors
) -> tuple[Record, str]:
    """The source with the last person in the rule's column, and the last edit that is known from now on.

    known: what the link knows; told: what the message says.
    """
    column, ours = rule.column(side), await editors.ourselves()
    latest = known if who_of(told) in ours else newer(known, told)
    value = source.values.get(column)
    if not isinstance(value, Untold):
        return source, _seen(value, source.values.get(rule.last_editor), latest)
    who = who_of(latest)
    if not who:
        return source, latest
    person = who.removeprefix(_MEANT) if who.startswith(_MEANT) else await editors.meant(column, who)
    return replace(source, values={**source.values, column: person}), latest


def _seen(value: Value, at: Value, latest: str) -> str:
    """A person whom the record itself names is the last one, whatever was told before."""
    who = canonical(value)
    if who is None or not isinstance(at, datetime):
        return latest
    seen = edit(at, who if isinstance(value, Unlinked) else f"{_MEANT}{who}")
    return seen if moment_of(seen) >= moment_of(latest) else f"{moment_of(latest)} {who_of(seen)}"
