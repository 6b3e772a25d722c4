"""Webhook calls: synchronous ones inside the request, asynchronous ones as system jobs, on the sandbox's clock.

Only the status of the answer counts. 2xx is success; 502, 503 and 504 earn exactly one further attempt; anything
else, and silence for 60 seconds, is a failure (Microsoft Learn, 'Use Webhooks to create external handlers for
server events'). A failed synchronous step undoes the operation; a failed asynchronous one is a failed system job.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import httpx

from sandbox.clock import Clock
from sandbox.dataverse import errors
from sandbox.dataverse.context import ContextWriter, Event, Step, trim
from sandbox.dataverse.encoding import to_notice_json
from sandbox.dataverse.options import DataverseOptions
from sandbox.dataverse.registrations import POST_OPERATION, InvalidAuthValue, Registrations, authentication
from sandbox.dataverse.store import Row, Store
from sandbox.disk import Disk
from sandbox.faults import NoticeFaults
from sandbox.outbox import Outbox

RETRIED = frozenset({502, 503, 504})
SUCCEEDED, FAILED, WAITING = 30, 31, 0
COMPLETED = 3


@dataclass(frozen=True)
class Delivery:
    """One call to make: the body as text, for which step and job, and which copy and attempt it is."""

    job_id: str
    copy: int
    attempt: int
    step_id: str
    body: str
    headers: dict[str, str]
    due: datetime

    @property
    def key(self) -> str:
        """Return the name under which the delivery waits."""
        return f"{self.job_id}:{self.copy}"


@dataclass(frozen=True)
class Outcome:
    """How a call went: an error code and a sentence, or neither. `again` marks the statuses that are retried."""

    code: str | None = None
    text: str | None = None
    again: bool = False


SUCCESS = Outcome()


class Notices:
    """Sends what the registered steps ask for."""

    def __init__(
        self,
        *,
        store: Store,
        disk: Disk,
        registrations: Registrations,
        writer: ContextWriter,
        clock: Clock,
        faults: NoticeFaults,
        options: DataverseOptions,
        domain: str,
        new_id: Callable[[], str],
        client: Callable[[], httpx.AsyncClient],
    ) -> None:
        self._store = store
        self._disk = disk
        self._registrations = registrations
        self._writer = writer
        self._clock = clock
        self._faults = faults
        self._options = options
        self._domain = domain
        self._new_id = new_id
        self._client = client
        self.outbox: Outbox[Delivery] = Outbox(clock, self._deliver)
        for kept in disk.load("notice").values():
            self.outbox.put(Delivery(**kept), kept["due"])

    async def synchronous(self, event: Event, stage: int) -> None:
        """Call the synchronous steps of an event at a stage, one after another; raises DataverseError when one
        fails."""
        for step in self._steps(event, asynchronous=False, stage=stage):
            body, headers = self._request(event, step, event.caller.request_id)
            outcome = await self._call(step.step_id, body, headers)
            if outcome.again:
                await self._clock.sleep(self._options.retry_delay_seconds)
                outcome = await self._call(step.step_id, body, headers)
            if outcome.code is not None:
                raise errors.webhook_failed(outcome.code, outcome.text or "")

    def asynchronous(self, event: Event) -> None:
        """Queue a system job per asynchronous step of an event that has just been committed."""
        for step in self._steps(event, asynchronous=True, stage=POST_OPERATION):
            delays = self._faults.delays()
            if not delays:
                continue
            job_id = self._new_id()
            self._add_job(job_id, event, step)
            body, headers = self._request(event, step, job_id)
            now = self._clock.now()
            for copy, delay in enumerate(delays):
                due = now + timedelta(seconds=self._options.async_delay_seconds + delay)
                self._enqueue(Delivery(job_id, copy, 1, step.step_id, body, headers, due))

    def has_synchronous(self, table: str, message: str, stage: int) -> bool:
        """Say whether a write of this kind may call somebody at a stage, before it is committed."""
        steps = self._registrations.steps(table, message)
        return any(not step.asynchronous and step.stage == stage for step in steps)

    def _steps(self, event: Event, *, asynchronous: bool, stage: int) -> list[Step]:
        steps = self._registrations.steps(event.table.name, event.message)
        fitting = (step for step in steps if step.asynchronous is asynchronous and step.stage == stage)
        return [step for step in fitting if step.wants(event)]

    def _request(self, event: Event, step: Step, operation_id: str) -> tuple[str, dict[str, str]]:
        context = self._writer.body(event, step, operation_id)
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "x-request-id": self._new_id(),
            "x-ms-dynamics-organization": self._domain,
            "x-ms-dynamics-entity-name": event.table.name,
            "x-ms-dynamics-request-name": event.message,
            "x-ms-correlation-request-id": event.caller.correlation_id,
        }
        body = to_notice_json(context)
        if len(body.encode()) > self._options.notice_limit_bytes:
            body = to_notice_json(trim(context, self._options.trimmed_members))
            headers["x-ms-dynamics-msg-size-exceeded"] = "true"
        return body, headers

    def _enqueue(self, delivery: Delivery) -> None:
        if self._disk.keeps:
            self._disk.put("notice", delivery.key, asdict(delivery))
        self.outbox.put(delivery, delivery.due)

    async def _deliver(self, delivery: Delivery) -> None:
        """Make the call of a waiting delivery; a second attempt is a new wait, everything else ends it."""
        if self._store.get("asyncoperation", delivery.job_id) is not None:
            self._change_job(delivery.job_id, {"startedon": self._clock.now().replace(microsecond=0)})
        outcome = await self._call(delivery.step_id, delivery.body, delivery.headers)
        if outcome.again and delivery.attempt == 1:
            due = self._clock.now() + timedelta(seconds=self._options.retry_delay_seconds)
            self._enqueue(replace(delivery, attempt=2, due=due))
            self._change_job(delivery.job_id, {"retrycount": 1})
        else:
            self._disk.delete("notice", delivery.key)
            if delivery.copy == 0:
                self._end_job(delivery, outcome)
        self._disk.commit()

    # Calling

    async def _call(self, step_id: str, body: str, headers: Mapping[str, str]) -> Outcome:
        step = self._store.get("sdkmessageprocessingstep", step_id)
        endpoint = self._registrations.endpoint(step["eventhandler"]) if step is not None else None
        if endpoint is None:
            return Outcome("0x80050205", "The step or its endpoint has been deleted.")
        try:
            added_headers, query = authentication(endpoint)
        except InvalidAuthValue:
            kind = "0x80050203" if endpoint["authtype"] == 5 else "0x80050204"
            return Outcome(kind, "The authValue of the webhook is not valid.")
        request = self._client().build_request(
            "POST",
            httpx.URL(endpoint["url"]).copy_merge_params(query) if query else endpoint["url"],
            content=body.encode(),
            headers={**headers, **added_headers},
            timeout=self._options.notice_timeout_seconds,
        )
        return await self._post(request)

    async def _post(self, request: httpx.Request) -> Outcome:
        post = asyncio.ensure_future(self._client().send(request))
        limit = asyncio.ensure_future(self._clock.sleep(self._options.notice_timeout_seconds))
        try:
            await asyncio.wait({post, limit}, return_when=asyncio.FIRST_COMPLETED)
            return _outcome(post.result()) if post.done() else _timed_out()
        except httpx.TimeoutException:
            return _timed_out()
        except httpx.HTTPError:
            return Outcome("0x80050205", "The webhook post failed: no connection.")
        finally:
            await _stop(post, limit)

    # System jobs

    def _add_job(self, job_id: str, event: Event, step: Step) -> None:
        now = event.at.replace(microsecond=0)
        row = {
            "asyncoperationid": job_id,
            "name": step.name,
            "operationtype": 1,
            "messagename": event.message,
            "primaryentitytype": event.table.name,
            "owningextensionid": step.step_id,
            "regardingobjectid": event.row_id,
            "regardingobjectid@table": event.table.name,
            "correlationid": event.caller.correlation_id,
            "requestid": event.caller.request_id,
            "retrycount": 0,
            "statecode": 0,
            "statuscode": WAITING,
            "createdon": now,
            "modifiedon": now,
        }
        self._store.put("asyncoperation", job_id, row)

    def _change_job(self, job_id: str, changes: Mapping[str, Any]) -> None:
        row: Row | None = self._store.get("asyncoperation", job_id)
        if row is not None:
            self._store.put("asyncoperation", job_id, {**row, **changes})

    def _end_job(self, delivery: Delivery, outcome: Outcome) -> None:
        now = self._clock.now().replace(microsecond=0)
        step = self._store.get("sdkmessageprocessingstep", delivery.step_id)
        if outcome.code is None and step is not None and step.get("asyncautodelete"):
            if self._store.get("asyncoperation", delivery.job_id) is not None:
                self._store.remove("asyncoperation", delivery.job_id)
            return
        changes: dict[str, Any] = {
            "statecode": COMPLETED,
            "statuscode": SUCCEEDED,
            "completedon": now,
            "modifiedon": now,
        }
        if outcome.code is not None:
            signed = int(outcome.code, 16) - (1 << 32)
            changes |= {"statuscode": FAILED, "errorcode": signed}
            changes |= {"friendlymessage": outcome.text, "message": outcome.text}
        self._change_job(delivery.job_id, changes)


def _outcome(response: httpx.Response) -> Outcome:
    if response.is_success:
        return SUCCESS
    reason = "because the http request received non-success httpStatus code"
    text = f"The webhook call failed {reason}: {response.status_code}."
    return Outcome("0x80050201", text, again=response.status_code in RETRIED)


def _timed_out() -> Outcome:
    return Outcome("0x80050202", "The webhook call failed because the http request timed out at the client side.")


async def _stop(*tasks: asyncio.Future[Any]) -> None:
    """End what is still running and take its exception, so that nobody complains about it later."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
