"""What holds for all tests: whether one passes does not depend on how busy the machine is."""

from __future__ import annotations

import gc
import sys
from importlib.util import find_spec

from hypothesis import HealthCheck, settings

settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

if find_spec("sniffio") is None:
    # httpx asks for it at every request to an application in process; a known no is answered without a search on disk
    sys.modules["sniffio"] = None  # type: ignore[assignment]  # the import system's own word for "there is none"


def pytest_collection_finish() -> None:
    """What has been imported stays until the end; the garbage collector need not look at it over and over."""
    gc.collect()
    gc.freeze()
