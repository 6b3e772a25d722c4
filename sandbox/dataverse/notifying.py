"""The action SendAppNotification: a notification that a person sees in the model-driven app.

After Microsoft Learn, 'Send in-app notifications within model-driven apps' and 'SendAppNotification Action': it makes a
row of the table appnotification that belongs to the recipient. Actions and other content are not imitated. Of the
privilege for the action itself there is none here; who may not create notifications is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from starlette.responses import Response

from sandbox.dataverse import errors
from sandbox.dataverse.calls import Call, json_answer, method_not_allowed
from sandbox.dataverse.errors import NotImitated
from sandbox.dataverse.metadata import Model
from sandbox.dataverse.records import Records
from sandbox.dataverse.security import Security
from sandbox.dataverse.store import Store
from sandbox.dataverse.values import BodyReader

NAME: Final = "SendAppNotification"
TABLE: Final = "appnotification"
_COLUMNS: Final = {
    "Title": "title",
    "Body": "body",
    "IconType": "icontype",
    "ToastType": "toasttype",
    "Priority": "priority",
    "Expiry": "ttlinseconds",
}
_RECIPIENT: Final = re.compile(r"/systemusers\(([0-9a-fA-F-]{36})\)")


class Notifying:
    """Carries out the unbound action."""

    def __init__(
        self, *, model: Model, store: Store, records: Records, bodies: BodyReader, security: Security, root: str
    ) -> None:
        self._model = model
        self._store = store
        self._records = records
        self._bodies = bodies
        self._security = security
        self._root = root

    async def take(self, call: Call) -> Response:
        """Notify a user; raises DataverseError."""
        if call.method != "POST":
            raise method_not_allowed(call.method)
        body = _checked(call.json())
        table = self._model.tables[TABLE]
        self._security.check(call.caller, table, "Create")
        recipient = self._recipient(body["Recipient"])
        values = {_COLUMNS[name]: value for name, value in body.items() if name in _COLUMNS}
        changes = dict(self._bodies.read(table, values, creating=True))
        changes |= {"ownerid": recipient, "ownerid@table": "systemuser"}
        row = await self._records.create(table, changes, call.caller)
        context = f"{self._root}/$metadata#Microsoft.Dynamics.CRM.SendAppNotificationResponse"
        return json_answer({"@odata.context": context, "NotificationId": row[table.primary_id]})

    def _recipient(self, given: Any) -> str:
        found = _RECIPIENT.fullmatch(given) if isinstance(given, str) else None
        if found is None:
            raise errors.payload_error("crmbaseentity", "The Recipient is no reference to a user.")
        user_id = found[1].lower()
        if self._store.get("systemuser", user_id) is None:
            raise errors.does_not_exist("User", user_id)
        return user_id


def _checked(body: Any) -> Mapping[str, Any]:
    if not isinstance(body, dict):
        raise errors.payload_error(NAME, "The body must be an object.")
    for name in ("Title", "Recipient"):
        if not body.get(name):
            raise errors.payload_error(NAME, f"The parameter '{name}' is missing.")
    for name in body.keys() - _COLUMNS.keys() - {"Recipient"}:
        if name in ("OverrideContent", "Actions"):
            raise NotImitated(f"{name} of {NAME}")
        raise errors.undeclared_property(NAME, name)
    return body
