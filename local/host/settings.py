"""What the host takes from the app settings and from host.json."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar

from local.host.errors import HostRefused

DEFAULT_CONCURRENT_CALLS = 16
"""In Azure 16 per processor core (source of the Service Bus extension); here once, whatever the machine."""

_T = TypeVar("_T")
_NO_END = "-00:00:00.0010000"
_TIME_SPAN = re.compile(r"(?:(\d+)\.)?(\d{1,2}):(\d{1,2}):(\d{1,2})(?:\.\d{1,7})?")
_PERCENT = re.compile(r"%([^%]*)%")
_FIVE_MINUTES = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class HostKeys:
    """The keys callers show: `master` opens everything, `default` every function, `functions` one each by its name.

    An empty key opens nothing.
    """

    master: str = field(default="", repr=False)
    default: str = field(default="", repr=False)
    functions: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class ServiceBusOptions:
    """`extensions.serviceBus` of host.json; `lock_renewal` is None where locks are renewed without end."""

    concurrent_calls: int = DEFAULT_CONCURRENT_CALLS
    prefetch: int = 0
    auto_complete: bool = True
    lock_renewal: timedelta | None = _FIVE_MINUTES


@dataclass(frozen=True, slots=True)
class HostOptions:
    """What the host reads of host.json."""

    route_prefix: str = "api"
    service_bus: ServiceBusOptions = field(default_factory=ServiceBusOptions)


def read_host_json(host_json: Mapping[str, Any]) -> HostOptions:
    """Read host.json; absent keys have the platform's defaults, unknown keys are left to the platform.

    Raises HostRefused naming the key for a wrong version, a wrong type, and for keys of long gone extension versions,
    which Azure would pass over in silence.
    """
    if str(host_json.get("version", "2.0")) != "2.0":
        raise HostRefused('host.json: "version" must be "2.0" (it is not the version of the runtime).')
    extensions = _section(host_json, "extensions")
    http = _section(extensions, "http")
    return HostOptions(
        route_prefix=_typed(http, "routePrefix", str, "api").strip("/"),
        service_bus=_service_bus(_section(extensions, "serviceBus")),
    )


def _service_bus(section: Mapping[str, Any]) -> ServiceBusOptions:
    for gone in ("messageHandlerOptions", "sessionHandlerOptions"):
        if gone in section:
            raise HostRefused(f"host.json: extensions.serviceBus.{gone} has no effect since extension 5; remove it.")
    calls = _typed(section, "maxConcurrentCalls", int, DEFAULT_CONCURRENT_CALLS)
    if calls < 1:
        raise HostRefused("host.json: extensions.serviceBus.maxConcurrentCalls must be 1 or more.")
    return ServiceBusOptions(
        concurrent_calls=calls,
        prefetch=_typed(section, "prefetchCount", int, 0),
        auto_complete=_typed(section, "autoCompleteMessages", bool, True),
        lock_renewal=_duration(section, "maxAutoLockRenewalDuration"),
    )


def _section(parent: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = parent.get(key, {})
    if not isinstance(value, Mapping):
        raise HostRefused(f"host.json: {key} must be an object.")
    return value


def _typed(section: Mapping[str, Any], key: str, kind: type[_T], default: _T) -> _T:
    value = section.get(key, default)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise HostRefused(f"host.json: {key} must be {kind.__name__}, not {type(value).__name__}.")
    return value


def _duration(section: Mapping[str, Any], key: str) -> timedelta | None:
    if key not in section:
        return _FIVE_MINUTES
    text = str(section[key])
    if text == _NO_END:
        return None
    found = _TIME_SPAN.fullmatch(text)
    if found is None:
        raise HostRefused(f"host.json: {key} must be a time span such as 00:05:00, not {text!r}.")
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)


def resolve(text: str, settings: Mapping[str, str], what: str) -> str:
    """Put the settings' values in the place of `%NAME%`.

    Raises HostRefused with `what` and the name of the setting that is missing or empty (never its value).
    """

    def value_of(found: re.Match[str]) -> str:
        value = settings.get(found[1], "")
        if not value:
            raise HostRefused(f"{what}: %{found[1]}% is named, but the app setting {found[1]} is missing or empty.")
        return value

    return _PERCENT.sub(value_of, text)


def is_disabled(function: str, settings: Mapping[str, str]) -> bool:
    """Return whether `AzureWebJobs.<function>.Disabled` (or with two underscores for the dots) switches it off.

    Microsoft Learn, 'How to disable functions in Azure Functions'.
    """
    names = (f"AzureWebJobs.{function}.Disabled", f"AzureWebJobs__{function}__Disabled")
    return any(settings.get(name, "").strip().lower() in ("true", "1") for name in names)
