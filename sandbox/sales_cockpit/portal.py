"""The pages where people work with a project: what the CRM knows about the opportunity now, and its rating.

Server-rendered, without a script and without anything from another host. What comes from the CRM is asked for with
every page, in the name of who looks at it, and stands nowhere else.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import httpx
from jinja2 import Environment, FileSystemLoader
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import Receive, Scope, Send

from sandbox.clock import Clock
from sandbox.front import not_imitated, segments_of
from sandbox.problems import ApiError
from sandbox.rows_on_disk import Row
from sandbox.sales_cockpit.api import Api, iso
from sandbox.sales_cockpit.crossdock import Crossdock, Told
from sandbox.sales_cockpit.rating import CRITERIA, LIGHTS, lights_from
from sandbox.sales_cockpit.signing_in import BACK_PATH, COOKIE, NotSignedIn, Session, SigningIn, SignInOptions
from sandbox.sales_cockpit.store import SOLUTIONS, Store

HERE = Path(__file__).parent
LABELS: Mapping[str, str] = {
    "name": "Topic",
    "customerid": "Customer",
    "estimatedvalue": "Estimated revenue",
    "estimatedclosedate": "Estimated close date",
    "closeprobability": "Probability",
    "opportunityratingcode": "Rating",
    "ownerid": "Owner",
    "statecode": "Status",
}
"""What people call the CRM's columns; another column is shown under its own name."""


@dataclass(frozen=True)
class PortalOptions:
    """What the pages need. crossdock_url: where Crossdock's functions are. framed_by: hosts whose pages may show these
    in a frame. post: how the backend reaches Crossdock and the sign-in service; whoever made it closes it."""

    sign_in: SignInOptions
    crossdock_url: str
    post: httpx.AsyncClient
    framed_by: Sequence[str] = ()


class Portal:
    """Serves the pages below the portal's address."""

    def __init__(self, options: PortalOptions, *, api: Api, store: Store, clock: Clock) -> None:
        self._options = options
        self._api = api
        self._store = store
        self._clock = clock
        self._signing_in = SigningIn(options.sign_in, api.options.client_id, api.portal, clock, options.post)
        self._crossdock = Crossdock(options.crossdock_url, options.post)
        pages = Environment(loader=FileSystemLoader(HERE), autoescape=True, trim_blocks=True)
        self._page = pages.get_template("page.html")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        request = Request(scope, receive)
        session = self._signing_in.session(request.cookies.get(COOKIE, ""))
        response = await self._response(request, session)
        self._store.commit()
        response.set_cookie(COOKIE, session.id, httponly=True, samesite="lax", path="/")
        await response(scope, receive, send)

    async def _response(self, request: Request, session: Session) -> Response:
        try:
            match request.method, segments_of(request):
                case "GET", ("style.css",):
                    return Response((HERE / "style.css").read_bytes(), media_type="text/css")
                case "GET", (name,) if f"/{name}" == BACK_PATH:
                    return self._to(await self._signing_in.finish(session, dict(request.query_params)))
                case "POST", ("sign-out",):
                    return await self._signed_out(request, session)
                case "GET", ("projects", key, "open"):
                    return await self._opened(session, key)
                case "POST", ("projects", key, "rate"):
                    return await self._rated(request, session, key)
                case "POST", ("projects", key, "solution"):
                    return await self._assigned(request, session, key)
        except NotSignedIn as error:
            return self._plain(session, "You are not signed in", f"The sign-in did not succeed. {error.code}", 401)
        except ApiError as error:
            return self._plain(session, "This cannot be shown", error.detail, error.status)
        return not_imitated(request.scope, "a page that the Cockpit does not have")

    # --- pages ---

    async def _opened(self, session: Session, key: str) -> Response:
        """A project's page; what the person may not see in the CRM he sees nothing of here."""
        if not session.object_id:
            return RedirectResponse(self._signing_in.begin(session, f"/projects/{key}/open"), 302)
        row = self._api.project(key)
        live = await self._crossdock.opportunity(await self._signing_in.token(session), str(row["externalId"]))
        if live.status != 200:
            hint = live.sentence or f"The CRM's answer was {live.status}."
            return self._plain(session, "This project cannot be shown", f"{hint} {live.code}".strip(), live.status)
        return self._html(session, self._of_project(key, row, live))

    def _of_project(self, key: str, row: Row, live: Told) -> dict[str, Any]:
        evaluations = [one for _, one in self._store.evaluations_of(key)]
        solutions = [{"id": one, "name": row["name"]} for one, row in self._store.rows(SOLUTIONS) if row["active"]]
        solution = self._store.get(SOLUTIONS, row["solutionId"]) if row["solutionId"] else None
        return {
            "title": row["name"],
            "project": {"key": key, "name": row["name"], "solution": solution["name"] if solution else ""},
            "solutions": solutions if solution is None else [],
            "fields": list(_fields(live.body)),
            "state": live.body.get("state"),
            "criteria": list(_criteria(evaluations[-1]["lights"] if evaluations else {})),
            "evaluations": [_evaluation(one) for one in reversed(evaluations)],
        }

    def _html(self, session: Session, values: Mapping[str, Any], status: int = 200) -> Response:
        said, session.told = session.told, None
        common = {"base": self._api.portal, "person": session.name, "mark": session.mark, "told": said}
        return HTMLResponse(self._page.render({**common, **values}), status, headers=self._headers())

    def _plain(self, session: Session, title: str, hint: str, status: int) -> Response:
        return self._html(session, {"title": title, "hint": hint}, status if status >= 400 else 502)

    def _headers(self) -> dict[str, str]:
        framed_by = " ".join(self._options.framed_by) or "'none'"
        policy = f"default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors {framed_by}"
        return {
            "Content-Security-Policy": policy,
            "Cache-Control": "no-store",
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
        }

    def _to(self, page: str) -> Response:
        return RedirectResponse(f"{self._api.portal}{page}", 303, headers={"Cache-Control": "no-store"})

    # --- what people do ---

    async def _rated(self, request: Request, session: Session, key: str) -> Response:
        """Keep the rating, tell Crossdock of it at once, and show what became of it."""
        form = await self._form(request, session)
        row = self._api.project(key)
        token = await self._signing_in.token(session)
        if (await self._crossdock.opportunity(token, str(row["externalId"]))).status != 200:
            raise ApiError(403, "Forbidden", "You may not see this opportunity.")
        evaluation = self._api.rate(key, session.object_id, _lights(form))
        session.told = _said(await self._crossdock.send(token, evaluation), int(evaluation["probability"]))
        return self._to(f"/projects/{key}/open")

    async def _assigned(self, request: Request, session: Session, key: str) -> Response:
        form = await self._form(request, session)
        self._api.change(key, {"solutionId": form.get("solution", "")})
        return self._to(f"/projects/{key}/open")

    async def _signed_out(self, request: Request, session: Session) -> Response:
        await self._form(request, session)
        self._signing_in.end(session)
        return self._plain(Session(), "Signed out", "Open a project from the CRM to sign in again.", 200)

    async def _form(self, request: Request, session: Session) -> dict[str, str]:
        """The form of a page that was shown to this very session; raises the 403 of any other."""
        form = dict(parse_qsl((await request.body()).decode("utf-8", "replace")))
        if not session.object_id or not hmac.compare_digest(form.get("mark", "").encode(), session.mark.encode()):
            raise ApiError(403, "Forbidden", "This form was not shown to you.")
        return form


