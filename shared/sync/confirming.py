"""Which tables and columns answer the checks of a transaction: what a file with `checks:` says, as the compiled index
holds it.

A part for each check and kind of system, so that a setting can say which system's data count. Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Final

from pydantic import Field, model_validator

from shared.sync.compiled import Part

Blocks = dict[str, tuple[str, ...]]
"""Columns, each with the values that stand in the way, or that are wanted."""
Columns = Mapping[str, Sequence[str]]
"""Tables, each with the columns that are read of it."""


class Check(StrEnum):
    """What can be asked before a transaction is registered."""

    PRICE = "price"
    STOCK = "stock"
    CREDIT = "credit"


class OneRecord(Part):
    """A column of a table that has one record, such as the company's own currency."""

    table: str
    column: str


class PricedFor(Part):
    """Columns of the customer's record. currency: in which he is invoiced; price_list: whose prices he gets."""

    currency: str = ""
    price_list: str = ""


class Priced(Part):
    """A table with prices. item: its column with the item's number; price_list: its column with the list. only: columns
    with the values that a record must hold to count at all."""

    table: str
    item: str
    price: str = ""
    unit: str = ""
    discount: str = ""
    currency: str = ""
    valid_until: str = ""
    price_list: str = ""
    only: Blocks = Field(default_factory=dict)
    blocked: Blocks = Field(default_factory=dict)


class PriceSource(Part):
    """items: the table that says which items there are, and perhaps their prices; prices: the table with the prices,
    where that is another one. currency: of all prices, where they do not say it themselves."""

    line: int = 0
    items: Priced
    prices: Priced | None = None
    customer: PricedFor = PricedFor()
    currency: OneRecord | None = None

    @model_validator(mode="after")
    def _says_everything(self) -> PriceSource:
        priced = [one for one in (self.items, self.prices) if one and one.price]
        if len(priced) != 1 or (self.prices and not self.prices.price):
            raise ValueError("price: stands under items: or under prices:; name it in one of them")
        if bool(priced[0].currency) == bool(self.currency):
            raise ValueError("currency: is a column beside the price, or a table and column of its own; name one")
        if bool(priced[0].price_list) != bool(self.customer.price_list):
            raise ValueError("price_list: is a column of the prices and one of the customer; name both, or none")
        if self.prices and (self.prices.unit or self.prices.blocked) and self.items.unit:
            raise ValueError("unit: stands beside the price; take it out under items:")
        return self

    @property
    def priced(self) -> Priced:
        """The table with the prices."""
        return self.prices or self.items


class StockSource(Part):
    """A table with what there is of items, in one record or several. expected_on, expected: when more comes, and how
    much. any_location: what all locations have together counts, whichever the caller names."""

    line: int = 0
    table: str
    item: str
    available: str
    location: str = ""
    any_location: bool = False
    expected_on: str = ""
    expected: str = ""
    blocked: Blocks = Field(default_factory=dict)

    @model_validator(mode="after")
    def _says_everything(self) -> StockSource:
        if self.expected and not self.expected_on:
            raise ValueError("expected: needs expected_on:, the day on which it comes; name both")
        if self.location and self.any_location:
            raise ValueError("any_location: is for a table that does not know locations; take it or location: out")
        return self


class CreditColumns(Part):
    """Columns of a record that is the customer's, or has its key."""

    limit: str = ""
    used: str = ""
    overdue: str = ""
    currency: str = ""
    blocked: Blocks = Field(default_factory=dict)


_AMOUNTS: Final = ("limit", "used", "overdue")


