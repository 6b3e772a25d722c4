"""The field service of a run on this machine: an FSM server, an environment of IFS Cloud, and the settings for them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from local.run_installation import Installation
from sandbox.clock import SystemClock
from sandbox.field_service.options import FsmOptions, IfsCloudOptions
from sandbox.field_service.sandbox import FieldServiceSandbox, FsmSandbox, IfsCloudSandbox
from sandbox.tokens import TokenIssuer
from shared.settings import FsmSettings, IfsCloudSettings

FSM: Final = FsmSettings.system
IFS_CLOUD: Final = IfsCloudSettings.system
KINDS: Final = (FSM, IFS_CLOUD)
USER: Final = "crossdock"
NAMESPACE: Final = "crossdock"
CLIENT: Final = "CROSSDOCK"


def start(kind: str, state: Path, own: Installation, issuer: TokenIssuer) -> FieldServiceSandbox:
    """The sandbox of a kind, with our identity known to it."""
    clock, persist = SystemClock(), state / f"{kind}.sqlite"
    if kind == FSM:
        fsm = FsmOptions(user=USER, password=own.fsm_password)
        return FsmSandbox(clock=clock, issuer=issuer, persist=persist, options=fsm)
    ifs = IfsCloudOptions(namespace=NAMESPACE, clients={CLIENT: own.ifs_cloud_secret})
    return IfsCloudSandbox(clock=clock, issuer=issuer, persist=persist, options=ifs)


def settings(kind: str, own: Installation, url: str) -> Mapping[str, str]:
    """The settings of an installation whose field service is at this address."""
    if kind == FSM:
        return {
            "CROSSDOCK_FSM_SANDBOX_URL": url,
            "CROSSDOCK_FSM_SIGN_IN": "basic",
            "CROSSDOCK_FSM_IDENTITIES": f"{USER}:{own.fsm_password}",
            "CROSSDOCK_FSM_WEBHOOK_SECRET": own.fsm_webhook_secret,
        }
    return {
        "CROSSDOCK_IFS_CLOUD_SANDBOX_URL": url,
        "CROSSDOCK_IFS_CLOUD_NAMESPACE": NAMESPACE,
        "CROSSDOCK_IFS_CLOUD_IDENTITIES": f"{CLIENT}:{own.ifs_cloud_secret}",
        "CROSSDOCK_IFS_CLOUD_WEBHOOK_SECRET": own.ifs_cloud_webhook_secret,
    }


def tell(kind: str, sandbox: FieldServiceSandbox, functions: str, environment: Mapping[str, str]) -> None:
    """Let the sandbox post every change to the functions, as event actions and outbound messages do."""
    secret = environment[f"CROSSDOCK_{kind.upper()}_WEBHOOK_SECRET"]
    sandbox.tell(f"{functions}/api/fsm/outbound", secret, every=True)


def keys(own: Installation) -> Mapping[str, Mapping[str, str]]:
    """What other programs need to sign in there."""
    return {
        FSM: {"user": USER, "password": own.fsm_password},
        IFS_CLOUD: {"client_id": CLIENT, "client_secret": own.ifs_cloud_secret},
    }


def run_file(urls: Mapping[str, str]) -> Mapping[str, str] | None:
    """Where IFS Cloud gives out tokens and has its projections."""
    if IFS_CLOUD not in urls:
        return None
    url = urls[IFS_CLOUD]
    return {
        "sign_in": f"{url}/auth/realms/{NAMESPACE}/protocol/openid-connect/token",
        "projections": f"{url}/{IfsCloudOptions().base}",
    }
