"""Subscriptions: the handshake, renewing, expiring, deleting."""

from __future__ import annotations

import re

import pytest

from tests.contract.business_central_sandbox.conftest import MakeRig
from tests.contract.business_central_sandbox.rig import COMPANY, HOOK, RESOURCE, ROOT, Rig, error_of

SUBSCRIPTIONS = f"{ROOT}/subscriptions"


async def test_a_subscription_is_registered_after_the_handshake(rig: Rig) -> None:
    """The token goes out as a POST; the answer holds id, state and an expiry three days away."""
    row = await rig.subscribe()
    assert rig.receiver.handshakes == ["POST"]
    assert re.fullmatch(r"[0-9a-f]{32}", row["subscriptionId"])
    assert (row["notificationUrl"], row["resource"], row["clientState"]) == (HOOK, RESOURCE, "state one")
    assert row["expirationDateTime"] == "2026-03-08T19:19:22.37Z"
    assert row["@odata.etag"].startswith('W/"')
    assert [one["subscriptionId"] for one in await rig.values(SUBSCRIPTIONS)] == [row["subscriptionId"]]
    assert (await rig.get(f"{SUBSCRIPTIONS}('{row['subscriptionId']}')"))["resource"] == RESOURCE


async def test_a_quoted_token_is_taken_too(rig: Rig) -> None:
    """Seen working in public code; plain text is the documented form."""
    rig.receiver.quotes_the_token = True
    await rig.subscribe()


@pytest.mark.parametrize("url", [HOOK, "https://nobody.example/x"])
async def test_without_the_handshake_there_is_no_subscription(rig: Rig, url: str) -> None:
    """A receiver that answers something else, and one that does not answer at all."""
    rig.receiver.shakes_hands = False
    answer = await rig.http.post(SUBSCRIPTIONS, json={"notificationUrl": url, "resource": RESOURCE})
    assert error_of(answer, 400)[0] == "BadRequest"
    assert await rig.values(SUBSCRIPTIONS) == []


@pytest.mark.parametrize(
    "body",
    [
        {"notificationUrl": HOOK},
        {"resource": RESOURCE},
        {"notificationUrl": "http://hooks.example/x", "resource": RESOURCE},
        {"notificationUrl": HOOK, "resource": f"/api/v2.0/companies({COMPANY})/contacts"},
        {"notificationUrl": HOOK, "resource": "/api/v2.0/companies(00000000-0000-0000-0000-000000000001)/customers"},
        {"notificationUrl": HOOK, "resource": RESOURCE, "clientState": "x" * 251},
        {"notificationUrl": HOOK, "resource": RESOURCE, "expirationDateTime": "2030-01-01T00:00:00Z"},
        {"notificationUrl": HOOK, "resource": RESOURCE, "secret": "x"},
    ],
)
async def test_wrong_registrations_are_refused(rig: Rig, body: dict[str, str]) -> None:
    """Missing or unknown properties, plain http, what has no webhooks (contacts), too long a state."""
    assert (await rig.http.post(SUBSCRIPTIONS, json=body)).status_code == 400
    assert rig.receiver.handshakes == []


async def test_resources_may_be_relative_or_absolute(rig: Rig) -> None:
    """With or without the leading slash, or with the service's address in front."""
    for resource in (RESOURCE, RESOURCE[1:], f"{ROOT}/companies({COMPANY})/paymentTerms"):
        await rig.subscribe(resource=resource)
    assert len(rig.sandbox.subscriptions()) == 3


async def test_renewing_needs_the_quotes_the_etag_and_the_handshake_again(rig: Rig) -> None:
    """Three traps in one request; the state can be rotated on the way."""
    row = await rig.subscribe()
    url = f"{SUBSCRIPTIONS}('{row['subscriptionId']}')"
    await rig.clock.advance(86_400)
    rig.sign_in_again()
    assert error_of(await rig.patch(url.replace("'", ""), "*"), 400)[0] == "BadRequest_NotFound"
    assert error_of(await rig.patch(url, None), 400)[0] == "BadRequest_InvalidToken"
    renewed = await rig.patch(url, row["@odata.etag"], clientState="state two")
    assert renewed.status_code == 200
    assert renewed.json()["expirationDateTime"] == "2026-03-09T19:19:22.37Z"
    assert renewed.json()["clientState"] == "state two"
    assert rig.receiver.handshakes == ["POST", "POST"]
    assert error_of(await rig.patch(url, row["@odata.etag"]), 409)[0] == "Request_EntityChanged"
    rig.receiver.shakes_hands = False
    assert error_of(await rig.patch(url, "*"), 400)[0] == "BadRequest"


async def test_deleting_needs_the_etag(rig: Rig) -> None:
    """Here, unlike at customers, the etag is mandatory."""
    row = await rig.subscribe()
    url = f"{SUBSCRIPTIONS}('{row['subscriptionId']}')"
    assert error_of(await rig.http.delete(url), 400)[0] == "BadRequest_InvalidToken"
    assert (await rig.http.delete(url, headers={"If-Match": row["@odata.etag"]})).status_code == 204
    assert error_of(await rig.http.delete(url, headers={"If-Match": "*"}), 404)[0] == "BadRequest_ResourceNotFound"


async def test_a_subscription_expires_after_three_days(rig: Rig) -> None:
    """It is gone from the list, and changes raise no notice any more."""
    row = await rig.subscribe()
    await rig.clock.advance(3 * 86_400)
    rig.sign_in_again()
    assert await rig.values(SUBSCRIPTIONS) == []
    assert error_of(await rig.http.get(f"{SUBSCRIPTIONS}('{row['subscriptionId']}')"), 404)
    await rig.create()
    assert rig.sandbox.waiting_notices() == 0


async def test_an_environment_holds_two_hundred_subscriptions(make: MakeRig) -> None:
    """One more is refused."""
    rig = make(subscriptions_maximum=3)
    for _ in range(3):
        await rig.subscribe()
    answer = await rig.http.post(SUBSCRIPTIONS, json={"notificationUrl": HOOK, "resource": RESOURCE})
    assert error_of(answer, 400)[0] == "Application_DialogException"


async def test_a_copied_environment_has_no_subscriptions(rig: Rig) -> None:
    """Copying or restoring takes them away without a word."""
    await rig.subscribe()
    await rig.create()
    rig.sandbox.forget_subscriptions()
    assert await rig.values(SUBSCRIPTIONS) == []
    assert rig.sandbox.waiting_notices() == 0
