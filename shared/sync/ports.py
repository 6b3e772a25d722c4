"""What the engine needs from outside: systems, stores, queue, clock and ids. It knows them only through these
protocols.

Every port has one contract suite under tests/contract that runs on each of its implementations.
"""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from shared.errors import ConnectorError

Value = str | bool | int | Decimal | datetime | date | None
"""A field's value in our own terms. None is "no value": connectors turn each system's own blanks (empty text, zero
GUID, 0001-01-01) into None and back. Whole numbers and choices are int, money is Decimal, times are aware and UTC."""


class Unlinked(str):
    """The key of a record that has no partner: nothing on the other side can refer to it (yet).

    former: the key, on the pair's right side, of the link that it once had; empty if it never had one.
    """

    __slots__ = ("former",)
    former: str

    def __new__(cls, key: str, former: str = "") -> Unlinked:
        made = super().__new__(cls, key)
        made.former = former
        return made


class Untold(str):
    """A value that is there and that the system does not tell: it counts as the one last agreed on."""

    __slots__ = ()


# --- time and chance ------------------------------------------------------------------------------


class Clock(Protocol):
    """The only source of time; `now` is aware and UTC."""

    def now(self) -> datetime: ...

    def monotonic(self) -> float: ...

    async def sleep(self, seconds: float) -> None: ...


class Ids(Protocol):
    """The only source of chance: new ids, and a number in [0, 1) for jitter."""

    def new(self) -> str: ...

    def fraction(self) -> float: ...


# --- systems --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Record:
    """One record as it was when just read or as the system answered a write.

    key: the system's unchangeable id in canonical form. version: what a conditional write must name (None where the
    system has none). values: the asked columns; a column that the system has and that is empty is present with None.
    merged_into: the record of the same table that a person has merged this one into, in systems that keep both.
    """

    key: str
    version: str | None
    values: Mapping[str, Value] = field(repr=False)
    merged_into: str | None = None


