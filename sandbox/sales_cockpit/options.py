"""What one Cockpit offers and what it does not."""

from __future__ import annotations

from dataclasses import dataclass

CLIENT_ID = "5a1e5c0c-0000-4000-8000-00000000c0c1"


@dataclass(frozen=True)
class SalesCockpitOptions:
    """One Cockpit. client_id: its application in the directory, which tokens are meant for. deletes: projects can be
    deleted over the interface. requests_per_minute: 0 is no limit."""

    client_id: str = CLIENT_ID
    deletes: bool = True
    requests_per_minute: int = 0

    @property
    def audiences(self) -> tuple[str, ...]:
        """How a token names the application it is meant for."""
        return self.client_id, f"api://{self.client_id}"
