"""The account manager of a customer or cost centre: the employee in the part of the site's own type.

The part has one row for each type; which type is ours, the site's settings say. Where the site does not show the part,
or no type is set, the column is not told.
"""

from __future__ import annotations

from dataclasses import replace

from shared.connectors.postoffice.errors import SYSTEM
from shared.connectors.postoffice.site import Site
from shared.connectors.postoffice.tables import ACCOUNT_MANAGER, ACCOUNT_MANAGERS
from shared.connectors.postoffice.values import canonical_id
from shared.errors import Answer, NotSetUp, Refused
from shared.strict_json import JsonObject, as_list, as_object, as_text
from shared.sync.ports import Untold, Value


def shows(site: Site) -> bool:
    """Whether reading a record tells its account manager."""
    return site.account_managers and bool(site.account_manager_type)


def manager_in(site: Site, row: JsonObject) -> Value:
    """The employee in a record's row; raises WrongShape or ValueError for one that is not as documented."""
    if not shows(site) or ACCOUNT_MANAGERS not in row:
        return Untold()
    for one in as_list(row.get(ACCOUNT_MANAGERS), ACCOUNT_MANAGERS):
        part = as_object(one, ACCOUNT_MANAGERS)
        if as_text(part.get("key"), "key") == site.account_manager_type:
            return canonical_id(as_text(part.get("employeeId"), "employeeId"))
    return None


def address(site: Site, key: str, value: Value, setting: str) -> tuple[str, JsonObject]:
    """Where the account manager of a record is put, and the body; raises NotSetUp without a type, Refused for nobody.

    setting: the name of the setting that binds the site.
    """
    if not site.account_manager_type:
        raise NotSetUp(SYSTEM, Answer(field=ACCOUNT_MANAGER), f"set account_manager_type in {setting}")
    if value is None:
        raise Refused(SYSTEM, Answer(field=ACCOUNT_MANAGER), f"{SYSTEM}: {ACCOUNT_MANAGER} cannot be emptied.")
    return f"{key}/account-managers/{site.account_manager_type}", {"employeeId": str(value)}


def refused(error: Refused, site: Site, setting: str) -> Refused:
    """What was answered, with the column that it concerns and, of an unknown type, with the setting that names it."""
    answer = replace(error.answer, field=ACCOUNT_MANAGER)
    if not isinstance(error, NotSetUp):
        return type(error)(SYSTEM, answer)
    detail = f"{SYSTEM} has no account manager type {site.account_manager_type}: correct account_manager_type in"
    return NotSetUp(SYSTEM, answer, f"{detail} {setting}")
