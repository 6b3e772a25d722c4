"""Parts of PostOffice's customers and cost centres as records of the port, on both kinds of site."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from sandbox.faults import FaultKind
from shared.errors import AlreadyExists, NotMastered, RecordMissing, Refused, UnknownResult, VersionConflict
from shared.sync.ports import Change, NewRecord, Record, Value, VersionKind
from tests.contract.connectors.test_postoffice import CRM_ID, OTHER, PostOffice, post, whole

__all__ = ["post", "whole"]

CONTACTS, JOURNAL = "customer-contacts", "customer-journal"
COLUMNS = ["customerId", "lastName", "firstName", "email"]
ENTRY: Mapping[str, Value] = {"at": datetime(2026, 3, 1, 10, tzinfo=UTC), "subject": "Call", "text": "About prices"}
ENTRY_COLUMNS = ["customerId", "subject", "text", "at", "author"]


async def contact(post: PostOffice, owner: str, seed: str = "one", **values: Value) -> Record:
    """Put a new contact person of a customer."""
    wanted: dict[str, Value] = {"customerId": owner, "lastName": "Muster", **values}
    key = post.connector.derived_key(CONTACTS, seed, wanted)
    return await post.connector.create(CONTACTS, wanted, COLUMNS, key=key, within_seconds=60)


async def entry(post: PostOffice, owner: str, seed: str = "one") -> Record:
    """Enter something into a customer's journal."""
    wanted = {"customerId": owner, **ENTRY}
    key = post.connector.derived_key(JOURNAL, seed, wanted)
    return await post.connector.create(JOURNAL, wanted, ENTRY_COLUMNS, key=key, within_seconds=60)


def held(post: PostOffice, owner: str, part: str = "contacts") -> list[str]:
    """The keys of a customer's parts, as people see them."""
    return [f"{owner}/{one['key']}" for one in post.sandbox.rows("customers")[owner][part]]


async def test_a_contact_is_put_read_changed_and_taken_away(post: PostOffice) -> None:
    """R-110: under a key of ours; what is not named stays, and a repeated delete is fine."""
    owner = (await post.create()).key
    made = await contact(post, owner, firstName="Ada", email="ada@muster.example")
    assert dict(made.values) == {
        "customerId": owner,
        "lastName": "Muster",
        "firstName": "Ada",
        "email": "ada@muster.example",
    }
    assert held(post, owner) == [made.key]
    assert await post.connector.read(CONTACTS, [made.key, f"{owner}/none", "99/none"], COLUMNS) == {made.key: made}
    changed = await post.connector.update(CONTACTS, made.key, {"email": None}, COLUMNS, version=made.version)
    assert dict(changed.values) == {**made.values, "email": None}
    for _ in range(2):
        await post.connector.delete(CONTACTS, made.key)
    assert held(post, owner) == []
    with pytest.raises(RecordMissing):
        await post.connector.update(CONTACTS, made.key, {"email": None}, COLUMNS, version=None)


async def test_a_key_has_one_spelling_and_begins_with_its_owner(post: PostOffice) -> None:
    """The same seed at another owner is another record; a part without an owner there is not."""
    key = post.connector.derived_key(CONTACTS, "one", {"customerId": "10001"})
    assert key.startswith("10001/")
    assert post.connector.canonical_key(CONTACTS, key) == key
    other = post.connector.derived_key(CONTACTS, "one", {"customerId": "10002"})
    assert other.partition("/")[2] == key.partition("/")[2]
    assert other.partition("/")[2] != post.connector.derived_key(JOURNAL, "one", {"customerId": "1"}).partition("/")[2]
    for wrong in ("10001", "10001/", "/x", "10001/x/y", "../x", "10001/x y"):
        with pytest.raises(ValueError, match="PostOffice"):
            post.connector.canonical_key(CONTACTS, wrong)
    with pytest.raises(ValueError, match="owner"):
        post.connector.derived_key(CONTACTS, "one", {"lastName": "Muster"})


async def test_a_second_create_under_a_key_changes_nothing(post: PostOffice) -> None:
    owner = (await post.create()).key
    await contact(post, owner)
    with pytest.raises(AlreadyExists):
        await contact(post, owner, lastName="Other")
    assert [one["lastName"] for one in post.sandbox.rows("customers")[owner]["contacts"]] == ["Muster"]


