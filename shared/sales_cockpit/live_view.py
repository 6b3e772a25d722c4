"""What the Cockpit shows of an opportunity: read from Dynamics at this moment as the user who looks, and not kept."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from shared.errors import ConnectorError, SettingsError, UnknownColumn
from shared.routes import RequestError
from shared.sales_cockpit.errors import CrmUnavailable
from shared.sales_cockpit.ports import Crm, Opportunity
from shared.strict_json import Json
from shared.users import User

log = logging.getLogger(__name__)

COLUMNS_SETTING = "CROSSDOCK_SALES_COCKPIT_SHOWN_COLUMNS"


@dataclass(frozen=True)
class LiveView:
    """Reads the configured columns, and no others."""

    crm: Crm
    columns: Sequence[str]
    budget_seconds: float

    async def show(self, user: User, key: str, wanted: Sequence[str] = ()) -> dict[str, Any]:
        """The opportunity's columns in their order, each with its value and the text that Dynamics shows for it.

        wanted: some of the configured ones. Raises RequestError for others, NotVisible, CrmUnavailable, SettingsError.
        """
        if strange := [name for name in wanted if name not in self.columns]:
            place = list(wanted).index(strange[0]) + 1
            raise RequestError(f"Number {place} is none of the columns that may be shown.", "fields")
        names = [name for name in self.columns if not wanted or name in wanted]
        opportunity = await self._read(user, key, names)
        fields = [_field(name, opportunity) for name in names if name in opportunity.values]
        return {"opportunityId": opportunity.key, "state": opportunity.state.value, "fields": fields}

    async def _read(self, user: User, key: str, names: Sequence[str]) -> Opportunity:
        try:
            return await self.crm.read(user, key, names, self.budget_seconds)
        except UnknownColumn as error:
            named = error.answer.field or "one of them"
            raise SettingsError(f"{COLUMNS_SETTING}: {named} is no column of the opportunity; correct it.") from None
        except ConnectorError as error:
            log.warning("an opportunity could not be shown", extra={"code": error.code, "told": error.detail})
            raise CrmUnavailable from None


def _field(name: str, opportunity: Opportunity) -> dict[str, Json]:
    value = opportunity.values[name]
    text = opportunity.formatted.get(name)
    return {"name": name, "value": value, "text": text if text is not None else _plain(value)}


def _plain(value: Json) -> str:
    """Text of a value for which Dynamics shows nothing else than itself."""
    return "" if value is None else str(value)
