"""What operators see and do: transfers and their switches, links, parked and waiting records, journal, breakers.

Answers are plain data for JSON: ids, codes, times and our own sentences, never values of records. Every page has
`items` and `next`, the text to give as `after` for the following page (null at the end).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

from shared.errors import ConnectorError, CrossdockError, SettingsError
from shared.feeds import subscriptions_health, watched_health
from shared.routes import NotLinkable, Overtaken, RequestError, SwitchedOff, Unknown, error_body
from shared.settings import ADDRESSES, DOORS, SALES_COCKPIT
from shared.sites import require_exchange
from shared.sync.claims import Taken, undo_link
from shared.sync.closest import unused_table
from shared.sync.comparing import FieldView
from shared.sync.context import pair_name
from shared.sync.definition import Definition, Transfer
from shared.sync.environments import Standing
from shared.sync.explaining import Explaining, Explanation, FieldStory, Told
from shared.sync.findings import Severity
from shared.sync.homes import home_of
from shared.sync.linking import CannotLink, Linking
from shared.sync.other_direction import OtherDirection
from shared.sync.ports import JournalEntry, LinkRow, LinkState, Mode, ParkedItem, RowTaken, Side, Switch
from shared.sync.problems import PROBLEMS
from shared.sync.releasing import Releasing
from shared.sync.taking_over import TakingOver
from shared.sync.values import canonical

if TYPE_CHECKING:
    from shared.app import App
    from shared.engine import Engine

Json = dict[str, Any]

_COUNTED_AT_ONCE: Final = 1000
MOST_COUNTED: Final = 10_000
"""A count stops here and says so: counting reads the rows."""
MOST_RETRIED: Final = 1000
"""Parked records that one call puts back."""


@dataclass(frozen=True, slots=True)
class Place:
    """One record as a definition names it: its pair, side and canonical key."""

    definition: Definition
    pair: str
    side: Side
    key: str


NO_LINKS: Final = "The rows of this transfer are derived and have no links; its window is queued by the clock."


class Operations:
    """The operations on one engine."""

    def __init__(self, app: App, engine: Engine) -> None:
        self._app = app
        self._engine = engine
        self._stores = engine.stores

    # --- transfers ---

    async def transfers(self) -> Json:
        """All transfers with their switches, and the definitions that could not be loaded."""
        items = [await self._transfer(definition, transfer) for definition, transfer in self._engine.index.transfers()]
        problems = self._engine.index.problems
        return {"items": items, "next": None, "problems": [one.model_dump(mode="json") for one in problems]}

    async def transfer(self, name: str) -> Json:
        """One transfer; raises Unknown."""
        return await self._transfer(*self._find(name))

    async def _transfer(self, definition: Definition, transfer: Transfer) -> Json:
        mode = await self._stores.modes.get(transfer.name)
        return {
            "transfer": transfer.name,
            "file": definition.file,
            "source": definition.table(transfer.source).model_dump(),
            "target": definition.table(transfer.target).model_dump(),
            "side": transfer.source.value,
            "walk_seconds": transfer.walk_seconds,
            **_mode(mode),
        }

    async def switch(self, name: str, to: Switch, by: str, reason: str, etag: str) -> Json:
        """Move a transfer's switch; switching on also lets go what waited for it.

        etag: of the switch as the caller saw it, so that nobody switches on unseen what a brake has just stopped.
        Raises Overtaken, also when it is repeated after a lost answer: reading shows whose wish was done.
        """
        definition, transfer = self._find(name)
        mode = Mode(name, to, self._app.outside.clock.now(), by, reason, etag)
        try:
            await self._stores.modes.put(mode)
        except RowTaken:
            raise Overtaken("The switch was moved since you looked.", "etag") from None
        self._engine.pipeline.forget_switches()
        if to is Switch.ON:
            await self._engine.draining.drain_soon(name)
        return await self._transfer(definition, transfer)

    def _find(self, name: str) -> tuple[Definition, Transfer]:
        for definition, transfer in self._engine.index.transfers():
            if transfer.name == name:
                return definition, transfer
        raise Unknown("There is no transfer of this name.", "transfer")

    # --- links and journal ---

    async def links(self, name: str, side: Side | None, after: str | None, limit: int) -> Json:
        """The link rows of a transfer's pair on one side (its source, if not said), in key order."""
        definition, transfer = self._find(name)
        try:
            rows = await self._stores.links.page(self._pair(definition), side or transfer.source, after, limit)
        except ValueError:
            raise RequestError("This is no key.", "after") from None
        return _page([_link(row) for row in rows], limit, rows[-1].key if rows else "")

    async def link(self, system: str, table: str, key: str) -> Json:
        """The link rows of one record, one for each pair that has its table; none for an unlinked record."""
        rows = [await self._row(place) for place in self._places(system, table, key)]
        return {"items": [_link(row) for row in rows if row], "next": None}

    async def unlink(self, place: tuple[str, str, str], name: str, by: str, reason: str) -> Json:
        """Undo a link by hand; both records stay as they are, and a tombstone keeps them from being linked again.

        name: a transfer of the pair, needed where several pairs have the table. Raises Unknown without a link, and
        Overtaken while somebody is creating or changing it. Repeating it is harmless.
        """
        found = self._one_place(self._places(*place), name)
        home = await self._home(found)
        if any(one.on_unlink for one in found.definition.transfers):
            await require_exchange(self._engine, found.definition)
            await self._let_go_later(found, home, by)
        if not await self._is_undone(home):
            try:
                await undo_link(self._engine.pipeline.ports, home, f"{by}: {reason}")
            except Taken:
                raise Overtaken("The link is being used in this moment.") from None
            home = await self._home(found)
        if home.reason == f"{by}: {reason}":
            await self._note_unlink(found, home, by)
        return {**_link(home), "let_go": await self._let_go(found, home)}

    async def _let_go_later(self, place: Place, home: LinkRow, by: str) -> None:
        """Queue the record for afterwards: should this process die half-way, or a system not answer, the message that
        meets the tombstone finishes it."""
        ports, definition = self._engine.pipeline.ports, place.definition
        moving = [one for one in definition.transfers if (await self._stores.modes.get(one.name)).switch != Switch.OFF]
        transfer = (moving or definition.transfers)[0]
        others = OtherDirection(ports, definition, transfer.source)
        due, run = ports.clock.now() + ports.timing.lease, ports.ids.new()
        await others.tell([transfer], home.key_on(transfer.source), f"unlink by {by}", run, due)

    async def _let_go(self, place: Place, home: LinkRow) -> bool:
        """Give the records back what the link has put there; answers whether that is done."""
        pipeline, transfer = self._engine.pipeline, place.definition.transfers[0]
        if not any(one.on_unlink for one in place.definition.transfers):
            return True
        try:
            prepared = await pipeline.prepare(transfer.name)
            await Releasing(pipeline.ports, prepared).of(home)
        except (ConnectorError, SettingsError):
            return False
        return True

    async def preview_link(self, name: str, left: str, right: str) -> Json:
        """Every field of two records with both values, its master after linking, and what would be written.

        The one answer with values of records: a person has to see what is about to be overwritten.
        """
        linking, keys = self._linking(name, left, right)
        try:
            preview = await linking.preview(*keys)
        except CannotLink as why:
            raise NotLinkable(str(why)) from None
        too_late = await self._made_by_itself(linking.definition, keys)
        return {
            "left": keys[0],
            "right": keys[1],
            "stands_in_the_way": preview.stands_in_the_way or too_late,
            "fields": [_field_view(view) for view in preview.fields],
        }

    async def link_records(self, name: str, left: str, right: str, by: str, reason: str) -> Json:
        """Link two records by hand; the pair's transfers then bring them together. Harmless to repeat.

        Raises CannotLink, and Overtaken while somebody else is at one of the two.
        """
        linking, keys = self._linking(name, left, right)
        await require_exchange(self._engine, linking.definition)
        if why := await self._made_by_itself(linking.definition, keys):
            raise NotLinkable(why)
        try:
            return _link(await linking.link(*keys, by, reason))
        except CannotLink as why:
            raise NotLinkable(str(why)) from None
        except Taken:
            raise Overtaken("One of the two records is being used in this moment.") from None

    async def _made_by_itself(self, definition: Definition, keys: tuple[str, str]) -> str:
        """Why the two cannot be linked although both may be free: automatic mode makes the partner."""
        if definition.offered is None:
            return ""
        key = keys[0] if definition.offered is Side.RIGHT else keys[1]
        other = keys[1] if definition.offered is Side.RIGHT else keys[0]
        return await TakingOver(self._engine.pipeline, definition).made_by_itself(key, other)

    async def keep_apart(self, name: str, left: str, right: str, by: str, reason: str) -> Json:
        """Remember that two records are different things, so that matching never proposes them again."""
        linking, keys = self._linking(name, left, right)
        return _object(asdict(await linking.keep_apart(*keys, by, reason)))

    async def allow_again(self, name: str, left: str, right: str) -> Json:
        """Forget that two records are different things; raises Unknown if that was not remembered."""
        linking, keys = self._linking(name, left, right)
        if not await linking.allow_again(*keys):
            raise Unknown("These two records are not kept apart.", "right")
        return {"left": keys[0], "right": keys[1]}

    def _linking(self, name: str, left: str, right: str) -> tuple[Linking, tuple[str, str]]:
        definition, _ = self._find(name)
        if definition.is_derived:
            raise RequestError(NO_LINKS, "transfer")
        connectors = self._engine.pipeline.ports.connectors
        keys: list[str] = []
        for side, key in ((Side.LEFT, left), (Side.RIGHT, right)):
            table = definition.table(side)
            try:
                keys.append(connectors[table.system].canonical_key(table.table, key))
            except ValueError:
                raise RequestError("The key is none of this table.", side.value) from None
        return Linking(self._engine.pipeline, definition), (keys[0], keys[1])

    async def explain(self, system: str, table: str, key: str, column: str = "") -> Json:
        """Why a record has the values it has, in every pair that has its table; one column of it only, if named.

        Holds values of records, like `preview_link`. Raises Unknown for a column that no rule names.
        """
        items = []
        for place in self._places(system, table, key):
            explanation = await Explaining(self._engine.pipeline, place.definition).record(place.side, place.key)
            items.append(_explanation(explanation, column))
        named = [one for item in items for one in item["fields"]]
        if column and not named and any(item["state"] == "linked" for item in items):
            raise Unknown("No rule has this column.", "column")
        return {"items": items, "next": None}

    async def journal(self, system: str, table: str, key: str, limit: int) -> Json:
        """The newest journal entries of one record, over all pairs that have its table."""
        entries: list[JournalEntry] = []
        for place in self._places(system, table, key):
            entries += await self._stores.journal.of_record(place.pair, place.side, place.key, limit)
        newest = sorted(entries, key=lambda entry: entry.at, reverse=True)[:limit]
        return {"items": [_plain(asdict(entry)) for entry in newest], "next": None}

    def _pair(self, definition: Definition) -> str:
        return pair_name(definition, self._engine.pipeline.ports.connectors)

    def _places(self, system: str, table: str, key: str) -> list[Place]:
        """The record in every pair that has its table; raises Unknown and RequestError."""
        connector = self._engine.pipeline.ports.connectors.get(system)
        sides = [(one, side) for one in self._engine.index.definitions if (side := one.side_of(system, table))]
        if connector is None or not sides:
            raise Unknown(unused_table(self._engine.index.definitions, system, table), "table")
        try:
            canonical = connector.canonical_key(table, key)
        except ValueError:
            raise RequestError("The key is none of this table.", "key") from None
        return [Place(one, self._pair(one), side, canonical) for one, side in sides]

    def _one_place(self, places: Sequence[Place], name: str) -> Place:
        fitting = [one for one in places if not name or name in {each.name for each in one.definition.transfers}]
        if len(fitting) != 1:
            raise RequestError("Several pairs have this table; name one of its transfers.", "transfer")
        return fitting[0]

    async def _row(self, place: Place) -> LinkRow | None:
        return await self._stores.links.get(place.pair, place.side, place.key)

    async def _home(self, place: Place) -> LinkRow:
        """The link's left row; raises Unknown and Overtaken."""
        row = await self._row(place)
        home = await home_of(self._stores.links, row) if row is not None else None
        if home is None:
            raise Unknown("The record has no link.", "key")
        if home.state is LinkState.CREATING:
            raise Overtaken("The partner is being created in this moment.")
        return home

    async def _is_undone(self, home: LinkRow) -> bool:
        """Whether both rows are tombstones; a first try may have died between them."""
        other = await self._stores.links.get(home.pair, home.side.other, home.other) if home.other else None
        return home.state is LinkState.UNLINKED and (other is None or other.state is LinkState.UNLINKED)

    async def _note_unlink(self, place: Place, home: LinkRow, by: str) -> None:
        """Journal it; a repeat of the call is the same run, whose entry it replaces."""
        entry = JournalEntry(
            run=f"unlinked-{home.generation}",
            at=self._app.outside.clock.now(),
            transfer=place.definition.transfers[0].name,
            pair=place.pair,
            side=Side.LEFT,
            key=home.key,
            other=home.other,
            outcome="unlinked",
            reason="a person has undone the link",
            cause=f"unlink by {by}",
        )
        reverse = replace(entry, side=Side.RIGHT, key=home.other, other=home.key)
        await self._stores.journal.write([entry, reverse] if home.other else [entry])

    def refused(self) -> list[Json]:
        """Transfers whose definition names columns that a system does not have; their changes wait."""
        return [{"transfer": name, "text": text} for name, text in sorted(self._engine.pipeline.refused.items())]

    def left_out(self) -> list[Json]:
        """Columns that a definition names with if_missing: leave_out and that a system does not have."""
        found = self._engine.pipeline.left_out()
        return [{"transfer": name, "columns": list(columns)} for name, columns in sorted(found.items())]

    # --- parked records ---

    async def parked(self, name: str, after: str | None, limit: int) -> Json:
        """The records of a transfer that wait for a person."""
        self._find(name)
        items = await self._parked_page(name, after, limit)
        return _page([_plain(asdict(item)) for item in items], limit, _place_of(items[-1]) if items else "")

    async def parked_item(self, name: str, side: Side, key: str) -> Json:
        """One of them; raises Unknown."""
        return _object(asdict(await self._parked_item(name, side, key)))

    async def retry(self, name: str, side: Side, key: str, by: str) -> Json:
        """Put one back into the queue; its item stays until the record has been transferred."""
        item = await self._parked_item(name, side, key)
        await self._require_on(name)
        await self._engine.draining.retry(item, by)
        return {"queued": 1, "next": None}

    async def retry_all(self, name: str, after: str | None, by: str) -> Json:
        """Put all of a transfer back, at most `MOST_RETRIED` in one call; `next` says where to go on."""
        self._find(name)
        await self._require_on(name)
        items = await self._parked_page(name, after, MOST_RETRIED)
        for item in items:
            await self._engine.draining.retry(item, by)
        return {"queued": len(items), "next": _next(len(items), MOST_RETRIED, _place_of(items[-1]) if items else "")}

    async def _require_on(self, name: str) -> None:
        """A message of a transfer that is off is done without doing anything, and its item would be closed."""
        await require_exchange(self._engine, self._find(name)[0])
        if (await self._stores.modes.get(name)).switch is Switch.OFF:
            raise SwitchedOff("The transfer is switched off.", "transfer")

    async def _parked_item(self, name: str, side: Side, key: str) -> ParkedItem:
        self._find(name)
        item = None
        with suppress(ValueError):  # a text that cannot be a key
            item = await self._stores.parked.get(name, side, key)
        if item is None:
            raise Unknown("This record is not parked (any more).", "key")
        return item

    async def _parked_page(self, name: str, after: str | None, limit: int) -> Sequence[ParkedItem]:
        try:
            return await self._stores.parked.page(name, after, limit)
        except ValueError as error:
            raise RequestError(str(error), "after") from None

    # --- what waits, and why ---

    async def waiting(self) -> Json:
        """For every transfer how many records are parked and how many wait by themselves, and since when."""
        names = [transfer.name for _, transfer in self._engine.index.transfers()]
        return {"items": [await self._waiting(name) for name in names], "next": None}

    async def _waiting(self, name: str) -> Json:
        parked, pending, oldest = 0, 0, None
        after: str | None = None
        while parked < MOST_COUNTED and (items := await self._stores.parked.page(name, after, _COUNTED_AT_ONCE)):
            parked, after = parked + len(items), _place_of(items[-1])
        after = None
        while pending < MOST_COUNTED and (rows := await self._stores.pending.page(name, after, _COUNTED_AT_ONCE)):
            pending, after = pending + len(rows), f"{rows[-1].side.value}/{rows[-1].name}"
            oldest = min([row.since for row in rows] + ([oldest] if oldest else []))
        more = max(parked, pending) >= MOST_COUNTED
        return {"transfer": name, "parked": parked, "pending": pending, "oldest": _plain(oldest), "more": more}

    async def schema(self) -> Json:
        """What the last look at the systems' metadata found, and what has changed within 30 days. Raises Unknown
        before the first look."""
        report = await self._engine.schema_watch.report()
        if report is None:
            raise Unknown("Nobody has looked at the systems' metadata yet; the function schema_drift does.")
        return report

    async def misfits(self) -> list[Json]:
        """What the last look found wrong: definitions that no longer fit the systems."""
        report = await self._engine.schema_watch.report() or {}
        return [one for one in report.get("findings", ()) if one["severity"] == Severity.WRONG]

    async def breakers(self) -> Json:
        """The breaker of every system, and whether the system is a sandbox."""
        items = []
        for name, connector in self._engine.pipeline.ports.connectors.items():
            row = await self._stores.breakers.get(connector.system, connector.instance)
            facts = {key: value for key, value in asdict(row).items() if key != "etag"}
            items.append({**_plain(facts), "sandbox": _is_sandbox(self._app, name)})
        return {"items": items, "next": None}

    async def environments(self, *, anew: bool = True) -> Json:
        """For every system the environment that answers and the one its links were made for."""
        guard = self._engine.pipeline.environments
        standings = [await guard.standing(system, anew=anew) for system in self._engine.pipeline.ports.connectors]
        return {"items": [_standing(one) for one in standings], "next": None}

    async def adopt(self, system: str, environment: str, by: str, reason: str) -> Json:
        """Work in the environment that answers from now on; what waited for the system goes on at the next tick.

        Raises Unknown, and Overtaken when another environment answers than the one named.
        """
        guard = self._engine.pipeline.environments
        if system not in self._engine.pipeline.ports.connectors:
            raise Unknown("There is no system of this name.", "system")
        try:
            await guard.adopt(system, environment, by, reason)
        except RowTaken:
            raise Overtaken("Another environment answers, or somebody adopted one since you looked.") from None
        await self._engine.draining.drain_anew(system)
        return _standing(await guard.standing(system, anew=True))


