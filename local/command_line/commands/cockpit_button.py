"""Write what is imported into Dynamics 365 so that people open the Sales Cockpit from an opportunity.

  manage.py cockpit-button crossdock.zip                         a button in the command bar of opportunities
  manage.py cockpit-button crossdock.zip --embed                 and the page of a tab inside the opportunity
  manage.py cockpit-button crossdock.zip --version 1.0.0.1       an update of what has been imported

The button leads to CROSSDOCK_PUBLIC_URL, or to --address. The file is a managed solution of Dataverse: it leaves other
buttons alone and can be removed again. docs/how-to/sales-cockpit.md says how it is imported and what else is set up.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from local.cockpit_button.package import NotSo, Wanted, package, web_resources
from local.command_line.context import Context
from local.command_line.errors import WrongUsage
from local.command_line.exits import Exit
from shared.errors import SettingsError
from shared.settings import PublicAddress, SalesCockpitSettings, Settings, needed


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="the zip file to write")
    parser.add_argument("--address", metavar="URL", help="the site's address; CROSSDOCK_PUBLIC_URL if not said")
    parser.add_argument("--version", default="1.0.0.0", metavar="VERSION", help="a higher one for an update; 1.0.0.0")
    parser.add_argument("--solution-id", default="", metavar="ID", help="the Cockpit's solution for new projects")
    parser.add_argument("--embed", action="store_true", help="add the page of a tab inside the opportunity")
    parser.add_argument(
        "--unmanaged",
        action="store_true",
        help="write an unmanaged solution; its import replaces every unmanaged button of opportunities",
    )


async def run(context: Context, arguments: argparse.Namespace) -> int:
    if not arguments.file.absolute().parent.is_dir():
        raise WrongUsage(f"There is no folder {arguments.file.absolute().parent} to write into.")
    wanted = _wanted(context, arguments)
    arguments.file.write_bytes(package(wanted))
    names = [one.name for one in web_resources(wanted)]
    context.out.answer({"file": str(arguments.file), "address": wanted.address, "web_resources": names})
    context.out.line(f"{arguments.file}: leads to {wanted.address}, holds {', '.join(names)}")
    if arguments.embed and arguments.address is None and _embedding(context.app.settings) != "on":
        context.out.note("CROSSDOCK_SALES_COCKPIT_EMBED is off: the tab will show that it is not switched on.")
        return Exit.ATTENTION
    return Exit.FINE


def _wanted(context: Context, arguments: argparse.Namespace) -> Wanted:
    address = arguments.address
    if address is None:
        address = needed(PublicAddress, "url", context.app.settings.get(PublicAddress).url)
    try:
        return Wanted(
            _reachable(address),
            version=arguments.version,
            solution=arguments.solution_id,
            embed=arguments.embed,
            managed=not arguments.unmanaged,
        )
    except NotSo as error:
        raise WrongUsage(str(error)) from None


def _reachable(address: str) -> str:
    """The address without a slash at its end; held to the rules of the setting."""
    try:
        url = Settings({"CROSSDOCK_PUBLIC_URL": address}).get(PublicAddress).url
    except SettingsError:
        raise NotSo("Give an https address without user name, query and fragment.") from None
    return (url or "").rstrip("/")


def _embedding(settings: Settings) -> str:
    names = [name for name, kind in settings.kinds.items() if kind == SalesCockpitSettings.system]
    return settings.of(SalesCockpitSettings, names[0]).embed if names else "off"
