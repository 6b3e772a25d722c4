"""Two environments of Business Central beside one CRM: a copied company has the same id, and is another company."""

from __future__ import annotations

from starlette.types import ASGIApp

from sandbox.business_central import BusinessCentralSandbox, Company
from sandbox.tokens import TENANT_ID
from shared.sync.ports import LinkState
from tests.scenarios.account_customer.world import COMPANY, TO_ERP, Setup, virtually
from tests.scenarios.several_companies.world import DE, IT, SETTINGS, TO_DE, TwoCompanies, two_companies

COPY_URL = "https://copy.example"
ELSEWHERE = {
    **SETTINGS,
    "CROSSDOCK_BC_DE_COMPANY_ID": COMPANY,
    "CROSSDOCK_BC_DE_ENVIRONMENT": "Copy",
    "CROSSDOCK_BC_DE_SANDBOX_URL": f"{COPY_URL}/v2.0",
}


class TwoEnvironments(TwoCompanies):
    """The second company is the first one's copy, in an environment of its own."""

    def __init__(self) -> None:
        super().__init__(Setup(index=two_companies(), environment=ELSEWHERE))

    def _make_erp(self) -> BusinessCentralSandbox:
        self.copy = BusinessCentralSandbox(
            base_url=COPY_URL,
            tenant=TENANT_ID,
            environment="Copy",
            companies=[Company(COMPANY, "ALPENHOLZ")],
            clock=self.clock,
            issuer=self.issuer,
            seed=self.setup.seed,
            post=self._post,
        )
        return super()._make_erp()

    def _served(self) -> dict[str, ASGIApp]:
        return {**super()._served(), DE: self.copy.app}

    async def _run(self) -> None:
        await super()._run()
        self._start(self.copy.run_deliveries())

    async def __aexit__(self, kind: object, error: object, trace: object) -> None:
        await super().__aexit__(kind, error, trace)
        await self.copy.aclose()


@virtually
async def test_the_same_company_id_in_two_environments_is_two_companies() -> None:
    """R-041, R-050, R-052: links and requests are those of the environment. A notice that names no environment lets
    both look, and a record that one of them does not have changes nothing there."""
    async with TwoEnvironments() as world:
        both = await world.account_for(1, IT, DE)
        here = await world.account_for(2, IT)
        await world.settle()
        await world.pass_time(minutes=2)
        assert len(world.erp.rows(COMPANY, "customers")) == 2
        (copied,) = world.copy.rows(COMPANY, "customers").values()
        row = await world.link_in(DE, both)
        assert row is not None
        assert (row.state, row.other) == (LinkState.LINKED, copied["id"])
        assert await world.link_in(DE, here) is None
        before = world.account(both)["accountnumber"]
        await world.copy.edit(COMPANY, "customers", copied["id"], {"displayName": "Put back"})
        await world.pass_time(seconds=60)
        assert world.copy.rows(COMPANY, "customers")[copied["id"]]["displayName"] == "Company 1"
        assert world.account(both)["accountnumber"] == before
        assert await world.customer_in(IT, both) is not None
        assert [*await world.parked(TO_ERP), *await world.parked(TO_DE)] == []
        assert world.copy.requests.unforeseen() == []
