"""The demo's second story: the CRM and a site's PostOffice, all eighteen kinds of data, each in its direction.

Exit codes as of the first story. Webhooks tell of the CRM's changes; what PostOffice has changed is found by its feed,
which is read here when the story wants it instead of every few minutes.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import httpx

from local.demo_telling import chapter, handled, hold, playing, say, told, until
from local.run import operations
from local.run_world import LocalRun, Wish
from sandbox.dataverse import DataverseSandbox
from sandbox.postoffice.sandbox import PostOfficeSandbox

Row = Mapping[str, Any]

SETTINGS: Final = {
    "CROSSDOCK_SYSTEMS": "dataverse,postoffice",
    "CROSSDOCK_POSTOFFICE_SITE": '{"account_manager_type": "10001"}',
}
"""10001 is the id of the first record that the sandbox of PostOffice makes: the type of account manager."""
LISTS: Final = {
    "Customer groups": ("customer-groups", "cdock_customergroup"),
    "Price groups": ("price-groups", "cdock_pricegroup"),
    "Invoicing clients": ("invoicing-clients", "cdock_invoicingclient"),
    "Services": ("services", "cdock_postservice"),
    "Articles": ("articles", "cdock_postarticle"),
}
TAKES_CUSTOMERS: Final = "postoffice_customer_to_dataverse"
TAKES_COST_CENTRES: Final = "cost_centre_to_dataverse"
MOVES: Final = 18


def main(arguments: Sequence[str]) -> int:
    """Tell the whole story."""
    return told(_demo, arguments)


async def _demo(folder: Path) -> None:
    say("Crossdock: the sandboxes of a CRM and of PostOffice, the queue and the functions start on this machine ...")
    async with playing(Wish(state=folder, settings=SETTINGS)) as run, operations(run) as operator:
        await _Story(run, operator).tell()


class _Story:
    """The chapters, in order. Each is told only after it was seen."""

    def __init__(self, run: LocalRun, operator: httpx.AsyncClient) -> None:
        self.run, self.operator = run, operator
        self.moved: list[str] = []
        self.anna = self.gamma = self.delta = self.centre = ""
        self.site_gamma = self.site_centre = self.site_delta = self.service = ""

    @property
    def crm(self) -> DataverseSandbox:
        assert self.run.crm is not None
        return self.run.crm

    @property
    def site(self) -> PostOfficeSandbox:
        assert self.run.post is not None
        return self.run.post

    async def tell(self) -> None:
        """All chapters."""
        await self._nothing_moves()
        await self._lists_arrive()
        await self._customers_are_taken_over()
        await self._automatic()
        await self._what_belongs_to_a_customer()
        await self._what_happened_there()
        await self._pickup_locations()
        hold(f"all {MOVES} kinds of data have moved; {len(self.moved)} have", len(set(self.moved)) == MOVES)
        say(f"\nAll {MOVES} kinds of data moved, each in its direction, and were seen in both systems. Done.")

    # --- what the chapters are told with ---

    async def _walk(self, *tables: str) -> None:
        """Read the site's feed for these lists now."""
        assert self.run.app is not None
        engine = await self.run.app.engine()
        for table in tables:
            await engine.walks.now("postoffice", table)

    async def _mode(self, mode: str, acknowledge: int | None = None) -> Row:
        now = (await self.operator.get("/modes/postoffice/dataverse")).raise_for_status().json()
        wish = {"mode": mode, "by": "demo", "reason": "the story", "etag": now["etag"]}
        wish |= {} if acknowledge is None else {"acknowledge": acknowledge}
        answer = await self.operator.put("/modes/postoffice/dataverse", json=wish)
        moved: Row = answer.raise_for_status().json()
        return moved

    async def _take_over(self, transfer: str, key: str) -> Row:
        wish = {"keys": [key], "by": "demo", "reason": "the story"}
        answer = (await self.operator.post(f"/transfers/{transfer}/take-over", json=wish)).raise_for_status()
        (item,) = answer.json()["items"]
        taken: Row = item
        return taken

    def _moves(self, what: str, direction: str, seen: str) -> None:
        """Say that one kind of data has moved."""
        self.moved.append(what)
        say(f"  {len(self.moved):>2}. {what} ({direction}): {seen}")

    def _there(self, table: str, key: str) -> Row:
        """A record of PostOffice with its parts."""
        return self.site.rows(table)[key]

    async def _one(self, what: str, table: str, column: str, value: object) -> Row:
        """The one row of the CRM with a value, once it is there."""

        def rows() -> list[Row]:
            return [{"key": key, **row} for key, row in self.crm.rows(table).items() if row.get(column) == value]

        async def there() -> bool:
            return bool(rows())

        await until(f"{what} has arrived in the CRM", there)
        found = rows()
        hold(f"{what} is there once; it is there {len(found)} times", len(found) == 1)
        return found[0]

    # --- the chapters ---

    async def _nothing_moves(self) -> None:
        chapter("A fresh installation exchanges nothing, although every switch is on")
        self.site.create("account-manager-types", {"number": "1", "name": "Sales"})
        for what, (table, _) in LISTS.items():
            row_id = self.site.create(table, {"number": "1", "name": f"{what} one"})["id"]
            self.service = row_id if table == "services" else self.service
        self.site.create("employees", {"number": "E-1", "name": "Anna", "lastName": "Berger", "firstName": "Anna"})
        self.anna = await self.crm.create(
            "systemuser", {"firstname": "Anna", "lastname": "Berger", "employeeid": "E-1"}
        )
        account = await self.crm.create("account", {"name": "Early"}, user=self.anna)
        await self._walk(*(table for table, _ in LISTS.values()))
        await handled(self.run)
        hold("PostOffice has no customer", not self.site.rows("customers"))
        hold("the CRM has no list of PostOffice's", not any(self.crm.rows(crm) for _, crm in LISTS.values()))
        await until("the journal tells why", lambda: self._skipped(account))
        say("  The mode is none until a person chooses another. Journal of the account: skipped, mode none.")
        await self.crm.edit("account", account, {"cdock_nopostoffice": True}, user=self.anna)
        await handled(self.run)

    async def _skipped(self, account: str) -> bool:
        journal = (await self.operator.get(f"/journal/dataverse/account/{account}")).raise_for_status().json()
        return any((one["outcome"], one["reason"]) == ("skipped", "mode none") for one in journal["items"])

    async def _lists_arrive(self) -> None:
        chapter("Mode manual: PostOffice's lists arrive in the CRM")
        hold("the mode is manual", (await self._mode("manual"))["mode"] == "manual")
        await self._walk(*(table for table, _ in LISTS.values()))
        for what, (_, table) in LISTS.items():
            row = await self._one(what, table, "cdock_number", "1")
            self._moves(what, "PostOffice to CRM", str(row["cdock_name"]))

    async def _customers_are_taken_over(self) -> None:
        chapter("A person takes over a customer and its cost centre")
        address = {"main": {"street": "Hafenstrasse 1", "city": "Bremen", "country": "DE"}}
        self.site_gamma = self.site.create("customers", {"number": "77", "name": "Gamma AG", "addresses": address})[
            "id"
        ]
        self.site_centre = self.site.create(
            "cost-centres", {"number": "77-1", "name": "Lager", "customerId": self.site_gamma}
        )["id"]
        taken = await self._take_over(TAKES_CUSTOMERS, self.site_gamma)
        placed = await self._take_over(TAKES_COST_CENTRES, self.site_centre)
        self.gamma, self.centre = str(taken["partner"]), str(placed["partner"])
        hold(f"both were made in the CRM; they were {taken['result']}, {placed['result']}",
             {taken["result"], placed["result"]} == {"created"})  # fmt: skip
        there = self._there("customers", self.site_gamma)
        hold("PostOffice has the CRM's id and is not master any more", there["crmId"] == self.gamma)
        say("  Gamma AG and its cost centre are in the CRM; PostOffice keeps the CRM's id, and the CRM is master now.")

    async def _automatic(self) -> None:
        chapter("Mode automatic, after its warning: what the CRM has and PostOffice has not is made there")
        self.delta = await self.crm.create("account", _DELTA, user=self.anna)
        await handled(self.run)
        hold("nothing was made before", len(self.site.rows("customers")) == 1)
        warned = await self._mode("automatic")
        hold(f"one account would be made; {warned.get('acknowledge')} would", warned.get("acknowledge") == 1)
        hold("it is still manual", not warned["moved"])
        say(f"  {warned['warning']}")
        say("  One would be made, one is opted out; a person acknowledges it.")
        hold("the mode is automatic", (await self._mode("automatic", acknowledge=1))["moved"])

        async def made() -> bool:
            return len(self.site.rows("customers")) == 2

        await until("PostOffice has the account as a customer", made)
        await handled(self.run)
        (self.site_delta,) = [key for key in self.site.rows("customers") if key != self.site_gamma]
        there = self._there("customers", self.site_delta)
        hold("it has the CRM's id", there["crmId"] == self.delta)
        hold(f"its general data are there; they are {there['telephone']}", there["telephone"] == _DELTA["telephone1"])
        self._moves("General data", "CRM to PostOffice", f"{there['name']}, {there['telephone']}")
        main, invoice = there["addresses"]["main"], there["addresses"]["invoice"]
        hold("its master address is there", main["city"] == _DELTA["address1_city"])
        self._moves("Master address", "CRM to PostOffice", f"{main['street']}, {main['city']}")
        hold("its invoice address is there", invoice["city"] == _DELTA["address2_city"])
        self._moves("Invoice address", "CRM to PostOffice", f"{invoice['street']}, {invoice['city']}")
        await self._manager_is_anna()

    async def _manager_is_anna(self) -> None:
        """Whoever changed the account last; our own writes do not count."""

        async def there() -> bool:
            return bool(self._there("customers", self.site_delta).get("accountManagers"))

        await until("the customer has its account manager", there)
        (employee,) = self.site.rows("employees")
        (manager,) = self._there("customers", self.site_delta)["accountManagers"]
        hold("it is the employee with the user's personnel number", manager["employeeId"] == employee)
        self._moves("Account manager", "CRM to PostOffice", "Anna Berger, who changed the account last")

    async def _what_belongs_to_a_customer(self) -> None:
        chapter("What belongs to a customer follows it")
        service = (await self._one("the service", "cdock_postservice", "cdock_number", "1"))["key"]
        of_delta = {"cdock_accountid": self.delta}
        person = {"lastname": "Rossi", "firstname": "Maria", "parentcustomerid": ("account", self.delta)}
        await self.crm.create("contact", person, user=self.anna)
        await self.crm.create("cdock_discount", {**of_delta, "cdock_percent": Decimal("2.5")}, user=self.anna)
        price = {**of_delta, "cdock_serviceid": service, "cdock_price": Decimal("1.10"), "cdock_currency": "EUR"}
        await self.crm.create("cdock_customerprice", price, user=self.anna)
        note = {"subject": "Visit", "notetext": "Wants a second pick-up", "objectid": ("account", self.delta)}
        await self.crm.create("annotation", note, user=self.anna)
        for what, part, shown in (
            ("Contact persons", "contacts", "lastName"),
            ("Discount", "discounts", "percent"),
            ("Customer prices", "prices", "price"),
        ):
            found = await self._part(what, part)
            self._moves(what, "CRM to PostOffice", str(found[shown]))
        entry = await self._entry()
        self._moves("Journal", "CRM to PostOffice", f"{entry['subject']}, by {entry['author']}")

    async def _part(self, what: str, part: str) -> Row:
        async def there() -> bool:
            return bool(self._there("customers", self.site_delta).get(part))

        await until(f"{what} of the customer are there", there)
        (found,) = self._there("customers", self.site_delta)[part]
        row: Row = found
        return row

    async def _entry(self) -> Row:
        async def there() -> bool:
            return bool(self.site.rows("journal"))

        await until("the journal has an entry", there)
        (found,) = self.site.rows("journal").values()
        return found

    async def _what_happened_there(self) -> None:
        chapter("What happens in PostOffice is shown in the CRM")
        today = datetime.now(UTC).date()
        mine = {"customerId": self.site_gamma, "costCentreId": self.site_centre}
        for days in (1, 2):
            day = today - timedelta(days=days)
            self.site.ship(self.site_gamma, self.service, day, items=100 * days, grams=5000, amount=Decimal("12.50"))
        self.site.create("invoices", {**mine, "number": "I-1", "invoicedOn": today.isoformat(), "amount": "25.0000"})
        self.site.create("orders", {**mine, "number": "O-1", "orderedOn": today.isoformat(), "amount": "25.0000"})
        complaint = {**mine, "number": "C-1", "subject": "Box was wet", "reportedAt": datetime.now(UTC).isoformat()}
        self.site.create("complaints", complaint)
        await self._walk("invoices", "orders", "complaints")
        assert self.run.app is not None
        await (await self.run.app.engine()).windows.now("shipment_statistics_to_dataverse")
        statistics = await self._one("the day's statistics", "cdock_shipmentstatistic", "cdock_items", 200)
        hold("they are on the customer's account", statistics["cdock_accountid"] == self.gamma)
        self._moves("Shipment statistics", "PostOffice to CRM", f"{statistics['cdock_items']} items on a day")
        invoice = await self._one("the invoice", "cdock_postinvoice", "cdock_number", "I-1")
        self._moves("Invoices", "PostOffice to CRM", f"{invoice['cdock_number']}, {invoice['cdock_amount']}")
        order = await self._one("the order", "cdock_postorder", "cdock_number", "O-1")
        self._moves("Orders", "PostOffice to CRM", f"{order['cdock_number']}, {order['cdock_amount']}")
        case = await self._one("the complaint", "incident", "cdock_postnumber", "C-1")
        hold("the cost centre's complaint is a case of its customer", case["customerid"] == self.gamma)
        hold("the case names the cost centre", case["cdock_costcentreid"] == self.centre)
        self._moves("Complaints", "PostOffice to CRM", f"{case['title']}: a case of Gamma AG, with its cost centre")

    async def _pickup_locations(self) -> None:
        chapter("Pick-up locations go both ways")
        ours = {"cdock_name": "Gate 1", "cdock_city": "Bolzano", "cdock_accountid": self.delta}
        await self.crm.create("cdock_pickuplocation", ours, user=self.anna)

        async def there() -> bool:
            return any(row["name"] == "Gate 1" for row in self.site.rows("pickup-locations").values())

        await until("the CRM's location is in PostOffice", there)
        self.site.create("pickup-locations", {"number": "P-9", "name": "Ramp 2", "customerId": self.site_gamma})
        await self._walk("pickup-locations")
        await self._one("PostOffice's location", "cdock_pickuplocation", "cdock_name", "Ramp 2")
        await handled(self.run)
        counts = (len(self.site.rows("pickup-locations")), len(self.crm.rows("cdock_pickuplocation")))
        hold(f"each side has two; they have {counts}", counts == (2, 2))
        self._moves("Pick-up locations", "both ways", "one made in the CRM, one in PostOffice; both have two now")


_DELTA: Final[Mapping[str, Any]] = {
    "name": "Delta Srl",
    "telephone1": "+39 0471 400400",
    "address1_line1": "Via Dante 4",
    "address1_postalcode": "39100",
    "address1_city": "Bolzano",
    "address1_country": "IT",
    "address2_line1": "Casella postale 9",
    "address2_city": "Trento",
    "address2_country": "IT",
}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
