"""Runs Microsoft's Python client against a sandbox; run by the Python of the client's own environment.

    REQUESTS_CA_BUNDLE=<certificate> python driver.py <crm> <sign-in> <client id> <secret>

Prints one line of JSON for each operation: its name, and its result or what went wrong. It imports nothing of ours.
"""

from __future__ import annotations

import json
import os
import ssl
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from enum import IntEnum
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from azure.core.credentials import AccessToken
from PowerPlatform.Dataverse.client import DataverseClient
from PowerPlatform.Dataverse.core.errors import HttpError
from PowerPlatform.Dataverse.models.labels import Label, LocalizedLabel
from PowerPlatform.Dataverse.models.relationship import (
    LookupAttributeMetadata,
    ManyToManyRelationshipMetadata,
    OneToManyRelationshipMetadata,
)
from PowerPlatform.Dataverse.models.upsert import UpsertItem

GUID = "00000000-0000-4000-8000-00000000000{}"
Operation = Callable[["World"], Any]
OPERATIONS: list[Operation] = []


class Credential:
    """Signs in at the sandbox's token service, as a credential of azure-identity would at Entra."""

    def __init__(self, address: str, client_id: str, secret: str) -> None:
        self._address = address
        self._form = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": secret}
        self._token: AccessToken | None = None
        self.asked: set[str] = set()

    def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        """Return a token, kept while it lives."""
        self.asked |= set(scopes)
        if self._token is None or self._token.expires_on < time.time() + 60:
            form = urlencode({**self._form, "scope": scopes[0]}).encode()
            with urlopen(Request(self._address, form)) as answer:  # noqa: S310 - the sandbox's own address
                told = json.load(answer)
            self._token = AccessToken(told["access_token"], int(time.time()) + told["expires_in"])
        return self._token


class World:
    """The client, what operations leave for later ones, and the sandbox's admin routes."""

    def __init__(self, crm: str, credential: Credential) -> None:
        self.crm = crm
        self.credential = credential
        self.client = DataverseClient(crm, credential)
        self.kept: dict[str, Any] = {}

    def admin(self, method: str, path: str, body: Any = None) -> Any:
        """Ask an admin route of the sandbox."""
        trusted = ssl.create_default_context(cafile=os.environ["REQUESTS_CA_BUNDLE"])
        data = None if body is None else json.dumps(body).encode()
        address, kind = f"{self.crm}/_sandbox/{path}", {"Content-Type": "application/json"}
        request = Request(address, data, kind, method=method)  # noqa: S310 - the sandbox's own address
        with urlopen(request, context=trusted) as answer:  # noqa: S310 - the sandbox's own address
            text = answer.read()
        return json.loads(text) if text else None

    def rows(self, table: str = "account") -> list[dict[str, Any]]:
        """All rows of a table as the sandbox holds them."""
        return list(self.admin("GET", f"tables/{table}"))

    def names(self, table: str = "account") -> list[str]:
        """The names of all rows."""
        return sorted(str(row.get("name")) for row in self.rows(table))

    def strike(self, kind: str, method: str, **more: Any) -> None:
        """Let one request go wrong."""
        self.admin("POST", "faults", {"kind": kind, "method": method, "times": 1, **more})


def operation(function: Operation) -> Operation:
    """Note an operation; they run in the order in which they stand here."""
    OPERATIONS.append(function)
    return function


def refused(act: Callable[[], Any]) -> dict[str, Any]:
    """What the client tells of a refusal."""
    try:
        act()
    except HttpError as error:
        told = {name: error.details.get(name) for name in ("service_error_code", "retry_after")}
        traced = bool(error.details.get("service_request_id"))
        return {"status": error.status_code, "transient": error.is_transient, "traced": traced, **told}
    return {"status": 0}


# Single records


@operation
def sign_in(world: World) -> Any:
    """The token's scope is the organisation's address."""
    list(world.client.records.list("account", select=["name"]))
    return sorted(world.credential.asked)


@operation
def create_one(world: World) -> Any:
    world.kept["one"] = world.client.records.create("account", {"name": "Rossi", "customertypecode": "Customer"})
    return [(row["name"], row["customertypecode"]) for row in world.rows()]


@operation
def read_one(world: World) -> Any:
    found = world.client.records.retrieve("account", world.kept["one"], select=["name", "customertypecode"])
    annotated = world.client.records.retrieve(
        "account", world.kept["one"], select=["customertypecode"], include_annotations="*"
    )
    shown = annotated["customertypecode@OData.Community.Display.V1.FormattedValue"]
    return [found["name"], bool(found.etag), shown, world.client.records.retrieve("account", GUID.format(9))]


