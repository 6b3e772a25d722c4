"""Every test of the contract runs on each connector, and ends with a sandbox that understood every request."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.contract.connectors.field_service_rigs import FsmRig, IfsCloudRig
from tests.contract.connectors.rigs import BusinessCentralRig, DataverseRig, ExtendedRig, Rig

RIGS: list[type[Rig]] = [BusinessCentralRig, ExtendedRig, DataverseRig, FsmRig, IfsCloudRig]


@pytest.fixture(params=RIGS, ids=lambda kind: kind.__name__.removesuffix("Rig"))
async def rig(request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
    """A connector with its sandbox."""
    made: Rig = request.param()
    await made.start()
    yield made
    await made.aclose()
    assert made.requests.unforeseen() == []
