"""Business Central's subscriptions through the port, against its sandbox with a receiver that shakes hands."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest

from sandbox.business_central import AUDIENCE, BusinessCentralOptions
from sandbox.faults import FaultKind, FaultRule
from sandbox.tokens import TENANT_ID
from sandbox.transport import SandboxTransport
from shared.connectors.business_central.connector import BusinessCentralConnector
from shared.errors import (
    BadAnswer,
    RecordMissing,
    SubscriptionRefused,
    SystemDown,
    TooManySubscriptions,
    UnknownResult,
    VersionConflict,
)
from shared.http_client import HttpClient
from shared.identity import TokenEndpointTokens
from shared.sync.ports import Subscribing, Subscription
from tests.contract.business_central_sandbox.rig import BASE_URL, COMPANY, HOOK, OTHER_COMPANY, Rig
from tests.unit.connectors.fakes import CountingIds, JumpingClock

LOGIN = f"https://login.example/{TENANT_ID}/oauth2/v2.0/token"
OURS = "https://hooks.example/ours/secret/customers"


class Subscriber:
    """A connector at a sandbox whose notices and handshakes reach a receiver."""

    def __init__(self, options: BusinessCentralOptions | None = None) -> None:
        self.rig = Rig(options)
        clock = JumpingClock()
        tokens = TokenEndpointTokens(
            LOGIN, "connector", "made up secret", clock, transport=SandboxTransport(self.rig.issuer.app)
        )
        client = HttpClient(
            system="business_central",
            base_url=BASE_URL,
            scope=f"{AUDIENCE}/.default",
            tokens=tokens,
            clock=clock,
            ids=CountingIds(),
            http=SandboxTransport(self.rig.sandbox.app),
            owns_tokens=True,
        )
        self.connector = BusinessCentralConnector(
            [client], clock, tenant=TENANT_ID, environment="Production", company_id=COMPANY
        )

    async def made(self, address: str = OURS) -> Subscription:
        """A subscription of ours to the customers."""
        return await self.connector.subscribe("customers", address, "state one")

    async def aclose(self) -> None:
        """Close everything; the sandbox understood every request."""
        await self.connector.aclose()
        await self.rig.aclose()
        assert self.rig.sandbox.requests.unforeseen() == []


@pytest.fixture
async def subscriber() -> AsyncIterator[Subscriber]:
    made = Subscriber()
    yield made
    await made.aclose()


async def test_a_subscription_is_made_listed_renewed_and_ended(subscriber: Subscriber) -> None:
    """R-052: quoted id, condition and handshake as the service wants them; the new life is three days."""
    assert isinstance(subscriber.connector, Subscribing)
    made = await subscriber.made()
    assert (made.table, made.address, made.state) == ("customers", OURS, "state one")
    assert list(await subscriber.connector.subscriptions()) == [made]
    await subscriber.rig.clock.advance(3600)
    renewed = await subscriber.connector.renew(made, f"{OURS}2", "state two")
    assert (renewed.id, renewed.address, renewed.state) == (made.id, f"{OURS}2", "state two")
    assert renewed.expires_at == made.expires_at + timedelta(hours=1)
    assert subscriber.rig.receiver.handshakes == ["POST", "POST"]
    await subscriber.connector.unsubscribe(renewed)
    assert await subscriber.connector.subscriptions() == []
    await subscriber.connector.unsubscribe(renewed)


async def test_only_tables_of_our_company_have_a_name(subscriber: Subscriber) -> None:
    """Those of another company, and absolute addresses, are told apart."""
    await subscriber.rig.subscribe(HOOK, f"/api/v2.0/companies({OTHER_COMPANY})/customers")
    await subscriber.rig.subscribe(
        HOOK, f"{BASE_URL}/v2.0/{TENANT_ID}/Production/api/v2.0/companies({COMPANY})/currencies"
    )
    found = await subscriber.connector.subscriptions()
    assert sorted(one.table for one in found) == ["", "currencies"]


async def test_the_environment_says_which_tables_can_notify(subscriber: Subscriber) -> None:
    """Contacts cannot; nobody has to know that by heart."""
    assert await subscriber.connector.notifying(["customers", "contacts", "currencies"]) == ["customers", "currencies"]


async def test_an_address_that_does_not_shake_hands_is_refused(subscriber: Subscriber) -> None:
    """Made or renewed; the old life goes on."""
    made = await subscriber.made()
    subscriber.rig.receiver.shakes_hands = False
    with pytest.raises(SubscriptionRefused) as refused:
        await subscriber.made(f"{OURS}2")
    assert not isinstance(refused.value, TooManySubscriptions)
    with pytest.raises(SubscriptionRefused):
        await subscriber.connector.renew(made, OURS, "state two")
    assert list(await subscriber.connector.subscriptions()) == [made]


async def test_a_table_that_cannot_notify_is_refused(subscriber: Subscriber) -> None:
    """Where the environment did not say so before."""
    with pytest.raises(SubscriptionRefused):
        await subscriber.connector.subscribe("contacts", OURS, "state one")


async def test_a_changed_or_vanished_subscription_is_told(subscriber: Subscriber) -> None:
    """Somebody else renewed it, or the service has deleted it: look again and decide anew."""
    made = await subscriber.made()
    await subscriber.connector.renew(made, OURS, "state two")
    with pytest.raises(VersionConflict):
        await subscriber.connector.renew(made, OURS, "state three")
    subscriber.rig.sandbox.forget_subscriptions()
    with pytest.raises(RecordMissing):
        await subscriber.connector.renew(made, OURS, "state two")


async def test_the_limit_of_the_environment_is_named() -> None:
    """The service's code is that of every dialog, so the subscriptions are counted."""
    subscriber = Subscriber(BusinessCentralOptions(subscriptions_maximum=200, limits=False))
    for number in range(200):
        await subscriber.rig.subscribe(f"{HOOK}{number}")
    with pytest.raises(TooManySubscriptions):
        await subscriber.made()
    await subscriber.aclose()


async def test_faults_are_told_as_everywhere(subscriber: Subscriber) -> None:
    """A lost answer may have made one: the next look finds it."""
    faults = subscriber.rig.sandbox.faults
    faults.add(FaultRule(FaultKind.LOST_ANSWER, "POST", "/subscriptions$", times=1))
    with pytest.raises(UnknownResult):
        await subscriber.made()
    assert len(await subscriber.connector.subscriptions()) == 1
    faults.add(FaultRule(FaultKind.UNAVAILABLE, "GET", "/subscriptions$", times=1))
    with pytest.raises(SystemDown):
        await subscriber.connector.subscriptions()
    faults.add(FaultRule(FaultKind.UNAVAILABLE, "GET", "/webhookSupportedResources", times=1))
    with pytest.raises(SystemDown):
        await subscriber.connector.notifying(["customers"])


async def test_what_is_no_list_of_subscriptions_is_no_answer(subscriber: Subscriber) -> None:
    """It is read as hostile input, and what is printed of one holds no secret."""
    made = await subscriber.made()
    subscriber.rig.sandbox.faults.add(FaultRule(FaultKind.GARBAGE, "GET", "/subscriptions$", times=1))
    with pytest.raises(BadAnswer):
        await subscriber.connector.subscriptions()
    assert "secret" not in repr(replace(made, state="secret"))
