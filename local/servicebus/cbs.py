"""Who may use the endpoint: shared access signatures put to `$cbs`, or SASL PLAIN with the key itself.

Sources: Microsoft Learn, "AMQP 1.0 in Azure Service Bus and Event Hubs protocol guide" (claims-based security) and
"Service Bus access control with shared access signatures".
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, unquote

from local.servicebus.codec import Int
from local.servicebus.errors import Condition, Refusal
from local.servicebus.messages import Answer, Request

_PREFIX = "SharedAccessSignature "


def path_of(address: str) -> str:
    """An address without scheme, host and outer slashes, in lower case: how names are compared."""
    _, found, rest = address.partition("://")
    if found:
        _, _, address = rest.partition("/")
    return address.strip("/").lower()


@dataclass(frozen=True, slots=True)
class Grant:
    """The right to use everything at or below `path`, until `expires` (seconds since 1970)."""

    path: str
    expires: float

    def covers(self, path: str, now_seconds: float) -> bool:
        """Whether the grant allows the use of `path` now."""
        inside = self.path in ("", path) or path.startswith(self.path + "/")
        return inside and now_seconds < self.expires


class Authority:
    """Checks tokens and keys against the endpoint's one access rule, which may send, listen and manage."""

    def __init__(self, key_name: str, key: str, now_seconds: Callable[[], float]) -> None:
        self._key_name = key_name
        self._key = key
        self._now_seconds = now_seconds

    def now_seconds(self) -> float:
        """The time that expiries of tokens are compared with."""
        return self._now_seconds()

    def check_plain(self, response: bytes) -> bool:
        """Whether a SASL PLAIN response holds the rule's name and key."""
        parts = response.split(b"\0")
        if len(parts) != 3:
            return False
        return _same(parts[1], self._key_name.encode()) & _same(parts[2], self._key.encode())

    def check_token(self, token: str) -> Grant:
        """Check a shared access signature; raises Refusal (unauthorized) when it does not hold.

        The kind of token is told by its beginning: the Python client names every token `jwt`.
        """
        if not token.startswith(_PREFIX):
            raise _unauthorized("only shared access signatures are accepted here; use a connection string with a key")
        fields = dict(parse_qsl(token.removeprefix(_PREFIX), keep_blank_values=True))
        raw = _raw_field(token.removeprefix(_PREFIX), "sr")
        expiry = fields.get("se", "")
        signature = _sign(self._key, f"{raw}\n{expiry}")
        known = _same(fields.get("skn", "").encode(), self._key_name.encode())
        if not (_same(fields.get("sig", "").encode(), signature.encode()) & known):
            raise _unauthorized("the signature does not fit; check name and key of the connection string")
        expires = float(expiry) if expiry.isdecimal() and len(expiry) < 16 else 0.0
        if expires <= self._now_seconds():
            raise _unauthorized("the token has expired; check the clock of this machine")
        return Grant(path_of(unquote(raw)), expires)


def sas_token(uri: str, key_name: str, key: str, expires: int) -> str:
    """Sign a token for `uri` that holds until `expires` (seconds since 1970)."""
    resource = quote(uri, safe="")
    signature = quote(_sign(key, f"{resource}\n{expires}"), safe="")
    return f"{_PREFIX}sr={resource}&sig={signature}&se={expires}&skn={quote(key_name, safe='')}"


def _sign(key: str, text: str) -> str:
    return base64.b64encode(hmac.new(key.encode(), text.encode(), hashlib.sha256).digest()).decode()


def _raw_field(query: str, name: str) -> str:
    """A field as it was sent: the signature covers the encoded resource, and encoders differ in case."""
    return next((part.partition("=")[2] for part in query.split("&") if part.startswith(f"{name}=")), "")


def _same(left: bytes, right: bytes) -> bool:
    return hmac.compare_digest(left, right)


def _unauthorized(text: str) -> Refusal:
    return Refusal(Condition.UNAUTHORIZED, text)


def put_token(
    authority: Authority, exists: Callable[[str], bool], request: Request, grants: dict[str, Grant]
) -> Answer:
    """Answer a request to `$cbs`: remember the grant for its audience, or say 401 or 404 or 400.

    A missing queue is told here already, as the service does: the Python client then raises an authentication error.
    """
    operation, audience, token = request.properties.get("operation"), request.properties.get("name"), request.body
    if operation != "put-token" or not isinstance(audience, str) or not isinstance(token, str):
        return _answer(400, "expected put-token with a name and a token as text")
    try:
        grant = authority.check_token(token)
    except Refusal as refusal:
        return _answer(401, refusal.description)
    path = path_of(audience)
    if not grant.covers(path, authority.now_seconds()):
        return _answer(401, "the token was signed for another address")
    if path and not exists(path):
        return _answer(404, "there is no queue of this name; name it in the configuration")
    grants[path] = Grant(path, grant.expires)
    return _answer(202, "Accepted")


def _answer(status: int, text: str) -> Answer:
    return Answer({"status-code": Int(status), "status-description": text}, None)
