"""The doors of the Sales Cockpit: opening a project from an opportunity, and its live data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode

import azure.functions as func

from functions.door import Call, answered, door, new_blueprint, status_of
from shared.connectors.keys import canonical_guid
from shared.errors import CrossdockError
from shared.routes import ROUTES, NotAdmitted, RequestError, error_body
from shared.users import User

if TYPE_CHECKING:
    from shared.cockpit import SalesCockpit

blueprint = new_blueprint()

LONGEST_SOLUTION: Final = 100
POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors {}"


def _opportunity(text: str) -> str:
    """The opportunity's id; Dynamics gives it with braces. Raises RequestError."""
    try:
        return canonical_guid(text.strip())
    except ValueError:
        raise RequestError("Give the opportunity's id: a GUID, with or without braces.", "opportunityid") from None


async def _cockpit(call: Call) -> SalesCockpit:
    return await call.app.cockpit()


def _user(call: Call) -> User:
    assert call.caller.user is not None  # its guard admits nobody else
    return call.caller.user


# --- launch -----------------------------------------------------------------------------------------


def _asked_opportunity(req: func.HttpRequest) -> str:
    """Of the button's address, or as Dynamics appends it to the address of a frame (`id`, `typename`)."""
    if req.params.get("typename", "opportunity") != "opportunity":
        raise RequestError("The Cockpit rates opportunities only.", "typename")
    return _opportunity(req.params.get("opportunityid") or req.params.get("id") or "")


def _solution(req: func.HttpRequest) -> str | None:
    text = (req.params.get("solutionid") or "").strip()
    if len(text) > LONGEST_SOLUTION or not text.isprintable():
        raise RequestError(f"A solution's id has at most {LONGEST_SOLUTION} characters.", "solutionid")
    return text or None


def _is_embedded(req: func.HttpRequest) -> bool:
    mode = req.params.get("mode") or "tab"
    if mode not in ("tab", "embed"):
        raise RequestError("The mode is tab or embed.", "mode")
    return mode == "embed"


def _wants_json(req: func.HttpRequest) -> bool:
    if (kind := req.params.get("format") or "redirect") not in ("redirect", "json"):
        raise RequestError("The format is redirect or json.", "format")
    return kind == "json"


def _not_launched(req: func.HttpRequest, error: CrossdockError) -> func.HttpResponse:
    """A page in the reader's language, or JSON for a program; who is not signed in is sent to the sign-in first."""
    from shared.sales_cockpit.errors import SignInAgain

    if req.params.get("format") == "json":
        return answered(error_body(error), status_of(error))
    to_sign_in = isinstance(error, NotAdmitted | SignInAgain)
    embedded = req.params.get("mode") == "embed"
    address = _sign_in_address(req) if to_sign_in else ""
    if address and not embedded and not req.params.get("again"):
        return func.HttpResponse(status_code=302, headers={**_framing(embedded), "Location": address})
    return _page(req, error, address, embedded)


def _page(req: func.HttpRequest, error: CrossdockError, address: str, embedded: bool) -> func.HttpResponse:
    from shared.sales_cockpit.pages import language_of, page

    language = language_of(req.headers.get("accept-language") or "", req.params.get("userlcid") or "")
    text = page(error, language, address)
    headers = {**_framing(embedded), "Content-Language": language}
    return func.HttpResponse(text, status_code=status_of(error), headers=headers, mimetype="text/html")


def _sign_in_address(req: func.HttpRequest) -> str:
    """Where the platform signs people in, and comes back to this launch; made of checked parts only."""
    from shared.user_tokens import SIGN_IN_PATH

    try:
        parts = {"opportunityid": _asked_opportunity(req), "solutionid": _solution(req)}
    except RequestError:
        return ""
    told = {name: value for name, value in parts.items() if value} | {"again": "1"}
    back = f"/api/{ROUTES['cockpit_launch'].path}?{urlencode(told)}"
    return f"{SIGN_IN_PATH}?{urlencode({'post_login_redirect_uri': back})}"


def _framing(embedded: bool) -> dict[str, str]:
    """Headers that let a page be shown inside Dynamics of the configured organisation, and nowhere else."""
    host = ""
    if embedded:
        from shared.app import current
        from shared.cockpit import dynamics_origin

        try:
            host = dynamics_origin(current().settings)
        except CrossdockError:
            host = ""
    headers = {
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Content-Security-Policy": POLICY.format(host or "'none'"),
    }
    alone = {"X-Frame-Options": "DENY", "Cross-Origin-Opener-Policy": "same-origin"}
    return headers if host else {**headers, **alone}


@door(blueprint, "cockpit_launch", refusal=_not_launched)
async def cockpit_launch(call: Call) -> func.HttpResponse:
    """Open the project of an opportunity; the first time it is made."""
    req = call.request
    key, solution = _asked_opportunity(req), _solution(req)
    embedded, as_json = _is_embedded(req), _wants_json(req)
    cockpit = await _cockpit(call)
    if embedded:
        cockpit.require_embedding()
    launched = await cockpit.launching.launch(_user(call), key, solution)
    project = launched.project
    if as_json:
        return answered({"url": project.url, "projectId": project.key, "created": launched.created})
    return func.HttpResponse(status_code=302, headers={**_framing(embedded), "Location": project.url})


# --- live view ----------------------------------------------------------------------------------------


@door(blueprint, "cockpit_opportunity")
async def cockpit_opportunity(call: Call) -> func.HttpResponse:
    """The configured columns of an opportunity as they are now, as far as the signed-in user may see them."""
    key = _opportunity(call.path("opportunity"))
    wanted = [name.strip() for name in call.query("fields").split(",") if name.strip()]
    cockpit = await _cockpit(call)
    return answered(await cockpit.live_view.show(_user(call), key, wanted))
