"""What an organisation must have so that its changes are heard of: from what there is to what is to be done. Pure.

One webhook of ours, under it a step for each table and message; change tracking for tables that are walked; alternate
keys over the columns that hold the other system's numbers; and columns with our prefix that a definition names. After
Microsoft Learn, 'Register a webhook', 'Event framework', 'Define alternate keys using the Web API', 'Create and update
column definitions using the Web API' and 'Use change tracking to synchronize data with external systems'.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit
from xml.sax.saxutils import quoteattr

from shared.strict_json import Json, JsonObject
from shared.sync.ports import ColumnType
from shared.sync.registering import ColumnWish, NoticeWish, Part, Standing, TableWish

MESSAGES: Final = ("Create", "Update", "Delete")
WEBHOOK, HTTP_HEADER = 8, 5
"""A service endpoint's contract and kind of authentication."""
POST_OPERATION, ASYNCHRONOUS = 40, 1
OUR_NAME: Final = "Crossdock"
KEY_PREFIX: Final = "cdock_"
"""Of the keys that we make: a prefix has eight characters at most."""
CUSTOM: Final = re.compile(r"[a-z][a-z0-9]{1,7}_[a-z0-9_]{1,90}")
"""A name that a column of an organisation's own can have: a publisher's prefix has two to eight characters."""
MADE_OF: Final[Mapping[str, tuple[str, ...]]] = {"fullname": ("firstname", "middlename", "lastname")}
"""Columns that the platform makes of others: an update names those."""
LONGEST_STRING: Final = 4000
USUAL_LENGTH: Final = 100
_IDS: Final = uuid.UUID("8d0f1c52-94c3-5a0c-a0a5-1f1f0a3b7e21")


@dataclass(frozen=True, slots=True)
class Write:
    """A request that changes something. whole: its body is laid over the definition as it is then read."""

    method: str
    path: str
    template: str
    body: JsonObject | None = field(default=None, repr=False)
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A webhook that is registered, ours or not."""

    id: str
    name: str
    address: str
    authentication: int
    has_secret: bool


@dataclass(frozen=True, slots=True)
class Step:
    """A step under one of our webhooks."""

    id: str
    endpoint: str
    name: str
    filter_id: str
    stage: int
    mode: int
    enabled: bool
    cleans_up: bool
    columns: frozenset[str]


@dataclass(frozen=True, slots=True)
class Key:
    """An alternate key. status: Pending, InProgress, Active or Failed."""

    name: str
    columns: tuple[str, ...]
    status: str


@dataclass(frozen=True, slots=True)
class TablePresent:
    """One table as it is. columns: names that steps may be filtered by. filters: of each message, the id of what joins
    it to the table."""

    tracked: bool
    columns: frozenset[str]
    keys: Sequence[Key] = ()
    filters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Present:
    """The organisation as it is. messages: ids by name. language: in which its labels have to be."""

    tables: Mapping[str, TablePresent]
    endpoints: Sequence[Endpoint] = ()
    steps: Sequence[Step] = ()
    messages: Mapping[str, str] = field(default_factory=dict)
    language: int = 1033


def parts(wishes: Sequence[TableWish], notices: NoticeWish | None, present: Present) -> list[Part]:
    """How everything stands, in the order in which it is to be settled."""
    found = [part for wish in wishes if wish.table in present.tables for part in _of_table(wish, present)]
    if notices is not None:
        found += _of_notices(wishes, notices, present)
    return found


# --- columns, change tracking, keys ---


def _of_table(wish: TableWish, present: Present) -> Iterator[Part]:
    there = present.tables[wish.table]
    for column in wish.missing:
        yield _column(wish.table, column, present.language)
    if wish.walked:
        work = () if there.tracked else (_tracking_on(wish.table), _publishing(wish.table))
        standing = Standing.FITS if there.tracked else Standing.MISSING
        yield Part("change tracking", wish.table, standing, "" if there.tracked else "is off", work=work)
    for name in wish.keys:
        yield _key(wish.table, name, there.keys, present.language)


def _column(table: str, wish: ColumnWish, language: int) -> Part:
    about, name = _described(wish, language), f"{table}.{wish.name}"
    if about is None or not CUSTOM.fullmatch(wish.name):
        why = "holds a reference" if about is None else "has a name that a column of your own cannot have"
        return Part("column", name, Standing.IMPOSSIBLE, f"is missing and {why}", "CD-4706")
    path, template = f"{_definition(table)}/Attributes", "EntityDefinitions(..)/Attributes"
    work = (Write("POST", path, template, about), _publishing(table))
    return Part("column", name, Standing.MISSING, f"is named by a definition; {about['@odata.type']}", work=work)


def _described(wish: ColumnWish, language: int) -> JsonObject | None:
    """The column's definition, of the kind that its partner has; None for a reference."""
    kind, more = _kind(wish, language)
    if not kind:
        return None
    return {
        "@odata.type": f"Microsoft.Dynamics.CRM.{kind}AttributeMetadata",
        "SchemaName": wish.name,
        "DisplayName": _label(wish.name.partition("_")[2].replace("_", " "), language),
        "RequiredLevel": {"Value": "None"},
        **more,
    }


