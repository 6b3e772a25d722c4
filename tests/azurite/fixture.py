"""The fixture `azurite`; a conftest makes it known with `from tests.azurite.fixture import azurite`."""

from __future__ import annotations

import pytest

from tests.azurite.server import shared_azurite


@pytest.fixture(scope="session")
def azurite() -> str:
    """Connection string of an Azurite that has only its table service. All tests of a process share it: use your own
    table prefix. Where it cannot be set up the test fails and says what to do."""
    return shared_azurite()
