"""Microsoft's own Python client for Dataverse passes against the sandbox, operation by operation.

It was not written by us and knows nothing of the sandbox: what it does here it does against the real service.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from tests.contract.dataverse_client.install import ensure_client
from tests.contract.dataverse_client.server import CLIENT_ID, SECRET, running

DRIVER: Final = Path(__file__).with_name("driver.py")
Results = Mapping[str, Any]


def refusal(status: int, code: str | None, **more: Any) -> dict[str, Any]:
    """What the client tells of a refusal that came with a request id."""
    told = {"status": status, "service_error_code": code, "transient": False, "traced": True, "retry_after": None}
    return told | more


EXPECTED: Final[Mapping[str, Any]] = {
    "create_one": [["Rossi", 3]],
    "read_one": ["Rossi", True, "Customer", None],
    "update_one": ["0471 1", refusal(404, "0x80040217")],
    "delete_one": [[], refusal(404, "0x80040217")],
    "create_many": [5, ["Mill 1", "Mill 2", "Mill 3", "Mill 4", "Mill 5"]],
    "create_many_with_a_bad_one": [refusal(400, "0x80044331"), 5],
    "create_many_with_a_taken_id": [refusal(412, "0x80040237"), 5],
    "update_many": [["Mill 1", "1", "1"], ["Mill 2", "1", "2"]],
    "delete_many": [30, ["Mill 1", "Mill 2", "Mill 3"]],
    "alternate_key": [True, "cdock_Number", ["accountnumber"], "Active"],
    "upsert_one": [["known", "O'1"]],
    "upsert_many": ["upserted A2", "upserted A3", "upserted O'1"],
    "duplicate_key": refusal(412, "0x80060892"),
    "drop_alternate_key": 0,
    "query": [["Mill 3", "Mill 2"], ["Mill 1", "Mill 2"], 1],
    "pages": [2, 2, 2],
    "fetchxml_pages": [["Mill 1", "Mill 2"], ["Mill 3", "upserted A2"], ["upserted A3", "upserted O'1"]],
    "sql": [["Mill 2", 20.0], ["Mill 3", 30.0]],
    "batch": [[204, 200, 200], ["batched"], 1],
    "change_set": [[204, 204, 204], "Ada Bianchi", [True]],
    "failing_change_set": [400, "0x80044331", 1],
    "batch_that_stops": [[400], 0],
    "bulk_messages_in_a_batch": [[200, 204, 204, 204], 2],
    "tables": [["account"], "accounts", None],
    "create_table": ["new_mills", ["Aurora", "A", 2, "2026-03-02", 2, True]],
    "add_columns": [["new_Text", "new_Weight", "new_Ratio"], "long", 1.25, 0.5],
    "read_columns": [
        [f"new_{name}" for name in ("code", "count", "day", "kind", "name", "old", "ratio", "text", "weight")],
        5,
        "new_Code",
        None,
    ],
    "update_column": 9,
    "remove_columns": [["new_Ratio", "new_Kind"], None],
    "relationships": [
        True,
        ["contact_new_mill_new_Keeper", "new_account_mills", "new_mills_contacts"],
        "new_Keeper",
        None,
    ],
    "files": ["contract.pdf", "large.bin"],
    "batched_definitions": [204, 204, 204],
    "drop_table": None,
    "taken_id": refusal(412, "0x80040237"),
    "throttled": refusal(429, "0x80072322", transient=True, traced=False, retry_after=7),
    "unavailable": refusal(503, None, transient=True, traced=False),
    "foreign_token": refusal(401, "0x80041d50"),
    "lost_answer": 2,
    "unforeseen": [],
}
"""What each operation of the driver ends with. `lost_answer` is the reason why the product has a client of its own: the
official one sends a create again whose answer was lost, and two records are there."""


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """The results of one run of the driver in the client's environment."""
    python = ensure_client()
    with running(tmp_path_factory.mktemp("certificate")) as addresses:
        done = subprocess.run(  # noqa: S603 - our driver, the client's Python
            [str(python), str(DRIVER), addresses.crm, addresses.sign_in, CLIENT_ID, SECRET],
            env={**os.environ, "REQUESTS_CA_BUNDLE": addresses.certificate, "PYTHONPATH": "", "PYTHONUTF8": "1"},
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    return {told["name"]: told.get("result", told.get("error")) for told in map(json.loads, done.stdout.splitlines())}


@pytest.mark.xdist_group("dataverse client")
@pytest.mark.parametrize("name", EXPECTED)
def test_the_official_client_gets_what_it_would_get_from_the_service(results: Results, name: str) -> None:
    """Records single and in bulk, upserts, queries, batches, definitions, files, failures."""
    assert results[name] == EXPECTED[name]


@pytest.mark.xdist_group("dataverse client")
def test_the_official_client_signs_in_for_the_organisation(results: Results) -> None:
    """It asks for the address and nothing else, and no operation is left out of the expectations."""
    (scope,) = results["sign_in"]
    assert scope.startswith("https://127.0.0.1:")
    assert scope.endswith("/.default")
    assert set(results) - set(EXPECTED) == {"sign_in"}