class VersionKind(StrEnum):
    """What a record's version can do: nothing, be compared for equality, or be ordered."""

    NONE = "none"
    OPAQUE = "opaque"
    ORDERED = "ordered"


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a system's table offers against duplicates and lost updates; the engine picks the protocol from it.

    chooses_key: we may choose the record's key itself at create (a Dataverse GUID). enforced_columns: those that the
    system keeps unique and that we may fill at create (the number of a Business Central customer). read_after_write: a
    read or search right after a write sees it. longest_run: how long a request may go on being executed after we
    stopped waiting for it. keys_per_read: how many keys one call of `read` fetches. writes_per_call: how many records
    one call of the system takes in `create_many` and `update_many`. notes: a record of the table can be given a note
    that people see. feed_memory: after how long the change feed forgets a place in it; None: never.
    days: the table's records can be asked for by the day that a column holds (`of_day`). deletes_many: they can be
    deleted in bulk.
    enforces_key: a key that we chose is kept unique, so a second create with it is refused or does nothing. deletes:
    records can be deleted. owner: the column that names the record which a record of the table is a part of; it
    belongs to the key, so a part of another owner is another record. immutable: what was created is never changed.
    """

    chooses_key: bool
    enforced_columns: frozenset[str]
    version: VersionKind
    returns_new_version: bool
    read_after_write: bool
    longest_run: timedelta
    keys_per_read: int
    writes_per_call: int = 100
    notes: bool = False
    feed_memory: timedelta | None = None
    days: bool = False
    deletes_many: bool = False
    enforces_key: bool = True
    deletes: bool = True
    owner: str = ""
    immutable: bool = False


class ColumnType(StrEnum):
    """The kinds of columns a definition may name."""

    TEXT = "text"
    INTEGER = "integer"
    DECIMAL = "decimal"
    BOOLEAN = "boolean"
    DATETIME = "datetime"
    DATE = "date"
    CHOICE = "choice"
    KEY = "key"
    REFERENCE = "reference"


class Right(StrEnum):
    """What our identity may do: with a table's records, or with a column. refer: let a record of the table point to
    another one; be_referred: let others point to it."""

    READ = "read"
    CREATE = "create"
    UPDATE = "update"
    REFER = "refer"
    BE_REFERRED = "be_referred"


class Reach(StrEnum):
    """Which records a right covers: none, some only (a business unit, our own), or all."""

    NONE = "none"
    SOME = "some"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class ColumnMetadata:
    """One column of a table. max_length in characters (None: no limit); choices: allowed values with their labels.

    writable: at a create or later; updatable: later. target: the table that a reference points to, if it is one; over:
    the columns that it writes, where it is none itself.
    Only a survey says the rest. required: a create without it is refused. denied: what column security denies us.
    least, most, decimals: what a number may be and how many decimal places are kept, where the system was asked. label:
    what people call it, where the system says so.
    """

    name: str
    type: ColumnType
    max_length: int | None = None
    writable: bool = True
    choices: Mapping[str, str] = field(default_factory=dict)
    updatable: bool = True
    target: str = ""
    over: tuple[str, ...] = ()
    required: bool = False
    denied: frozenset[Right] = frozenset()
    least: Decimal | None = None
    most: Decimal | None = None
    decimals: int | None = None
    label: str = ""


@dataclass(frozen=True, slots=True)
class KeyMetadata:
    """Columns that the system keeps unique together; usable once its index is built."""

    name: str
    columns: tuple[str, ...]
    usable: bool


@dataclass(frozen=True, slots=True)
class TableMetadata:
    """A table of a system as its metadata describes it. key: the columns that a record is known by, where they can be
    named.

    Only a survey says the rest, None where the system does not tell. tracked: its change feed is switched on.
    announced: the system can tell of its changes. keys: its alternate keys. rights: how far ours reach.
    """

    name: str
    columns: Mapping[str, ColumnMetadata]
    key: Sequence[str] = ()
    tracked: bool | None = None
    announced: bool | None = None
    keys: Sequence[KeyMetadata] = ()
    rights: Mapping[Right, Reach] | None = None


@dataclass(frozen=True, slots=True)
class ChangePage:
    """One page of a change feed.

    records: new and changed ones with the asked columns; deleted: keys. watermark: where the next call of `changes`
    goes on once everything up to and including this page is safely queued; None on pages from which the system cannot
    resume. told: where the records have no versions, a text that is another one once any of them has changed again,
    except perhaps in the moment of the reading; empty where there is none.
    """

    records: Sequence[Record]
    deleted: Sequence[str]
    watermark: str | None
    told: str = ""


@dataclass(frozen=True, slots=True)
class RecordPage:
    """Some of a table's records. place: where the next call of `pages` goes on; None on the last page."""

    records: Sequence[Record]
    place: str | None


@dataclass(frozen=True, slots=True)
class NewRecord:
    """A record to be created. key: the one we chose, where the system lets us."""

    values: Mapping[str, Value] = field(repr=False)
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """A change to a record. version: what the record must still have; None: whatever it has, but it must exist."""

    key: str
    values: Mapping[str, Value] = field(repr=False)
    version: str | None = None


class Profile(StrEnum):
    """What a database is for; the data of one must never reach the other."""

    PRODUCTIVE = "productive"
    TEST = "test"


