"""What the interface does with a request that has been let in."""

from __future__ import annotations

import base64
import json
import re
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sandbox.problems import ApiError, FieldError, NotImitated, bad_request
from sandbox.rows_on_disk import CHANGED_AT, REVISION, Row
from sandbox.sales_cockpit.options import SalesCockpitOptions
from sandbox.sales_cockpit.rating import rated
from sandbox.sales_cockpit.store import EVALUATIONS, PROJECTS, SOLUTIONS, Store

LONGEST_NAME = 200
DEFAULT_LIMIT, LARGEST_LIMIT = 100, 500
EXTERNAL_SYSTEM = "dataverse"
_GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True)
class Call:
    """One request below the base. by: who signed in. `stale` is how old a read shall be, or None."""

    method: str
    segments: tuple[str, ...]
    query: Mapping[str, str]
    by: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    stale: float | None = None


@dataclass(frozen=True)
class Answer:
    """What a request is answered with; `body` None is no body."""

    status: int
    body: Any = None


class Api:
    """The requests of the contract. portal: the address under which people open projects."""

    def __init__(self, store: Store, options: SalesCockpitOptions, portal: str) -> None:
        self._store = store
        self.options = options
        self.portal = portal

    def answer(self, call: Call) -> Answer:
        """Carry out a request; raises ApiError and NotImitated."""
        match call.segments, call.method:
            case ("projects",), "GET":
                return self._find(call)
            case ("projects",), "POST":
                return self._create(call)
            case ("projects", key), "PATCH":
                return Answer(200, self.shown(key, self.change(key, _object(call.body))))
            case ("projects", key), "DELETE" if self.options.deletes:
                self.delete(key)
                return Answer(204)
            case ("solutions",), "GET":
                return self._solutions(call)
            case ("evaluations",), "GET":
                return self._evaluations(call)
            case (("projects" | "solutions" | "evaluations"),) | ("projects", _), _:
                raise ApiError(405, "MethodNotAllowed", f"{call.method} is not offered here.")
            case (_,), _:
                raise ApiError(404, "NoSuchPath", "There is nothing at this address.")
        raise NotImitated("an address outside the contract")

    # --- projects ---

    def shown(self, key: str, row: Row) -> dict[str, Any]:
        """A project as the interface shows it."""
        told = {name: row[name] for name in ("externalId", "name", "solutionId")}
        return {"projectId": key, **told, "url": f"{self.portal}/projects/{key}/open"}

    def _find(self, call: Call) -> Answer:
        _known(call.query, "externalId")
        opportunity = call.query.get("externalId", "")
        if not _GUID.fullmatch(opportunity):
            raise bad_request("BadParameter", "Projects are asked for by the externalId, a GUID.", "externalId")
        found = self._store.project_of(opportunity)
        if call.stale is not None:
            found = self._as_of(found, call.stale)
        return Answer(200, {"items": [] if found is None else [self.shown(*found)]})

    def _as_of(self, found: tuple[str, Row] | None, seconds: float) -> tuple[str, Row] | None:
        if found is None:
            return None
        row = self._store.as_of(PROJECTS, found[0], seconds)
        return None if row is None else (found[0], row)

    def _create(self, call: Call) -> Answer:
        """One project for an opportunity: the same key of repetition answers the same one, everybody else is told that
        it is there."""
        values = self._new_project(_object(call.body))
        key = call.headers.get("idempotency-key")
        if key is not None and key != values["externalId"]:
            raise bad_request("BadIdempotencyKey", "The key of repetition is the externalId.", "Idempotency-Key")
        known = self._store.project_of(values["externalId"])
        if known is not None:
            return Answer(409 if key is None else 200, self.shown(*known))
        return Answer(201, self.shown(*self.create(values, call.by)))

    def _new_project(self, body: Mapping[str, Any]) -> dict[str, Any]:
        errors = list(_unknown(body, ("externalSystem", "externalId", "name", "solutionId")))
        if body.get("externalSystem") != EXTERNAL_SYSTEM:
            errors.append(FieldError("externalSystem", "WrongValue", f"It is {EXTERNAL_SYSTEM}."))
        if not isinstance(body.get("externalId"), str) or not _GUID.fullmatch(body["externalId"]):
            errors.append(FieldError("externalId", "WrongValue", "It is a GUID in small letters."))
        errors += _name_errors(body.get("name"))
        self._check(errors, body.get("solutionId"))
        return {"externalId": body["externalId"], "name": body["name"], "solutionId": body.get("solutionId")}

    def create(self, values: Mapping[str, Any], by: str) -> tuple[str, Row]:
        """Make a project."""
        key = f"P-{self._store.new_id()}"
        return key, self._store.write(PROJECTS, key, {**values, "createdBy": by})

    def change(self, key: str, body: Mapping[str, Any]) -> Row:
        """Change a project's name, its solution, or both."""
        row = self.project(key)
        errors = list(_unknown(body, ("name", "solutionId")))
        errors += _name_errors(body["name"]) if "name" in body else []
        if "solutionId" in body and body["solutionId"] is None:
            errors.append(FieldError("solutionId", "Required", "A solution can be replaced, not taken away."))
        self._check(errors, body.get("solutionId"))
        after = {**row, **body}
        return row if after == row else self._store.write(PROJECTS, key, after)

    def delete(self, key: str) -> None:
        """Delete a project with its evaluations; raises the 404 for one that is not there."""
        row = self.project(key)
        for evaluation, one in list(self._store.evaluations_of(key)):
            self._store.write(EVALUATIONS, evaluation, one, deleted=True)
        self._store.write(PROJECTS, key, row, deleted=True)

    def rate(self, key: str, by: str, lights: Mapping[str, int]) -> dict[str, Any]:
        """Keep a rating; it is in the feed from now on. Returns the evaluation as it is told."""
        row, outcome = self.project(key), rated(lights)
        evaluation = str(uuid.uuid5(uuid.NAMESPACE_URL, f"evaluation {key} {self._store.revision}"))
        values = {
            "projectId": key,
            "opportunityId": row["externalId"],
            "evaluatedAt": self._store.now(),
            "evaluatedBy": by,
            "lights": dict(lights),
            "probability": outcome.probability,
            "results": dict(outcome.results),
        }
        return told(evaluation, self._store.write(EVALUATIONS, evaluation, values))

    def project(self, key: str) -> Row:
        """A project that is there; raises the 404."""
        row = self._store.get(PROJECTS, key)
        if row is None:
            raise ApiError(404, "NotFound", "There is no such project.")
        return row

    def _check(self, errors: list[FieldError], solution: Any) -> None:
        if errors:
            raise ApiError(422, "InvalidFields", "Some fields cannot be taken.", errors)
        if solution is None:
            return
        row = self._store.get(SOLUTIONS, solution) if isinstance(solution, str) else None
        if row is None or not row["active"]:
            wrong = FieldError("solutionId", "UnknownSolution", "There is no such solution in use.")
            raise ApiError(422, "UnknownSolution", "There is no such solution in use.", [wrong])

    # --- lists ---

    def _solutions(self, call: Call) -> Answer:
        _known(call.query, "cursor", "limit")
        rows = [({"id": key, "name": row["name"], "active": row["active"]}, row) for key, row in self._by(SOLUTIONS)]
        return self._page(call, rows)

    def _evaluations(self, call: Call) -> Answer:
        _known(call.query, "changedSince", "cursor", "limit")
        since = _moment(call.query.get("changedSince"))
        rows = [
            (told(key, row), row) for key, row in self._by(EVALUATIONS) if since is None or row[CHANGED_AT] >= since
        ]
        return self._page(call, rows)

    def _by(self, table: str) -> Iterable[tuple[str, Row]]:
        """Rows that are there, the longest unchanged first."""
        return ((key, row) for key, row in self._store.by_change(table) if self._store.get(table, key) is not None)

    def _page(self, call: Call, rows: list[tuple[dict[str, Any], Row]]) -> Answer:
        """A page goes on behind the last row that was told, so that what changes meanwhile comes later."""
        asked = [*call.segments, call.query.get("changedSince", "")]
        limit, place = _limit(call.query.get("limit")), _place(call.query.get("cursor"), asked)
        left = [(item, row) for item, row in rows if row[REVISION] > place]
        shown = left[:limit]
        following = _cursor(asked, shown[-1][1][REVISION]) if len(left) > limit else None
        return Answer(200, {"items": [item for item, _ in shown], "nextCursor": following})


