"""How the Azure store proves who it is: by key, by shared access signature, by an identity's token."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import web
from azure.core.credentials import AzureNamedKeyCredential
from azure.data.tables import AccountSasPermissions, ResourceTypes, generate_account_sas

from shared.identity import TokenRefused, TokenServiceDown
from shared.stores.azure_access import Account, IdentityAccess, by_connection_string
from shared.stores.azure_rows import AzureRows
from shared.stores.rows import Insert, RowInvalid, RowStoreRefused, RowStoreUnavailable
from tests.azurite.door import refusal, served
from tests.contract.stores.azure_fakes import ImpatientClock, batch_answer, entity, part
from tests.contract.stores.conftest import TABLES, fresh_prefix

KEY = "a2V5"


# --- keys and signatures ---


async def test_another_key_than_the_accounts_is_refused(azurite: str) -> None:
    """For good: trying again is no use."""
    name, _, rest = azurite.partition("AccountKey=")
    wrong = f"{name}AccountKey={KEY};{rest.partition(';')[2]}"
    rows = AzureRows.from_connection_string(wrong, TABLES, prefix=fresh_prefix())
    with pytest.raises(RowStoreRefused, match="403"):
        await rows.get("links", "p", "k")
    await rows.aclose()


async def test_a_shared_access_signature_is_permission_enough(azurite: str) -> None:
    """For single rows, lists and transactions; whatever it does not permit is refused."""
    known = dict(part.split("=", 1) for part in azurite.strip(";").split(";"))
    prefix = fresh_prefix()
    owner = AzureRows.from_connection_string(azurite, TABLES, prefix=prefix)
    await owner.prepare()
    await owner.aclose()
    signature = generate_account_sas(
        AzureNamedKeyCredential(known["AccountName"], known["AccountKey"]),
        ResourceTypes(service=True, container=True, object=True),
        AccountSasPermissions(read=True, add=True, update=True, list=True),
        datetime.now(UTC) + timedelta(hours=1),
    )
    text = f"TableEndpoint={known['TableEndpoint']};SharedAccessSignature=?{signature}"
    async with aclosing(AzureRows.from_connection_string(text, TABLES, prefix=prefix)) as rows:
        await _use(rows)


async def _use(rows: AzureRows) -> None:
    etag = await rows.insert("links", "p|1", "k|1", {"n": 1})
    await rows.replace("links", "p|1", "k|1", {"n": 2}, etag)
    await rows.transact("links", "p|1", [Insert("k|2", {"n": 3})])
    assert [row.properties for row in (await rows.list("links", "p|1", key_prefix="k")).rows] == [{"n": 2}, {"n": 3}]
    with pytest.raises(RowStoreRefused):
        await rows.delete("links", "p|1", "k|1")


@pytest.mark.parametrize(
    ("text", "origin", "path"),
    [
        (f"AccountName=nordwind;AccountKey={KEY}", "https://nordwind.table.core.windows.net", ""),
        (
            f"DefaultEndpointsProtocol=https;AccountName=nordwind;AccountKey={KEY};EndpointSuffix=core.chinacloudapi.cn",
            "https://nordwind.table.core.chinacloudapi.cn",
            "",
        ),
        (
            f" accountname=nordwind; ACCOUNTKEY={KEY}; TableEndpoint=https://nordwind.z1.table.storage.azure.net/; ",
            "https://nordwind.z1.table.storage.azure.net",
            "",
        ),
        ("UseDevelopmentStorage=true", "http://127.0.0.1:10002", "/devstoreaccount1"),
        (
            "TableEndpoint=https://nordwind.table.core.windows.net;SharedAccessSignature=sv=2020-12-06&sig=x%3D",
            "https://nordwind.table.core.windows.net",
            "",
        ),
        (
            "BlobEndpoint=https://b;SharedAccessSignature=sig=x;AccountName=nordwind",
            "https://nordwind.table.core.windows.net",
            "",
        ),
    ],
)
def test_a_connection_string_names_the_address(text: str, origin: str, path: str) -> None:
    """In every form that the portal and the emulator give out."""
    account = by_connection_string(text)
    assert (account.origin, account.path) == (origin, path)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ";",
        "secret",
        "AccountKey=c2VjcmV0",
        "AccountName=a;AccountKey",
        "AccountName=a;AccountKey=",
        "AccountName=a;AccountKey=c2VjcmV0!",
        "AccountName=a;AccountName=b;AccountKey=c2VjcmV0",
        "AccountName=c2VjcmV0",
        "SharedAccessSignature=c2VjcmV0",
    ],
)
def test_a_malformed_connection_string_is_refused_without_telling_it(text: str) -> None:
    """It holds a key."""
    with pytest.raises(RowInvalid, match="connection string") as raised:
        by_connection_string(text)
    assert "c2VjcmV0" not in str(raised.value)
    assert "c2VjcmV0" not in repr(raised.value.__cause__)


@pytest.mark.parametrize(
    "text",
    [
        f"DefaultEndpointsProtocol=http;AccountName=nordwind;AccountKey={KEY}",
        f"AccountName=a;AccountKey={KEY};TableEndpoint=http://storage.example/a",
        f"AccountName=a;AccountKey={KEY};TableEndpoint=https://storage.example/a?sig=c2VjcmV0",
        f"AccountName=a;AccountKey={KEY};TableEndpoint=ftp://127.0.0.1/a",
    ],
)
def test_an_address_without_encryption_is_refused_unless_it_is_this_machine(text: str) -> None:
    """Rows hold what links say about people and companies, and a shared access signature stands in the address."""
    with pytest.raises(RowInvalid, match="https") as raised:
        by_connection_string(text)
    assert "c2VjcmV0" not in str(raised.value)


def test_neither_key_nor_signature_shows_in_a_representation() -> None:
    """Such as in the text of a failed assertion or a debugger's line in a log."""
    for text in ("AccountName=a;AccountKey=c2VjcmV0", "AccountName=a;SharedAccessSignature=sig=c2VjcmV0"):
        shown = repr(by_connection_string(text))
        assert "c2VjcmV0" not in shown
        assert "secret" not in shown


