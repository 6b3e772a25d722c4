"""Drives Microsoft's own runtime (package azure-functions-runtime): does the platform take our app, and how?

The runtime is what the worker of Python 3.13 and later runs inside; it indexes `function_app.py` and calls its
functions. Here its host, which in Azure is a .NET program speaking gRPC, is played by plain objects. One app per
process, so the runtime lives in a child process and is asked over its standard input and output, a JSON text per line.

    with RuntimeDriver(app_folder, {"ServiceBus": "..."}) as runtime:
        runtime.index()
        runtime.invoke_http("greet", "GET", "http://localhost/api/greet/Ada", route={"name": "Ada"})

From the command line, `python -m tests.contract.functions_host.runtime_driver <app_folder>` prints what was indexed
and ends with 1 if the app does not load.
"""

from __future__ import annotations

import asyncio
import base64
import importlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace, TracebackType
from typing import Any, TextIO
from uuid import uuid4


class NotIndexed(Exception):
    """The runtime refused the app, so that Azure would show no function at all; the text says why."""


@dataclass(frozen=True, slots=True)
class IndexedFunction:
    """A function as the runtime reports it to the host; `bindings` as the host reads them."""

    name: str
    function_id: str
    bindings: tuple[dict[str, Any], ...]

    @property
    def trigger(self) -> dict[str, Any]:
        """The binding that starts the function."""
        return next(binding for binding in self.bindings if binding["type"].lower().endswith("trigger"))


@dataclass(frozen=True, slots=True)
class Invoked:
    """How an invocation ended: `error` is empty when it went well; `status` and the rest are an HTTP answer's."""

    ok: bool
    error: str = ""
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    cookies: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