@operation
def update_one(world: World) -> Any:
    world.client.records.update("account", world.kept["one"], {"telephone1": "0471 1"})
    missing = refused(lambda: world.client.records.update("account", GUID.format(9), {"telephone1": "1"}))
    return [world.rows()[0]["telephone1"], missing]


@operation
def delete_one(world: World) -> Any:
    world.client.records.delete("account", world.kept["one"])
    return [world.rows(), refused(lambda: world.client.records.delete("account", world.kept["one"]))]


# Many records


@operation
def create_many(world: World) -> Any:
    made = [{"name": f"Mill {number}", "revenue": number * 10} for number in range(1, 6)]
    world.kept["many"] = world.client.records.create("account", made)
    return [len(world.kept["many"]), world.names()]


@operation
def create_many_with_a_bad_one(world: World) -> Any:
    told = refused(lambda: world.client.records.create("account", [{"name": "good"}, {"name": "x" * 161}]))
    return [told, len(world.rows())]


@operation
def create_many_with_a_taken_id(world: World) -> Any:
    taken = [{"name": "new"}, {"name": "again", "accountid": world.kept["many"][0]}]
    return [refused(lambda: world.client.records.create("account", taken)), len(world.rows())]


@operation
def update_many(world: World) -> Any:
    first, second, *_ = world.kept["many"]
    world.client.records.update("account", [first, second], {"fax": "1"})
    world.client.records.update("account", [first, second], [{"telephone1": "1"}, {"telephone1": "2"}])
    return sorted((row["name"], row["fax"], row["telephone1"]) for row in world.rows() if row.get("fax"))


@operation
def delete_many(world: World) -> Any:
    """In one job, and one by one."""
    job = world.client.records.delete("account", world.kept["many"][3:4])
    for _ in range(100):
        jobs = {row["asyncoperationid"]: row["statuscode"] for row in world.rows("asyncoperation")}
        if jobs.get(job) == 30:
            break
        time.sleep(0.05)
    world.client.records.delete("account", world.kept["many"][4:], use_bulk_delete=False)
    return [jobs.get(job), world.names()]


# Keys and upserts


@operation
def alternate_key(world: World) -> Any:
    made = world.client.tables.create_alternate_key("account", "cdock_Number", ["accountnumber"])
    (listed,) = world.client.tables.get_alternate_keys("account")
    return [bool(made.metadata_id), listed.schema_name, listed.key_attributes, listed.status]


@operation
def upsert_one(world: World) -> Any:
    for name in ("new", "known"):
        world.client.records.upsert("account", [UpsertItem({"accountnumber": "O'1"}, {"name": name})])
    return [(row["name"], row["accountnumber"]) for row in world.rows() if row.get("accountnumber")]


@operation
def upsert_many(world: World) -> Any:
    items = [UpsertItem({"accountnumber": number}, {"name": f"upserted {number}"}) for number in ("O'1", "A2", "A3")]
    world.client.records.upsert("account", items)
    return sorted(row["name"] for row in world.rows() if row.get("accountnumber"))


@operation
def duplicate_key(world: World) -> Any:
    return refused(lambda: world.client.records.create("account", {"name": "x", "accountnumber": "A2"}))


@operation
def drop_alternate_key(world: World) -> Any:
    (listed,) = world.client.tables.get_alternate_keys("account")
    world.client.tables.delete_alternate_key("account", listed.metadata_id)
    return len(world.client.tables.get_alternate_keys("account"))


# Queries


@operation
def query(world: World) -> Any:
    records = world.client.records
    found = records.list("account", select=["name"], filter="revenue gt 10", orderby=["revenue desc"])
    top = records.list("account", select=["name"], orderby=["name"], top=2)
    built = world.client.query.builder("account").select("name").top(1).execute()
    return [[one["name"] for one in found], [one["name"] for one in top], len(list(built))]


@operation
def pages(world: World) -> Any:
    found = world.client.records.list_pages("account", select=["name"], page_size=2, include_annotations="*")
    return [len(list(page)) for page in found]


@operation
def fetchxml_pages(world: World) -> Any:
    text = (
        '<fetch count="2"><entity name="account"><attribute name="name" /><order attribute="name" /></entity></fetch>'
    )
    return [[one["name"] for one in page] for page in world.client.query.fetchxml(text).execute_pages()]


@operation
def sql(world: World) -> Any:
    found = world.client.query.sql("SELECT name, revenue FROM account WHERE revenue >= 20 ORDER BY name")
    return [(one["name"], one["revenue"]) for one in found]


