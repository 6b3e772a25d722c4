"""What a user may do: privileges by table and depth, and columns secured one by one.

Every user may do everything until something is taken away. After Microsoft Learn, 'Security concepts in Microsoft
Dataverse', 'RetrieveUserPrivileges Function', 'RetrievePrincipalAttributePrivileges Function' and 'Column-level
security to control access'. A depth between none and the whole organisation is told but not imitated.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping
from typing import Any, Final

from sandbox.dataverse.errors import DataverseError, NotImitated
from sandbox.dataverse.metadata import Model, Table

ACTIONS: Final = ("Create", "Read", "Write", "Delete", "Assign", "Share", "Append", "AppendTo")
DEPTHS: Final = ("Basic", "Local", "Deep", "Global")
COLUMN_ACTIONS: Final[Mapping[str, tuple[str, str]]] = {
    "create": ("CanCreate", "0x8004f502"),
    "read": ("CanRead", "0x8004f504"),
    "update": ("CanUpdate", "0x8004f507"),
}
QUERY_OF_SECURED: Final = "0x8004f506"
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

    # Telling

    def privileges(self, user_id: str) -> list[dict[str, Any]]:
        """List a user's privileges with their depths."""
        found = []
        for table in self._model.tables.values():
            for action in ACTIONS:
                depth = self._depth(user_id, table.name, action)
                name = privilege_name(table, action)
                if depth:
                    found.append(
                        {
                            "Depth": depth,
                            "PrivilegeId": privilege_id(name),
                            "BusinessUnitId": self._business_unit_id,
                            "PrivilegeName": name,
                        }
                    )
        return found

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

    def hidden(self, user_id: str, table: str) -> frozenset[str]:
        """Return the secured columns that a user may not read; they are shown empty."""
        return frozenset(
            column
            for (secured, column), users in self._secured.items()
            if secured == table and "read" not in users.get(user_id, frozenset())
        )

    # Refusing

    def check(self, user_id: str, table: Table, action: str) -> None:
        """Refuse what a user has no privilege for; raises DataverseError 403, or NotImitated between the depths."""
        depth = self._depth(user_id, table.name, action)
        if not depth:
            name = privilege_name(table, action)
            text = f"Principal user (Id={user_id}, type=8) is missing {name} privilege (Id={privilege_id(name)})"
            raise DataverseError(403, "0x80040220", f"{text} on OTC={table.type_code} for entity '{table.name}'.")
        if depth != "Global":
            raise NotImitated(f"{action} of {table.name} at the depth {depth}")

    def check_customizing(self, user_id: str, privilege: str) -> None:
        """Refuse who may not customise; raises DataverseError 403."""
        if user_id in self._no_customizers:
            text = f"Principal user (Id={user_id}, type=8) is missing {privilege} privilege"
            raise DataverseError(403, "0x80040220", f"{text} (Id={privilege_id(privilege)}).")

    def check_changes(self, user_id: str, table: Table, changes: Mapping[str, Any], *, creating: bool) -> None:
        """Refuse secured columns and references that a user may not write."""
        action = "create" if creating else "update"
        for name in changes:
            users = self._secured.get((table.name, name))
            if users is not None and action not in users.get(user_id, frozenset()):
                text = f"The user with id {user_id} does not have {action} permission for the secured column '{name}'."
                raise DataverseError(403, COLUMN_ACTIONS[action][1], text)
            column = table.columns.get(name)
            if column is not None and column.is_lookup and changes[name] is not None:
                self.check(user_id, table, "Append")
                self.check(user_id, self._model.tables[changes.get(f"{name}@table", column.targets[0])], "AppendTo")

    def _depth(self, user_id: str, table: str, action: str) -> str:
        return self._depths.get((user_id, table, action), "Global")