def _lights(form: Mapping[str, str]) -> dict[str, int]:
    """The lights that a form chose; raises the 400 of a form that no page shows."""
    try:
        return lights_from({one.name: int(form[one.name]) for one in CRITERIA if one.name in form})
    except ValueError:
        raise ApiError(400, "BadRating", "There is no such light.") from None


def _fields(body: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    for one in body.get("fields", ()):
        name = str(one.get("name", ""))
        text = one.get("text") if one.get("text") is not None else one.get("value")
        yield {"name": name, "label": LABELS.get(name, name), "text": "" if text is None else str(text)}


def _criteria(lights: Mapping[str, int]) -> Iterator[dict[str, Any]]:
    for one in CRITERIA:
        now = lights.get(one.name, 0)
        yield {
            "name": one.name,
            "title": one.title,
            "lights": [
                {"value": value, "colour": colour, "sentence": one.sentence(value), "on": value == now}
                for value, colour in enumerate(LIGHTS)
            ],
        }


def _evaluation(row: Row) -> dict[str, Any]:
    return {
        "at": iso(row["evaluatedAt"])[:16].replace("T", " "),
        "probability": row["probability"],
        "light": row["results"]["trafficLight"],
        "recommendation": row["results"]["recommendation"],
    }


def _said(answer: Told, probability: int) -> dict[str, str]:
    """What the page says about the answer to a rating."""
    if answer.status == 200 and answer.body.get("applied"):
        return {"kind": "good", "text": f"{probability} % stands in the CRM now."}
    if answer.status == 200:
        return {"kind": "fair", "text": "The CRM has a newer rating already; this one was kept here only."}
    if answer.status == 202:
        return {"kind": "fair", "text": "The CRM does not answer now; the rating goes over by itself."}
    text = answer.sentence or f"Crossdock's answer was {answer.status}."
    return {"kind": "bad", "text": text, "code": answer.code}
