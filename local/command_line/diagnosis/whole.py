"""Definitions, store, queues, registrations, feeds, switches and what waits."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from local.bootstrap import ROOT
from local.command_line.diagnosis.patient import Patient
from local.command_line.diagnosis.symptoms import (
    DOCTOR_PAGE,
    ERRORS_PAGE,
    CannotLook,
    Symptom,
    note,
    of_error,
    warning,
    wrong,
)
from local.definitions import is_current
from shared.engine import open_rows
from shared.errors import ConnectorError, NotAllowed, QueueUnavailable, SettingsError, StoreUnavailable
from shared.feeds import limits_of
from shared.operations import Operations
from shared.registrations import SUBSCRIPTION, Failure, Registrations
from shared.sales_cockpit.messages import QUEUE as EVALUATIONS
from shared.sites import SiteOperations
from shared.stores.stores import open_stores
from shared.sync.alarms import Alarm, Facts, alarms
from shared.sync.checking import check
from shared.sync.feed_tasks import QUEUE
from shared.sync.findings import Severity
from shared.sync.ports import Mode, SiteMode, Switch
from shared.sync.problems import PROBLEMS
from shared.sync.registering import MADE_FIRST, REGISTERING, Part, Standing, code_of
from shared.sync.surveying import survey

SCHEMA_AGE: Final = timedelta(days=2)
REGISTER_PAGE: Final = "docs/how-to/set-up.md"
TOLD_BY_REGISTRATIONS: Final = frozenset({"CD-4610", "CD-4611"})
NAMED: Final = 6
"""Parts of one kind that are named; of more there is the number."""
QUEUES_AT_ONCE: Final = 32
"""An endpoint that is away takes half a minute to be given up for each queue."""


async def definitions(patient: Patient) -> list[Symptom]:
    """Definitions that do not load, and an index older than its files."""
    remedy = "Correct the file at this line, then run manage.py compile."
    found = [wrong(str(problem), remedy, "docs/definitions.md") for problem in patient.index.problems]
    if patient.is_built_here and not is_current(ROOT / "transfers"):
        told = "transfers/index.json is older than the definitions, so the functions run yesterday's."
        found.append(warning(told, "Run manage.py compile and deploy.", "docs/definitions.md"))
    return found


async def store(patient: Patient) -> list[Symptom]:
    """Whether the store can be opened and read."""
    given = patient.app.outside.rows
    try:
        rows = await open_rows(patient.app)
    except StoreUnavailable as error:
        remedy = "Look at CROSSDOCK_STORE_*, at the network, and at our identity's role Storage Table Data Contributor."
        return [wrong(error.detail or error.sentence, remedy, code=error.code)]
    except SettingsError:
        raise CannotLook from None
    try:
        await open_stores(rows, patient.app.outside.clock).modes.get("doctor")
    finally:
        if rows is not given:
            await rows.aclose()
    return []


async def queues(patient: Patient) -> list[Symptom]:
    """Whether every queue is there, and what it gave up on."""
    try:
        queue = patient.app.queue
    except SettingsError:
        raise CannotLook from None
    turns = asyncio.Semaphore(QUEUES_AT_ONCE)

    async def looked(name: str) -> list[Symptom]:
        try:
            async with turns:
                lies = await queue.look(name)
        except QueueUnavailable as error:
            remedy = f"Look whether the queue {name} exists and our identity may send and receive, then at the network."
            return [wrong(error.detail or error.sentence, remedy, code=error.code)]
        return list(_dead(name, lies.dead))

    names = (*patient.transfers, QUEUE, *([EVALUATIONS] if patient.has_cockpit else []))
    return [symptom for found in await asyncio.gather(*map(looked, names)) for symptom in found]


def _dead(name: str, dead: int) -> Iterator[Symptom]:
    if dead:
        if name == EVALUATIONS:
            told, remedy = "the function evaluations takes them up again", "Look whether the function evaluations runs."
        else:
            told = "every minute the function sweep parks their records"
            remedy = "Look whether the function sweep runs; then see manage.py parked."
        yield warning(f"{dead} dead letters lie in the queue {name}; {told}.", remedy)


async def evaluations(patient: Patient) -> list[Symptom]:
    """The Sales Cockpit's settings held against the opportunity's columns."""
    await patient.engine()
    try:
        await (await patient.app.cockpit()).evaluations.current.rating()
    except SettingsError as error:
        return [of_error(error, page="docs/systems/sales_cockpit.md")]
    except ConnectorError:
        raise CannotLook from None
    return []


async def metadata(patient: Patient) -> list[Symptom]:
    """The definitions held against both systems, as manage.py check does: columns, types, security, rights."""
    engine = await patient.engine()
    try:
        found = check(engine.index, await survey(engine.pipeline.ports.connectors, engine.index))
    except ConnectorError:
        raise CannotLook from None
    return [
        Symptom(one.severity, f"{one.file}:{one.line}: {one.sentence}", one.remedy, ERRORS_PAGE, one.code)
        for one in found
        if one.needs_somebody and one.code not in TOLD_BY_REGISTRATIONS
    ]


async def registrations(patient: Patient) -> list[Symptom]:
    """What manage.py register would do."""
    look = await Registrations(patient.app, await patient.engine()).look()
    found = [symptom for failed in look.failures for symptom in _of_failure(failed)]
    for system in dict.fromkeys(name for name, _ in look.parts):
        parts = [part for name, part in look.parts if name == system and _is_told(part)]
        for standing, kind in dict.fromkeys((part.standing, part.kind) for part in parts):
            found.append(_of_parts(system, [one for one in parts if (one.standing, one.kind) == (standing, kind)]))
    return found


def _of_failure(failed: Failure) -> Iterator[Symptom]:
    if isinstance(failed.error, NotAllowed):
        told = f"{failed.system}: our identity may not look at what is registered; the app itself need not."
        yield note(told, "Run manage.py register as an administrator to look.", REGISTER_PAGE, failed.code)
    elif isinstance(failed.error, SettingsError):
        yield of_error(failed.error, Severity.WARNING, REGISTER_PAGE)
    else:
        yield of_error(failed.error, Severity.NOTE)


def _is_told(part: Part) -> bool:
    """Tables and columns are told by the definitions' probe, and with a missing table what needs it; a subscription
    that is to be renewed is the timer's business."""
    if part.kind == SUBSCRIPTION and part.standing is Standing.DIFFERS:
        return False
    made_first = part.kind in MADE_FIRST or part.needs
    return not made_first and part.standing not in (Standing.FITS, Standing.IMPOSSIBLE)


