"""What people do in a CRM and at a site of PostOffice while the engine runs; each story at a site that offers all of
its contract and at one that offers the least."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

from shared.routes import Overtaken, Unknown
from shared.stores.rows import RowStore
from shared.sync.full_compare import FullCompares
from tests.simulation.postoffice import SITES, PostWorld
from tests.simulation.site_sweep import SiteStory, at_each
from tests.simulation.world import Faults

ACCOUNT: Mapping[str, Any] = {"name": "Alfa", "telephone1": "+41 44 1", "address1_city": "Zug"}


@dataclass(frozen=True)
class PostStory(SiteStory[PostWorld]):
    """A story at a site of PostOffice."""

    def world(self, faults: Faults, rows: RowStore | None) -> PostWorld:
        return PostWorld(self.site, self.definitions, faults, rows, by_requests=self.by_requests)


# --- people ---


async def _account(world: PostWorld) -> None:
    await world.typed("account", ACCOUNT)


async def _customer_is_there(world: PostWorld) -> None:
    world.site.create("customers", {"number": "77", "name": "ALFA", "email": "post@alfa.example"})


async def _account_of_that_number(world: PostWorld) -> None:
    await world.typed("account", {**ACCOUNT, "cdock_postnumber": "77"})


def _the_account(world: PostWorld) -> str:
    return next(iter(world.dataverse.rows("account")))


def _the_customer(world: PostWorld) -> str:
    return next(iter(world.site.rows("customers")))


async def _edited_on_both_sides(world: PostWorld) -> None:
    """In the CRM what it masters, at the site past the lock what it does not."""
    world.site.edit("customers", _the_customer(world), {"name": "Typed in vain"}, past_the_lock=True)
    await world.typed("account", {"telephone1": "+41 44 2", "address1_city": None}, _the_account(world))


async def _edited_in_vain(world: PostWorld) -> None:
    world.site.edit("customers", _the_customer(world), {"name": "Typed in vain"}, past_the_lock=True)


async def _account_deleted(world: PostWorld) -> None:
    await world.removed("account", _the_account(world))


async def _account_and_one_opted_out(world: PostWorld) -> None:
    await _account(world)
    await world.typed("account", {"name": "Alfa AG", "cdock_nopostoffice": True})


async def _accounts_merged(world: PostWorld) -> None:
    """Into the one that has no customer."""
    merged, left = world.dataverse.rows("account")
    await world.dataverse.merge("account", merged, left, {})
    for key in (left, merged):
        world.hear("account", key)


async def _belongs_to_the_account_that_is_left(world: PostWorld) -> None:
    _, left = world.dataverse.rows("account")
    there = world.site.rows("customers")[_the_customer(world)]
    told = (there["crmId"], there["master"], there["name"])
    assert told == (left, "CRM", "Alfa AG"), f"merged: PostOffice's customer is {told}"
    assert await world.linked() == [left]


async def _account_and_cost_centre(world: PostWorld) -> None:
    """The cost centre is told of first."""
    account = await world.dataverse.create("account", ACCOUNT)
    await world.typed("cdock_costcentre", {"cdock_name": "Mill 2", "cdock_accountid": account})
    world.hear("account", account)


async def _cost_centre_moves(world: PostWorld) -> None:
    other = await world.typed("account", {"name": "Beta"})
    centre = next(iter(world.dataverse.rows("cdock_costcentre")))
    await world.typed("cdock_costcentre", {"cdock_accountid": other, "cdock_city": "Chur"}, centre)


async def _articles(world: PostWorld) -> None:
    for number in ("1", "2", "3"):
        world.site.create("articles", {"number": number, "name": f"A{number}", "price": "1.5"})


async def _article_known_by_its_number(world: PostWorld) -> None:
    await world.typed("cdock_postarticle", {"cdock_number": "2", "cdock_name": "by hand"})


async def _articles_change(world: PostWorld) -> None:
    first, second, _ = world.site.rows("articles")
    world.site.edit("articles", first, {"name": "New", "price": None})
    world.site.edit("articles", second, {"active": False})
    row = next(iter(world.dataverse.rows("cdock_postarticle")))
    await world.typed("cdock_postarticle", {"cdock_name": "Typed in vain"}, row)


async def _article_vanishes(world: PostWorld) -> None:
    """One of three is deleted, and another one follows."""
    first, second, _ = world.site.rows("articles")
    world.site.delete("articles", second)
    world.site.edit("articles", first, {"name": "New"})


async def _orders(world: PostWorld) -> None:
    """One of a linked customer, and one of a customer that PostOffice keeps for itself."""
    other = world.site.create("customers", {"name": "Eigen AG", "number": "88"})["id"]
    for number, customer in (("1", _the_customer(world)), ("2", other)):
        values = {"number": number, "customerId": customer, "orderedOn": "2026-01-05", "amount": "1.5", "state": "open"}
        world.site.create("orders", values)


async def _complaint_of_a_cost_centre(world: PostWorld) -> None:
    centre, about = next(iter(world.site.rows("cost-centres").items()))
    of = {"customerId": about["customerId"], "costCentreId": centre}
    told = {"number": "B-1", "subject": "Letter lost", "reportedAt": "2026-01-05T08:00:00Z", "state": "new"}
    world.site.create("complaints", {**of, **told})


async def _people_and_an_account(world: PostWorld) -> None:
    """Two users of the CRM who are employees of PostOffice; the first one makes an account."""
    for number, name in enumerate(("Berger", "Costa")):
        world.site.create("employees", {"number": f"E-{number}", "name": name, "lastName": name})
        user = await world.dataverse.create("systemuser", {"employeeid": f"E-{number}", "lastname": name})
        world.hear("systemuser", user)
    await world.settled()
    await world.typed("account", ACCOUNT, user=_user(world, "Berger"))


def _user(world: PostWorld, name: str) -> str:
    users = world.dataverse.rows("systemuser")
    return next(key for key, row in users.items() if row["lastname"] == name)


async def _edited_by_another(world: PostWorld) -> None:
    """And PostOffice has given the customer another number, which we carry back: our own edit is the CRM's last one."""
    world.site.edit("customers", _the_customer(world), {"number": "4711"}, past_the_lock=True)
    account = _the_account(world)
    await world.typed("account", {"telephone1": "+41 44 5"}, account, user=_user(world, "Costa"))