class Connector(Protocol):
    """Speaks one system's API for one instance of it (an organisation; an environment and company).

    All methods raise the errors of `shared.errors`: reads `SystemDown`, `Throttled`, `Refused`, `UnknownColumn`;
    writes also `UnknownResult`, `VersionConflict`, `RecordMissing`, `AlreadyExists`. Column names are the system's
    own; a dotted name (`paymentTermsId.code`) reads a column of the small table that a reference points to and, when
    written, looks the reference up by it.
    """

    @property
    def system(self) -> str: ...

    @property
    def instance(self) -> str: ...

    def capabilities(self, table: str) -> Capabilities: ...

    def canonical_key(self, table: str, key: str) -> str:
        """The one spelling of a key; raises ValueError for text that cannot be a key of the table."""
        ...

    def derived_key(self, table: str, seed: str, values: Mapping[str, Value]) -> str:
        """A key we choose ourselves, always the same for the same seed; only where `chooses_key`.

        values: of the new record, for a key that its owner belongs to; raises ValueError where that is not named.
        """
        ...

    async def read(self, table: str, keys: Sequence[str], columns: Sequence[str]) -> Mapping[str, Record]:
        """Records by key, from the primary (never a lagging replica); missing ones are absent from the answer."""
        ...

    async def find(
        self, table: str, column: str, values: Sequence[str], columns: Sequence[str], limit: int = 10
    ) -> Sequence[Record]:
        """Records whose column equals one of the values (as the system compares text), at most `limit`."""
        ...

    def changes(self, table: str, since: str | None, columns: Sequence[str]) -> AsyncIterator[ChangePage]:
        """The change feed from a watermark (None: everything there is). Raises FeedExpired for a watermark too old."""
        ...

    def watermark_at(self, table: str, at: datetime, no_later_than: str | None = None) -> str | None:
        """The watermark that stands for a time, where the feed is ordered by time; None where it is not.

        no_later_than: a watermark of the feed; the earlier of the two is answered.
        """
        ...

    def pages(
        self, table: str, place: str | None, columns: Sequence[str], most: int = 1000
    ) -> AsyncIterator[RecordPage]:
        """Every record of a table, from a place of an earlier call on (None: the first), in an order that changes of
        records do not disturb. most: records on a page. Raises FeedExpired for a place that is gone."""
        ...

    def of_day(self, table: str, column: str, day: date, columns: Sequence[str]) -> AsyncIterator[Sequence[Record]]:
        """Every record of a table whose column holds this day, as many at once as the system shows; only where `days`.

        It ends when all of them have been told, and raises where it cannot be sure of that. What comes or goes
        meanwhile may be told or not, or twice; it hides none of the others. Where the records are sums and no rows of
        their own, the asked columns say by what they are grouped.
        """
        ...

    async def create(
        self,
        table: str,
        values: Mapping[str, Value],
        columns: Sequence[str],
        *,
        key: str | None,
        within_seconds: float,
    ) -> Record:
        """Create a record (with the key we chose, where possible), answer it with `columns` as the system stored it.

        `within_seconds` bounds the whole call; after it the result is unknown. Never sends twice by itself.
        """
        ...

    async def create_many(
        self, table: str, wanted: Sequence[NewRecord], columns: Sequence[str], *, within_seconds: float
    ) -> Sequence[Record | ConnectorError]:
        """Create several records in as few calls as the system allows; for loads and for derived rows.

        Answers one result per record, in order: the record as stored, or the error that `create` would have raised for
        it. Where no columns are asked for it may be the key alone, without a version. A record that is refused keeps
        none of the others from being created. A lost answer is UnknownResult for every record of that call; whoever
        asked looks each of them up. Nothing is sent twice unless the system certainly has not executed it.
        `within_seconds` bounds everything: records that did not get their turn by then are SystemDown or Throttled.
        Raises only what concerns no single record, and only before anything was sent.
        """
        ...

    async def update_many(
        self, table: str, changes: Sequence[Change], columns: Sequence[str], *, within_seconds: float
    ) -> Sequence[Record | ConnectorError]:
        """Change several records in as few calls as the system allows; for loads and for derived rows.

        Results as of `create_many`, with the errors that `update` would have raised. Each change is bound to its own
        version, and none to another's success. Two changes of one record are carried out in the order given.
        """
        ...

    async def delete_many(
        self, table: str, keys: Sequence[str], *, within_seconds: float
    ) -> Sequence[ConnectorError | None]:
        """Delete several records in as few calls as the system allows; only where `deletes_many`.

        Answers one result per key, in order: None when there is no such record (any more), or the error. Errors and
        time as of `create_many`.
        """
        ...

    async def update(
        self,
        table: str,
        key: str,
        values: Mapping[str, Value],
        columns: Sequence[str],
        *,
        version: str | None,
    ) -> Record:
        """Change only the given columns if the record still has `version` (None: whatever it has, but it must
        exist)."""
        ...

    async def delete(self, table: str, key: str) -> None:
        """Delete a record; only where `deletes`. One that is gone already is fine."""
        ...

    async def note(self, table: str, key: str, seed: str, subject: str, text: str) -> None:
        """Put a note on a record, for people to read; only where `notes`. The same seed again changes nothing."""
        ...

    async def metadata(self, table: str) -> TableMetadata:
        """What the transfer path needs of a table; kept for a while. Raises UnknownColumn for an unknown table."""
        ...

    async def survey(self, table: str) -> TableMetadata:
        """All that is known of a table, read anew: for checks, not for the transfer path. Raises UnknownColumn."""
        ...

    async def ourselves(self) -> frozenset[str]:
        """The keys of the users as whom we write, as the columns that name a record's editors hold them; none where
        the system names no editors."""
        ...

    async def identify(self) -> str:
        """Which environment answers, as text that stays the same as long as it is the same one.

        Raises WrongEnvironment when it is another one than the settings name.
        """
        ...

    async def profile(self) -> Profile | None:
        """What the database that answers is for, as it says in this moment or as the settings say; None: not told."""
        ...

    async def ping(self) -> None:
        """The cheapest request that proves the system answers and accepts our sign-in."""
        ...


