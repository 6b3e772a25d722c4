"""`python -m tests.azurite` installs Azurite ahead of the tests, so that the first run does not wait for it."""

from __future__ import annotations

import sys

from tests.azurite.install import AzuriteMissing, ensure_azurite

if __name__ == "__main__":
    try:
        sys.stdout.write(f"Azurite is ready: {ensure_azurite()}\n")
    except AzuriteMissing as error:
        sys.exit(str(error))
