"""What only the Azure store must show: which requests it sends, what a lost answer leaves, how others see its rows.

Azurite forgives requests that real storage answers by reading the whole table, and loses no answer. So the requests
pass a door that notes them and may lose or spoil what comes back.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime

import pytest
from azure.data.tables import EdmType, EntityProperty, UpdateMode
from azure.data.tables.aio import TableServiceClient

from shared.stores.azure_rows import AzureRows
from shared.stores.rows import (
    Delete,
    Insert,
    Operation,
    Properties,
    Replace,
    RowChanged,
    RowExists,
    RowInvalid,
    RowStoreRefused,
    RowStoreUnavailable,
    Upsert,
    Value,
)
from tests.azurite.door import Asked, Door
from tests.contract.stores.azure_fakes import ETAG, behind_a_door
from tests.contract.stores.conftest import TABLES, fresh_prefix
from tests.contract.stores.test_rows import VALUES

OPERATIONS: dict[str, Callable[[AzureRows], Awaitable[object]]] = {
    "get": lambda rows: rows.get("links", "p|1", "k|1"),
    "insert": lambda rows: rows.insert("links", "p|1", "k|1", {"n": 1}),
    "replace": lambda rows: rows.replace("links", "p|1", "k|1", {"n": 1}, ETAG),
    "upsert": lambda rows: rows.upsert("links", "p|1", "k|1", {"n": 1}),
    "delete": lambda rows: rows.delete("links", "p|1", "k|1"),
    "delete by condition": lambda rows: rows.delete("links", "p|1", "k|1", ETAG),
    "list": lambda rows: rows.list("links", "p|1"),
    "list with prefix": lambda rows: rows.list("links", "p|1", key_prefix="k|"),
    "list after": lambda rows: rows.list("links", "p|1", key_prefix="k|", after="k|1", limit=7),
    "transact": lambda rows: rows.transact(
        "links", "p|1", [Insert("k|1", {}), Replace("k|2", {}, ETAG), Upsert("k|3", {}), Delete("k|4")]
    ),
}


@pytest.fixture
async def watched(azurite: str) -> AsyncIterator[tuple[AzureRows, Door]]:
    async with behind_a_door(azurite) as pair:
        yield pair


# --- requests -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in OPERATIONS if not name.startswith("list")])
async def test_every_point_operation_addresses_partition_and_row(watched: tuple[AzureRows, Door], name: str) -> None:
    """One request, or one per operation of a transaction, and none that real storage would answer by a scan."""
    rows, door = watched
    try:
        await OPERATIONS[name](rows)
    except RowChanged:
        assert "replace" in name or name == "transact"
    assert len(door.sent) == (4 if name == "transact" else 1)
    assert {sent.asks_for for sent in door.sent} == {Asked.ROW}


@pytest.mark.parametrize(
    ("name", "filter_sent"),
    [
        ("list", "PartitionKey eq 'p|1'"),
        ("list with prefix", "PartitionKey eq 'p|1' and RowKey ge 'k|' and RowKey lt 'k}'"),
        ("list after", "PartitionKey eq 'p|1' and RowKey gt 'k|1' and RowKey lt 'k}'"),
    ],
)
async def test_every_list_stays_in_one_partition(watched: tuple[AzureRows, Door], name: str, filter_sent: str) -> None:
    """A filter names the partition and at most a range of row keys, never a property; it asks for one page."""
    rows, door = watched
    await OPERATIONS[name](rows)
    (sent,) = door.sent
    assert (sent.method, sent.asks_for, sent.query["$filter"]) == ("GET", Asked.PARTITION, filter_sent)
    assert sent.query["$top"] == ("7" if name == "list after" else "1000")


async def test_neither_keys_nor_addresses_are_logged(
    watched: tuple[AzureRows, Door], caplog: pytest.LogCaptureFixture
) -> None:
    """The address of a row holds its keys; what is logged of a repetition is only why."""
    caplog.set_level(logging.DEBUG)
    rows, door = watched
    await rows.insert("links", "nordwind-partition", "nordwind-key", {"v": "nordwind-value"})
    door.turn_away = 1
    await rows.get("links", "nordwind-partition", "nordwind-key")
    with pytest.raises(RowExists) as raised:
        await rows.insert("links", "nordwind-partition", "nordwind-key", {})
    told = [record for record in caplog.records if record.name.startswith("shared.stores")]
    assert [getattr(record, "reason", "") for record in told] == ["503 ServerBusy"]
    assert not [record for record in told if "nordwind" in record.getMessage()]
    assert "nordwind" not in str(raised.value)


# --- lost answers ---------------------------------------------------------------------------------


async def test_an_insert_whose_answer_was_lost_is_unknown_and_met_by_its_repetition(
    watched: tuple[AzureRows, Door],
) -> None:
    """It is not repeated here; whoever does meets the own row and must compare."""
    rows, door = watched
    door.lose = 1
    with pytest.raises(RowStoreUnavailable):
        await rows.insert("links", "p", "k", {"attempt": "mine"})
    assert len(door.sent) == 1
    with pytest.raises(RowExists):
        await rows.insert("links", "p", "k", {"attempt": "mine"})
    row = await rows.get("links", "p", "k")
    assert row is not None
    assert row.properties == {"attempt": "mine"}


@pytest.mark.parametrize("fate", ["lose", "spoil"])
async def test_a_conditional_write_without_an_answer_is_sent_once(watched: tuple[AzureRows, Door], fate: str) -> None:
    """Not even on a kept connection, where aiohttp would send a PUT or DELETE again: the row tells what was done."""
    rows, door = watched
    etag = await rows.insert("links", "p", "k", {"n": 1})
    door.sent.clear()
    setattr(door, fate, 1)
    with pytest.raises(RowStoreUnavailable):
        await rows.replace("links", "p", "k", {"n": 2}, etag)
    row = await rows.get("links", "p", "k")
    assert row is not None
    assert row.properties == {"n": 2}
    setattr(door, fate, 1)
    with pytest.raises(RowStoreUnavailable):
        await rows.delete("links", "p", "k", row.etag)
    assert await rows.get("links", "p", "k") is None
    assert [sent.method for sent in door.sent] == ["PUT", "GET", "DELETE", "GET"]


@pytest.mark.parametrize("fate", ["lose", "spoil"])
async def test_reads_and_upserts_without_an_answer_are_repeated(watched: tuple[AzureRows, Door], fate: str) -> None:
    """They end the same however often they are done, so the caller hears nothing of it."""
    rows, door = watched
    setattr(door, fate, 1)
    etag = await rows.upsert("links", "p", "k", {"n": 1})
    setattr(door, fate, 1)
    row = await rows.get("links", "p", "k")
    assert row is not None
    assert (row.properties, row.etag) == ({"n": 1}, etag)
    setattr(door, fate, 1)
    assert len((await rows.list("links", "p")).rows) == 1
    assert [sent.method for sent in door.sent] == ["PUT", "PUT", "GET", "GET", "GET", "GET"]


@pytest.mark.parametrize("fate", ["lose", "spoil"])
async def test_a_transaction_of_upserts_without_an_answer_is_repeated(
    watched: tuple[AzureRows, Door], fate: str
) -> None:
    """It ends the same however often it is done."""
    rows, door = watched
    setattr(door, fate, 1)
    etags = await rows.transact("links", "p", [Upsert("a", {"n": 1}), Upsert("b", {"n": 2})])
    assert [row.etag for row in (await rows.list("links", "p")).rows] == list(etags)
    assert [sent.method for sent in door.sent] == ["PUT", "PUT", "PUT", "PUT", "GET"]


async def test_a_transaction_whose_answer_was_lost_is_unknown(watched: tuple[AzureRows, Door]) -> None:
    """Everything or nothing was done; here everything, so repeating it meets its own first insert."""
    rows, door = watched
    door.lose = 1
    operations: list[Operation] = [Upsert("a", {}), Insert("b", {})]
    with pytest.raises(RowStoreUnavailable):
        await rows.transact("links", "p", operations)
    with pytest.raises(RowExists) as raised:
        await rows.transact("links", "p", operations)
    assert raised.value.index == 1


@pytest.mark.parametrize("name", OPERATIONS)
async def test_what_the_service_turned_away_for_its_load_is_repeated(
    watched: tuple[AzureRows, Door], name: str
) -> None:
    """Nothing was executed, so this holds for conditional writes and transactions, too."""
    rows, door = watched
    once = 4 if name == "transact" else 1
    door.turn_away = 2
    try:
        await OPERATIONS[name](rows)
    except RowChanged:
        assert "replace" in name or name == "transact"
    assert len(door.sent) == 3 * once


# --- other programs -------------------------------------------------------------------------------


@pytest.fixture
async def both(azurite: str) -> AsyncIterator[tuple[AzureRows, TableServiceClient, str]]:
    """The store, Microsoft's own client of the same account, and the name of a table of the store."""
    prefix = fresh_prefix()
    rows = AzureRows.from_connection_string(azurite, TABLES, prefix=prefix)
    await rows.prepare()
    async with TableServiceClient.from_connection_string(azurite) as service:
        yield rows, service, prefix + "links"
    await rows.aclose()