# Batches


@operation
def batch(world: World) -> Any:
    made = world.client.batch.new()
    made.records.create("account", {"name": "batched"})
    made.records.list("account", select=["name"], filter="name eq 'batched'")
    made.tables.get("account")
    told = made.execute()
    listed = [row["name"] for row in told.responses[1].data["value"]]
    return [[one.status_code for one in told.responses], listed, len(told.entity_ids)]


@operation
def change_set(world: World) -> Any:
    made = world.client.batch.new()
    with made.changeset() as changes:
        contact = changes.records.create("contact", {"lastname": "Bianchi"})
        changes.records.create("account", {"name": "referring", "primarycontactid@odata.bind": contact})
        changes.records.update("contact", contact, {"firstname": "Ada"})
    told = made.execute()
    (row,) = world.rows("contact")
    refers = [one["primarycontactid"] == row["contactid"] for one in world.rows() if one["name"] == "referring"]
    return [[one.status_code for one in told.responses], row["fullname"], refers]


@operation
def failing_change_set(world: World) -> Any:
    before, made = len(world.rows()), world.client.batch.new()
    with made.changeset() as changes:
        changes.records.create("account", {"name": "undone"})
        changes.records.create("account", {"name": "x" * 161})
    made.records.create("account", {"name": "goes on"})
    told = made.execute(continue_on_error=True)
    (failed,) = told.failed
    return [failed.status_code, failed.error_code, len(world.rows()) - before]


@operation
def batch_that_stops(world: World) -> Any:
    before, made = len(world.rows()), world.client.batch.new()
    made.records.create("account", {"name": "x" * 161})
    made.records.create("account", {"name": "not run"})
    told = made.execute()
    return [[one.status_code for one in told.responses], len(world.rows()) - before]


@operation
def bulk_messages_in_a_batch(world: World) -> Any:
    made = world.client.batch.new()
    made.records.create("account", [{"name": "bulk 1"}, {"name": "bulk 2"}])
    made.records.delete("account", world.kept["many"][:3], use_bulk_delete=False)
    told = made.execute()
    return [[one.status_code for one in told.responses], len(told.responses[0].data["Ids"])]


# Definitions


class Grade(IntEnum):
    """A choice as the client takes it."""

    Stone = 1
    Roller = 2


@operation
def tables(world: World) -> Any:
    listed = world.client.tables.list(filter="SchemaName eq 'Account'", select=["LogicalName", "SchemaName"])
    found = world.client.tables.get("account")
    return [[one["LogicalName"] for one in listed], found["entity_set_name"], world.client.tables.get("new_nothing")]


@operation
def create_table(world: World) -> Any:
    columns: dict[str, Any] = {"new_Code": {"type": "string", "max_length": 5}, "new_Count": "int", "new_Day": "date"}
    made = world.client.tables.create(
        "new_Mill", {**columns, "new_Kind": Grade, "new_Old": "bool"}, display_name="Mill"
    )
    row = {"new_name": "Aurora", "new_code": "A", "new_count": 2, "new_day": "2026-03-02", "new_kind": "Roller"}
    world.kept["mill"] = world.client.records.create("new_Mill", {**row, "new_old": True})
    (stored,) = world.rows("new_mill")
    return [made["entity_set_name"], [stored[name] for name in (*row, "new_old")]]


@operation
def add_columns(world: World) -> Any:
    kinds = {"new_Text": "memo", "new_Weight": "decimal", "new_Ratio": "float"}
    made = world.client.tables.add_columns("new_Mill", kinds)
    world.client.records.update(
        "new_Mill", world.kept["mill"], {"new_text": "long", "new_weight": 1.25, "new_ratio": 0.5}
    )
    (stored,) = world.rows("new_mill")
    return [made, stored["new_text"], float(stored["new_weight"]), stored["new_ratio"]]


@operation
def read_columns(world: World) -> Any:
    listed = world.client.tables.list_columns("new_Mill", select=["LogicalName"], filter="IsCustomAttribute eq true")
    typed = world.client.tables.get_column("new_Mill", "new_Code", typed=True)
    plain = world.client.tables.get_column("new_Mill", "new_Code")
    missing = world.client.tables.get_column("new_Mill", "new_Nothing")
    return [sorted(one["LogicalName"] for one in listed), typed["MaxLength"], plain["SchemaName"], missing]


@operation
def update_column(world: World) -> Any:
    world.client.tables.update_column("new_Mill", "new_Code", {"max_length": 9, "display_name": "Code of the mill"})
    world.client.records.update("new_Mill", world.kept["mill"], {"new_code": "x" * 9})
    return world.client.tables.get_column("new_Mill", "new_Code", typed=True)["MaxLength"]


