"""From the settings and definitions to what is set up in the systems: looks how it stands, settles what is not right.

`manage.py register` shows and does it, `manage.py doctor` looks.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from shared.errors import ConnectorError, CrossdockError, NotAllowed, Refused, SettingsError
from shared.routes import ROUTES, WEBHOOK_HEADER
from shared.settings import DataverseDoor, PublicAddress, Settings, needed
from shared.subscriptions import PLACES, PREFIX
from shared.sync.breaker import unwatched
from shared.sync.ports import Connector, Subscribing
from shared.sync.registering import REGISTERING, NoticeWish, Part, Registering, Standing, wishes
from shared.sync.subscribing import Act, Step, plan, tables_of
from shared.sync.surveying import Survey, survey

if TYPE_CHECKING:
    from shared.app import App
    from shared.engine import Engine

REPORT: Final = "registrations"
"""Under which it is remembered on what each secret was set last: no system shows a secret again."""
SUBSCRIPTION: Final = "subscription"
CONFIRM: Final = "dataverse_confirm"
"""The route of the questions."""
_STANDINGS: Final[Mapping[Act, Standing]] = {
    Act.KEEP: Standing.FITS,
    Act.MAKE: Standing.MISSING,
    Act.RENEW: Standing.DIFFERS,
    Act.END: Standing.SURPLUS,
}


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a system could not be looked at, or one part of it not be settled."""

    system: str
    error: CrossdockError
    code: str
    remedy: str
    part: Part | None = None

    @property
    def sentence(self) -> str:
        return (self.error.detail or self.error.sentence).strip()


@dataclass(frozen=True, slots=True)
class Look:
    """How everything stands in all systems. failures: what could not be looked at."""

    parts: Sequence[tuple[str, Part]]
    failures: Sequence[Failure] = ()


class Registrations:
    """Looks and settles, on one engine. notices: where each kind of system is to send its notices, if not as settings
    say."""

    def __init__(
        self, app: App, engine: Engine, notices: Mapping[str, Callable[[Settings, str], NoticeWish]] | None = None
    ) -> None:
        self._app = app
        self._engine = engine
        self._wanted = NOTICES if notices is None else notices
        self._connectors = {name: unwatched(one) for name, one in engine.pipeline.ports.connectors.items()}

    async def look(self) -> Look:
        """How everything stands; a system that does not answer does not hide the others."""
        found: list[tuple[str, Part]] = []
        failures: list[Failure] = []
        for name, connector in self._connectors.items():
            try:
                found += [(name, part) for part in await self._of_system(connector, failures)]
            except (ConnectorError, SettingsError) as error:
                failures.append(failure(name, error))
        return Look(found, failures)

    async def _of_system(self, connector: Connector, failures: list[Failure]) -> Sequence[Part]:
        if isinstance(connector, Registering):
            known = await self._survey(connector.system)
            notices = await self._notices(connector.system, failures)
            return await connector.parts(wishes(self._engine.index, known, connector.system), notices)
        return await self._subscriptions(connector.system, connector) if isinstance(connector, Subscribing) else ()

    async def _survey(self, system: str) -> Survey:
        """What the systems tell of the tables; of this one alone where another does not answer, which fails itself."""
        try:
            return await survey(self._connectors, self._engine.index)
        except ConnectorError as error:
            if error.system in (system, self._kind(system)):
                raise
            return await survey(self._connectors, self._engine.index, only=system)

    async def _notices(self, system: str, failures: list[Failure]) -> NoticeWish | None:
        """Where the system's notices are to go; settings that lack for it are a failure of their own."""
        try:
            wish = self._wish(system)
        except SettingsError as error:
            failures.append(failure(system, error))
            return None
        remembered = (await self._remembered()).get(system, {})
        known = remembered.get("on", "") if remembered.get("print") == self._print(wish.secret) else ""
        return replace(wish, known_on=frozenset(known.split()))

    def _kind(self, system: str) -> str:
        return self._app.settings.kinds[system]

    def _wish(self, system: str) -> NoticeWish:
        return self._wanted[self._kind(system)](self._app.settings, system)

    async def _subscriptions(self, system: str, subscriber: Subscribing) -> Sequence[Part]:
        tables = tables_of(self._engine.index, system)
        place_for = PLACES[self._kind(system)]
        place = place_for(self._app.settings, system, tables)
        able = await subscriber.notifying(tables)
        wanted = place_for(self._app.settings, system, [table for table in tables if table in able])
        present, now = await subscriber.subscriptions(), self._app.outside.clock.now()
        steps = plan(wanted, present, now, subscriber.subscription_life)
        mute = [table for table in place.addresses if table not in able]
        told = "raises no notices; only walks find its changes"
        return [*map(_subscription, steps), *(Part(SUBSCRIPTION, one, Standing.IMPOSSIBLE, told) for one in mute)]

    async def settle(
        self, look: Look, due: Callable[[Part], bool], did: Callable[[str, Part], None]
    ) -> Sequence[Failure]:
        """Make, change or remove the parts that are due; `did` hears of each that is done.

        Subscriptions are settled apart, by `renew_subscriptions`. Steps of a webhook that could not be made are left,
        and so is what needs a table that could not be.
        """
        failures: list[Failure] = []
        for system, part in look.parts:
            connector = self._connectors[system]
            if not isinstance(connector, Registering) or not due(part) or _is_hopeless(part, failures):
                continue
            try:
                await connector.settle(part)
                await self._remember(system, part)
            except ConnectorError as error:
                failures.append(failure(system, error, part))
            else:
                did(system, part)
        return failures

    # --- what each secret was set on ---

    async def _remember(self, system: str, part: Part) -> None:
        if part.kind != "webhook" or part.standing is Standing.SURPLUS:
            return
        facts, print_ = await self._remembered(), self._print(self._wish(system).secret)
        before = facts.get(system, {})
        known = before.get("on", "").split() if before.get("print") == print_ else []
        facts[system] = {"on": " ".join(sorted({*known, part.id})), "print": print_}
        await self._engine.stores.reports.put(REPORT, json.dumps(facts))

    async def _remembered(self) -> dict[str, dict[str, str]]:
        text = await self._engine.stores.reports.get(REPORT)
        found: dict[str, dict[str, str]] = json.loads(text) if text else {}
        return found

    def _print(self, secret: str) -> str:
        """A keyed hash: whether it is still the same secret can be told, and nothing else."""
        key = self._engine.pipeline.ports.prints.key
        return blake2b(secret.encode(), key=key, digest_size=16).hexdigest()


