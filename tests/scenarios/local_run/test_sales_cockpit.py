"""A Sales Cockpit of a local run, as other programs find it: two people open an opportunity's project in browsers."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from local.demo_browser import Browser, Page
from tests.scenarios.local_run.test_run_file import running


async def _new_opportunity(run: dict[str, Any]) -> str:
    """Made over the Web API, as another program makes it; it belongs to nobody who signs in."""
    crm = run["sandboxes"]["dataverse"]
    form = {"grant_type": "client_credentials", "scope": f"{crm}/.default", **run["keys"]["dataverse"]}
    async with httpx.AsyncClient() as http:
        token = (await http.post(run["sign_in"], data=form)).raise_for_status().json()["access_token"]
        headers = {"Authorization": f"Bearer {token}", "Prefer": "return=representation"}
        body = {"name": "A new mill", "estimatedvalue": 734512, "closeprobability": 10}
        made = await http.post(f"{crm}/api/data/v9.2/opportunities", json=body, headers=headers)
        return str(made.raise_for_status().json()["opportunityid"])


async def _opened(browser: Browser, address: str, person: str) -> Page:
    """Press the button on the opportunity, and that of the person where the sign-in asks."""
    page = await browser.open(address)
    assert "/authorize" in page.url, page.html
    return await browser.press(page.form("/authorize"), person)


async def _two_people(run: dict[str, Any]) -> None:
    opportunity = await _new_opportunity(run)
    anna, berta = Browser(), Browser()
    try:
        address = run["sales_cockpit"]["launch"] + opportunity
        page = await _opened(anna, address, "Anna")
        assert page.url.startswith(run["sandboxes"]["sales_cockpit"])
        assert (page.texts["project"], page.texts["person"]) == ("A new mill", "Anna Berger")
        assert "734" in page.told["estimatedvalue"]
        assert (await anna.open(address)).url == page.url
        refused = await _opened(berta, address, "Berta")
        assert refused.status == 404
        assert "A new mill" not in refused.html
        direct = await berta.open(page.url)
        assert direct.status == 404
        assert "A new mill" not in direct.html
    finally:
        await anna.aclose()
        await berta.aclose()


@pytest.mark.xdist_group("local_run")
def test_two_people_open_a_project_and_only_one_may_see_it(tmp_path: Path) -> None:
    """R-007, R-012, R-020, R-022: from the button to the project with live data, signed in once, then straight on;
    who may not see the opportunity gets neither the project nor its name."""
    with running(tmp_path, CROSSDOCK_SYSTEMS="dataverse,sales_cockpit") as (_, run):
        assert set(run["sandboxes"]) == {"dataverse", "sales_cockpit"}
        assert [one["name"] for one in run["sales_cockpit"]["people"]] == ["Anna Berger", "Berta Huber"]
        asyncio.run(_two_people(run))