Both = tuple[AzureRows, TableServiceClient, str]


@pytest.mark.parametrize("properties", VALUES.values(), ids=VALUES.keys())
async def test_microsofts_client_reads_what_we_write(both: Both, properties: Properties) -> None:
    """Same keys, values, types and etag, whether written alone or in a transaction."""
    rows, service, table = both
    alone = await rows.insert("links", "p|1", "k|1", properties)
    (together,) = await rows.transact("links", "p|1", [Insert("k|2", properties)])
    client = service.get_table_client(table)
    for key, etag in (("k|1", alone), ("k|2", together)):
        found = await client.get_entity("p|1", key)
        assert found.metadata["etag"] == etag
        assert {name: _plain(value) for name, value in found.items()} == {
            "PartitionKey": "p|1",
            "RowKey": key,
            **properties,
        }


@pytest.mark.parametrize("properties", VALUES.values(), ids=VALUES.keys())
async def test_we_read_what_microsofts_client_writes(both: Both, properties: Properties) -> None:
    """Alone and in a transaction; each side's etag is good for the other's condition."""
    rows, service, table = both
    client = service.get_table_client(table)
    told = {name: _typed(value) for name, value in properties.items()}
    await client.create_entity({"PartitionKey": "p|1", "RowKey": "k|1", **told})
    second = {"PartitionKey": "p|1", "RowKey": "k|2", **told}
    await client.submit_transaction([("upsert", second, {"mode": UpdateMode.REPLACE})])
    for row in (await rows.list("links", "p|1")).rows:
        assert row == await rows.get("links", "p|1", row.key)
        assert row.properties == properties
        assert [type(value) for value in row.properties.values()] == [type(value) for value in properties.values()]
        await rows.replace("links", "p|1", row.key, {}, row.etag)


