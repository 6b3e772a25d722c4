"""From the settings to the subscriptions: where each system is to send its notices, and how it stands with them.

`renew_subscriptions` is what the timer, the command line and the local run call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from shared.errors import SettingsError
from shared.routes import ROUTES
from shared.settings import BusinessCentralDoor, PublicAddress, Settings, needed
from shared.sync.subscribing import Place, Subscribed, tables_of

if TYPE_CHECKING:
    from shared.app import App

PREFIX: Final = "/api"
"""What host.json puts before every route."""


@dataclass(frozen=True, slots=True)
class SubscriptionsReport:
    """How it stands with the subscriptions. errors: settings without which those of a system cannot be made."""

    items: Sequence[Subscribed]
    errors: Sequence[SettingsError]

    @property
    def is_good(self) -> bool:
        """Whether nothing needs anybody."""
        return not self.errors and not any(one.code for one in self.items)


async def renew_subscriptions(app: App) -> SubscriptionsReport:
    """Make, renew and end subscriptions until they are what the definitions and settings want.

    A system whose settings lack something is left alone. Raises SettingsError and StoreUnavailable when the engine
    cannot be made at all.
    """
    engine = await app.engine()
    items: list[Subscribed] = []
    errors: list[SettingsError] = []
    for connector, subscriber in engine.subscriptions.subscribers():
        tables = tables_of(engine.index, connector.system)
        try:
            place = PLACES[app.settings.kinds[connector.system]](app.settings, connector.system, tables)
        except SettingsError as error:
            errors.append(error)
        else:
            items += await engine.subscriptions.keep(connector, subscriber, place)
    return SubscriptionsReport(items, errors)


def _business_central(settings: Settings, name: str, tables: Sequence[str]) -> Place:
    """One address for each table, with the secret in its path; raises SettingsError.

    A system under another name than its kind's stands before its tables: companies of one environment see each other's
    subscriptions, and each looks after its own.
    """
    door = settings.of(BusinessCentralDoor, name)
    secret = needed(BusinessCentralDoor, "secret", door.secret, name).get_secret_value()
    state = needed(BusinessCentralDoor, "client_state", door.client_state, name).get_secret_value()
    base = needed(PublicAddress, "url", settings.get(PublicAddress).url).rstrip("/")
    root = f"{base}{PREFIX}/{ROUTES['business_central_webhook'].path.partition('{')[0]}"
    own = "" if name == BusinessCentralDoor.system else name
    before = f"{root}{quote(secret, safe='')}/{own}{'.' if own else ''}"
    return Place(root, {table: f"{before}{table}" for table in tables}, state, own)


PLACES: Final[Mapping[str, Callable[[Settings, str, Sequence[str]], Place]]] = {"business_central": _business_central}
"""How each kind of system is told where to send its notices."""