async def _is_managed_by_the_other(world: PostWorld) -> None:
    (part,) = world.site.rows("customers")[_the_customer(world)]["accountManagers"]
    managers = {key: row["lastName"] for key, row in world.site.rows("employees").items()}
    assert managers[part["employeeId"]] == "Costa", "managed: by another one than whoever changed the customer last"


async def _shipments(world: PostWorld) -> None:
    """Of a customer and its cost centre, on each of three days; the next day's window is without the oldest."""
    await _account_and_cost_centre(world)
    world.site.create("services", {"number": "1", "name": "Courier"})
    await world.settled()
    _ship(world, {back: back + 1 for back in range(3)})
    await world.clock.sleep(86_400)


def _ship(world: PostWorld, items: Mapping[int, int]) -> None:
    """So many items by how many days back."""
    (service,), (centre,) = world.site.rows("services"), world.site.rows("cost-centres")
    today = world.clock.now().date()
    for back, count in items.items():
        for of in (None, centre):
            day = today - timedelta(days=back)
            world.site.ship(_the_customer(world), service, day, items=count, grams=count, cost_centre_id=of)


async def _corrected(world: PostWorld) -> None:
    """The next day: a new one, and one that has vanished; that of a day outside the window changes unseen."""
    await world.clock.sleep(86_400)
    _ship(world, {0: 7, 2: 0, 3: 9})


async def _are_those_of_the_window(world: PostWorld) -> None:
    today = world.clock.now().date()
    rows = world.dataverse.rows("cdock_shipmentstatistic").values()
    shown = sorted(((today - row["cdock_day"]).days, row["cdock_items"]) for row in rows)
    assert shown == [(0, 7), (0, 7), (3, 2), (3, 2)], f"statistics: {shown}"


async def _account_and_contact(world: PostWorld) -> None:
    """The contact is told of first."""
    account = await world.dataverse.create("account", ACCOUNT)
    await world.typed("contact", {"lastname": "Muster", "parentcustomerid": ("account", account)})
    world.hear("account", account)


