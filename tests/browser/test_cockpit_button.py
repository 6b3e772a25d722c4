"""The Sales Cockpit's button and tab in a real browser: which address they open, and for what none."""

from __future__ import annotations

import html
import io
import json
import re
import zipfile
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit
from xml.etree import ElementTree

from local.cockpit_button.package import Wanted, package
from tests.browser.chromium import rendered
from tests.scenarios.account_customer.world import virtually
from tests.scenarios.sales_cockpit.people_world import APP_URL, PeopleWorld, Setup

SITE = "https://crossdock.example"
RECORD = "3F0C9E5A-7B1D-4A52-9C33-0D5E8B6A1F20"
LAUNCH = f"{SITE}/api/cockpit/launch"

CLICKS = """<!doctype html><html><body><pre id="told"></pre><script>
var opened = [];
var Xrm = {Navigation: {openUrl: function () { opened.push([].slice.call(arguments)); }}};
SCRIPT
CALLS.forEach(function (values) { FUNCTION.apply(null, values); });
document.getElementById("told").textContent = JSON.stringify(opened);
</script></body></html>"""
"""Command bar and client interface of Dynamics, as far as the button needs them."""

SHOWS = """<!doctype html><html><body><script>
SCRIPT
QUERIES.forEach(function (query) {
  Crossdock.showCockpit(document.body.appendChild(document.createElement("main")), query);
});
</script></body></html>"""
"""The page of the tab many times over."""


def files(wanted: Wanted) -> dict[str, str]:
    """What is imported, by the names of the web resources without their prefix."""
    with zipfile.ZipFile(io.BytesIO(package(wanted))) as opened:
        return {
            name.rpartition("/")[2].removeprefix("cdock_"): opened.read(name).decode() for name in opened.namelist()
        }


def clicked(wanted: Wanted, records: Sequence[dict[str, object]]) -> list[list[Any]]:
    """What a click asks Dynamics to open, for each record by the values that Dynamics has for parameters."""
    found = files(wanted)
    root = ElementTree.fromstring(found["customizations.xml"].encode())  # noqa: S314 # our own file
    (action,) = root.iter("JavaScriptFunction")
    names = [str(one.get("Value")) for one in action.iter("CrmParameter")]
    calls = [[record[name] for name in names] for record in records]
    page = CLICKS.replace("CALLS", json.dumps(calls)).replace("FUNCTION", str(action.get("FunctionName")))
    dom = rendered(page.replace("SCRIPT", found["sales_cockpit.js"]))
    told = re.search(r'<pre id="told">(.*?)</pre>', dom, re.DOTALL)
    assert told
    answer: list[list[Any]] = json.loads(html.unescape(told.group(1)))
    return answer


def tab(query: str, wanted: Wanted | None = None) -> str:
    """The page of the tab after Dynamics has opened it with this query."""
    found = files(wanted or Wanted(SITE, embed=True))
    return rendered(found["sales_cockpit.html"], {"sales_cockpit.js": found["sales_cockpit.js"]}, query)


def shown(queries: Sequence[str]) -> list[str]:
    """What the page of the tab shows for each of many queries, by its own script, as HTML."""
    page = SHOWS.replace("QUERIES", json.dumps(queries).replace("<", "\\u003c"))
    dom = rendered(page.replace("SCRIPT", files(Wanted(SITE, embed=True))["sales_cockpit.js"]))
    return re.findall(r"<main>(.*?)</main>", dom, re.DOTALL)


def framed(dom: str) -> list[str]:
    """The addresses in the page's frames."""
    return [html.unescape(one) for one in re.findall(r'<iframe[^>]* src="([^"]*)"', dom)]


def test_a_click_opens_the_launch_of_this_opportunity_in_a_tab() -> None:
    """R-007, R-012: the id without its braces, and the number of the user's language; the address and nothing else."""
    records: list[dict[str, object]] = [
        {"FirstPrimaryItemId": f"{{{RECORD}}}", "UserLcid": 1031},
        {"FirstPrimaryItemId": RECORD.lower(), "UserLcid": None},
    ]
    assert clicked(Wanted(SITE), records) == [
        [f"{LAUNCH}?opportunityid={RECORD.lower()}&mode=tab&userlcid=1031"],
        [f"{LAUNCH}?opportunityid={RECORD.lower()}&mode=tab"],
    ]


