"""What one site's PostOffice offers and what it does not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from sandbox.postoffice.tables import TABLES, Field, Table


class Auth(StrEnum):
    """How callers prove who they are."""

    OAUTH2 = "oauth2_client_credentials"
    BASIC = "basic"
    API_KEY = "api_key"


class Paging(StrEnum):
    """How the lists are cut into pages."""

    CURSOR = "cursor"
    OFFSET = "offset"


@dataclass(frozen=True)
class PostOfficeOptions:
    """One site. The defaults are the contract as a whole; `poor()` is the least that still serves.

    etag: records have versions and `If-Match` counts. paging: by cursor, or by offset and limit. changes: there is one
    feed of changes of all tables. idempotency_keys: a repeated POST with the same key answers the same record.
    knows_crm_id: so does a POST with a CRM id that a record has already. deletions: lists with `changedSince` show
    deleted rows for `deletions_kept_days`. requests_per_minute: 0 is no limit. further: lists that the contract does
    not name, with their fields; they are shown, never written. filters: lists can be filtered by ids, those booked on
    customers also by whose the rows are. account_managers: a record can be shown with its account managers.
    """

    auth: Auth = Auth.API_KEY
    api_key_header: str = "X-Api-Key"
    api_key: str = field(default="postoffice-sandbox-key", repr=False)
    user: str = "crossdock"
    password: str = field(default="postoffice-sandbox-password", repr=False)
    audience: str = "api://postoffice"
    is_test_system: bool = False
    version: str = "2024.1"
    tenant: str = "sandbox"
    etag: bool = True
    paging: Paging = Paging.CURSOR
    changes: bool = True
    idempotency_keys: bool = True
    knows_crm_id: bool = True
    deletions: bool = True
    deletions_kept_days: int = 30
    cursor_life_days: int = 7
    idempotency_hours: int = 24
    longest_window_days: int = 92
    requests_per_minute: int = 0
    filters: bool = True
    account_managers: bool = True
    further: Mapping[str, Mapping[str, Field]] = field(default_factory=dict)

    @property
    def tables(self) -> Mapping[str, Table]:
        """Every list of the site."""
        return {**TABLES, **{name: Table(name, fields) for name, fields in self.further.items()}}


def poor(auth: Auth = Auth.BASIC) -> PostOfficeOptions:
    """A gateway over the database: no versions, cursor, feed, keys, deletions, and nothing that can be spared."""
    return PostOfficeOptions(
        auth=auth,
        etag=False,
        paging=Paging.OFFSET,
        changes=False,
        idempotency_keys=False,
        knows_crm_id=False,
        deletions=False,
        filters=False,
        account_managers=False,
    )
