"""The row store in Azure Table storage, through the azure-data-tables package.

Every request addresses a partition and a row, or a range of one partition. The package costs several milliseconds of
processor time per request; the port leaves room for a cheaper client. It repeats by itself what met a server error,
and everything except inserts and transactions also after a broken connection: see "Lost answers" in `rows`.

Facts about the service are from Microsoft Learn, "Table service REST API" and "Table service error codes".
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final, Self

from azure.core import MatchConditions
from azure.core.credentials_async import AsyncTokenCredential
from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    DeserializationError,
    HttpResponseError,
    ServiceRequestError,
    ServiceResponseError,
)
from azure.core.pipeline import PipelineResponse
from azure.data.tables import EdmType, EntityProperty, TableTransactionError, UpdateMode
from azure.data.tables.aio import TableClient, TableServiceClient

from shared.stores.rows import (
    MAX_LIST_ROWS,
    Delete,
    Insert,
    Operation,
    Page,
    Properties,
    Replace,
    Row,
    RowChanged,
    RowExists,
    RowInvalid,
    RowStoreError,
    RowStoreRefused,
    RowStoreUnavailable,
    Upsert,
    Value,
    check_address,
    check_etag,
    check_list,
    check_tables,
    check_transaction,
    check_write,
    prefix_end,
    unknown_table,
)

_PREFIX: Final = re.compile(r"[A-Za-z][A-Za-z0-9]{0,22}")  # with a name of 40 the 63 characters of a table's name
_CODE: Final = re.compile(r"[A-Za-z]{1,80}")
_TRANSIENT: Final = frozenset({408, 429, 500, 502, 503, 504})
_BUSY_CODES: Final = frozenset({"TableBeingDeleted", "OperationTimedOut", "ServerBusy"})
_CLIENT_OPTIONS: Final[Mapping[str, Any]] = {
    "connection_timeout": 5,
    "read_timeout": 30,
    "retry_total": 3,
    "retry_backoff_factor": 0.4,
    "retry_backoff_max": 5,
    # The package would log every address, and the address holds the keys; this logger takes no part in logging.
    "logger": logging.Logger("crossdock.azure_rows.silent", level=logging.CRITICAL),
}


class AzureRows:
    """A `RowStore` in the tables of one storage account; each table's name there is the prefix and its own name."""

    def __init__(self, service: TableServiceClient, tables: Sequence[str], *, prefix: str = "crossdock") -> None:
        """Use the client, which `aclose` closes. `RowInvalid` when the prefix cannot begin a table's name."""
        if not _PREFIX.fullmatch(prefix):
            raise RowInvalid(f"prefix {prefix!r} must be 1 to 23 letters and digits, a letter first")
        self._service = service
        self._clients = {table: service.get_table_client(prefix + table) for table in check_tables(tables)}

    @classmethod
    def from_connection_string(
        cls, connection_string: str, tables: Sequence[str], *, prefix: str = "crossdock", **options: Any
    ) -> Self:
        """Connect with an account key, as to the emulator. `options` go to the package's client."""
        try:
            service = TableServiceClient.from_connection_string(connection_string, **{**_CLIENT_OPTIONS, **options})
        except ValueError:  # its text may hold the key
            raise RowInvalid("the connection string of the store is malformed; copy it again from the portal") from None
        return cls(service, tables, prefix=prefix)

    @classmethod
    def from_endpoint(
        cls,
        endpoint: str,
        credential: AsyncTokenCredential,
        tables: Sequence[str],
        *,
        prefix: str = "crossdock",
        **options: Any,
    ) -> Self:
        """Connect to `https://<account>.table.core.windows.net` as the credential's identity, which is not closed.

        It needs the role Storage Table Data Contributor (Microsoft Learn, "Authorize access to tables using Microsoft
        Entra ID"). `options` go to the package's client.
        """
        if not endpoint.startswith("https://"):
            raise RowInvalid(
                "the endpoint of the store must begin with https://, else the identity's token is not sent"
            )
        service = TableServiceClient(endpoint, credential=credential, **{**_CLIENT_OPTIONS, **options})
        return cls(service, tables, prefix=prefix)

    async def prepare(self) -> None:
        """Make the missing tables, all at once."""
        with _as_store_errors():
            await asyncio.gather(
                *(self._service.create_table_if_not_exists(client.table_name) for client in self._clients.values())
            )

    async def get(self, table: str, partition: str, key: str) -> Row | None:
        """Read one row; None when there is none."""
        check_address(partition, key)
        try:
            with _as_store_errors():
                return _row(await self._client(table).get_entity(partition, key))
        except _RowMissing:
            return None

    async def insert(self, table: str, partition: str, key: str, properties: Properties) -> str:
        """Add a row and return its etag; `RowExists` when there is one."""
        check_write(partition, key, properties)
        with _as_store_errors():
            return _etag(await self._client(table).create_entity(_entity(partition, key, properties)))

    async def replace(self, table: str, partition: str, key: str, properties: Properties, etag: str) -> str:
        """Replace the row with that etag and return the new one; `RowChanged` when it has another or is gone."""
        check_write(partition, key, properties)
        check_etag(etag)
        try:
            with _as_store_errors():
                return _etag(
                    await self._client(table).update_entity(
                        _entity(partition, key, properties), UpdateMode.REPLACE, **_condition(etag)
                    )
                )
        except _RowMissing as error:
            raise RowChanged("the row to replace is gone") from error

    async def upsert(self, table: str, partition: str, key: str, properties: Properties) -> str:
        """Replace or insert the row, whatever is there, and return its etag."""
        check_write(partition, key, properties)
        with _as_store_errors():
            return _etag(
                await self._client(table).upsert_entity(_entity(partition, key, properties), UpdateMode.REPLACE)
            )

    async def delete(self, table: str, partition: str, key: str, etag: str | None = None) -> bool:
        """Delete the row; False when there was none; `RowChanged` when it has another etag than the given one."""
        check_address(partition, key)
        if etag is not None:
            check_etag(etag)
        answers: list[PipelineResponse[Any, Any]] = []
        try:
            with _as_store_errors():
                await self._client(table).delete_entity(
                    partition, key, raw_response_hook=answers.append, **_condition(etag)
                )
                # The package says nothing of a missing row or table.
                _raise_for_missing(answers[-1].http_response)
        except _RowMissing:
            return False
        return True

    async def list(
        self,
        table: str,
        partition: str,
        *,
        after: str | None = None,
        key_prefix: str = "",
        limit: int = MAX_LIST_ROWS,
    ) -> Page:
        """Read up to `limit` rows of one partition in key order, with `key_prefix` and after `after`."""
        check_list(partition, after, key_prefix, limit)
        conditions, parameters = _range(partition, after, key_prefix)
        found = self._client(table).query_entities(conditions, parameters=parameters, results_per_page=limit)
        rows: list[Row] = []
        with _as_store_errors():
            async for entity in found:  # the service may cut a page short at any row, the package then asks again
                rows.append(_row(entity))
                if len(rows) == limit:
                    return Page(tuple(rows), rows[-1].key)
        return Page(tuple(rows), None)

    async def transact(self, table: str, partition: str, operations: Sequence[Operation]) -> Sequence[str | None]:
        """Do the operations all or none; returns their etags; conflicts carry the index of the culprit."""
        check_transaction(partition, operations)
        client = self._client(table)
        if not operations:
            return []
        try:
            with _as_store_errors():
                results = await client.submit_transaction([_sent(partition, operation) for operation in operations])
        except _RowMissing as error:
            raise RowChanged("the row to replace or delete is gone", error.index) from error
        return [
            None if isinstance(operation, Delete) else _etag(result)
            for operation, result in zip(operations, results, strict=True)
        ]

    async def aclose(self) -> None:
        """Close the connections. Repetition does nothing."""
        await self._service.close()

    def _client(self, table: str) -> TableClient:
        if table not in self._clients:
            raise unknown_table(table)
        return self._clients[table]


