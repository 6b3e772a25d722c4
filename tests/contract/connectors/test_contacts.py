"""Contacts of Business Central: a person hangs on a customer through the number of the customer's company contact."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from sandbox.business_central import BusinessCentralOptions
from shared.connectors.business_central.batch import PARTS_PER_BATCH
from shared.errors import ManualNumbersForbidden, NoCompanyContact, Refused
from shared.sync.ports import ColumnType, NewRecord, Record, Value
from tests.contract.connectors.rigs import COMPANY, UNKNOWN_KEY, BusinessCentralRig

TABLE = "contacts"
LINES = ["type", "displayName", "customerId"]


class Contacts(BusinessCentralRig):
    """Contacts of one company, with its customers."""

    async def customer(self, name: str = "Aurora Milling", **values: str) -> str:
        """A customer made by a person; returns its key."""
        return str((await self.sandbox.create(COMPANY, "customers", {"displayName": name, **values}))["id"])

    def company_of(self, customer: str) -> dict[str, object]:
        """The company contact that came with a customer."""
        name = self.sandbox.rows(COMPANY, "customers")[customer]["displayName"]
        rows = self.sandbox.rows(COMPANY, TABLE).values()
        return next(row for row in rows if row["type"] == "Company" and row["displayName"] == name)

    async def person(self, customer: str, name: str = "Anna Verdi") -> str:
        """A person made in the application under a customer's company; returns its key."""
        number = self.company_of(customer)["number"]
        body = {"type": "Person", "displayName": name, "companyNumber": number}
        return str((await self.sandbox.create(COMPANY, TABLE, body))["id"])

    async def read_one(self, key: str) -> Record:
        """A contact as the connector reads it."""
        return (await self.connector.read(TABLE, [key], LINES))[key]

    async def create(self, **values: Value) -> Record:
        """A person made through the connector."""
        values = {"type": "Person", "displayName": "Anna Verdi", **values}
        return await self.connector.create(TABLE, values, LINES, key=None, within_seconds=60)

    def calls(self) -> int:
        """How many requests came in, sign-in and metadata apart."""
        return self.requests.count() - self.requests.count("GET", r"\$metadata")


@pytest.fixture
async def rig() -> AsyncIterator[Contacts]:
    """Contacts of one company."""
    made = Contacts()
    yield made
    await made.aclose()
    assert made.requests.unforeseen() == []


async def test_a_person_says_which_customer_it_belongs_to(rig: Contacts) -> None:
    """The key of the customer, not that of the company contact, and nothing for whoever belongs to none."""
    customer = await rig.customer()
    person = await rig.person(customer)
    prospect = await rig.sandbox.create(COMPANY, TABLE, {"type": "Company", "displayName": "Prospect"})
    body = {"type": "Person", "displayName": "Paolo Neri", "companyNumber": prospect["number"]}
    others = [await rig.sandbox.create(COMPANY, TABLE, body) for _ in range(2)]
    free = await rig.sandbox.create(COMPANY, TABLE, {"type": "Person", "displayName": "Rosa Bianchi"})
    company = rig.company_of(customer)
    keys = [person, free["id"], company["id"], prospect["id"], *(one["id"] for one in others)]
    found = await rig.connector.read(TABLE, [str(key) for key in keys], LINES)
    assert {key: record.values["customerId"] for key, record in found.items() if record.values["customerId"]} == {
        person: customer
    }
    assert (await rig.read_one(person)).values == {
        "type": "Person",
        "displayName": "Anna Verdi",
        "customerId": customer,
    }


async def test_a_person_that_is_a_customer_itself_hangs_on_nobody(rig: Contacts) -> None:
    """It is the customer's own contact, and the page would show it the customer of another row."""
    customer = await rig.customer()
    person = await rig.person(customer)
    await rig.customer("Paolo Neri", type="Person")
    rows = rig.sandbox.rows(COMPANY, TABLE).values()
    itself = next(str(row["id"]) for row in rows if row["displayName"] == "Paolo Neri")
    found = await rig.connector.read(TABLE, [person, itself], LINES)
    assert (found[person].values["customerId"], found[itself].values["customerId"]) == (customer, None)


async def test_a_company_that_is_a_vendor_too_keeps_its_persons(rig: Contacts) -> None:
    """The page of customer contacts leaves them out; the customer of the same name has them in its list."""
    customer = await rig.customer("O'Neil & Sons")
    person = await rig.person(customer)
    namesake = await rig.customer("O'Neil & Sons")
    company = str(rig.company_of(customer)["id"])
    await rig.sandbox.relate(COMPANY, company, "Vendor")
    assert namesake != customer
    assert (await rig.read_one(person)).values["customerId"] == customer
    assert (await rig.read_one(company)).values["customerId"] is None
    vendor = await rig.sandbox.create(COMPANY, TABLE, {"type": "Company", "displayName": "Haulage"})
    for kind in ("Vendor", "Employee"):
        await rig.sandbox.relate(COMPANY, vendor["id"], kind)
    body = {"type": "Person", "displayName": "Rosa Bianchi", "companyNumber": vendor["number"]}
    driver = await rig.sandbox.create(COMPANY, TABLE, body)
    assert (await rig.read_one(driver["id"])).values["customerId"] is None