@dataclass(frozen=True, slots=True)
class Subscription:
    """A system's promise to tell an address of a table's changes, until it expires; not only ours.

    table: empty where it is about something else than a table of the connector's instance. address and state: where
    the notices go and what they show there; both hold secrets. version: what renewing and ending it must name.
    """

    id: str
    table: str
    address: str = field(repr=False)
    state: str = field(repr=False)
    expires_at: datetime
    version: str


@runtime_checkable
class Subscribing(Protocol):
    """What a connector offers beside `Connector` where its system tells of changes to whoever subscribes.

    The methods raise like those of `Connector`; making and renewing also `SubscriptionRefused`.
    """

    @property
    def subscription_life(self) -> timedelta:
        """How long a subscription lives when it is not renewed."""
        ...

    async def notifying(self, tables: Collection[str]) -> Collection[str]:
        """Those of the tables whose changes can be subscribed to."""
        ...

    async def subscriptions(self) -> Sequence[Subscription]:
        """All that there are, also those of others."""
        ...

    async def subscribe(self, table: str, address: str, state: str) -> Subscription: ...

    async def renew(self, subscription: Subscription, address: str, state: str) -> Subscription:
        """Let it live anew, with this address and state."""
        ...

    async def unsubscribe(self, subscription: Subscription) -> None:
        """End it; one that is gone already is fine."""
        ...


@dataclass(frozen=True, slots=True)
class TableLabel:
    """A table as its system lists it. label: what people call it; empty where the system does not say. group: it is no
    table but a group of tables, to be browsed by its name."""

    name: str
    label: str = ""
    group: bool = False


@runtime_checkable
class Browsable(Protocol):
    """What a connector offers beside `Connector` where its system lists its tables. For people, not for the transfer
    path."""

    async def browse(self, within: str = "") -> Sequence[TableLabel]:
        """The tables that there are, by name.

        Where the system groups its tables, the groups, and the tables of the group that `within` names; elsewhere those
        whose name begins with it. Raises UnknownColumn for a group that there is not.
        """
        ...


# --- links and claims -----------------------------------------------------------------------------


class Side(StrEnum):
    """The two tables of a pair, in the order in which the definition names them."""

    LEFT = "left"
    RIGHT = "right"

    @property
    def other(self) -> Side:
        return Side.RIGHT if self is Side.LEFT else Side.LEFT


