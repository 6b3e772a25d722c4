#!/usr/bin/env python3
"""The one command of Crossdock: `python3 manage.py demo`, `run`, `test`, and those that work on an installation.

It needs Python 3.11 or newer and nothing else: it makes a virtual environment beside itself (another place by the
environment variable CROSSDOCK_VENV), installs the pinned packages that the command needs, checked by their hashes,
and runs the command in it. `python3 manage.py --help` lists the commands.
"""

import sys

OLDEST = (3, 11)

if sys.version_info < OLDEST:  # before any import that an older Python could stumble over
    sys.exit(
        "Crossdock needs Python 3.11 or newer; this is {}.{}. Install one from python.org or with your system's "
        "packages and run it with that, for example: python3.13 manage.py demo".format(*sys.version_info)
    )

from local.bootstrap import main  # noqa: E402 - not before the version is known to be new enough

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
