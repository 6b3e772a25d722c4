"""Requests for definitions: which part answers, and which changes what.

EntityDefinitions and RelationshipDefinitions, the function RetrieveMetadataChanges, and the actions CreateEntities,
PublishXml, PublishAllXml and ReactivateEntityKey. After Microsoft Learn, 'PublishXml Action' and 'ReactivateEntityKey
Action'.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree import ElementTree

from starlette.responses import Response

from sandbox.dataverse import errors, registrations
from sandbox.dataverse.calls import Call, json_answer, method_not_allowed
from sandbox.dataverse.customizing import Customizations
from sandbox.dataverse.definitions import Definitions, metadata_id
from sandbox.dataverse.errors import NotImitated
from sandbox.dataverse.security import Security
from sandbox.dataverse.store import Store
from sandbox.dataverse.views import drop_views

SETS = frozenset(
    {
        "EntityDefinitions",
        "RelationshipDefinitions",
        "CreateEntities",
        "RetrieveMetadataChanges",
        "PublishXml",
        "PublishAllXml",
        "ReactivateEntityKey",
    }
)
"""First segments, without brackets, of the addresses served here."""
ACTIONS = frozenset({"PublishXml", "PublishAllXml", "ReactivateEntityKey"})


class MetadataApi:
    """Serves what is below `SETS`."""

    def __init__(
        self, *, definitions: Definitions, customizations: Customizations, store: Store, security: Security, root: str
    ) -> None:
        self._definitions = definitions
        self._customizations = customizations
        self._store = store
        self._security = security
        self._root = root

    def serve(self, call: Call) -> Response:
        """Answer a request; raises DataverseError or NotImitated."""
        first = call.segments[0].partition("(")[0]
        if call.method != "GET":
            self._security.check_customizing(call.caller, _privilege(call))
        if first in ACTIONS:
            return self._action(first, call)
        if first == "CreateEntities":
            return self._create_entities(call)
        if first == "RetrieveMetadataChanges":
            return self._changes(call)
        if first == "RelationshipDefinitions":
            return self._relationships(call)
        return self._tables(call)

    def _action(self, name: str, call: Call) -> Response:
        if call.method != "POST":
            raise method_not_allowed(call.method)
        if name == "ReactivateEntityKey":
            self._definitions.reactivate_key(call.json())
        else:
            self._customizations.publish(_published(call.json()) if name == "PublishXml" else None)
        return Response(status_code=204)

    # Tables, columns and keys

    def _tables(self, call: Call) -> Response:
        if call.method == "GET":
            return json_answer(self._definitions.get(call.segments, _options(call)))
        if call.method == "POST":
            return self._created(self._create(call.segments, call.json()))
        if call.method == "PUT":
            self._change(call.segments, call.json())
        elif call.method == "DELETE":
            self._drop(call.segments)
        else:
            raise method_not_allowed(call.method)
        return Response(status_code=204)

    def _create(self, segments: Sequence[str], body: Any) -> str:
        if list(segments) == ["EntityDefinitions"]:
            return f"EntityDefinitions({metadata_id(self._create_table(body))})"
        table = self._definitions.table(segments[0])
        if table is not None and list(segments[1:]) == ["Attributes"]:
            column = self._customizations.create_column(table, body)
            return f"EntityDefinitions({metadata_id(table.name)})/Attributes({metadata_id(table.name, column.name)})"
        if table is not None and list(segments[1:]) == ["Keys"]:
            return self._definitions.create_key(table, body)
        raise NotImitated(f"POST {'/'.join(segments)}")

    def _create_table(self, body: Any, prefix: str = "") -> str:
        table = self._customizations.create_table(self._store, body, prefix)
        registrations.seed_filters(table, self._store)
        return table.name

    def _change(self, segments: Sequence[str], body: Any) -> None:
        table = self._definitions.table(segments[0])
        if table is None or len(segments) > 2:
            raise NotImitated(f"PUT {'/'.join(segments)}")
        if len(segments) == 1:
            self._customizations.change_table(table, body)
        else:
            self._customizations.change_column(table, self._definitions.column(table, segments[1]), body)

    def _drop(self, segments: Sequence[str]) -> None:
        table = self._definitions.table(segments[0])
        if table is None or len(segments) > 2:
            raise NotImitated(f"DELETE {'/'.join(segments)}")
        if len(segments) == 1:
            self._customizations.drop_table(self._store, table)
            registrations.drop_filters(table, self._store)
            drop_views(table, self._store)
        elif segments[1].startswith("Keys("):
            self._definitions.drop_key(table, segments[1])
        else:
            column = self._definitions.column(table, segments[1])
            self._customizations.drop_column(self._store, table, column)

    def _create_entities(self, call: Call) -> Response:
        """Make several tables. Its answer is documented nowhere; the official client ignores it."""
        if call.method != "POST":
            raise method_not_allowed(call.method)
        body = call.json()
        tables = body.get("Entities") if isinstance(body, dict) else None
        if call.options or not isinstance(tables, list) or len(tables) != 1:
            raise NotImitated("CreateEntities with a solution, or with another number of tables than one")
        self._create_table(tables[0], "Complex")
        return Response(status_code=204)

    # Relationships

    def _relationships(self, call: Call) -> Response:
        if call.method == "GET":
            return json_answer(self._definitions.relationships(call.segments, _options(call)))
        if call.method == "POST" and len(call.segments) == 1:
            name = self._customizations.create_relationship(call.json())
            return self._created(f"RelationshipDefinitions({metadata_id('relationship', name)})")
        if call.method == "DELETE" and len(call.segments) == 1:
            found = self._definitions.relationships(call.segments, {})
            self._customizations.drop_relationship(self._store, found["SchemaName"])
            return Response(status_code=204)
        raise NotImitated(f"{call.method} {'/'.join(call.segments)}")

    # RetrieveMetadataChanges

    def _changes(self, call: Call) -> Response:
        """Answer for one table, chosen by its name; other queries are not imitated."""
        alias = call.segments[0].removeprefix("RetrieveMetadataChanges(Query=").removesuffix(")")
        if call.method != "GET" or set(call.options) != {alias}:
            raise NotImitated("RetrieveMetadataChanges with other parameters than Query")
        try:
            query = json.loads(call.options[alias])
        except ValueError:
            raise errors.bad_query("The value of the parameter Query is not valid JSON.") from None
        body = {
            "@odata.context": f"{self._root}/$metadata#Microsoft.Dynamics.CRM.RetrieveMetadataChangesResponse",
            "EntityMetadata": self._definitions.changes(_query(query)),
            "ServerVersionStamp": f"{self._store.version}!",
            "DeletedMetadata": None,
        }
        return json_answer(body)

    def _created(self, address: str) -> Response:
        return Response(status_code=204, headers={"OData-EntityId": f"{self._root}/{address}"})


def _privilege(call: Call) -> str:
    """What a change of the definitions needs."""
    if call.segments[0].startswith("Publish"):
        return "prvPublishCustomization"
    return "prvCreateAttribute" if call.segments[-1] == "Attributes" else "prvWriteEntity"


def _published(body: Any) -> list[str]:
    """Return the tables that the ParameterXml of PublishXml names; other components are not imitated."""
    text = body.get("ParameterXml") if isinstance(body, dict) else None
    try:
        root = ElementTree.fromstring(text if isinstance(text, str) else "")  # noqa: S314 - an administrator wrote it
    except ElementTree.ParseError:
        raise errors.invalid_argument("ParameterXml is not well-formed.") from None
    if root.tag != "importexportxml":
        raise errors.invalid_argument("ParameterXml must be an importexportxml element.")
    if any(part.tag != "entities" for part in root):
        raise NotImitated("publishing other components than tables")
    return [entity.text or "" for entity in root.iter("entity")]


def _options(call: Call) -> Mapping[str, str]:
    return {name: value for name, value in call.options.items() if name.startswith("$")}


def _query(query: Any) -> Mapping[str, Any]:
    if not isinstance(query, dict) or set(query) - {"Properties", "Criteria", "AttributeQuery"}:
        raise NotImitated("RetrieveMetadataChanges with other parts than Properties, Criteria and AttributeQuery")
    return query
