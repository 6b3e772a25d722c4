"""What a subscription or a notice is about: a table of a company or one record of it, as Business Central writes it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from shared.connectors.business_central.extension import PAGES, TABLES
from shared.connectors.keys import canonical_guid

STANDARD: Final = "v2.0"
_RESOURCE: Final = re.compile(
    r"(?:https://[^/?#]+/v2\.0/(?:[^/?#]+/)?(?P<environment>[^/?#]+))?/?api/"
    r"(?P<api>v2\.0|\w{1,64}/\w{1,64}/[\w.]{1,16})/companies\((?P<company>[^()/?#]{1,64})\)/(?P<page>[A-Za-z][A-Za-z0-9]{0,63})(?:\((?P<key>[^()/?#]{1,64})\))?(?P<query>\?.*)?",
    re.ASCII | re.DOTALL,
)
"""As subscribed: absolute or not, with or without the slash before it, and the record's id behind it."""


@dataclass(frozen=True, slots=True)
class Resource:
    """environment: empty where the address is relative. company and key: in canonical form, empty for text that is
    no GUID. query: what follows, with its question mark."""

    environment: str
    company: str
    table: str
    key: str
    query: str

    def is_in(self, company_id: str, environment: str) -> bool:
        """Whether it belongs to this company; a relative address does not say of which environment."""
        return self.company == company_id and self.environment.lower() in ("", environment.lower())


def read_resource(text: str) -> Resource | None:
    """Take an address apart; None for anything else than a table of API v2.0 or a page of the extension."""
    found = _RESOURCE.fullmatch(text)
    table = _table(found["api"], found["page"]) if found else None
    if found is None or table is None:
        return None
    key = _guid(found["key"] or "")
    return Resource(found["environment"] or "", _guid(found["company"]), table, key, found["query"] or "")


def _table(api: str, page: str) -> str | None:
    return page if api == STANDARD else TABLES.get(page)


def page_of(api: str, table: str) -> str:
    """The page of an API that serves a table."""
    return table if api == STANDARD else PAGES.get(table, table)


def resource_of(company_id: str, api: str, table: str) -> str:
    """The address to subscribe with."""
    return f"/api/{api}/companies({company_id})/{page_of(api, table)}"


def _guid(text: str) -> str:
    try:
        return canonical_guid(text)
    except ValueError:
        return ""