async def test_many_parts_of_one_owner_are_read_with_one_request(post: PostOffice) -> None:
    """And their writes do not stand in each other's way, although each changes the owner."""
    owner, other = (await post.create()).key, (await post.create(crmId=OTHER)).key
    wanted = [
        NewRecord({"customerId": one, "lastName": f"P{number}"}, f"{one}/p{number}")
        for one in (owner, other)
        for number in range(4)
    ]
    made = await post.connector.create_many(CONTACTS, wanted, COLUMNS, within_seconds=60)
    assert all(isinstance(one, Record) for one in made)
    post.sandbox.requests.clear()
    found = await post.connector.read(CONTACTS, [one.key or "" for one in wanted], COLUMNS)
    assert {key: one.values["lastName"] for key, one in found.items()} == {
        one.key: one.values["lastName"] for one in wanted
    }
    assert post.sandbox.requests.count("GET") == 2
    changes = [Change(key, {"email": "x@muster.example"}, one.version) for key, one in found.items()]
    changed = await post.connector.update_many(CONTACTS, changes, COLUMNS, within_seconds=60)
    assert [one.values["email"] for one in changed if isinstance(one, Record)] == ["x@muster.example"] * 8


async def test_a_neighbour_that_changes_takes_nobody_their_version(whole: PostOffice) -> None:
    """A part's version is its own; somebody's edit of the part itself is noticed."""
    owner = (await whole.create()).key
    one, two = await contact(whole, owner, "one"), await contact(whole, owner, "two")
    await whole.connector.update(CONTACTS, two.key, {"email": "x@muster.example"}, COLUMNS, version=two.version)
    await whole.connector.update(CONTACTS, one.key, {"email": "y@muster.example"}, COLUMNS, version=one.version)
    with pytest.raises(VersionConflict):
        await whole.connector.update(CONTACTS, two.key, {"email": None}, COLUMNS, version=two.version)


async def test_what_the_site_knows_more_of_a_part_goes_back_as_it_came(post: PostOffice) -> None:
    """A part is put as a whole; columns that no definition names stay."""
    owner = (await post.create()).key
    post.sandbox.put_part(
        "customers", owner, "contacts", "own", {"lastName": "Muster", "mobile": "079"}, past_the_lock=True
    )
    await post.connector.update(CONTACTS, f"{owner}/own", {"email": "x@muster.example"}, COLUMNS, version=None)
    (row,) = post.sandbox.rows("customers")[owner]["contacts"]
    assert (row["mobile"], row["email"]) == ("079", "x@muster.example")


async def test_parts_are_found_by_their_owner_and_on_pages(post: PostOffice) -> None:
    owner, other = (await post.create()).key, (await post.create(crmId=OTHER)).key
    mine, theirs = await contact(post, owner, email="a@muster.example"), await contact(post, other)
    assert await post.connector.find(CONTACTS, "customerId", [owner], COLUMNS) == [mine]
    found = await post.connector.find(CONTACTS, "email", ["A@muster.example"], ["lastName"])
    assert [(one.key, dict(one.values)) for one in found] == [(mine.key, {"lastName": "Muster"})]
    paged = [one async for page in post.connector.pages(CONTACTS, None, COLUMNS) for one in page.records]
    assert {one.key for one in paged} == {mine.key, theirs.key}
    changed = [one async for page in post.connector.changes(CONTACTS, None, COLUMNS) for one in page.records]
    assert {one.key for one in changed} == {mine.key, theirs.key}


async def test_parts_of_an_owner_that_is_not_linked_wait(post: PostOffice) -> None:
    """Its parts are PostOffice's own; an owner that is gone is a refusal that names the column."""
    own = post.sandbox.create("customers", {"name": "Eigen AG"})
    with pytest.raises(NotMastered):
        await contact(post, own["id"])
    with pytest.raises(Refused) as gone:
        await contact(post, "99")
    assert gone.value.answer.field == "customerId"
    with pytest.raises(Refused) as long:
        await contact(post, (await post.create()).key, firstName="A" * 41)
    assert (long.value.answer.field, long.value.answer.vendor_code) == ("firstName", "InvalidFields")


