"""The demo's third story: two people open an opportunity's project in the Sales Cockpit, see live data and rate it.

Exit codes as of the first story. The people have browsers without scripts; sign-in, launch, pages and ratings are the
real ones of a local run.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

from local.demo_browser import Browser, Page
from local.demo_telling import chapter, handled, hold, playing, say, told, until
from local.run_sales_cockpit import PEOPLE, Person
from local.run_world import LocalRun, Wish
from sandbox.dataverse import DataverseSandbox
from sandbox.faults import FaultKind, FaultRule
from sandbox.sales_cockpit.sandbox import SalesCockpitSandbox

Row = Mapping[str, Any]

SETTINGS: Final = {
    "CROSSDOCK_SYSTEMS": "dataverse,sales_cockpit",
    "CROSSDOCK_SALES_COCKPIT_RESULTS": "recommendation=currentsituation",
    "CROSSDOCK_SALES_COCKPIT_BUDGET_SECONDS": "3",
}
ANNA, BERTA = PEOPLE
HERS: Final[Row] = {"name": "A new mill for Aurora", "estimatedvalue": 734512, "closeprobability": 10}
OTHERS: Final[Row] = {"name": "A silo for Birch", "estimatedvalue": 9000}
GOOD: Final = {"need": "3", "budget": "2", "decision": "3", "uniqueness": "2", "timing": "2"}
BETTER: Final = GOOD | {"budget": "3", "uniqueness": "3"}


def main(arguments: Sequence[str]) -> int:
    """Tell the whole story."""
    return told(_demo, arguments)


async def _demo(folder: Path) -> None:
    say("Crossdock: the sandboxes of a CRM, of the Sales Cockpit and of the sign-in start on this machine ...")
    async with playing(Wish(state=folder, settings=SETTINGS)) as run, AsyncExitStack() as parts:
        browsers = {one.name: Browser() for one in PEOPLE}
        for browser in browsers.values():
            parts.push_async_callback(browser.aclose)
        await _Story(run, browsers).tell()


class _Story:
    """The chapters, in order. Each is told only after it was seen."""

    def __init__(self, run: LocalRun, browsers: Mapping[str, Browser]) -> None:
        self.run, self._browsers = run, browsers
        self.users: dict[str, str] = {}
        self.hers = self.others = self.page = ""

    @property
    def crm(self) -> DataverseSandbox:
        assert self.run.crm is not None
        return self.run.crm

    @property
    def cockpit(self) -> SalesCockpitSandbox:
        assert self.run.cockpit is not None
        return self.run.cockpit

    async def tell(self) -> None:
        """All chapters."""
        await self._first_click()
        await self._later_clicks()
        await self._hidden()
        await self._rated()
        await self._rated_while_the_crm_is_busy()
        await self._renamed()
        await self._won()
        say("\nFrom the opportunity to the project, rated, and back into the opportunity, each as the person. Done.")

    # --- what the chapters are told with ---

    def _opportunity(self) -> Row:
        return self.crm.rows("opportunity")[self.hers]

    async def _clicks(self, person: Person, opportunity: str) -> Page:
        """The button on the opportunity; where the sign-in asks who it is, the person's own button there."""
        assert self.run.places is not None
        browser = self._browsers[person.name]
        page = await browser.open(f"{self.run.places.functions}/api/cockpit/launch?opportunityid={opportunity}")
        if "/authorize" in page.url:
            page = await browser.press(page.form("/authorize"), person.name)
        return page

    async def _rates(self, person: Person, lights: Mapping[str, str]) -> Page:
        browser = self._browsers[person.name]
        page = await browser.open(self.page)
        return await browser.press(page.form("/rate"), "Rate", lights)

    # --- the chapters ---

    async def _first_click(self) -> None:
        chapter("The first click on an opportunity makes its project, with two ids and the name")
        for person in PEOPLE:
            self.users[person.name] = self.crm.add_user(person.name, person.object_id(self.run.installation))
        self.hers = await self.crm.create("opportunity", HERS, user=self.users[BERTA.name])
        self.others = await self.crm.create("opportunity", OTHERS, user=self.users[ANNA.name])
        page = await self._clicks(ANNA, self.hers)
        hold(f"Anna sees the project; her page is {page.status}", page.texts.get("project") == HERS["name"])
        self.page = page.url
        (project,) = self.cockpit.rows("projects").values()
        kept = {"externalId": self.hers, "name": HERS["name"], "solutionId": None}
        hold("the Cockpit keeps nothing else", {name: project[name] for name in kept} == kept)
        hold("and who made it", set(project) - set(kept) == {"createdBy"})
        hold("who is Anna", project["createdBy"] == ANNA.object_id(self.run.installation))
        say(f"  Anna signed in once. Her page shows, from the CRM at this moment: {page.told['estimatedvalue']}.")

    async def _later_clicks(self) -> None:
        chapter("Every later click opens the same project, whoever clicks")
        again = await self._clicks(ANNA, self.hers)
        theirs = await self._clicks(BERTA, self.hers)
        hold("Anna is at the same page", again.url == self.page)
        hold("so is Berta", (theirs.url, theirs.texts.get("person")) == (self.page, BERTA.name))
        hold("there is one project", len(self.cockpit.rows("projects")) == 1)
        say("  Anna came straight there, Berta after her sign-in; there is one project.")

    async def _hidden(self) -> None:
        chapter("Who may not see an opportunity sees nothing of its project")
        whole = await self._clicks(ANNA, self.others)
        hold("Anna sees the other project", whole.texts.get("project") == OTHERS["name"])
        refused = await self._clicks(BERTA, self.others)
        direct = await self._browsers[BERTA.name].open(whole.url)
        for page in (refused, direct):
            hold(f"Berta gets no page; hers is {page.status}", page.status == 404)
            hold("nor the name", str(OTHERS["name"]) not in page.html)
        say("  Berta sees her own opportunities only. Of Anna's she is told that there is none, at either address.")

    async def _rated(self) -> None:
        chapter("A rating stands in the opportunity before the page is back, in the rater's name")
        before = self._opportunity()["closeprobability"]
        page = await self._rates(BERTA, GOOD)
        row = self._opportunity()
        hold(f"the page says so: {page.texts.get('answer')}", "stands in the CRM now" in page.texts.get("answer", ""))
        hold(f"80 % are there; there are {row['closeprobability']}", row["closeprobability"] == 80)
        hold("the recommendation, too", row["currentsituation"] == "Go for it")
        hold("Berta has changed it", row["modifiedby"] == self.users[BERTA.name])
        say(f"  {before} % became {row['closeprobability']} %, with the recommendation '{row['currentsituation']}'.")
        say("  The CRM's history names Berta, and no application.")

    async def _rated_while_the_crm_is_busy(self) -> None:
        chapter("The CRM takes no changes for a while: the rating goes over by itself, still in the rater's name")
        outage = self.crm.faults.add(FaultRule(FaultKind.UNAVAILABLE, "PATCH", "/opportunities"))
        page = await self._rates(ANNA, BETTER)
        hold(f"the page says so: {page.texts.get('answer')}", "goes over by itself" in page.texts.get("answer", ""))
        hold("nothing has changed", self._opportunity()["closeprobability"] == 80)
        self.crm.faults.remove(outage)

        async def there() -> bool:
            return bool(self._opportunity()["closeprobability"] == 93)

        await until("the rating is in the CRM", there)
        hold("Anna has changed it", self._opportunity()["modifiedby"] == self.users[ANNA.name])
        say("  What waited was ids only: the rating was asked of the Cockpit again, and written as Anna.")

    async def _renamed(self) -> None:
        chapter("The project bears the opportunity's name")
        await self.crm.edit("opportunity", self.hers, {"name": "Two mills for Aurora"}, user=self.users[BERTA.name])

        async def follows() -> bool:
            return "Two mills for Aurora" in {row["name"] for row in self.cockpit.rows("projects").values()}

        await until("the project has the new name", follows)
        await handled(self.run)
        say("  Berta renamed the opportunity; the project followed.")

    async def _won(self) -> None:
        chapter("A won opportunity keeps its project, and takes no more ratings")
        await self.crm.close_opportunity(self.hers, won=True, user=self.users[BERTA.name])
        page = await self._clicks(ANNA, self.hers)
        hold("the page is still there", page.texts.get("project") == "Two mills for Aurora")
        hold("it cannot be rated", "won" in page.texts.get("closed", "") and not _can_rate(page))
        hold("nothing has changed", self._opportunity()["closeprobability"] == 93)
        say(f"  The page says: {page.texts['closed']}")


def _can_rate(page: Page) -> bool:
    return any(form.action.endswith("/rate") for form in page.forms)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
