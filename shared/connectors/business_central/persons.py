"""Which customer a person among the contacts belongs to, both ways.

API v2.0 hangs a person on a customer only through the number of the customer's company contact. The way there: the list
below a customer, whose one company is that contact. The way back: the page of customer contacts, which names the
customer of each person, but only of companies that are customers and nothing else; the others are found by their name,
which a customer and its contact share, and proved by the list below the customer. (Published source of the API v2.0
application, pages of contacts, customer contacts and contacts information.)
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import suppress

from shared.connectors.business_central.client import BusinessCentralClient
from shared.connectors.business_central.converters import plain_member, quoted
from shared.connectors.business_central.errors import SYSTEM
from shared.connectors.business_central.rows import key_in, rows_of, text_in
from shared.connectors.keys import canonical_guid
from shared.errors import Answer, NoCompanyContact, Refused
from shared.strict_json import JsonObject
from shared.sync.ports import Clock, Value

TABLE = "contacts"
COLUMN = "customerId"
NUMBER = "companyNumber"
COMPUTED_FROM = (NUMBER, "companyName", "type", "contactBusinessRelation")
"""What of a contact's row tells its customer."""
LIFE_SECONDS = 60.0
"""A relation may end and a number be given anew: what was learnt serves one burst of work and no more."""
KEYS_PER_CALL = 40
NAMES_PER_CALL = 10
MOST = 5000
_OF_A_CUSTOMER = "Customer"
_PERHAPS = frozenset({"", "Multiple", "Other"})
"""Relations that may include a customer among others; all that remain exclude one."""


