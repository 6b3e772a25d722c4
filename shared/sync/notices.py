"""From a notice to messages: who must hear that a record changed.

Works on the compiled index as plain JSON, because the doors that take notices start cold and need names only, not the
rules of every field.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple

from shared.sync.message import MAX_KEYS, Message
from shared.sync.ports import Outgoing, Side

APART: Final = 10
"""Notices of one table in one body, up to which each has a message of its own."""


@dataclass(frozen=True, slots=True)
class Notice:
    """A system says that a record changed. change_id: the same however often this change is announced. editor: who
    changed it and when, where the system says so."""

    system: str
    table: str
    key: str
    change_id: str
    correlation_id: str
    editor: str = ""


@dataclass(frozen=True, slots=True)
class ManyChanges:
    """A system says that many records of a table changed, and names none. since: from when on; None: not told, and
    records may have been deleted."""

    system: str
    table: str
    since: datetime | None
    change_id: str


class Recipient(NamedTuple):
    """A transfer that a table's changes concern, and the side of its pair that they are on."""

    transfer: str
    side: Side


class Recipients:
    """Who hears of which table: every transfer of a pair that has it, both ways, and those that name it in also_on."""

    def __init__(self, by_table: Mapping[tuple[str, str], Sequence[Recipient]], transfers: Sequence[str]) -> None:
        self._by_table = by_table
        self.transfers = transfers

    @classmethod
    def read(cls, index_json: bytes, systems: Collection[str]) -> Recipients:
        """Read of the compiled index what concerns these systems; raises ValueError when it is none."""
        found: dict[tuple[str, str], dict[str, Recipient]] = {}
        names: list[str] = []
        try:
            for definition in json.loads(index_json)["definitions"]:
                if not {definition[side.value]["system"] for side in Side} <= set(systems):
                    continue
                if definition.get("instead_of") in systems:
                    continue
                names += [str(transfer["name"]) for transfer in definition["transfers"]]
                for place, recipient in _heard_by(definition):
                    found.setdefault(place, {}).setdefault(recipient.transfer, recipient)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ValueError("transfers/index.json is no compiled index; compile it again: manage.py check") from error
        by_table = {place: tuple(recipients.values()) for place, recipients in found.items()}
        return cls(by_table, tuple(dict.fromkeys(names)))

    def of(self, system: str, table: str) -> Sequence[Recipient]:
        """The transfers that a change of this table concerns; empty for a table that no definition names."""
        return self._by_table.get((system, table), ())

    def tables(self, system: str) -> Collection[str]:
        """The tables of a system that definitions name."""
        return [table for name, table in self._by_table if name == system]


def _heard_by(definition: Mapping[str, Any]) -> Iterator[tuple[tuple[str, str], Recipient]]:
    """The pair's own tables first: a transfer that also names one of them in also_on hears of it once."""
    for transfer in definition["transfers"]:
        name, source = str(transfer["name"]), Side(transfer["source"])
        for side in (source, source.other):
            yield (definition[side.value]["system"], definition[side.value]["table"]), Recipient(name, side)
        for related in transfer["also_on"]:
            yield (definition[source.value]["system"], related), Recipient(name, source)


def outgoing_for(
    recipients: Sequence[Recipient], notices: Sequence[Notice], received_at: datetime
) -> Iterator[dict[str, Outgoing]]:
    """The messages to all recipients, by transfer, about notices of one table.

    Many at once share messages, so that their records are read together; a few have one each, which the queue takes
    once however often the notice comes. Their time is that of arrival: a notice that comes days late has waited enough
    already and must not be given up at the first obstacle.
    """
    size = MAX_KEYS if len(notices) > APART else 1
    for start in range(0, len(notices), size):
        yield _message(recipients[0], notices[start : start + size], received_at).outgoing_to(recipients)


def _message(recipient: Recipient, notices: Sequence[Notice], received_at: datetime) -> Message:
    first = notices[0]
    return Message(
        transfer=recipient.transfer,
        side=recipient.side,
        table=first.table,
        keys=tuple(dict.fromkeys(notice.key for notice in notices)),
        cause="webhook",
        occurred_at=received_at,
        attempt=0,
        correlation_id=first.correlation_id,
        change_id=first.change_id if len(notices) == 1 else _together(notices),
        editors=_editors(notices),
    )


def _editors(notices: Sequence[Notice]) -> dict[str, str]:
    """The last edit of each record."""
    found: dict[str, str] = {}
    for notice in notices:
        if notice.editor > found.get(notice.key, ""):
            found[notice.key] = notice.editor
    return found


def _together(notices: Sequence[Notice]) -> str:
    """The same for the same changes announced together again."""
    digest = hashlib.sha256("\n".join(notice.change_id for notice in notices).encode("utf-8", "surrogatepass"))
    return f"{notices[0].system}/{notices[0].table}/{digest.hexdigest()}"