async def _contact_moves(world: PostWorld) -> None:
    other = await world.typed("account", {"name": "Beta"})
    contact = next(iter(world.dataverse.rows("contact")))
    await world.typed("contact", {"parentcustomerid": ("account", other), "telephone1": "+41 44 3"}, contact)


async def _contact_deleted(world: PostWorld) -> None:
    await world.removed("contact", next(iter(world.dataverse.rows("contact"))))


async def _discount(world: PostWorld) -> None:
    await world.typed("cdock_discount", {"cdock_percent": Decimal(3), "cdock_accountid": _the_account(world)})


async def _discount_changes(world: PostWorld) -> None:
    """One is changed, another one made."""
    discount = next(iter(world.dataverse.rows("cdock_discount")))
    await world.typed("cdock_discount", {"cdock_percent": Decimal(5)}, discount)
    await _discount(world)


async def _account_with_discount(world: PostWorld) -> None:
    await _account(world)
    await world.settled()
    await _discount(world)


async def _phone_call(world: PostWorld) -> None:
    about = {"subject": "Called", "regardingobjectid": ("account", _the_account(world))}
    call = await world.dataverse.create("phonecall", about)
    await world.typed("phonecall", {"statecode": 1, "statuscode": 2}, call)


async def _pickup_locations(world: PostWorld) -> None:
    """One is made in the CRM and one at the site."""
    values = {"cdock_name": "Ramp 1", "cdock_accountid": _the_account(world), "cdock_opensat": "07:30"}
    await world.typed("cdock_pickuplocation", values)
    world.site.create("pickup-locations", {"name": "Ramp 2", "customerId": _the_customer(world)})


async def _account_with_pickup_location(world: PostWorld) -> None:
    await _account(world)
    await world.settled()
    values = {"cdock_name": "Ramp 1", "cdock_accountid": _the_account(world)}
    await world.typed("cdock_pickuplocation", values)


async def _pickup_location_changes_on_both_sides(world: PostWorld) -> None:
    """One field on both sides, and one on each."""
    (here,), (there,) = world.dataverse.rows("cdock_pickuplocation"), world.site.rows("pickup-locations")
    world.site.edit("pickup-locations", there, {"name": "Gate", "opensAt": "08:00"})
    await world.typed("cdock_pickuplocation", {"cdock_name": "Door", "cdock_street": "Mill Lane"}, here)


async def _holds_parts(world: PostWorld) -> None:
    """What the CRM has of contacts and discounts PostOffice has once, each; of the journal every entry once."""
    for table, name in (("contact", "contacts"), ("cdock_discount", "discounts")):
        there = sum(len(row[name]) for row in world.site.rows("customers").values())
        assert there == len(world.dataverse.rows(table)), f"parts: {there} {name}"
    entries = len(world.site.rows("journal"))
    assert entries == len(world.dataverse.rows("phonecall")), f"parts: {entries} entries of the journal"


async def _night(world: PostWorld) -> None:
    """The nightly compare: the poorest site tells of no deletes."""
    await FullCompares(world.untroubled()).begin_all()


# --- unlinking ---


async def _unlinked(world: PostWorld) -> None:
    """A person undoes the link of the account; one that is being used in this moment, or is not made yet, stays."""
    try:
        place = ("dataverse", "account", _the_account(world))
        await world.operations().unlink(place, "account_to_postoffice", "a person", "two companies")
    except (Overtaken, Unknown):
        return


async def _edited_once_more(world: PostWorld) -> None:
    """After the link is undone for certain, PostOffice has its customer back, and an edit of the CRM reaches nobody."""
    await _unlinked(world)
    await world.typed("account", {"telephone1": "+41 44 9"}, _the_account(world))
    await world.settled()
    customer = world.site.rows("customers")[_the_customer(world)]
    assert (customer["crmId"], customer["master"]) == (None, "PO")
    assert customer["telephone"] != "+41 44 9"


