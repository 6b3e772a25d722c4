"""How a request to Azure Table storage proves that it may: by account key, shared access signature or identity.

Facts are from Microsoft Learn, "Authorize with Shared Key", "Configure Azure Storage connection strings" and
"Authorize access to tables using Microsoft Entra ID".
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol
from urllib.parse import urlsplit

from shared.errors import SettingsError
from shared.identity import TokenRefused, TokenServiceDown, TokenSource, require_safe
from shared.stores.rows import RowInvalid, RowStoreRefused, RowStoreUnavailable

_SCOPE: Final = "https://storage.azure.com/.default"
_SUFFIX: Final = "core.windows.net"
_EMULATOR: Final = (
    "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey=Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSR"
    "Z6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==;TableEndpoint=http://127.0.0.1:10002/devstoreaccount1"
)
"""What `UseDevelopmentStorage=true` stands for; the key is the same on every machine (Microsoft Learn, "Use the
Azurite emulator")."""


@dataclass(frozen=True, slots=True)
class Signable:
    """What of a request a key signs. path: as it is sent, with the account's own path before it."""

    method: str
    path: str
    content_type: str
    date: str


class Access(Protocol):
    """Permission to use one storage account."""

    @property
    def query(self) -> str:
        """What every address carries; empty for most."""
        ...

    async def authorization(self, request: Signable, refused: str = "") -> str:
        """The Authorization header; empty for none.

        `refused` is one that the service has just answered with 401: the answer differs if there is another to be
        had. Raises RowStoreRefused and RowStoreUnavailable.
        """
        ...


@dataclass(frozen=True, slots=True)
class AccountKey:
    """Signs each request with the account's key."""

    account: str
    key: bytes = field(repr=False)
    query: str = ""

    async def authorization(self, request: Signable, refused: str = "") -> str:
        """Sign method, type, date and path ("Table service (Shared Key authorization)")."""
        signed = f"{request.method}\n\n{request.content_type}\n{request.date}\n/{self.account}{request.path}"
        signature = base64.b64encode(hmac.digest(self.key, signed.encode("ascii"), "sha256")).decode("ascii")
        return f"SharedKey {self.account}:{signature}"


@dataclass(frozen=True, slots=True)
class SharedAccessSignature:
    """Permission that stands in the address."""

    query: str = field(repr=False)

    async def authorization(self, request: Signable, refused: str = "") -> str:
        """None."""
        return ""


class IdentityAccess:
    """Tokens of an identity that has the role Storage Table Data Contributor."""

    query = ""

    def __init__(self, tokens: TokenSource) -> None:
        self._tokens = tokens

    async def authorization(self, request: Signable, refused: str = "") -> str:
        """A bearer token, another than the refused one."""
        try:
            return f"Bearer {await self._tokens.token(_SCOPE, refused=refused.removeprefix('Bearer ') or None)}"
        except TokenRefused:
            raise RowStoreRefused(
                "no sign-in for the store; check the identity and its role on the storage account"
            ) from None
        except TokenServiceDown:
            raise RowStoreUnavailable("the sign-in service does not answer") from None


@dataclass(frozen=True, slots=True)
class Account:
    """A storage account's table service: where it is and by what right. path: before every table, empty in Azure."""

    origin: str
    path: str
    access: Access


def by_identity(endpoint: str, tokens: TokenSource) -> Account:
    """The account at `https://<account>.table.core.windows.net`; RowInvalid for an address without encryption."""
    if not endpoint.startswith("https://"):
        raise RowInvalid("the endpoint of the store must begin with https://, else the identity's token is not sent")
    return _account(endpoint, IdentityAccess(tokens))


def by_connection_string(text: str) -> Account:
    """The account that a connection string names, with its key or its shared access signature.

    Raises RowInvalid, which never holds a part of the text.
    """
    known = _settings(_EMULATOR if text.strip().lower() == "usedevelopmentstorage=true" else text)
    access = _access(known)
    if access is None:
        raise _malformed()
    return _account(_endpoint(known), access)


def _settings(text: str) -> Mapping[str, str]:
    parts = [part.strip().partition("=") for part in text.strip().strip(";").split(";")]
    known = {name.lower(): value for name, _, value in parts}
    if len(known) != len(parts) or not all(name and value for name, value in known.items()):
        raise _malformed()
    return known


def _access(known: Mapping[str, str]) -> Access | None:
    account, key = known.get("accountname"), known.get("accountkey")
    if account and key:
        try:
            return AccountKey(account, base64.b64decode(key, validate=True))
        except binascii.Error:
            return None
    signature = known.get("sharedaccesssignature", "").lstrip("?")
    return SharedAccessSignature(signature) if signature else None


def _endpoint(known: Mapping[str, str]) -> str:
    if endpoint := known.get("tableendpoint"):
        return endpoint
    if "accountname" not in known:
        raise _malformed()
    protocol, suffix = known.get("defaultendpointsprotocol", "https"), known.get("endpointsuffix", _SUFFIX)
    return f"{protocol}://{known['accountname']}.table.{suffix}"


def _account(endpoint: str, access: Access) -> Account:
    try:
        require_safe(endpoint, "the address of the store")
    except SettingsError as error:
        raise RowInvalid(str(error)) from None
    parts = urlsplit(endpoint)
    return Account(f"{parts.scheme}://{parts.netloc}", parts.path.rstrip("/"), access)


def _malformed() -> RowInvalid:
    return RowInvalid("the connection string of the store is malformed; copy it again from the portal")