@operation
def remove_columns(world: World) -> Any:
    gone = world.client.tables.remove_columns("new_Mill", ["new_Ratio", "new_Kind"])
    return [gone, world.client.tables.get_column("new_Mill", "new_Ratio")]


@operation
def relationships(world: World) -> Any:
    label = Label([LocalizedLabel("Owner", 1033)])
    lookup = LookupAttributeMetadata("new_Owner", label)
    wanted = OneToManyRelationshipMetadata("new_account_mills", "account", "new_mill", "accountid")
    client = world.client
    made = client.tables.create_one_to_many_relationship(lookup, wanted)
    field = client.tables.create_lookup_field("new_mill", "new_Keeper", "contact")
    crossing = ManyToManyRelationshipMetadata("new_mills_contacts", "new_mill", "contact")
    client.tables.create_many_to_many_relationship(crossing)
    account = client.records.create("account", {"name": "owner"})
    client.records.update("new_Mill", world.kept["mill"], {"new_Owner@odata.bind": f"/accounts({account})"})
    (stored,) = world.rows("new_mill")
    listed = client.tables.list_table_relationships("new_mill", filter="IsCustomRelationship eq true")
    client.tables.delete_relationship(made.relationship_id)
    gone = client.tables.get_relationship("new_account_mills")
    names = sorted(one["SchemaName"] for one in listed)
    return [stored["new_owner"] == account, names, field.lookup_schema_name, gone]


@operation
def files(world: World) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "contract.pdf"
        path.write_bytes(b"%PDF")
        client = world.client.files
        client.upload("new_Mill", world.kept["mill"], "new_Contract", str(path))
        first = world.rows("new_mill")[0]["new_contract_name"]
        path.rename(path.with_name("large.bin"))
        path.with_name("large.bin").write_bytes(b"x" * (5 * 1024 * 1024))
        large = str(path.with_name("large.bin"))
        client.upload("new_Mill", world.kept["mill"], "new_Contract", large, mode="chunk", if_none_match=False)
    return [first, world.rows("new_mill")[0]["new_contract_name"]]


@operation
def batched_definitions(world: World) -> Any:
    made = world.client.batch.new()
    made.tables.add_columns("new_Mill", {"new_One": "string", "new_Two": "int"})
    made.tables.remove_columns("new_Mill", "new_Weight")
    return [one.status_code for one in made.execute().responses]


@operation
def drop_table(world: World) -> Any:
    world.client.tables.delete("new_Mill")
    return world.client.tables.get("new_Mill")


# Failures


@operation
def taken_id(world: World) -> Any:
    world.client.records.create("account", {"name": "first", "accountid": GUID.format(1)})
    return refused(lambda: world.client.records.create("account", {"name": "second", "accountid": GUID.format(1)}))


@operation
def throttled(world: World) -> Any:
    world.strike("throttled", "POST", retry_after_seconds=7)
    return refused(lambda: world.client.records.create("account", {"name": "throttled"}))


@operation
def unavailable(world: World) -> Any:
    world.strike("unavailable", "GET", path="/accounts")
    return refused(lambda: world.client.records.list("account", select=["name"]))


@operation
def foreign_token(world: World) -> Any:
    """A token that was issued for another address."""
    other = Credential(world.credential._address, *world.kept["secret"])
    other.get_token(f"{world.crm}9/.default")
    return refused(lambda: DataverseClient(world.crm, other).records.list("account"))


@operation
def lost_answer(world: World) -> Any:
    """The client sends a create again whose answer was lost; nothing tells it that the first one was carried out."""
    world.strike("lost_answer", "POST", path="/accounts$")
    world.client.records.create("account", {"name": "lost"})
    return world.names().count("lost")


@operation
def unforeseen(world: World) -> Any:
    """What the sandbox did not know of all that was asked."""
    return [entry["path"] for entry in world.admin("GET", "requests?unforeseen=1")]


def main(arguments: list[str]) -> None:
    """Run all operations; one that fails does not keep the others from running."""
    crm, sign_in_address, client_id, secret = arguments
    warnings.simplefilter("ignore", DeprecationWarning)
    world = World(crm, Credential(sign_in_address, client_id, secret))
    world.kept["secret"] = (client_id, secret)
    for run in OPERATIONS:
        told: dict[str, Any] = {"name": run.__name__}
        try:
            told["result"] = run(world)
        except Exception as error:
            told["error"] = f"{type(error).__name__}: {error}"
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
