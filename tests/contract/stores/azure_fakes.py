"""Around real and invented storage accounts: a clock without waiting, a store behind a door, made-up answers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from aiohttp import web

from shared.stores.azure_rows import AzureRows
from tests.azurite.door import Door, Handler, door_before, served
from tests.contract.stores.conftest import TABLES, fresh_prefix

ETAG = "W/\"datetime'2026-03-01T00%3A00%3A00.0000000Z'\""


class ImpatientClock:
    """The machine's clock that does not wait; it notes how long it should have."""

    def __init__(self) -> None:
        self.waits: list[float] = []

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return sum(self.waits)

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)


@asynccontextmanager
async def behind_a_door(azurite: str) -> AsyncIterator[tuple[AzureRows, Door]]:
    """A store in Azurite whose every request goes through a door."""
    async with door_before(azurite) as (through, door):
        rows = AzureRows.from_connection_string(through, TABLES, prefix=fresh_prefix(), clock=ImpatientClock())
        await rows.prepare()
        door.sent.clear()
        try:
            yield rows, door
        finally:
            await rows.aclose()


# --- invented ones --------------------------------------------------------------------------------


@asynccontextmanager
async def storage_that(handler: Handler, clock: ImpatientClock | None = None) -> AsyncIterator[AzureRows]:
    """A store whose storage account is the handler."""
    async with served(handler) as server:
        text = (
            f"DefaultEndpointsProtocol=http;AccountName=test;AccountKey=a2V5;TableEndpoint={server.make_url('/test')};"
        )
        rows = AzureRows.from_connection_string(text, TABLES, clock=clock or ImpatientClock())
        try:
            yield rows
        finally:
            await rows.aclose()


def answering(response: Callable[[], web.Response]) -> Handler:
    """The same answer to everything."""

    async def answer(request: web.Request) -> web.StreamResponse:
        await request.read()
        return response()

    return answer


def entity(key: str = "k|1", partition: str = "p|1", **properties: object) -> dict[str, object]:
    """A row in the service's form."""
    row = {"odata.etag": ETAG, "PartitionKey": partition, "RowKey": key, "Timestamp": "2026-03-01T00:00:00.0000000Z"}
    return {**row, **{name.replace("__", "@odata."): value for name, value in properties.items()}}


def part(status: str, *headers: str, body: str = "") -> str:
    """The answer to one operation of a transaction."""
    lines = ["Content-Type: application/http", "Content-Transfer-Encoding: binary", "", f"HTTP/1.1 {status}"]
    return "\r\n".join([*lines, *headers, "", body])


def batch_answer(parts: list[str], cut: int | None = None) -> web.Response:
    """A transaction's answer in the service's form, perhaps only its first characters."""
    inner = "".join(f"--changesetresponse_1\r\n{one}\r\n" for one in parts) + "--changesetresponse_1--\r\n"
    head = "Content-Type: multipart/mixed; boundary=changesetresponse_1"
    whole = f"--batchresponse_1\r\n{head}\r\n\r\n{inner}--batchresponse_1--\r\n"
    headers = {"Content-Type": "multipart/mixed; boundary=batchresponse_1"}
    return web.Response(status=202, headers=headers, body=whole[:cut].encode())
