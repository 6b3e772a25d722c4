"""The demo's first story: accounts and the ERP's customers, through the real functions.

Every sentence it prints is checked before it is printed. Exit codes: 0 everything went as told, 1 something did not,
2 it could not start. Nothing of it stays: the folder is removed at the end.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from local.demo_people import People
from local.demo_telling import chapter, handled, hold, playing, say, told, until
from local.run_world import LocalRun, Wish
from sandbox.business_central import BusinessCentralSandbox
from sandbox.faults import FaultKind, FaultRule
from shared.sync.context import Timing

NOTICE_SECONDS = 1.0
PROBE_SECONDS = 5.0
ALFA = {
    "name": "Alfa Srl",
    "cdock_stage": "qualified",
    "cdock_vatnumber": "00743110157",
    "telephone1": "+39 0471 100100",
    "address1_line1": "Via Roma 1",
    "address1_country": "IT",
    "address1_postalcode": "39100",
    "address1_city": "Bolzano",
}


def main(arguments: Sequence[str]) -> int:
    """Tell the whole story."""
    return told(_demo, arguments)


async def _demo(folder: Path) -> None:
    say("Crossdock: two sandboxes, the queue and the functions start on this machine ...")
    timing = Timing(probe_every=timedelta(seconds=PROBE_SECONDS))
    async with (
        playing(Wish(state=folder, timing=timing, notice_seconds=NOTICE_SECONDS)) as run,
        People(run) as people,
    ):
        await _Story(run, people).tell()


class _Story:
    """The chapters, in order. Each is told only after it was seen."""

    def __init__(self, run: LocalRun, people: People) -> None:
        self.run, self.people = run, people
        self.alfa = self.customer = ""

    @property
    def _erp(self) -> BusinessCentralSandbox:
        assert self.run.erp is not None
        return self.run.erp

    async def tell(self) -> None:
        """All chapters."""
        say(f"(To be quick, Business Central's sandbox waits {NOTICE_SECONDS:.0f} s before a notice instead of 30,")
        say(f" and a system that is down is probed every {PROBE_SECONDS:.0f} s instead of 30.)")
        await self._an_account_becomes_a_customer_once()
        await self._a_crm_field_goes_over()
        await self._an_erp_field_is_put_back()
        await self._a_change_in_the_erp_comes_back()
        await self._born_on_both_sides()
        await self._an_outage_ends_by_itself()
        say("\nEverything above was checked against both systems, the links and the journal. Done.")

    async def _an_account_becomes_a_customer_once(self) -> None:
        chapter("A new account becomes a customer, once")
        await self._register_twice_more()
        before = await self.people.operator.notices_taken()
        self._erp.faults.add(FaultRule(FaultKind.LOST_ANSWER, method="POST", path="/customers$", times=1))
        self.alfa = await self.people.crm.create(ALFA)
        say("  CRM: the account Alfa Srl is created and qualified.")
        await until("the account has its customer number", self._alfa_has_a_number)
        await handled(self.run)
        customers = await self.people.erp.named("Alfa Srl")
        hold(f"there is one customer Alfa Srl; there are {len(customers)}", len(customers) == 1)
        self.customer = customers[0]["id"]
        lost = [one for one in self._erp.requests.entries() if one.fault is FaultKind.LOST_ANSWER]
        hold(f"one answer of the ERP was lost; {len(lost)} were", len(lost) == 1)
        taken = await self.people.operator.notices_taken() - before
        hold(f"its webhook came three times or more; it came {taken} times", taken >= 3)
        say("       Its webhook came three times, and the ERP's answer to the first create was lost on the way.")
        number = (await self.people.crm.account(self.alfa))["accountnumber"]
        hold(f"the account has the customer's number; it has {number}", number == customers[0]["number"])
        await self._hold_linked(self.alfa, self.customer)
        journal = await self.people.operator.journal(self.alfa)
        created = [entry for entry in journal if entry["outcome"] == "created"]
        hold(f"the journal tells of one create; it tells of {len(created)}", len(created) == 1)
        say(f"  ERP: one customer, {customers[0]['number']}. The number is in the CRM too.")
        say("  Why: the claim is written before the create; after the lost answer Crossdock looked for its own number")
        say(f"       and found it instead of creating a second. The other notices ended as: {_ends(journal)}.")
        await self._register_once()

    async def _hold_linked(self, account: str, customer: str) -> None:
        """The link says the same from both ends."""
        there = await self.people.operator.partner("dataverse/account", account)
        back = await self.people.operator.partner("business_central/customers", customer)
        hold(f"the two are linked; they lead to {there!r} and {back!r}", (there, back) == (customer, account))

    async def _register_twice_more(self) -> None:
        """A careless deployment has registered the same steps again, and again."""
        for _ in range(2):
            await self.run.register_again()

    async def _register_once(self) -> None:
        await self.run.register()

    async def _alfa_has_a_number(self) -> bool:
        return bool((await self.people.crm.account(self.alfa)).get("accountnumber"))

    async def _a_crm_field_goes_over(self) -> None:
        chapter("A field that the CRM masters goes over")
        await self.people.crm.edit(self.alfa, {"telephone1": "0471 200200"})
        number = "+390471200200"
        await until("the customer has the new number", lambda: self._customer_has("phoneNumber", number))
        say("  CRM: the telephone number is changed. ERP: the customer has it, in international form.")
        say("  (master: dataverse, convert: phone_e164)")

    async def _customer_has(self, column: str, value: object) -> bool:
        return any(c[column] == value for c in await self.people.erp.customers() if c["id"] == self.customer)

    async def _an_erp_field_is_put_back(self) -> None:
        chapter("A field that the ERP masters, edited in the CRM, is put back and recorded")
        await self.people.crm.edit(self.alfa, {"name": "Alfa S.p.A."})
        await until("the account has its old name again", self._alfa_is_alfa)
        hold("the customer never changed its name", await self._customer_has("displayName", "Alfa Srl"))
        put_back = [told for told in await self._told("name") if "put back" in told["reason"]]
        hold("the journal tells that the name was put back", bool(put_back))
        say("  CRM: somebody renames the linked account. Crossdock puts the ERP's name back.")
        say(f"  Journal: name: {put_back[0]['reason']}.")

    async def _alfa_is_alfa(self) -> bool:
        return (await self.people.crm.account(self.alfa))["name"] == "Alfa Srl" and bool(
            [told for told in await self._told("name") if "put back" in told["reason"]]
        )

    async def _told(self, column: str) -> list[dict[str, str]]:
        keys = [("dataverse/account", self.alfa), ("business_central/customers", self.customer)]
        entries = [entry for place, key in keys for entry in await self.people.operator.journal_of(place, key)]
        return [told for entry in entries for told in entry["fields"] if told["left"] == column]

    async def _a_change_in_the_erp_comes_back(self) -> None:
        chapter("A change in the ERP comes back")
        await self.people.erp.edit(self.customer, {"creditLimit": 25000, "addressLine1": "Via Dante 5"})
        await until("the account has the new credit limit and street", self._alfa_moved)
        say("  ERP: credit limit 25,000 and a new street. CRM: the account has both. (master: business_central)")

    async def _alfa_moved(self) -> bool:
        account = await self.people.crm.account(self.alfa)
        return bool(account["creditlimit"] == 25000 and account["address1_line1"] == "Via Dante 5")

    async def _born_on_both_sides(self) -> None:
        chapter("The same company, created on both sides at once, ends as one pair")
        vat = "12345670785"
        account = {**ALFA, "name": "Beta Srl", "cdock_vatnumber": vat}
        customer = {"displayName": "Beta Srl", "taxRegistrationNumber": vat, "country": "IT", "postalCode": "39100"}
        key, _ = await asyncio.gather(self.people.crm.create(account), self.people.erp.create(customer))
        await until("Beta's account has a customer number", lambda: self._has_number(key))
        await handled(self.run)
        accounts, customers = await self.people.crm.named("Beta Srl"), await self.people.erp.named("Beta Srl")
        pair = len(accounts) == len(customers) == 1
        hold(f"there is one account and one customer; there are {len(accounts)} and {len(customers)}", pair)
        await self._hold_linked(key, customers[0]["id"])
        say(f"  One account, one customer ({customers[0]['number']}), one link.")
        say("  Why: the VAT number tells that it is one company, so that nothing was created for a second time.")

    async def _has_number(self, key: str) -> bool:
        return bool((await self.people.crm.account(key)).get("accountnumber"))

    async def _one_waits(self) -> bool:
        return await self.people.operator.pending("account_to_business_central") == 1

    async def _an_outage_ends_by_itself(self) -> None:
        chapter("The ERP is down, and comes back")
        rule = self._erp.faults.add(FaultRule(FaultKind.UNAVAILABLE))
        for number in range(8):
            await self.people.crm.edit(self.alfa, {"telephone1": f"+39 0471 3003{number:02d}"})
            await asyncio.sleep(0.2)
        await until("the breaker is open", lambda: self.people.operator.breaker_is_open("business_central"))
        await until("one record waits", self._one_waits)
        say("  ERP: answers 503 to everything. CRM: the telephone number changes eight times.")
        say("  Crossdock: the breaker opens; the changes wait, all of them as one pending row.")
        self._erp.faults.remove(rule)
        writes = self._erp.requests.count("PATCH", status=200)
        last = "+390471300307"
        await until("the last number has arrived", lambda: self._customer_has("phoneNumber", last))
        await handled(self.run)
        more = self._erp.requests.count("PATCH", status=200) - writes
        parked = [*await self.people.operator.parked("account_to_business_central")]
        hold(f"nothing is parked; {len(parked)} items are", not parked)
        still_open = await self.people.operator.breaker_is_open("business_central")
        hold("the breaker is closed", not still_open)
        hold("nothing waits any more", await self.people.operator.pending("account_to_business_central") == 0)
        hold(f"the ERP was written once; it was written {more} times", more == 1)
        say("  ERP: is back. A probe finds it, the breaker closes, what waited goes over: one write, nothing parked.")


def _ends(journal: list[dict[str, str]]) -> str:
    others = sorted({entry["outcome"] for entry in journal if entry["outcome"] != "created"})
    return ", ".join(others) or "nothing to do"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
