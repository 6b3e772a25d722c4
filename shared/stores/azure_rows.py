"""The row store in Azure Table storage.

Every request addresses a partition and a row, or a range of one partition. `azure_access` signs, `azure_service` sends
and repeats, `azure_wire` reads and writes the service's formats; here each answer becomes what the port promises.

Facts about the service are from Microsoft Learn, "Table service REST API" and "Table service error codes".
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final, Self

from shared.identity import TokenSource
from shared.stores import azure_wire as wire
from shared.stores.azure_access import Account, by_connection_string, by_identity
from shared.stores.azure_service import Answer, Request, TableService
from shared.stores.rows import (
    MAX_LIST_ROWS,
    Operation,
    Page,
    Properties,
    Row,
    RowChanged,
    RowExists,
    RowInvalid,
    RowStoreError,
    RowStoreRefused,
    RowStoreUnavailable,
    Upsert,
    check_address,
    check_etag,
    check_list,
    check_tables,
    check_transaction,
    check_write,
    unknown_table,
)
from shared.sync.ports import Clock

_PREFIX: Final = re.compile(r"[A-Za-z][A-Za-z0-9]{0,22}")  # with a name of 40 the 63 characters of a table's name
_TRANSIENT: Final = frozenset({408, 429, 500, 502, 503, 504})
_BUSY_CODES: Final = frozenset({"TableBeingDeleted", "OperationTimedOut", "ServerBusy"})
_PIECES_OF_A_PAGE: Final = 100
"""Answers in which the service may send one page; it cuts a page short where a partition's servers change."""
_WRITTEN: Final = (201, 204)


class AzureRows:
    """A `RowStore` in the tables of one storage account; each table's name there is the prefix and its own name."""

    def __init__(
        self, account: Account, tables: Sequence[str], *, prefix: str = "crossdock", clock: Clock | None = None
    ) -> None:
        """Use the account with the machine's clock, or another. RowInvalid when no table's name can begin so."""
        if not _PREFIX.fullmatch(prefix):
            raise RowInvalid(f"prefix {prefix!r} must be 1 to 23 letters and digits, a letter first")
        self._service = TableService(account, clock)
        self._names = {table: prefix + table for table in check_tables(tables)}

    @classmethod
    def from_connection_string(
        cls, connection_string: str, tables: Sequence[str], *, prefix: str = "crossdock", clock: Clock | None = None
    ) -> Self:
        """Connect with an account key, as to the emulator, or with a shared access signature."""
        return cls(by_connection_string(connection_string), tables, prefix=prefix, clock=clock)

    @classmethod
    def from_endpoint(
        cls,
        endpoint: str,
        tokens: TokenSource,
        tables: Sequence[str],
        *,
        prefix: str = "crossdock",
        clock: Clock | None = None,
    ) -> Self:
        """Connect to `https://<account>.table.core.windows.net` as the identity of the tokens, which stay open.

        It needs the role Storage Table Data Contributor (Microsoft Learn, "Authorize access to tables using Microsoft
        Entra ID").
        """
        return cls(by_identity(endpoint, tokens), tables, prefix=prefix, clock=clock)

    async def prepare(self) -> None:
        """Make the missing tables, all at once."""
        await asyncio.gather(*(self._make(name) for name in self._names.values()))

    async def get(self, table: str, partition: str, key: str) -> Row | None:
        """Read one row; None when there is none."""
        check_address(partition, key)
        path = wire.row_path(self._name(table), partition, key)
        answer = await self._service.send(Request("GET", path, repeatable=True))
        if _is_missing_row(answer):
            return None
        with _usable():
            return wire.read_row(_good(answer, 200).body, partition, key)

    async def insert(self, table: str, partition: str, key: str, properties: Properties) -> str:
        """Add a row and return its etag; `RowExists` when there is one."""
        check_write(partition, key, properties)
        body, headers = wire.entity(partition, key, properties), {"Prefer": wire.NO_ECHO}
        return _etag(await self._service.send(Request("POST", f"/{self._name(table)}", headers=headers, body=body)))

    async def replace(self, table: str, partition: str, key: str, properties: Properties, etag: str) -> str:
        """Replace the row with that etag and return the new one; `RowChanged` when it has another or is gone."""
        check_write(partition, key, properties)
        check_etag(etag)
        path, body = wire.row_path(self._name(table), partition, key), wire.entity(partition, key, properties)
        answer = await self._service.send(Request("PUT", path, headers={"If-Match": wire.condition(etag)}, body=body))
        if _is_missing_row(answer):
            raise RowChanged("the row to replace is gone")
        return _etag(answer)

    async def upsert(self, table: str, partition: str, key: str, properties: Properties) -> str:
        """Replace or insert the row, whatever is there, and return its etag."""
        check_write(partition, key, properties)
        path, body = wire.row_path(self._name(table), partition, key), wire.entity(partition, key, properties)
        return _etag(await self._service.send(Request("PUT", path, body=body, repeatable=True)))

    async def delete(self, table: str, partition: str, key: str, etag: str | None = None) -> bool:
        """Delete the row; False when there was none; `RowChanged` when it has another etag than the given one."""
        check_address(partition, key)
        if etag is not None:
            check_etag(etag)
        condition = {"If-Match": "*" if etag is None else wire.condition(etag)}
        path = wire.row_path(self._name(table), partition, key)
        answer = await self._service.send(Request("DELETE", path, headers=condition))
        if _is_missing_row(answer):
            return False
        _good(answer, 204)
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
        path, query = f"/{self._name(table)}()", wire.range_query(partition, after, key_prefix, limit)
        rows: list[Row] = []
        place = query
        for _ in range(_PIECES_OF_A_PAGE):
            answer = _good(await self._service.send(Request("GET", path, query=place, repeatable=True)), 200)
            with _usable():
                rows += wire.read_rows(answer.body, partition)
            following = answer.headers.get("x-ms-continuation-NextPartitionKey")
            if len(rows) >= limit:
                return Page(tuple(rows[:limit]), rows[limit - 1].key)
            if following is None:
                return Page(tuple(rows), None)
            place = wire.continued(query, following, answer.headers.get("x-ms-continuation-NextRowKey"))
        raise _unusable("a page without end")

    async def transact(self, table: str, partition: str, operations: Sequence[Operation]) -> Sequence[str | None]:
        """Do the operations all or none; returns their etags; conflicts carry the index of the culprit."""
        check_transaction(partition, operations)
        name = self._name(table)
        if not operations:
            return []
        sent = wire.batch(self._service.account.origin + self._service.account.path, name, partition, operations)
        again = all(isinstance(operation, Upsert) for operation in operations)
        request = Request("POST", "/$batch", body=sent.body, content_type=sent.content_type, repeatable=again)
        answer = _good(await self._service.send(request), 202)
        with _usable():
            result = wire.read_batch(answer.headers.get("Content-Type", ""), answer.body, operations)
        if not isinstance(result, wire.Failure):
            return result
        if result.status == 404 and result.code in _MISSING_ROW:
            raise RowChanged("the row to replace or delete is gone", result.index)
        raise _refused(result.status, result.code, result.index)

    async def aclose(self) -> None:
        """Close the connections. Repetition does nothing."""
        await self._service.aclose()

    async def _make(self, name: str) -> None:
        body, headers = json.dumps({"TableName": name}).encode(), {"Prefer": wire.NO_ECHO}
        answer = await self._service.send(Request("POST", "/Tables", headers=headers, body=body, repeatable=True))
        if (answer.status, answer.code) != (409, "TableAlreadyExists"):
            _good(answer, *_WRITTEN)

    def _name(self, table: str) -> str:
        if table not in self._names:
            raise unknown_table(table)
        return self._names[table]


