"""The journal: why a record has the values it has, the newest entry of a record first.

A side of a pair is one partition, so that the entries of a chunk go out as one transaction; a record's entries stand
together in it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import astuple
from datetime import UTC, datetime, timedelta
from typing import Final

from shared.stores.rows import Properties, Row, RowStore, Value, decode_key, encode_key
from shared.stores.table import Table, pack, unpack
from shared.sync.ports import FieldDecision, JournalEntry, Side

TABLE: Final = "journal"
MORE: Final = "more"
"""Action of the last decision of an entry whose list was cut; its reason is the number of decisions left out."""
MAX_FIELDS_LENGTH: Final = 32 * 1024
"""Characters of the decisions of one entry, all ASCII; half of what a property takes in Azure Tables."""
_LAST: Final = datetime.max.replace(tzinfo=UTC)
_PAGE: Final = 100


class JournalStore:
    """`Journal` over a row store.

    A row's key is the record's, then its time counted backwards, then the run: a list of the record's rows begins with
    the newest. Writing an entry again replaces it; if the same run comes with another time, reading shows its newest
    entry only.
    """

    def __init__(self, rows: RowStore) -> None:
        self._table = Table(rows, TABLE)

    async def write(self, entries: Sequence[JournalEntry]) -> None:
        """Write the entries, those of a side together; on StoreUnavailable some may have been written. Safe to
        repeat."""
        sides: dict[str, dict[str, Properties]] = {}
        for entry in entries:
            side = sides.setdefault(encode_key(entry.pair, entry.side), {})
            side[encode_key(entry.key, _backwards(entry.at), entry.run)] = _properties(entry)
        for partition, rows in sides.items():
            await self._table.upsert_all(partition, rows)

    async def of_record(self, pair: str, side: Side, key: str, limit: int = 50) -> Sequence[JournalEntry]:
        """Return up to `limit` entries of a record, the newest first."""
        seen: dict[str, JournalEntry] = {}
        partition, own = encode_key(pair, side), f"{encode_key(key)}|"
        after: str | None = None
        while len(seen) < limit:
            page = await self._table.list(partition, after, min(limit, _PAGE), key_prefix=own)
            for row in page.rows:
                entry = _entry(pair, side, key, row)
                seen.setdefault(entry.run, entry)
            after = page.next
            if after is None:
                break
        return list(seen.values())[:limit]


def _properties(entry: JournalEntry) -> Properties:
    properties = pack(entry, without=("pair", "side", "key", "run", "fields", "counts"))
    if entry.fields:
        properties["fields"] = _fields_text(entry.fields)
    if entry.counts:
        properties["counts"] = _json(dict(entry.counts))
    return properties


def _entry(pair: str, side: Side, key: str, row: Row) -> JournalEntry:
    run = decode_key(row.key)[2]
    decisions = tuple(_decisions(row.properties.get("fields", "[]")))
    counts = json.loads(str(row.properties.get("counts", "{}")))
    known = {"pair": pair, "side": side, "key": key, "run": run, "fields": decisions, "counts": counts}
    return unpack(JournalEntry, row.properties, **known)


def _backwards(at: datetime) -> str:
    """Microseconds from a time to the last one there is, in 18 digits: the later, the smaller."""
    return f"{(_LAST - at) // timedelta(microseconds=1):018d}"


def _fields_text(decisions: Sequence[FieldDecision]) -> str:
    """Compact JSON of the decisions; what does not fit is left out and counted in a last decision `more`."""
    texts = [_json(astuple(decision)) for decision in decisions]
    if sum(map(len, texts)) + len(texts) + 1 <= MAX_FIELDS_LENGTH:
        return f"[{','.join(texts)}]"
    kept = list(_fitting(texts, MAX_FIELDS_LENGTH - 100))
    more = FieldDecision(left="", right="", action=MORE, reason=str(len(texts) - len(kept)))
    return f"[{','.join([*kept, _json(astuple(more))])}]"


def _fitting(texts: Sequence[str], room: int) -> Iterator[str]:
    for text in texts:
        room -= len(text) + 1
        if room < 0:
            return
        yield text


def _decisions(text: Value) -> Iterator[FieldDecision]:
    for parts in json.loads(str(text)):
        yield FieldDecision(*parts)


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))
