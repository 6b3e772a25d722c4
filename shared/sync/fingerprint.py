"""Keyed fingerprints of field values, and the base: what both sides held when they last agreed.

A fingerprint is 8 bytes of keyed BLAKE2b over the value's canonical text, salted with pair, home key, rule and side,
so that equal values of two records or fields have different fingerprints and nobody can look a value up without the
key. The base is one text: `<key id>:` and base64 of 22-byte entries (rule id 4, rule version 2, left 8, right 8); where
fields have agreed under the previous key, that key's part follows behind a blank. An entry written under an unknown key
or by another version of its rule is no base; nothing counts as changed because of a rotation.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import blake2b

from shared.sync.definition import FieldRule
from shared.sync.ports import Side, Untold, Value
from shared.sync.values import canonical

_ENTRY_BYTES = 22


@dataclass(frozen=True)
class Fingerprints:
    """Makes fingerprints with the current key. key: 16 to 64 random bytes; key_id: a short name of it.

    previous: those of the key before, with which what it has written can still be read.
    """

    key_id: str
    key: bytes
    previous: Fingerprints | None = None

    def __post_init__(self) -> None:
        if not 16 <= len(self.key) <= 64 or set(": |") & set(self.key_id) or not self.key_id:
            raise ValueError("the fingerprint key needs 16 to 64 bytes and an id without ':', '|' and blanks")

    @cached_property
    def known(self) -> Mapping[str, Fingerprints]:
        """Those of every key that is known, by its id; the current one first."""
        both = (self, self.previous) if self.previous else (self,)
        return {one.key_id: one for one in both}

    def of(self, salt: str, rule: FieldRule, side: Side, value: Value) -> bytes:
        """The fingerprint of a value; a missing value has one too."""
        text = canonical(value)
        told = "\0" if text is None else "\1" + text
        content = f"{salt}\0{side.value}\0".encode() + rule.id + told.encode("utf-8", "surrogatepass")
        return blake2b(content, key=self.key, digest_size=8).digest()

    def loose(self, salt: str, column: str, value: Value) -> str:
        """A fingerprint that survives a system's trimming and capitals; for recognising what we sent."""
        text = " ".join((canonical(value) or "").split()).upper()
        return blake2b(
            f"{salt}\0{column}\0{text}".encode("utf-8", "surrogatepass"), key=self.key, digest_size=8
        ).hexdigest()

    def of_match(self, pair: str, rule: str, normalised: Iterable[str]) -> str:
        """The hash under which a match key is claimed."""
        content = "\0".join((pair, rule, *normalised)).encode("utf-8", "surrogatepass")
        return blake2b(content, key=self.key, digest_size=16).hexdigest()