def _kind(wish: ColumnWish, language: int) -> tuple[str, JsonObject]:
    if wish.choices and all(value.isdecimal() for value in wish.choices):
        options: list[Json] = [_option(int(value), text, language) for value, text in wish.choices.items()]
        return "Picklist", {"OptionSet": {"IsGlobal": False, "OptionSetType": "Picklist", "Options": options}}
    match wish.like.type if wish.like else ColumnType.TEXT:
        case ColumnType.TEXT | ColumnType.CHOICE:
            return _text(wish.like.max_length if wish.like else None)
        case ColumnType.INTEGER:
            return "Integer", {"MinValue": -2_147_483_648, "MaxValue": 2_147_483_647}
        case ColumnType.DECIMAL:
            return "Decimal", {"MinValue": -100_000_000_000, "MaxValue": 100_000_000_000, "Precision": 5}
        case ColumnType.BOOLEAN:
            yes, no = _option(1, "Yes", language), _option(0, "No", language)
            return "Boolean", {"OptionSet": {"TrueOption": yes, "FalseOption": no}}
        case ColumnType.DATE:
            return "DateTime", {"Format": "DateOnly", "DateTimeBehavior": {"Value": "DateOnly"}}
        case ColumnType.DATETIME:
            return "DateTime", {"Format": "DateAndTime", "DateTimeBehavior": {"Value": "UserLocal"}}
        case ColumnType.KEY | ColumnType.REFERENCE:
            return "", {}


def _option(value: int, text: str, language: int) -> JsonObject:
    return {"Value": value, "Label": _label(text, language)}


def _text(length: int | None) -> tuple[str, JsonObject]:
    if length is not None and length > LONGEST_STRING:
        return "Memo", {"MaxLength": length}
    return "String", {"MaxLength": length or USUAL_LENGTH, "FormatName": {"Value": "Text"}}


def _tracking_on(table: str) -> Write:
    return Write("PUT", _definition(table), "EntityDefinitions(..)", {"ChangeTrackingEnabled": True}, whole=True)


def _publishing(table: str) -> Write:
    named = f"<importexportxml><entities><entity>{table}</entity></entities></importexportxml>"
    return Write("POST", "PublishXml", "PublishXml", {"ParameterXml": named})


def _key(table: str, column: str, keys: Sequence[Key], language: int) -> Part:
    name = f"{table}.{column}"
    fitting = sorted((key for key in keys if key.columns == (column,)), key=lambda key: key.status != "Active")
    if not fitting:
        path, template = f"{_definition(table)}/Keys", "EntityDefinitions(..)/Keys"
        schema = f"{KEY_PREFIX}{column}_key"
        label = _label(f"{OUR_NAME}: {column}", language)
        body: JsonObject = {"SchemaName": schema, "DisplayName": label, "KeyAttributes": [column]}
        make = Write("POST", path, template, body)
        return Part("alternate key", name, Standing.MISSING, "there is none", work=(make,))
    status = fitting[0].status
    if status == "Failed":
        body = {"EntityLogicalName": table, "EntityKeyLogicalName": fitting[0].name}
        again = Write("POST", "ReactivateEntityKey", "ReactivateEntityKey", body)
        told = "its index could not be built: several records hold the same value"
        return Part("alternate key", name, Standing.FAILED, told, "CD-4701", work=(again,))
    if status == "Active":
        return Part("alternate key", name, Standing.FITS)
    return Part("alternate key", name, Standing.BUILDING, "its index is being built", "CD-4702")