def _of_parts(system: str, parts: Sequence[Part]) -> Symptom:
    first, code = parts[0], code_of(parts[0])
    told = [f"{part.name} ({part.told})" if part.told and part.kind != "step" else part.name for part in parts]
    names = ", ".join(told[:NAMED]) + (f" and {len(told) - NAMED} more" if len(told) > NAMED else "")
    mild = first.standing in (Standing.SURPLUS, Standing.BUILDING)
    level = Severity.NOTE if mild else Severity.WARNING
    sentence = f"{system}: {first.kind} {first.standing.value}: {names}."
    return Symptom(level, sentence, REGISTERING[code].remedy, REGISTER_PAGE, code)


async def feeds(patient: Patient) -> list[Symptom]:
    """Late walks and places in feeds that are about to be forgotten."""
    engine = await patient.engine()
    return _alarms(patient, Facts(await engine.watch.feeds(), ()))


async def work(patient: Patient) -> list[Symptom]:
    """Transfers that only fail, and what lies for too long."""
    engine = await patient.engine()
    try:
        return _alarms(patient, Facts((), await engine.watch.transfers()))
    except QueueUnavailable:
        raise CannotLook from None


def _alarms(patient: Patient, facts: Facts) -> list[Symptom]:
    try:
        limits = limits_of(patient.app.settings)
    except SettingsError:
        raise CannotLook from None
    page = "docs/reference/operations.md#alarms"
    found = alarms(facts, limits, patient.app.outside.clock.now())
    return [warning(_since(one), one.known.remedy, page, one.code) for one in found]


def _since(one: Alarm) -> str:
    return f"{one.about}: {one.known.sentence} Since {one.since:%Y-%m-%d %H:%M} UTC."


async def switches(patient: Patient) -> list[Symptom]:
    """Transfers that do not move, and breakers that are open."""
    engine = await patient.engine()
    modes = [await engine.stores.modes.get(transfer.name) for _, transfer in engine.index.transfers()]
    found = [_stopped(mode) for mode in modes if mode.switch is Switch.STOPPED]
    found += _off([mode.transfer for mode in modes if mode.switch is Switch.OFF])
    found += [_of_site(mode) for mode in (await SiteOperations(patient.app, engine).modes())["items"]]
    for item in (await Operations(patient.app, engine).breakers())["items"]:
        if item["open"]:
            told = f"{item['system']}: did not answer ({item['code']}) and is left alone since {item['opened_at']}."
            found.append(warning(told, "Nothing: it is tried again by itself; if it lasts, look at the system."))
    return found


def _stopped(mode: Mode) -> Symptom:
    known = PROBLEMS.get(mode.code)
    why = known.sentence if known else "A person or a brake has stopped it."
    remedy = known.remedy if known else "See why with manage.py mode, then switch it on."
    return warning(f"{mode.transfer}: is stopped, changes wait. {why}", remedy, DOCTOR_PAGE, mode.code)


def _off(transfers: Sequence[str]) -> Iterator[Symptom]:
    """Every transfer is off until somebody switches it on, so those that are off are told together."""
    if transfers:
        told = f"Off, nothing moves and changes are forgotten: {', '.join(transfers)}."
        yield note(told, "If one is to run: manage.py mode on <transfer> --reason … --apply.")


def _of_site(mode: Mapping[str, object]) -> Symptom:
    told = f"{mode['system']} with {mode['partner']}: the mode is {mode['mode']}."
    if mode["mode"] == SiteMode.NONE:
        told = f"{told} Nothing is exchanged, whatever the switches say."
    return note(told, "Nothing, if that is wanted; else manage.py mode moves it.")


async def waiting(patient: Patient) -> list[Symptom]:
    """How much waits for a person or by itself."""
    items = (await Operations(patient.app, await patient.engine()).waiting())["items"]
    return [symptom for item in items for symptom in _of_waiting(item)]


def _of_waiting(item: Mapping[str, object]) -> Iterator[Symptom]:
    if item["parked"]:
        yield note(f"{item['transfer']}: {item['parked']} records wait for a person.", "See manage.py parked.")
    if item["pending"]:
        told = f"{item['transfer']}: {item['pending']} changes wait for a system or a stopped transfer."
        yield note(told, "Nothing: they go on by themselves once it answers, or moves again.")


async def schema(patient: Patient) -> list[Symptom]:
    """Whether somebody looks at the systems' metadata every night."""
    report = await (await patient.engine()).schema_watch.report()
    remedy = "Look whether the function schema_drift is enabled and runs."
    if report is None:
        return [
            note("Nobody has looked at the systems' metadata yet; the function schema_drift does at night.", remedy)
        ]
    at = datetime.fromisoformat(report["at"])
    if patient.app.outside.clock.now() - at <= SCHEMA_AGE:
        return []
    return [warning(f"The systems' metadata was last looked at on {at:%Y-%m-%d}.", remedy)]
