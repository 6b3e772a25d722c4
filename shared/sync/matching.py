"""Search for the partner of a record by natural keys. Only a single hit links; everything else is for a person."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from shared.sync.claims import Claims, MatchKey
from shared.sync.context import MatchIndex, Prepared
from shared.sync.definition import MatchRule
from shared.sync.fingerprint import Fingerprints, hash_of_number
from shared.sync.ports import LinkRow, Record, Side, Value
from shared.sync.values import canonical

_MOST_HITS = 1000
"""Of one search: a rule whose first column is a company finds all its people, which the other columns tell apart."""


@dataclass(frozen=True)
class Ambiguous(Exception):
    """The search found what only a person can decide; code of the catalogue, the records in question."""

    code: str
    found: tuple[Record, ...] = ()


def normalised(rule: MatchRule, side: Side, values: Mapping[str, Value]) -> tuple[str, ...] | None:
    """The normal form of a record's match key; None if any part of it is blank."""
    parts = []
    for place, column in enumerate(rule.columns(side)):
        normaliser, told = rule.form(place)
        text = canonical(values.get(column))
        parts.append(normaliser.plain(text, told.told(side, values)) if text else "")
    return tuple(parts) if all(parts) else None


def match_keys(prepared: Prepared, prints: Fingerprints, values: Mapping[str, Value], chosen: str) -> list[MatchKey]:
    """The match keys of a source record in the definition's order, and the number we choose for its partner.

    A record of the other side that carries one of our own numbers has the same key, whatever rules the definition
    names. Keys of a table that several pairs create in come last, in one order for all of them. While the fingerprint
    key changes all are claimed under both, so that processes that know one of them meet.
    """
    known = prints.known.values()
    numbers = [chosen] if chosen else _enforced_values(prepared, values)
    keys = [key for one in known for key in _rule_keys(prepared, one, values)]
    own = [MatchKey("=", hash_of_number(prepared.pair, number)) for number in numbers]
    shared = [key for one in known for key in _shared_keys(prepared, one, values)]
    return [*keys, *own, *sorted(shared, key=lambda key: (key.rule, key.value))]


def _shared_keys(prepared: Prepared, prints: Fingerprints, values: Mapping[str, Value]) -> Iterator[MatchKey]:
    """The same keys by the target's columns, where other pairs create partners in its table."""
    for rule in prepared.definition.match if prepared.shared else ():
        if parts := normalised(rule, prepared.side, values):
            name = "+".join(rule.columns(prepared.side.other))
            yield MatchKey(name, prints.of_match(prepared.shared, name, parts), prepared.shared)


def _rule_keys(prepared: Prepared, prints: Fingerprints, values: Mapping[str, Value]) -> Iterator[MatchKey]:
    for rule in prepared.definition.match:
        parts = normalised(rule, prepared.side, values)
        if parts:
            yield MatchKey(rule.name, prints.of_match(prepared.pair, rule.name, parts))


def _enforced_values(prepared: Prepared, values: Mapping[str, Value]) -> list[str]:
    """The values of the source's own enforced columns: one may be what a transfer of the other direction has chosen."""
    columns = prepared.source.capabilities(prepared.source_table).enforced_columns
    found = (canonical(values.get(column)) for column in sorted(columns))
    return [text for text in found if text]


async def find_partner(prepared: Prepared, claims: Claims, row: LinkRow, source: Record) -> Record | None:
    """The one unlinked record of the target that is the same thing, or None. Raises Ambiguous, and Undone for a
    tombstone."""
    for rule in prepared.definition.match:
        found = await hits_of(prepared, rule, source.values)
        hits = [hit for hit in found if not await claims.are_kept_apart(hit.key, row)]
        if rule.certainty == "sure" and hits:
            return await _sure(claims, row, hits)
        free = [hit for hit in hits if await claims.free_target(hit.key, row)]
        if free:
            raise Ambiguous("CD-4303", tuple(free))
    return None


async def _sure(claims: Claims, row: LinkRow, hits: Sequence[Record]) -> Record:
    if len(hits) > 1:
        raise Ambiguous("CD-4301", tuple(hits))
    if not await claims.free_target(hits[0].key, row):
        raise Ambiguous("CD-4302", (hits[0],))
    return hits[0]


def note_match_keys(prepared: Prepared, index: MatchIndex, record: Record) -> None:
    """Note a record of the target under every match key that it has; one merged into another under none."""
    if record.merged_into is not None:
        return
    for rule in prepared.definition.match:
        if parts := normalised(rule, prepared.side.other, record.values):
            index.add(rule.name, "\0".join(parts), record.key)


async def _noted(prepared: Prepared, rule: MatchRule, wanted: Sequence[str]) -> list[Record]:
    """The records that were noted under a match key and still have it."""
    assert prepared.match_index is not None
    keys = prepared.match_index.find(rule.name, "\0".join(wanted))
    known = await prepared.target.read(prepared.target_table, keys, prepared.target_columns) if keys else {}
    return [one for one in known.values() if normalised(rule, prepared.side.other, one.values) == wanted]


async def hits_of(prepared: Prepared, rule: MatchRule, values: Mapping[str, Value]) -> list[Record]:
    """The target's records with the same normalised match key, without those merged into others. Searches by every
    spelling of the rule's first column."""
    wanted = normalised(rule, prepared.side, values)
    if wanted is None:
        return []
    if prepared.match_index is not None:
        noted = await _noted(prepared, rule, wanted)
        if noted or not prepared.searches_too:
            return noted
    first = canonical(values.get(rule.columns(prepared.side)[0])) or ""
    normaliser, told = rule.form(0)
    spellings = normaliser.search(first, told.told(prepared.side, values))
    column = rule.columns(prepared.side.other)[0]
    found = await prepared.target.find(prepared.target_table, column, spellings, prepared.target_columns, _MOST_HITS)
    kept = [record for record in found if record.merged_into is None]
    return [record for record in kept if normalised(rule, prepared.side.other, record.values) == wanted]
