"""Claims on match keys, as rows: one partition per pair and rule, one row per hashed value."""

from __future__ import annotations

import dataclasses
from typing import Final

from shared.stores.rows import RowStore, encode_key
from shared.stores.table import Table, need_etag, pack, unpack
from shared.sync.ports import MatchClaim, RowTaken

TABLE: Final = "matchclaims"


class MatchClaimsStore:
    """`MatchClaims` over a row store.

    A claim is the same claim when attempt, side and key are the same; inserting or replacing one's own again after a
    lost answer succeeds.
    """

    def __init__(self, rows: RowStore) -> None:
        self._table = Table(rows, TABLE)

    async def get(self, pair: str, rule: str, value: str) -> MatchClaim | None:
        """Read who claims the match key; None when nobody does."""
        found = await self._table.get(encode_key(pair, rule), encode_key(value))
        if found is None:
            return None
        return unpack(MatchClaim, found.properties, pair=pair, rule=rule, value=value, etag=found.etag)

    async def insert(self, claim: MatchClaim) -> MatchClaim:
        """Claim the match key and return the claim with its etag; raises RowTaken when somebody else has it."""
        return await self._write(claim, "")

    async def replace(self, claim: MatchClaim) -> MatchClaim:
        """Take over the claim that had this etag; raises RowTaken when it has changed or gone."""
        return await self._write(claim, need_etag(claim.etag))

    async def delete(self, claim: MatchClaim) -> None:
        """Remove the claim if it is still this one; nothing happens if it is gone or taken over."""
        found = await self.get(claim.pair, claim.rule, claim.value)
        if found is None or _who(found) != _who(claim):
            return
        try:
            await self._table.delete(*_place(claim), found.etag)
        except RowTaken:
            return  # taken over between the two calls: no longer ours to remove

    async def _write(self, claim: MatchClaim, etag: str) -> MatchClaim:
        properties = pack(claim, without=("pair", "rule", "value", "etag"))
        return dataclasses.replace(claim, etag=await self._table.settle(*_place(claim), properties, etag))


def _place(claim: MatchClaim) -> tuple[str, str]:
    return encode_key(claim.pair, claim.rule), encode_key(claim.value)


def _who(claim: MatchClaim) -> tuple[str, str, str]:
    return claim.attempt, claim.side, claim.key