# --- identities ---


class Tokens:
    """Gives one token after another; asked again only when one was refused."""

    def __init__(self, *tokens: str | Exception) -> None:
        self._tokens = list(tokens)
        self.refused: list[str | None] = []

    async def token(self, scope: str, *, refused: str | None = None) -> str:
        assert scope == "https://storage.azure.com/.default"
        self.refused.append(refused)
        token = self._tokens[0]
        if refused is not None and refused == token and len(self._tokens) > 1:
            token = self._tokens.pop(0) and self._tokens[0]
        if isinstance(token, Exception):
            raise token
        return token

    async def aclose(self) -> None:
        """Nothing to close."""


@asynccontextmanager
async def storage_for(tokens: Tokens, good: str) -> AsyncIterator[tuple[AzureRows, list[str]]]:
    """A store whose account takes one token only, and the Authorization headers that it saw."""
    seen: list[str] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        await request.read()
        seen.append(request.headers.get("Authorization", ""))
        if seen[-1] != f"Bearer {good}":
            return refusal(401, "InvalidAuthenticationInfo")
        if request.path.endswith("$batch"):
            return batch_answer([part("204 No Content", "ETag: new")])
        return web.json_response(entity())

    async with served(answer) as server:
        origin = str(server.make_url("")).rstrip("/")
        rows = AzureRows(Account(origin, "", IdentityAccess(tokens)), TABLES, clock=ImpatientClock())
        try:
            yield rows, seen
        finally:
            await rows.aclose()


async def test_a_token_goes_with_every_request() -> None:
    """Also with transactions."""
    async with storage_for(Tokens("one"), "one") as (rows, seen):
        assert await rows.get("links", "p|1", "k|1") is not None
        assert await rows.transact("links", "p|1", [Insert("k|2", {})]) == ["new"]
    assert seen == ["Bearer one", "Bearer one"]


async def test_a_refused_token_is_changed_once_for_another() -> None:
    """Tokens can be revoked before they expire; the service did nothing, so a write may be sent again, too."""
    tokens = Tokens("old", "new")
    async with storage_for(tokens, "new") as (rows, seen):
        assert await rows.transact("links", "p|1", [Insert("k|2", {})]) == ["new"]
    assert seen == ["Bearer old", "Bearer new"]
    assert tokens.refused == [None, "old"]


async def test_an_identity_that_the_account_does_not_take_is_refused() -> None:
    """After one other token, and at once where there is none."""
    async with storage_for(Tokens("old", "new"), "another") as (rows, seen):
        with pytest.raises(RowStoreRefused, match="role"):
            await rows.get("links", "p|1", "k|1")
    assert seen == ["Bearer old", "Bearer new"]
    async with storage_for(Tokens("only"), "another") as (rows, seen):
        with pytest.raises(RowStoreRefused, match="role"):
            await rows.get("links", "p|1", "k|1")
    assert seen == ["Bearer only"]


@pytest.mark.parametrize(
    ("failure", "expected", "said"),
    [
        (TokenRefused("AADSTS700016"), RowStoreRefused, "identity"),
        (TokenServiceDown("no answer"), RowStoreUnavailable, "sign-in"),
    ],
)
async def test_without_a_token_nothing_is_sent(failure: Exception, expected: type[Exception], said: str) -> None:
    """An identity that cannot sign in is refused, and whom to ask about it; a sign-in service that is away comes
    back."""
    async with storage_for(Tokens(failure), "any") as (rows, seen):
        with pytest.raises(expected, match=said):
            await rows.get("links", "p|1", "k|1")
    assert seen == []


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:10002/account", "account.table.core.windows.net", ""])
def test_an_endpoint_without_encryption_is_refused(endpoint: str) -> None:
    """An identity's token never travels in the open, not even on this machine."""
    with pytest.raises(RowInvalid, match="https"):
        AzureRows.from_endpoint(endpoint, Tokens(), TABLES)
