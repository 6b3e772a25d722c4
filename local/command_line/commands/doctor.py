"""Say what is wrong with an installation, and what to do.

  manage.py doctor

Looks at settings, definitions, store, queues, each system with each identity and its clock, the definitions against
both systems, registrations, feeds, switches and what waits. Nothing is changed. Each probe goes on whatever the others
meet; what could not be looked at because something else is broken is named. No secret and no value of a record is
shown. docs/how-to/doctor.md has the findings. Exit code 1 when anything needs somebody, 0 for notes alone.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from local.command_line.context import Context
from local.command_line.exits import Exit
from shared.errors import CrossdockError
from shared.log import where_and_which

if TYPE_CHECKING:
    from local.command_line.diagnosis.patient import Patient
    from local.command_line.diagnosis.symptoms import Symptom

    Probe = Callable[[Patient], Awaitable[list[Symptom]]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    del parser  # it takes nothing of its own


async def run(context: Context, arguments: argparse.Namespace) -> int:
    from local.command_line.diagnosis.patient import Patient

    del arguments
    patient = Patient(context.app, is_built_here=context.installation.index_json is None)
    probes = _probes(patient)
    found: dict[str, Sequence[Symptom] | None] = {}
    with context.out.progress("probes", len(probes)) as advance:
        for name, probe in probes.items():
            found[name] = await _isolated(probe, patient)
            advance(1)
    return _tell(context, found)


def _probes(patient: Patient) -> Mapping[str, Probe]:
    """Every probe by its name, the causes before their consequences."""
    from local.command_line.diagnosis import settings, systems, whole
    from local.command_line.diagnosis.symptoms import CannotLook

    try:
        of_systems = {name: systems.system(name) for name in patient.systems}
    except CannotLook:
        of_systems = {}
    return {
        "settings": settings.settings,
        "definitions": whole.definitions,
        "store": whole.store,
        "queues": whole.queues,
        **of_systems,
        "metadata": whole.metadata,
        **({"evaluations": whole.evaluations} if patient.has_cockpit else {}),
        "registrations": whole.registrations,
        "feeds": whole.feeds,
        "work": whole.work,
        "switches": whole.switches,
        "waiting": whole.waiting,
        "schema": whole.schema,
    }


async def _isolated(probe: Probe, patient: Patient) -> Sequence[Symptom] | None:
    """What a probe finds; None where something else is broken that it needs."""
    from local.command_line.diagnosis.symptoms import CannotLook, of_error

    try:
        return await probe(patient)
    except CannotLook:
        return None
    except CrossdockError as error:
        return [of_error(error)]
    except Exception as error:  # a probe that fails must not hide what the others find
        return [of_error(CrossdockError(f"The probe itself failed: {where_and_which(error)}"))]


def _tell(context: Context, found: Mapping[str, Sequence[Symptom] | None]) -> int:
    symptoms = [(name, one) for name, some in found.items() for one in some or ()]
    unseen = [name for name, some in found.items() if some is None]
    fine = [name for name, some in found.items() if some is not None and not some]
    context.out.answer({"findings": [_facts(*one) for one in symptoms], "fine": fine, "not_looked_at": unseen})
    for name, one in symptoms:
        context.out.line(f"{one.level.value}: {name}: {one.code}{' ' if one.code else ''}{one.told}")
        context.out.line(f"    {one.remedy} ({one.page})")
    if unseen:
        context.out.line(f"Not looked at, because of the above: {', '.join(unseen)}.")
    context.out.line(f"Fine: {', '.join(fine)}.")
    counts = Counter(one.level.value for _, one in symptoms)
    if counts:
        context.out.line(", ".join(f"{number} {level}" for level, number in counts.most_common()))
    return Exit.ATTENTION if unseen or any(one.needs_somebody for _, one in symptoms) else Exit.FINE


def _facts(probe: str, one: Symptom) -> dict[str, Any]:
    return {"probe": probe, **asdict(one)}