class LinkState(StrEnum):
    """creating: somebody claims it; linked: both are the same thing; unlinked: tombstone."""

    CREATING = "creating"
    LINKED = "linked"
    UNLINKED = "unlinked"


@dataclass(frozen=True, slots=True)
class Claim:
    """Who is creating the partner of a record, and since when.

    attempt: id of the create, kept over take-overs. owner: the run that holds the lease. sent: a create may have been
    sent and its result is not known. sent_at: when the last one was sent. sent_print: fingerprints of what was sent,
    to recognise it. chosen: the value we chose for the target's enforced column.
    """

    attempt: str
    owner: str
    lease_until: datetime
    sent: bool = False
    sent_at: datetime | None = None
    sent_print: str = ""
    chosen: str = ""


@dataclass(frozen=True, slots=True)
class LinkRow:
    """What the store knows about one record of a pair. Every record has at most one row; a link is two rows.

    The left row is the home of the link: only it carries versions, base and flags. `other` is the key on the other
    side (while creating: the key we chose, or empty). generation: raised by every unlink or delete, part of the seed
    of a chosen key. parked: names of the transfers for which this record waits for a person, with commas. write_back:
    columns of the source that must still be written back. editor: the last edit by a person that is known, where a
    field holds who made it.
    """

    pair: str
    side: Side
    key: str
    state: LinkState
    other: str = ""
    generation: int = 0
    claim: Claim | None = None
    left_version: str | None = None
    right_version: str | None = None
    base: str = ""
    write_back: bool = False
    parked: str = ""
    linked_at: datetime | None = None
    linked_by: str = ""
    reason: str = ""
    editor: str = ""
    etag: str = ""

    def key_on(self, side: Side) -> str:
        """The key of the link's record on a side."""
        return self.key if side is self.side else self.other

    def version_on(self, side: Side) -> str | None:
        """The version that is remembered of the record on a side; of a home row only."""
        return self.left_version if side is Side.LEFT else self.right_version


class RowTaken(Exception):
    """An insert met an existing row, or a conditional write met a row that has changed or gone. Read again and
    decide."""


class Links(Protocol):
    """The links of one pair's instances. All calls are point reads and writes; `etag` is taken from the row given."""

    async def get(self, pair: str, side: Side, key: str) -> LinkRow | None: ...

    async def insert(self, row: LinkRow) -> LinkRow: ...

    async def replace(self, row: LinkRow) -> LinkRow: ...

    async def delete(self, row: LinkRow) -> None: ...

    async def page(self, pair: str, side: Side, after: str | None = None, limit: int = 100) -> Sequence[LinkRow]:
        """Rows in key order, for people and reports; not on the transfer path."""
        ...


@dataclass(frozen=True, slots=True)
class MatchClaim:
    """Somebody is creating a partner under this match key. rule: which match rule; value: keyed hash of the
    normalised value. pair: where the key counts; holder: the pair of the record that claims it, where that is
    another name."""

    pair: str
    rule: str
    value: str
    side: Side
    key: str
    attempt: str
    holder: str = ""
    etag: str = ""


class MatchClaims(Protocol):
    """Claims on match keys, so that the same company born on both sides at once meets itself."""

    async def get(self, pair: str, rule: str, value: str) -> MatchClaim | None: ...

    async def insert(self, claim: MatchClaim) -> MatchClaim: ...

    async def replace(self, claim: MatchClaim) -> MatchClaim: ...

    async def delete(self, claim: MatchClaim) -> None:
        """Remove it if it is still this one; nothing happens if it is gone or taken over."""
        ...


@dataclass(frozen=True, slots=True)
class NeverMatch:
    """Two records of a pair that a person has found to be different things."""

    pair: str
    left: str
    right: str
    at: datetime
    by: str
    reason: str


