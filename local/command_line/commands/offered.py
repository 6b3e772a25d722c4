"""Show the records of a site that can be taken over, each with the record of the CRM that matching finds for it.

  manage.py offered postoffice_customer_to_dataverse                   the first hundred customers
  manage.py offered cost_centre_to_dataverse --unlinked --rows FILE    all without a partner, into a CSV file

state: linked, unlinked (the link was undone) or creating; empty: there never was one. hit: what matching finds in the
CRM, by which columns. Names of records are shown.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from local.command_line.context import Context
from local.command_line.exits import Exit

PAGE: Final = 100
_BEFORE: Final = ("key", "kind", "name")
_BEHIND: Final = ("state", "partner", "hit", "hit_name", "hit_by", "hits")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("transfer", help="the transfer that takes them over")
    parser.add_argument("--unlinked", action="store_true", help="only records without a partner")
    parser.add_argument("--rows", type=Path, metavar="FILE", help="write every row into a CSV file")
    parser.add_argument("--after", metavar="PLACE", help="go on at this place")
    parser.add_argument("--limit", type=int, default=PAGE, metavar="N", help="about so many, 100 if not said")


async def run(context: Context, arguments: argparse.Namespace) -> int:
    sites = await context.sites()
    after: str | None = arguments.after
    found: list[Mapping[str, Any]] = []
    while True:
        page = await sites.offered(arguments.transfer, after, PAGE)
        found += [one for one in page["items"] if not arguments.unlinked or one["state"] != "linked"]
        after = page["next"]
        if after is None or (arguments.rows is None and len(found) >= arguments.limit):
            break
    context.out.answer({"items": found, "next": after})
    columns = [*_BEFORE, *(found[0]["shown"] if found else ()), *_BEHIND]
    rows = [_row(one) for one in found]
    if arguments.rows is not None:
        _write(arguments.rows, columns, rows)
        context.out.line(f"{len(rows)} rows are in {arguments.rows}.")
    else:
        context.out.table(columns, rows)
    if after is not None:
        context.out.line(f"There are more: --after '{after}'")
    return Exit.FINE


def _row(one: Mapping[str, Any]) -> list[Any]:
    hit = one["hit"] or {"key": "", "name": "", "rule": "", "found": 0}
    shown = [value or "" for value in one["shown"].values()]
    behind = [one["state"], one["partner"], hit["key"], hit["name"], hit["rule"], hit["found"]]
    return [*(one[name] for name in _BEFORE), *shown, *behind]


def _write(path: Path, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(rows)
