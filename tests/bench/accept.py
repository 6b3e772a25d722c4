"""B1: a notice of Dataverse from the platform's request object to the queue, through the real function."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import azure.functions as func

from functions import webhooks
from shared.app import App, Outside, installed
from shared.messaging.outgoing import send_at_once, send_in_turn
from shared.sync.ports import DeadLetter, Outgoing, QueueView
from tests.bench.figures import Figure, Work, compared, in_turn
from tests.bench.servers import ORGANIZATION

SECRET: Final = "webhook-secret-of-the-benchmarks-1"  # of this run only
SIZE_BYTES: Final = 4096
NOON: Final = datetime(2026, 3, 2, 12, tzinfo=UTC)
GUID: Final = "3f1c6d3e-0d8b-4a52-8e5a-{:012d}"
Handler = Callable[[func.HttpRequest], Awaitable[func.HttpResponse]]


class StillClock:
    """Always the same moment, at which the notice is fresh."""

    def now(self) -> datetime:
        """The moment."""
        return NOON

    def monotonic(self) -> float:
        """The same."""
        return 0.0

    async def sleep(self, seconds: float) -> None:
        """Do not wait."""


class CountingQueue:
    """A queue that only counts, so that the figure ends where the queue begins.

    at_once: send to several queues as the one of Service Bus does, with its tasks; else one call is one count.
    """

    def __init__(self, at_once: bool = False) -> None:
        self.taken = 0
        self._at_once = at_once

    async def send(self, queue: str, messages: Sequence[Outgoing]) -> None:
        """Count."""
        self.taken += len(messages)

    async def send_all(self, by_queue: Mapping[str, Sequence[Outgoing]]) -> None:
        """Count."""
        await (send_at_once if self._at_once else send_in_turn)(self.send, by_queue)

    async def dead_letters(self, queue: str, limit: int) -> Sequence[DeadLetter]:
        """None."""
        return []

    async def settle_dead_letter(self, queue: str, letter: DeadLetter) -> None:
        """Nothing to settle."""

    async def look(self, queue: str) -> QueueView:
        """Nothing."""
        return QueueView(None, 0)


def body() -> bytes:
    """A RemoteExecutionContext of 4 KB: the update of an account with its image, as Dataverse posts it."""
    stamp = f"/Date({int(NOON.timestamp() * 1000)})/"
    namespace = "http://schemas.microsoft.com/xrm/2011/Contracts"
    reference = f"EntityReference:{namespace}"

    def entity(columns: int) -> dict[str, Any]:
        values: list[dict[str, Any]] = [
            {"key": "accountid", "value": GUID.format(1)},
            {"key": "telephone1", "value": "+390471000001"},
            {"key": "modifiedon", "value": stamp},
            {"key": "modifiedby", "value": {"__type": reference, "Id": GUID.format(2), "LogicalName": "systemuser"}},
        ]
        values += [{"key": f"crossdock_column{at}", "value": f"value of column {at}"} for at in range(columns)]
        return {
            "__type": f"Entity:{namespace}",
            "Attributes": values,
            "EntityState": None,
            "FormattedValues": [],
            "Id": GUID.format(1),
            "KeyAttributes": [],
            "LogicalName": "account",
            "RelatedEntities": [],
            "RowVersion": "4711",
        }

    def context(columns: int) -> bytes:
        content = {
            "BusinessUnitId": GUID.format(3),
            "CorrelationId": GUID.format(4),
            "Depth": 1,
            "InitiatingUserAzureActiveDirectoryObjectId": GUID.format(5),
            "InitiatingUserId": GUID.format(2),
            "InputParameters": [{"key": "Target", "value": entity(columns)}],
            "IsExecutingOffline": False,
            "IsInTransaction": False,
            "IsOfflinePlayback": False,
            "IsolationMode": 1,
            "MessageName": "Update",
            "Mode": 1,
            "OperationCreatedOn": stamp,
            "OperationId": GUID.format(6),
            "OrganizationId": ORGANIZATION,
            "OrganizationName": "alpenholz",
            "OutputParameters": [],
            "OwningExtension": {
                "Id": GUID.format(7),
                "KeyAttributes": [],
                "LogicalName": "sdkmessageprocessingstep",
                "Name": "Crossdock: Update of account",
                "RowVersion": None,
            },
            "ParentContext": None,
            "PostEntityImages": [{"key": "image", "value": entity(columns)}],
            "PreEntityImages": [],
            "PrimaryEntityId": GUID.format(1),
            "PrimaryEntityName": "account",
            "RequestId": GUID.format(8),
            "SecondaryEntityName": "none",
            "SharedVariables": [{"key": "IsAutoTransact", "value": True}],
            "Stage": 40,
            "UserId": GUID.format(2),
        }
        return json.dumps(content, separators=(",", ":")).encode()

    columns = 0
    while len(context(columns + 1)) <= SIZE_BYTES:
        columns += 1
    return context(columns)


def _request(content: bytes) -> func.HttpRequest:
    headers = {
        "content-type": "application/json",
        "x-crossdock-secret": SECRET,
        "x-request-id": GUID.format(9),
        "x-ms-dynamics-organization": "alpenholz.crm4.dynamics.com",
        "x-ms-dynamics-entity-name": "account",
        "x-ms-dynamics-request-name": "Update",
        "x-ms-correlation-request-id": GUID.format(4),
    }
    return func.HttpRequest(
        method="POST", url="https://app.example/api/webhooks/dataverse", headers=headers, body=content
    )


async def empty(req: func.HttpRequest) -> func.HttpResponse:
    """The least a function can do."""
    return func.HttpResponse(status_code=202)


def _function() -> Handler:
    """The function as the platform finds it; an app of its own, because an app can be read once only."""
    app = func.FunctionApp()
    app.register_functions(webhooks.blueprint)
    found = {one.get_function_name(): one.get_user_function() for one in app.get_functions()}
    function: Handler = found["dataverse_webhook"]
    return function


def _app(queue: CountingQueue) -> App:
    environment = {
        "CROSSDOCK_LOCAL": "on",
        "CROSSDOCK_DATAVERSE_ORGANIZATION_ID": ORGANIZATION,
        "CROSSDOCK_DATAVERSE_WEBHOOK_SECRET": SECRET,
    }
    return App(environment, Outside(clock=StillClock(), queue=queue))


def _calling(handler: Handler, content: bytes, times: int, queue: CountingQueue | None = None) -> Work:
    app = _app(queue or CountingQueue())

    async def work() -> int:
        with installed(app):
            for _ in range(times):
                answer = await handler(_request(content))
                if answer.status_code != 202:
                    raise SystemExit(f"the webhook answered {answer.status_code}; nothing can be measured")
        return times

    return work


def _parsing(content: bytes, times: int) -> Work:
    async def work() -> int:
        for _ in range(times):
            json.loads(content)
        return times

    return work


async def _measure(rounds: int, times: int) -> list[Figure]:
    queues, content, accept = (CountingQueue(), CountingQueue(at_once=True)), body(), _function()
    for queue in queues:
        await _calling(accept, content, 20, queue)()
        queue.taken = 0
    contestants = {
        "accept": _calling(accept, content, times, queues[0]),
        "at once": _calling(accept, content, times, queues[1]),
        "empty": _calling(empty, content, times),
        "json": _parsing(content, times),
    }
    seconds = await in_turn(contestants, rounds)
    if any(queue.taken != 2 * times * rounds for queue in queues):
        raise SystemExit("not every notice reached both queues; nothing can be measured")
    nothing, parsing = "an empty function, same request", "json.loads of the body alone"
    what = f"accept a notice of {len(content)} bytes"
    us = ("B1", what, "us CPU", 1e6, seconds["accept"])
    at_once = ("B1", f"{what}, sending to both queues at once", "us CPU", 1e6, seconds["at once"])
    return [
        compared(*us, seconds["empty"], baseline_is=nothing, goal="at most 8"),
        compared(*us, seconds["json"], baseline_is=parsing, goal="at most 1"),
        compared(*at_once, seconds["empty"], baseline_is=nothing),
    ]


def measure(rounds: int, times: int = 3000) -> list[Figure]:
    """Processor time per notice, `times` of them in each round."""
    return asyncio.run(_measure(rounds, times))
