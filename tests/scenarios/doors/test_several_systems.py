"""Two organisations of Dataverse behind one door: the body says which one speaks, the secret whether it may."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from shared.app import installed
from shared.sync.definition import Definition
from tests.scenarios.doors.world import ENVIRONMENT, WEBHOOK_SECRET, Doors, dump, notice, shipped

TEST = "11111111-2222-4333-8444-555555555555"
STRANGE = "99999999-2222-4333-8444-555555555555"
OWN_SECRET = "webhook-secret-of-the-test-organisation"
SETTINGS = {
    **ENVIRONMENT,
    "CROSSDOCK_SYSTEMS": "dataverse,business_central,crm_test=dataverse",
    "CROSSDOCK_CRM_TEST_URL": "https://test.crm4.dynamics.com",
    "CROSSDOCK_CRM_TEST_ORGANIZATION_ID": TEST,
}


def both() -> tuple[Definition, Definition]:
    """The shipped definition, and the same for the test organisation."""
    first = shipped()
    table = first.left.model_copy(update={"system": "crm_test"})
    transfers = [one.model_copy(update={"name": f"test_{one.name}"}) for one in first.transfers]
    return first, first.model_copy(update={"left": table, "transfers": tuple(transfers)})


@pytest.fixture
async def two(request: pytest.FixtureRequest) -> AsyncIterator[Doors]:
    """The doors of an installation with two organisations; more settings by the parameter."""
    made = Doors(environment=SETTINGS | getattr(request, "param", {}), definitions=both())
    made.app = made.new_app(connectors={"dataverse": made.crm, "crm_test": made.crm, "business_central": made.erp})
    await made.rows.prepare()
    with installed(made.app):
        yield made
    await made.http.aclose()
    await made.app.aclose()
    await made.rows.aclose()


def from_organization(organization_id: str) -> bytes:
    """A notice of an account, of this organisation."""
    return dump(notice("account_create_sync_2024") | {"OrganizationId": organization_id})


async def reached(doors: Doors) -> set[str]:
    """The transfers whose queues hold a message."""
    return {name for name, messages in (await doors.queued()).items() if messages}


async def test_a_notice_reaches_the_transfers_of_its_own_organisation(two: Doors) -> None:
    """R-041: one address and one secret for both."""
    assert (await two.dataverse(from_organization(TEST))).status_code == 202
    assert await reached(two) == {"test_account_to_business_central", "test_customer_to_dataverse"}


async def test_a_notice_of_an_unknown_organisation_is_answered_counted_and_forgotten(two: Doors) -> None:
    """R-041: 200, and nothing is queued for either."""
    assert (await two.dataverse(from_organization(STRANGE))).status_code == 200
    assert await reached(two) == set()
    assert two.app.notices.counts["dataverse: another organisation"] == 1


@pytest.mark.parametrize("two", [{"CROSSDOCK_CRM_TEST_WEBHOOK_SECRET": OWN_SECRET}], indirect=True)
async def test_whoever_knows_one_organisations_secret_cannot_speak_for_the_other(two: Doors) -> None:
    """R-041: each secret opens the door for its own organisation."""
    assert (await two.dataverse(from_organization(TEST), WEBHOOK_SECRET)).status_code == 200
    assert await reached(two) == set()
    assert (await two.dataverse(from_organization(TEST), OWN_SECRET)).status_code == 202
    assert await reached(two) == {"test_account_to_business_central", "test_customer_to_dataverse"}
    assert (await two.dataverse(from_organization(TEST), "neither-of-the-two-secrets-of-these")).status_code == 401


@pytest.mark.parametrize("two", [{"CROSSDOCK_CRM_TEST_ORGANIZATION_ID": ""}], indirect=True)
async def test_an_organisation_without_its_id_does_not_close_the_door_for_the_other(two: Doors) -> None:
    """R-041: it is named among the settings that are wrong."""
    own = ENVIRONMENT["CROSSDOCK_DATAVERSE_ORGANIZATION_ID"]
    assert (await two.dataverse(from_organization(own))).status_code == 202
    assert await reached(two) == {"account_to_business_central", "customer_to_dataverse"}
    errors = [str(error) for error in two.app.settings.check()]
    assert any("CROSSDOCK_CRM_TEST_ORGANIZATION_ID: is missing" in error for error in errors)