class NeverMatches(Protocol):
    """Pairs that matching passes over."""

    async def has(self, pair: str, left: str, right: str) -> bool: ...

    async def put(self, apart: NeverMatch) -> None: ...

    async def remove(self, pair: str, left: str, right: str) -> bool: ...

    async def of(self, pair: str, left: str) -> Sequence[NeverMatch]:
        """All records that one left record must not be linked with."""
        ...


class Numbers(Protocol):
    """Numbers of our own series; a number is handed out once, gaps are possible."""

    async def next(self, series: str) -> int: ...


# --- what remains of a run ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FieldDecision:
    """What was decided about one field: action (write, keep, park), reason, and fingerprints before and after on
    the target."""

    left: str
    right: str
    action: str
    reason: str
    before: str = ""
    after: str = ""


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One record in one run: what was decided and why. No values, only ids, codes and fingerprints.

    counts: of a day of derived rows, whose key is the day, how many ended how.
    """

    run: str
    at: datetime
    transfer: str
    pair: str
    side: Side
    key: str
    other: str
    outcome: str
    reason: str
    code: str = ""
    cause: str = ""
    attempt: int = 0
    correlation_id: str = ""
    fields: Sequence[FieldDecision] = ()
    field: str = ""
    counts: Mapping[str, int] = dataclasses.field(default_factory=dict)


class Journal(Protocol):
    """Append-only; the newest entry of a record comes first. Writing the same run of a record again replaces its
    entry."""

    async def write(self, entries: Sequence[JournalEntry]) -> None: ...

    async def of_record(self, pair: str, side: Side, key: str, limit: int = 50) -> Sequence[JournalEntry]: ...


@dataclass(frozen=True, slots=True)
class Candidate:
    """A record that may be the partner. score: 0 to 100; reasons: columns that were compared and how alike they are."""

    key: str
    score: int
    reasons: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class ParkedItem:
    """A record that waits for a person, with the reason. One item per transfer and key; parking again updates it.

    others: keys of the records in question. candidates: those of them that may be the partner, the likeliest first.
    table: of the key where it is a related record's, because the record it concerns is not known; else empty.
    """

    transfer: str
    side: Side
    key: str
    code: str
    sentence: str
    who: str
    remedy: str
    field: str
    first_at: datetime
    last_at: datetime
    times: int
    correlation_id: str
    run: str
    others: Sequence[str] = ()
    candidates: Sequence[Candidate] = ()
    table: str = ""


class ParkedItems(Protocol):
    """The work list of people."""

    async def put(self, item: ParkedItem) -> None: ...

    async def get(self, transfer: str, side: Side, key: str) -> ParkedItem | None: ...

    async def remove(self, transfer: str, side: Side, key: str) -> bool: ...

    async def page(self, transfer: str, after: str | None = None, limit: int = 100) -> Sequence[ParkedItem]: ...


@dataclass(frozen=True, slots=True)
class PendingItem:
    """A change that waits for a system to come back, or for a stopped transfer: one per transfer, table and key.

    table: of the key where it is a related record's; empty for a record of the pair itself. editor: the last edit that
    its notices told of. cause: of the message that goes for it, where a person's word counts; empty: it is a drain.
    """

    transfer: str
    side: Side
    key: str
    since: datetime
    reason: str
    correlation_id: str
    etag: str = ""
    table: str = ""
    editor: str = ""
    cause: str = ""

    @property
    def name(self) -> str:
        """The key, with the table of a related record before it."""
        return f"{self.table}\x1f{self.key}" if self.table else self.key


class PendingItems(Protocol):
    """Changes that wait. `put` on a waiting key keeps `since`, the later editor and a person's word, and gives it a new
    etag, so that a drain never removes news."""

    async def put(self, item: PendingItem) -> None: ...

    async def get(self, transfer: str, side: Side, key: str, table: str = "") -> PendingItem | None: ...

    async def remove(self, item: PendingItem) -> bool: ...

    async def page(self, transfer: str, after: str | None = None, limit: int = 100) -> Sequence[PendingItem]: ...


@dataclass(frozen=True, slots=True)
class Watermark:
    """Where a walk goes on. done_at: the last complete walk; seen: digest of what it queued last, since feeds
    overlap."""

    value: str | None
    done_at: datetime | None = None
    seen: str = ""
    etag: str = ""


class Watermarks(Protocol):
    async def get(self, name: str) -> Watermark | None: ...

    async def put(self, name: str, mark: Watermark) -> Watermark:
        """Conditional on the etag given (empty: must not exist yet); raises RowTaken when another walk went first."""
        ...


class Switch(StrEnum):
    """off: nothing moves (the default); on; stopped: a brake or a person stopped it, changes wait as pending."""

    OFF = "off"
    ON = "on"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Mode:
    """The switch of one transfer, who moved it and why. code: of the brake that stopped it."""

    transfer: str
    switch: Switch
    since: datetime | None = None
    by: str = ""
    reason: str = ""
    etag: str = ""
    code: str = ""


class Modes(Protocol):
    async def get(self, transfer: str) -> Mode: ...

    async def put(self, mode: Mode) -> Mode: ...


class SiteMode(StrEnum):
    """How much a site exchanges with a partner. none: nothing (the default). manual: lists, records that are linked,
    and those that a person selects. automatic: also what the definitions allow for records without a partner."""

    NONE = "none"
    MANUAL = "manual"
    AUTOMATIC = "automatic"


@dataclass(frozen=True, slots=True)
class SiteModeRow:
    """The mode of one system towards a partner, who chose it and why. acknowledged: how many creates he was told of."""

    system: str
    partner: str
    mode: SiteMode
    since: datetime | None = None
    by: str = ""
    reason: str = ""
    acknowledged: int = 0
    etag: str = ""


class SiteModes(Protocol):
    """The modes of the sites."""

    async def get(self, system: str, partner: str) -> SiteModeRow: ...

    async def put(self, row: SiteModeRow) -> SiteModeRow:
        """Conditional on the etag given (empty: must not exist yet); raises RowTaken."""
        ...


@dataclass(frozen=True, slots=True)
class EnvironmentRow:
    """The environment that a system's links were made for, since when and by whose wish; former: the one before."""

    system: str
    environment: str
    since: datetime | None = None
    by: str = ""
    reason: str = ""
    former: str = ""
    etag: str = ""


