"""Many writes in one call: the JSON `$batch` of Business Central, read part by part.

Source: Microsoft Learn, 'Tips for working with the APIs' (batch). Parts run one after another and are independent with
`odata.continue-on-error`; the outer status is 200 whatever happens inside, and answers are matched by id, because some
may be missing. `Isolation: snapshot` is never used: a rolled back batch still answers 201 for rows that do not exist.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import httpx

from shared.connectors.business_central.errors import SYSTEM
from shared.errors import Answer, ConnectorError, UnknownResult
from shared.http_client import Reply
from shared.strict_json import Json, JsonObject

PARTS_PER_BATCH = 50
"""Half of what is allowed (101 parts are answered with 500). Every part counts as a request, so a batch is a burst: 50
stay below the hundredth of the window that our pace leaves free, 100 would earn a 429 now and then."""
GO_ON = {"Prefer": "odata.continue-on-error"}


@dataclass(frozen=True, slots=True)
class Part:
    """One write. path: relative to the API's root."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: JsonObject


def batch_of(parts: Mapping[int, Part]) -> JsonObject:
    """The body of a batch; each part is known by its place."""
    return {"requests": [_request(place, part) for place, part in parts.items()]}


def _request(place: int, part: Part) -> Json:
    headers: JsonObject = {"Content-Type": "application/json", **part.headers}
    return {"id": str(place), "method": part.method, "url": part.path, "headers": headers, "body": part.body}


def parts_of(reply: Reply, places: Sequence[int]) -> Mapping[int, Reply | ConnectorError]:
    """What was answered to each part; a part without a usable answer may have been executed."""
    content = reply.content if isinstance(reply.content, dict) else {}
    answers = content.get("responses")
    found = dict(_part(reply, one) for one in answers if isinstance(one, dict)) if isinstance(answers, list) else {}
    lost = UnknownResult(SYSTEM, Answer(reply.status, request_id=reply.request_id))
    return {place: found.get(str(place)) or lost for place in places}


def _part(outer: Reply, answer: JsonObject) -> tuple[str, Reply | None]:
    name, status, body = answer.get("id"), answer.get("status"), answer.get("body")
    if not isinstance(name, str) or not isinstance(status, int) or isinstance(status, bool):
        return "", None
    return name, Reply(status, _headers(answer.get("headers")), body, b"", outer.request_id)


def _headers(told: Json) -> httpx.Headers:
    pairs = told.items() if isinstance(told, dict) else ()
    return httpx.Headers([(name, value) for name, value in pairs if isinstance(value, str)])
