"""Set both systems up: tables, columns and views of ours, webhook, steps, change tracking, keys, subscriptions.

  manage.py register                     how everything stands, and what would be done; nothing is changed
  manage.py register --apply             do it, and wait until the indexes of new keys are built
  manage.py register --apply --columns   also make columns that nothing declares and definitions name
  manage.py register --apply --remove    also remove what is ours and no longer needed

What fits is left alone, so it can be run again at any time: after a change of the definitions, of a secret, of the
public address. It needs more rights than the app has: docs/how-to/set-up.md. Exit code 1: something would be done, is
not ready or needs a person; 3: a setting is missing; 4: a system does not answer; 5: refused, or a right is missing.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from local.command_line.context import Context
from local.command_line.exits import Exit, exit_of
from shared.sync.registering import MADE_FIRST, REGISTERING, Part, Standing, code_of

if TYPE_CHECKING:
    from shared.registrations import Failure, Look, Registrations

WRITES: Final = True
COLUMNS: Final = ("system", "what", "name", "standing", "told")
AGAIN_SECONDS: Final = 15.0
"""Between two looks at an index that is being built."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--columns", action="store_true", help="also make columns that nothing declares and definitions name"
    )
    parser.add_argument("--remove", action="store_true", help="also remove what is ours and no longer needed")
    parser.add_argument(
        "--wait", type=int, default=600, metavar="SECONDS", help="how long to wait for indexes of keys; 600 if not said"
    )


async def run(context: Context, arguments: argparse.Namespace) -> int:
    from shared.registrations import Registrations

    registrations = Registrations(context.app, await context.engine())
    look = await registrations.look()
    failures: Sequence[Failure] = []
    if context.applies:
        if any(_is_first(part) and _is_due(part, arguments) for _, part in look.parts):
            failures = await _settle(context, registrations, _only(look, _is_first), arguments)
            look = await registrations.look()  # which steps a table takes, and for which columns, is seen only now
        failures = [*failures, *await _settle(context, registrations, _only(look, _is_next), arguments)]
        look = await _awaited(context, registrations, arguments.wait)
    return _tell(context, look, failures, arguments.remove)


def _only(look: Look, wanted: Callable[[Part], bool]) -> Look:
    return replace(look, parts=[(system, part) for system, part in look.parts if wanted(part)])


def _is_first(part: Part) -> bool:
    return part.kind in MADE_FIRST


def _is_next(part: Part) -> bool:
    """Whether it is one of the rest; what needs a table that could not be made is left."""
    return part.kind not in MADE_FIRST and not part.needs


def _is_due(part: Part, arguments: argparse.Namespace) -> bool:
    """Whether it is to be settled; what is surplus is removed and what is guessed made only where somebody says so."""
    if part.standing is Standing.SURPLUS:
        return bool(arguments.remove)
    return part.standing.can_be_settled and (arguments.columns or not part.guessed)


async def _settle(
    context: Context, registrations: Registrations, look: Look, arguments: argparse.Namespace
) -> Sequence[Failure]:
    from shared.registrations import SUBSCRIPTION
    from shared.subscriptions import renew_subscriptions

    due = [part for _, part in look.parts if _is_due(part, arguments) and part.kind != SUBSCRIPTION]
    surplus = sum(part.standing is Standing.SURPLUS for part in due)
    if surplus:
        context.confirm(f"Remove {surplus} registrations that are no longer needed?")
    with context.out.progress("parts", len(due)) as advance:

        def did(system: str, part: Part) -> None:
            context.out.note(f"{system}: {part.kind} {part.name}: {_done(part)}")
            advance(1)

        failures = await registrations.settle(look, lambda part: part in due, did)
    if any(part.kind == SUBSCRIPTION and part.standing.can_be_settled for _, part in look.parts):
        await renew_subscriptions(context.app)
    return failures


def _done(part: Part) -> str:
    words = {Standing.MISSING: "made", Standing.SURPLUS: "removed", Standing.FAILED: "tried again"}
    return words.get(part.standing, "changed")


async def _awaited(context: Context, registrations: Registrations, seconds: int) -> Look:
    """How everything stands once no index is being built any more, or the patience is over."""
    clock = context.app.outside.clock
    ends_at = clock.monotonic() + seconds
    look = await registrations.look()
    while (building := [part.name for _, part in look.parts if part.standing is Standing.BUILDING]) and (
        clock.monotonic() < ends_at
    ):
        context.out.note(f"Waiting for the index of {', '.join(building)}")
        await clock.sleep(AGAIN_SECONDS)
        look = await registrations.look()
    return look


def _tell(context: Context, look: Look, failures: Sequence[Failure], remove: bool) -> int:
    failed = [*look.failures, *failures]
    items = [_item(system, part) for system, part in look.parts]
    context.out.answer({"items": items, "failures": [_failure(one) for one in failed]})
    context.out.table(COLUMNS, [[item[name] for name in COLUMNS] for item in items if item["standing"] != "fits"])
    for one in failed:
        about = f"{one.part.kind} {one.part.name}: " if one.part else ""
        context.out.line(f"{one.code} {one.system}: {about}{one.sentence}")
        context.out.line(f"    {one.remedy}")
    for code in dict.fromkeys(item["code"] for item in items if item["code"] in REGISTERING):
        context.out.line(f"{code} {REGISTERING[code].remedy}")
    counts = Counter(item["standing"] for item in items)
    context.out.line(", ".join(f"{number} {standing}" for standing, number in counts.most_common()))
    return _exit(look, failed, remove)


def _exit(look: Look, failed: Sequence[Failure], remove: bool) -> int:
    if failed:
        return exit_of(failed[0].error)
    return Exit.ATTENTION if any(_needs(part, remove) for _, part in look.parts) else Exit.FINE


def _needs(part: Part, remove: bool) -> bool:
    if part.standing is Standing.SURPLUS:
        return remove
    return part.standing not in (Standing.FITS, Standing.IMPOSSIBLE)


def _item(system: str, part: Part) -> dict[str, Any]:
    return {
        "system": system,
        "what": part.kind,
        "name": part.name,
        "standing": part.standing.value,
        "told": part.told,
        "code": code_of(part),
    }


def _failure(one: Failure) -> dict[str, Any]:
    part = f"{one.part.kind} {one.part.name}" if one.part else ""
    return {"system": one.system, "part": part, "code": one.code, "sentence": one.sentence, "remedy": one.remedy}
