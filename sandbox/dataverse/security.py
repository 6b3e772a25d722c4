"""What a user may do: privileges by table and depth, and columns secured one by one.

Every user may do everything until something is taken away, but nobody may act as another user until that is given.
After Microsoft Learn, 'Security concepts in Microsoft Dataverse', 'RetrieveUserPrivileges Function',
'RetrievePrincipalAttributePrivileges Function', 'Column-level security to control access' and 'Impersonate another user
using the Web API'. The depth Basic reaches a user's own rows, for reading, writing and deleting; other depths between
none and the whole organisation are told but not imitated. Rows are not shared.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from sandbox.dataverse import errors
from sandbox.dataverse.context import Caller
from sandbox.dataverse.errors import DataverseError, NotImitated
from sandbox.dataverse.metadata import Model, Table
from sandbox.dataverse.store import Row

ACTIONS: Final = ("Create", "Read", "Write", "Delete", "Assign", "Share", "Append", "AppendTo")
DEPTHS: Final = ("Basic", "Local", "Deep", "Global")
COLUMN_ACTIONS: Final[Mapping[str, tuple[str, str]]] = {
    "create": ("CanCreate", "0x8004f502"),
    "read": ("CanRead", "0x8004f504"),
    "update": ("CanUpdate", "0x8004f507"),
}
QUERY_OF_SECURED: Final = "0x8004f506"
OWN_ROWS: Final = "Basic"
ROW_ACTIONS: Final = ("Read", "Write", "Delete")
"""The actions for which the depth of a user's own rows is imitated."""
ACT_FOR_OTHERS: Final = "prvActOnBehalfOfAnotherUser"
ALLOWED, NOT_ALLOWED = 4, 0


def privilege_name(table: Table, action: str) -> str:
    """Return the name of a privilege, such as prvReadAccount."""
    return f"prv{action}{table.schema_name}"