def _definition(table: str) -> str:
    return f"EntityDefinitions(LogicalName='{table}')"


def _label(text: str, language: int) -> JsonObject:
    return {
        "@odata.type": "Microsoft.Dynamics.CRM.Label",
        "LocalizedLabels": [
            {"@odata.type": "Microsoft.Dynamics.CRM.LocalizedLabel", "Label": text, "LanguageCode": language}
        ],
    }


# --- the webhook and its steps ---


def _of_notices(wishes: Sequence[TableWish], notices: NoticeWish, present: Present) -> Iterator[Part]:
    ours = [one for one in present.endpoints if one.address == notices.address]
    kept = min(ours, key=lambda one: (one.id != notices.known_on, one.id), default=None)
    yield _endpoint(notices, kept)
    endpoint_id = kept.id if kept else _new_id(notices.address)
    under = [step for step in present.steps if step.endpoint == endpoint_id]
    wanted = [wish for wish in wishes if wish.table in present.tables]
    for wish in wanted:
        yield from _steps(wish, endpoint_id, under, present)
    known = {one for wish in wanted for one in present.tables[wish.table].filters.values()}
    for step in [one for one in under if one.filter_id not in known]:
        yield _surplus_step(step, "no definition needs it")
    for one in present.endpoints:
        if one is not kept and _is_ours(one, notices):
            yield _surplus_endpoint(one, notices, present.steps)


def _endpoint(notices: NoticeWish, there: Endpoint | None) -> Part:
    host = urlsplit(notices.address).netloc
    secret = f"<settings><setting name={quoteattr(notices.header)} value={quoteattr(notices.secret)} /></settings>"
    body: JsonObject = {"authtype": HTTP_HEADER, "authvalue": secret}
    if there is None:
        new_id = _new_id(notices.address)
        body |= {"serviceendpointid": new_id, "name": f"{OUR_NAME} {host}"[:256], "url": notices.address}
        work = (Write("POST", "serviceendpoints", "serviceendpoints", body | {"contract": WEBHOOK}),)
        return Part("webhook", host, Standing.MISSING, "there is none", id=new_id, work=work)
    change = Write("PATCH", f"serviceendpoints({there.id})", "serviceendpoints(..)", body)
    told = _unlike(there, notices)
    standing = Standing.DIFFERS if told else Standing.FITS
    return Part("webhook", host, standing, told, id=there.id, work=(change,) if told else ())


def _unlike(there: Endpoint, notices: NoticeWish) -> str:
    if there.authentication != HTTP_HEADER or not there.has_secret:
        return "does not show our secret in a header"
    return "" if there.id == notices.known_on else "may show another secret than that of the settings"


def _steps(wish: TableWish, endpoint_id: str, under: Sequence[Step], present: Present) -> Iterator[Part]:
    there = present.tables[wish.table]
    for message in MESSAGES:
        name, filter_id = f"{message} of {wish.table}", there.filters.get(message, "")
        if not filter_id or message not in present.messages:
            yield Part("step", name, Standing.IMPOSSIBLE, "the table takes none; only walks find its changes")
            continue
        wanted = _filtering(wish, there) if message == "Update" else frozenset()
        fitting = sorted((one for one in under if one.filter_id == filter_id), key=lambda one: one.id)
        yield _step(name, wanted, fitting, _new_step(name, endpoint_id, present.messages[message], filter_id))
        for surplus in fitting[1:]:
            yield _surplus_step(surplus, "tells of the same once more")