class Persons:
    """Customers of persons and company contacts of customers, in as few calls as the API allows."""

    def __init__(self, client: BusinessCentralClient, clock: Clock) -> None:
        self._client = client
        self._customers = _Remembered(clock)
        self._numbers = _Remembered(clock)

    def forget(self) -> None:
        """Ask anew from now on: a number just proved wrong."""
        self._customers.forget()
        self._numbers.forget()

    async def customers_of(self, rows: Sequence[JsonObject]) -> Mapping[str, Value]:
        """The customers' keys by the rows' keys; None for companies and for persons of no customer.

        Raises BadAnswer. Persons of one company are asked about together, by one of them.
        """
        by_number: dict[str, list[JsonObject]] = {}
        for row in rows:
            if number := _company_of(row):
                by_number.setdefault(number, []).append(row)
        known = {number: found for number in by_number if (found := self._customers.get(number)) is not None}
        known |= await self._asked({number: one for number, one in by_number.items() if number not in known})
        return {_id(row): known.get(_company_of(row)) for row in rows}

    async def company_number(self, customer_key: Value) -> str:
        """The number of a customer's company contact; raises Refused, and NoCompanyContact where there is none."""
        key = _canonical(customer_key)
        if key is None:
            raise Refused(SYSTEM, Answer(field=COLUMN), f"{SYSTEM}: {COLUMN} takes the key of a customer.")
        return self._numbers.get(key) or await self._number_below(key)

    async def learn_numbers(self, customer_keys: Iterable[Value]) -> None:
        """Look up the company contacts of many customers at once, for `company_number`; what is no key is left out."""
        keys = [canonical for key in dict.fromkeys(customer_keys) if (canonical := _canonical(key)) is not None]
        unknown = [key for key in keys if self._numbers.get(key) is None]
        for some in _chunks(unknown if len(unknown) > 1 else [], KEYS_PER_CALL):
            condition = " or ".join(f"id eq {key}" for key in some)
            async for key, contacts in self._customers_where(condition):
                self._learnt(key, contacts)

    async def company_numbers(self, customer_keys: Iterable[str]) -> list[str]:
        """The numbers for several customers as they are now; those without a company contact are left out."""
        found: list[str] = []
        for key in customer_keys:
            canonical = _canonical(key)
            with suppress(Refused):
                found += [await self._number_below(canonical)] if canonical is not None else []
        return found

    async def _number_below(self, customer_key: str) -> str:
        path, template = f"customers({customer_key})/contactsInformation", "customers(..)/contactsInformation"
        page = await self._client.get_or_none(path, [("$select", "contactNumber,contactType")], template)
        if page is None:
            raise Refused(SYSTEM, Answer(field=COLUMN), f"{SYSTEM}: {COLUMN} names no customer.")
        number = self._learnt(customer_key, rows_of(page))
        if number is None:
            raise NoCompanyContact(SYSTEM, Answer(field=COLUMN))
        return number

    def _learnt(self, customer_key: str, contacts: Sequence[JsonObject]) -> str | None:
        """The number of the company among a customer's contacts, remembered both ways."""
        numbers = [text_in(row, "contactNumber") for row in contacts if row.get("contactType") == "Company"]
        if not numbers:
            return None
        self._numbers.put(customer_key, numbers[0])
        self._customers.put(numbers[0], customer_key)
        return numbers[0]

    async def _customers_where(self, condition: str) -> AsyncIterator[tuple[str, list[JsonObject]]]:
        """Customers' keys, each with the list of its contacts."""
        expand = ("$expand", "contactsInformation($select=contactNumber,contactType)")
        query = [("$select", "id"), ("$filter", condition), expand]
        async for page in self._client.pages("customers", query, "customers"):
            for row in rows_of(page):
                yield _id(row), rows_of(row, "contactsInformation")

    async def _asked(self, by_number: Mapping[str, Sequence[JsonObject]]) -> dict[str, str]:
        plain: dict[str, str] = {}
        named: dict[str, str] = {}
        for number, rows in by_number.items():
            kinds = {plain_member(text_in(row, "contactBusinessRelation")): row for row in rows}
            if _OF_A_CUSTOMER in kinds:
                plain[_id(kinds[_OF_A_CUSTOMER])] = number
            elif _PERHAPS & kinds.keys():
                named[number] = text_in(rows[0], "companyName")
        found = await self._by_person(plain) | await self._by_name(named)
        for number, key in found.items():
            self._customers.put(number, key)
        return found

    async def _by_person(self, numbers: Mapping[str, str]) -> dict[str, str]:
        """By the page of customer contacts: company numbers by one person's key each. Without the customer's name the
        id of a row belongs to the row before it."""
        found: dict[str, str] = {}
        for keys in _chunks(list(numbers), KEYS_PER_CALL):
            condition = " or ".join(f"id eq {key}" for key in keys)
            query = [("$select", "id,customerId,customerName"), ("$filter", condition)]
            async for page in self._client.pages("customerContacts", query, "customerContacts"):
                for row in rows_of(page):
                    key = key_in(row, "customerId")
                    if key is not None and row.get("customerName"):
                        found[numbers[_id(row)]] = key
        return found

    async def _by_name(self, names: Mapping[str, str]) -> dict[str, str]:
        """By the customers of the same name: whose list holds the company contact is the one."""
        found: dict[str, str] = {}
        for some in _chunks(list(dict.fromkeys(name for name in names.values() if name)), NAMES_PER_CALL):
            condition = " or ".join(f"displayName eq {quoted(name)}" for name in some)
            async for key, contacts in self._customers_where(condition):
                number = self._learnt(key, contacts)
                if number is not None and number in names:
                    found[number] = key
        return found


class _Remembered:
    """Texts that are right for a minute."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known: dict[str, tuple[float, str]] = {}

    def get(self, name: str) -> str | None:
        at, text = self._known.get(name, (0.0, ""))
        return text if text and self._clock.monotonic() - at <= LIFE_SECONDS else None

    def put(self, name: str, text: str) -> None:
        if len(self._known) >= MOST:
            self._known.clear()
        self._known[name] = (self._clock.monotonic(), text)

    def forget(self) -> None:
        self._known.clear()


def _company_of(row: JsonObject) -> str:
    """The number of the company that a person belongs to; empty for companies and for persons of none."""
    return text_in(row, NUMBER) if row.get("type") == "Person" else ""


def _canonical(key: Value) -> str | None:
    try:
        return canonical_guid(key if isinstance(key, str) else "")
    except ValueError:
        return None


def _id(row: JsonObject) -> str:
    return text_in(row, "id").lower()


def _chunks(items: Sequence[str], most: int) -> Iterable[Sequence[str]]:
    return (items[start : start + most] for start in range(0, len(items), most))
