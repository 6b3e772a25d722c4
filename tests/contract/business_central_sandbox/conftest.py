"""Fixtures of the Business Central sandbox's own tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from sandbox.business_central import BusinessCentralOptions, Company
from tests.contract.business_central_sandbox.rig import MovableClock, Rig

MakeRig = Callable[..., Rig]


@pytest.fixture
async def make() -> AsyncIterator[MakeRig]:
    """Make rigs with options; all are closed after the test."""
    made: list[Rig] = []

    def build(
        *,
        companies: tuple[Company, ...] | None = None,
        persist: Path | None = None,
        clock: MovableClock | None = None,
        **options: Any,
    ) -> Rig:
        made.append(Rig(BusinessCentralOptions(**options), companies, persist, clock))
        return made[-1]

    yield build
    for rig in made:
        await rig.aclose()


@pytest.fixture
async def rig(make: MakeRig) -> Rig:
    """A rig with the defaults. After the test nothing unforeseen may have been asked, unless the test says so."""
    return make()