def failure(system: str, error: CrossdockError, part: Part | None = None) -> Failure:
    """An error with what to do about it while an installation is being set up."""
    code = "CD-4704" if isinstance(error, NotAllowed) else "CD-4707" if isinstance(error, Refused) else error.code
    remedy = REGISTERING[code].remedy if code in REGISTERING else error.remedy
    return Failure(system, error, code, remedy, part)


def _is_hopeless(part: Part, failures: Sequence[Failure]) -> bool:
    """Whether something that the part stands on could not be made."""
    failed = [one.part for one in failures if one.part]
    if part.kind == "step":
        return any(one.kind == "webhook" for one in failed)
    return any(one.kind == "table" and one.name in part.needs for one in failed)


def _subscription(step: Step) -> Part:
    told = {Act.MAKE: "there is none", Act.RENEW: "is due to be renewed", Act.END: "no definition needs it"}
    return Part(SUBSCRIPTION, step.table, _STANDINGS[step.act], told.get(step.act, ""))


def _dataverse(settings: Settings, name: str) -> NoticeWish:
    """The addresses of our webhooks and the header that opens them; raises SettingsError."""
    door = settings.of(DataverseDoor, name)
    secret = needed(DataverseDoor, "secret", door.secret, name).get_secret_value()
    base = needed(PublicAddress, "url", settings.get(PublicAddress).url).rstrip("/")
    address, questions = (f"{base}{PREFIX}/{quote(ROUTES[name].path)}" for name in ("dataverse_webhook", CONFIRM))
    return NoticeWish(address, WEBHOOK_HEADER, secret, questions=questions)


NOTICES: Final[Mapping[str, Callable[[Settings, str], NoticeWish]]] = {"dataverse": _dataverse}
"""How each kind of system that is registered with is told where to send its notices."""
