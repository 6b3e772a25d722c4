"""Every route is tried as nobody and as each role: the route table is the only rule, and it holds."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

import pytest

from local.host import HttpTrigger
from shared.app import installed
from shared.routes import ROLE_NAMES, ROUTES, Guard, NotAdmitted, Role
from tests.scenarios.doors.world import OPERATOR_KEY, OPERATOR_KEY_BEFORE, Doors

ROLE_CLAIM = "http://schemas.microsoft.com/ws/2008/06/identity/claims/role"
PARAMETERS = {
    "{transfer}": "account_to_business_central",
    "{system}": "dataverse",
    "{table}": "account",
    "{key}": "0f8fad5b-d9cb-469f-a165-70867728950e",
    "{side}": "left",
    "{partner}": "postoffice",
    "{secret}": "wrong",
    "{subscription?}": "customers",
}
GUARDED = [name for name, route in ROUTES.items() if route.guard in (Guard.VIEWER, Guard.OPERATOR, Guard.ADMIN)]


def principal(*roles: str, role_typ: str = ROLE_CLAIM, typ: str = "roles", **more: Any) -> dict[str, str]:
    """The headers of the platform's sign-in for a person with these app roles."""
    claims = [{"typ": "name", "val": "crossdock.admin"}, *({"typ": typ, "val": role} for role in roles)]
    text = json.dumps({"auth_typ": "aad", "claims": claims, "name_typ": "name", "role_typ": role_typ} | more)
    return {
        "x-ms-client-principal": base64.b64encode(text.encode()).decode(),
        "x-ms-client-principal-id": "7c32673f-6124-458a-bde7-0482b359c4aa",
    }


def address(name: str) -> str:
    """The path of a route with something in its parameters."""
    path = ROUTES[name].path
    for parameter, value in PARAMETERS.items():
        path = path.replace(parameter, value)
    assert "{" not in path
    return f"/api/{path}"


async def statuses(doors: Doors, headers: Mapping[str, str]) -> dict[str, int]:
    """The status of every guarded route, asked with an empty wish."""
    found = {}
    for name in GUARDED:
        method = ROUTES[name].methods[0]
        wish: dict[str, str] | None = None if method == "GET" else {}
        found[name] = (await doors.http.request(method, address(name), json=wish, headers=headers)).status_code
    return found


def test_every_http_function_stands_in_the_route_table(doors: Doors) -> None:
    """And the table names nothing that is not there; path, methods and the platform's level agree."""
    served = {one.name: one.trigger for one in doors.host.functions() if isinstance(one.trigger, HttpTrigger)}
    assert served.keys() == ROUTES.keys()
    for name, trigger in served.items():
        assert (trigger.template.text, set(trigger.methods)) == (ROUTES[name].path, set(ROUTES[name].methods))
        assert trigger.auth_level == "ANONYMOUS", "the platform must never refuse; the table does"


def test_every_guard_is_used_and_only_health_is_public() -> None:
    """A new public route is a decision, made here."""
    assert {route.guard for route in ROUTES.values()} == set(Guard)
    assert [name for name, route in ROUTES.items() if route.guard is Guard.PUBLIC] == ["ops_health"]


def test_whatever_changes_something_asks_for_more_than_a_viewer() -> None:
    """By method: everything but GET."""
    changing = {name: route for name, route in ROUTES.items() if name in GUARDED and route.methods != ("GET",)}
    assert changing
    assert all(route.guard in (Guard.OPERATOR, Guard.ADMIN) for route in changing.values())


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-crossdock-key": ""},
        {"x-crossdock-key": "wrong"},
        {"x-crossdock-key": OPERATOR_KEY + "x"},
        {"x-crossdock-key": f"{OPERATOR_KEY},{OPERATOR_KEY}"},
        {"authorization": f"Bearer {OPERATOR_KEY}"},
        {"x-functions-key": "unused-master-key"},
        {"cookie": f"x-crossdock-key={OPERATOR_KEY}"},
        principal("crossdock.admin"),
    ],
)
async def test_nobody_gets_in_anywhere(doors: Doors, headers: dict[str, str]) -> None:
    """Not even with the headers of the platform's sign-in while the settings say that it is off."""
    assert set((await statuses(doors, headers)).values()) == {401}


