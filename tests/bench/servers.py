"""Both sandboxes and the sign-in service in a process of their own, so that only the client's processor time counts.

    python -m tests.bench.servers [--customers 1000]

Prints its addresses as one line of JSON and ends when its standard input ends.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

from sandbox.business_central import BusinessCentralOptions, BusinessCentralSandbox, Company
from sandbox.clock import SystemClock
from sandbox.dataverse import DataverseOptions, DataverseSandbox
from sandbox.postoffice.options import Auth, PostOfficeOptions
from sandbox.postoffice.sandbox import PostOfficeSandbox
from sandbox.server import serve
from sandbox.tokens import TokenIssuer
from tests.bench.shipments import fill
from tests.bench.transports import free_port

ROOT: Final = Path(__file__).parents[2]
ORGANIZATION: Final = "7d1e7a4c-2b5e-4c58-9a0b-3f6b2d1c8e55"
COMPANY: Final = "5d115c9c-44e3-ea11-bb43-000d3a2feca1"
CRM_CLIENT: Final = "11111111-1111-4111-8111-111111111111"
ERP_CLIENT: Final = "22222222-2222-4222-8222-222222222222"
SECRET: Final = "made-up"  # of the sandboxes, which are gone after the run


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the systems are."""

    crm: str
    erp: str
    sign_in: str
    post: str


def _crm(url: str, issuer: TokenIssuer) -> DataverseSandbox:
    options = DataverseOptions(limits=False, any_port=True, application_users=(CRM_CLIENT,))
    return DataverseSandbox(
        base_url=url, organization_id=ORGANIZATION, clock=SystemClock(), issuer=issuer, options=options
    )


def _erp(url: str, issuer: TokenIssuer, *, company_contacts: bool) -> BusinessCentralSandbox:
    return BusinessCentralSandbox(
        base_url=url,
        tenant=issuer.tenant_id,
        environment="Production",
        companies=[Company(COMPANY, "ALPENHOLZ")],
        clock=SystemClock(),
        issuer=issuer,
        options=BusinessCentralOptions(limits=False, company_contacts=company_contacts),
    )


async def _filled(erp: BusinessCentralSandbox, customers: int) -> BusinessCentralSandbox:
    for number in range(customers):
        body = {
            "displayName": f"Aurora Milling {number}",
            "phoneNumber": f"+390471{number:06d}",
            "email": f"office{number}@aurora-milling.example",
            "addressLine1": f"Mill Lane {number}",
            "postalCode": f"{number % 100_000:05d}",
            "city": "Milltown",
        }
        await erp.create(COMPANY, "customers", body)
    return erp


async def _shipping(crm: DataverseSandbox, issuer: TokenIssuer, shippers: int, days: int) -> PostOfficeSandbox:
    """A site that has shipped something for so many customers on each of the last days, and their accounts."""
    site = PostOfficeSandbox(clock=SystemClock(), issuer=issuer, options=PostOfficeOptions(auth=Auth.API_KEY))
    if shippers:
        today = SystemClock().now().date()
        await fill(crm, site, shippers, [today - timedelta(days=back) for back in range(days)])
    return site


async def run(customers: int = 0, shippers: int = 0, days: int = 1) -> None:
    """Serve until standard input ends. Service limits are off: they would measure waiting.

    customers: how many the ERP has from the beginning. shippers, days: what PostOffice's statistics hold.
    """
    issuer = TokenIssuer(SystemClock())
    for client in (CRM_CLIENT, ERP_CLIENT):
        issuer.register(client, SECRET)
    ports = [free_port() for _ in range(3)]
    crm, erp, post = (f"http://127.0.0.1:{port}" for port in ports)
    organisation = _crm(crm, issuer)
    site = await _shipping(organisation, issuer, shippers, days)
    served = [
        await serve(organisation.app, ports[0]),
        await serve((await _filled(_erp(erp, issuer, company_contacts=not customers), customers)).app, ports[1]),
        await serve(issuer.app),
        await serve(site.app, ports[2]),
    ]
    sign_in = f"{served[2].url}/{issuer.tenant_id}/oauth2/v2.0/token"
    print(json.dumps({"crm": crm, "erp": erp, "sign_in": sign_in, "post": post}), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    for one in served:
        await one.stop()


@asynccontextmanager
async def running(customers: int = 0, shippers: int = 0, days: int = 1) -> AsyncIterator[Addresses]:
    """Within it the other process serves. customers, shippers, days: see `run`."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.bench.servers", "--customers", str(customers)),
        *("--shippers", str(shippers), "--days", str(days)),
        cwd=ROOT,
        stdin=pipe,
        stdout=pipe,
    )
    assert process.stdin is not None, "asked for above"
    assert process.stdout is not None, "asked for above"
    try:
        line = await process.stdout.readline()
        if not line:
            raise SystemExit("the sandboxes did not start")
        yield Addresses(**json.loads(line))
    finally:
        process.stdin.close()
        await process.wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.bench.servers", description=__doc__)
    parser.add_argument("--customers", type=int, default=0, help="how many the ERP has from the beginning (0)")
    parser.add_argument("--shippers", type=int, default=0, help="customers in PostOffice's statistics (0)")
    parser.add_argument("--days", type=int, default=1, help="days of these (1)")
    wish = parser.parse_args()
    asyncio.run(run(wish.customers, wish.shippers, wish.days))
