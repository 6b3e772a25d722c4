"""Opening the project of an opportunity: the first time it is made, every other time it is there.

The Cockpit keeps one project for one opportunity, whoever asks how often and at how many places at once; so nothing has
to be claimed here. The link is remembered afterwards, for the name to follow, and made up for at the next launch where
that fails.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit

from shared.errors import ConnectorError, CrossdockError, Refused
from shared.sales_cockpit.errors import (
    CockpitUnavailable,
    CrmUnavailable,
    OpportunityClosed,
    UnknownSolution,
)
from shared.sales_cockpit.ports import Cockpit, Crm, Opportunity, Project, State
from shared.sync.ports import Clock
from shared.users import User

log = logging.getLogger(__name__)

UNKNOWN_SOLUTION = "UnknownSolution"


class ProjectLinks(Protocol):
    """Which opportunities have a project, for the transfers. Raises the errors of store, queue and connectors."""

    async def has(self, opportunity: str) -> bool: ...

    async def put(self, opportunity: str) -> None:
        """Remember the link and tell the transfers of it; repeating is harmless."""
        ...


@dataclass(frozen=True, slots=True)
class Launched:
    """The project to open. created: by this launch."""

    project: Project
    created: bool


@dataclass(frozen=True)
class Launching:
    """Opens projects. portal: where people open the Cockpit; a project's address anywhere else is not followed."""

    crm: Crm
    cockpit: Cockpit
    links: ProjectLinks
    clock: Clock
    portal: str
    budget_seconds: float

    async def launch(self, user: User, key: str, solution: str | None = None) -> Launched:
        """The project of an opportunity that the user sees; made for an open one that has none.

        One call of Dynamics and one of the Cockpit for a project that is known. Raises NotVisible, OpportunityClosed,
        UnknownSolution, CrmUnavailable, CockpitUnavailable, SignInAgain and NotSetUp.
        """
        ends_at = self.clock.monotonic() + self.budget_seconds
        opportunity = await self._read(user, key)
        try:
            launched = await self._project(user, opportunity, solution, ends_at)
        except ConnectorError as error:
            raise _of_cockpit(error) from None
        if not _is_below(launched.project.url, self.portal):
            raise CockpitUnavailable("The address of the project leads away from the Cockpit.")
        await self._remember(opportunity.key)
        return launched

    async def _read(self, user: User, key: str) -> Opportunity:
        try:
            return await self.crm.read(user, key, ["name"], self.budget_seconds)
        except ConnectorError as error:
            raise _told(CrmUnavailable(), error) from None

    async def _project(self, user: User, opportunity: Opportunity, solution: str | None, ends_at: float) -> Launched:
        known = await self.cockpit.find(opportunity.key, user, self._left(ends_at))
        if known is not None:
            return Launched(known, created=False)
        if opportunity.state is not State.OPEN:
            raise OpportunityClosed
        made, created = await self.cockpit.create(
            opportunity.key, opportunity.name, solution, user, self._left(ends_at)
        )
        return Launched(made, created)

    def _left(self, ends_at: float) -> float:
        return max(0.1, ends_at - self.clock.monotonic())

    async def _remember(self, opportunity: str) -> None:
        """A user who waits for his project is not sent away because our own memory fails."""
        try:
            if not await self.links.has(opportunity):
                await self.links.put(opportunity)
        except CrossdockError as error:
            log.warning("a project's link is made up for at the next launch", extra={"code": error.code})


def _of_cockpit(error: ConnectorError) -> CrossdockError:
    if isinstance(error, Refused) and error.answer.vendor_code == UNKNOWN_SOLUTION:
        return UnknownSolution()
    return _told(CockpitUnavailable(), error)


def _told(shown: CrossdockError, error: ConnectorError) -> CrossdockError:
    """The error for the user; what the system said stands in the log."""
    log.warning("a launch failed", extra={"code": error.code, "told": error.detail})
    return shown


def _is_below(address: str, portal: str) -> bool:
    """Whether an address that the Cockpit gave leads to the Cockpit: nothing received chooses a host."""
    try:
        given, ours = urlsplit(address), urlsplit(portal)
        same = (given.scheme, given.hostname, given.port) == (ours.scheme, ours.hostname, ours.port)
    except ValueError:
        return False
    plain = not given.username and not given.password and "\\" not in address and address.isascii()
    return same and plain and not any(sign <= " " for sign in address)