def told(key: str, row: Row) -> dict[str, Any]:
    """An evaluation as it is told: over the feed, and when it is sent at once."""
    return {
        "evaluationId": key,
        "projectId": row["projectId"],
        "opportunityId": row["opportunityId"],
        "evaluatedAt": iso(row["evaluatedAt"]),
        "evaluatedBy": row["evaluatedBy"],
        "probability": row["probability"],
        "results": dict(row["results"]),
    }


def iso(at: datetime) -> str:
    """A moment as the interface writes it."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _object(body: Any) -> Mapping[str, Any]:
    if not isinstance(body, dict):
        raise bad_request("BadBody", "The body is an object.")
    return body


def _known(query: Mapping[str, str], *names: str) -> None:
    if strange := next((name for name in query if name not in names), None):
        raise bad_request("UnknownParameter", f"This takes no {strange}.", strange)


def _unknown(body: Mapping[str, Any], names: Iterable[str]) -> Iterable[FieldError]:
    return (FieldError(name, "Unknown", "A project has no such field.") for name in body if name not in names)


def _name_errors(name: Any) -> list[FieldError]:
    if isinstance(name, str) and name.strip() and len(name) <= LONGEST_NAME:
        return []
    return [FieldError("name", "WrongValue", f"It is a text of 1 to {LONGEST_NAME} characters.")]


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise bad_request("BadParameter", "This is a moment with its zone.", "changedSince")
    return moment


def _limit(text: str | None) -> int:
    if text is None:
        return DEFAULT_LIMIT
    if not text.isdecimal() or not 1 <= int(text) <= LARGEST_LIMIT:
        raise bad_request("BadParameter", f"The limit is 1 to {LARGEST_LIMIT}.", "limit")
    return int(text)


def _cursor(asked: list[str], place: int) -> str:
    return base64.urlsafe_b64encode(json.dumps([place, asked]).encode()).decode()


def _place(text: str | None, asked: list[str]) -> int:
    if text is None:
        return 0
    try:
        place, given = json.loads(base64.urlsafe_b64decode(text.encode()))
    except (ValueError, TypeError, UnicodeError):
        place, given = None, None
    if given != asked or not isinstance(place, int):
        raise bad_request("BadCursor", "The cursor was not given for this.", "cursor")
    return place