class _RowMissing(RowStoreRefused):
    """The service has no such row; operations that can meet that say what it means."""

    def __init__(self, index: int | None = None) -> None:
        super().__init__("the store does not know what was addressed (404); check its address and the prefix")
        self.index = index


@contextmanager
def _as_store_errors() -> Iterator[None]:
    """Say the package's errors in the port's words.

    The cause goes along only when no answer came: the text of the package's other errors holds the whole answer.
    """
    try:
        yield
    except (ServiceRequestError, ServiceResponseError) as error:
        raise _unreachable(error) from error
    except AzureError as error:
        raise _translated(error) from None
    except DeserializationError as error:
        raise _unreachable(error) from None
    except AttributeError as error:
        # azure-data-tables 12.7 stumbles over an insert's answer that breaks off: it looks for the answer in the error.
        if not isinstance(error.__context__, AzureError):
            raise
        raise _translated(error.__context__) from None


def _unreachable(error: Exception) -> RowStoreError:
    kind = type(error).__name__
    return RowStoreUnavailable(f"the store could not be reached, or its answer was cut off or not its own ({kind})")


def _translated(error: AzureError) -> RowStoreError:
    if isinstance(error, TableTransactionError):
        return _answered(error.status_code or 0, _code(error), error.index)
    if isinstance(error, HttpResponseError) and error.status_code:
        return _answered(error.status_code, _code(error), None)
    if isinstance(error, ClientAuthenticationError):
        return RowStoreRefused("no sign-in for the store; check the identity and its role on the storage account")
    return _unreachable(error)