def privilege_id(name: str) -> str:
    """Return the id of a privilege; the same in every run."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"dataverse privilege {name}"))


class Security:
    """The rights of all users of one organisation. Kept in memory: they are a test's, not the organisation's."""

    def __init__(self, model: Model, business_unit_id: str) -> None:
        self._model = model
        self._business_unit_id = business_unit_id
        self._depths: dict[tuple[str, str, str], str] = {}
        self._secured: dict[tuple[str, str], dict[str, frozenset[str]]] = {}
        self._no_customizers: set[str] = set()
        self._delegates: set[str] = set()

    # Setting up

    def limit(self, user_id: str, table: str, action: str, depth: str = "") -> None:
        """Give a user a lower depth of one action on a table; no depth takes the privilege away."""
        if action not in ACTIONS or depth not in ("", *DEPTHS) or table not in self._model.tables:
            raise ValueError(f"{table} {action} {depth}")
        self._depths[user_id, table, action] = depth

    def secure(self, table: str, column: str, user_id: str, allowed: Collection[str] = ()) -> None:
        """Secure a column, and let a user do `allowed` (create, read, update) with it; all others may do nothing."""
        if column not in self._model.tables[table].columns or not set(allowed) <= set(COLUMN_ACTIONS):
            raise ValueError(f"{table}.{column} {allowed}")
        self._secured.setdefault((table, column), {})[user_id] = frozenset(allowed)

    def forbid_customizing(self, user_id: str) -> None:
        """Take from a user what makes, changes and publishes tables, columns and keys."""
        self._no_customizers.add(user_id)

    def allow_acting_for_others(self, user_id: str) -> None:
        """Give a user the privilege to act as other users."""
        self._delegates.add(user_id)

    # Telling

    def privileges(self, user_id: str) -> list[dict[str, Any]]:
        """List a user's privileges with their depths."""
        found = [self._told(ACT_FOR_OTHERS, "Global")] if user_id in self._delegates else []
        for table in self._model.tables.values():
            for action in ACTIONS:
                depth = self._depth(user_id, table.name, action)
                if depth:
                    found.append(self._told(privilege_name(table, action), depth))
        return found

    def _told(self, name: str, depth: str) -> dict[str, Any]:
        about = {"Depth": depth, "PrivilegeId": privilege_id(name)}
        return {**about, "BusinessUnitId": self._business_unit_id, "PrivilegeName": name}

    def attribute_privileges(self, user_id: str, metadata_id: Any) -> list[dict[str, Any]]:
        """List what a user may do with secured columns; those with which nothing is allowed are left out."""
        found = []
        for (table, column), users in self._secured.items():
            allowed = users.get(user_id, frozenset())
            if allowed:
                rights = {
                    told: ALLOWED if name in allowed else NOT_ALLOWED for name, (told, _) in COLUMN_ACTIONS.items()
                }
                found.append({"AttributeId": metadata_id(table, column), **rights})
        return found

    def is_secured(self, table: str, column: str) -> bool:
        """Say whether a column is secured."""
        return (table, column) in self._secured

    def hidden(self, caller: Caller, table: str) -> frozenset[str]:
        """Return the secured columns that a user may not read; they are shown empty."""
        return frozenset(
            column
            for (secured, column), users in self._secured.items()
            if secured == table and not _allows(users, caller, "read")
        )

    def visible(self, caller: Caller, table: Table) -> Callable[[Row], bool] | None:
        """Say which rows a user may read; None where it is all of them."""
        owners = [user for user in caller.user_ids if self._depth(user, table.name, "Read") == OWN_ROWS]
        return (lambda row: all(row.get("ownerid") == owner for owner in owners)) if owners else None

    # Refusing

    def check(self, caller: Caller, table: Table, action: str) -> None:
        """Refuse what a user has no privilege for; raises DataverseError 403, or NotImitated between the depths.

        The refusal names the user in whose name another one acts, whichever of the two lacks the privilege.
        """
        for depth in (self._depth(user, table.name, action) for user in caller.user_ids):
            if not depth:
                raise self._missing(caller, table, action)
            own = depth == OWN_ROWS and action in ROW_ACTIONS and "ownerid" in table.columns
            if depth != "Global" and not own:
                raise NotImitated(f"{action} of {table.name} at the depth {depth}")

    def check_row(self, caller: Caller, table: Table, action: str, row: Row) -> None:
        """Refuse a row that a user's privilege does not reach; raises DataverseError 403."""
        for user in caller.user_ids:
            if self._depth(user, table.name, action) == OWN_ROWS and row.get("ownerid") != user:
                raise errors.access_denied(caller.user_id, action, table.name, row[table.primary_id])

    def check_everything(self, caller: Caller, table: Table) -> None:
        """Refuse who may read his own rows only to follow all changes of a table; raises DataverseError 403."""
        if self.visible(caller, table) is not None:
            raise self._missing(caller, table, "Read")

    def check_acting_for_others(self, user_id: str) -> None:
        """Refuse to act as somebody else; raises DataverseError 403."""
        if user_id not in self._delegates:
            raise errors.may_not_act_for_others()

    def check_customizing(self, caller: Caller, privilege: str) -> None:
        """Refuse who may not customise; raises DataverseError 403."""
        if self._no_customizers & set(caller.user_ids):
            text = f"Principal user (Id={caller.user_id}, type=8) is missing {privilege} privilege"
            raise DataverseError(403, "0x80040220", f"{text} (Id={privilege_id(privilege)}).")

    def check_changes(self, caller: Caller, table: Table, changes: Mapping[str, Any], *, creating: bool) -> None:
        """Refuse secured columns and references that a user may not write."""
        action = "create" if creating else "update"
        for name in changes:
            users = self._secured.get((table.name, name))
            if users is not None and not _allows(users, caller, action):
                who = f"The user with id {caller.user_id}"
                text = f"{who} does not have {action} permission for the secured column '{name}'."
                raise DataverseError(403, COLUMN_ACTIONS[action][1], text)
            column = table.columns.get(name)
            if column is not None and column.is_lookup and changes[name] is not None:
                self.check(caller, table, "Append")
                self.check(caller, self._model.tables[changes.get(f"{name}@table", column.targets[0])], "AppendTo")

    def _missing(self, caller: Caller, table: Table, action: str) -> DataverseError:
        name = privilege_name(table, action)
        text = f"Principal user (Id={caller.user_id}, type=8) is missing {name} privilege (Id={privilege_id(name)})"
        return DataverseError(403, "0x80040220", f"{text} on OTC={table.type_code} for entity '{table.name}'.")

    def _depth(self, user_id: str, table: str, action: str) -> str:
        return self._depths.get((user_id, table, action), "Global")


def _allows(users: Mapping[str, Collection[str]], caller: Caller, action: str) -> bool:
    return all(action in users.get(user, ()) for user in caller.user_ids)
