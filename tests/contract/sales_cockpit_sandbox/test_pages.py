"""The pages of the Cockpit: signed in as a person, shown what the CRM tells that person, and rated."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from sandbox.sales_cockpit.options import CLIENT_ID, SalesCockpitOptions
from sandbox.sales_cockpit.portal import PortalOptions
from sandbox.sales_cockpit.rating import CRITERIA
from sandbox.sales_cockpit.sandbox import SalesCockpitSandbox
from sandbox.sales_cockpit.signing_in import SignInOptions
from sandbox.tokens import TENANT_ID, TokenIssuer
from sandbox.transport import HostRouter
from tests.contract.hand_clock import HandClock
from tests.contract.sales_cockpit_sandbox.conftest import ANNA, OPPORTUNITY, PROJECT

BERTA = "0b1f9a5e-2f7c-4d63-9d0a-3a1f6f1e2cb2"
CROSSDOCK = "c0550d0c-0000-4000-8000-000000000001"
ALL_GREEN = {one.name: "3" for one in CRITERIA}


class Desk:
    """The Cockpit with its sign-in service and a Crossdock that tells Anna everything and Berta nothing."""

    def __init__(self) -> None:
        self.clock = HandClock()
        self.issuer = TokenIssuer(self.clock)
        self.issuer.add_user(ANNA, "Anna Muster", "anna@example.com")
        self.issuer.add_user(BERTA, "Berta Beispiel", "berta@example.com")
        self.issuer.register(CLIENT_ID, "made-up")
        self.issuer.add_api(CLIENT_ID, redirect_uris=["https://cockpit.example/signed-in"])
        self.issuer.add_api(CROSSDOCK)
        self.issuer.consent(CLIENT_ID, CROSSDOCK)
        self.state = "open"
        self.sent: list[dict[str, Any]] = []
        self.answer: Response = JSONResponse({"applied": True, "etag": "W/1"})
        self.callers: list[str] = []
        apps: dict[str, ASGIApp] = {"login.example": self.issuer.app, "crossdock.example": self._crossdock()}
        router = HostRouter(apps)
        self.backend = httpx.AsyncClient(transport=router)
        self.sandbox = SalesCockpitSandbox(
            clock=self.clock,
            issuer=self.issuer,
            portal="https://cockpit.example",
            options=SalesCockpitOptions(),
            pages=PortalOptions(
                sign_in=SignInOptions(
                    f"https://login.example/{TENANT_ID}", "made-up", f"api://{CROSSDOCK}/user_impersonation"
                ),
                crossdock_url="https://crossdock.example",
                post=self.backend,
                framed_by=("https://crm.example",),
            ),
        )
        self._apps = {**apps, "cockpit.example": self.sandbox.app}

    def browser(self) -> httpx.AsyncClient:
        """A browser with its own cookies."""
        return httpx.AsyncClient(transport=HostRouter(self._apps), follow_redirects=True)

    def _crossdock(self) -> Starlette:
        async def opportunity(request: Request) -> Response:
            if self._caller(request) != ANNA:
                refusal = {"code": "CD-7001", "sentence": "There is no such opportunity that this user may see."}
                return JSONResponse(refusal, 404)
            fields = [
                {"name": "name", "value": "A new <b>mill</b>", "text": None},
                {"name": "estimatedvalue", "value": 734512, "text": "€734,512.00"},
                {"name": "cdock_own", "value": None, "text": None},
            ]
            return JSONResponse({"opportunityId": OPPORTUNITY, "state": self.state, "fields": fields})

        async def evaluations(request: Request) -> Response:
            self._caller(request)
            self.sent.append(await request.json())
            return self.answer

        return Starlette(
            routes=[
                Route("/api/cockpit/opportunities/{id}", opportunity),
                Route("/api/cockpit/evaluations", evaluations, methods=["POST"]),
            ]
        )

    def _caller(self, request: Request) -> str:
        claims = self.issuer.verify(request.headers["authorization"].removeprefix("Bearer "), CROSSDOCK)
        assert claims.is_user
        self.callers.append(claims.object_id)
        return claims.object_id

    async def project(self) -> str:
        """A project, and its address."""
        headers = {"Authorization": f"Bearer {self.issuer.issue('crossdock', f'api://{CLIENT_ID}')}"}
        async with self.browser() as caller:
            made = await caller.post("https://cockpit.example/api/v1/projects", json=PROJECT, headers=headers)
        return str(made.json()["url"])

    async def open(self, browser: httpx.AsyncClient, url: str, person: str = ANNA) -> httpx.Response:
        """Open a project, and press the person's button where a sign-in is asked for."""
        page = await browser.get(url)
        if page.url.host == "login.example":
            page = await browser.post(page.url, data={"user": person})
        return page

    async def rate(self, browser: httpx.AsyncClient, page: httpx.Response, **lights: str) -> httpx.Response:
        """Fill the form of a page in, and send it."""
        mark = re.search(r'name="mark" value="([^"]+)"', page.text)
        assert mark is not None
        address = str(page.url).replace("/open", "/rate")
        return await browser.post(address, data={"mark": mark[1], **lights})


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    made = Desk()
    yield made
    await made.backend.aclose()
    await made.sandbox.aclose()
    assert made.sandbox.requests.unforeseen() == []


async def test_a_project_is_shown_with_what_the_crm_tells_its_reader(desk: Desk) -> None:
    """R-016, R-020, R-029: signed in with the account of the directory, without a second password."""
    async with desk.browser() as browser:
        page = await desk.open(browser, await desk.project())
        assert page.status_code == 200
        assert ("Anna Muster" in page.text, "€734,512.00" in page.text, "Estimated revenue" in page.text) == (True,) * 3
        assert "A new &lt;b&gt;mill&lt;/b&gt;" in page.text
        assert "cdock_own" in page.text
        assert desk.callers == [ANNA]
        assert page.headers["cache-control"] == "no-store"
        assert "frame-ancestors https://crm.example" in page.headers["content-security-policy"]


