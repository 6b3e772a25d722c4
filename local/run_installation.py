"""What one installation on this machine keeps for itself: made-up ids, random secrets and keys, readable by its
owner only."""

from __future__ import annotations

import base64
import json
import os
import secrets
import sqlite3
import uuid
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Final

FILE: Final = "installation.json"
RUN_FILE: Final = "run.json"
LOCK_FILE: Final = "run.lock"
STATE: Final = (
    "servicebus.sqlite",
    "dataverse.sqlite",
    "business_central.sqlite",
    "postoffice.sqlite",
    "sales_cockpit.sqlite",
    "fsm.sqlite",
    "ifs_cloud.sqlite",
    "store.sqlite",
    "timers.json",
)
"""The files that hold what moved; `--fresh` removes them."""
LATER: Final = frozenset(
    {
        "post_key",
        "api_client",
        "api_secret",
        "cockpit_client",
        "cockpit_secret",
        "fsm_password",
        "fsm_webhook_secret",
        "ifs_cloud_secret",
        "ifs_cloud_webhook_secret",
    }
)
"""What folders of earlier versions do not have yet."""


def _guid() -> str:
    return str(uuid.uuid4())


def _secret() -> str:
    return secrets.token_urlsafe(32)


def _key() -> str:
    return f"k1:{base64.b64encode(secrets.token_bytes(32)).decode('ascii')}"


def _new(make: Callable[[], str]) -> str:
    value: str = field(default_factory=make, repr=False)
    return value


@dataclass(frozen=True)
class Installation:
    """Ids and secrets of the sandboxes, the doors, the queue and the store."""

    organization_id: str = _new(_guid)
    company_id: str = _new(_guid)
    crm_client: str = _new(_guid)
    erp_client: str = _new(_guid)
    crm_secret: str = _new(_secret)
    erp_secret: str = _new(_secret)
    post_key: str = _new(_secret)
    api_client: str = _new(_guid)
    api_secret: str = _new(_secret)
    cockpit_client: str = _new(_guid)
    cockpit_secret: str = _new(_secret)
    fsm_password: str = _new(_secret)
    fsm_webhook_secret: str = _new(_secret)
    ifs_cloud_secret: str = _new(_secret)
    ifs_cloud_webhook_secret: str = _new(_secret)
    webhook_secret: str = _new(_secret)
    path_secret: str = _new(_secret)
    client_state: str = _new(_secret)
    operator_key: str = _new(_secret)
    functions_key: str = _new(_secret)
    service_bus_key: str = _new(_secret)
    fingerprint_key: str = _new(_key)


def open_installation(folder: Path) -> Installation:
    """Read the installation of a folder, or make it. Raises ValueError naming the file when it cannot be read."""
    path = folder / FILE
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        write_private(path, asdict(Installation()))
    try:
        kept = json.loads(path.read_bytes())
        if missing := LATER - kept.keys():  # made by an earlier version
            kept |= {name: value for name, value in asdict(Installation()).items() if name in missing}
            write_private(path, kept)
        return Installation(**{one.name: str(kept[one.name]) for one in fields(Installation)})
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ValueError(f"{path} cannot be read; mend it, or remove it together with the folder's state") from None


def write_private(path: Path, content: Mapping[str, object]) -> None:
    """Write JSON that only its owner can read; there is never half a file under the name."""
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(json.dumps(content, indent=1) + "\n")
    unfinished.replace(path)


def what_runs(state: Path) -> dict[str, Any] | None:
    """What `run.json` of a folder says while its run is up; None when nothing runs there, also after a kill."""
    try:
        told: dict[str, Any] = json.loads((state / RUN_FILE).read_bytes())
    except (OSError, ValueError):
        return None
    with closing(sqlite3.connect(state / LOCK_FILE, timeout=0, isolation_level=None)) as lock:
        try:
            lock.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError:
            return told
    return None


def forget(folder: Path) -> None:
    """Remove what a run has kept of records, links and messages; the installation's ids and keys stay."""
    for name in STATE:
        for suffix in ("", "-wal", "-shm", "-journal"):
            (folder / f"{name}{suffix}").unlink(missing_ok=True)