async def test_a_hundred_contacts_do_not_cost_a_hundred_calls(rig: Contacts) -> None:
    """Three calls for the rows, forty keys each; persons of one company are asked about together."""
    customers = [await rig.customer(f"Mill {number}") for number in range(10)]
    persons = [await rig.person(customers[number % 10], f"Person {number}") for number in range(100)]
    found = await rig.connector.read(TABLE, persons, LINES)
    assert [found[key].values["customerId"] for key in persons] == customers * 10
    assert rig.calls() == 4
    alone = [await rig.person(await rig.customer(f"Bakery {number}")) for number in range(100)]
    before = rig.calls()
    await rig.connector.read(TABLE, alone, LINES)
    assert rig.calls() - before == 6


async def test_what_was_learnt_serves_for_a_minute(rig: Contacts) -> None:
    """A burst of work on one company asks once; afterwards the relation may be another one."""
    customer = await rig.customer()
    one, other = await rig.person(customer), await rig.person(customer, "Paolo Neri")
    await rig.read_one(one)
    assert (await rig.read_one(other)).values["customerId"] == customer
    assert rig.requests.count("GET", "/customerContacts") == 1
    await rig.sandbox.delete(COMPANY, "customers", customer)
    rig.clock.elapsed += 61
    assert (await rig.read_one(one)).values["customerId"] is None


async def test_contacts_without_the_column_cost_nothing_more(rig: Contacts) -> None:
    """Only who asks for the customer pays for it."""
    person = await rig.person(await rig.customer())
    await rig.connector.read(TABLE, [person], ["displayName", "companyNumber"])
    assert rig.calls() == 1


async def test_a_created_person_hangs_on_its_customer(rig: Contacts) -> None:
    """The customer's key becomes the number of its company contact, and the answer names the customer again."""
    customer = await rig.customer(phoneNumber="0471 1")
    made = await rig.create(customerId=customer.upper())
    assert made.values == {"type": "Person", "displayName": "Anna Verdi", "customerId": customer}
    row = rig.sandbox.rows(COMPANY, TABLE)[made.key]
    assert row["companyNumber"] == rig.company_of(customer)["number"]
    await rig.create(customerId=customer, displayName="Paolo Neri")
    assert rig.requests.count("GET", "contactsInformation") == 1
    assert rig.calls() == 3


async def test_many_persons_are_created_with_their_customers_looked_up_together(rig: Contacts) -> None:
    """A load of contacts: one call for forty customers, and whole batches of persons."""
    customers = [await rig.customer(f"Mill {number}") for number in range(50)]
    wanted = [
        NewRecord({"type": "Person", "displayName": f"Person {number}", "customerId": customers[number % 50]})
        for number in range(100)
    ]
    lost = NewRecord({"type": "Person", "displayName": "Lost", "customerId": UNKNOWN_KEY})
    made = await rig.connector.create_many(TABLE, [*wanted, lost], LINES, within_seconds=60)
    told = [one.values["customerId"] if isinstance(one, Record) else None for one in made]
    assert told == [*customers, *customers, None]
    assert isinstance(made[-1], Refused)
    assert rig.requests.count("POST") == 100 // PARTS_PER_BATCH
    assert rig.requests.count("GET", "/customers") == 3


async def test_a_person_moves_to_another_customer_and_leaves_all(rig: Contacts) -> None:
    """An edit of the one column; without a value the person belongs to no company."""
    one, other = await rig.customer(), await rig.customer("Borealis Milling")
    made = await rig.create(customerId=one)
    moved = await rig.connector.update(TABLE, made.key, {"customerId": other}, LINES, version=made.version)
    assert moved.values["customerId"] == other
    assert (await rig.read_one(made.key)).values["customerId"] == other
    free = await rig.connector.update(TABLE, made.key, {"customerId": None}, LINES, version=moved.version)
    assert free.values["customerId"] is None
    assert rig.sandbox.rows(COMPANY, TABLE)[made.key]["companyNumber"] == ""


async def test_a_company_contact_with_a_new_number_is_found_again(rig: Contacts) -> None:
    """The number we knew is refused; the write goes out once more with the present one."""
    customer = await rig.customer()
    await rig.create(customerId=customer)
    await rig.sandbox.edit(COMPANY, TABLE, str(rig.company_of(customer)["id"]), {"number": "AURORA"})
    made = await rig.create(customerId=customer, displayName="Paolo Neri")
    assert made.values["customerId"] == customer
    assert rig.sandbox.rows(COMPANY, TABLE)[made.key]["companyNumber"] == "AURORA"


