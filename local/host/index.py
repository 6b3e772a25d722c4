"""The functions of an app, read once and checked as the platform's worker checks them.

A worker that meets one function it cannot load loads none, and says so only in its log. This module finds the same
faults, names the function, and refuses besides what the local host does not imitate. Facts: source of
azure-functions-runtime 1.3.0 (`functions.py`), tried with it in `tests/contract/functions_host`.
"""

from __future__ import annotations

import inspect
import json
import re
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import azure.functions as func

from local.host import ncrontab, routes
from local.host.errors import HostRefused, refused
from local.host.settings import is_disabled, resolve

ALL_METHODS = ("GET", "POST", "DELETE", "HEAD", "PATCH", "PUT", "OPTIONS")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,127}")
_RESERVED_ROUTES = ("admin", "runtime")


@dataclass(frozen=True, slots=True)
class HttpTrigger:
    """Answers requests; `auth_level` is ANONYMOUS, FUNCTION or ADMIN."""

    template: routes.Template
    methods: tuple[str, ...]
    auth_level: str

    kind: typing.ClassVar[str] = "http"


@dataclass(frozen=True, slots=True)
class TimerTrigger:
    """Runs by the clock; `use_monitor` says whether a missed occurrence is made up for."""

    schedule: ncrontab.Schedule
    run_on_startup: bool
    use_monitor: bool

    kind: typing.ClassVar[str] = "timer"


@dataclass(frozen=True, slots=True)
class QueueTrigger:
    """Runs once for each message of a Service Bus queue; `connection` is the *name* of an app setting."""

    queue: str
    connection: str
    connection_string: str = field(repr=False)
    auto_complete: bool | None
    binary: bool
    parameter_type: type | None

    kind: typing.ClassVar[str] = "queue"


Trigger = HttpTrigger | TimerTrigger | QueueTrigger


@dataclass(frozen=True, slots=True)
class HostedFunction:
    """A function of the app as the host runs it."""

    name: str
    trigger: Trigger
    call: Callable[..., Any] = field(repr=False)
    argument: str
    is_async: bool
    wants_context: bool
    disabled: bool
    source_file: str

    @property
    def summary(self) -> str:
        """One line for people: name, kind and where it listens; no setting's value."""
        match self.trigger:
            case HttpTrigger(template, methods, level):
                place = f"{','.join(methods)} /{template.text} ({level.lower()})"
            case TimerTrigger(schedule):
                place = schedule.text
            case QueueTrigger(queue):
                place = queue
        return f"{self.name} [{self.trigger.kind}] {place}{' - disabled' if self.disabled else ''}"


_read_apps: WeakKeyDictionary[func.FunctionApp, tuple[Any, ...]] = WeakKeyDictionary()


def _functions_of(app: func.FunctionApp) -> tuple[Any, ...]:
    """Return the app's functions; `get_functions()` works once per app object, so the answer is kept with the app."""
    if app not in _read_apps:
        try:
            _read_apps[app] = tuple(app.get_functions())
        except ValueError as error:
            raise HostRefused(f"the function app cannot be indexed: {error}") from error
    return _read_apps[app]


def index(app: func.FunctionApp, settings: Mapping[str, str]) -> tuple[HostedFunction, ...]:
    """Return the functions of an app, in the order of their registration; `%NAME%` is resolved from `settings`.

    Raises HostRefused naming the function for everything that the worker would refuse or that is not imitated here.
    A second call with the same app object works, although `get_functions()` does not.
    """
    functions = tuple(_hosted(function, settings) for function in _functions_of(app))
    _refuse_same_names(functions)
    _refuse_same_routes(functions)
    return functions


