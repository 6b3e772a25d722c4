"""Asks the system whose data count: which tables and columns, the checks' file says; what they mean, this module.

As few calls as the tables need, side by side. Raises ConnectorError, and NotTold or CustomerUnknown for what a system
does not have.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final, TypeVar

from shared.connectors.cache import Cache
from shared.errors import ConnectorError
from shared.field_service.bodies import MOST_LINES
from shared.field_service.deciding import Credit, ItemPrice, ItemStock, Prices, Stock
from shared.field_service.errors import CustomerUnknown, NotTold
from shared.sync.breaker import unwatched
from shared.sync.confirming import (
    Blocks,
    Check,
    Columns,
    Confirming,
    CreditColumns,
    CreditSource,
    OneRecord,
    Priced,
    PriceSource,
    StockSource,
    credit_columns,
    priced_columns,
    read_of,
    stock_columns,
)
from shared.sync.ports import Clock, Connector, Record, Value
from shared.sync.values import canonical

Source = PriceSource | StockSource | CreditSource
RECORDS_PER_ITEM: Final = 100
"""How many price lists or locations one item may stand in."""
AnswerT = TypeVar("AnswerT")


async def together(*calls: Coroutine[Any, Any, AnswerT]) -> Sequence[AnswerT]:
    """The answers of calls that go out side by side; with the first error, or when cancelled, the others are ended."""
    tasks = [asyncio.ensure_future(one) for one in calls]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for one in tasks:
            one.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def outliving(task: asyncio.Future[AnswerT]) -> asyncio.Future[AnswerT]:
    """What one waits for who may give up while it goes on; nobody complains if it then fails unheard."""
    task.add_done_callback(lambda done: done.cancelled() or done.exception())
    return asyncio.shield(task)


@dataclass
class BackEnd:
    """One system that answers. kind: of the system; customers: its table of them."""

    connector: Connector
    clock: Clock
    rules: Confirming
    customers: str
    _single: Cache[Value] = field(init=False)
    _ready: dict[str, asyncio.Task[None]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._single = Cache(self.clock, self._load_single)

    @property
    def name(self) -> str:
        """The system, as this installation calls it."""
        return self.connector.system

    # --- what every answer needs ---

    async def prepare(self, name: str, tables: Columns, single: OneRecord | None = None) -> None:
        """Read what seldom changes: the tables' metadata, the company's currency. Who is not patient enough goes
        without, and the reading goes on for the next one; nothing is asked while it is known. name: for whom."""
        task = self._ready.get(name)
        if task is None or task.done():
            task = self._ready[name] = asyncio.ensure_future(self._prepare(tables, single))
        await outliving(task)

    async def prepare_for(self, check: Check, source: Source) -> None:
        """The same for a check."""
        single = None if isinstance(source, StockSource) else source.currency
        await self.prepare(check.value, read_of(source, self.customers), single)

    async def _prepare(self, tables: Columns, single: OneRecord | None) -> None:
        """Searching for nothing reads the metadata, and asks nothing where they are known: the breaker must not take
        that for an answer."""
        for table, columns in tables.items():
            try:
                await unwatched(self.connector).find(table, columns[0], [], columns)
            except ConnectorError as error:
                error.told_of(self.name)
                raise
        if single:
            await self._of_one_record(single)

    async def aclose(self) -> None:
        """End what is still being read."""
        for one in self._ready.values():
            one.cancel()
        await asyncio.gather(*self._ready.values(), return_exceptions=True)

    async def _of_one_record(self, place: OneRecord) -> Value:
        return await self._single.get(f"{place.table} {place.column}")

    async def _load_single(self, name: str) -> Value:
        table, column = name.split(" ")
        async for page in self.connector.pages(table, None, [column], 2):
            values = [one.values.get(column) for one in page.records]
            if len(values) == 1 and page.place is None:
                return values[0]
            break
        raise NotTold(f"{self.name} {table} has not one record, but none or several.")

    async def _customer(self, table: str, key: str, columns: Sequence[str]) -> Record:
        found = await self.connector.read(table, [key], columns)
        if not found:
            raise CustomerUnknown(f"{self.name} {table} has no such customer (any more).")
        return next(iter(found.values()))

    # --- records of the CRM that asks ---

    async def record(self, table: str, key: str, columns: Sequence[str]) -> Sequence[Record]:
        """One record; raises NotTold where it is not there."""
        found = await self.connector.read(table, [key], columns)
        if not found:
            raise NotTold(f"{self.name} {table}: the record is not there.")
        return list(found.values())

    async def lines(self, table: str, by: str, key: str, columns: Sequence[str]) -> Sequence[Record]:
        """The lines of a record; raises NotTold where there are too many to be looked at."""
        found = await self.connector.find(table, by, [key], columns, MOST_LINES + 1)
        if len(found) > MOST_LINES:
            raise NotTold(f"{self.name} {table}: there are more than {MOST_LINES} lines.")
        return found

    # --- prices ---

    async def prices(self, source: PriceSource, items: Iterable[str], customer: str) -> Prices:
        """What the system tells of the prices of items, for one of its customers."""
        numbers = list(dict.fromkeys(items))
        wanted = [name for name in (source.customer.currency, source.customer.price_list) if name]
        calls: list[Coroutine[Any, Any, Sequence[Record]]] = [
            self._all(one.table, one.item, numbers, priced_columns(one))
            for one in (source.items, *((source.prices,) if source.prices else ()))
        ]
        if wanted:
            calls.append(self._as_list(self._customer(self.customers, customer, wanted)))
        answers = await together(*calls)
        buyer = answers[-1][0].values if wanted else {}
        known, priced = answers[0], answers[1] if source.prices else answers[0]
        rows = [row for row in priced if self._is_his(source.priced, row, buyer.get(source.customer.price_list))]
        return Prices(self.name, await self._currencies(source, rows, buyer), self._by_item(source, known, rows))

    async def _as_list(self, call: Coroutine[Any, Any, Record]) -> Sequence[Record]:
        return [await call]

    def _is_his(self, priced: Priced, row: Record, price_list: Value) -> bool:
        """Whether a price counts, and stands in the customer's list, where there are lists."""
        if not all(_holds(row, column, values) for column, values in priced.only.items()):
            return False
        return not priced.price_list or (price_list is not None and row.values.get(priced.price_list) == price_list)

    async def _currencies(
        self, source: PriceSource, rows: Sequence[Record], buyer: Mapping[str, Value]
    ) -> frozenset[str | None]:
        told = [canonical(row.values.get(source.priced.currency)) for row in rows if source.priced.currency]
        if source.currency:
            told.append(canonical(await self._of_one_record(source.currency)))
        if source.customer.currency:
            told.append(canonical(buyer.get(source.customer.currency)))
        return frozenset(told)

    def _by_item(self, source: PriceSource, known: Sequence[Record], rows: Sequence[Record]) -> Mapping[str, ItemPrice]:
        """Each item that there is with its price; several prices in the same list are none that can be told. A number
        that several records have, such as a retired one, is for sale where one of them is."""
        items, priced = source.items, source.priced
        by_number: dict[str, list[Record]] = {}
        for one in known:
            by_number.setdefault(self._number(one, items.item), []).append(one)
        found: dict[str, ItemPrice] = {}
        for number, alike in by_number.items():
            mine = [row for row in rows if self._number(row, priced.item) == number]
            if len(mine) > 1:
                raise NotTold(f"{self.name} has several prices for an item; {priced.table} must tell one.")
            blocked = all(_is_blocked(items.blocked, one) for one in alike)
            blocked |= any(_is_blocked(priced.blocked, row) for row in mine)
            found[number] = self._price(priced, mine[0], blocked) if mine else ItemPrice(None, blocked=blocked)
        return found

    def _price(self, priced: Priced, row: Record, blocked: bool) -> ItemPrice:
        unit = canonical(row.values.get(priced.unit)) if priced.unit else None
        if priced.unit and unit is None:
            raise self._not_told(priced.table, priced.unit)
        return ItemPrice(
            price=self._amount(priced.table, priced.price, row),
            unit=self.rules.unit(unit) if unit else None,
            discount=self._amount(priced.table, priced.discount, row),
            valid_until=_day(row.values.get(priced.valid_until)),
            blocked=blocked,
        )

    # --- stock ---

    async def stock(self, source: StockSource, items: Iterable[str]) -> Stock:
        """What the system tells of what there is of items."""
        rows = await self._all(source.table, source.item, list(dict.fromkeys(items)), stock_columns(source))
        by_item: dict[str, list[ItemStock]] = {}
        for row in rows:
            there = ItemStock(
                available=self._amount(source.table, source.available, row),
                location=canonical(row.values.get(source.location)) if source.location else None,
                expected=self._amount(source.table, source.expected, row),
                expected_on=_day(row.values.get(source.expected_on)),
                blocked=_is_blocked(source.blocked, row),
            )
            by_item.setdefault(self._number(row, source.item), []).append(there)
        return Stock(self.name, bool(source.location), source.any_location, by_item)

    # --- credit ---

    async def credit(self, source: CreditSource, customer: str) -> Credit:
        """What the system tells of what a customer owes and may owe."""
        records = await together(
            *(self._customer(table, customer, credit_columns(columns)) for table, columns in source.tables.items())
        )
        rows = list(zip(source.tables.items(), records, strict=True))
        limit = self._credit_amount("limit", rows)
        return Credit(
            currency=await self._credit_currency(source, rows),
            limit=None if limit == 0 and source.zero_is_unlimited else limit,
            used=self._credit_amount("used", rows),
            overdue=self._credit_amount("overdue", rows),
            blocked=any(_is_blocked(columns.blocked, row) for (_, columns), row in rows),
            overdue_up_to=source.overdue_up_to,
        )

    def _credit_amount(self, name: str, rows: Sequence[tuple[tuple[str, CreditColumns], Record]]) -> Decimal:
        (table, column, row), *_ = [(table, getattr(columns, name), row) for (table, columns), row in rows
                                    if getattr(columns, name)]  # fmt: skip
        if (amount := self._amount(table, column, row)) is None:
            raise self._not_told(table, column)
        return amount

    async def _credit_currency(
        self, source: CreditSource, rows: Sequence[tuple[tuple[str, CreditColumns], Record]]
    ) -> str:
        if source.currency:
            told = canonical(await self._of_one_record(source.currency))
        else:
            told = next(canonical(row.values.get(columns.currency)) for (_, columns), row in rows if columns.currency)
        if not told:
            raise NotTold(f"{self.name} does not tell the currency.")
        return told

    # --- rows ---

    async def _all(self, table: str, column: str, values: Sequence[str], columns: Sequence[str]) -> Sequence[Record]:
        limit = RECORDS_PER_ITEM * max(len(values), 1)
        found = await self.connector.find(table, column, values, columns, limit)
        if len(found) >= limit:
            raise NotTold(f"{self.name} {table} has more records for the items than can be looked at.")
        return found

    def _number(self, row: Record, column: str) -> str:
        return (canonical(row.values.get(column)) or "").casefold()

    def _amount(self, table: str, column: str, row: Record) -> Decimal | None:
        """A number of a row, None where it is blank or no column is named; raises NotTold for anything else."""
        value = row.values.get(column) if column else None
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | Decimal):
            raise NotTold(f"{self.name} {table}.{column} holds no number.", column)
        return Decimal(value)

    def _not_told(self, table: str, column: str) -> NotTold:
        return NotTold(f"{self.name} {table}.{column} is empty.", column)


def _holds(row: Record, column: str, values: Sequence[str]) -> bool:
    return canonical(row.values.get(column)) in {canonical(one) for one in values}


def _is_blocked(blocks: Blocks, row: Record) -> bool:
    """Whether one of the columns holds a value that stands in the way."""
    return any(_holds(row, column, values) for column, values in blocks.items())


def _day(value: Value) -> date | None:
    if isinstance(value, datetime):
        return value.date()
    return value if isinstance(value, date) else None
