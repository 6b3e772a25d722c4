"""Keyed fingerprints of field values, and the base: what both sides held when they last agreed.

A fingerprint is 8 bytes of keyed BLAKE2b over the value's canonical text, salted with pair, home key, rule and side,
so that equal values of two records or fields have different fingerprints and nobody can look a value up without the
key. The base is one text: `<key id>:` and base64 of 22-byte entries (rule id 4, rule version 2, left 8, right 8). An
entry written under another key or by another version of its rule is no base; nothing counts as changed because of a
rotation.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import blake2b

from shared.sync.definition import FieldRule
from shared.sync.ports import Side, Untold, Value
from shared.sync.values import canonical

_ENTRY_BYTES = 22


@dataclass(frozen=True)
class Fingerprints:
    """Makes fingerprints with the current key. key: 16 to 64 random bytes; key_id: a short name of it."""

    key_id: str
    key: bytes

    def __post_init__(self) -> None:
        if not 16 <= len(self.key) <= 64 or ":" in self.key_id or not self.key_id:
            raise ValueError("the fingerprint key needs 16 to 64 bytes and an id without ':'")

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


@dataclass(frozen=True)
class Agreed:
    """The fingerprints of one field on both sides, when they last agreed."""

    left: bytes
    right: bytes

    def on(self, side: Side) -> bytes:
        return self.left if side is Side.LEFT else self.right


@dataclass(frozen=True)
class Base:
    """All agreed fields of one link, by rule."""

    salt: str
    prints: Fingerprints
    entries: Mapping[bytes, tuple[bytes, Agreed]]

    @classmethod
    def unpack(cls, text: str, salt: str, prints: Fingerprints) -> Base:
        """Read a packed base; one written under another key is empty."""
        key_id, _, packed = text.partition(":")
        if key_id != prints.key_id:
            return cls(salt, prints, {})
        raw = b64decode(packed)
        chunks = [raw[at : at + _ENTRY_BYTES] for at in range(0, len(raw), _ENTRY_BYTES)]
        return cls(salt, prints, {c[:4]: (c[4:6], Agreed(c[6:14], c[14:22])) for c in chunks})

    def pack(self) -> str:
        """The text that the link row keeps."""
        entries = sorted(self.entries.items())
        raw = b"".join(rule + version + agreed.left + agreed.right for rule, (version, agreed) in entries)
        return f"{self.prints.key_id}:{b64encode(raw).decode()}"

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
        return None if agreed is None else agreed.on(side) == self.prints.of(self.salt, rule, side, value)

    def with_values(self, values: Iterable[tuple[FieldRule, Value, Value]]) -> Base:
        """A base in which these fields agree: (rule, left value, right value)."""
        entries = dict(self.entries)
        for rule, left, right in values:
            of = self.prints.of
            agreed = Agreed(of(self.salt, rule, Side.LEFT, left), of(self.salt, rule, Side.RIGHT, right))
            entries[rule.id] = (rule.version, agreed)
        return Base(self.salt, self.prints, entries)

    def only(self, rules: Iterable[FieldRule]) -> Base:
        """Without the entries of rules that the definition no longer has."""
        known = {rule.id for rule in rules}
        return Base(self.salt, self.prints, {rule: entry for rule, entry in self.entries.items() if rule in known})
