"""PostOffice's database: the lists of one site."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from sandbox.disk import Disk
from sandbox.postoffice.tables import TABLES, Table
from sandbox.rows_on_disk import RowsOnDisk

PARTS_OF = "@parts"
SMALL = ("journal", "statistics", "idempotency")


class Store(RowsOnDisk):
    """The rows of every list of the site, and its journal, sums and keys of repetition."""

    def __init__(self, now: Callable[[], datetime], disk: Disk, tables: Mapping[str, Table] = TABLES) -> None:
        super().__init__(now, disk, tables, SMALL)
        self.tables = tables