async def test_discounts_and_prices_keep_their_digits(post: PostOffice) -> None:
    """R-111, R-112: of customers and cost centres, for a service, with the days on which they hold."""
    service = post.sandbox.create("services", {"number": "1", "name": "Franking"})["id"]
    owner = (await post.create()).key
    centre = await post.connector.create(
        "cost-centres", {"crmId": CRM_ID, "name": "Lager", "customerId": owner}, ["name"], key=None, within_seconds=60
    )
    first = datetime(2026, 1, 1, tzinfo=UTC).date()
    tables: Sequence[tuple[str, Mapping[str, Value]]] = (
        ("customer-discounts", {"customerId": owner, "percent": Decimal("2.5")}),
        ("customer-prices", {"customerId": owner, "price": Decimal("0.0125"), "currency": "CHF"}),
        ("cost-centre-discounts", {"costCentreId": centre.key, "percent": Decimal("3")}),
        ("cost-centre-prices", {"costCentreId": centre.key, "price": Decimal("1.05"), "currency": "EUR"}),
    )
    for table, values in tables:
        wanted: dict[str, Value] = {**values, "serviceId": service, "validFrom": first}
        key = post.connector.derived_key(table, "one", wanted)
        made = await post.connector.create(table, wanted, list(wanted), key=key, within_seconds=60)
        assert dict(made.values) == wanted
        assert await post.connector.read(table, [key], list(wanted)) == {key: made}


async def test_a_lost_answer_can_be_looked_up(post: PostOffice) -> None:
    """R-110, R-113: by the key, for parts and for entries of the journal."""
    owner = (await post.create()).key
    post.strike(FaultKind.LOST_ANSWER, "PUT")
    with pytest.raises(UnknownResult):
        await contact(post, owner)
    assert len(await post.connector.read(CONTACTS, held(post, owner), COLUMNS)) == 1
    post.strike(FaultKind.LOST_ANSWER, "POST")
    with pytest.raises(UnknownResult):
        await entry(post, owner)
    key = post.connector.derived_key(JOURNAL, "one", {"customerId": owner})
    assert set(await post.connector.read(JOURNAL, [key], ENTRY_COLUMNS)) == {key}


async def test_an_entry_of_the_journal_is_read_as_it_was_written(post: PostOffice) -> None:
    """R-113: and never changed or taken away."""
    owner = (await post.create()).key
    made = await entry(post, owner)
    assert dict(made.values) == {"customerId": owner, "author": None, **ENTRY}
    assert await post.connector.read(JOURNAL, [made.key], ENTRY_COLUMNS) == {made.key: made}
    assert await post.connector.find(JOURNAL, "customerId", [owner], ["subject"]) == [
        Record(made.key, made.version, {"subject": "Call"})
    ]
    capabilities = post.connector.capabilities(JOURNAL)
    assert (capabilities.immutable, capabilities.deletes) == (True, False)
    assert capabilities.enforces_key is post.site.idempotency_keys
    with pytest.raises(ValueError, match="journal"):
        await post.connector.update(JOURNAL, made.key, {"subject": "Other"}, [], version=None)
    with pytest.raises(ValueError, match="journal"):
        await post.connector.delete(JOURNAL, made.key)


async def test_a_repeated_entry_is_the_same_one_where_the_site_knows_the_key(whole: PostOffice) -> None:
    """R-113: elsewhere nothing but the look before tells, and the engine waits for the longest run first."""
    owner = (await whole.create()).key
    assert (await entry(whole, owner)).key == (await entry(whole, owner)).key
    assert len(whole.sandbox.rows("journal")) == 1


async def test_records_that_are_no_parts_are_never_deleted(post: PostOffice) -> None:
    made = await post.create()
    assert not post.connector.capabilities("customers").deletes
    with pytest.raises(ValueError, match="cannot be deleted"):
        await post.connector.delete("customers", made.key)
    kind = VersionKind.OPAQUE if post.site.versions else VersionKind.NONE
    assert post.connector.capabilities(CONTACTS).version is kind
