"""A list that the product has never heard of: one YAML file brings it into the CRM, and no code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from shutil import copytree
from typing import Any

import httpx
import pytest

from local.definitions import compile_folder
from sandbox.postoffice.tables import Field, Kind
from sandbox.transport import SandboxTransport
from shared.sync.definition import Index
from tests.scenarios.account_customer.world import CRM_CLIENT, CRM_URL, virtually
from tests.scenarios.command_line.terminal import Said, typed
from tests.scenarios.postoffice.world import FILES, FOLDER, POOR, WHOLE, PostWorld, Sites, often_walked

CRM = "Microsoft.Dynamics.CRM."
TABLE = "cdock_vehicle"
FIELDS: Mapping[str, Field] = {
    "plate": Field(max_length=20, required=True),
    "model": Field(max_length=80),
    "load": Field(Kind.MONEY),
    "active": Field(Kind.FLAG),
}
VEHICLES = """\
# A vehicle of PostOffice is a row of the CRM's list of vehicles.
pair: {dataverse: cdock_vehicle, postoffice: vehicles}

transfers:
  vehicle_to_dataverse: {walk: every hour}

match:
  - {dataverse: cdock_plate, postoffice: plate}

fields:
  - {dataverse: cdock_plate,  postoffice: plate,  master: postoffice, too_long: park}
  - {dataverse: cdock_name,   postoffice: model,  master: postoffice, too_long: park}
  - {dataverse: cdock_active, postoffice: active, master: postoffice}
"""
every = pytest.mark.parametrize("site", [WHOLE, POOR, FILES], ids=["whole", "poor", "files"])


def compiled(folder: Path, text: str) -> Index:
    """Of the product's definitions and one more file that one: the others would only be walked beside it."""
    copytree(FOLDER, folder / "transfers" / "postoffice")
    (folder / "transfers" / "postoffice" / "vehicle.yaml").write_text(text, "utf-8")
    index = compile_folder(folder / "transfers")
    assert index.problems == ()
    (new,) = [one for one in index.definitions if one.right.table == "vehicles"]
    return index.model_copy(update={"definitions": (often_walked(new),)})


def world_with(site: Sites, index: Index) -> PostWorld:
    """A site that keeps vehicles, and the definitions."""
    options, settings = site
    return PostWorld((replace(options, further={"vehicles": FIELDS}), settings), index)


async def make_table(world: PostWorld) -> None:
    """What an administrator of the CRM does: a table with three columns."""
    label = {"@odata.type": f"{CRM}Label", "LocalizedLabels": [{"Label": "Vehicle", "LanguageCode": 1033}]}

    def column(kind: str, schema: str, **more: Any) -> dict[str, Any]:
        return {"@odata.type": f"{CRM}{kind}AttributeMetadata", "SchemaName": schema, "DisplayName": label, **more}

    text = {"FormatName": {"Value": "Text"}}
    yes_no = {"TrueOption": {"Label": label}, "FalseOption": {"Label": label}}
    table = {
        "@odata.type": f"{CRM}EntityMetadata",
        "SchemaName": "cdock_Vehicle",
        "DisplayName": label,
        "DisplayCollectionName": label,
        "OwnershipType": "UserOwned",
        "IsActivity": False,
        "ChangeTrackingEnabled": True,
        "Attributes": [column("String", "cdock_Name", MaxLength=100, IsPrimaryName=True, **text)],
    }
    token = world.issuer.issue(CRM_CLIENT, CRM_URL)
    headers = {"Authorization": f"Bearer {token}"}
    transport = SandboxTransport(world.crm.app)
    async with httpx.AsyncClient(base_url=f"{CRM_URL}/api/data/v9.2", transport=transport, headers=headers) as client:
        columns = (
            column("String", "cdock_Plate", MaxLength=20, **text),
            column("Boolean", "cdock_Active", OptionSet=yes_no),
        )
        there = f"/EntityDefinitions(LogicalName='{TABLE}')/Attributes"
        answers = [await client.post("/EntityDefinitions", json=table)]
        answers += [await client.post(there, json=one) for one in columns]
    assert [answer.status_code for answer in answers] == [204, 204, 204], [answer.text for answer in answers]


async def checked(world: PostWorld, folder: Path) -> Said:
    """What the check says of the definitions in a folder."""
    return await typed(world, "check", "--json", "--transfers", str(folder / "transfers"), **world.environment)


@every
@virtually
async def test_one_file_brings_a_new_list_into_the_crm(site: Sites, tmp_path: Path) -> None:
    """What arrives follows, and the check of the definitions knows the list from what the site shows."""
    async with world_with(site, compiled(tmp_path, VEHICLES)) as world:
        await make_table(world)
        made = [
            world.site.create("vehicles", {"plate": f"ZH {n}", "model": f"Van {n}", "load": "1.5", "active": n != 2})
            for n in (1, 2, 3)
        ]
        said = (await checked(world, tmp_path)).json
        assert "vehicle_to_dataverse" in said["transfers"]
        findings = [one for one in said["findings"] if one["file"] == "transfers/postoffice/vehicle.yaml"]
        assert [one for one in findings if one["severity"] == "wrong"] == []
        await world.next_walk()
        world.site.edit("vehicles", made[0]["id"], {"model": "Lorry"})
        await world.next_walk()
        shown = sorted(
            (row["cdock_plate"], row["cdock_name"], row["cdock_active"]) for row in world.crm.rows(TABLE).values()
        )
        assert shown == [("ZH 1", "Lorry", True), ("ZH 2", "Van 2", False), ("ZH 3", "Van 3", True)]
        assert await world.parked("vehicle_to_dataverse") == []


@every
@virtually
async def test_a_column_that_the_list_does_not_have_is_named_with_those_that_may_be_meant(
    site: Sites, tmp_path: Path
) -> None:
    """By the check, and by the transfer, whose changes wait until the file is corrected."""
    async with world_with(
        site, compiled(tmp_path, VEHICLES.replace("postoffice: model", "postoffice: modle"))
    ) as world:
        await make_table(world)
        world.site.create("vehicles", {"plate": "ZH 1", "model": "Van"})
        told = [
            one["sentence"] for one in (await checked(world, tmp_path)).json["findings"] if one["code"] == "CD-4602"
        ]
        assert [one for one in told if "modle" in one] == [
            "postoffice vehicles has no column 'modle'; did you mean model?"
        ]
        world.export()
        await world.pass_time(minutes=20)
        engine = await world.apps[0].engine()
        assert "vehicles has no column 'modle'; did you mean model?" in engine.pipeline.refused["vehicle_to_dataverse"]
        assert len(await world.stores.pending.page("vehicle_to_dataverse", None, 10)) == 1


@virtually
async def test_what_a_text_of_the_list_stands_for_is_said_by_the_site(tmp_path: Path) -> None:
    """Amounts are text in JSON: without a word of the site they are no numbers."""
    options, settings = WHOLE
    said = {**settings, "CROSSDOCK_POSTOFFICE_SITE": '{"lists": {"vehicles": {"load": "amount"}}}'}
    async with world_with((options, said), compiled(tmp_path, VEHICLES)) as world:
        made = world.site.create("vehicles", {"plate": "ZH 1", "load": "1.5"})
        connector = (await world.apps[0].engine()).pipeline.ports.connectors["postoffice"]
        found = await connector.read("vehicles", [made["id"]], ["load", "plate"])
        assert found[made["id"]].values == {"load": Decimal("1.5000"), "plate": "ZH 1"}