async def health(app: App) -> Json:
    """What is wrong with settings, definitions, store and systems; degraded when anything is."""
    errors: list[CrossdockError] = [*app.settings.check()]
    details: Json = {"notices": dict(app.notices.counts), "closed_doors": closed_doors(app)}
    try:
        engine = await app.engine()
        operations = Operations(app, engine)
        details["definitions"] = [*(await operations.transfers())["problems"], *operations.refused()]
        details["left_out"] = operations.left_out()
        details["schema"] = await operations.misfits()
        details["systems"] = (await operations.breakers())["items"]
        details["environments"] = (await operations.environments(anew=False))["items"]
        details["subscriptions"] = await subscriptions_health(engine)
        details |= await watched_health(engine, app.settings)
        if SALES_COCKPIT in app.settings.kinds.values():
            details["evaluations"] = await (await app.cockpit()).evaluations.health()
    except CrossdockError as error:
        if str(error) not in {str(one) for one in errors}:
            errors.append(error)
    details["errors"] = [error_body(error) for error in errors]
    named = details.get("definitions") or details.get("schema") or details.get("alarms")
    bad = errors or named or any(one["open"] for one in details.get("systems", ()))
    bad = bad or any(one["wrong"] for one in details.get("environments", ()))
    bad = bad or any(one["bad"] for one in details.get("subscriptions", ()))
    return {"status": "degraded" if bad else "up", **details}


