"""The composition root of what serves the Sales Cockpit's users, over the engine."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import httpx

from shared.connectors.dataverse.as_user import OpportunitiesAsUser, caller_object_id, on_behalf_of
from shared.connectors.dataverse.connector import DataverseConnector
from shared.connectors.sales_cockpit.client import CockpitClient
from shared.connectors.turns import InTurn
from shared.errors import SettingsError
from shared.evaluations import Evaluations, evaluations_of
from shared.http_client import Sender
from shared.identity import TokenSource
from shared.on_behalf_of import AzureExchange, EndpointExchange, OnBehalfOf
from shared.routes import Unknown
from shared.sales_cockpit.errors import EmbedDisabled
from shared.sales_cockpit.launching import Launching
from shared.sales_cockpit.live_view import LiveView
from shared.sales_cockpit.ports import Cockpit
from shared.settings import DataverseSettings, EngineSettings, SalesCockpitSettings, Settings, UserSignIn, needed
from shared.sync.claims import Taken
from shared.sync.context import pair_name
from shared.sync.definition import Definition
from shared.sync.homes import is_linked
from shared.sync.linking import CannotLink, Linking
from shared.sync.pipeline import Pipeline
from shared.sync.ports import Side
from shared.users import User

if TYPE_CHECKING:
    from shared.app import App
    from shared.engine import Engine

log = logging.getLogger(__name__)

KIND: Final = "sales_cockpit"


@dataclass(frozen=True)
class SalesCockpit:
    """Everything that a call of the Cockpit's users needs."""

    settings: SalesCockpitSettings
    crm: OpportunitiesAsUser
    crm_by_id: OpportunitiesAsUser
    cockpit: Cockpit
    launching: Launching
    live_view: LiveView
    evaluations: Evaluations
    own: Sequence[httpx.AsyncClient]

    def require_embedding(self) -> None:
        """Raise EmbedDisabled where the Cockpit is not shown inside Dynamics."""
        if self.settings.embed == "off":
            raise EmbedDisabled

    async def aclose(self) -> None:
        """Close what was made here."""
        for one in self.own:
            await one.aclose()


def build(app: App, engine: Engine) -> SalesCockpit:
    """What serves the users; raises Unknown where there is no Cockpit, and SettingsError."""
    name = _cockpit_name(app.settings)
    wanted = app.settings.of(SalesCockpitSettings, name)
    http = httpx.AsyncClient(transport=app.outside.http("sign_in") if app.outside.http else None)
    exchange = OnBehalfOf(lambda assertion: _exchange(app, assertion, http))
    crm, crm_by_id = _crm(app, engine, wanted, exchange)
    cockpit = _cockpit(engine, wanted, name, exchange)
    return SalesCockpit(
        settings=wanted,
        crm=crm,
        crm_by_id=crm_by_id,
        cockpit=cockpit,
        launching=Launching(
            crm=crm,
            cockpit=cockpit,
            links=EngineLinks(engine.pipeline, _definition(engine, wanted.crm, name)),
            clock=app.outside.clock,
            portal=wanted.base_url,
            budget_seconds=wanted.budget_seconds,
        ),
        live_view=LiveView(crm, wanted.shown(), wanted.budget_seconds),
        evaluations=evaluations_of(app, engine, name, crm, crm_by_id, cockpit),
        own=(http,),
    )


def dynamics_origin(settings: Settings) -> str:
    """Scheme and host of the organisation whose pages may show ours; raises Unknown and SettingsError."""
    wanted = settings.of(SalesCockpitSettings, _cockpit_name(settings))
    parts = urlsplit(settings.of(DataverseSettings, wanted.crm).base_url)
    return f"{parts.scheme}://{parts.netloc}"


def _cockpit_name(settings: Settings) -> str:
    name = next((name for name, kind in settings.kinds.items() if kind == KIND), None)
    if name is None:
        raise Unknown("This installation has no Sales Cockpit; CROSSDOCK_SYSTEMS names none.")
    return name


def _crm(
    app: App, engine: Engine, wanted: SalesCockpitSettings, exchange: OnBehalfOf
) -> tuple[OpportunitiesAsUser, OpportunitiesAsUser]:
    """The opportunities as users who are there, the way that the setting says, and as users known by their ids."""
    clients = engine.clients.get(wanted.crm)
    if not clients:
        raise SettingsError(f"CROSSDOCK_SALES_COCKPIT_CRM: {wanted.crm} is no Dataverse system of this installation.")
    connector = next(one for one in engine.own if isinstance(one, DataverseConnector) and one.system == wanted.crm)
    by_id = OpportunitiesAsUser(wanted.crm, caller_object_id(InTurn(clients)), lambda: connector)
    if wanted.as_user == "caller_object_id":
        return by_id, by_id
    return OpportunitiesAsUser(wanted.crm, on_behalf_of(clients[0], exchange.of), lambda: connector), by_id


def _exchange(app: App, assertion: str, http: httpx.AsyncClient) -> TokenSource:
    """Tokens on behalf of the user whose token this is."""
    users, clock = app.settings.get(UserSignIn), app.outside.clock
    tenant = str(needed(UserSignIn, "tenant_id", users.tenant_id))
    client_id = str(users.audience).split()[0]
    secret = users.client_secret.get_secret_value() if users.client_secret else None
    if users.sandbox_url:
        url = f"{users.sandbox_url.rstrip('/')}/{tenant}/oauth2/v2.0/token"
        return EndpointExchange(url, client_id, secret or "", assertion, clock, http)
    return AzureExchange(
        assertion,
        clock,
        tenant_id=tenant,
        client_id=client_id,
        client_secret=secret,
        identity_client_id=app.settings.get(EngineSettings).identity_client_id,
    )


def _cockpit(engine: Engine, wanted: SalesCockpitSettings, name: str, exchange: OnBehalfOf) -> Cockpit:
    """The Cockpit as the user where he shows a token and is acted for by it, else as our own identity."""
    clients = engine.clients.get(name)
    if not clients:
        raise SettingsError("CROSSDOCK_SYSTEMS: the Sales Cockpit has no definition; compile the one that is shipped.")
    ours = InTurn(clients)

    def sender(user: User | None) -> Sender:
        if user is None or not user.assertion or wanted.as_user == "caller_object_id":
            return ours
        return clients[0].as_another(exchange.of(user.assertion))

    return CockpitClient(sender, base_path=urlsplit(wanted.base_url).path, system=name)


def _definition(engine: Engine, crm: str, cockpit: str) -> Definition | None:
    """The pair of opportunities and projects; None where its definition is missing or wrong."""
    wanted = {crm, cockpit}
    return next((one for one in engine.index.definitions if set(one.systems) == wanted), None)


@dataclass(frozen=True)
class EngineLinks:
    """Links of opportunities and projects in the engine's store; without a definition there are none to keep."""

    pipeline: Pipeline
    definition: Definition | None

    async def has(self, opportunity: str) -> bool:
        """Whether the opportunity is linked: one read of the store."""
        if self.definition is None:
            return True
        pair = pair_name(self.definition, self.pipeline.ports.connectors)
        return is_linked(await self.pipeline.ports.stores.links.get(pair, Side.LEFT, opportunity))

    async def put(self, opportunity: str) -> None:
        """Link opportunity and project, whose keys are the same, as a person does by hand; somebody else who does the
        same at this moment is as good."""
        if self.definition is None:
            return
        try:
            await Linking(self.pipeline, self.definition).link(
                opportunity, opportunity, "launch", "opened from Dynamics"
            )
        except Taken:
            return
        except CannotLink as error:
            log.warning("an opportunity and its project are not linked", extra={"reason": str(error)})
