"""Takes notices of the systems: reads them, sends one message to every transfer they concern, counts what is ignored.

No store is asked and no system called; what comes back to the caller is decided by the function and the route table.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from typing import TypeVar

from shared.connectors.business_central import webhook as business_central
from shared.connectors.dataverse import webhook as dataverse
from shared.connectors.field_service import outbound as field_service
from shared.errors import SettingsError
from shared.routes import RequestError, TooLarge, encoded, is_one_of
from shared.settings import FIELD_SERVICES, BusinessCentralDoor, DataverseDoor, Settings, needed, prefix_of
from shared.sync.notices import ManyChanges, Notice, Recipients, outgoing_for
from shared.sync.ports import Clock, Ids, Outgoing, Queue

log = logging.getLogger(__name__)

Read = Notice | ManyChanges | dataverse.Ignored | business_central.Ignored | field_service.Ignored
"""What a body or a row of one turns out to be."""
ReadyT = TypeVar("ReadyT")
NO_TRANSFER = "a table that no transfer knows"


class Notices:
    """The receiving end of all webhooks. `counts`: outcomes at all doors since the process began."""

    def __init__(
        self,
        settings: Settings,
        recipients: Callable[[], Recipients],
        queue: Callable[[], Queue],
        clock: Clock,
        ids: Ids,
    ) -> None:
        self._settings = settings
        self._recipients = recipients
        self._queue = queue
        self._clock = clock
        self._ids = ids
        self.counts: Counter[str] = Counter()

    async def from_dataverse(self, body: bytes, systems: Sequence[str]) -> int:
        """Queue a notice; answers how many messages were sent, 0 for one that is ignored.

        systems: those that the sender may speak of. Raises TooLarge, RequestError for what Dataverse never posts,
        QueueUnavailable.
        """
        if len(body) > dataverse.MAX_BODY_BYTES:
            raise TooLarge
        organizations = self.organizations(systems)
        try:
            read = dataverse.read_notice(body, organizations, self._clock.now(), self._ids.new)
        except dataverse.NotANotice as error:
            raise RequestError(str(error)) from None
        return await self._take(dataverse.SYSTEM, (read,))

    def organizations(self, systems: Sequence[str]) -> Mapping[str, str]:
        """Of each organisation that a sender may speak of, the system; raises SettingsError."""
        return dict(_ready(systems, self._organization_of))

    def _organization_of(self, system: str) -> tuple[str, str]:
        door = self._settings.of(DataverseDoor, system)
        return needed(DataverseDoor, "organization_id", door.organization_id, system), system

    async def from_business_central(self, body: bytes, systems: Sequence[str]) -> int:
        """Queue all good rows of a body; answers how many messages were sent. Raises like `from_dataverse`."""
        if len(body) > business_central.MAX_BODY_BYTES:
            raise TooLarge
        try:
            rows = business_central.read_rows(body)
        except business_central.NotANotice as error:
            raise RequestError(str(error)) from None
        companies = _ready(systems, self._company_of)
        read = [business_central.read_row(row, companies, self._ids.new()) for row in rows]
        return await self._take(business_central.SYSTEM, chain.from_iterable(read))

    def _company_of(self, system: str) -> business_central.Company:
        door = self._settings.of(BusinessCentralDoor, system)
        client_states = encoded(door.client_state, door.client_state_previous)
        return business_central.Company(
            system=system,
            company_id=needed(BusinessCentralDoor, "company_id", door.company_id, system),
            environment=needed(BusinessCentralDoor, "environment", door.environment, system),
            is_ours=lambda shown: is_one_of(shown, client_states),
        )

    async def from_field_service(self, body: bytes, systems: Sequence[str]) -> int:
        """Queue all good records of a message; answers how many messages were sent. Raises like `from_dataverse`."""
        if len(body) > field_service.MAX_BODY_BYTES:
            raise TooLarge
        senders = _ready(systems, self._sender_of)
        try:
            read = field_service.read_message(body, senders, self._ids.new)
        except field_service.NotAMessage as error:
            raise RequestError(str(error)) from None
        return await self._take("field_service", read)

    def _sender_of(self, system: str) -> field_service.Sender:
        door = next(one for one in FIELD_SERVICES if one.system == self._settings.kinds[system])
        site = self._settings.of(door, system).site
        try:
            outbound = field_service.outbound_of(site)
        except ValueError as error:
            raise SettingsError(f"{prefix_of(system)}SITE: {error}; correct it") from None
        return field_service.Sender(system, self._recipients().tables(system), outbound)

    def refused(self, function: str, code: str) -> None:
        """Count a refusal; without a line in the log, which strangers could fill."""
        self.counts[f"{function}: {code}"] += 1

    async def _take(self, kind: str, found: Iterable[Read]) -> int:
        """Send what is to be sent, and only then count: a send that fails leaves no trace but its error."""
        now = self._clock.now()
        outcomes: dict[str, int] = {}
        by_transfer: dict[str, list[Outgoing]] = {}
        by_table: dict[tuple[str, str], list[Notice]] = {}
        for one in found:
            outcome = self._address(one, by_table, by_transfer)
            outcomes[outcome] = outcomes.get(outcome, 0) + 1
        for place, notices in by_table.items():
            for messages in outgoing_for(self._recipients().of(*place), notices, now):
                for transfer, message in messages.items():
                    by_transfer.setdefault(transfer, []).append(message)
        if by_transfer:
            await self._queue().send_all(by_transfer)
        for reason, times in outcomes.items():
            self.counts[f"{kind}: {reason}"] += times
            log.info("notices", extra={"action": "notice", "system": kind, "outcome": reason, "times": times})
        return sum(map(len, by_transfer.values()))

    def _address(
        self,
        one: Read,
        by_table: dict[tuple[str, str], list[Notice]],
        by_transfer: dict[str, list[Outgoing]],
    ) -> str:
        """Put a notice where it goes on; answers its outcome."""
        if not isinstance(one, Notice | ManyChanges):
            return one.value
        recipients = self._recipients().of(one.system, one.table)
        if not recipients:
            return NO_TRANSFER
        if isinstance(one, ManyChanges):
            from shared.sync.feed_tasks import QUEUE, task_for  # rare; an ordinary notice starts without it

            by_transfer.setdefault(QUEUE, []).append(task_for(one).outgoing())
            return "queued for the feeds"
        by_table.setdefault((one.system, one.table), []).append(one)
        return "queued"


def _ready(systems: Sequence[str], read: Callable[[str], ReadyT]) -> list[ReadyT]:
    """What is read for each system; one whose settings lack something is left out, unless that leaves none."""
    found: list[ReadyT] = []
    errors: list[SettingsError] = []
    for name in systems:
        try:
            found.append(read(name))
        except SettingsError as error:
            errors.append(error)
    if errors and not found:
        raise errors[0]
    return found
