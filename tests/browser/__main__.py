"""`python -m tests.browser` sees to a browser ahead of the tests, so that the first of them does not wait for it."""

from __future__ import annotations

import sys

from tests.browser.chromium import ChromiumMissing, ensure_chromium

if __name__ == "__main__":
    try:
        sys.stdout.write(f"The browser is ready: {ensure_chromium()}\n")
    except ChromiumMissing as error:
        sys.exit(str(error))
