"""Made-up shipments: what the bench of statistics puts into both sandboxes."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Final

from sandbox.dataverse import DataverseSandbox
from sandbox.postoffice.sandbox import PostOfficeSandbox

SERVICES: Final = 4


def key_of(kind: str, number: int) -> str:
    """The key of a made-up record in the CRM."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{kind} {number}"))


async def fill(crm: DataverseSandbox, site: PostOfficeSandbox, customers: int, days: Sequence[date]) -> None:
    """Accounts, services, and a sum for each customer, service and day."""
    for number in range(customers):
        await crm.create("account", {"accountid": key_of("account", number), "name": f"Company {number}"})
    for service in range(SERVICES):
        values = {"cdock_postserviceid": key_of("service", service), "cdock_number": str(service)}
        await crm.create("cdock_postservice", values)
    for day in days:
        for number in range(customers):
            for service in range(SERVICES):
                ship(site, number, service, day, 1 + number % 9)


def ship(site: PostOfficeSandbox, customer: int, service: int, day: date, items: int) -> None:
    """What a customer has shipped on a day."""
    amount = Decimal(items) * Decimal("0.8523")
    site.ship(f"c{customer}", f"s{service}", day, items=items, grams=items * 21, amount=amount)