_MISSING_ROW: Final = frozenset({"ResourceNotFound", "EntityNotFound"})


def _is_missing_row(answer: Answer) -> bool:
    return answer.status == 404 and answer.code in _MISSING_ROW


def _good(answer: Answer, *expected: int) -> Answer:
    """The answer, if it has an expected status; raises what any other means."""
    if answer.status in expected:
        return answer
    raise _refused(answer.status, answer.code, None)


def _etag(answer: Answer) -> str:
    """The etag of a row that was written."""
    with _usable():
        return wire.some_etag(_good(answer, *_WRITTEN).headers.get("ETag"))


@contextmanager
def _usable() -> Iterator[None]:
    """Turn what is none of the documented answers into the port's words, without a part of it."""
    try:
        yield
    except wire.Unusable as error:
        raise _unusable(str(error)) from None


def _unusable(what: str) -> RowStoreUnavailable:
    return RowStoreUnavailable(f"the store's answer was cut off or not its own ({what})")


def _refused(status: int, code: str, index: int | None) -> RowStoreError:
    """Say what an error answer means. `code` is the service's, `index` the position in a transaction."""
    if status in _TRANSIENT or code in _BUSY_CODES or status < 400:  # below 400: not this operation's good answer
        return RowStoreUnavailable(f"the store is busy or broken ({status} {code})")
    match status, code:
        case 412, _:
            return RowChanged("the row has changed", index)
        case 409, "EntityAlreadyExists":
            return RowExists("the row to insert is there already", index)
        case 404, "ResourceNotFound" | "EntityNotFound":
            return RowStoreRefused("the store does not know what was addressed (404); check its address and the prefix")
        case 404, _:
            return RowStoreRefused(
                f"a table of the store is missing ({code}); await prepare(), check address and prefix"
            )
        case ((401 | 403), _):
            return RowStoreRefused(
                f"the store refuses access ({status} {code}); check identity, role and network rules"
            )
    return RowStoreRefused(f"the store refuses the request ({status} {code}); this is an error in Crossdock")
