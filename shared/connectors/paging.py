"""Where a list goes on: the token of a page's next link, never the link itself."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

from shared.errors import BadAnswer
from shared.strict_json import JsonObject

NEXT_LINK = "@odata.nextLink"
SKIP_TOKEN = "$skiptoken"  # noqa: S105 # the name of a query option


def place_behind(page: JsonObject, system: str) -> str | None:
    """The place behind a page; None for the last one. Raises BadAnswer for a link without one token."""
    link = page.get(NEXT_LINK)
    if link is None:
        return None
    tokens = [value for name, value in parse_qsl(urlsplit(str(link)).query) if name == SKIP_TOKEN]
    if len(tokens) != 1:
        raise BadAnswer(system, detail=f"{system}: a next link has no token")
    return tokens[0]