@pytest.mark.parametrize("setup", ["off", "person"])
async def test_a_customer_without_a_company_contact_takes_no_persons(setup: str) -> None:
    """Marketing Setup may create none, and a customer that is a person has none: column, cause and remedy are named."""
    rig = Contacts(BusinessCentralOptions(company_contacts=setup != "off"))
    customer = await rig.customer(type="Person" if setup == "person" else "Company")
    with pytest.raises(NoCompanyContact) as refused:
        await rig.create(customerId=customer)
    assert refused.value.answer.field == "customerId"
    assert "Marketing Setup" in refused.value.remedy
    assert rig.requests.count("POST", "/contacts") == 0
    assert await rig.connector.find(TABLE, "customerId", [customer], []) == []
    await rig.aclose()


@pytest.mark.parametrize("key", [UNKNOWN_KEY, "no key", 7])
async def test_a_customer_that_is_none_is_refused(rig: Contacts, key: Value) -> None:
    """Nothing is sent, and the column is named."""
    with pytest.raises(Refused) as refused:
        await rig.create(customerId=key)
    assert (type(refused.value), refused.value.answer.field) == (Refused, "customerId")
    assert rig.requests.count("POST") == 0


async def test_all_persons_of_a_customer_are_found(rig: Contacts) -> None:
    """What follows an account with its contacts: the persons, however many, and not the company itself."""
    customer, other = await rig.customer(), await rig.customer("Borealis Milling")
    persons = [await rig.person(customer, f"Person {number}") for number in range(7)]
    elsewhere = await rig.person(other)
    found = await rig.connector.find(TABLE, "customerId", [customer], LINES, limit=20_000)
    assert sorted(record.key for record in found) == sorted(persons)
    assert {record.values["customerId"] for record in found} == {customer}
    assert rig.calls() == 2
    both = await rig.connector.find(TABLE, "customerId", [customer, other, UNKNOWN_KEY, "no key"], [], limit=20_000)
    assert sorted(record.key for record in both) == sorted([*persons, elsewhere])
    assert len(await rig.connector.find(TABLE, "customerId", [customer], [], limit=3)) == 3


async def test_the_feed_of_contacts_names_customers(rig: Contacts) -> None:
    """Contacts raise no notices, so the feed is how their changes come; a page asks for its customers together."""
    customer = await rig.customer()
    persons = [await rig.person(customer, f"Person {number}") for number in range(5)]
    pages = [page async for page in rig.connector.changes(TABLE, None, LINES)]
    told = {record.key: record.values["customerId"] for page in pages for record in page.records}
    assert {key: value for key, value in told.items() if value} == dict.fromkeys(persons, customer)
    assert rig.requests.count("GET", "/customerContacts") == 1


async def test_an_ended_relation_brings_its_persons_into_the_feed(rig: Contacts) -> None:
    """Business Central writes into each of them what the company now is."""
    customer = await rig.customer()
    person = await rig.person(customer)
    rig.clock.elapsed += 86_400
    since = rig.connector.watermark_at(TABLE, rig.clock.now())
    await rig.sandbox.delete(COMPANY, "customers", customer)
    pages = [page async for page in rig.connector.changes(TABLE, since, LINES)]
    told = {record.key: record.values["customerId"] for page in pages for record in page.records}
    assert told[person] is None


async def test_the_metadata_shows_the_customer_as_a_reference(rig: Contacts) -> None:
    """Definitions are checked against it like any other column; what follows from the company is not written."""
    columns = (await rig.connector.metadata(TABLE)).columns
    customer = columns["customerId"]
    assert (customer.type, customer.target, customer.writable) == (ColumnType.REFERENCE, "customers", True)
    assert columns["type"].choices.keys() == {"Company", "Person"}
    assert (columns["displayName"].max_length, columns["jobTitle"].max_length) == (100, 30)
    read_only = {name for name, column in columns.items() if not column.writable}
    assert {"companyName", "contactBusinessRelation", "lastInteractionDate"} <= read_only
    assert "customerId" not in (await rig.connector.metadata("customers")).columns


async def test_too_long_a_part_of_a_name_is_refused(rig: Contacts) -> None:
    """First, middle and last name have thirty characters each."""
    with pytest.raises(Refused):
        await rig.create(displayName="Anna " + "V" * 31)
    assert rig.sandbox.rows(COMPANY, TABLE) == {}


async def test_a_series_of_contacts_that_forbids_manual_numbers_is_told() -> None:
    """As for customers: neither code nor text tell, so a create that cannot succeed is tried."""
    rig = Contacts(BusinessCentralOptions(contact_manual_numbers=False))
    with pytest.raises(ManualNumbersForbidden):
        await rig.create(number="CD-1")
    assert rig.sandbox.rows(COMPANY, TABLE) == {}
    await rig.aclose()