class CreditSource(Part):
    """Tables whose records have the customer's key, and what is read of them. zero_is_unlimited: as the system itself
    takes a limit of 0. overdue_up_to: so much may be overdue."""

    line: int = 0
    tables: Annotated[dict[str, CreditColumns], Field(min_length=1)]
    currency: OneRecord | None = None
    zero_is_unlimited: bool = False
    overdue_up_to: Annotated[Decimal, Field(ge=0)] = Decimal(0)

    @model_validator(mode="after")
    def _says_everything(self) -> CreditSource:
        for name in _AMOUNTS:
            if len([one for one in self.tables.values() if getattr(one, name)]) != 1:
                raise ValueError(f"{name}: stands under one of the tables; name it once")
        if not any(one.blocked for one in self.tables.values()):
            raise ValueError("blocked: stands under one of the tables; name the column and the values that block")
        if len([one for one in self.tables.values() if one.currency]) + bool(self.currency) != 1:
            raise ValueError("currency: is a column of one of the tables, or a table and column of its own; name one")
        return self


class Lines(Part):
    """The lines of a document. by: the column that refers to it; price: missing is not compared."""

    table: str
    by: str
    item: str
    quantity: str
    unit: str
    price: str = ""

    @property
    def columns(self) -> Sequence[str]:
        """What is read of a line."""
        return _named((self.item, self.quantity, self.unit, self.price))


class Confirmation(Part):
    """A record of the CRM that is registered only after a yes.

    when: the column whose new value registers it, and those values. name: its column with what people call it. total:
    what the customer will owe more; total_of: columns that the system makes it of.
    """

    line: int = 0
    table: str
    when: Annotated[dict[str, tuple[str, ...]], Field(min_length=1, max_length=1)]
    checks: Annotated[tuple[Check, ...], Field(min_length=1)]
    name: str
    customer: str
    currency: str
    total: str = ""
    total_of: tuple[str, ...] = ()
    lines: Lines | None = None

    @model_validator(mode="after")
    def _says_everything(self) -> Confirmation:
        if not all(values and all(values) for values in self.when.values()):
            raise ValueError("when: names the values that register the record; without one nothing is asked")
        if Check.CREDIT in self.checks and not self.total:
            raise ValueError("total: is what the customer will owe; name its column, or take credit out of checks:")
        if set(self.checks) - {Check.CREDIT} and self.lines is None:
            raise ValueError("lines: says where items and quantities are; name the table, or take price and stock out")
        if len(set(self.checks)) < len(self.checks):
            raise ValueError("checks: names one twice; keep one")
        return self

    @property
    def column(self) -> str:
        """The column whose change is asked about."""
        (column,) = self.when
        return column

    @property
    def columns(self) -> Sequence[str]:
        """What is read of the record."""
        return _named((self.name, self.customer, self.currency, self.total))


class Answering(Part):
    """A system whose data count for a check. kind: of the system, empty where the installation has none of this name.
    wanted: somebody has decided that this check is asked for; else it merely could be."""

    check: Check
    system: str
    kind: str
    wanted: bool


class Confirming(Part):
    """Everything that a file with `checks:` says.

    customers: of each kind of system, the table whose records are customers; links lead from one to the other. units:
    what the asking systems call a unit, and what it is called where the answer comes from. confirm: by kind of system.
    Of an installation, and so never in the compiled index: answering: who answers what there; asking: of each CRM, the
    tables that are registered only after a yes.
    """

    file: str
    customers: dict[str, str] = Field(default_factory=dict)
    units: dict[str, str] = Field(default_factory=dict)
    price: dict[str, PriceSource] = Field(default_factory=dict)
    stock: dict[str, StockSource] = Field(default_factory=dict)
    credit: dict[str, CreditSource] = Field(default_factory=dict)
    confirm: dict[str, tuple[Confirmation, ...]] = Field(default_factory=dict)
    answering: tuple[Answering, ...] = ()
    asking: dict[str, tuple[Confirmation, ...]] = Field(default_factory=dict)

    def unit(self, name: str) -> str:
        """The one spelling of a unit, whoever names it."""
        return self.units.get(name, name).casefold()

    def source(self, check: Check, kind: str) -> PriceSource | StockSource | CreditSource | None:
        """What answers a check in systems of a kind."""
        by_kind: Mapping[Check, Mapping[str, PriceSource | StockSource | CreditSource]] = {
            Check.PRICE: self.price,
            Check.STOCK: self.stock,
            Check.CREDIT: self.credit,
        }
        return by_kind[check].get(kind)

    def asked_by(self, system: str) -> Sequence[Confirmation]:
        """The records of a CRM that are registered only after a yes."""
        return self.asking.get(system, ())

    def installed(
        self,
        kinds: Mapping[str, str],
        sources: Mapping[Check, str],
        tables: Collection[str],
        *,
        chosen: Collection[Check],
        for_others: bool,
    ) -> Confirming:
        """The same with who answers and who asks in an installation.

        kinds: its systems; sources: whose data count, and for which checks that was chosen; tables: those of its CRMs
        that need a yes; for_others: other systems ask for checks there.
        """
        asking = {
            name: tuple(one for one in self.confirm[kind] if one.table in tables)
            for name, kind in kinds.items()
            if kind in self.confirm
        }
        needed = {check for rules in asking.values() for rule in rules for check in rule.checks}
        answering = [
            Answering(check=check, system=name, kind=kinds.get(name, ""), wanted=check in needed or check in chosen)
            for check, name in sources.items()
            if for_others or check in needed
        ]
        return self.model_copy(update={"answering": tuple(answering), "asking": asking})


