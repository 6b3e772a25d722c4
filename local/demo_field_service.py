"""The demo's fourth story: the CRM, the ERP and an FSM server; jobs, warranties and quotations both ways, and checks
while somebody waits.

Exit codes as of the first story. Both systems tell of their changes; nothing is walked.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import httpx

from local.demo_telling import chapter, handled, hold, playing, say, told, until
from local.run_field_service import FSM
from local.run_world import LocalRun, Wish
from sandbox.business_central import BusinessCentralSandbox
from sandbox.dataverse import DataverseSandbox
from sandbox.dataverse.errors import DataverseError
from sandbox.faults import FaultKind, FaultRule
from sandbox.field_service.sandbox import FieldServiceSandbox

Row = Mapping[str, Any]

SETTINGS: Final = {"CROSSDOCK_SYSTEMS": "dataverse,business_central,fsm", "CROSSDOCK_CHECKS_CONFIRM": "salesorder"}
AURORA: Final[Row] = {
    "name": "Aurora Milling",
    "customertypecode": 3,
    "cdock_stage": "qualified",
    "address1_country": "IT",
    "address1_postalcode": "39100",
    "address1_city": "Bolzano",
}
COMPLETED, PAYABLE, CONFIRMED = 100000003, 100000002, 100000002


def main(arguments: Sequence[str]) -> int:
    """Tell the whole story."""
    return told(_demo, arguments)


async def _demo(folder: Path) -> None:
    say("Crossdock: the sandboxes of a CRM, an ERP and an FSM server, the queue and the functions start ...")
    async with playing(Wish(state=folder, settings=SETTINGS, notice_seconds=1.0)) as run, httpx.AsyncClient() as caller:
        await _Story(run, caller).tell()


class _Story:
    """The chapters, in order. Each is told only after it was seen."""

    def __init__(self, run: LocalRun, caller: httpx.AsyncClient) -> None:
        self.run, self.caller = run, caller
        self.account = self.place = self.job = self.task = ""

    @property
    def crm(self) -> DataverseSandbox:
        assert self.run.crm is not None
        return self.run.crm

    @property
    def erp(self) -> BusinessCentralSandbox:
        assert self.run.erp is not None
        return self.run.erp

    @property
    def fsm(self) -> FieldServiceSandbox:
        return self.run.field_service[FSM]

    async def tell(self) -> None:
        """All chapters."""
        await self._a_customer_is_a_place()
        await self._a_job_goes_out_and_comes_back()
        await self._what_arrives_from_the_field()
        await self._the_technician_asks()
        await self._the_salesperson_is_told()
        say("\nFrom the CRM to the field and back, and every yes with somebody's answer behind it. Done.")

    # --- what the chapters are told with ---

    async def _row(self, table: str, column: str, value: object) -> Row:
        """The one row of the CRM with a value, once it is there."""

        async def there() -> bool:
            return any(row.get(column) == value for row in self.crm.rows(table).values())

        await until(f"{table} has the {column}", there)
        (row,) = [row for row in self.crm.rows(table).values() if row.get(column) == value]
        return row

    async def _becomes(self, what: str, row: Mapping[str, object], table: str, key: str) -> None:
        """Wait until a row of the CRM has these values."""

        async def so() -> bool:
            return row.items() <= self.crm.rows(table)[key].items()

        await until(what, so)

    # --- the chapters ---

    async def _a_customer_is_a_place(self) -> None:
        chapter("Every customer of the CRM is there in the field")
        self.account = await self.crm.create("account", AURORA)

        async def numbered() -> bool:
            row = self.crm.rows("account")[self.account]
            return bool(row.get("cdock_fsmid") and row.get("accountnumber"))

        await until("the account has its numbers", numbered)
        await handled(self.run)
        row = self.crm.rows("account")[self.account]
        self.place = row["cdock_fsmid"]
        place = self.fsm.rows("place")[self.place]
        hold("it is that place", (place["name"], place["crm_id"]) == ("Aurora Milling", self.account))
        hold("there is one", len(self.fsm.rows("place")) == 1)
        say(f"  CRM: Aurora Milling. FSM: place {self.place}. ERP: customer {row['accountnumber']}.")

    async def _a_job_goes_out_and_comes_back(self) -> None:
        chapter("A job asked for in the CRM is planned, done and reported in the field")
        wish = {
            "cdock_name": "The mill is noisy",
            "cdock_type": 100000001,
            "cdock_customerwish": "Before noon, please.",
        }
        self.job = await self.crm.create(
            "cdock_servicejob", wish | {"cdock_accountid@odata.bind": f"/accounts({self.account})"}
        )

        async def asked() -> bool:
            return bool(self.crm.rows("cdock_servicejob")[self.job].get("cdock_fsmid"))

        await until("the job has its number", asked)
        self.task = self.crm.rows("cdock_servicejob")[self.job]["cdock_fsmid"]
        task = self.fsm.rows("task")[self.task]
        hold("the wish is there", task["customer_wish"] == "Before noon, please.")
        planned = {"plan_start_dttm": "2026-12-01T08:00:00", "task_status": "SCHEDULED", "person_id": "T-12"}
        self.fsm.edit("task", self.task, planned)
        await self._becomes("the job is planned", {"cdock_technician": "T-12"}, "cdock_servicejob", self.job)
        done = {"task_status": "COMPLETED", "completed_dttm": "2026-12-01T09:30:00", "payment_kind": "PAYABLE"}
        self.fsm.edit(
            "task",
            self.task,
            done | {"resolution": "A bearing was replaced.", "amount": Decimal("184.50"), "currency": "EUR"},
        )
        seen = {"cdock_state": COMPLETED, "cdock_paymentkind": PAYABLE, "cdock_resolution": "A bearing was replaced."}
        await self._becomes("the job is done", seen, "cdock_servicejob", self.job)
        say(
            f"  FSM: task {self.task} was planned and done. CRM: by whom, when, what was found, and that it is payable."
        )

    async def _what_arrives_from_the_field(self) -> None:
        chapter("A warranty to be extended, and a quotation that the customer confirmed on the spot")
        product = self.fsm.add("product", {"place_id": self.place, "part_id": "MILL-3", "serial_no": "4711"})
        dates = {"start_date": "2025-01-01", "end_date": "2027-01-01"}
        warranty = self.fsm.add(
            "product_warranty",
            {"product_id": product, "place_id": self.place, "warranty_type": "MANUFACTURER", **dates},
        )
        seen = await self._row("cdock_warranty", "cdock_fsmid", warranty)
        hold("it belongs to the account", seen["cdock_accountid"] == self.account)
        quote = self.fsm.add("quote", {"place_id": self.place, "description": "A maintenance contract"})
        made = await self._row("opportunity", "cdock_quotenumber", quote)
        self.fsm.edit("quote", quote, {"quote_status": "CONFIRMED", "confirmed_dttm": "2026-12-01T10:00:00"})
        await self._becomes(
            "the quotation is confirmed", {"cdock_quotestate": CONFIRMED}, "opportunity", made["opportunityid"]
        )
        say("  CRM: the warranty ends on 1 January 2027; the opportunity 'A maintenance contract' is confirmed.")

    async def _the_technician_asks(self) -> None:
        chapter("The technician wants to sell parts: the ERP says whether the customer may owe that much more")
        company = self.run.installation.company_id
        (customer,) = self.erp.rows(company, "customers")
        await self.erp.edit(company, "customers", customer, {"creditLimit": 1000})
        await self.erp.book(company, customer, Decimal(900), date(2027, 1, 31))
        status, answer = await self._credit("R-1", 80)
        hold(f"80 are confirmed; {status} {answer}", (status, answer["confirmed"]) == (200, True))
        status, refused = await self._credit("R-2", 120)
        hold(f"120 are not; {status} {refused}", (status, refused["confirmed"]) == (200, False))
        (reason,) = refused["reasons"]
        say(
            f"  80 EUR: confirmed. 120 EUR: not; limit {refused['limit']}, used {refused['used']}. {reason['sentence']}"
        )
        outage = self.erp.faults.add(FaultRule(FaultKind.UNAVAILABLE))
        status, silent = await self._credit("R-3", 1)
        self.erp.faults.remove(outage)
        hold(f"nothing is confirmed; {status} {silent}", (status, silent["error"]) == (503, "NotConfirmed"))
        say(f"  The ERP down: {status} NotConfirmed ({silent['reason']}). Nobody guesses, and nothing is registered.")

    async def _the_salesperson_is_told(self) -> None:
        chapter("An order in the CRM beyond the limit is not registered, and the salesperson reads why")
        company = self.run.installation.company_id
        goods = {"number": "BEARING", "displayName": "Bearing", "unitPrice": 60, "baseUnitOfMeasureCode": "PCS"}
        item = await self.erp.create(company, "items", goods)
        await self.erp.stock(company, item["id"], Decimal(10))
        anna = self.crm.add_user("Anna Berger", str(uuid4()))
        unit = await self.crm.create("uom", {"name": "PCS"})
        product = await self.crm.create("product", {"name": "Bearing", "productnumber": "BEARING", "statecode": 0})
        for quantity, registered in ((2, False), (1, True)):
            order = await self.crm.create(
                "salesorder",
                {
                    "name": "Bearings",
                    "ordernumber": f"SO-{quantity}",
                    "customerid": ("account", self.account),
                    "totalamount": Decimal(60 * quantity),
                },
                anna,
            )
            row = {"salesorderid": order, "productid": product, "uomid": unit, "quantity": Decimal(quantity)}
            await self.crm.create("salesorderdetail", row | {"priceperunit": Decimal(60)}, anna)
            hold(f"{quantity} are registered: {registered}", await self._submitted(order, anna) == registered)
        (told_her,) = [row for row in self.crm.rows("appnotification").values() if row["ownerid"] == anna]
        say(f"  Two bearings for 120: {told_her['title']}. {' '.join(str(told_her['body']).split())}")
        say("  One for 60: registered.")

    async def _submitted(self, order: str, user: str) -> bool:
        """Whether the CRM takes it when the salesperson submits it."""
        try:
            await self.crm.edit("salesorder", order, {"statecode": 1}, user)
        except DataverseError:
            return False
        return bool(self.crm.rows("salesorder")[order]["statecode"] == 1)

    async def _credit(self, request: str, amount: int) -> tuple[int, Row]:
        body = {"requestId": request, "customerId": self.place, "amount": amount, "currency": "EUR"}
        secret = {"x-crossdock-secret": self.run.installation.fsm_webhook_secret}
        url = f"{self.run.urls['functions']}/api/fsm/credit-check"
        answer = await self.caller.post(url, json=body, headers=secret)
        return answer.status_code, answer.json()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
