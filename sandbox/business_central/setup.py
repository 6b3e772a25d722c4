"""What a run of the sandbox is set up with: companies and the switches of the imitated environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

AUDIENCE = "https://api.businesscentral.dynamics.com"


@dataclass(frozen=True)
class PostCode:
    """One row of the company's post code table: checking a post code or a city fills in the rest."""

    code: str
    city: str
    county: str = ""
    country: str = ""


@dataclass(frozen=True)
class Company:
    """A company of the environment.

    `id` is a GUID as text, `name` at most 30 characters and unique. `country` counts where a customer has none,
    `local_currency` is what the interface shows where the table holds a blank. `vat_formats` replaces the patterns
    of single countries (`#` digit, `@` letter, `?` anything), `post_codes` is empty by default.
    """

    id: str
    name: str
    display_name: str = ""
    country: str = "IT"
    local_currency: str = "EUR"
    uses_vat: bool = True
    vat_formats: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    post_codes: tuple[PostCode, ...] = ()


@dataclass(frozen=True)
class BusinessCentralOptions:
    """The switches of the imitated environment; the defaults are those of a plain environment online.

    Numbers: `manual_numbers` lets callers give `number` themselves, `first_number` is what the customer series gives
    next (its last digits count up). `template` holds the API template's values by property name (identifiers by
    code: `paymentTermsId: "30D"`); without it nothing is filled in. `company_contacts` is Marketing Setup's "Bus.
    Rel. Code for Customers": creating a customer then creates its company contact. `field_order` is the order fields
    are checked in; which one the service uses is not documented.

    Times are in seconds of the sandbox's clock. `scheduling_right` False: changes by applications raise no notice
    until somebody else changes the same table.
    """

    audience: str = AUDIENCE
    applications: frozenset[str] | None = None
    """Client ids with an application card in the environment; None = every registered one."""
    user_language: str = "en"
    manual_numbers: bool = True
    first_number: str = "K00010"
    contact_manual_numbers: bool = True
    first_contact_number: str = "KT000010"
    template: Mapping[str, str] = field(default_factory=dict)
    company_contacts: bool = True
    inherit_address: bool = True
    inherit_communication: bool = True
    field_order: Literal["body", "page"] = "body"
    latency_seconds: tuple[float, float] = (0.0, 0.0)
    replica_lag_seconds: float = 0.0
    limits: bool = True
    requests_per_window: int = 6000
    window_seconds: float = 300.0
    parallel: int = 5
    queued: int = 95
    queue_wait_seconds: float = 480.0
    batch_parts_count: bool = True
    retry_after_on_429: bool = False
    """Whether the service's own 429 carries Retry-After is not documented; a fault on demand always does."""
    page_size: int = 20_000
    subscription_delay_seconds: float = 30.0
    subscription_life_seconds: float = 3 * 86_400.0
    subscriptions_maximum: int = 200
    collection_above: int = 1000
    handshake_seconds: float = 5.0
    notice_answer_seconds: float = 30.0
    scheduling_right: bool = True
    duplicate_key_status: int = 400
    or_status: int = 400
    """Status of an OR over two fields; public reports of the live service also show 501."""
    extension: str = ""
    """Publisher, group and version of the optional extension's API (`crmlink/sync/v1.0`); blank = not installed."""
    system_version: str = "27.1.41698.0"
    environment_type: str = "Sandbox"
