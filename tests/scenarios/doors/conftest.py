"""Fixtures of the doors' scenarios."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from shared.app import installed
from tests.scenarios.doors.world import Doors


@pytest.fixture
async def doors() -> AsyncIterator[Doors]:
    """The function app on surroundings in memory, driven over HTTP by the local host."""
    made = Doors()
    await made.rows.prepare()
    with installed(made.app):
        yield made
    await made.http.aclose()
    await made.app.aclose()
    await made.rows.aclose()