class Environments(Protocol):
    """What each system is remembered to be."""

    async def get(self, system: str) -> EnvironmentRow | None: ...

    async def put(self, row: EnvironmentRow) -> EnvironmentRow:
        """Conditional on the etag given (empty: must not exist yet); raises RowTaken."""
        ...


@dataclass(frozen=True, slots=True)
class BreakerRow:
    """The breaker of a system's instance. open: no calls but probes. failures: in a row while closed."""

    system: str
    instance: str
    open: bool = False
    failures: int = 0
    opened_at: datetime | None = None
    next_probe_at: datetime | None = None
    probes: int = 0
    code: str = ""
    etag: str = ""


class Breakers(Protocol):
    async def get(self, system: str, instance: str) -> BreakerRow: ...

    async def put(self, row: BreakerRow) -> BreakerRow:
        """Conditional on the etag given; raises RowTaken."""
        ...


@dataclass(frozen=True, slots=True)
class CompareRow:
    """How far the full compare of a pair is, and what the last one found.

    run: of the one under way, empty while none is. phase and place: where it goes on. sides: whose records it looks
    at, with a comma. wanted: sides that must be looked at once more after it. sent: messages it has queued. looked,
    differing, missing, unlinked: how many links it has looked at, how many records had changed, were gone, or lack a
    partner. code: of the error that holds it up. done_at: end of the last one of both sides.
    """

    pair: str
    run: str = ""
    phase: str = ""
    place: str | None = None
    sides: str = ""
    cause: str = ""
    wanted: str = ""
    sent: int = 0
    looked: int = 0
    differing: int = 0
    missing: int = 0
    unlinked: int = 0
    code: str = ""
    started_at: datetime | None = None
    moved_at: datetime | None = None
    done_at: datetime | None = None
    etag: str = ""


