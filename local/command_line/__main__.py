"""`python -m local.command_line <command>`; `manage.py` starts it so."""

from __future__ import annotations

import sys

from local.command_line.running import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
