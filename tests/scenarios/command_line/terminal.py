"""Somebody who types commands of `manage.py` at an installation, in the same process and on the same clock."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from local.command_line.context import Surroundings
from local.command_line.installations import Installation
from local.command_line.running import run_command
from shared.app import Outside
from tests.scenarios.account_customer.world import ENVIRONMENT, ROOT, RealWorld


@dataclass(frozen=True)
class Said:
    """How a command ended and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Its answer to --json."""
        return json.loads(self.out)

    @property
    def rows(self) -> list[list[str]]:
        """The lines of its tables, cell by cell."""
        return [line.split("\t") for line in self.out.splitlines() if "\t" in line]


async def typed(world: RealWorld, *words: str, answer: str | None = None, **settings: str) -> Said:
    """Type a command at a world. answer: to a question; None: nobody sits there. settings: other ones than the world's;
    an empty one is missing."""
    return await typed_at(world.apps[0].outside, world, words, settings, answer)


async def typed_at(
    outside: Outside,
    world: RealWorld,
    words: Sequence[str],
    settings: Mapping[str, str],
    answer: str | None = None,
    transfers: Path = ROOT / "transfers",
) -> Said:
    """Type a command at a world whose clock, store, queue or folder of definitions is another one."""
    environment = {"ServiceBus": "unused", **ENVIRONMENT, **settings}
    out, err = io.StringIO(), io.StringIO()
    surroundings = Surroundings(
        environment=environment,
        out=out,
        err=err,
        ask=None if answer is None else lambda _: answer,
        outside=outside,
        installation=Installation("the world", environment, transfers, world.index.model_dump_json().encode()),
    )
    return Said(await run_command(words, surroundings), out.getvalue(), err.getvalue())


class TemporaryFile:
    """A file that exists within a block."""

    def __init__(self, name: Path, text: str) -> None:
        self._folder = TemporaryDirectory()
        self._path = Path(self._folder.name) / name
        self._path.write_text(text, "utf-8")

    def __enter__(self) -> Path:
        return self._path

    def __exit__(self, *error: object) -> None:
        self._folder.cleanup()
