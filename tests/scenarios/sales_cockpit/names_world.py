"""A CRM and a Sales Cockpit, with everything real between them, in virtual time."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from starlette.types import ASGIApp

from local.definitions import read_definition
from sandbox.business_central import BusinessCentralSandbox
from sandbox.dataverse import DataverseOptions
from sandbox.sales_cockpit.options import CLIENT_ID, SalesCockpitOptions
from sandbox.sales_cockpit.sandbox import SalesCockpitSandbox
from shared.connectors.sales_cockpit.client import CockpitClient
from shared.http_client import HttpClient
from shared.sales_cockpit.ports import Project
from shared.sync.definition import Definition, Index
from shared.sync.linking import Linking
from tests.scenarios.account_customer.world import CRM_CLIENT, RealWorld, Setup

FILE = Path(__file__).parents[3] / "transfers" / "sales_cockpit" / "project.yaml"
COCKPIT_URL = "https://cockpit.example"
COCKPIT_CLIENT = "33333333-3333-4333-8333-333333333333"
"""Our application as the Cockpit knows it."""
TRANSFER = "opportunity_to_sales_cockpit"
SETTINGS: Mapping[str, str] = {
    "CROSSDOCK_SYSTEMS": "dataverse,sales_cockpit",
    "CROSSDOCK_SALES_COCKPIT_SANDBOX_URL": COCKPIT_URL,
    "CROSSDOCK_SALES_COCKPIT_SCOPE": f"api://{CLIENT_ID}/.default",
    "CROSSDOCK_SALES_COCKPIT_IDENTITIES": f"{COCKPIT_CLIENT}:made-up",
}
ANNA = "0b1f9a5e-2f7c-4d63-9d0a-3a1f6f1e2ca1"


def shipped(**more: str) -> Definition:
    """The product's own definition of opportunities and projects, with more keys of its transfer as YAML."""
    text = FILE.read_text("utf-8")
    for key, value in more.items():
        text = text.replace("{if_unlinked: skip,", f"{{if_unlinked: skip, {key}: {value},")
    return read_definition(text, f"transfers/sales_cockpit/{FILE.name}")


class CockpitWorld(RealWorld):
    """The whole, with a Cockpit in the place of the ERP."""

    def __init__(
        self,
        definition: Definition | None = None,
        options: SalesCockpitOptions | None = None,
        environment: Mapping[str, str] | None = None,
        **setup: Any,
    ) -> None:
        self._options = options or SalesCockpitOptions()
        setup.setdefault("crm", DataverseOptions(application_users=(CRM_CLIENT,), untracked=()))
        index = Index(definitions=(definition or shipped(),))
        super().__init__(Setup(index=index, environment={**SETTINGS, **(environment or {})}, **setup))

    def _make_erp(self) -> BusinessCentralSandbox:
        self.issuer.register(COCKPIT_CLIENT, "made-up")
        self.cockpit = SalesCockpitSandbox(
            clock=self.clock,
            issuer=self.issuer,
            portal=COCKPIT_URL,
            seed=self.setup.seed,
            options=self._options,
        )
        return super()._make_erp()

    def _served(self) -> dict[str, ASGIApp]:
        return super()._served() | {"sales_cockpit": self.cockpit.app}

    async def __aexit__(self, kind: object, error: object, trace: object) -> None:
        await super().__aexit__(kind, error, trace)
        await self.cockpit.aclose()
        if error is None:
            assert self.cockpit.requests.unforeseen() == []

    def forget_requests(self) -> None:
        super().forget_requests()
        self.cockpit.requests.clear()

    @property
    def projects(self) -> Mapping[str, Mapping[str, Any]]:
        """What the Cockpit holds, by the opportunity."""
        return {str(row["externalId"]): row for row in self.cockpit.rows("projects").values()}

    async def client(self) -> CockpitClient:
        """The first process's way to the Cockpit."""
        http: HttpClient = (await self.apps[0].engine()).clients["sales_cockpit"][0]
        return CockpitClient(lambda _: http)

    async def opened(self, opportunity: str) -> Project:
        """Open an opportunity's project as a launch does: it is made if there is none, and linked."""
        name = str(self.crm.rows("opportunity")[opportunity]["name"])
        project, _ = await (await self.client()).create(opportunity, name)
        linking = Linking((await self.apps[0].engine()).pipeline, self.definition)
        await linking.link(opportunity, opportunity, "launch", "opened from Dynamics")
        return project

    async def new_opportunity(self, name: str = "A new mill", **values: Any) -> str:
        """A person makes an opportunity."""
        return await self.crm.create("opportunity", {"name": name, **values})

    async def with_project(self, name: str = "A new mill") -> str:
        """An opportunity with its project, everything settled and the requests forgotten."""
        opportunity = await self.new_opportunity(name)
        await self.opened(opportunity)
        await self.settle()
        self.forget_requests()
        return opportunity