def _step(name: str, wanted: frozenset[str], fitting: Sequence[Step], new: JsonObject) -> Part:
    columns = ",".join(sorted(wanted))
    if not fitting:
        body = new | ({"filteringattributes": columns} if columns else {})
        told = f"there is none; columns: {columns}" if columns else "there is none"
        make = Write("POST", "sdkmessageprocessingsteps", "sdkmessageprocessingsteps", body)
        return Part("step", name, Standing.MISSING, told, work=(make,))
    told = ", ".join(_step_unlike(fitting[0], wanted))
    body = {
        "stage": POST_OPERATION,
        "mode": ASYNCHRONOUS,
        "asyncautodelete": True,
        "statecode": 0,
        "statuscode": 1,
        "filteringattributes": columns or None,
    }
    path = f"sdkmessageprocessingsteps({fitting[0].id})"
    change = Write("PATCH", path, "sdkmessageprocessingsteps(..)", body)
    return Part("step", name, Standing.DIFFERS if told else Standing.FITS, told, work=(change,) if told else ())


def _step_unlike(step: Step, wanted: frozenset[str]) -> Iterator[str]:
    if not step.enabled:
        yield "is disabled"
    if (step.stage, step.mode) != (POST_OPERATION, ASYNCHRONOUS):
        yield "does not run asynchronously after the operation"
    if not step.cleans_up:
        yield "leaves a system job for every notice"
    if step.columns != wanted:
        yield from _column_differences(step.columns, wanted)


def _column_differences(there: frozenset[str], wanted: frozenset[str]) -> Iterator[str]:
    if not wanted:
        yield f"tells of {','.join(sorted(there))} only"
    elif not there:
        yield f"tells of every change, not of {','.join(sorted(wanted))} only"
    else:
        more, fewer = ",".join(sorted(wanted - there)), ",".join(sorted(there - wanted))
        yield ", ".join(filter(None, (more and f"lacks {more}", fewer and f"need not tell of {fewer}")))


def _filtering(wish: TableWish, there: TablePresent) -> frozenset[str]:
    """The columns whose change is to be told; none: every change."""
    named = [part for name in wish.columns for part in MADE_OF.get(name, (name,))]
    return frozenset(name for name in named if name in there.columns)


def _new_step(name: str, endpoint_id: str, message_id: str, filter_id: str) -> JsonObject:
    return {
        "sdkmessageprocessingstepid": _new_id(endpoint_id, filter_id),
        "name": f"{OUR_NAME}: {name}",
        "stage": POST_OPERATION,
        "mode": ASYNCHRONOUS,
        "rank": 1,
        "supporteddeployment": 0,
        "asyncautodelete": True,
        "eventhandler_serviceendpoint@odata.bind": f"/serviceendpoints({endpoint_id})",
        "sdkmessageid@odata.bind": f"/sdkmessages({message_id})",
        "sdkmessagefilterid@odata.bind": f"/sdkmessagefilters({filter_id})",
    }


def _surplus_step(step: Step, why: str) -> Part:
    return Part("step", step.name, Standing.SURPLUS, why, id=step.id, work=(_removed_step(step),))


def _removed_step(step: Step) -> Write:
    return Write("DELETE", f"sdkmessageprocessingsteps({step.id})", "sdkmessageprocessingsteps(..)")


def _is_ours(one: Endpoint, notices: NoticeWish) -> bool:
    """Whether it leads to this app, or bears our name and leads to the same door of another address."""
    if one.address == notices.address:
        return True
    same_door = urlsplit(one.address).path == urlsplit(notices.address).path
    return same_door and one.name.startswith(OUR_NAME)


def _surplus_endpoint(one: Endpoint, notices: NoticeWish, steps: Sequence[Step]) -> Part:
    host = urlsplit(one.address).netloc
    why = "is there twice" if one.address == notices.address else "leads to another address of the same kind"
    work = [_removed_step(step) for step in steps if step.endpoint == one.id]
    work.append(Write("DELETE", f"serviceendpoints({one.id})", "serviceendpoints(..)"))
    return Part("webhook", host, Standing.SURPLUS, why, id=one.id, work=tuple(work))


def _new_id(*names: str) -> str:
    """The id of what we make: the same in every try, so that a lost answer makes no second one."""
    return str(uuid.uuid5(_IDS, "\n".join(names)))
