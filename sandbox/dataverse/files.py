"""Files in file columns: uploaded whole or in blocks, read back whole.

After Microsoft Learn, 'Use file column data'. A row holds the file's id and, in `<column>_name`, its name.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import quote

from starlette.responses import Response

from sandbox.dataverse import errors
from sandbox.dataverse.calls import Call
from sandbox.dataverse.errors import DataverseError, NotImitated
from sandbox.dataverse.metadata import Column, Table
from sandbox.dataverse.store import Store
from sandbox.disk import Disk

BLOCK_BYTES = 4 * 1024 * 1024
MAX_WHOLE_BYTES = 128 * 1024 * 1024
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


@dataclass
class _Upload:
    """An upload in blocks, as far as it has come."""

    table: str
    row_id: str
    column: str
    name: str
    received: bytearray = field(default_factory=bytearray)


class Files:
    """Serves `table(id)/column` for file columns, and `/$value` below it."""

    def __init__(self, *, store: Store, disk: Disk, root: str, new_id: Callable[[], str]) -> None:
        self._store = store
        self._disk = disk
        self._root = root
        self._new_id = new_id
        self._contents: dict[str, bytes] = {name: base64.b64decode(text) for name, text in disk.load("file").items()}
        self._uploads: dict[str, _Upload] = {}

    def reset(self) -> None:
        """Forget all files; the file on disk is somebody else's to clear."""
        self._contents.clear()
        self._uploads.clear()

    def serve(self, call: Call, table: Table, row_id: str, column: Column) -> Response:
        """Answer a request for a file column."""
        if call.method == "GET" and call.segments[2:] == ("$value",):
            return self._read(table, row_id, column)
        if call.method != "PATCH" or len(call.segments) > 2:
            raise NotImitated(f"{call.method} of a file column")
        if "sessiontoken" in call.options:
            return self._block(call, table)
        if call.headers.get("x-ms-transfer-mode") == "chunked":
            return self._begin(call, table, row_id, column)
        return self._whole(call, table, row_id, column)

    def _read(self, table: Table, row_id: str, column: Column) -> Response:
        row = self._store.table(table.name)[row_id]
        file_id = row.get(column.name)
        if file_id is None:
            return Response(status_code=204)
        headers = {"x-ms-file-name": quote(str(row.get(f"{column.name}_name")))}
        return Response(self._contents[file_id], headers=headers, media_type="application/octet-stream")

    def _whole(self, call: Call, table: Table, row_id: str, column: Column) -> Response:
        if call.headers.get("content-type") != "application/octet-stream":
            raise DataverseError(415, "", "A file must be sent as application/octet-stream.")
        name = call.headers.get("x-ms-file-name") or call.options.get("x-ms-file-name")
        if not name:
            raise errors.invalid_argument("The file needs a name in x-ms-file-name.")
        if len(call.body) > MAX_WHOLE_BYTES:
            raise DataverseError(413, "", "Files larger than 128 MB must be uploaded in blocks.")
        self._keep(table.name, row_id, column.name, name, call.body)
        return Response(status_code=204)

    def _begin(self, call: Call, table: Table, row_id: str, column: Column) -> Response:
        name = call.options.get("x-ms-file-name") or call.headers.get("x-ms-file-name")
        if not name:
            raise errors.invalid_argument("The file needs a name in x-ms-file-name.")
        token = self._new_id()
        self._uploads[token] = _Upload(table.name, row_id, column.name, name)
        address = f"{self._root}/{table.set_name}({row_id})/{column.name}?sessiontoken={token}"
        headers = {"Location": address, "x-ms-chunk-size": str(BLOCK_BYTES), "Accept-Ranges": "bytes"}
        return Response(status_code=200, headers=headers)

    def _block(self, call: Call, table: Table) -> Response:
        """Take the next block; the last one makes the file."""
        upload = self._uploads.get(call.options["sessiontoken"])
        place = _RANGE.fullmatch(call.headers.get("content-range", ""))
        if upload is None or upload.table != table.name or place is None:
            raise errors.invalid_argument("The block belongs to no upload, or has no Content-Range.")
        first, last, total = (int(text) for text in place.groups())
        if first != len(upload.received) or last - first + 1 != len(call.body) or last >= total:
            raise errors.invalid_argument("The block does not follow the one before it.")
        upload.received += call.body
        if last + 1 < total:
            return Response(status_code=206)
        del self._uploads[call.options["sessiontoken"]]
        self._keep(upload.table, upload.row_id, upload.column, upload.name, bytes(upload.received))
        return Response(status_code=204)

    def _keep(self, table: str, row_id: str, column: str, name: str, content: bytes) -> None:
        row, file_id = self._store.get(table, row_id), self._new_id()
        if row is None:
            raise errors.does_not_exist(table, row_id)
        self._contents[file_id] = content
        self._disk.put("file", file_id, base64.b64encode(content).decode())
        self._store.put(table, row_id, {**row, column: file_id, f"{column}_name": name})
