"""The whole way in a real browser: opportunity, button, project with live data, rating, probability; two people."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import httpx
import pytest

from local.cockpit_button.package import Wanted
from tests.browser.driving import Page, browsing
from tests.browser.test_cockpit_button import files
from tests.scenarios.local_run.test_run_file import running

ANNA, BERTA = "Anna Berger", "Berta Huber"

FORM = """<!doctype html><html><body><h1>Opportunity</h1><button id="isa">iSA-Portal</button><script>
var Xrm = {Navigation: {openUrl: function (address) { window.open(address, "_blank"); }}};
SCRIPT
document.getElementById("isa").addEventListener("click", function () { FUNCTION("{RECORD}", 1033); });
</script></body></html>"""
"""The form of an opportunity in Dynamics, as far as the command bar needs it."""


@dataclass(frozen=True)
class Crm:
    """The CRM as another program works with it."""

    url: str
    http: httpx.AsyncClient

    @classmethod
    async def of(cls, run: dict[str, Any]) -> Crm:
        url, http = run["sandboxes"]["dataverse"], httpx.AsyncClient()
        form = {"grant_type": "client_credentials", "scope": f"{url}/.default", **run["keys"]["dataverse"]}
        token = (await http.post(run["sign_in"], data=form)).raise_for_status().json()["access_token"]
        http.headers = httpx.Headers({"Authorization": f"Bearer {token}", "Prefer": "return=representation"})
        return cls(f"{url}/api/data/v9.2", http)

    async def new_opportunity(self, name: str, owner: str = "") -> str:
        """An opportunity, of nobody who signs in unless its owner is named."""
        body: dict[str, Any] = {"name": name, "estimatedvalue": 734512, "closeprobability": 10}
        if owner:
            body["ownerid@odata.bind"] = f"/systemusers({await self._user(owner)})"
        made = await self.http.post(f"{self.url}/opportunities", json=body)
        return str(made.raise_for_status().json()["opportunityid"])

    async def opportunity(self, key: str) -> dict[str, Any]:
        """The opportunity as it stands."""
        found = await self.http.get(f"{self.url}/opportunities({key})?$select=closeprobability,_modifiedby_value")
        row: dict[str, Any] = found.raise_for_status().json()
        return row

    async def _user(self, name: str) -> str:
        query = {"$select": "systemuserid", "$filter": f"fullname eq '{name}'"}
        found = await self.http.get(f"{self.url}/systemusers", params=query)
        return str(found.raise_for_status().json()["value"][0]["systemuserid"])

    async def user(self, name: str) -> str:
        """A user's id."""
        return await self._user(name)


def _form(site: str, key: str, folder: Path) -> str:
    """Where the form of an opportunity lies, with the button that an administrator imports."""
    found = files(Wanted(site))
    (action,) = ElementTree.fromstring(found["customizations.xml"].encode()).iter("JavaScriptFunction")  # noqa: S314 # our own file
    page = FORM.replace("SCRIPT", found["sales_cockpit.js"]).replace("FUNCTION", str(action.get("FunctionName")))
    place = folder / "form.html"
    place.write_text(page.replace("RECORD", key.upper()), "utf-8")
    return place.as_uri()


async def _sign_in(page: Page, name: str) -> None:
    """Press one's own button on the page of the sign-in service."""
    await page.shows(name)
    await page.evaluate(
        f"[...document.querySelectorAll('button')].find(e => e.textContent.includes('{name}')).setAttribute('id', 'me')"
    )
    await page.click("#me")


async def _rate(page: Page, light: str) -> None:
    """Pick the same light for everything, and say so."""
    await page.until("!!document.querySelector('#rating')")
    await page.evaluate(f"document.querySelectorAll('.{light} input').forEach(e => e.click())")
    await page.click("#rate")
    await page.until("!!document.querySelector('#answer')")


async def _story(run: dict[str, Any], pictures: Path) -> None:
    crm = await Crm.of(run)
    big, bertas = await crm.new_opportunity("A new mill"), await crm.new_opportunity("A small mill", BERTA)
    launch = run["sales_cockpit"]["launch"]
    async with browsing() as browser:
        someone, berta = await browser.person(), await (await browser.person()).page()

        form = await someone.page(_form(run["functions"], big, pictures))
        await form.click("#isa")
        anna = await someone.opened(form)
        await _sign_in(anna, ANNA)
        await anna.shows("A new mill")
        assert (await anna.url()).startswith(run["sandboxes"]["sales_cockpit"])
        assert "734" in await anna.until("document.querySelector('[data-field=estimatedvalue]').textContent")

        await _rate(anna, "green")
        await anna.screenshot(pictures / "rated.png")
        found = await crm.opportunity(big)
        assert (found["closeprobability"], found["_modifiedby_value"]) == (100, await crm.user(ANNA))
        assert "100" in await anna.until("document.querySelector('[data-field=closeprobability]').textContent")

        await berta.go(launch + big)
        await _sign_in(berta, BERTA)
        await berta.shows("CD-7001")
        assert "A new mill" not in await berta.text()
        await berta.screenshot(pictures / "not-found.png")

        await berta.go(launch + bertas)
        await berta.shows("A small mill")
        await _rate(berta, "red")
        found = await crm.opportunity(bertas)
        assert (found["closeprobability"], found["_modifiedby_value"]) == (33, await crm.user(BERTA))
    await crm.http.aclose()


@pytest.mark.xdist_group("local_run")
def test_two_people_go_the_whole_way_and_each_sees_what_is_his(tmp_path: Path) -> None:
    """R-007, R-009, R-012, R-015, R-016, R-017, R-019, R-020, R-021, R-022, R-026, R-029: signed in once; the project
    opens with live data that the two backends have exchanged; the rating stands in the CRM under the person's name;
    another person's opportunity is not there."""
    with running(tmp_path / "state", CROSSDOCK_SYSTEMS="dataverse,sales_cockpit") as (_, run):
        asyncio.run(_story(run, tmp_path))
