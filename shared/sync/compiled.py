"""What everything in the compiled index is made of."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Part(BaseModel):
    """Base of all parts of a definition: unknown names are refused, nothing changes after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True)