def _hosted(function: Any, settings: Mapping[str, str]) -> HostedFunction:
    name = function.get_function_name()
    if not _NAME.fullmatch(name):
        raise refused(name, "a name begins with a letter and has letters, digits, _ and - only, at most 128.")
    call = function.get_user_function()
    if not inspect.isroutine(call):
        raise refused(name, "the handler must be a plain function; wrap callable objects and partials in one.")
    bindings = [json.loads(text) for text in function.get_raw_bindings()]
    trigger, returns = _split_bindings(name, function, bindings)
    hints = _type_hints(name, call)
    argument, wants_context = _parameters(name, call, hints, trigger)
    if returns:
        _check_return(name, hints)
    return HostedFunction(
        name=name,
        trigger=_TRIGGERS[trigger["type"]](name, trigger, hints.get(argument), settings),
        call=call,
        argument=argument,
        is_async=inspect.iscoroutinefunction(call),
        wants_context=wants_context,
        disabled=is_disabled(name, settings),
        source_file=inspect.getfile(call),
    )


# --- bindings -------------------------------------------------------------------------------------


def _split_bindings(name: str, function: Any, bindings: Iterable[dict[str, Any]]) -> tuple[dict[str, Any], bool]:
    """Return the trigger's binding and whether the function answers through `$return`."""
    trigger: dict[str, Any] = {}
    returns = False
    for binding in bindings:
        if binding["type"] in _TRIGGERS:
            trigger = binding
        elif binding["type"] == "http" and binding["name"] == "$return":
            returns = True
        else:
            raise refused(
                name,
                f"binding {binding['name']!r} of type {binding['type']} is not imitated locally; "
                "use triggers only, and a client of the service for everything else.",
            )
    if function.get_settings_dict("retry_policy"):
        raise refused(name, "the retry decorator is not imitated locally; let the function or the queue try again.")
    if trigger["type"] == "httpTrigger" and not returns:
        raise refused(name, "an HTTP function must answer by its return value ($return).")
    return trigger, returns


def _http(name: str, binding: Mapping[str, Any], kind: object, settings: Mapping[str, str]) -> HttpTrigger:
    _want(name, binding, kind, (func.HttpRequest,))
    try:
        template = routes.parse(resolve(binding["route"], settings, f"function {name!r}, route"))
    except routes.BadRoute as error:
        raise refused(name, str(error)) from error
    if template.segments and template.segments[0].literal in _RESERVED_ROUTES:
        raise refused(name, f"route {template.text!r} begins with a word that the platform keeps for itself.")
    methods = tuple(method.upper() for method in binding.get("methods", ALL_METHODS))
    return HttpTrigger(template, methods, binding.get("authLevel", "FUNCTION"))


def _timer(name: str, binding: Mapping[str, Any], kind: object, settings: Mapping[str, str]) -> TimerTrigger:
    _want(name, binding, kind, (func.TimerRequest,))
    try:
        schedule = ncrontab.parse(resolve(binding["schedule"], settings, f"function {name!r}, schedule"))
    except ncrontab.BadSchedule as error:
        raise refused(name, f"schedule: {error}") from error
    return TimerTrigger(schedule, bool(binding.get("runOnStartup", False)), bool(binding.get("useMonitor", True)))


def _queue(name: str, binding: Mapping[str, Any], kind: object, settings: Mapping[str, str]) -> QueueTrigger:
    for key, value, why in (
        ("topicName", None, "topics are not imitated locally; use a queue."),
        ("isSessionsEnabled", False, "message sessions are not imitated locally."),
        ("cardinality", "ONE", "batches (cardinality many) are not imitated locally; take one message at a time."),
    ):
        if binding.get(key, value) != value:
            raise refused(name, why)
    _want(name, binding, kind, (func.ServiceBusMessage, str, bytes))
    return QueueTrigger(
        queue=resolve(binding["queueName"], settings, f"function {name!r}, queue name"),
        connection=binding["connection"],
        connection_string=_connection_string(name, binding["connection"], settings),
        auto_complete=binding.get("autoCompleteMessages"),
        binary=binding.get("dataType") == "BINARY" or kind is bytes,
        parameter_type=kind if isinstance(kind, type) else None,
    )


_TRIGGERS: Mapping[str, Callable[[str, Mapping[str, Any], object, Mapping[str, str]], Trigger]] = {
    "httpTrigger": _http,
    "timerTrigger": _timer,
    "serviceBusTrigger": _queue,
}