def test_new_projects_go_to_the_solution_that_the_package_was_made_for() -> None:
    """R-010, R-012: the site may lie below a path."""
    opened = clicked(Wanted(f"{SITE}/base", solution="s-7"), [{"FirstPrimaryItemId": RECORD, "UserLcid": 1033}])
    parts = urlsplit(opened[0][0])
    assert (parts.netloc, parts.path) == ("crossdock.example", "/base/api/cockpit/launch")
    assert parse_qs(parts.query)["solutionid"] == ["s-7"]


def test_a_click_without_a_record_opens_nothing() -> None:
    """R-012: nor does anything that is no id."""
    ids: list[str | None] = [None, "", "{}", "new", f"{RECORD}&mode=embed", f"{{{RECORD}", f"{RECORD}\n"]
    records: list[dict[str, object]] = [{"FirstPrimaryItemId": one, "UserLcid": 1033} for one in ids]
    assert clicked(Wanted(SITE), records) == []


def test_the_tab_frames_the_launch_of_the_open_record() -> None:
    """R-013: Dynamics gives the id with braces; names of organisation and form stay where they are."""
    told = f"?id={quote(f'{{{RECORD}}}')}&typename=opportunity&type=3&orgname=contoso&userlcid=1040&orglcid=1033"
    dom = tab(told)
    assert framed(dom) == [f"{LAUNCH}?opportunityid={RECORD.lower()}&mode=embed&userlcid=1040"]
    assert 'referrerpolicy="no-referrer"' in dom


def test_an_unsaved_opportunity_is_asked_to_be_saved() -> None:
    """R-013: in the user's language, English where it is not ours."""
    words = {"1033": "saved", "1031": "gespeichert", "1040": "salvata", "1036": "enregistrée", "1043": "saved"}
    texts = shown([f"?id=&typename=opportunity&userlcid={language}" for language in words])
    assert [word in text for word, text in zip(words.values(), texts, strict=True)] == [True] * len(words)
    assert [framed(text) for text in texts] == [[]] * len(words)
    assert "gespeichert" in tab("?id=&typename=opportunity&userlcid=1031")


HOSTILE = (
    "",
    f"?id={RECORD}",
    f"?id={RECORD}&typename=account",
    f"?id={quote(RECORD + '&mode=tab')}&typename=opportunity",
    f"?id={quote('https://evil.example/')}&typename=opportunity",
    f"?id={quote('javascript:alert(1)')}&typename=opportunity",
    f"?id={quote('../../' + RECORD)}&typename=opportunity",
    f"?id={quote('<img src=x onerror=document.title=1>')}&typename=opportunity",
    f"?id=x&id={RECORD}&typename=opportunity",
)


def test_for_anything_but_an_opportunitys_id_nothing_is_framed() -> None:
    """R-013: and nothing of it stands in the page."""
    texts = shown(HOSTILE)
    assert len(texts) == len(HOSTILE)
    assert set(texts) == {"This tab does not know its opportunity. Please tell your administrator."}
    dom = tab(HOSTILE[4])
    assert framed(dom) == []
    assert "tell your administrator" in dom


def test_what_else_stands_in_the_query_does_not_reach_the_frame() -> None:
    """R-013: not even the language if it is no number."""
    rest = f"&userlcid={quote('1031&opportunityid=x')}&data={quote('https://evil.example')}&solutionid=other#mode=tab"
    assert framed(tab(f"?typename=opportunity&id={RECORD}{rest}")) == [
        f"{LAUNCH}?opportunityid={RECORD.lower()}&mode=embed"
    ]


@virtually
async def test_button_and_tab_lead_to_the_project_of_the_opportunity() -> None:
    """R-007, R-010, R-011, R-012, R-013: what they ask for is what the site takes, and both end in the same project."""
    async with PeopleWorld(Setup(environment={"CROSSDOCK_SALES_COCKPIT_EMBED": "on"})) as world:
        key, solution = await world.opportunity(), world.cockpit.add_solution("made up")
        wanted = Wanted(APP_URL, solution=solution, embed=True)
        ((opened,),) = clicked(wanted, [{"FirstPrimaryItemId": f"{{{key.upper()}}}", "UserLcid": 1031}])
        (shown_in_tab,) = framed(tab(f"?id={quote(f'{{{key}}}')}&typename=opportunity&userlcid=1031", wanted))
        ends = [await world.ask("GET", one.removeprefix(f"{APP_URL}/api/cockpit/")) for one in (opened, shown_in_tab)]
        assert [one.status_code for one in ends] == [302, 302]
        assert len({one.headers["location"] for one in ends}) == 1
        (project,) = world.cockpit.rows("projects").values()
        assert (project["externalId"], project["solutionId"]) == (key, solution)
