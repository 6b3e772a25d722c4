"""The pages about the doors say what the code does."""

from __future__ import annotations

import re
from pathlib import Path

from shared.connectors.business_central import webhook as business_central
from shared.connectors.dataverse import webhook as dataverse
from shared.routes import OPERATOR_KEY_HEADER, ROLE_NAMES, ROUTES, WEBHOOK_HEADER, RequestError

DOCS = Path(__file__).parents[3] / "docs"


def test_the_page_of_the_operations_has_every_route_with_its_role() -> None:
    """As the route table has them."""
    page = (DOCS / "reference" / "operations.md").read_text("utf-8")
    rows = re.findall(r"^\| `([A-Z]+) ([^`]+)` \| (\w+) \|", page, re.MULTILINE)
    served = [
        (method, route.path.removeprefix("ops/"), route.guard.value)
        for name, route in ROUTES.items()
        if name.startswith("ops_")
        for method in route.methods
    ]
    assert sorted(rows) == sorted(served)
    assert OPERATOR_KEY_HEADER in page
    assert all(name in page for name in ROLE_NAMES)


def test_the_page_of_the_operations_has_every_error() -> None:
    """Code and status."""
    page = (DOCS / "reference" / "operations.md").read_text("utf-8")
    kinds: list[type[RequestError]] = [RequestError, *RequestError.__subclasses__()]
    for kind in kinds:
        assert kind.code in page
        assert str(kind.status) in page


def test_the_page_of_the_webhooks_states_the_limits() -> None:
    """Routes, header, sizes, ages and messages."""
    page = (DOCS / "systems" / "webhooks.md").read_text("utf-8")
    assert f"/api/{ROUTES['dataverse_webhook'].path}" in page
    assert "/api/webhooks/business-central/{secret}/" in page
    assert WEBHOOK_HEADER in page
    assert f"{dataverse.MAX_BODY_BYTES // 1024} KB" in page
    assert f"{business_central.MAX_BODY_BYTES // 1024 // 1024} MB" in page
    assert f"{dataverse.OLDEST.days} days" in page
    assert f"{dataverse.NEWEST.seconds // 60} minutes" in page
    assert all(message in page for message in dataverse.MESSAGES)
