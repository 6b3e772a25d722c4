"""Show the transfers' switches and the sites' modes, or move them.

  manage.py mode                                          all transfers with their switches, all sites with their modes
  manage.py mode on account_to_business_central --reason "tests are done" --apply
  manage.py mode stopped --all --reason "the ERP is being migrated" --apply
  manage.py mode manual postoffice --reason "linking begins" --apply
  manage.py mode automatic postoffice                     the warning, and how many partners would be made
  manage.py mode automatic postoffice --acknowledge 120 --reason "linking is done" --apply

Switches: off: nothing moves and changes are forgotten. stopped: changes wait until the transfer is on again. on: it
runs, and what has waited for it is queued. Modes, of a site such as postoffice: none: nothing is exchanged. manual:
lists, linked records and what people take over. automatic: records without a partner get one. Where a site has several
CRMs: postoffice/crm_test. Running processes notice within seconds.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from local.command_line.context import Context
from local.command_line.errors import WrongUsage
from local.command_line.exits import Exit
from local.command_line.reasons import add_reason
from shared.sync.ports import SiteMode, Switch

if TYPE_CHECKING:
    from shared.sites import SiteOperations

WRITES: Final = True
COLUMNS: Final = ("transfer", "switch", "since", "by", "reason")
MODE_COLUMNS: Final = ("system", "partner", "mode", "since", "by", "reason")
NUMBERS: Final = ("transfer", "create", "link", "opted_out", "undone", "linked", "creates_per_hour")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "to", nargs="?", choices=[*(one.value for one in Switch), *(one.value for one in SiteMode)],
        help="where to move the switches, or the site's mode",
    )  # fmt: skip
    parser.add_argument("name", nargs="*", help="the transfers whose switch is moved, or the site")
    parser.add_argument("--all", action="store_true", help="every transfer")
    parser.add_argument(
        "--acknowledge", type=int, metavar="N", help="how many partners automatic mode may make at once, as it was told"
    )
    add_reason(parser)


async def run(context: Context, arguments: argparse.Namespace) -> int:
    sites = await context.sites()
    if arguments.to in tuple(SiteMode):
        return await _site(context, sites, arguments)
    items = (await (await context.operations()).transfers())["items"]
    if arguments.to is None:
        return _show(context, items, (await sites.modes())["items"])
    wanted = _wanted(items, arguments)
    to_move = [item for item in wanted if item["switch"] != arguments.to]
    if not to_move:
        context.out.line("Every switch is there already.")
        return _show(context, wanted)
    if not context.applies:
        return _plan(context, to_move, arguments.to)
    return await _move(context, to_move, Switch(arguments.to), arguments.reason)


def _show(context: Context, items: Sequence[Mapping[str, Any]], modes: Sequence[Mapping[str, Any]] = ()) -> int:
    context.out.answer({"items": items, **({"modes": modes} if modes else {})})
    context.out.table(COLUMNS, [[item[name] for name in COLUMNS] for item in items])
    for item in items:
        if item["code"]:
            context.out.line(f"{item['transfer']}: {item['code']} {item['sentence']} {item['remedy']}")
    if modes:
        context.out.table(MODE_COLUMNS, [[mode[name] for name in MODE_COLUMNS] for mode in modes])
    return Exit.FINE


def _wanted(items: Sequence[Mapping[str, Any]], arguments: argparse.Namespace) -> list[Mapping[str, Any]]:
    names = {item["transfer"] for item in items}
    unknown = [name for name in arguments.name if name not in names]
    if unknown:
        raise WrongUsage(f"There is no transfer {unknown[0]}; there are: {', '.join(sorted(names))}.")
    if bool(arguments.name) == arguments.all:
        raise WrongUsage("Name the transfers whose switch is to be moved, or say --all.")
    if not arguments.reason:
        raise WrongUsage("Say why: --reason.")
    return [item for item in items if arguments.all or item["transfer"] in arguments.name]


def _plan(context: Context, items: Sequence[Mapping[str, Any]], to: str) -> int:
    context.out.answer({"would_move": [item["transfer"] for item in items], "to": to})
    for item in items:
        context.out.line(f"{item['transfer']} would be moved from {item['switch']} to {to}")
    context.out.line("Nothing was changed; --apply does it.")
    return Exit.ATTENTION


async def _move(context: Context, items: Sequence[Mapping[str, Any]], to: Switch, reason: str) -> int:
    operations = await context.operations()
    moved = [await operations.switch(one["transfer"], to, context.by, reason, one["etag"]) for one in items]
    return _show(context, moved)


# --- the mode of a site ---


async def _site(context: Context, sites: SiteOperations, arguments: argparse.Namespace) -> int:
    mode, to = _named((await sites.modes())["items"], arguments.name), SiteMode(arguments.to)
    if context.applies and not arguments.reason:
        raise WrongUsage("Say why: --reason.")
    if mode["mode"] == to.value:
        context.out.line("The mode is that already.")
        return _show_mode(context, mode)
    place = (mode["system"], mode["partner"])
    if not context.applies:
        told = await sites.warning(*place) if to is SiteMode.AUTOMATIC else {}
        return _told(context, {**mode, "would_become": to.value, **told})
    acknowledge = arguments.acknowledge
    moved = await sites.choose_mode(*place, to, context.by, arguments.reason, mode["etag"], acknowledge)
    return _show_mode(context, moved) if moved["moved"] else _told(context, moved)


def _named(modes: Sequence[Mapping[str, Any]], names: Sequence[str]) -> Mapping[str, Any]:
    found = [one for one in modes if names and names[0] in (one["system"], f"{one['system']}/{one['partner']}")]
    if len(names) != 1 or len(found) != 1:
        there = ", ".join(f"{one['system']}/{one['partner']}" for one in modes) or "none"
        raise WrongUsage(f"Name one site whose mode is moved; there are: {there}.")
    return found[0]


def _show_mode(context: Context, mode: Mapping[str, Any]) -> int:
    context.out.answer(mode)
    context.out.table(MODE_COLUMNS, [[mode[name] for name in MODE_COLUMNS]])
    return Exit.FINE


def _told(context: Context, told: Mapping[str, Any]) -> int:
    """Nothing was moved: what would be, or the warning that has to be acknowledged."""
    context.out.answer(told)
    if "warning" in told:
        context.out.line(told["warning"])
        context.out.table(NUMBERS, [[one[name] for name in NUMBERS] for one in told["numbers"]])
        context.out.line(f"Nothing was changed; --acknowledge {told['acknowledge']} --apply does it.")
    else:
        context.out.line("Nothing was changed; --apply does it.")
    return Exit.ATTENTION