STORIES = at_each(
    SITES,
    PostStory("account becomes a customer", ("customer",), _account, holds={"customers": 1}),
    PostStory(
        "account finds its customer by the number",
        ("customer",),
        _account_of_that_number,
        before=_customer_is_there,
        holds={"customers": 1},
    ),
    PostStory("edits on both sides", ("customer",), _edited_on_both_sides, before=_account, holds={"customers": 1}),
    PostStory(
        "an edit at the site is put back", ("customer",), _edited_in_vain, _account, rounds=2, holds={"customers": 1}
    ),
    PostStory("account deleted", ("customer",), _account_deleted, before=_account, holds={"customers": 1}),
    PostStory(
        "an account is merged into another one",
        ("customer",),
        _accounts_merged,
        before=_account_and_one_opted_out,
        after=_belongs_to_the_account_that_is_left,
        holds={"customers": 1},
    ),
    PostStory(
        "cost centre comes with its account",
        ("customer", "cost_centre"),
        _account_and_cost_centre,
        holds={"customers": 1, "cost-centres": 1},
    ),
    PostStory(
        "cost centre moves to a new account",
        ("customer", "cost_centre"),
        _cost_centre_moves,
        before=_account_and_cost_centre,
        holds={"customers": 2, "cost-centres": 1},
    ),
    PostStory(
        "articles arrive", ("article",), _articles, _article_known_by_its_number, rounds=2, holds={"articles": 3}
    ),
    PostStory("articles change", ("article",), _articles_change, before=_articles, rounds=2, holds={"articles": 3}),
    PostStory(
        "an article vanishes",
        ("article",),
        _article_vanishes,
        before=_articles,
        after=_night,
        rounds=2,
        holds={"articles": 2},
    ),
    PostStory(
        "a contact comes with its account",
        ("customer", "customer_contact"),
        _account_and_contact,
        after=_holds_parts,
        holds={"customers": 1},
    ),
    PostStory(
        "a contact moves to a new account",
        ("customer", "customer_contact"),
        _contact_moves,
        before=_account_and_contact,
        after=_holds_parts,
        holds={"customers": 2},
    ),
    PostStory(
        "a contact is deleted",
        ("customer", "customer_contact"),
        _contact_deleted,
        before=_account_and_contact,
        after=_holds_parts,
        holds={"customers": 1},
    ),
    PostStory(
        "discounts change",
        ("customer", "customer_discount"),
        _discount_changes,
        before=_account_with_discount,
        after=_holds_parts,
        holds={"customers": 1},
    ),
    PostStory(
        "a phone call is entered in the journal",
        ("customer", "customer_phone_call"),
        _phone_call,
        before=_account,
        after=_holds_parts,
        holds={"customers": 1},
    ),
    PostStory(
        "pick-up locations are made on both sides",
        ("customer", "pickup_location"),
        _pickup_locations,
        before=_account,
        rounds=2,
        holds={"pickup-locations": 2},
    ),
    PostStory(
        "a pick-up location changes on both sides",
        ("customer", "pickup_location"),
        _pickup_location_changes_on_both_sides,
        before=_account_with_pickup_location,
        rounds=2,
        holds={"pickup-locations": 1},
    ),
    PostStory("orders arrive", ("customer", "order"), _orders, before=_account, rounds=2, holds={"orders": 2}),
    PostStory(
        "a cost centre's complaint becomes a case",
        ("customer", "cost_centre", "complaint"),
        _complaint_of_a_cost_centre,
        before=_account_and_cost_centre,
        rounds=2,
        holds={"complaints": 1},
    ),
    PostStory(
        "whoever edits becomes account manager",
        ("customer", "employee"),
        _edited_by_another,
        before=_people_and_an_account,
        after=_is_managed_by_the_other,
        holds={"customers": 1},
    ),
    PostStory(
        "statistics are computed anew",
        ("customer", "cost_centre", "service", "shipment_statistics"),
        _corrected,
        before=_shipments,
        after=_are_those_of_the_window,
        rounds=2,
        holds={"customers": 1},
    ),
    PostStory(
        "unlinked while an edit is carried",
        ("customer",),
        _edited_on_both_sides,
        before=_account,
        meanwhile=_unlinked,
        after=_edited_once_more,
        holds={"customers": 1},
    ),
    PostStory(
        "unlinked while the partner is made",
        ("customer",),
        _account,
        meanwhile=_unlinked,
        after=_edited_once_more,
        holds={"customers": 1},
    ),
)
"""Every story of PostOffice's transfers."""