def _plain(value: object) -> object:
    """Without the package's wrapper, which large integers have."""
    return value.value if isinstance(value, EntityProperty) else value


def _typed(value: Value) -> object:
    """The package would take any integer for one of 32 bits, and asks for times as text where they are early."""
    if isinstance(value, int) and not isinstance(value, bool):
        return EntityProperty(value, EdmType.INT64)
    if isinstance(value, datetime):
        return EntityProperty(value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"), EdmType.DATETIME)
    return value


async def test_rows_of_other_programs_are_read_as_far_as_their_types_go(both: Both) -> None:
    """32-bit integers are integers; a type that we never write is refused by the property's name."""
    rows, service, table = both
    client = service.get_table_client(table)
    await client.create_entity({"PartitionKey": "p", "RowKey": "good", "n": 7})
    await client.create_entity({"PartitionKey": "p", "RowKey": "half", "rate": EntityProperty(1.5, EdmType.DOUBLE)})
    await client.create_entity({"PartitionKey": "p", "RowKey": "whole", "rate": EntityProperty(2.0, EdmType.DOUBLE)})
    good = await rows.get("links", "p", "good")
    assert good is not None
    assert good.properties == {"n": 7}
    for bad in ("half", "whole"):
        with pytest.raises(RowStoreRefused, match="rate"):
            await rows.get("links", "p", bad)


# --- making ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["", "1a", "with-dash", "p" * 24])
async def test_a_prefix_that_cannot_begin_a_table_name_is_refused(azurite: str, prefix: str) -> None:
    """Before anything is sent."""
    with pytest.raises(RowInvalid, match="prefix"):
        AzureRows.from_connection_string(azurite, TABLES, prefix=prefix)


async def test_two_prefixes_in_one_account_do_not_meet(azurite: str) -> None:
    """Test and production, or two companies, may share an account."""
    stores = [AzureRows.from_connection_string(azurite, TABLES, prefix=fresh_prefix()) for _ in range(2)]
    for rows in stores:
        await rows.prepare()
        await rows.insert("links", "p", "k", {})
        await rows.aclose()
