"""The host refuses what would leave an app without any function in Azure, and names the function and the remedy.

Each mistake is shown to Microsoft's runtime as well: where it refuses, so do we.
"""

from __future__ import annotations

import textwrap
from pathlib import Path
from types import ModuleType
from typing import Any

import azure.functions as func
import pytest

from local.host import HostRefused, TimerTrigger, index
from tests.contract.functions_host.fakes import SETTINGS, HandClock, MemoryBus, make_host
from tests.contract.functions_host.runtime_driver import NotIndexed, RuntimeDriver

ROUTE = '@app.route(route="x")\n'
TIMER = '@app.timer_trigger(arg_name="timer", schedule="0 0 * * * *")\n'
QUEUE = '@app.service_bus_queue_trigger(arg_name="msg", queue_name="q", connection="ServiceBus"{more})\n'


def app_of(source: str) -> str:
    """Return the text of a function_app.py with these functions."""
    head = """
        import functools
        from typing import List, Optional
        import azure.functions as func
        app = func.FunctionApp()
    """
    return textwrap.dedent(head) + source


def load(source: str) -> Any:
    """Return the app object of such a text."""
    scope: dict[str, Any] = {"__name__": "function_app"}
    exec(compile(app_of(source), __file__, "exec"), scope)  # noqa: S102 # the text is this file's own
    return scope["app"]


BOTH_REFUSE = {
    "a parameter without binding, even with a default": (
        ROUTE + "def f(req: func.HttpRequest, store=None) -> str: ...",
        "function 'f': parameter store has no binding",
    ),
    "a binding without parameter": (
        ROUTE + "def f() -> str: ...",
        "function 'f': the binding's parameter 'req' is missing",
    ),
    "a batch annotated with the built-in list": (
        QUEUE.format(more="") + "def f(msg: list[func.ServiceBusMessage]) -> None: ...",
        "function 'f': parameter 'msg' is annotated list[",
    ),
    "a wrong parameter type": (
        TIMER + "def f(timer: func.HttpRequest) -> None: ...",
        "function 'f': parameter 'timer' is annotated HttpRequest; allowed are: func.TimerRequest",
    ),
    "an optional answer": (
        ROUTE + "def f(req: func.HttpRequest) -> Optional[func.HttpResponse]: ...",
        "function 'f': the return annotation is typing.Optional[",
    ),
    "an answer or None": (
        ROUTE + "def f(req: func.HttpRequest) -> func.HttpResponse | None: ...",
        "no Optional and no union",
    ),
    "an answer that is a dictionary": (
        ROUTE + "def f(req: func.HttpRequest) -> dict: ...",
        "the return annotation is dict",
    ),
    "a name twice": (
        ROUTE + "def f(req: func.HttpRequest) -> str: ...\n" + TIMER + "def f(timer: func.TimerRequest) -> None: ...",
        "Function f does not have a unique function name",
    ),
    "a wrapper that hides the handler's parameters": (
        "def wrapped(handler):\n    def inner(*args, **kwargs): return handler(*args, **kwargs)\n    return inner\n"
        + ROUTE
        + "@wrapped\ndef f(req: func.HttpRequest) -> str: ...",
        "function 'inner': the binding's parameter 'req' is missing",
    ),
    "a wrong context": (
        ROUTE + "def f(req: func.HttpRequest, context: str) -> str: ...",
        "function 'f': the parameter context must be annotated func.Context",
    ),
    "an annotation that is not there": (
        ROUTE + "def f(req: 'func.HttpRequst') -> str: ...",
        "function 'f': its annotations cannot be read (AttributeError",
    ),
}

BOTH_TAKE = {
    "no annotations at all": ROUTE + "def f(req): ...",
    "a wrapper that keeps the signature": (
        "def wrapped(handler):\n    @functools.wraps(handler)\n    async def inner(*args, **kwargs):\n"
        "        return await handler(*args, **kwargs)\n    return inner\n"
        + ROUTE
        + "@wrapped\nasync def f(req: func.HttpRequest) -> str: ..."
    ),
    "text of a message": QUEUE.format(more="") + "def f(msg: str) -> None: ...",
    "bytes of a message": QUEUE.format(more="") + "def f(msg: bytes) -> None: ...",
    "a closure from a factory": (
        "def make(name):\n    @app.function_name(name)\n    @app.service_bus_queue_trigger(arg_name='msg',"
        " queue_name=name, connection='ServiceBus')\n    async def handler(msg: func.ServiceBusMessage) -> None: ...\n"
        "make('one_to_other')\nmake('other_to_one')"
    ),
}