def closed_doors(app: App) -> list[str]:
    """The settings without which a webhook takes nothing."""
    missing: list[str] = []
    for kind in DOORS:
        with suppress(SettingsError):  # a wrong one is among the errors
            for system, section in app.settings.of_each(kind).items():
                missing += section.missing(system)
    return missing


def _is_sandbox(app: App, system: str) -> bool:
    kind = app.settings.kinds.get(system, "")
    return app.outside.connectors is None and bool(kind) and app.settings.of(ADDRESSES[kind], system).is_sandbox


def _standing(one: Standing) -> Json:
    row = one.row
    facts = {
        "system": one.system,
        "environment": one.environment,
        "links_made_for": row.environment if row else "",
        "since": row.since if row else None,
        "by": row.by if row else "",
        "reason": row.reason if row else "",
        "former": row.former if row else "",
        "wrong": one.wrong,
    }
    return _object(facts)


def _mode(mode: Mode) -> Json:
    facts = {"switch": mode.switch, "since": mode.since, "by": mode.by, "reason": mode.reason, "etag": mode.etag}
    known = PROBLEMS.get(mode.code)
    told = {"sentence": known.sentence, "who": known.who, "remedy": known.remedy} if known else {}
    return _object({**facts, "code": mode.code, **told})


def _explanation(told: Explanation, column: str) -> Json:
    row = told.row
    wanted = [one for one in told.fields if column in ("", one.view.rule.left, one.view.rule.right)]
    return {
        "pair": told.pair,
        "state": row.state.value if row else "derived" if told.derived else "not linked",
        "left": {"key": told.left.key, "version": told.left.version} if told.left else None,
        "right": {"key": told.right.key, "version": told.right.version} if told.right else None,
        "link": _link(row) if row else None,
        "fields": [_story(one) for one in wanted],
        "parked": [_object(asdict(one)) for one in told.parked],
        "pending": [_object(asdict(one)) for one in told.pending],
        "history": [_plain(asdict(one)) for one in told.entries],
    }


