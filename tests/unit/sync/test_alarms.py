"""From when on something is told, and how a transfer's pulse is taken."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from shared.sync.alarms import Facts, FeedFacts, Limits, TransferFacts, alarms
from shared.sync.ports import Mode, Switch, Watermark
from shared.sync.pulse import Pulse

NOW = datetime(2026, 3, 2, 8, tzinfo=UTC)
LIMITS = Limits(
    intervals=6,
    token_age=timedelta(days=5),
    failing=timedelta(hours=4),
    parked=timedelta(days=7),
    pending=timedelta(hours=4),
    queued=timedelta(hours=1),
)
LONG_AGO = NOW - timedelta(days=30)


def mode(switch: Switch = Switch.ON, since: datetime = LONG_AGO) -> Mode:
    return Mode("to", switch, since)


def ago(**duration: float) -> datetime:
    return NOW - timedelta(**duration)


def of_feed(mark: Watermark | None, *modes: Mode, memory: timedelta | None = timedelta(days=7)) -> list[str]:
    """The codes that a feed walked every five minutes gives."""
    feed = FeedFacts("crm account", timedelta(minutes=5), mark, modes or (mode(),), memory)
    return [one.code for one in alarms(Facts([feed], []), LIMITS, NOW)]


def of_transfer(**facts: object) -> list[str]:
    """The codes that a transfer gives."""
    one = TransferFacts(**{"name": "to", "mode": mode(), "pulse": Pulse(), **facts})  # type: ignore[arg-type] # by name
    return [alarm.code for alarm in alarms(Facts([], [one]), LIMITS, NOW)]


def test_a_walk_is_late_after_its_intervals_and_not_before() -> None:
    """Counted from its last end, or from the switch if that was moved later."""
    assert of_feed(Watermark("t", ago(minutes=29))) == []
    assert of_feed(Watermark("t", ago(minutes=31))) == ["CD-4801"]
    assert of_feed(None) == ["CD-4801"], "it never began although it is on"
    assert of_feed(Watermark("t", ago(days=3)), mode(since=ago(minutes=2))) == []
    assert of_feed(Watermark("t", None)) == [], "it was asked to go back, and is due at once"


def test_nobody_waits_for_the_walk_of_a_pair_that_does_not_move() -> None:
    """Off or stopped: the feed stands still on purpose."""
    assert of_feed(Watermark("t", ago(days=2)), mode(Switch.OFF)) == []
    assert of_feed(Watermark("t", ago(days=2)), mode(Switch.STOPPED)) == []


def test_a_place_that_the_system_soon_forgets_is_told_while_somebody_wants_it() -> None:
    """Of a stopped pair too; not of one that is off, nor where the system never forgets."""
    old = Watermark("t", ago(days=6))
    assert of_feed(old, mode(Switch.STOPPED)) == ["CD-4802"]
    assert of_feed(old, mode(Switch.OFF)) == []
    assert of_feed(old, mode(Switch.STOPPED), memory=None) == []
    assert of_feed(Watermark("t", ago(days=4)), mode(Switch.STOPPED)) == []


def test_what_waits_is_told_once_it_is_old() -> None:
    """Each by its own limit."""
    assert of_transfer(parked=ago(days=6), pending=ago(hours=3), queued=ago(minutes=59)) == []
    assert of_transfer(parked=ago(days=8)) == ["CD-4804"]
    assert of_transfer(pending=ago(hours=5)) == ["CD-4805"]
    assert of_transfer(queued=ago(minutes=61)) == ["CD-4806"]


def test_a_transfer_that_only_fails_is_told_and_one_that_is_quiet_is_not() -> None:
    """Silence is no failure: nothing may have changed for days."""
    worked = Pulse().after(ago(days=3), worked=True)
    assert of_transfer(pulse=worked) == []
    failing = worked.after(ago(hours=5), worked=False).after(ago(hours=1), worked=False)
    assert failing.only_fails_since == ago(hours=5)
    assert of_transfer(pulse=failing) == ["CD-4803"]
    assert of_transfer(pulse=failing, mode=mode(Switch.OFF)) == []
    assert of_transfer(pulse=failing.after(NOW, worked=True)) == []


def test_the_time_of_failing_begins_anew_after_a_success() -> None:
    """And what another process wrote a moment late is no failure."""
    pulse = Pulse().after(ago(hours=9), worked=False).after(ago(hours=8), worked=True)
    assert pulse.after(ago(hours=8) + timedelta(seconds=50), worked=False).only_fails_since is None
    assert pulse.after(ago(hours=6), worked=False).only_fails_since == ago(hours=6)
