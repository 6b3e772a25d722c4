"""Settings of queues, and the JSON form of Microsoft's emulator."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from local.servicebus import ConfigError, QueueSettings, read_emulator_config, read_emulator_config_file
from local.servicebus.config import check_queues, parse_duration
from tests.contract.servicebus.rig import emulator_config


def test_the_emulator_s_form_is_read_whole() -> None:
    """Every property that a queue of this endpoint has."""
    properties = {
        "DeadLetteringOnMessageExpiration": True,
        "DefaultMessageTimeToLive": "PT1H",
        "DuplicateDetectionHistoryTimeWindow": "PT20S",
        "ForwardDeadLetteredMessagesTo": "",
        "ForwardTo": "",
        "LockDuration": "PT1M30S",
        "MaxDeliveryCount": 3,
        "RequiresDuplicateDetection": True,
        "RequiresSession": False,
        "SomethingNew": 1,
    }
    [queue] = read_emulator_config(emulator_config({"Name": "orders", "Properties": properties}))
    assert queue == QueueSettings(
        "orders",
        lock_duration=timedelta(seconds=90),
        max_delivery_count=3,
        requires_duplicate_detection=True,
        duplicate_detection_window=timedelta(seconds=20),
        dead_lettering_on_message_expiration=True,
        default_message_ttl=timedelta(hours=1),
    )


def test_a_queue_without_properties_has_the_service_s_defaults() -> None:
    """A minute of lock, ten deliveries, no end of life."""
    [queue] = read_emulator_config(emulator_config({"Name": "orders"}))
    assert queue == QueueSettings("orders")
    assert (queue.lock_duration, queue.max_delivery_count) == (timedelta(minutes=1), 10)


def test_the_longest_time_span_means_no_limit() -> None:
    """This is how exported settings write "for ever"."""
    properties = {"DefaultMessageTimeToLive": "P10675199DT2H48M5.4775807S"}
    [queue] = read_emulator_config(emulator_config({"Name": "orders", "Properties": properties}))
    assert queue.default_message_ttl is None


@pytest.mark.parametrize(
    ("properties", "named"),
    [
        ({"RequiresSession": True}, "RequiresSession"),
        ({"ForwardTo": "other"}, "ForwardTo"),
        ({"ForwardDeadLetteredMessagesTo": "other"}, "ForwardDeadLetteredMessagesTo"),
        ({"LockDuration": "PT6M"}, "lock_duration"),
        ({"LockDuration": "1 minute"}, "LockDuration"),
        ({"LockDuration": "P"}, "LockDuration"),
        ({"MaxDeliveryCount": 0}, "max_delivery_count"),
        ({"MaxDeliveryCount": "many"}, "MaxDeliveryCount"),
        ({"DuplicateDetectionHistoryTimeWindow": "P8D"}, "duplicate_detection_window"),
        ({"DefaultMessageTimeToLive": "PT0S"}, "default_message_ttl"),
    ],
)
def test_a_setting_that_cannot_be_is_named(properties: dict[str, Any], named: str) -> None:
    """The sentence names the field, so that it can be found in the file."""
    with pytest.raises(ConfigError, match=named):
        read_emulator_config(emulator_config({"Name": "orders", "Properties": properties}))


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "the file"),
        ("{}", "UserConfig"),
        (json.dumps({"UserConfig": {"Namespaces": []}}), "Namespaces"),
        (json.dumps({"UserConfig": {"Namespaces": [{"Queues": [{}]}]}}), "Name"),
        (json.dumps({"UserConfig": {"Namespaces": [{"Topics": [{"Name": "t"}]}]}}), "Topics"),
        (emulator_config({"Name": "a"}, {"Name": "A"}), "twice"),
        (emulator_config({"Name": "/a"}), "name"),
        (emulator_config({"Name": ""}), "name"),
        (emulator_config({"Name": "a$b"}), "name"),
    ],
)
def test_a_file_that_cannot_be_is_explained(text: str, named: str) -> None:
    """Topics, missing parts, names used twice or impossible."""
    with pytest.raises(ConfigError, match=named):
        read_emulator_config(text)


def test_an_error_does_not_repeat_the_file() -> None:
    """Values of the file stay out of the message."""
    with pytest.raises(ConfigError) as caught:
        read_emulator_config(emulator_config({"Name": "orders", "Properties": {"MaxDeliveryCount": "hush"}}))
    assert "hush" not in str(caught.value)


def test_a_file_is_read_with_or_without_byte_order_mark(tmp_path: Path) -> None:
    """Windows editors put one in front."""
    path = tmp_path / "config.json"
    path.write_text("\ufeff" + emulator_config({"Name": "orders"}), encoding="utf-8")
    assert [queue.name for queue in read_emulator_config_file(path)] == ["orders"]
    with pytest.raises(ConfigError, match="cannot be read"):
        read_emulator_config_file(tmp_path / "missing.json")


def test_names_differ_by_more_than_case() -> None:
    """The service compares without regard to case."""
    with pytest.raises(ConfigError, match="twice"):
        check_queues([QueueSettings("a"), QueueSettings("A")])


@pytest.mark.parametrize(
    ("text", "seconds"), [("PT1M", 60), ("P1D", 86_400), ("PT0.5S", 0.5), ("P1DT1H1M1S", 90_061), ("PT20S", 20)]
)
def test_durations_are_read(text: str, seconds: float) -> None:
    """Days, hours, minutes, seconds."""
    assert parse_duration(text) == timedelta(seconds=seconds)
