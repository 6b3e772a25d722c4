"""One run of a function: context, thread or loop, log lines.

`async def` runs on the loop, `def` in a thread pool, as in the platform's worker. Log lines name the function and the
invocation; bodies, query strings and the texts of errors (which may hold values) never appear, only where and which.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import traceback
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import azure.functions as func
from azure.functions._abc import RetryContext, RpcException, TraceContext

from local.host.errors import refused
from local.host.index import HostedFunction

log = logging.getLogger(__name__)


class _Trace(TraceContext):
    """A trace without a parent; the caller's `traceparent`, where it sent one."""

    def __init__(self, parent: str) -> None:
        self._parent = parent

    @property
    def trace_parent(self) -> str:
        return self._parent

    @property
    def trace_state(self) -> str:
        return ""

    @property
    def attributes(self) -> dict[str, str]:
        return {}


class _NoError(RpcException):
    """The retry decorator is refused, so there is never an earlier error."""

    source = stack_trace = message = ""


class _NoRetry(RetryContext):
    """The first and only try."""

    retry_count = 0
    max_retry_count = 0
    exception = _NoError()


class InvocationContext(func.Context):
    """What a function gets that has a parameter `context`."""

    def __init__(
        self, function: HostedFunction, invocation_id: str, trace_parent: str, storage: threading.local
    ) -> None:
        self._function = function
        self._invocation_id = invocation_id
        self._trace = _Trace(trace_parent)
        self._storage = storage

    @property
    def invocation_id(self) -> str:
        return self._invocation_id

    @property
    def function_name(self) -> str:
        return self._function.name

    @property
    def function_directory(self) -> str:
        return str(Path(self._function.source_file).parent)

    @property
    def thread_local_storage(self) -> Any:
        return self._storage

    @property
    def trace_context(self) -> TraceContext:
        return self._trace

    @property
    def retry_context(self) -> RetryContext:
        return _NoRetry()


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended: `error` is None when it went well; `value` is what the function returned.

    cancelled: the host's end cut the run off, so it neither went well nor failed.
    """

    invocation_id: str
    value: Any = field(default=None, repr=False)
    error: BaseException | None = None
    cancelled: bool = False

    @property
    def ok(self) -> bool:
        """Whether the function returned."""
        return self.error is None


class Invoker:
    """Runs functions and knows which runs are still going."""

    def __init__(self, new_id: Callable[[], str], threads: int | None) -> None:
        self._new_id = new_id
        self._threads = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="function")
        self._storage = threading.local()
        self._running: set[asyncio.Task[Outcome]] = set()
        self._ending = False

    @property
    def running(self) -> int:
        """How many runs are going on."""
        return len(self._running)

    async def invoke(self, function: HostedFunction, argument: object, trace_parent: str = "") -> Outcome:
        """Run a function once and return how it ended; only the host's own end cancels a run.

        A caller that goes away does not stop the run.
        """
        task = asyncio.create_task(self._run(function, argument, trace_parent), name=f"invoke {function.name}")
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return await asyncio.shield(task)

    def cancel_running(self) -> int:
        """Cancel what still runs and return how much that was; a `def` function in a thread cannot be stopped."""
        self._ending = True
        running = [task for task in self._running if not task.done()]
        for task in running:
            task.cancel()
        return len(running)

    def close(self) -> None:
        """Let go of the thread pool without waiting for functions that could not be stopped."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _run(self, function: HostedFunction, argument: object, trace_parent: str) -> Outcome:
        invocation_id = self._new_id()
        arguments: dict[str, Any] = {function.argument: argument}
        if function.wants_context:
            arguments["context"] = InvocationContext(function, invocation_id, trace_parent, self._storage)
        log.info("Executing %s (%s)", function.name, invocation_id)
        try:
            outcome = Outcome(invocation_id, await self._call(function, invocation_id, arguments))
        except (Exception, asyncio.CancelledError) as error:
            return self._failed(function, invocation_id, error)
        log.info("Executed %s (%s): succeeded", function.name, invocation_id)
        return outcome

    def _failed(self, function: HostedFunction, invocation_id: str, error: BaseException) -> Outcome:
        """Say how it ended; a function that raises CancelledError by itself has failed like any other."""
        if self._ending and isinstance(error, asyncio.CancelledError):
            log.warning("Cancelled %s (%s): the host ends", function.name, invocation_id)
            return Outcome(invocation_id, error=error, cancelled=True)
        # Not log.exception: the usual traceback shows the error's text, which may hold values.
        log.error("Executed %s (%s): failed, %s", function.name, invocation_id, where_and_which(error))
        return Outcome(invocation_id, error=error)

    async def _call(self, function: HostedFunction, invocation_id: str, arguments: Mapping[str, Any]) -> Any:
        if function.is_async:
            value = await function.call(**arguments)
        else:
            loop = asyncio.get_running_loop()
            value = await loop.run_in_executor(self._threads, self._in_thread, function, invocation_id, arguments)
        _check_answer(function, value)
        return value

    def _in_thread(self, function: HostedFunction, invocation_id: str, arguments: Mapping[str, Any]) -> Any:
        self._storage.invocation_id = invocation_id
        try:
            return function.call(**arguments)
        finally:
            self._storage.invocation_id = None


def _check_answer(function: HostedFunction, value: object) -> None:
    """Raise HostRefused where the function returned what the worker cannot send; it is the run's failure."""
    if function.trigger.kind == "http":
        if not isinstance(value, (str, func.HttpResponse)):
            raise refused(function.name, f"it returned {type(value).__name__}; return func.HttpResponse or str.")
    elif value is not None:
        raise refused(function.name, "it returned a value, but has no $return binding; return None.")


def where_and_which(error: BaseException) -> str:
    """Return the classes of an error and its causes, and the places it came through; never its text."""
    frames = traceback.extract_tb(error.__traceback__)
    places = " < ".join(f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in reversed(frames[-6:]))
    names = [type(error).__name__]
    cause = error.__cause__ or error.__context__
    while cause is not None and len(names) < 5:
        names.append(type(cause).__name__)
        cause = cause.__cause__ or cause.__context__
    return f"{' from '.join(names)} at {places}"
