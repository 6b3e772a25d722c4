"""What a run of the sandbox may set differently; the defaults are the real system's."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DataverseOptions:
    """Settings of one imitated organisation. Times are in seconds of the sandbox's clock.

    `latency_seconds` is the time that each request takes, and each part of a batch; `target_seconds` what each target
    of a bulk message takes on top. `no_bulk_messages` names tables for which the organisation offers none.
    `bulk_delete_seconds` pass until a bulk deletion runs.
    `limits` switches service protection; its numbers are those of Microsoft Learn, 'Service protection API limits'.
    `trimmed_members` says whether the members a too large notice loses are "absent" or "null" (the documents do
    not tell). `untracked` names standard tables whose change tracking nobody has switched on yet.
    `any_port` lets webhooks be registered on other ports than 80 and 443, for use on one machine.
    """

    limits: bool = True
    max_requests: int = 6000
    max_execution_seconds: float = 1200
    max_concurrent: int = 52
    window_seconds: float = 300
    web_servers: int = 2
    dop_hint: int = 4
    latency_seconds: float = 0
    target_seconds: float = 0
    no_bulk_messages: tuple[str, ...] = ()
    bulk_delete_seconds: float = 20
    max_page_size: int = 5000
    key_index_seconds: float = 60
    async_delay_seconds: float = 0
    retry_delay_seconds: float = 1
    notice_timeout_seconds: float = 60
    notice_limit_bytes: int = 256 * 1024
    trimmed_members: str = "absent"
    any_port: bool = False
    token_life_days: int = 7
    untracked: tuple[str, ...] = ("annotation",)
    application_users: tuple[str, ...] = ()
    """Client ids that have an application user in this organisation."""
    currency_code: str = "EUR"
    currency_symbol: str = "€"
