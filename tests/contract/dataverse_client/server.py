"""A Dataverse sandbox over TLS and its sign-in service, in a process of their own.

    python -m tests.contract.dataverse_client.server FOLDER

Writes a certificate for 127.0.0.1 into the folder, prints the addresses as one line of JSON, posts notices and runs
jobs as they fall due, and ends when its standard input ends. Service protection is off: it would measure waiting.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from sandbox.clock import SystemClock
from sandbox.dataverse import DataverseOptions, DataverseSandbox
from sandbox.server import serve
from sandbox.tokens import TokenIssuer
from tests.bench.transports import free_port

ROOT: Final = Path(__file__).parents[3]
ORGANIZATION: Final = "7d1e7a4c-2b5e-4c58-9a0b-3f6b2d1c8e55"
CLIENT_ID: Final = "11111111-1111-4111-8111-111111111111"
SECRET: Final = "made-up"  # of a sandbox, which is gone after the run


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the organisation and its sign-in service are; `certificate` is the authority to trust."""

    crm: str
    sign_in: str
    certificate: str


def write_certificate(folder: Path) -> Path:
    """Write a certificate that vouches for itself, with its key, and return the file."""
    key, now = ec.generate_private_key(ec.SECP256R1()), SystemClock().now()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "crossdock tests")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    file = folder / "sandbox.pem"
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
    file.write_bytes(made.public_bytes(pem) + private)
    return file


async def run(folder: Path) -> None:
    """Serve until standard input ends."""
    certificate, issuer, port = write_certificate(folder), TokenIssuer(SystemClock()), free_port()
    issuer.register(CLIENT_ID, SECRET)
    options = DataverseOptions(
        limits=False,
        key_index_seconds=0,
        bulk_delete_seconds=0,
        application_users=(CLIENT_ID,),
    )
    sandbox = DataverseSandbox(
        base_url=f"https://127.0.0.1:{port}",
        organization_id=ORGANIZATION,
        clock=SystemClock(),
        issuer=issuer,
        options=options,
    )
    served, sign_in = await serve(sandbox.app, port, certificate), await serve(issuer.app)
    jobs = asyncio.ensure_future(sandbox.run_deliveries())
    address = f"{sign_in.url}/{issuer.tenant_id}/oauth2/v2.0/token"
    print(json.dumps(asdict(Addresses(served.url, address, str(certificate)))), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    jobs.cancel()
    with suppress(asyncio.CancelledError):
        await jobs
    for one in (served, sign_in):
        await one.stop()
    await sandbox.aclose()


@contextmanager
def running(folder: Path) -> Iterator[Addresses]:
    """Within it the other process serves."""
    command = [sys.executable, "-m", "tests.contract.dataverse_client.server", str(folder)]
    with subprocess.Popen(  # noqa: S603 # our own module
        command,
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None, "asked for above"
        assert process.stdout is not None, "asked for above"
        try:
            yield Addresses(**json.loads(process.stdout.readline()))
        finally:
            process.stdin.close()
            process.wait(30)


if __name__ == "__main__":
    asyncio.run(run(Path(sys.argv[1])))