async def test_everything_is_asked_for_with_every_page(desk: Desk) -> None:
    """R-025: nothing of the opportunity is kept."""
    url = await desk.project()
    async with desk.browser() as browser:
        await desk.open(browser, url)
        await browser.get(url)
    assert desk.callers == [ANNA, ANNA]
    kept = str([dict(desk.sandbox.rows(name)) for name in ("projects", "solutions", "evaluations")])
    assert "734" not in kept
    assert "€" not in kept


async def test_who_may_not_see_the_opportunity_sees_nothing_of_its_project(desk: Desk) -> None:
    """R-022: not even the name; nor can he rate it."""
    url = await desk.project()
    async with desk.browser() as browser:
        page = await desk.open(browser, url, BERTA)
        assert page.status_code == 404
        assert PROJECT["name"] not in page.text
        assert "CD-7001" in page.text
        refused = await desk.rate(browser, page, **ALL_GREEN)
        assert refused.status_code == 403
    assert desk.sandbox.rows("evaluations") == {}
    assert desk.sent == []


async def test_a_rating_is_sent_at_once_as_the_person(desk: Desk) -> None:
    """R-021, R-026: the answer stands on the page, once."""
    url = await desk.project()
    async with desk.browser() as browser:
        page = await desk.rate(browser, await desk.open(browser, url), **(ALL_GREEN | {"budget": "1"}))
        assert "87 % stands in the CRM now." in page.text
        assert "stands in the CRM now" not in (await browser.get(url)).text
    (sent,) = desk.sent
    assert (sent["opportunityId"], sent["evaluatedBy"], sent["probability"]) == (OPPORTUNITY, ANNA, 87)
    assert sent["results"] == {"score": 13, "trafficLight": "green", "recommendation": "Go for it"}
    assert set(desk.callers) == {ANNA}


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (JSONResponse({"applied": False, "reason": "older"}), "a newer rating already"),
        (JSONResponse({}, 202), "goes over by itself"),
        (
            JSONResponse({"code": "CD-7003", "sentence": "The opportunity is closed."}, 409),
            "The opportunity is closed.",
        ),
        (Response("<html>", 502, media_type="text/html"), "answer was 502"),
    ],
)
async def test_what_became_of_a_rating_is_said(desk: Desk, answer: Response, said: str) -> None:
    """R-026: and the rating itself is kept in any case."""
    desk.answer = answer
    async with desk.browser() as browser:
        page = await desk.rate(browser, await desk.open(browser, await desk.project()), need="3")
    assert said in page.text
    assert len(desk.sandbox.rows("evaluations")) == 1


async def test_a_closed_opportunity_cannot_be_rated(desk: Desk) -> None:
    desk.state = "won"
    async with desk.browser() as browser:
        page = await desk.open(browser, await desk.project())
    assert 'id="closed"' in page.text
    assert 'id="rating"' not in page.text


async def test_a_new_project_may_be_assigned_to_a_solution(desk: Desk) -> None:
    """R-010."""
    solution = desk.sandbox.add_solution("Milling")
    url = await desk.project()
    async with desk.browser() as browser:
        page = await desk.open(browser, url)
        mark = re.search(r'name="mark" value="([^"]+)"', page.text)
        assert mark is not None
        address = url.replace("/open", "/solution")
        page = await browser.post(address, data={"mark": mark[1], "solution": solution})
    assert '<span id="solution">Milling</span>' in page.text
    assert "Assign" not in page.text


async def test_a_form_from_elsewhere_does_nothing(desk: Desk) -> None:
    url = await desk.project()
    async with desk.browser() as browser:
        await desk.open(browser, url)
        refused = await browser.post(url.replace("/open", "/rate"), data={"mark": "made up", **ALL_GREEN})
        wrong = await browser.get("https://cockpit.example/signed-in?code=1&state=made-up")
    assert (refused.status_code, wrong.status_code) == (403, 401)
    assert desk.sandbox.rows("evaluations") == {}


async def test_a_token_is_renewed_and_a_sign_out_ends_it(desk: Desk) -> None:
    """R-020: the person goes on for as long as the sign-in service says."""
    url = await desk.project()
    async with desk.browser() as browser:
        page = await desk.open(browser, url)
        desk.clock.move(hours=2)
        assert (await browser.get(url)).status_code == 200
        mark = re.search(r'name="mark" value="([^"]+)"', page.text)
        assert mark is not None
        await browser.post("https://cockpit.example/sign-out", data={"mark": mark[1]})
        calls = len(desk.callers)
        assert (await browser.get(url)).status_code == 200  # silently: the sign-in service's own session goes on
        assert len(desk.callers) == calls + 1


async def test_two_browsers_are_two_people(desk: Desk) -> None:
    url = await desk.project()
    async with desk.browser() as one, desk.browser() as other:
        assert (await desk.open(one, url)).status_code == 200
        assert (await desk.open(other, url, BERTA)).status_code == 404
        desk.clock.move(seconds=timedelta(minutes=5).total_seconds())
        assert (await one.get(url)).status_code == 200


async def test_a_project_that_there_is_not_is_said(desk: Desk) -> None:
    async with desk.browser() as browser:
        page = await desk.open(browser, "https://cockpit.example/projects/P-1/open")
    assert page.status_code == 404
    assert "There is no such project." in page.text
