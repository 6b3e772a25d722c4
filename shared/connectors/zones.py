"""Times without a zone, as systems write them that know only the clock on their wall.

A time that the clock skips in spring counts as the moment when it would have been without the skip; one that it shows
twice in autumn as the first of the two. Of the two moments the second has therefore no form of its own.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import AfterValidator

from shared.connectors.values import UnfitValue, utc_of
from shared.sync.ports import Value

_LONGEST_REPEAT = timedelta(hours=2)
"""No zone is set back by more."""


def _known(name: str) -> str:
    try:
        zone_of(name)
    except (KeyError, ValueError, OSError):
        raise ValueError("is no time zone that this machine knows, such as Europe/Zurich") from None
    return name


TimeZone = Annotated[str, AfterValidator(_known)]
"""The name of a time zone."""


def zone_of(name: str) -> tzinfo:
    """The time zone of a name; raises KeyError, ValueError or OSError for one that is not known."""
    return UTC if name == "UTC" else ZoneInfo(name)


def moment_of(wall: datetime, zone: tzinfo) -> datetime:
    """The moment in UTC; a time that names its zone is taken by it."""
    return (wall if wall.tzinfo else wall.replace(tzinfo=zone)).astimezone(UTC)


def wall_of(value: Value, zone: tzinfo) -> datetime:
    """What the clock on the wall shows, without its zone. Raises UnfitValue for what it shows a second time only."""
    moment = utc_of(value).replace(tzinfo=UTC)
    shown = moment.astimezone(zone).replace(tzinfo=None, fold=0)
    if moment_of(shown, zone) != moment:
        raise UnfitValue("takes no moment of the hour that the clock repeats when it is set back")
    return shown


def earliest_wall(moment: datetime, zone: tzinfo) -> datetime:
    """What the clock shows at the earliest from a moment on: it may be set back soon."""
    later = moment + _LONGEST_REPEAT
    back = (moment.astimezone(zone).utcoffset() or timedelta()) - (later.astimezone(zone).utcoffset() or timedelta())
    return moment.astimezone(zone).replace(tzinfo=None, fold=0) - max(back, timedelta())