ONLY_WE_REFUSE = {
    "an output binding": (
        '@app.service_bus_queue_output(arg_name="out", queue_name="q", connection="ServiceBus")\n'
        + TIMER
        + "def f(timer: func.TimerRequest, out: func.Out[str]) -> None: ...",
        "function 'f': binding 'out' of type serviceBus is not imitated locally",
    ),
    "another trigger": (
        '@app.queue_trigger(arg_name="msg", queue_name="q", connection="Storage")\ndef f(msg: str) -> None: ...',
        "binding 'msg' of type queueTrigger is not imitated locally",
    ),
    "a retry policy": (
        '@app.retry(strategy="fixed_delay", max_retry_count="3", delay_interval="00:00:10")\n'
        + TIMER
        + "def f(timer: func.TimerRequest) -> None: ...",
        "the retry decorator is not imitated locally",
    ),
    "a batch": (
        QUEUE.format(more=', cardinality="MANY"') + "def f(msg: List[func.ServiceBusMessage]) -> None: ...",
        "function 'f': batches (cardinality many) are not imitated locally",
    ),
    "message sessions": (
        QUEUE.format(more=", is_sessions_enabled=True") + "def f(msg: func.ServiceBusMessage) -> None: ...",
        "message sessions are not imitated locally",
    ),
    "a missing setting": (
        QUEUE.replace('"q"', '"%NO_SUCH%"').format(more="") + "def f(msg: str) -> None: ...",
        "function 'f', queue name: %NO_SUCH% is named, but the app setting NO_SUCH is missing or empty",
    ),
    "a missing connection": (
        QUEUE.replace('"ServiceBus"', '"Elsewhere"').format(more="") + "def f(msg: str) -> None: ...",
        "function 'f': the app setting Elsewhere (connection of its queue) is missing or empty",
    ),
    "a schedule that is none": (
        TIMER.replace("0 0 * * * *", "every hour") + "def f(timer: func.TimerRequest) -> None: ...",
        "function 'f': schedule: 'every hour' has 2 fields",
    ),
    "a reserved route": (
        ROUTE.replace('"x"', '"admin/x"') + "def f(req: func.HttpRequest) -> str: ...",
        "function 'f': route 'admin/x' begins with a word that the platform keeps for itself",
    ),
    "names that differ by case": (
        ROUTE + "def f(req: func.HttpRequest) -> str: ...\n" + TIMER + "def F(timer: func.TimerRequest) -> None: ...",
        "function 'F': 'f' has the same name but for the case",
    ),
}


@pytest.mark.parametrize(("source", "told"), BOTH_REFUSE.values(), ids=BOTH_REFUSE)
def test_what_the_platform_refuses_is_refused(
    source: str, told: str, tmp_path: Path, one_runtime: RuntimeDriver
) -> None:
    """The runtime loads no function of such an app; the host says which function and why."""
    with pytest.raises(HostRefused) as refusal:
        index(load(source), SETTINGS)
    assert told in str(refusal.value)
    (tmp_path / "function_app.py").write_text(app_of(source))
    with pytest.raises(NotIndexed):
        one_runtime.index_other(tmp_path)


@pytest.mark.parametrize("source", BOTH_TAKE.values(), ids=BOTH_TAKE)
def test_what_the_platform_takes_is_taken(source: str, tmp_path: Path, one_runtime: RuntimeDriver) -> None:
    """Host and runtime find the same functions."""
    (tmp_path / "function_app.py").write_text(app_of(source))
    found = index(load(source), SETTINGS)
    assert [function.name for function in found] == [function.name for function in one_runtime.index_other(tmp_path)]


@pytest.mark.parametrize(("source", "told"), ONLY_WE_REFUSE.values(), ids=ONLY_WE_REFUSE)
def test_what_is_not_imitated_is_refused(source: str, told: str) -> None:
    """Nothing is passed over in silence; the host's own faults (not the worker's) are found as well."""
    with pytest.raises(HostRefused) as refusal:
        index(load(source), SETTINGS)
    assert told in str(refusal.value)


def test_an_app_is_read_once_and_hosted_often(sample: ModuleType, clock: HandClock, bus: MemoryBus) -> None:
    """`get_functions()` works once per app object; a second host of the same app works all the same."""
    first, second = (make_host(sample.app, clock, bus).functions() for _ in range(2))
    assert [function.name for function in first] == [function.name for function in second]
    with pytest.raises(ValueError, match="unique"):
        sample.app.get_functions()


def test_settings_take_the_place_of_percent_names(sample: ModuleType) -> None:
    """The same app with other settings has another schedule and another queue; no connection string is shown."""
    settings = {**SETTINGS, "TICK_SCHEDULE": "0 0 3 * * *", "ORDERS_QUEUE": "other"}
    functions = {function.name: function for function in index(sample.app, settings)}
    assert isinstance(functions["tick"].trigger, TimerTrigger)
    assert functions["tick"].summary == "tick [timer] 0 0 3 * * *"
    assert functions["orders"].summary == "orders [queue] other"
    assert "SharedAccessKey" not in repr(functions)


@pytest.mark.parametrize(
    ("host_json", "told"),
    [
        ({"version": "4.0"}, '"version" must be "2.0"'),
        ({"extensions": {"serviceBus": {"messageHandlerOptions": {}}}}, "messageHandlerOptions has no effect"),
        ({"extensions": {"serviceBus": {"maxConcurrentCalls": "4"}}}, "maxConcurrentCalls must be int, not str"),
        ({"extensions": {"serviceBus": {"maxConcurrentCalls": 0}}}, "maxConcurrentCalls must be 1 or more"),
        ({"extensions": {"serviceBus": {"maxAutoLockRenewalDuration": 300}}}, "must be a time span such as 00:05:00"),
        ({"extensions": []}, "extensions must be an object"),
    ],
)
def test_a_wrong_host_json_is_refused(host_json: dict[str, Any], told: str, clock: HandClock, bus: MemoryBus) -> None:
    """The message names the key."""
    with pytest.raises(HostRefused) as refusal:
        make_host(func.FunctionApp(), clock, bus, host_json=host_json)
    assert told in str(refusal.value)
