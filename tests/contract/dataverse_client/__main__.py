"""`python -m tests.contract.dataverse_client` installs Microsoft's client ahead of the tests."""

from __future__ import annotations

import sys

from tests.contract.dataverse_client.install import ClientMissing, ensure_client

if __name__ == "__main__":
    try:
        sys.stdout.write(f"Microsoft's client for Dataverse is ready: {ensure_client()}\n")
    except ClientMissing as error:
        sys.exit(str(error))
