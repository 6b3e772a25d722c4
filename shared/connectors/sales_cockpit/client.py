"""The Cockpit's interface as requests: its projects and evaluations, and errors by class.

What it answers is input from outside: of another shape than the contract says, or longer, it is no answer.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote

from shared.allotment import Allowed
from shared.connectors.answers import bad_answer, object_of
from shared.connectors.keys import canonical_guid
from shared.connectors.sales_cockpit.errors import SYSTEM, Doing, error_of
from shared.errors import BadAnswer, ConnectorError, UnknownResult
from shared.http_client import Call, Reply, Sender
from shared.sales_cockpit.ports import Evaluation, EvaluationPage, Project, User
from shared.strict_json import Json, JsonObject, WrongShape, as_list, as_object, as_text

log = logging.getLogger(__name__)

ALLOWED: Final = Allowed(at_once=4)
"""The contract names no limits."""
VERSION: Final = "api/v1"
LONGEST_NAME: Final = 200
EXTERNAL_SYSTEM: Final = "dataverse"
MOST_ON_A_PAGE: Final = 500
_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_RESULT = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
_LONGEST_ADDRESS = 2000
_MOST_RESULTS = 100
_LONGEST_TEXT = 4000


Senders = Callable[[User | None], Sender]
"""Who sends what is asked for a user; for nobody: our own identity."""


class CockpitClient:
    """Sends requests to one Cockpit; see `shared.sales_cockpit.ports.Cockpit`."""

    def __init__(self, senders: Senders, *, base_path: str = "", system: str = SYSTEM) -> None:
        self._senders = senders
        self._root = f"{base_path.rstrip('/')}/{VERSION}/"
        self.system = system

    # --- projects ---

    async def find(
        self, opportunity: str, user: User | None = None, within_seconds: float | None = None
    ) -> Project | None:
        """The project of an opportunity; None where there is none."""
        wanted = canonical_guid(opportunity)
        call = self._call("GET", "projects", "projects", {"externalId": wanted})
        body = object_of(self.system, await self._sent(call, Doing.READ, user, within_seconds))
        with_shape = _Shape(self.system)
        rows = with_shape.rows(body)
        if not rows:
            return None
        if len(rows) > 1:
            raise with_shape.bad("there are several projects of one opportunity")
        return with_shape.project(rows[0], wanted)

    async def create(
        self,
        opportunity: str,
        name: str,
        solution: str | None = None,
        user: User | None = None,
        within_seconds: float | None = None,
    ) -> tuple[Project, bool]:
        """The project of an opportunity, made if there is none, and whether it was made now. A name that is too long is
        cut. The opportunity is the key of repetition, so whoever comes second is answered the first one's project."""
        wanted = canonical_guid(opportunity)
        body: JsonObject = {"externalSystem": EXTERNAL_SYSTEM, "externalId": wanted, "name": name[:LONGEST_NAME]}
        if solution is not None:
            body["solutionId"] = solution
        call = self._call("POST", "projects", "projects", {}, body, {"Idempotency-Key": wanted})
        reply = await self._sent(call, Doing.CREATE, user, within_seconds, also=409)
        return self._written(reply, wanted), reply.status == 201

    async def change(self, project: Project, values: JsonObject, within_seconds: float | None = None) -> Project:
        """Change a project's name, its solution, or both; answers it as it is then."""
        call = self._call("PATCH", f"projects/{quote(project.key, safe='')}", "projects/..", {}, values)
        reply = await self._sent(call, Doing.UPDATE, None, within_seconds)
        return self._written(reply, project.opportunity)

    async def delete(self, project: Project, within_seconds: float | None = None) -> None:
        """Delete a project; one that is gone already is fine."""
        call = self._call("DELETE", f"projects/{quote(project.key, safe='')}", "projects/..", {})
        await self._sent(call, Doing.DELETE, None, within_seconds, also=404)

    # --- evaluations ---

    async def evaluations(
        self, since: datetime, cursor: str | None = None, within_seconds: float | None = None
    ) -> EvaluationPage:
        """What was rated since then, the oldest change first; one that is not as agreed is left out, and the log tells.
        Raises FeedExpired for a cursor that is gone."""
        query = {"changedSince": since.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")}
        place = {} if cursor is None else {"cursor": cursor}
        call = self._call("GET", "evaluations", "evaluations", {**query, **place})
        body = object_of(self.system, await self._sent(call, Doing.READ, None, within_seconds))
        shape = _Shape(self.system)
        read = [self._evaluation(shape, row) for row in shape.rows(body)]
        return EvaluationPage([one for one in read if one is not None], shape.next_place(body))

    def _evaluation(self, shape: _Shape, row: JsonObject) -> Evaluation | None:
        try:
            return shape.evaluation(row)
        except BadAnswer as error:
            log.warning("an evaluation is left out: %s", error.detail, extra={"action": "evaluations"})
            return None

    async def ping(self) -> None:
        """The cheapest request: one solution."""
        await self._sent(self._call("GET", "solutions", "solutions", {"limit": "1"}), Doing.READ, None, None)

    # --- requests ---

    def _call(
        self,
        method: str,
        path: str,
        template: str,
        query: Mapping[str, str],
        body: JsonObject | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Call:
        pairs = "&".join(f"{name}={quote(value, safe='')}" for name, value in query.items())
        return Call(method, f"{self._root}{path}" + (f"?{pairs}" if pairs else ""), template, headers or {}, body)

    async def _sent(
        self, call: Call, doing: Doing, user: User | None, within_seconds: float | None, *, also: int = 0
    ) -> Reply:
        """An answer that is a success, or has the status that is as good as one."""
        reply = await self._senders(user).send(call, within_seconds)
        if reply.status >= 400 and reply.status != also:
            raise error_of(doing, reply, self.system)
        return reply

    def _written(self, reply: Reply, opportunity: str) -> Project:
        """The project that a write was answered with; what is not as agreed leaves its result unknown."""
        try:
            return _Shape(self.system).project(object_of(self.system, reply), opportunity)
        except BadAnswer as error:
            raise UnknownResult(self.system, error.answer) from None


class _Shape:
    """Reads answers; raises BadAnswer for what is not as agreed, naming the place and never the value."""

    def __init__(self, system: str) -> None:
        self._system = system

    def bad(self, why: str) -> ConnectorError:
        return bad_answer(self._system, WrongShape(why))

    def rows(self, body: JsonObject) -> list[JsonObject]:
        try:
            rows = [as_object(row, "a row") for row in as_list(body.get("items"), "items")]
        except WrongShape as error:
            raise bad_answer(self._system, error) from None
        if len(rows) > MOST_ON_A_PAGE:
            raise self.bad("a page has more rows than agreed")
        return rows

    def next_place(self, body: JsonObject) -> str | None:
        place = body.get("nextCursor")
        if place is not None and not (isinstance(place, str) and 0 < len(place) <= _LONGEST_ADDRESS):
            raise self.bad("nextCursor is no cursor")
        return place

    def project(self, row: JsonObject, opportunity: str) -> Project:
        """A project, which has to be that of the opportunity."""
        try:
            if canonical_guid(as_text(row.get("externalId"), "externalId")) != opportunity:
                raise WrongShape("a project of another opportunity was answered")
            solution = row.get("solutionId")
            return Project(
                key=_id(row.get("projectId"), "projectId"),
                opportunity=opportunity,
                name=_text(row.get("name"), "name", _LONGEST_TEXT),
                url=_text(row.get("url"), "url", _LONGEST_ADDRESS),
                solution=None if solution is None else _id(solution, "solutionId"),
            )
        except (WrongShape, ValueError) as error:
            raise self.bad(f"a project: {error}") from None

    def evaluation(self, row: JsonObject) -> Evaluation:
        try:
            return Evaluation(
                key=_id(row.get("evaluationId"), "evaluationId"),
                project=_id(row.get("projectId"), "projectId"),
                opportunity=canonical_guid(as_text(row.get("opportunityId"), "opportunityId")),
                at=_moment(row.get("evaluatedAt")),
                by=canonical_guid(as_text(row.get("evaluatedBy"), "evaluatedBy")),
                probability=_probability(row.get("probability")),
                results=_results(row.get("results", {})),
            )
        except (WrongShape, ValueError) as error:
            raise self.bad(f"an evaluation: {error}") from None


def _id(value: Json, place: str) -> str:
    text = as_text(value, place)
    if not _ID.fullmatch(text) or text in (".", ".."):
        raise WrongShape(f"{place} is no id")
    return text


def _text(value: Json, place: str, most: int) -> str:
    text = as_text(value, place)
    if len(text) > most:
        raise WrongShape(f"{place} is too long")
    return text


def _moment(value: Json) -> datetime:
    try:
        moment = datetime.fromisoformat(as_text(value, "evaluatedAt"))
    except ValueError:
        raise WrongShape("evaluatedAt is no moment") from None
    if moment.tzinfo is None:
        raise WrongShape("evaluatedAt has no zone")
    return moment.astimezone(UTC)


def _probability(value: Json) -> float:
    if isinstance(value, bool | str | list | dict) or value is None or not 0 <= value <= 100:
        raise WrongShape("probability is no number from 0 to 100")
    return float(value)


def _results(value: Json) -> dict[str, Json]:
    """Single values by name."""
    results = as_object(value, "results")
    if len(results) > _MOST_RESULTS:
        raise WrongShape("results are too many")
    for name, one in results.items():
        if not _RESULT.fullmatch(name) or isinstance(one, list | dict):
            raise WrongShape("results hold something else than single values by name")
        if isinstance(one, str) and len(one) > _LONGEST_TEXT:
            raise WrongShape("a result is too long")
    return results
