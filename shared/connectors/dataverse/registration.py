"""What an organisation must have so that its changes are heard of: from what there is to what is to be done. Pure.

Tables and columns that are declared, and columns with our prefix that a definition names; change tracking for tables
that are walked; alternate keys; views; one webhook of ours, under it a step for each table and message.

After Microsoft Learn, 'Create and update table definitions using the Web API' and the like for columns and table
relationships, 'Publish customizations' (what is new is published by itself), 'Define alternate keys using the Web API',
'Customize views', 'Use change tracking to synchronize data with external systems', 'Register a webhook' and 'Event
framework'.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit
from xml.sax.saxutils import quoteattr

from shared.connectors.dataverse.views import PUBLIC, fetch_xml, layout_xml
from shared.strict_json import Json, JsonObject
from shared.sync.own_tables import OwnColumn, OwnTable, OwnView
from shared.sync.registering import ColumnWish, NoticeWish, Part, Standing, TableWish

MESSAGES: Final = ("Create", "Update", "Delete")
WEBHOOK, HTTP_HEADER = 8, 5
"""A service endpoint's contract and kind of authentication."""
POST_OPERATION, ASYNCHRONOUS = 40, 1
PRE_VALIDATION, SYNCHRONOUS = 10, 0
OUR_NAME: Final = "Crossdock"
KEY_PREFIX: Final = "cdock_"
"""Of the keys that we make: a prefix has eight characters at most."""
MADE_OF: Final[Mapping[str, tuple[str, ...]]] = {"fullname": ("firstname", "middlename", "lastname")}
"""Columns that the platform makes of others: an update names those."""
USUAL_DECIMALS: Final = 2
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
    it to the table. views: names and ids of its public ones."""

    tracked: bool
    columns: frozenset[str]
    keys: Sequence[Key] = ()
    filters: Mapping[str, str] = field(default_factory=dict)
    type_code: int = 0
    primary_id: str = ""
    primary_name: str = ""
    views: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Present:
    """The organisation as it is. primary_ids: of tables that columns are to refer to, if they are there. messages: ids
    by name. language: in which its labels have to be."""

    tables: Mapping[str, TablePresent]
    primary_ids: Mapping[str, str] = field(default_factory=dict)
    endpoints: Sequence[Endpoint] = ()
    steps: Sequence[Step] = ()
    messages: Mapping[str, str] = field(default_factory=dict)
    language: int = 1033


def parts(wishes: Sequence[TableWish], notices: NoticeWish | None, present: Present) -> list[Part]:
    """How everything stands, in the order in which it is to be settled; a table that is neither there nor declared has
    no parts. Which notices a new table takes is seen once it is there."""
    there = [wish for wish in wishes if wish.table in present.tables]
    lacking = [wish.declared for wish in wishes if wish.table not in present.tables]
    new = [one for one in lacking if one is not None and one.is_ours]
    made = frozenset(one.table for one in new)
    columns = [(wish.table, one) for wish in there for one in wish.missing]
    columns += [(table.table, ColumnWish(one.name, one)) for table in new for one in table.columns]
    columns.sort(key=lambda one: _refers_to(one[1]) != "")  # to tables that are made before them
    found = [Part("table", one.table, Standing.FITS) for one in there if one.declared and one.declared.is_ours]
    found += [_table(one, present.language) for one in new]
    found += [_column(table, one, made, present) for table, one in columns]
    found += [part for wish in there for part in _of_table(wish, present)]
    found += [_key(one.table, key, (), present.language, made) for one in new for key in one.keys]
    found += [_view(one, view, None) for one in new for view in one.views]
    declared = [(wish.declared, present.tables[wish.table]) for wish in there if wish.declared is not None]
    found += [_view(one, view, table) for one, table in declared for view in one.views]
    if notices is not None:
        found += _of_notices(there, notices, present)
    return found


# --- tables and columns ---


def _table(table: OwnTable, language: int) -> Part:
    """A new table with its primary name column; its other columns are parts of their own, so that a killed run goes
    on."""
    assert table.name is not None, "a table of ours has one"
    body: JsonObject = {
        "@odata.type": "Microsoft.Dynamics.CRM.EntityMetadata",
        "SchemaName": table.table,
        "DisplayName": _label(table.label, language),
        "DisplayCollectionName": _label(table.plural, language),
        "OwnershipType": "UserOwned",
        "IsActivity": False,
        "HasActivities": False,
        "HasNotes": True,  # what we replace stays readable there
        "ChangeTrackingEnabled": True,
        "Attributes": [{**_described(table.name, language), "IsPrimaryName": True}],
    }
    work = (Write("POST", "EntityDefinitions", "EntityDefinitions", body),)
    return Part("table", table.table, Standing.MISSING, f"is declared; {table.plural}", work=work)


def _refers_to(wish: ColumnWish) -> str:
    return wish.column.refers_to if wish.column else ""


def _column(table: str, wish: ColumnWish, made: Collection[str], present: Present) -> Part:
    name = f"{table}.{wish.name}"
    if wish.column is None:
        told = f"is missing and {wish.why_not}"
        return Part("column", name, Standing.IMPOSSIBLE, told, "CD-4706", guessed=wish.guessed)
    target = _refers_to(wish)
    why = "is named by a definition" if wish.guessed else "is declared"
    told = f"{why}; {wish.column.type}{f' to {target}' if target else ''}"
    needs, work = frozenset({table, target} & set(made)), (_new_column(table, wish.column, present),)
    return Part("column", name, Standing.MISSING, told, needs=needs, guessed=wish.guessed, work=work)


def _new_column(table: str, column: OwnColumn, present: Present) -> Write:
    if column.refers_to:
        about = _relationship(table, column, present)
        return Write("POST", "RelationshipDefinitions", "RelationshipDefinitions", about)
    path, template = f"{_definition(table)}/Attributes", "EntityDefinitions(..)/Attributes"
    return Write("POST", path, template, _described(column, present.language))


def _relationship(table: str, column: OwnColumn, present: Present) -> JsonObject:
    """A reference is made with its relationship. Nothing follows for our rows from the other record, but that those of
    a record that is merged into another one go with it."""
    nothing = dict.fromkeys(("Assign", "Reparent", "Share", "Unshare", "RollupView"), "NoCascade")
    return {
        "@odata.type": "Microsoft.Dynamics.CRM.OneToManyRelationshipMetadata",
        "SchemaName": f"{column.name}_{table}",
        "ReferencedEntity": column.refers_to,
        "ReferencedAttribute": present.primary_ids.get(column.refers_to, f"{column.refers_to}id"),
        "ReferencingEntity": table,
        "CascadeConfiguration": {**nothing, "Delete": "RemoveLink", "Merge": "Cascade"},
        "Lookup": _described(column, present.language),
    }


def _described(column: OwnColumn, language: int) -> JsonObject:
    kind, more = _kind(column, language)
    return {
        "@odata.type": f"Microsoft.Dynamics.CRM.{kind}AttributeMetadata",
        "SchemaName": column.name,
        "DisplayName": _label(column.label, language),
        "RequiredLevel": {"Value": "None"},
        **more,
    }


def _kind(column: OwnColumn, language: int) -> tuple[str, JsonObject]:
    match column.type:
        case "choice":
            options: list[Json] = [_option(int(value), text, language) for value, text in column.choices.items()]
            return "Picklist", {"OptionSet": {"IsGlobal": False, "OptionSetType": "Picklist", "Options": options}}
        case "memo":
            return "Memo", {"MaxLength": column.longest}
        case "integer":
            return "Integer", {"MinValue": -2_147_483_648, "MaxValue": 2_147_483_647}
        case "decimal":
            places = USUAL_DECIMALS if column.decimals is None else column.decimals
            return "Decimal", {"MinValue": -100_000_000_000, "MaxValue": 100_000_000_000, "Precision": places}
        case "boolean":
            yes, no = _option(1, "Yes", language), _option(0, "No", language)
            return "Boolean", {"DefaultValue": False, "OptionSet": {"TrueOption": yes, "FalseOption": no}}
        case "date":
            return "DateTime", {"Format": "DateOnly", "DateTimeBehavior": {"Value": "DateOnly"}}
        case "datetime":
            return "DateTime", {"Format": "DateAndTime", "DateTimeBehavior": {"Value": "UserLocal"}}
        case "reference":
            return "Lookup", {}
        case _:
            return "String", {"MaxLength": column.longest, "FormatName": {"Value": "Text"}}


def _option(value: int, text: str, language: int) -> JsonObject:
    return {"Value": value, "Label": _label(text, language)}


# --- views ---


def _view(table: OwnTable, view: OwnView, there: TablePresent | None) -> Part:
    """A view that is there is left as people have it; there: the table, None where it is to be made first."""
    name, view_id = f"{table.table}: {view.name}", _new_id("view", table.table, view.name)
    if there is None:
        return Part("view", name, Standing.MISSING, "is declared", needs=frozenset({table.table}))
    if {view.name, view_id} & there.views:
        return Part("view", name, Standing.FITS)
    body: JsonObject = {
        "savedqueryid": view_id,
        "name": view.name,
        "returnedtypecode": table.table,
        "querytype": PUBLIC,
        "fetchxml": fetch_xml(table, view, there.primary_id),
        "layoutxml": layout_xml(view, there.primary_id, there.primary_name, there.type_code),
    }
    return Part(
        "view", name, Standing.MISSING, "is declared", work=(Write("POST", "savedqueries", "savedqueries", body),)
    )


# --- change tracking, keys ---


def _of_table(wish: TableWish, present: Present) -> Iterator[Part]:
    there = present.tables[wish.table]
    if wish.walked:
        work = () if there.tracked else (_tracking_on(wish.table), _publishing(wish.table))
        standing = Standing.FITS if there.tracked else Standing.MISSING
        yield Part("change tracking", wish.table, standing, "" if there.tracked else "is off", work=work)
    for key in wish.keys:
        yield _key(wish.table, key, there.keys, present.language)


def _tracking_on(table: str) -> Write:
    return Write("PUT", _definition(table), "EntityDefinitions(..)", {"ChangeTrackingEnabled": True}, whole=True)


def _publishing(table: str) -> Write:
    named = f"<importexportxml><entities><entity>{table}</entity></entities></importexportxml>"
    return Write("POST", "PublishXml", "PublishXml", {"ParameterXml": named})


def _key(table: str, columns: Sequence[str], keys: Sequence[Key], language: int, made: Collection[str] = ()) -> Part:
    name = f"{table}.{'+'.join(columns)}"
    alike = [key for key in keys if set(key.columns) == set(columns)]
    fitting = sorted(alike, key=lambda key: key.status != "Active")
    if not fitting:
        path, template = f"{_definition(table)}/Keys", "EntityDefinitions(..)/Keys"
        schema = f"{KEY_PREFIX}{'_'.join(columns)}_key"
        label = _label(f"{OUR_NAME}: {', '.join(columns)}", language)
        body: JsonObject = {"SchemaName": schema, "DisplayName": label, "KeyAttributes": list(columns)}
        make, needs = Write("POST", path, template, body), frozenset({table} & set(made))
        return Part("alternate key", name, Standing.MISSING, "there is none", needs=needs, work=(make,))
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


@dataclass(frozen=True, slots=True)
class _Way:
    """How the steps under one of our webhooks run. name: what is added to the names of its parts. unlike: what is told
    of a step that runs otherwise."""

    name: str
    stage: int
    mode: int
    messages: Sequence[str]
    unlike: str


_TELLING: Final = _Way("", POST_OPERATION, ASYNCHRONOUS, MESSAGES, "does not run asynchronously after the operation")
_ASKING: Final = _Way(
    ", asked first", PRE_VALIDATION, SYNCHRONOUS, ("Update",), "does not run synchronously before the operation"
)


def _of_notices(wishes: Sequence[TableWish], notices: NoticeWish, present: Present) -> Iterator[Part]:
    """The webhook that is told of changes, and where there are tables whose changes are asked about, that one, too."""
    told = {wish.table: _filtering(wish, present.tables[wish.table]) for wish in wishes if wish.heard}
    yield from _under(_TELLING, notices.address, told, notices, present)
    asked = {wish.table: frozenset({wish.asks}) for wish in wishes if wish.asks}
    if notices.questions:
        yield from _under(_ASKING, notices.questions, asked, notices, present)


def _under(
    way: _Way, address: str, columns: Mapping[str, frozenset[str]], notices: NoticeWish, present: Present
) -> Iterator[Part]:
    """A webhook with its steps. columns: of each table, those whose change it is about; none: every change."""
    ours = [one for one in present.endpoints if one.address == address]
    kept = min(ours, key=lambda one: (one.id not in notices.known_on, one.id), default=None)
    if way is _ASKING and not columns:
        kept = None  # it would stop what nobody wants to be asked about
    else:
        yield _endpoint(way, address, notices, kept)
        endpoint_id = kept.id if kept else _new_id(address)
        under = [step for step in present.steps if step.endpoint == endpoint_id]
        for table, names in columns.items():
            yield from _steps(way, table, names, endpoint_id, under, present)
        known = {one for table in columns for one in present.tables[table].filters.values()}
        for step in [one for one in under if one.filter_id not in known]:
            yield _surplus_step(step, "no definition needs it")
    for one in present.endpoints:
        if one is not kept and _is_ours(one, address):
            yield _surplus_endpoint(way, one, address, present.steps, needed=kept is not None or bool(columns))


def _endpoint(way: _Way, address: str, notices: NoticeWish, there: Endpoint | None) -> Part:
    host = urlsplit(address).netloc
    secret = f"<settings><setting name={quoteattr(notices.header)} value={quoteattr(notices.secret)} /></settings>"
    body: JsonObject = {"authtype": HTTP_HEADER, "authvalue": secret}
    name = f"{host}{way.name}"
    if there is None:
        new_id = _new_id(address)
        body |= {"serviceendpointid": new_id, "name": f"{OUR_NAME} {name}"[:256], "url": address}
        work = (Write("POST", "serviceendpoints", "serviceendpoints", body | {"contract": WEBHOOK}),)
        return Part("webhook", name, Standing.MISSING, "there is none", id=new_id, work=work)
    change = Write("PATCH", f"serviceendpoints({there.id})", "serviceendpoints(..)", body)
    told = _unlike(there, notices)
    standing = Standing.DIFFERS if told else Standing.FITS
    return Part("webhook", name, standing, told, id=there.id, work=(change,) if told else ())


def _unlike(there: Endpoint, notices: NoticeWish) -> str:
    if there.authentication != HTTP_HEADER or not there.has_secret:
        return "does not show our secret in a header"
    return "" if there.id in notices.known_on else "may show another secret than that of the settings"


def _steps(
    way: _Way, table: str, columns: frozenset[str], endpoint_id: str, under: Sequence[Step], present: Present
) -> Iterator[Part]:
    there = present.tables[table]
    for message in way.messages:
        name, filter_id = f"{message} of {table}{way.name}", there.filters.get(message, "")
        if not filter_id or message not in present.messages:
            why = "the table takes none; only walks find its changes" if way is _TELLING else "the table takes none"
            yield Part("step", name, Standing.IMPOSSIBLE, why)
            continue
        wanted = columns if message == "Update" else frozenset()
        fitting = sorted((one for one in under if one.filter_id == filter_id), key=lambda one: one.id)
        yield _step(way, name, wanted, fitting, _new_step(way, name, endpoint_id, present.messages[message], filter_id))
        for surplus in fitting[1:]:
            yield _surplus_step(surplus, "tells of the same once more")


def _step(way: _Way, name: str, wanted: frozenset[str], fitting: Sequence[Step], new: JsonObject) -> Part:
    columns = ",".join(sorted(wanted))
    if not fitting:
        body = new | ({"filteringattributes": columns} if columns else {})
        told = f"there is none; columns: {columns}" if columns else "there is none"
        make = Write("POST", "sdkmessageprocessingsteps", "sdkmessageprocessingsteps", body)
        return Part("step", name, Standing.MISSING, told, work=(make,))
    told = ", ".join(_step_unlike(way, fitting[0], wanted))
    body = {**_running(way), "statecode": 0, "statuscode": 1, "filteringattributes": columns or None}
    path = f"sdkmessageprocessingsteps({fitting[0].id})"
    change = Write("PATCH", path, "sdkmessageprocessingsteps(..)", body)
    return Part("step", name, Standing.DIFFERS if told else Standing.FITS, told, work=(change,) if told else ())


def _running(way: _Way) -> JsonObject:
    """When a step runs; only one that runs as a job of its own leaves something that is to be cleaned up."""
    return {"stage": way.stage, "mode": way.mode, "asyncautodelete": way.mode == ASYNCHRONOUS}


def _step_unlike(way: _Way, step: Step, wanted: frozenset[str]) -> Iterator[str]:
    if not step.enabled:
        yield "is disabled"
    if (step.stage, step.mode) != (way.stage, way.mode):
        yield way.unlike
    if way.mode == ASYNCHRONOUS and not step.cleans_up:
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


def _new_step(way: _Way, name: str, endpoint_id: str, message_id: str, filter_id: str) -> JsonObject:
    return {
        "sdkmessageprocessingstepid": _new_id(endpoint_id, filter_id),
        "name": f"{OUR_NAME}: {name}",
        **_running(way),
        "rank": 1,
        "supporteddeployment": 0,
        "eventhandler_serviceendpoint@odata.bind": f"/serviceendpoints({endpoint_id})",
        "sdkmessageid@odata.bind": f"/sdkmessages({message_id})",
        "sdkmessagefilterid@odata.bind": f"/sdkmessagefilters({filter_id})",
    }


def _surplus_step(step: Step, why: str) -> Part:
    return Part("step", step.name, Standing.SURPLUS, why, id=step.id, work=(_removed_step(step),))


def _removed_step(step: Step) -> Write:
    return Write("DELETE", f"sdkmessageprocessingsteps({step.id})", "sdkmessageprocessingsteps(..)")


def _is_ours(one: Endpoint, address: str) -> bool:
    """Whether it leads to this app, or bears our name and leads to the same door of another address."""
    if one.address == address:
        return True
    return urlsplit(one.address).path == urlsplit(address).path and one.name.startswith(OUR_NAME)


def _surplus_endpoint(way: _Way, one: Endpoint, address: str, steps: Sequence[Step], *, needed: bool) -> Part:
    host = urlsplit(one.address).netloc
    why = "is there twice" if one.address == address else "leads to another address of the same kind"
    why = why if needed else "nothing is asked about any more"
    work = [_removed_step(step) for step in steps if step.endpoint == one.id]
    work.append(Write("DELETE", f"serviceendpoints({one.id})", "serviceendpoints(..)"))
    return Part("webhook", f"{host}{way.name}", Standing.SURPLUS, why, id=one.id, work=tuple(work))


def _new_id(*names: str) -> str:
    """The id of what we make: the same in every try, so that a lost answer makes no second one."""
    return str(uuid.uuid5(_IDS, "\n".join(names)))
