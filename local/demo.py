"""`manage.py demo`: start everything in a fresh folder, move records through the real functions, say what moved, why.

Four stories, one after the other, each in a process of its own: accounts and the ERP, the CRM and PostOffice, the CRM
and the Sales Cockpit, the CRM and field service. Exit codes: 0 everything went as told, 1 something did not, 2 a story
could not start.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from typing import Final

STORIES: Final = (
    "local.demo_customers",
    "local.demo_postoffice",
    "local.demo_sales_cockpit",
    "local.demo_field_service",
)


def main(arguments: Sequence[str]) -> int:
    """Tell all stories; each is told whatever became of those before."""
    return max(subprocess.call([sys.executable, "-m", story, *arguments]) for story in STORIES)  # noqa: S603 - our own programs


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
