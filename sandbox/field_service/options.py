"""What an installation of field service offers, and how it words things."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Auth(StrEnum):
    """How one signs in at an FSM server."""

    BASIC = "basic"
    OAUTH2 = "oauth2"
    API_KEY = "api_key"


@dataclass(frozen=True)
class FsmOptions:
    """One FSM server. versions: rows have ETags, and queries tell them. zone: of its times. flags: yes and no.

    auth: user and password, or `api_key` in `api_key_header`, or a token of the sign-in sandbox for `audience`.
    paths: paths that it words otherwise than the contract. denied: tables that the interface may not see.
    requests_per_minute: 0 is no limit.
    """

    versions: bool = True
    versions_in_queries: bool = True
    zone: str = "UTC"
    flags: tuple[str, str] = ("Y", "N")
    auth: Auth = Auth.BASIC
    user: str = "crossdock"
    password: str = "open-sesame"  # noqa: S105 # of a sandbox
    api_key_header: str = "X-Api-Key"
    api_key: str = "open-sesame"
    audience: str = "api://fsm"
    paths: Mapping[str, str] = field(default_factory=dict)
    denied: frozenset[str] = frozenset()
    requests_per_minute: int = 0


@dataclass(frozen=True)
class IfsCloudOptions:
    """One environment of IFS Cloud. namespace: the realm of its sign-in; clients: who may sign in, with secrets.

    base: path of the projections. denied: tables whose projection is not granted to us. token_seconds: how long a
    token is good. longest_address: of a request with its query; 0 is no limit, as for requests_per_minute.
    """

    namespace: str = "example"
    clients: Mapping[str, str] = field(default_factory=lambda: {"CROSSDOCK": "open-sesame"})
    base: str = "main/ifsapplications/projection/v1"
    token_seconds: int = 180
    denied: frozenset[str] = frozenset()
    requests_per_minute: int = 0
    longest_address: int = 8000
