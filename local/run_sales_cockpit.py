"""The Sales Cockpit of a run on this machine: its sandbox with pages, who signs in, and the settings for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import UUID, uuid5

import httpx

from local.host import PlatformSignIn
from local.run_installation import Installation
from sandbox.clock import SystemClock
from sandbox.dataverse import DataverseSandbox
from sandbox.sales_cockpit.options import SalesCockpitOptions
from sandbox.sales_cockpit.portal import PortalOptions
from sandbox.sales_cockpit.sandbox import SalesCockpitSandbox
from sandbox.sales_cockpit.signing_in import BACK_PATH, SignInOptions
from sandbox.tokens import TENANT_ID, TokenIssuer

SIGN_IN_PATH: Final = "/.auth/login/aad/callback"
SIGN_OUT_PATH: Final = "/.auth/logout/done"


@dataclass(frozen=True)
class Person:
    """Somebody of the directory. sees_all: in the CRM; else his own records only."""

    name: str
    mail: str
    sees_all: bool

    def object_id(self, installation: Installation) -> str:
        """His id in the directory, the same as long as the installation is."""
        return str(uuid5(UUID(installation.organization_id), self.mail))


PEOPLE: Final = (
    Person("Anna Berger", "anna@crossdock.example", sees_all=True),
    Person("Berta Huber", "berta@crossdock.example", sees_all=False),
)


@dataclass(frozen=True)
class Places:
    """Where the parts are: the sign-in service, the functions, the CRM and the Cockpit, each without a path."""

    sign_in: str
    functions: str
    crm: str
    cockpit: str

    @property
    def authority(self) -> str:
        """The sign-in service with its tenant."""
        return f"{self.sign_in}/{TENANT_ID}"


def start(
    state: Path, own: Installation, places: Places, issuer: TokenIssuer, crm: DataverseSandbox, post: httpx.AsyncClient
) -> SalesCockpitSandbox:
    """The sandbox, with everybody known to the sign-in service and to the CRM."""
    _introduce(own, places, issuer)
    for person in PEOPLE:
        user = crm.add_user(person.name, person.object_id(own), mail=person.mail)
        issuer.add_user(person.object_id(own), person.name, person.mail)
        for action in () if person.sees_all else ("Read", "Write"):
            crm.user_may(user, "opportunity", action, "Basic")
    crm.allow_acting_for_others(own.crm_client)
    return SalesCockpitSandbox(
        clock=SystemClock(),
        issuer=issuer,
        portal=places.cockpit,
        persist=state / "sales_cockpit.sqlite",
        options=SalesCockpitOptions(client_id=own.cockpit_client),
        pages=PortalOptions(
            sign_in=SignInOptions(places.authority, own.cockpit_secret, f"api://{own.api_client}/user_impersonation"),
            crossdock_url=places.functions,
            post=post,
            framed_by=(places.crm,),
        ),
    )


def _introduce(own: Installation, places: Places, issuer: TokenIssuer) -> None:
    """Crossdock's application and the Cockpit's: where people come back to, and who may act in whose name."""
    issuer.register(own.api_client, own.api_secret)
    issuer.add_api(own.api_client, redirect_uris=(places.functions + SIGN_IN_PATH, places.functions + SIGN_OUT_PATH))
    issuer.register(own.cockpit_client, own.cockpit_secret)
    issuer.add_api(own.cockpit_client, redirect_uris=(places.cockpit + BACK_PATH,))
    issuer.consent(own.cockpit_client, own.api_client)
    issuer.consent(own.api_client, own.cockpit_client)
    issuer.consent(own.api_client, places.crm)


def settings(own: Installation, places: Places) -> Mapping[str, str]:
    """The settings of an installation whose Cockpit, CRM and sign-in service are these."""
    return {
        "CROSSDOCK_SALES_COCKPIT_SANDBOX_URL": places.cockpit,
        "CROSSDOCK_SALES_COCKPIT_SCOPE": f"api://{own.cockpit_client}/.default",
        "CROSSDOCK_SALES_COCKPIT_IDENTITIES": f"{own.api_client}:{own.api_secret}",
        "CROSSDOCK_USERS_TENANT_ID": TENANT_ID,
        "CROSSDOCK_USERS_AUDIENCE": own.api_client,
        "CROSSDOCK_USERS_CLIENT_SECRET": own.api_secret,
        "CROSSDOCK_USERS_SANDBOX_URL": places.sign_in,
        "CROSSDOCK_PLATFORM_SIGN_IN": "on",
    }


def platform_sign_in(own: Installation, places: Places) -> PlatformSignIn:
    """The imitation of App Service Authentication before the functions."""
    return PlatformSignIn(
        authority=places.authority,
        client_id=own.api_client,
        client_secret=own.api_secret,
        scope=f"openid profile offline_access api://{own.api_client}/user_impersonation",
        clock=SystemClock(),
    )


def run_file(own: Installation, places: Places) -> Mapping[str, object]:
    """What other programs need to play somebody's part."""
    return {
        "launch": f"{places.functions}/api/cockpit/launch?opportunityid=",
        "people": [{"name": one.name, "object_id": one.object_id(own)} for one in PEOPLE],
        "client_id": own.cockpit_client,
        "client_secret": own.cockpit_secret,
        "crossdock_api": own.api_client,
    }
