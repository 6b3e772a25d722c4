"""The rows that make a webhook: reading them as steps, checking them when they are written, seeding the messages.

After Microsoft Learn, 'Register a webhook', 'Event framework' and the table references of serviceendpoint,
sdkmessageprocessingstep and sdkmessageprocessingstepimage.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit
from xml.etree import ElementTree

from sandbox.dataverse import errors
from sandbox.dataverse.context import Image, Step
from sandbox.dataverse.errors import NotImitated
from sandbox.dataverse.metadata import Model, Table
from sandbox.dataverse.store import Row, Store

TABLES = frozenset({"serviceendpoint", "sdkmessageprocessingstep", "sdkmessageprocessingstepimage"})
MESSAGES = ("Create", "Update", "Delete")
BULK_MESSAGES = ("CreateMultiple", "UpdateMultiple", "UpsertMultiple")
OTHER_MESSAGES = ("Assign", "SetState")
KNOWN_IDS = {
    "Create": "9ebdbb1b-ea3e-db11-86a7-000a3a5473e8",
    "Create of account": "c2c5bb1b-ea3e-db11-86a7-000a3a5473e8",
}
WEBHOOK, WEBHOOK_KEY, HTTP_HEADER, QUERY_STRING = 8, 4, 5, 6
PRE_VALIDATION, POST_OPERATION = 10, 40


def platform_id(text: str) -> str:
    """Return the id of a row that is the same in every organisation."""
    return KNOWN_IDS.get(text) or str(uuid.uuid5(uuid.NAMESPACE_URL, f"dataverse sandbox {text}"))


def seed_messages(model: Model, store: Store, no_bulk_messages: Collection[str]) -> None:
    """Put the messages and their filters in: one filter per table and message."""
    for message in (*MESSAGES, *BULK_MESSAGES, *OTHER_MESSAGES):
        message_id = platform_id(message)
        store.put("sdkmessage", message_id, {"sdkmessageid": message_id, "name": message})
    for table in model.tables.values():
        if table.notices:
            seed_filters(table, store, bulk=table.name not in no_bulk_messages)


def seed_filters(table: Table, store: Store, *, bulk: bool = True) -> None:
    """Put in which messages a table takes."""
    for message in (*MESSAGES, *(BULK_MESSAGES if bulk else ()), *OTHER_MESSAGES):
        filter_id = platform_id(f"{message} of {table.name}")
        row = {
            "sdkmessagefilterid": filter_id,
            "primaryobjecttypecode": table.name,
            "secondaryobjecttypecode": "none",
            "sdkmessageid": platform_id(message),
        }
        store.put("sdkmessagefilter", filter_id, row)


def drop_filters(table: Table, store: Store) -> None:
    """Take out which messages a table takes, when it is gone."""
    for message in (*MESSAGES, *BULK_MESSAGES, *OTHER_MESSAGES):
        store.remove("sdkmessagefilter", platform_id(f"{message} of {table.name}"))


class Registrations:
    """The steps in force, read from the rows; `forget` after a registration row has changed."""

    def __init__(self, model: Model, store: Store, any_port: bool) -> None:
        self._model = model
        self._store = store
        self._any_port = any_port
        self._steps: dict[tuple[str, str], list[Step]] | None = None

    def forget(self) -> None:
        """Read the rows again at the next event."""
        self._steps = None

    def steps(self, table: str, message: str) -> list[Step]:
        """Return the enabled webhook steps of a table and message, in order of rank."""
        if self._steps is None:
            self._steps = self._read()
        return self._steps.get((table, message), [])

    def endpoint(self, endpoint_id: str) -> Row | None:
        """Return the row a step posts to."""
        return self._store.get("serviceendpoint", endpoint_id)

    def _read(self) -> dict[tuple[str, str], list[Step]]:
        found: dict[tuple[str, str], list[Step]] = {}
        for row in self._store.table("sdkmessageprocessingstep").values():
            if row["statecode"] != 0:
                continue
            message = self._store.table("sdkmessage")[row["sdkmessageid"]]["name"]
            chosen = self._store.get("sdkmessagefilter", row.get("sdkmessagefilterid"))
            tables = [chosen["primaryobjecttypecode"]] if chosen is not None else self._noticed_tables()
            for table in tables:
                found.setdefault((table, message), []).append(self._step(row))
        for steps in found.values():
            steps.sort(key=lambda step: step.rank)
        return found

    def _noticed_tables(self) -> list[str]:
        return [table.name for table in self._model.tables.values() if table.notices]

    def _step(self, row: Row) -> Step:
        step_id = row["sdkmessageprocessingstepid"]
        images = self._store.table("sdkmessageprocessingstepimage").values()
        return Step(
            step_id=step_id,
            name=row.get("name") or "",
            endpoint_id=row["eventhandler"],
            stage=row["stage"],
            asynchronous=row["mode"] == 1,
            rank=row.get("rank") or 1,
            filtering=frozenset(_names(row.get("filteringattributes"))),
            auto_delete=bool(row.get("asyncautodelete")),
            images=tuple(_image(image) for image in images if image["sdkmessageprocessingstepid"] == step_id),
        )

    # Checks

    def check(self, table: str, row: Row) -> None:
        """Refuse a registration row that makes no sense; raises DataverseError, or NotImitated."""
        if table == "serviceendpoint":
            self._check_endpoint(row)
        elif table == "sdkmessageprocessingstep":
            self._check_step(row)
        elif table == "sdkmessageprocessingstepimage":
            self._check_image(row)

    def _check_endpoint(self, row: Row) -> None:
        if row.get("contract") != WEBHOOK:
            raise NotImitated("service endpoints other than webhooks (contract 8)")
        if not row.get("name") or not row.get("url"):
            raise errors.invalid_argument("A webhook needs a name and a url.")
        if row.get("authtype") not in (WEBHOOK_KEY, HTTP_HEADER, QUERY_STRING):
            raise errors.invalid_argument("The authtype of a webhook must be 4, 5 or 6.")
        address = urlsplit(row["url"])
        if address.scheme not in ("http", "https") or not address.hostname:
            raise errors.invalid_argument("The url of a webhook must be a full http or https address.")
        standard = {"http": 80, "https": 443}[address.scheme]
        if not self._any_port and address.port not in (None, standard):
            raise errors.invalid_argument("A webhook may use port 80 (http) or 443 (https) only.")

    def _check_step(self, row: Row) -> None:
        message = self._store.get("sdkmessage", row.get("sdkmessageid"))
        if message is None or row.get("eventhandler") is None:
            raise errors.invalid_argument("A step needs a message (sdkmessageid) and an event handler.")
        if row["eventhandler@table"] != "serviceendpoint" or message["name"] not in MESSAGES:
            raise NotImitated("steps of plug-ins, or of messages other than Create, Update and Delete")
        if row["stage"] != POST_OPERATION:
            if row["mode"] == 1:
                raise errors.invalid_argument("An asynchronous step must be registered on stage 40.")
            if row["stage"] != PRE_VALIDATION or message["name"] != "Update":
                raise NotImitated("webhook steps on other stages than 40, but of an update on 10 (PreValidation)")
        if row.get("impersonatinguserid") is not None:
            raise NotImitated("steps that run as another user (impersonatinguserid)")
        self._check_filter(row, message["name"])

    def _check_filter(self, row: Row, message: str) -> None:
        chosen = self._store.get("sdkmessagefilter", row.get("sdkmessagefilterid"))
        if chosen is not None and chosen["sdkmessageid"] != row["sdkmessageid"]:
            raise errors.invalid_argument("The filter (sdkmessagefilterid) does not belong to the message.")
        names = _names(row.get("filteringattributes"))
        if not names:
            return
        if message != "Update" or chosen is None:
            raise errors.invalid_argument("filteringattributes are for steps of Update on a table only.")
        columns = self._model.tables[chosen["primaryobjecttypecode"]].columns
        for name in names:
            if name not in columns:
                raise errors.invalid_argument(f"The filtering attribute '{name}' is no column of the table.")

    def _check_image(self, row: Row) -> None:
        step = self._store.get("sdkmessageprocessingstep", row.get("sdkmessageprocessingstepid"))
        if step is None or not row.get("entityalias") or row.get("imagetype") is None:
            raise errors.invalid_argument("An image needs a step, an entityalias and an imagetype.")
        message = self._store.table("sdkmessage")[step["sdkmessageid"]]["name"]
        wanted = "id" if message == "Create" else "Target"
        if row.get("messagepropertyname") != wanted:
            raise errors.invalid_argument(f"The messagepropertyname of an image of {message} must be '{wanted}'.")
        if (message == "Create" and row["imagetype"] != 1) or (message == "Delete" and row["imagetype"] != 0):
            raise errors.invalid_argument("Create has no pre image, Delete has no post image.")


def _image(row: Row) -> Image:
    kind = row["imagetype"]
    return Image(row["entityalias"], kind in (0, 2), kind in (1, 2), tuple(_names(row.get("attributes"))) or None)


def _names(text: str | None) -> list[str]:
    return [name.strip() for name in (text or "").split(",") if name.strip()]


class InvalidAuthValue(Exception):
    """The authvalue of an endpoint is not the XML it must be."""


def authentication(endpoint: Row) -> tuple[dict[str, str], dict[str, str]]:
    """Return the headers and the query parameters an endpoint's secret adds; raises InvalidAuthValue."""
    value = endpoint.get("authvalue") or ""
    if endpoint["authtype"] == WEBHOOK_KEY:
        return {}, {"code": value}
    settings = _settings(value)
    return (settings, {}) if endpoint["authtype"] == HTTP_HEADER else ({}, settings)


def _settings(text: str) -> dict[str, str]:
    try:
        root = ElementTree.fromstring(text)  # noqa: S314 - the text is what an administrator of the sandbox wrote
    except ElementTree.ParseError:
        raise InvalidAuthValue from None
    pairs: Iterable[Mapping[str, Any]] = (element.attrib for element in root.iter("setting"))
    found = {pair["name"]: pair["value"] for pair in pairs if "name" in pair and "value" in pair}
    if root.tag != "settings" or not found:
        raise InvalidAuthValue
    return found


def header_setting(name: str, value: str) -> str:
    """Write the authvalue of an endpoint that sends one header (authtype 5)."""
    root = ElementTree.Element("settings")
    ElementTree.SubElement(root, "setting", {"name": name, "value": value})
    return ElementTree.tostring(root, encoding="unicode")
