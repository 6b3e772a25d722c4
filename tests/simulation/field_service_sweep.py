"""The crash sweep over field service's transfers.

    python -m tests.simulation.field_service_sweep [part of a story's name]

`python -m tests.simulation.sweep` runs it, too. Exit code 0: every point ended right; 1: the points named did not; 2:
no story has this in its name.
"""

from __future__ import annotations

import sys

from tests.simulation.field_service_stories import STORIES
from tests.simulation.site_sweep import run

if __name__ == "__main__":
    sys.exit(run(STORIES))