def hash_of_number(pair: str, number: str) -> str:
    """The hash under which a number is claimed. It needs no key: numbers are keys, and no secret."""
    return blake2b(f"{pair}\0{number.upper()}".encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


@dataclass(frozen=True)
class Sent:
    """What a create has sent, as loose fingerprints by column. prints: None if they were made with an unknown key."""

    salt: str
    columns: Mapping[str, str]
    prints: Fingerprints | None

    @classmethod
    def of(cls, salt: str, values: Mapping[str, Value], prints: Fingerprints) -> Sent:
        """Of these values."""
        return cls(salt, {name: prints.loose(salt, name, value) for name, value in sorted(values.items())}, prints)

    @classmethod
    def unpack(cls, text: str, salt: str, prints: Fingerprints) -> Sent:
        """Read what a claim keeps."""
        key_id, _, columns = text.rpartition("|")
        told = dict(part.split("=", 1) for part in columns.split(";") if part)
        return cls(salt, told, prints.known.get(key_id))

    def pack(self) -> str:
        """The text that the claim keeps."""
        assert self.prints is not None
        return f"{self.prints.key_id}|" + ";".join(f"{name}={told}" for name, told in self.columns.items())

    def is_equal(self, column: str, value: Value) -> bool:
        """Whether this was sent, but for capitals and surplus blanks; never known under an unknown key."""
        return self.prints is not None and self.columns.get(column) == self.prints.loose(self.salt, column, value)


@dataclass(frozen=True)
class Agreed:
    """The fingerprints of one field on both sides, when they last agreed, and the id of their key."""

    left: bytes
    right: bytes
    key_id: str

    def on(self, side: Side) -> bytes:
        return self.left if side is Side.LEFT else self.right


def is_old(base: str, prints: Fingerprints) -> bool:
    """Whether a packed base was written under another key than today's, or a part of it."""
    return not base.startswith(f"{prints.key_id}:") or " " in base


@dataclass(frozen=True)
class Base:
    """All agreed fields of one link, by rule. is_old: whether some of it was written under another key than today's."""

    salt: str
    prints: Fingerprints
    entries: Mapping[bytes, tuple[bytes, Agreed]]
    is_old: bool = False

    @classmethod
    def unpack(cls, text: str, salt: str, prints: Fingerprints) -> Base:
        """Read a packed base; what was written under an unknown key is left out."""
        entries: dict[bytes, tuple[bytes, Agreed]] = {}
        parts = [part.partition(":") for part in text.split(" ")]
        for key_id, _, packed in reversed(parts):  # the current key's entries count
            if key_id in prints.known:
                raw = b64decode(packed)
                chunks = [raw[at : at + _ENTRY_BYTES] for at in range(0, len(raw), _ENTRY_BYTES)]
                entries |= {c[:4]: (c[4:6], Agreed(c[6:14], c[14:22], key_id)) for c in chunks}
        return cls(salt, prints, entries, is_old=is_old(text, prints))

    def pack(self) -> str:
        """The text that the link row keeps."""
        return " ".join(
            f"{key_id}:{self._packed(key_id)}"
            for key_id in self.prints.known
            if key_id == self.prints.key_id or self._packed(key_id)
        )

    def _packed(self, key_id: str) -> str:
        entries = [(rule, *entry) for rule, entry in sorted(self.entries.items()) if entry[1].key_id == key_id]
        raw = b"".join(rule + version + agreed.left + agreed.right for rule, version, agreed in entries)
        return b64encode(raw).decode()

    def agreed(self, rule: FieldRule) -> Agreed | None:
        """The rule's entry, or None if it has none or was written by another version of the rule."""
        version, agreed = self.entries.get(rule.id, (b"", None))
        return agreed if version == rule.version else None

    def is_same(self, rule: FieldRule, side: Side, value: Value) -> bool | None:
        """Whether a side still holds what it held at the last agreement; None without a base. What is not told is as it
        was."""
        agreed = self.agreed(rule)
        if agreed is not None and isinstance(value, Untold):
            return True
        return None if agreed is None else self._is(agreed, rule, side, value)

    def was_filled(self, rule: FieldRule, side: Side) -> bool:
        """Whether a side is known to have held something, also when the rule was another version."""
        _, agreed = self.entries.get(rule.id, (b"", None))
        return agreed is not None and not self._is(agreed, rule, side, None)

    def _is(self, agreed: Agreed, rule: FieldRule, side: Side, value: Value) -> bool:
        return agreed.on(side) == self.prints.known[agreed.key_id].of(self.salt, rule, side, value)

    def with_values(self, values: Iterable[tuple[FieldRule, Value, Value]]) -> Base:
        """A base in which these fields agree: (rule, left value, right value)."""
        entries = dict(self.entries)
        for rule, left, right in values:
            of = self.prints.of
            left_print, right_print = of(self.salt, rule, Side.LEFT, left), of(self.salt, rule, Side.RIGHT, right)
            entries[rule.id] = (rule.version, Agreed(left_print, right_print, self.prints.key_id))
        return replace(self, entries=entries)

    def renewed(self, rules: Iterable[FieldRule], values: Mapping[Side, Mapping[str, Value]]) -> Base:
        """With today's key for every field that both sides hold as they agreed."""
        if not self.is_old:
            return self
        fields = [(rule, values[Side.LEFT].get(rule.left), values[Side.RIGHT].get(rule.right)) for rule in rules]
        kept = [
            (rule, left, right)
            for rule, left, right in fields
            if self.is_same(rule, Side.LEFT, left)
            and self.is_same(rule, Side.RIGHT, right)
            and not {type(left), type(right)} & {Untold}
        ]
        return self.with_values(kept)

    def only(self, rules: Iterable[FieldRule]) -> Base:
        """Without the entries of rules that the definition no longer has."""
        known = {rule.id for rule in rules}
        return replace(self, entries={rule: entry for rule, entry in self.entries.items() if rule in known})
