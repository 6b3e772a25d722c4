"""One CRM and two companies of Business Central in one environment, with the definitions of the how-to page."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from shutil import copytree
from tempfile import TemporaryDirectory
from typing import Any, Self

import httpx

from local.definitions import compile_folder
from sandbox.business_central import Company
from sandbox.transport import SandboxTransport
from shared.sync.context import pair_name
from shared.sync.definition import Index
from shared.sync.ports import LinkRow, LinkState, Side
from tests.scenarios.account_customer.world import (
    COMPANY,
    CRM_CLIENT,
    CRM_URL,
    ROOT,
    WIDE,
    RealWorld,
    Setup,
    vat_number,
)

SECOND = "8aaf3d2e-44e3-ea11-bb43-000d3a2feca1"
COMPANIES = (Company(COMPANY, "ALPENHOLZ"), Company(SECOND, "ALPENHOLZ GMBH"))
IT, DE = "business_central", "bc_de"
OF_COMPANY: Mapping[str, str] = {IT: COMPANY, DE: SECOND}
TO_DE, FROM_DE = "account_to_bc_de", "customer_from_bc_de_to_dataverse"
SETTINGS: Mapping[str, str] = {
    "CROSSDOCK_SYSTEMS": "dataverse,business_central,bc_de=business_central",
    "CROSSDOCK_BC_DE_COMPANY_ID": SECOND,
}
_CRM = "Microsoft.Dynamics.CRM."


def page_examples() -> list[str]:
    """The parts of definitions that the how-to page shows."""
    page = (ROOT / "docs" / "how-to" / "several-companies.md").read_text("utf-8")
    return re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)


def two_companies() -> Index:
    """The shipped definitions with what the page adds to them."""
    with TemporaryDirectory() as folder:
        index = two_companies_in(Path(folder))
    definitions = tuple(one.model_copy(update={"brakes": WIDE}) for one in index.definitions)
    return index.model_copy(update={"definitions": definitions})


def two_companies_in(folder: Path) -> Index:
    """Write them below a folder, as `transfers`; answers what they compile to."""
    accounts, contacts, _ = page_examples()
    transfers = folder / "transfers"
    copytree(ROOT / "transfers" / "business_central", transfers / "business_central")
    for name, more in (("account", accounts), ("contact", contacts)):
        path = transfers / "business_central" / f"{name}.yaml"
        path.write_text(f"{path.read_text('utf-8')}\n{more}", "utf-8")
    index = compile_folder(transfers)
    assert index.problems == (), [str(problem) for problem in index.problems]
    return index


class TwoCompanies(RealWorld):
    """The world with a second company, and the columns that the page asks for."""

    def __init__(self, setup: Setup | None = None) -> None:
        super().__init__(setup or Setup(index=two_companies(), companies=COMPANIES, environment=SETTINGS))

    async def __aenter__(self) -> Self:
        await self._make_columns()
        await super().__aenter__()
        return self

    async def _make_columns(self) -> None:
        """What a person adds to the table of accounts."""
        options = {"TrueOption": {"Label": _label("Yes")}, "FalseOption": {"Label": _label("No")}}
        columns = [_column("String", "contoso_Number_De", MaxLength=20)]
        columns += [_column("Boolean", f"contoso_Company_{one}", OptionSet=options) for one in ("It", "De")]
        token = self.issuer.issue(CRM_CLIENT, CRM_URL)
        root = f"{CRM_URL}/api/data/v9.2"
        headers = {"Authorization": f"Bearer {token}"}
        async with httpx.AsyncClient(transport=SandboxTransport(self.crm.app), headers=headers) as client:
            for column in columns:
                answer = await client.post(f"{root}/EntityDefinitions(LogicalName='account')/Attributes", json=column)
                assert answer.status_code == 204, answer.text

    def pair_of(self, system: str) -> str:
        """The canonical name of accounts and customers of one company."""
        definition = next(
            one for one in self.index.definitions if (one.left.table, one.right.system) == ("account", system)
        )
        return pair_name(definition, self._connectors)

    async def link_in(self, system: str, account: str) -> LinkRow | None:
        """The row of an account for one company."""
        return await self.stores.links.get(self.pair_of(system), Side.LEFT, account)

    async def customer_in(self, system: str, account: str) -> Mapping[str, Any] | None:
        """The customer that an account is linked with in one company."""
        row = await self.link_in(system, account)
        return self.customers_of(system)[row.other] if row and row.state is LinkState.LINKED else None

    def customers_of(self, system: str) -> Mapping[str, Mapping[str, Any]]:
        """All customers of one company."""
        return self.erp.rows(OF_COMPANY[system], "customers")

    def sent_to(self, system: str, method: str) -> int:
        """How many requests for customers of one company came in."""
        return self.erp.requests.count(method, rf"companies\({OF_COMPANY[system]}\)/customers(\(|$)")

    async def account_for(self, number: int, *systems: str, **values: Any) -> str:
        """A qualified account that belongs to some companies."""
        marks = {"contoso_company_it": IT in systems, "contoso_company_de": DE in systems}
        base = {"name": f"Company {number}", "cdock_stage": "qualified", "cdock_vatnumber": vat_number(number)}
        return await self.new_account(**base | marks | values)


def _label(text: str) -> dict[str, Any]:
    return {"@odata.type": f"{_CRM}Label", "LocalizedLabels": [{"Label": text, "LanguageCode": 1033}]}


def _column(kind: str, schema: str, **more: Any) -> dict[str, Any]:
    kinds = {"@odata.type": f"{_CRM}{kind}AttributeMetadata"}
    return {**kinds, "SchemaName": schema, "DisplayName": _label(schema), **more}
