"""Which queues there are and how they behave; also read from the JSON form of Microsoft's emulator.

Source of names and defaults: Microsoft Learn, "Overview of the Azure Service Bus emulator" (config.json) and "Queues,
topics, and subscriptions".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from local.servicebus.errors import ConfigError

STANDARD_MAX_MESSAGE_BYTES = 262_144
"""Largest message of the Standard tier (Microsoft Learn, "Service Bus quotas")."""

LARGEST_MESSAGE_BYTES = 100 * 1024 * 1024
MAX_NAME_CHARACTERS = 260
_NO_LIMIT = timedelta(days=10_000_000)
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._/~-]*[A-Za-z0-9_])?")


@dataclass(frozen=True, slots=True)
class QueueSettings:
    """One queue. Names are compared without regard to case.

    lock_duration: how long a received message stays locked (Azure allows up to five minutes). max_delivery_count:
    failed deliveries after which a message is dead-lettered. duplicate_detection_window: how long message ids are
    remembered, if requires_duplicate_detection. default_message_ttl: ceiling of every message's life, None = none.
    max_message_bytes: larger messages and batches are refused.

    Raises ConfigError naming the setting that cannot be.
    """

    name: str
    lock_duration: timedelta = timedelta(minutes=1)
    max_delivery_count: int = 10
    requires_duplicate_detection: bool = False
    duplicate_detection_window: timedelta = timedelta(minutes=10)
    dead_lettering_on_message_expiration: bool = False
    default_message_ttl: timedelta | None = None
    max_message_bytes: int = STANDARD_MAX_MESSAGE_BYTES

    def __post_init__(self) -> None:
        zero = timedelta(0)
        well_named = _NAME.fullmatch(self.name) and len(self.name) <= MAX_NAME_CHARACTERS
        self._demand(bool(well_named), "name", "up to 260 letters, digits and . _ - / ~, a letter or digit first")
        self._demand(zero < self.lock_duration <= timedelta(minutes=5), "lock_duration", "up to five minutes")
        self._demand(1 <= self.max_delivery_count <= 2000, "max_delivery_count", "a number from 1 to 2000")
        window = self.duplicate_detection_window
        self._demand(zero < window <= timedelta(days=7), "duplicate_detection_window", "up to seven days")
        ttl = self.default_message_ttl
        self._demand(ttl is None or ttl > zero, "default_message_ttl", "a time above zero, or nothing for no limit")
        size = self.max_message_bytes
        self._demand(1024 <= size <= LARGEST_MESSAGE_BYTES, "max_message_bytes", "1024 to 104857600")

    def _demand(self, holds: bool, setting: str, expected: str) -> None:
        if not holds:
            raise ConfigError(f"queue {self.name!r}: {setting} must be {expected}")


def check_queues(queues: Sequence[QueueSettings]) -> None:
    """Refuse a name that is there twice; raises ConfigError."""
    seen: set[str] = set()
    for queue in queues:
        if queue.name.lower() in seen:
            raise ConfigError(f"queue {queue.name!r} is there twice; names differ by more than case")
        seen.add(queue.name.lower())


# --- the JSON form of Microsoft's emulator --------------------------------------------------------

_DURATION = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?")


def parse_duration(text: object) -> timedelta:
    """Read an ISO 8601 duration of days, hours, minutes and seconds; raises ValueError."""
    match = _DURATION.fullmatch(text) if isinstance(text, str) else None
    if match is None or not any(match.groups()):
        raise ValueError("write a duration as in PT1M, PT30S or P7D")
    days, hours, minutes, seconds = (float(group or 0) for group in match.groups())
    try:
        return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    except OverflowError as error:
        raise ValueError("the duration is too long") from error


_Duration = Annotated[timedelta, BeforeValidator(parse_duration)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class _QueueProperties(_Part):
    lock_duration: _Duration = Field(default=timedelta(minutes=1), alias="LockDuration")
    max_delivery_count: int = Field(default=10, alias="MaxDeliveryCount")
    requires_duplicate_detection: bool = Field(default=False, alias="RequiresDuplicateDetection")
    duplicate_window: _Duration = Field(default=timedelta(minutes=10), alias="DuplicateDetectionHistoryTimeWindow")
    dead_letter_expired: bool = Field(default=False, alias="DeadLetteringOnMessageExpiration")
    ttl: _Duration | None = Field(default=None, alias="DefaultMessageTimeToLive")
    requires_session: bool = Field(default=False, alias="RequiresSession")
    forward_to: str | None = Field(default=None, alias="ForwardTo")
    forward_dead_letters_to: str | None = Field(default=None, alias="ForwardDeadLetteredMessagesTo")


class _Queue(_Part):
    name: str = Field(alias="Name")
    properties: _QueueProperties = Field(default=_QueueProperties(), alias="Properties")


class _Namespace(_Part):
    name: str = Field(default="", alias="Name")
    queues: list[_Queue] = Field(default=[], alias="Queues")
    topics: list[Any] = Field(default=[], alias="Topics")


class _UserConfig(_Part):
    namespaces: list[_Namespace] = Field(alias="Namespaces", min_length=1)


class _EmulatorConfig(_Part):
    user_config: _UserConfig = Field(alias="UserConfig")


def read_emulator_config(text: str) -> list[QueueSettings]:
    """Read the config.json of Microsoft's emulator.

    Raises ConfigError naming the field that is wrong, or that asks for what this endpoint does not have (topics,
    message sessions, forwarding): better no start than messages that go elsewhere than in the cloud.
    """
    try:
        config = _EmulatorConfig.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise ConfigError(f"{where}: {first['msg']}") from None
    queues = [_settings(queue) for namespace in config.user_config.namespaces for queue in _queues(namespace)]
    check_queues(queues)
    return queues


def read_emulator_config_file(path: Path) -> list[QueueSettings]:
    """Read the config.json at `path`; raises ConfigError, also when the file cannot be read."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the configuration {path.name} cannot be read; check path and encoding") from error
    return read_emulator_config(text)


def _queues(namespace: _Namespace) -> list[_Queue]:
    if namespace.topics:
        raise ConfigError("Topics: this endpoint has queues only; use Microsoft's emulator for topics")
    return namespace.queues


def _settings(queue: _Queue) -> QueueSettings:
    wanted = queue.properties
    for field, asked in (
        ("RequiresSession", wanted.requires_session),
        ("ForwardTo", wanted.forward_to),
        ("ForwardDeadLetteredMessagesTo", wanted.forward_dead_letters_to),
    ):
        if asked:
            raise ConfigError(f"queue {queue.name!r}: {field} is not supported here; leave it out")
    return QueueSettings(
        name=queue.name,
        lock_duration=wanted.lock_duration,
        max_delivery_count=wanted.max_delivery_count,
        requires_duplicate_detection=wanted.requires_duplicate_detection,
        duplicate_detection_window=wanted.duplicate_window,
        dead_lettering_on_message_expiration=wanted.dead_letter_expired,
        default_message_ttl=wanted.ttl if wanted.ttl is not None and wanted.ttl < _NO_LIMIT else None,
    )
