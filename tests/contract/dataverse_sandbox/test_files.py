"""File columns: whole uploads, uploads in blocks, reading back."""

from __future__ import annotations

from pathlib import Path

from tests.contract.dataverse_sandbox.conftest import Build, Organisation
from tests.contract.dataverse_sandbox.test_customizing import column

ATTRIBUTES = "/EntityDefinitions(LogicalName='account')/Attributes"
BINARY = {"Content-Type": "application/octet-stream"}


async def row_with_file_column(org: Organisation) -> str:
    """An account in a table that has a file column."""
    await org.client.post(ATTRIBUTES, json=column("File", "new_Contract"))
    return await org.create(name="Rossi")


async def test_a_file_is_uploaded_whole_and_read_back(build: Build, tmp_path: Path) -> None:
    """The row holds id and name; the file survives a restart."""
    org = build(persist=tmp_path / "dataverse.sqlite")
    row_id = await row_with_file_column(org)
    address = f"/accounts({row_id})/new_contract"
    assert (await org.client.get(f"{address}/$value")).status_code == 204
    headers = {**BINARY, "x-ms-file-name": "contract.pdf"}
    assert (await org.client.patch(address, content=b"%PDF", headers=headers)).status_code == 204
    again = build(persist=tmp_path / "dataverse.sqlite")
    row = (await again.client.get(f"/accounts({row_id})?$select=new_contract,new_contract_name")).json()
    assert (row["new_contract_name"], row["new_contract"] is None) == ("contract.pdf", False)
    assert (await again.client.get(f"{address}/$value")).content == b"%PDF"
    assert (await org.client.patch(f"/accounts({row_id})", json={"new_contract": row_id})).status_code == 400


async def test_a_file_is_uploaded_in_blocks(org: Organisation) -> None:
    """206 for each block but the last, 204 for that; a block out of turn is refused."""
    row_id = await row_with_file_column(org)
    address = f"/accounts({row_id})/new_contract"
    begun = await org.client.patch(f"{address}?x-ms-file-name=big.bin", headers={"x-ms-transfer-mode": "chunked"})
    assert (begun.status_code, begun.headers["x-ms-chunk-size"]) == (200, "4194304")
    place = begun.headers["Location"]
    for content, part, status in (
        (b"abc", "bytes 0-2/5", 206),
        (b"xx", "bytes 0-1/5", 400),
        (b"de", "bytes 3-4/5", 204),
        (b"de", "bytes 3-4/5", 400),
    ):
        answer = await org.client.patch(place, content=content, headers={**BINARY, "Content-Range": part})
        assert answer.status_code == status
    assert (await org.client.get(f"{address}/$value")).content == b"abcde"


async def test_a_file_without_a_name_or_of_another_kind_is_refused(org: Organisation) -> None:
    """The name comes by header or query, the content as bytes."""
    row_id = await row_with_file_column(org)
    address = f"/accounts({row_id})/new_contract"
    assert (await org.client.patch(address, content=b"x", headers=BINARY)).status_code == 400
    assert (await org.client.patch(address, json={}, headers={"x-ms-file-name": "x"})).status_code == 415
    assert (await org.client.delete(address)).status_code == 501
    assert (await org.client.get(f"/accounts({row_id})/new_nothing/$value")).status_code == 501
