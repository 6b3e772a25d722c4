"""The crash sweep over PostOffice's transfers.

    python -m tests.simulation.postoffice_sweep [part of a story's name]

`python -m tests.simulation.sweep` runs it, too. Exit code 0: every point ended right; 1: the points named did not; 2:
no story has this in its name.
"""

from __future__ import annotations

import sys

from tests.simulation.postoffice_stories import STORIES
from tests.simulation.site_sweep import request_by_request, run

EVERY = [*STORIES, *map(request_by_request, STORIES)]

if __name__ == "__main__":
    sys.exit(run(EVERY))