def _connection_string(name: str, connection: str, settings: Mapping[str, str]) -> str:
    """Find the setting as the host does: by its name, or with `AzureWebJobs` before it."""
    if "%" in connection:
        raise refused(name, "connection names an app setting, without percent signs.")
    for candidate in (connection, f"AzureWebJobs{connection}"):
        if settings.get(candidate):
            return settings[candidate]
    if settings.get(f"{connection}__fullyQualifiedNamespace"):
        raise refused(name, f"identity-based connections do not work locally; set {connection} to a connection string.")
    raise refused(name, f"the app setting {connection} (connection of its queue) is missing or empty.")


# --- parameters -----------------------------------------------------------------------------------


def _type_hints(name: str, call: Callable[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(call)
    except Exception as error:
        raise refused(name, f"its annotations cannot be read ({type(error).__name__}: {error}).") from error


def _parameters(
    name: str, call: Callable[..., Any], hints: Mapping[str, Any], trigger: Mapping[str, Any]
) -> tuple[str, bool]:
    """Return the trigger's parameter and whether `context` is wanted; everything else is refused."""
    parameters = list(inspect.signature(call).parameters)
    argument = trigger["name"]
    wants_context = "context" in parameters and argument != "context"
    if argument not in parameters:
        raise refused(name, f"the binding's parameter {argument!r} is missing in the Python function.")
    unbound = sorted(set(parameters) - {argument} - ({"context"} if wants_context else set()))
    if unbound:
        raise refused(
            name,
            f"parameter {', '.join(unbound)} has no binding (a default does not help): the worker would load no "
            "function at all. Take what it holds from a provider at module level.",
        )
    if wants_context and "context" in hints and getattr(hints["context"], "__name__", "") != "Context":
        raise refused(name, "the parameter context must be annotated func.Context, or not at all.")
    return argument, wants_context


def _want(name: str, binding: Mapping[str, Any], kind: object, allowed: Sequence[type]) -> None:
    """Refuse an annotation of the trigger's parameter that the worker, or this host, does not take."""
    if kind is None or (isinstance(kind, type) and issubclass(kind, tuple(allowed))):
        return
    names = ", ".join(f"func.{entry.__name__}" if entry not in (str, bytes) else entry.__name__ for entry in allowed)
    raise refused(name, f"parameter {binding['name']!r} is annotated {_spelled(kind)}; allowed are: {names}, nothing.")


def _check_return(name: str, hints: Mapping[str, Any]) -> None:
    kind = hints.get("return", str)
    if isinstance(kind, type) and issubclass(kind, (func.HttpResponse, str)):
        return
    raise refused(
        name,
        f"the return annotation is {_spelled(kind)}; on a route the worker takes func.HttpResponse or str only, "
        "no Optional and no union, and would load no function at all.",
    )


def _spelled(kind: object) -> str:
    return kind.__name__ if isinstance(kind, type) else str(kind)


# --- the app as a whole ---------------------------------------------------------------------------


def _refuse_same_names(functions: Sequence[HostedFunction]) -> None:
    seen: dict[str, str] = {}
    for function in functions:
        other = seen.setdefault(function.name.lower(), function.name)
        if other != function.name:
            raise refused(function.name, f"{other!r} has the same name but for the case of its letters.")


def _refuse_same_routes(functions: Sequence[HostedFunction]) -> None:
    taken: dict[tuple[str, str], str] = {}
    for function in functions:
        if isinstance(function.trigger, HttpTrigger):
            for method in function.trigger.methods:
                other = taken.setdefault((function.trigger.template.shape, method), function.name)
                if other != function.name and not _told_apart(functions, function, other):
                    raise refused(function.name, f"{method} /{function.trigger.template.text} belongs to {other!r}.")


def _told_apart(functions: Sequence[HostedFunction], one: HostedFunction, other_name: str) -> bool:
    """Two templates of one shape are no conflict where their constraints make one of them more specific."""
    other = next(function for function in functions if function.name == other_name)
    assert isinstance(one.trigger, HttpTrigger)
    assert isinstance(other.trigger, HttpTrigger)
    return one.trigger.template.precedence != other.trigger.template.precedence
