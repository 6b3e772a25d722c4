"""Reads what IFS field service posts of its own accord: which records changed, and nothing else.

A body is JSON or XML; the contract page says how. What it holds beside tables and keys is never looked at. Records are
judged one by one: a bad one does not spoil its neighbours.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, StrictInt, StrictStr, StringConstraints, ValidationError

from shared.connectors.field_service.keys import canonical, key_of
from shared.connectors.xml_reading import read_xml
from shared.strict_json import Json, NotJson, load
from shared.sync.notices import Notice

MAX_BODY_BYTES: Final = 4 * 1024 * 1024
DEEPEST: Final = 32
"""How deeply elements, objects and lists may lie within each other."""

_BOM: Final = b"\xef\xbb\xbf"
_BLANKS: Final = b" \t\r\n"


class NotAMessage(ValueError):
    """The body is neither form; the text names what is wrong, never a value."""


class Ignored(StrEnum):
    """Why a record of a message leads to no message of ours."""

    SHAPE = "a record of another shape"
    NO_KEY = "no record is named"
    NO_TABLE = "no table of a definition is named"


Name = Annotated[str, StringConstraints(min_length=1, max_length=128)]
Text = StrictStr | StrictInt


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)


class Bound(_Part):
    """What records under a name of the sender's are: their table, and the columns of its key in their order."""

    table: Name
    key: Annotated[tuple[Name, ...], Field(min_length=1)]


class _Site(_Part):
    """Of a site's binding what concerns its messages; the connector reads the rest."""

    outbound: dict[str, Bound] = {}


class _Row(_Part):
    """The members that are used."""

    table: Name
    key: Text | None = None
    keys: dict[str, Text] | None = None
    message_id: Annotated[Text | None, Field(alias="messageId")] = None
    at: Text | None = None


@dataclass(frozen=True, slots=True)
class Sender:
    """A system that a message may speak of. tables: those that definitions name. outbound: what other names stand
    for."""

    system: str
    tables: Collection[str]
    outbound: Mapping[str, Bound]


def outbound_of(site: str) -> Mapping[str, Bound]:
    """What a site's binding says of names; raises ValueError naming the member that is wrong."""
    try:
        return _Site.model_validate_json(site).outbound
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise ValueError(f"{'.'.join(map(str, first['loc'])) or 'the object'}: {first['type']}") from None


def read_message(body: bytes, senders: Sequence[Sender], new_id: Callable[[], str]) -> Sequence[Notice | Ignored]:
    """Read a body for each system that its sender speaks of. new_id: makes what stands for a change that the sender
    does not name. Raises NotAMessage."""
    raw = body.removeprefix(_BOM).lstrip(_BLANKS)
    digest = hashlib.sha256(body).hexdigest()
    if raw[:1] in (b"{", b"["):
        rows = _rows(raw)
        return [_from_row(row, sender, digest, new_id) for sender in senders for row in rows]
    return [one for sender in senders for one in _from_xml(raw, sender, digest, new_id)]


@dataclass(frozen=True, slots=True)
class _Said:
    """What tells one change from another: the sender's id of the message, or its time with the whole body."""

    message_id: str
    at: str
    digest: str

    def change_id(self, system: str, table: str, key: str, new_id: Callable[[], str]) -> str:
        """The same for the same change however often it is announced. Where neither id nor time is said it is new: two
        changes of a record may be announced in the same words, and a repeated message then costs a run."""
        if self.message_id:
            what = ["id", self.message_id]
        elif self.at:
            what = ["at", self.at, self.digest]
        else:
            what = ["new", new_id()]
        told = "\0".join([table, key, *what]).encode("utf-8", "surrogatepass")
        return f"{system}/{hashlib.sha256(told).hexdigest()}"


def _notice(sender: Sender, table: str, key: str, said: _Said, new_id: Callable[[], str]) -> Notice:
    return Notice(sender.system, table, key, said.change_id(sender.system, table, key, new_id), new_id())


# --- JSON ---


def _rows(raw: bytes) -> list[_Row | Ignored]:
    """The records of a body, of which at least one has the right shape, if there is any."""
    try:
        value = load(raw, DEEPEST)
    except NotJson as error:
        raise NotAMessage(str(error)) from None
    rows = [_row(one) for one in (value if isinstance(value, list) else [value])]
    if rows and not any(isinstance(row, _Row) for row in rows):
        raise NotAMessage("no record names its table")
    return rows


def _row(value: Json) -> _Row | Ignored:
    try:
        return _Row.model_validate(value)
    except ValidationError:
        return Ignored.SHAPE


def _from_row(row: _Row | Ignored, sender: Sender, digest: str, new_id: Callable[[], str]) -> Notice | Ignored:
    if isinstance(row, Ignored):
        return row
    bound = sender.outbound.get(row.table)
    try:
        key = _key_of_row(row, bound)
    except (KeyError, ValueError):
        return Ignored.NO_KEY
    said = _Said(_text(row.message_id), _text(row.at), digest)
    return _notice(sender, bound.table if bound else row.table, key, said, new_id)


def _key_of_row(row: _Row, bound: Bound | None) -> str:
    """Several columns stand in the order of the site's binding, else in that of the message."""
    if row.keys is None:
        return canonical(_text(row.key))
    return key_of([_text(row.keys[name]) for name in (bound.key if bound else row.keys)])


def _text(value: str | int | None) -> str:
    return "" if value is None else str(value)


# --- XML ---


@dataclass(slots=True)
class _Element:
    """An element that is not closed yet. bound: what it is a record of, if of anything. column: the key column of the
    element around it that it holds."""

    bound: Bound | None
    column: str = ""
    values: dict[str, str] = field(default_factory=dict)
    text: list[str] = field(default_factory=list)


class _Document:
    """What is gathered while a document is read from top to bottom."""

    def __init__(self, bound: Mapping[str, Bound]) -> None:
        self._bound = bound
        self._open: list[_Element] = []
        self.found: list[tuple[str, Sequence[str]]] = []
        self.message_id = self.at = ""

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        if len(self._open) == DEEPEST:
            raise ValueError("nested too deeply")
        name = tag.rpartition(":")[2]
        if not self._open:
            self.message_id, self.at = attributes.get("messageId", ""), attributes.get("at", "")
        around = self._open[-1] if self._open else None
        if around and around.bound and name in around.bound.key and name not in around.values:
            self._open.append(_Element(None, name))
        else:
            self._open.append(_Element(self._bound.get(name)))

    def text(self, data: str) -> None:
        if self._open[-1].column:
            self._open[-1].text.append(data)

    def end(self, _: str) -> None:
        element = self._open.pop()
        if element.column:
            self._open[-1].values[element.column] = "".join(element.text).strip()
        elif element.bound:
            self.found.append((element.bound.table, [element.values.get(name, "") for name in element.bound.key]))


def _from_xml(raw: bytes, sender: Sender, digest: str, new_id: Callable[[], str]) -> Iterator[Notice | Ignored]:
    bound = {table: Bound(table=table, key=(f"{table}_id",)) for table in sender.tables} | dict(sender.outbound)
    document = _Document(bound)
    try:
        read_xml(raw, document.start, document.end, document.text)
    except ValueError:
        raise NotAMessage("neither JSON nor XML that can be read") from None
    if not document.found:
        yield Ignored.NO_TABLE
    said = _Said(document.message_id, document.at, digest)
    for table, parts in document.found:
        try:
            yield _notice(sender, table, key_of(parts), said, new_id)
        except ValueError:
            yield Ignored.NO_KEY