def _story(story: FieldStory) -> Json:
    others = [_told(one) for one in story.others]
    last = _told(story.last_write) if story.last_write else None
    return {**_field_view(story.view), "last_write": last, "still_as_written": story.intact, "others": others}


def _told(told: Told) -> Json:
    entry = told.entry
    return {
        "at": _plain(entry.at),
        "run": entry.run,
        "transfer": entry.transfer,
        "cause": entry.cause,
        "on": told.on.value,
        "action": told.decision.action,
        "reason": told.decision.reason,
    }


def _field_view(view: FieldView) -> Json:
    facts = {
        "left_column": view.rule.left,
        "right_column": view.rule.right,
        "left": canonical(view.left),
        "right": canonical(view.right),
        "master": view.master,
        "state": view.state,
        "writes": view.writes,
        "becomes": canonical(view.value) if view.writes else None,
        "code": view.code,
        "hint": view.hint,
    }
    return _object(facts)


_SHOWN_OF_A_LINK: Final = ("pair", "side", "key", "state", "other", "generation", "linked_at", "linked_by", "reason")


def _link(row: LinkRow) -> Json:
    facts = {name: getattr(row, name) for name in (*_SHOWN_OF_A_LINK, "parked", "write_back")}
    return _object(facts)


def _place_of(item: ParkedItem) -> str:
    return f"{item.side.value}/{item.key}"


def _page(items: list[Json], limit: int, last: str) -> Json:
    return {"items": items, "next": _next(len(items), limit, last)}


def _next(found: int, limit: int, last: str) -> str | None:
    return last if found == limit else None


def _object(facts: Mapping[str, Any]) -> Json:
    return {name: _plain(value) for name, value in facts.items()}


def _plain(value: Any) -> Any:
    """The value as JSON has it: times as ISO 8601, words for enums."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return _object(value)
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value