def unanswered(check: Check, system: str, *, there: bool) -> str:
    """Why a check has nobody who answers it. there: the installation has a system of this name."""
    why = f"has no part under {check.value}:" if there else "is no system here"
    return f"CROSSDOCK_CHECKS_{check.value.upper()}_FROM is {system}, which {why}: no {check.value} check is confirmed."


def tables_of(rules: Confirming) -> Iterator[tuple[str, str, Sequence[str], int]]:
    """Every table that an installation's checks read: its system, its name, the columns, and the line that says so."""
    for one in rules.answering:
        source = rules.source(one.check, one.kind)
        for table, columns in read_of(source, rules.customers.get(one.kind, "")).items() if source else ():
            yield one.system, table, columns, source.line if source else 1
    for system, asked in rules.asking.items():
        for rule in asked:
            yield system, rule.table, [rule.column, *rule.columns, *rule.total_of], rule.line
            if rule.lines:
                yield system, rule.lines.table, rule.lines.columns, rule.line


def read_of(source: PriceSource | StockSource | CreditSource, customers: str) -> Columns:
    """Every table and column that a source reads. customers: the table of the customers themselves."""
    found: dict[str, list[str]] = {}
    for table, columns in _read_of(source, customers):
        found.setdefault(table, []).extend(name for name in columns if name and name not in found[table])
    return {table: columns for table, columns in found.items() if columns}


def _read_of(source: PriceSource | StockSource | CreditSource, customers: str) -> Iterator[tuple[str, Sequence[str]]]:
    match source:
        case PriceSource():
            yield customers, (source.customer.currency, source.customer.price_list)
            for one in (source.items, *((source.prices,) if source.prices else ())):
                yield one.table, priced_columns(one)
        case StockSource():
            yield source.table, stock_columns(source)
        case CreditSource():
            for table, columns in source.tables.items():
                yield table, credit_columns(columns)
    if not isinstance(source, StockSource) and source.currency:
        yield source.currency.table, (source.currency.column,)


def priced_columns(one: Priced) -> Sequence[str]:
    """What is read of a table with prices."""
    named = (one.item, one.price, one.unit, one.discount, one.currency, one.valid_until, one.price_list)
    return _named((*named, *one.only, *one.blocked))


def stock_columns(one: StockSource) -> Sequence[str]:
    """What is read of a table with stock."""
    return _named((one.item, one.available, one.location, one.expected_on, one.expected, *one.blocked))


def credit_columns(one: CreditColumns) -> Sequence[str]:
    """What is read of a customer."""
    return _named((one.limit, one.used, one.overdue, one.currency, *one.blocked))


def _named(names: Sequence[str]) -> Sequence[str]:
    return list(dict.fromkeys(filter(None, names)))
