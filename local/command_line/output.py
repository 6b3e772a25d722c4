"""What a command says: tables, lines and progress for people, one JSON object for programs.

Data goes to standard output, everything else to standard error. A terminal gets tables and colours; a pipe gets lines
with tabs between the cells. A command says both forms one after the other: `answer` is written with --json only,
`line` and `table` without it only.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, TextIO

from shared.errors import CrossdockError

if TYPE_CHECKING:
    from rich.console import Console

_CONTROLS: Final = dict.fromkeys((*range(32), *range(127, 160)), " ")
"""A text from a system must not move a terminal's cursor."""


class Output:
    """Standard output and standard error of one command."""

    def __init__(self, out: TextIO, err: TextIO, *, as_json: bool) -> None:
        self._out = out
        self._err = err
        self._as_json = as_json

    def answer(self, facts: Mapping[str, Any]) -> None:
        """The whole result for programs; once, at the end of a command."""
        if self._as_json:
            self._write(self._out, json.dumps(facts, ensure_ascii=False, indent=1, default=str))

    def line(self, text: str = "") -> None:
        """A line for people."""
        if not self._as_json:
            self._write(self._out, plain(text))

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Rows for people; nothing is cut off."""
        if self._as_json or not rows:
            return
        cells = [["" if cell is None else plain(str(cell)) for cell in row] for row in rows]
        if self._out.isatty():
            self._draw(columns, cells)
        else:
            self._write(self._out, "\n".join("\t".join(row) for row in [list(columns), *cells]))

    def note(self, text: str) -> None:
        """Something beside the result: where the command works, what was left out."""
        self._write(self._err, plain(text))

    def error(self, error: CrossdockError) -> None:
        """An error, with who can mend it and how."""
        sentence = (error.detail or error.sentence).strip()
        facts = {"code": error.code, "sentence": sentence, "who": error.who.value, "remedy": error.remedy}
        if self._as_json:
            self.answer({"error": facts})
        else:
            self.note(f"{error.code} {sentence}\n  Who can mend it: {error.who.value}\n  First: {error.remedy}")

    @contextmanager
    def progress(self, what: str, total: int | None) -> Iterator[Callable[[int], None]]:
        """Show how far long work is, on standard error; the block calls what it gets with each number done."""
        if self._err.isatty():
            with self._bar(what, total) as advance:
                yield advance
        else:
            yield _Tenths(self.note, what, total).advance

    @contextmanager
    def _bar(self, what: str, total: int | None) -> Iterator[Callable[[int], None]]:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        parts = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*parts, console=self._console(self._err), transient=True) as bar:
            task = bar.add_task(what, total=total)
            yield lambda done: bar.advance(task, done)

    def _draw(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        from rich.box import SIMPLE
        from rich.table import Table
        from rich.text import Text

        table = Table(box=SIMPLE, header_style="bold")
        for column in columns:
            table.add_column(column, overflow="fold")
        for row in rows:
            table.add_row(*(Text(cell) for cell in row))
        self._terminal.print(table)

    @cached_property
    def _terminal(self) -> Console:
        return self._console(self._out)

    def _console(self, stream: TextIO) -> Console:
        from rich.console import Console

        return Console(file=stream, markup=False, highlight=False, emoji=False)

    def _write(self, stream: TextIO, text: str) -> None:
        stream.write(f"{text}\n")
        stream.flush()


class _Tenths:
    """Progress where there is no terminal: a line with every tenth."""

    def __init__(self, say: Callable[[str], None], what: str, total: int | None) -> None:
        self._say, self._what, self._total = say, what, total
        self._done = self._said = 0

    def advance(self, done: int) -> None:
        self._done += done
        tenth = self._done * 10 // self._total if self._total else self._done // 1000
        if tenth > self._said:
            self._said = tenth
            self._say(f"{self._what}: {self._done}" + (f" of {self._total}" if self._total else ""))


def plain(text: str) -> str:
    """The text with its line ends, and blanks in the place of all other control characters."""
    return "\n".join(line.translate(_CONTROLS) for line in text.split("\n"))