def _answered(status: int, code: str, index: int | None) -> RowStoreError:
    """Say what an error answer means. `code` is the service's, `index` the position in a transaction."""
    if status in _TRANSIENT or code in _BUSY_CODES or status < 400:  # below 400: not this operation's good answer
        return RowStoreUnavailable(f"the store is busy or broken ({status} {code})")
    match status, code:
        case 412, _:
            return RowChanged("the row has changed", index)
        case 409, "EntityAlreadyExists":
            return RowExists("the row to insert is there already", index)
        case 404, "ResourceNotFound" | "EntityNotFound":
            return _RowMissing(index)
        case 404, _:
            return RowStoreRefused(
                f"a table of the store is missing ({code}); await prepare(), check address and prefix"
            )
        case ((401 | 403), _):
            return RowStoreRefused(
                f"the store refuses access ({status} {code}); check identity, role and network rules"
            )
    return RowStoreRefused(f"the store refuses the request ({status} {code}); this is an error in Crossdock")


def _code(error: HttpResponseError) -> str:
    """Return the service's error code; the package leaves it away when an insert fails."""
    known = getattr(error, "error_code", None)
    if known:
        return str(getattr(known, "value", known))
    return "" if error.response is None else _code_of_answer(error.response)


def _code_of_answer(response: Any) -> str:
    code = response.headers.get("x-ms-error-code")
    if not code:
        try:
            code = json.loads(response.text())["odata.error"]["code"]
        except (ValueError, TypeError, KeyError):
            return ""
    return code if isinstance(code, str) and _CODE.fullmatch(code) else ""


def _raise_for_missing(response: Any) -> None:
    if response.status_code == 404:
        raise _answered(404, _code_of_answer(response), None)


def _range(partition: str, after: str | None, key_prefix: str) -> tuple[str, dict[str, str]]:
    """Filter for a range of one partition: everything that does not name the partition would read the table."""
    conditions, parameters = ["PartitionKey eq @partition"], {"partition": partition}
    if after is not None and after >= key_prefix:
        conditions.append("RowKey gt @after")
        parameters["after"] = after
    elif key_prefix:
        conditions.append("RowKey ge @prefix")
        parameters["prefix"] = key_prefix
    if (end := prefix_end(key_prefix)) is not None:
        conditions.append("RowKey lt @end")
        parameters["end"] = end
    return " and ".join(conditions), parameters


def _condition(etag: str | None) -> dict[str, Any]:
    return {} if etag is None else {"etag": etag, "match_condition": MatchConditions.IfNotModified}


def _sent(partition: str, operation: Operation) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Return an operation of a transaction in the package's form."""
    match operation:
        case Insert(key, properties):
            return "create", _entity(partition, key, properties), {}
        case Replace(key, properties, etag):
            return "update", _entity(partition, key, properties), {"mode": UpdateMode.REPLACE, **_condition(etag)}
        case Upsert(key, properties):
            return "upsert", _entity(partition, key, properties), {"mode": UpdateMode.REPLACE}
        case Delete(key, etag):
            return "delete", _entity(partition, key, {}), _condition(etag)


def _entity(partition: str, key: str, properties: Properties) -> dict[str, Any]:
    entity: dict[str, Any] = {"PartitionKey": partition, "RowKey": key}
    for name, value in properties.items():
        entity[name] = _typed(value)
    return entity


def _typed(value: Value) -> Any:
    """Say the type for the package: it would take an int for 32 bits and knows no subclasses, such as text enums."""
    match value:
        case bool() | bytes():
            return value
        case int():
            return EntityProperty(int(value), EdmType.INT64)
        case datetime():
            text = value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
            return EntityProperty(text, EdmType.DATETIME)
        case str():
            return str.__str__(value)


def _row(entity: Any) -> Row:
    properties = {name: _plain(name, value) for name, value in entity.items() if name not in ("PartitionKey", "RowKey")}
    return Row(entity["PartitionKey"], entity["RowKey"], properties, _etag(entity.metadata))


def _plain(name: str, value: object) -> Value:
    """Take the package's wrappers off; `RowStoreRefused` for a type that only another program can have written."""
    if isinstance(value, EntityProperty):
        value = value.value
    if isinstance(value, datetime):  # a subclass of the package's
        return datetime.combine(value.date(), value.time(), UTC)
    if isinstance(value, str | int | bytes):
        return value
    raise RowStoreRefused(f"property {name} holds a {type(value).__name__}, which Crossdock never writes; remove it")


def _etag(metadata: Mapping[str, Any]) -> str:
    return str(metadata["etag"])