class CompareRows(Protocol):
    async def get(self, pair: str) -> CompareRow: ...

    async def put(self, row: CompareRow) -> CompareRow:
        """Conditional on the etag given (empty: must not exist yet); raises RowTaken when another step went first."""
        ...


@dataclass(frozen=True, slots=True)
class SubscriptionRow:
    """What is known of the subscription to a table since the last look.

    id: the one whose catch-up walk is done; empty while there is none. made_at: when it was first seen. code: of the
    error that stands in the way.
    """

    system: str
    instance: str
    table: str
    id: str = ""
    made_at: datetime | None = None
    expires_at: datetime | None = None
    looked_at: datetime | None = None
    code: str = ""


class SubscriptionRows(Protocol):
    """One row for each table that a system is to tell us of; writing replaces."""

    async def get(self, system: str, instance: str, table: str) -> SubscriptionRow | None: ...

    async def put(self, row: SubscriptionRow) -> None: ...

    async def remove(self, row: SubscriptionRow) -> None: ...

    async def all(self) -> Sequence[SubscriptionRow]:
        """Every row, for people and for finding those that are no longer wanted."""
        ...


class Counters(Protocol):
    """Counts within windows, for brakes. Adding is atomic; a repeated add after a lost answer may count twice,
    never less."""

    async def add(self, name: str, window: str, amount: int) -> int: ...

    async def read(self, name: str, window: str) -> int: ...


@dataclass(frozen=True, slots=True)
class Hold:
    """What one process holds of what a system allows an identity, and what it could use.

    permits: requests at once; pace: requests in a minute. until: when it lapses by itself. closed_until: the system
    told the process to send nothing before.
    """

    holder: str
    permits: int
    wish: int
    pace: int
    pace_wish: int
    until: datetime
    closed_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class PermitRow:
    """Everybody's holds of one identity's allowance."""

    identity: str
    holds: tuple[Hold, ...] = ()
    etag: str = ""


class Permits(Protocol):
    """Who holds how much of each identity's allowance."""

    async def get(self, identity: str) -> PermitRow: ...

    async def put(self, row: PermitRow) -> PermitRow:
        """Conditional on the etag given (empty: must not exist yet); raises RowTaken when another process went
        first."""


class Reports(Protocol):
    """What a timer or a load keeps for its next run: a text by name. No values of records."""

    async def get(self, name: str) -> str | None: ...

    async def put(self, name: str, text: str) -> None:
        """Keep a text in the place of what was there."""
        ...


# --- queue ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to send: id for duplicate detection (at most 128 characters), JSON body, and not before when."""

    message_id: str
    body: str
    not_before: datetime | None = None
    correlation_id: str = ""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that the queue gave up on."""

    message_id: str
    body: str
    reason: str
    delivery_count: int
    receipt: object = None


@dataclass(frozen=True, slots=True)
class QueueView:
    """What lies in a queue. oldest_at: since when the oldest message that is due has lain there; dead: how many were
    given up, a hundred standing for more."""

    oldest_at: datetime | None
    dead: int


class Queue(Protocol):
    """Sends to the queue of a transfer; a returned call means stored. Raises QueueUnavailable.

    Sending the same message id again within the queue's duplicate window is harmless.
    """

    async def send(self, queue: str, messages: Sequence[Outgoing]) -> None: ...

    async def send_all(self, by_queue: Mapping[str, Sequence[Outgoing]]) -> None:
        """Send to several queues. Every queue is tried, whatever another one does; then the first failure is raised."""
        ...

    async def dead_letters(self, queue: str, limit: int) -> Sequence[DeadLetter]:
        """Messages of the dead-letter queue, locked until settled."""
        ...

    async def settle_dead_letter(self, queue: str, letter: DeadLetter) -> None: ...

    async def look(self, queue: str) -> QueueView:
        """What lies in a queue, without taking anything out of it."""
        ...
