"""BulkDelete: a system job that deletes rows some time after it was asked for.

After Microsoft Learn, 'Delete data in bulk' and 'BulkDelete Action'. Of all queries only a list of ids is imitated,
which is what Microsoft's Python client sends.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from starlette.responses import Response

from sandbox.clock import Clock
from sandbox.dataverse import errors
from sandbox.dataverse.calls import Call, json_answer, method_not_allowed
from sandbox.dataverse.context import Caller
from sandbox.dataverse.errors import DataverseError, NotImitated
from sandbox.dataverse.metadata import Model, Table
from sandbox.dataverse.notices import COMPLETED, FAILED, SUCCEEDED, WAITING
from sandbox.dataverse.records import Records
from sandbox.dataverse.store import Store
from sandbox.disk import Disk
from sandbox.outbox import Outbox

BULK_DELETE = 13
"""The operation type of such a job."""
NEEDED = ("QuerySet", "JobName", "SendEmailNotification", "ToRecipients", "CCRecipients", "RecurrencePattern")


@dataclass(frozen=True)
class Job:
    """Rows to delete, in whose name, and when."""

    job_id: str
    table: str
    ids: tuple[str, ...]
    user_id: str
    due: datetime


class BulkDeletes:
    """Takes the action and runs its jobs; `outbox` holds what waits."""

    def __init__(
        self,
        *,
        model: Model,
        store: Store,
        disk: Disk,
        records: Records,
        clock: Clock,
        root: str,
        seconds: float,
        new_id: Callable[[], str],
    ) -> None:
        self._model = model
        self._store = store
        self._disk = disk
        self._records = records
        self._clock = clock
        self._root = root
        self._seconds = seconds
        self._new_id = new_id
        self.outbox: Outbox[Job] = Outbox(clock, self._run)
        for kept in disk.load("bulk-delete").values():
            self.outbox.put(Job(**{**kept, "ids": tuple(kept["ids"])}), kept["due"])

    def take(self, call: Call) -> Response:
        """Take the action and answer the id of its job; raises DataverseError or NotImitated."""
        if call.method != "POST":
            raise method_not_allowed(call.method)
        body = call.json()
        missing = [name for name in NEEDED if not isinstance(body, dict) or name not in body]
        if missing:
            raise errors.payload_error("BulkDelete", f"The parameter '{missing[0]}' is missing.")
        if body["SendEmailNotification"] or body["RecurrencePattern"] or len(body["QuerySet"]) != 1:
            raise NotImitated("bulk deletion that recurs, sends mail or has several queries")
        table, ids = self._chosen(body["QuerySet"][0])
        now = self._clock.now().replace(microsecond=0)
        job = Job(self._new_id(), table.name, tuple(ids), call.caller.user_id, now + timedelta(seconds=self._seconds))
        self._note(job, str(body["JobName"]), now)
        context = f"{self._root}/$metadata#Microsoft.Dynamics.CRM.BulkDeleteResponse"
        return json_answer({"@odata.context": context, "JobId": job.job_id})

    def _chosen(self, query: Any) -> tuple[Table, Sequence[str]]:
        table = self._model.tables.get(query.get("EntityName", ""))
        if table is None:
            raise errors.invalid_argument(f"The entity '{query.get('EntityName')}' does not exist.")
        conditions = (query.get("Criteria") or {}).get("Conditions") or []
        one = conditions[0] if len(conditions) == 1 else {}
        if (one.get("AttributeName"), one.get("Operator")) != (table.primary_id, "In"):
            raise NotImitated("bulk deletion by anything but a list of ids")
        return table, [str(value["Value"]).lower() for value in one["Values"]]

    def _note(self, job: Job, name: str, now: datetime) -> None:
        row = {
            "asyncoperationid": job.job_id,
            "name": name[:256],
            "operationtype": BULK_DELETE,
            "statecode": 0,
            "statuscode": WAITING,
            "createdon": now,
            "modifiedon": now,
        }
        self._store.put("asyncoperation", job.job_id, row)
        self._disk.put("bulk-delete", job.job_id, asdict(job))
        self.outbox.put(job, job.due)

    async def _run(self, job: Job) -> None:
        """Delete row by row; a row that cannot go stays, and the job says that it failed."""
        refused = 0
        for row_id in job.ids:
            try:
                caller = Caller(user_id=job.user_id, correlation_id=job.job_id, request_id=job.job_id)
                await self._records.delete(self._model.tables[job.table], row_id, caller)
            except DataverseError as error:
                refused += error.status != 404
        row = self._store.get("asyncoperation", job.job_id)
        if row is not None:
            now = self._clock.now().replace(microsecond=0)
            status = FAILED if refused else SUCCEEDED
            ended = {"statecode": COMPLETED, "statuscode": status, "completedon": now, "modifiedon": now}
            self._store.put("asyncoperation", job.job_id, {**row, **ended})
        self._disk.delete("bulk-delete", job.job_id)
        self._disk.commit()