class RuntimeDriver:
    """The runtime in a child process, serving one app folder. Not for several threads at once."""

    def __init__(self, app_folder: Path, environment: Mapping[str, str] | None = None) -> None:
        self._folder = app_folder.resolve()
        self._environment = {**os.environ, **(environment or {})}
        self._child: subprocess.Popen[str] | None = None
        self._functions: dict[str, IndexedFunction] = {}

    def __enter__(self) -> RuntimeDriver:
        self._child = subprocess.Popen(  # noqa: S603 # our own file, our own interpreter
            [sys.executable, str(Path(__file__).resolve()), "--serve", str(self._folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env=self._environment,
            cwd=self._folder,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._child is not None
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.close()
        self._child.wait(timeout=20)
        self._child.stdout.close()

    def index(self) -> list[IndexedFunction]:
        """Return the functions of the app; raises NotIndexed with the runtime's reason. Asking again is fine."""
        if not self._functions:
            self._index(self._folder)
        return list(self._functions.values())

    def index_other(self, app_folder: Path) -> list[IndexedFunction]:
        """Turn to another app, which must be a single file, and return its functions; raises NotIndexed as `index`.

        The platform has one app per process; here the former is forgotten, to spare the start of another process.
        """
        self._index(app_folder.resolve())
        return list(self._functions.values())

    def _index(self, folder: Path) -> None:
        self._functions = {}
        answer = self._ask({"do": "index", "folder": str(folder)})
        if "error" in answer:
            raise NotIndexed(answer["error"])
        self._functions = {
            entry["name"]: IndexedFunction(
                entry["name"], entry["function_id"], tuple(json.loads(text) for text in entry["raw_bindings"])
            )
            for entry in answer["functions"]
        }

    def invoke_http(
        self,
        function: str,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
        route: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> Invoked:
        """Call an HTTP function; `route` holds the values of the route's parameters, `query` those of the query."""
        http = {
            "method": method,
            "url": url,
            "headers": {name.lower(): value for name, value in (headers or {}).items()},
            "query": dict(query or {}),
            "params": dict(route or {}),
        }
        return self._invoke(function, {"http": http, "body": _packed(body)})

    def invoke_queue(self, function: str, body: str, **metadata: Any) -> Invoked:
        """Hand a queue function a message.

        `metadata` is named as the Service Bus extension does it (MessageId, DeliveryCount, SessionId ...); texts cross
        as text, all else as JSON. `ApplicationProperties` also serve as `UserProperties`, both empty when left out.
        """
        properties = metadata.pop("ApplicationProperties", {})
        whole = {
            "MessageId": "message-1",
            "DeliveryCount": 1,
            **metadata,
            "ApplicationProperties": properties,
            "UserProperties": properties,
        }
        return self._invoke(function, {"string": body, "metadata": whole})

    def invoke_timer(self, function: str, past_due: bool = False) -> Invoked:
        """Fire a timer function."""
        request = {"Schedule": {"AdjustForDST": True}, "ScheduleStatus": None, "IsPastDue": past_due}
        return self._invoke(function, {"json": json.dumps(request)})

    def _invoke(self, name: str, data: dict[str, Any]) -> Invoked:
        self.index()
        function = self._functions[name]
        answer = self._ask(
            {"do": "invoke", "function_id": function.function_id, "parameter": function.trigger["name"], **data}
        )
        answer["body"] = base64.b64decode(answer.get("body", ""))
        return Invoked(**answer)

    def _ask(self, question: dict[str, Any]) -> dict[str, Any]:
        assert self._child is not None, "use the driver in a with statement"
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.write(json.dumps(question) + "\n")
        self._child.stdin.flush()
        line = self._child.stdout.readline()
        if not line:
            raise NotIndexed("the child process ended; its standard error says why (is the package installed?).")
        answer: dict[str, Any] = json.loads(line)
        return answer


def index(app_folder: Path, environment: Mapping[str, str] | None = None) -> list[IndexedFunction]:
    """Return what the runtime finds in an app folder; raises NotIndexed with its reason."""
    with RuntimeDriver(app_folder, environment) as runtime:
        return runtime.index()


def _packed(body: bytes) -> str:
    return base64.b64encode(body).decode()


# --- the child: what the .NET host would say, said by plain objects -----------------------------------


class _Message:
    """Any message of the protocol: keyword arguments become attributes, unset ones read as None."""

    def __init__(self, **fields: Any) -> None:
        self.__dict__.update(fields)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return None


class _TypedData:
    """One value of one kind; asking for another kind must fail, so that the runtime sees which one is set."""

    def __init__(self, **data: Any) -> None:
        self._kind: str | None = next(iter(data), None)
        self.__dict__.update(data)

    def WhichOneof(self, group: str) -> str | None:  # noqa: N802 # the protocol's spelling
        return self._kind


class _ParameterBinding(_Message):
    """A named value going to or coming from a function."""

    def WhichOneof(self, group: str) -> str:  # noqa: N802 # the protocol's spelling
        return "data"


class _StatusResult(_Message):
    Failure = 0
    Success = 1


class _BindingInfo(_Message):
    out = 1
    inout = 2
    undefined = 0


def _protocol() -> SimpleNamespace:
    """Return the message classes that the runtime looks for."""
    plain = (
        "RpcException RpcFunctionMetadata RpcRetryOptions RpcHttp WorkerMetadata WorkerInitResponse "
        "FunctionMetadataResponse FunctionLoadResponse InvocationResponse NullableString NullableBool "
        "NullableDouble NullableTimestamp"
    )
    same_site = SimpleNamespace(Lax=1, Strict=2, ExplicitNone=3, **{"None": 0})
    cookie = type("RpcHttpCookie", (_Message,), {"SameSite": same_site})
    return SimpleNamespace(
        **{name: type(name, (_Message,), {}) for name in plain.split()},
        RpcHttpCookie=cookie,
        TypedData=_TypedData,
        ParameterBinding=_ParameterBinding,
        StatusResult=_StatusResult,
        BindingInfo=_BindingInfo,
    )


def _request(**messages: Any) -> Any:
    return SimpleNamespace(request=SimpleNamespace(**messages), properties={"host": "127.0.0.1", "protos": _protocol()})


def _forget_app(runtime: Any, folder: str) -> None:
    """Let the next indexing find nothing of an app that was there before."""
    sys.path[0] = folder
    sys.modules.pop("function_app", None)
    importlib.invalidate_caches()
    runtime.handle_event._functions = runtime.functions.Registry()


async def _index_app(runtime: Any, folder: str) -> dict[str, Any]:
    asked = _Message(function_app_directory=folder, capabilities={})
    started = await runtime.worker_init_request(_request(worker_init_request=asked))
    if started.result.status != _StatusResult.Success:
        return {"error": str(started.result.exception.message)}
    found = await runtime.functions_metadata_request(_request(functions_metadata_request=_Message()))
    functions = [
        {"name": entry.name, "function_id": entry.function_id, "raw_bindings": list(entry.raw_bindings)}
        for entry in found.function_metadata_results or []
    ]
    return {"functions": functions}


async def _invoke_function(runtime: Any, question: Mapping[str, Any]) -> dict[str, Any]:
    asked = _Message(
        invocation_id=str(uuid4()),
        function_id=question["function_id"],
        input_data=[_ParameterBinding(name=question["parameter"], data=_input(question))],
        trigger_metadata={name: _typed(value) for name, value in question.get("metadata", {}).items()},
        trace_context=_Message(trace_parent="", trace_state="", attributes={}),
        retry_context=_Message(retry_count=0, max_retry_count=0),
    )
    answer = await runtime.invocation_request(_request(invocation_request=asked))
    if answer.result.status != _StatusResult.Success:
        return {"ok": False, "error": str(answer.result.exception.message)}
    return {"ok": True, **_answered(answer.return_value)}


def _input(question: Mapping[str, Any]) -> _TypedData:
    if "http" in question:
        body = _TypedData(bytes=base64.b64decode(question["body"]))
        return _TypedData(http=_Message(**question["http"], body=body))
    return _TypedData(string=question["string"]) if "string" in question else _TypedData(json=question["json"])


def _typed(value: object) -> _TypedData:
    return _TypedData(string=value) if isinstance(value, str) else _TypedData(json=json.dumps(value))


def _answered(value: Any) -> dict[str, Any]:
    """Return an HTTP answer's parts; a text alone is a 200."""
    match value.WhichOneof("data") if value is not None else None:
        case None:
            return {}
        case "http":
            http = value.http
            return {
                "status": int(http.status_code),
                "headers": dict(http.headers),
                "cookies": {cookie.name: cookie.value for cookie in http.cookies or []},
                "body": _packed(http.body.bytes),
            }
        case kind:
            return {"status": 200, "body": _packed(str(getattr(value, kind)).encode())}


async def _serve(out: TextIO) -> None:
    runtime = importlib.import_module("azure_functions_runtime")
    runtime.start_threadpool_executor()
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        question = json.loads(line)
        if question["do"] == "index":
            _forget_app(runtime, question["folder"])
            answer = await _index_app(runtime, question["folder"])
        else:
            answer = await _invoke_function(runtime, question)
        out.write(json.dumps(answer) + "\n")
        out.flush()
    runtime.stop_threadpool_executor()


def _be_the_child(folder: str) -> None:
    """Keep the standard output for answers alone (functions may print), and import from the app's folder first."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    sys.path[0] = folder
    asyncio.run(_serve(out))


def _main() -> int:
    if sys.argv[1] == "--serve":
        _be_the_child(sys.argv[2])
        return 0
    try:
        functions = index(Path(sys.argv[1]))
    except NotIndexed as error:
        print(f"The runtime loads no function: {error}")
        return 1
    for function in functions:
        print(f"{function.name}: {function.trigger['type']}")
    return 0


if __name__ == "__main__":
    sys.exit(_main())
