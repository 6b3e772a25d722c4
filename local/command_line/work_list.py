"""The parked records, for the commands that show them or put them back."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from shared.operations import Operations

PAGE: Final = 500


async def transfers_of(operations: Operations, name: str | None) -> Sequence[str]:
    """The named transfer, or all; raises Unknown."""
    if name:
        return [(await operations.transfer(name))["transfer"]]
    return [item["transfer"] for item in (await operations.transfers())["items"]]


async def parked_items(operations: Operations, name: str, code: str = "") -> AsyncIterator[dict[str, Any]]:
    """The parked records of a transfer, page by page; with a code only those of that cause."""
    after: str | None = None
    while True:
        page = await operations.parked(name, after, PAGE)
        for item in page["items"]:
            if code in ("", item["code"]):
                yield item
        after = page["next"]
        if after is None:
            return