async def test_a_refusal_says_who_can_help_and_nothing_else(doors: Doors) -> None:
    """The four members of every error."""
    answer = await doors.http.get("/api/ops/transfers")
    assert answer.json() == {
        "code": "CD-5002",
        "sentence": "The caller is not known.",
        "field": "",
        "remedy": NotAdmitted.remedy,
    }
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("typ", ["roles", ROLE_CLAIM])
async def test_each_role_opens_its_routes_and_no_other(doors: Doors, role: Role, typ: str) -> None:
    """403 above the role; below it the request itself is judged."""
    doors.environment["CROSSDOCK_PLATFORM_SIGN_IN"] = "on"
    with installed(doors.new_app()):
        found = await statuses(doors, principal(f"crossdock.{role.name.lower()}", typ=typ))
    allowed = {name for name in GUARDED if Role[ROUTES[name].guard.name] <= role}
    assert {name for name, status in found.items() if status == 403} == set(GUARDED) - allowed
    assert all(found[name] in (200, 202, 400, 404, 409) for name in allowed)


BAD_PRINCIPALS: dict[str, dict[str, str]] = {
    "no roles": principal(),
    "an unknown role": principal("admin", "crossdock.owner"),
    "a role under another claim": principal("crossdock.admin", typ="groups"),
    "claims as an object": principal("crossdock.admin", claims={"typ": "roles", "val": "crossdock.admin"}),
    "claims as texts": principal(claims=["crossdock.admin"]),
    "a role as a list": principal(claims=[{"typ": "roles", "val": ["crossdock.admin"]}]),
    "the kind of roles as a list": principal(role_typ=["roles"], claims=[{"typ": ["roles"], "val": "crossdock.admin"}]),  # type: ignore[arg-type] # wrong on purpose
    "no base64": {"x-ms-client-principal": "{}"},
    "no JSON": {"x-ms-client-principal": base64.b64encode(b"crossdock.admin").decode()},
    "a list": {"x-ms-client-principal": base64.b64encode(b'["crossdock.admin"]').decode()},
    "nested deeply": {"x-ms-client-principal": base64.b64encode(b"[" * 9000 + b"]" * 9000).decode()},
    "only an id": {"x-ms-client-principal-id": "7c32673f-6124-458a-bde7-0482b359c4aa"},
}


@pytest.mark.parametrize("case", BAD_PRINCIPALS)
async def test_a_sign_in_without_a_role_of_ours_is_nobody(doors: Doors, case: str) -> None:
    """Whatever the header holds: 401."""
    doors.environment["CROSSDOCK_PLATFORM_SIGN_IN"] = "on"
    with installed(doors.new_app()):
        assert set((await statuses(doors, BAD_PRINCIPALS[case])).values()) == {401}


async def test_the_operator_key_opens_everything_and_two_are_valid_at_once(doors: Doors) -> None:
    """For the command line and the run on one machine."""
    for key in (OPERATOR_KEY, OPERATOR_KEY_BEFORE):
        assert not {401, 403} & set((await statuses(doors, {"x-crossdock-key": key})).values())


async def test_without_a_key_in_the_settings_no_key_opens_anything(doors: Doors) -> None:
    """An empty key is no key."""
    doors.environment |= {"CROSSDOCK_OPERATOR_KEY": "", "CROSSDOCK_OPERATOR_KEY_PREVIOUS": ""}
    with installed(doors.new_app()):
        for headers in ({}, {"x-crossdock-key": ""}, {"x-crossdock-key": OPERATOR_KEY}):
            assert set((await statuses(doors, headers)).values()) == {401}


def test_the_roles_have_their_names_at_the_sign_in_service() -> None:
    """docs/reference/operations.md names them to administrators."""
    assert set(ROLE_NAMES) == {"crossdock.viewer", "crossdock.operator", "crossdock.admin"}
