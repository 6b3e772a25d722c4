"""The Sales Cockpit's sandbox: one Cockpit, with doors for the people who work in it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from starlette.types import ASGIApp

from sandbox.admin import admin_app
from sandbox.clock import Clock
from sandbox.disk import Disk
from sandbox.faults import Faults, NoticeFaults
from sandbox.front import FrontDoor
from sandbox.problems import Failures
from sandbox.request_log import RequestLog
from sandbox.sales_cockpit.api import Api
from sandbox.sales_cockpit.options import SalesCockpitOptions
from sandbox.sales_cockpit.portal import Portal, PortalOptions
from sandbox.sales_cockpit.rating import lights_from
from sandbox.sales_cockpit.service import SYSTEM, Service
from sandbox.sales_cockpit.store import SOLUTIONS, Store
from sandbox.tokens import TokenIssuer


class SalesCockpitSandbox:
    """An imitation of one Cockpit behind the contract.

    `app` is the ASGI application: the contract's routes under `{base_path}/api/v1`, and `/_sandbox` for people. With
    `persist` everything answered is in that file first; without it the memory is all there is. portal: the address
    under which people open projects; pages: what is behind it, none if missing. The doors `add_solution`, `edit`,
    `delete` and `rate` are a person in the Cockpit; they raise `ApiError`.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        issuer: TokenIssuer,
        portal: str,
        base_path: str = "",
        persist: Path | None = None,
        seed: int = 0,
        options: SalesCockpitOptions | None = None,
        pages: PortalOptions | None = None,
    ) -> None:
        self.faults = Faults(seed)
        self.notice_faults = NoticeFaults(seed=seed)
        self.requests = RequestLog(SYSTEM)
        self._disk = Disk(persist)
        self._store = Store(clock.now, self._disk)
        self._store.load()
        self._api = Api(self._store, options or SalesCockpitOptions(), portal)
        shown = Portal(pages, api=self._api, store=self._store, clock=clock) if pages else None
        self._service = Service(
            base_path=base_path, api=self._api, store=self._store, clock=clock, issuer=issuer, pages=shown
        )
        self.app: ASGIApp = FrontDoor(
            self._service,
            admin_app(self),
            faults=self.faults,
            requests=self.requests,
            clock=clock,
            answers=Failures(SYSTEM),
        )

    @property
    def options(self) -> SalesCockpitOptions:
        """What the Cockpit offers."""
        return self._api.options

    def reset(self) -> None:
        """Empty the Cockpit, as after a fresh start."""
        self._store.clear()
        self._service.clear()

    async def flush(self) -> int:
        """Deliver waiting notices: the Cockpit has none."""
        return 0

    async def aclose(self) -> None:
        """Close the file."""
        self._disk.close()

    # --- doors ---

    def rows(self, table: str) -> Mapping[str, Mapping[str, Any]]:
        """Return all rows of `projects`, `solutions` or `evaluations` by id. KeyError if unknown."""
        return {
            key: {name: value for name, value in row.items() if not name.startswith("@")}
            for key, row in self._store.rows(table)
        }

    def add_solution(self, name: str, *, active: bool = True) -> str:
        """Add a solution that projects can be assigned to; returns its id."""
        key = f"S-{self._store.new_id()}"
        self._store.write(SOLUTIONS, key, {"name": name, "active": active})
        self._store.commit()
        return key

    def edit(self, project: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Change a project as a person does; returns it."""
        shown = self._api.shown(project, self._api.change(project, body))
        self._store.commit()
        return shown

    def delete(self, project: str) -> None:
        """Delete a project as a person does."""
        self._api.delete(project)
        self._store.commit()

    def rate(self, project: str, by: str, lights: Mapping[str, int]) -> dict[str, Any]:
        """Rate a project as a person does: a light for each criterion, those not named have none. Returns the
        evaluation, which is in the feed from now on."""
        evaluation = self._api.rate(project, by, lights_from(lights))
        self._store.commit()
        return evaluation
