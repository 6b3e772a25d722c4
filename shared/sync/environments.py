"""The right environment: nothing is moved in another one than the links were made for.

The store remembers the environment that answered when a system was first used. Before work begins, and now and then
while it goes on, the system is asked again. When another environment answers, the transfers of that system wait until
the settings are corrected or a person adopts it. An adopted environment starts without links, because the keys of links
hold the instance.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from shared.errors import ConnectorError, SettingsError, WrongEnvironment, WrongProfile
from shared.sync.context import Ports
from shared.sync.ports import EnvironmentRow, Profile, RowTaken

log = logging.getLogger(__name__)

FIRST_USE = "first use"


@dataclass(frozen=True, slots=True)
class Standing:
    """How a system stands. environment: what answers, empty when nothing does. wrong: why nothing is moved there."""

    system: str
    environment: str
    row: EnvironmentRow | None
    wrong: str = ""


@dataclass
class EnvironmentGuard:
    """Which environments this process may work in."""

    ports: Ports
    _seen: dict[str, tuple[float, WrongEnvironment | None]] = field(default_factory=dict)
    _looked: dict[str, tuple[float, str]] = field(default_factory=dict)
    _asking: dict[str, asyncio.Lock] = field(default_factory=dict)
    _unfit: dict[frozenset[str], float] = field(default_factory=dict)
    _fit: dict[tuple[frozenset[str], Profile | None], float] = field(default_factory=dict)

    async def require(self, systems: Iterable[str]) -> None:
        """Raise WrongEnvironment when one of the systems is not the one its links were made for, and what the
        connectors raise."""
        for system in systems:
            wrong = await self._known(system)
            if wrong is not None:
                raise wrong

    async def require_one_profile(self, systems: Iterable[str], wanted: Profile | None = None) -> None:
        """Raise WrongProfile when one of the systems is for tests and another one is not, as they say in this moment,
        or when they are not what is wanted; and what the connectors raise."""
        profiles = {system: await self.ports.connectors[system].profile() for system in systems}
        told = {system: profile for system, profile in profiles.items() if profile is not None}
        pair = frozenset(profiles)
        if len({*told.values(), *filter(None, [wanted])}) < 2:
            self._unfit.pop(pair, None)
            self._fit[pair, wanted] = self.ports.clock.monotonic()
            return
        self._unfit[pair] = self.ports.clock.monotonic()
        self._fit.pop((pair, wanted), None)
        is_for = [f"{system} is {profile}" for system, profile in told.items()]
        is_for += [f"the definition is for {wanted}"] if wanted else []
        raise WrongProfile("; ".join(is_for) + ": nothing moves.")

    async def still_one_profile(self, systems: Iterable[str], wanted: Profile | None = None) -> None:
        """The same before a write: a pair that was found fit less than `profile_age` ago is not asked again."""
        seen_at = self._fit.get((frozenset(systems), wanted), float("-inf"))
        if self.ports.clock.monotonic() - seen_at >= self.ports.timing.profile_age.total_seconds():
            await self.require_one_profile(systems, wanted)

    def is_unfit(self, systems: Iterable[str]) -> bool:
        """Whether the systems were lately found to be for tests and for production; asks nobody."""
        seen_at = self._unfit.get(frozenset(systems), float("-inf"))
        age = self.ports.timing.wrong_environment_age.total_seconds()
        return self.ports.clock.monotonic() - seen_at < age

    def is_wrong(self, system: str) -> bool:
        """Whether the system was found wrong lately; asks nobody."""
        return self._lately(system) and self._seen[system][1] is not None

    def forget(self, system: str) -> None:
        """Ask again before the next work: somebody has adopted an environment."""
        self._seen.pop(system, None)

    async def standing(self, system: str, *, anew: bool = False) -> Standing:
        """How a system stands, for people; looking is no use. anew: ask the system however short ago it was asked.

        One that does not answer is named with what is remembered.
        """
        row, now = await self.ports.stores.environments.get(system), self.ports.clock.monotonic()
        looked_at, answered = self._looked.get(system, (float("-inf"), ""))
        if anew or now - looked_at >= self.ports.timing.environment_age.total_seconds():
            try:
                answered = await self.ports.connectors[system].identify()
            except SettingsError as error:
                return Standing(system, "", row, error.detail)
            except ConnectorError:
                return Standing(system, "", row)
            self._looked[system] = (now, answered)
        different = row is not None and row.environment != answered
        return Standing(system, answered, row, _told(row, answered) if row and different else "")

    async def adopt(self, system: str, environment: str, by: str, reason: str) -> EnvironmentRow:
        """Work in this environment from now on, if it is the one that answers.

        Raises RowTaken when another one answers, or somebody else was faster; and what the connector raises.
        """
        now = self.ports.clock.now()
        if environment != await self.ports.connectors[system].identify():
            raise RowTaken("another environment answers")
        row = await self.ports.stores.environments.get(system)
        if row is not None and row.environment == environment:
            return row
        former = row.environment if row else ""
        adopted = EnvironmentRow(system, environment, now, by, reason, former, row.etag if row else "")
        adopted = await self.ports.stores.environments.put(adopted)
        log.warning("environment adopted", extra={"system": system, "by": by})
        self.forget(system)
        return adopted

    async def _known(self, system: str) -> WrongEnvironment | None:
        async with self._asking.setdefault(system, asyncio.Lock()):
            if not self._lately(system):
                wrong = await self._asked(system)
                self._seen[system] = (self.ports.clock.monotonic(), wrong)
            return self._seen[system][1]

    def _lately(self, system: str) -> bool:
        if system not in self._seen:
            return False
        seen_at, wrong = self._seen[system]
        age = self.ports.timing.environment_age if wrong is None else self.ports.timing.wrong_environment_age
        return self.ports.clock.monotonic() - seen_at < age.total_seconds()

    async def _asked(self, system: str) -> WrongEnvironment | None:
        try:
            answered = await self.ports.connectors[system].identify()
        except WrongEnvironment as error:
            log.error("wrong environment", extra={"system": system, "code": error.code})
            return error
        row = await self._remembered(system, answered)
        if row.environment == answered:
            return None
        log.error("wrong environment", extra={"system": system, "code": WrongEnvironment.code})
        return WrongEnvironment(_told(row, answered))

    async def _remembered(self, system: str, answered: str) -> EnvironmentRow:
        """The row of a system; the first use makes it."""
        rows = self.ports.stores.environments
        first = EnvironmentRow(system, answered, self.ports.clock.now(), by="", reason=FIRST_USE)
        while True:
            row = await rows.get(system)
            if row is not None:
                return row
            try:
                return await rows.put(replace(first, etag=""))
            except RowTaken:
                continue


def _told(row: EnvironmentRow, answered: str) -> str:
    return (
        f"{row.system}: the links were made for {row.environment}, but {answered} answers. Correct the settings "
        f"CROSSDOCK_{row.system.upper()}_*, or adopt the new environment (docs/how-to/other-environment.md)."
    )
