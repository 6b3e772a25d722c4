"""Who may ask for checks: a field service by its secret, or by a signature under it."""

from __future__ import annotations

import hmac
import logging
from collections.abc import AsyncIterator
from hashlib import sha256

import pytest

from shared.app import installed
from shared.routes import LARGEST_SIGNED_BYTES
from tests.scenarios.doors.world import ENVIRONMENT, WEBHOOK_SECRET, Doors

FSM_SECRET = "fsm-secret-of-at-least-32-characters"
FSM_SECRET_BEFORE = "fsm-secret-of-yesterday-32-characters"
IFS_SECRET = "ifs-cloud-secret-of-at-least-32-characters"
SETTINGS = {
    **ENVIRONMENT,
    "CROSSDOCK_SYSTEMS": "dataverse,business_central,fsm,ifs_cloud",
    "CROSSDOCK_FSM_WEBHOOK_SECRET": FSM_SECRET,
    "CROSSDOCK_FSM_WEBHOOK_SECRET_PREVIOUS": FSM_SECRET_BEFORE,
    "CROSSDOCK_IFS_CLOUD_WEBHOOK_SECRET": IFS_SECRET,
}
PATH = "/api/fsm/credit-check"
BODY = b'{"requestId": 7}'
"""What is admitted and then refused at its first member: admitted is 400, and not is 401."""


@pytest.fixture
async def field(request: pytest.FixtureRequest) -> AsyncIterator[Doors]:
    """The doors of an installation with both kinds of field service; more settings by the parameter."""
    made = Doors(environment=SETTINGS | getattr(request, "param", {}))
    await made.rows.prepare()
    with installed(made.app):
        yield made
    await made.http.aclose()
    await made.app.aclose()
    await made.rows.aclose()


async def asked(doors: Doors, headers: dict[str, str], body: bytes = BODY) -> int:
    """The status that a caller with these headers gets."""
    answer = await doors.http.post(PATH, content=body, headers={"content-type": "application/json", **headers})
    assert answer.json()["confirmed"] is False
    return answer.status_code


def signed(doors: Doors, secret: str, body: bytes = BODY, ago: float = 0) -> dict[str, str]:
    """The headers of a body that was signed so many seconds ago."""
    at = str(int(doors.clock.now().timestamp() - ago))
    shown = hmac.new(secret.encode(), at.encode() + b"." + body, sha256).hexdigest()
    return {"x-crossdock-timestamp": at, "x-crossdock-signature": f"sha256={shown}"}


@pytest.mark.parametrize("secret", [FSM_SECRET, FSM_SECRET_BEFORE, IFS_SECRET])
async def test_the_secret_of_either_kind_opens_in_the_header_and_under_a_signature(field: Doors, secret: str) -> None:
    """Also the one before, while it is being changed."""
    assert await asked(field, {"x-crossdock-secret": secret}) == 400
    assert await asked(field, signed(field, secret)) == 400


@pytest.mark.parametrize("secret", ["", "wrong", FSM_SECRET + "x", WEBHOOK_SECRET])
async def test_no_other_secret_opens(field: Doors, secret: str) -> None:
    """Nor that of Dataverse's notices."""
    assert await asked(field, {"x-crossdock-secret": secret}) == 401
    assert await asked(field, signed(field, secret)) == 401
    assert await asked(field, {}) == 401


@pytest.mark.parametrize(("ago", "status"), [(300, 400), (-300, 400), (301, 401), (-301, 401)])
async def test_a_signature_holds_for_five_minutes(field: Doors, ago: float, status: int) -> None:
    """In either direction: clocks differ."""
    assert await asked(field, signed(field, FSM_SECRET, ago=ago)) == status


async def test_a_signature_is_of_this_body_and_this_time(field: Doors) -> None:
    """Whoever changes one of them must know the secret; a secret beside a wrong signature does not help."""
    good = signed(field, FSM_SECRET)
    assert await asked(field, good, BODY + b" ") == 401
    assert await asked(field, good | {"x-crossdock-timestamp": str(int(good["x-crossdock-timestamp"]) + 1)}) == 401
    for timestamp in ("", "now", "1.5", "-1", "9" * 40):
        assert await asked(field, good | {"x-crossdock-timestamp": timestamp}) == 401
    bare = good["x-crossdock-signature"].removeprefix("sha256=")
    for signature in ("", bare, f"sha1={bare}", f"sha256={'0' * 64}"):
        assert (
            await asked(field, good | {"x-crossdock-signature": signature} | {"x-crossdock-secret": FSM_SECRET}) == 401
        )


async def test_a_signature_may_be_written_in_capitals(field: Doors) -> None:
    """As some libraries write hexadecimal digits."""
    good = signed(field, FSM_SECRET)
    assert await asked(field, good | {"x-crossdock-signature": good["x-crossdock-signature"].upper()}) == 400


async def test_a_body_that_is_too_large_is_not_hashed(field: Doors) -> None:
    """Strangers cannot keep us busy with it."""
    assert await asked(field, signed(field, ""), b" " * (LARGEST_SIGNED_BYTES + 1)) == 413


@pytest.mark.parametrize("field", [{"CROSSDOCK_FSM_WEBHOOK_SECRET": "short"}], indirect=True)
async def test_one_kinds_wrong_setting_does_not_close_the_door_for_the_other(field: Doors) -> None:
    """It is named among the settings that are wrong."""
    assert await asked(field, {"x-crossdock-secret": IFS_SECRET}) == 400
    assert await asked(field, {"x-crossdock-secret": "short"}) == 401


@pytest.mark.parametrize(
    "field",
    [{"CROSSDOCK_FSM_WEBHOOK_SECRET": "short", "CROSSDOCK_SYSTEMS": "dataverse,business_central,fsm"}],
    indirect=True,
)
async def test_strangers_are_not_told_which_setting_is_wrong(field: Doors, caplog: pytest.LogCaptureFixture) -> None:
    """The log is, and nobody is admitted."""
    with caplog.at_level(logging.ERROR), installed(field.new_app()):
        answer = await field.http.post(PATH, content=BODY, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (503, "CD-3001")
    assert (answer.json()["error"], answer.json()["reason"]) == ("NotConfirmed", "not_set_up")
    assert "CROSSDOCK" not in answer.text
    assert "CROSSDOCK_FSM_WEBHOOK_SECRET" in caplog.text


@pytest.mark.parametrize("field", [{"CROSSDOCK_SYSTEMS": "dataverse,business_central"}], indirect=True)
async def test_without_a_field_service_nobody_is_admitted(field: Doors) -> None:
    """Whatever the settings of one say."""
    assert await asked(field, {"x-crossdock-secret": FSM_SECRET}) == 401


@pytest.mark.parametrize(
    "field", [{"CROSSDOCK_FSM_WEBHOOK_SECRET": "", "CROSSDOCK_FSM_WEBHOOK_SECRET_PREVIOUS": ""}], indirect=True
)
async def test_a_field_service_without_a_secret_opens_nothing(field: Doors) -> None:
    """An empty secret is none, in the header and under a signature."""
    assert await asked(field, {"x-crossdock-secret": ""}) == 401
    assert await asked(field, signed(field, "")) == 401
