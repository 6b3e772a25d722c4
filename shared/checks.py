"""The composition root of the checks that a field service asks for, over the engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shared.field_service.errors import ChecksNotSetUp

if TYPE_CHECKING:
    from shared.engine import Engine
    from shared.field_service.bodies import Body


@dataclass(frozen=True)
class Checking:
    """Answers checks while the caller waits."""

    engine: Engine

    async def answer(self, body: Body) -> Mapping[str, Any]:
        """The answer to a check; raises CheckRefused."""
        raise ChecksNotSetUp


def build(engine: Engine) -> Checking:
    """What answers checks."""
    return Checking(engine)
