"""B9: our connector for Dataverse and Microsoft's own Python client, side by side on the same sandbox.

The sandbox, our connector and the client run in a process each; a client's figure is the processor time of its process
alone. Both speak TLS to the same address and do one thing after the other. Ours asks for every written record as it is
stored, and its updates in bulk are a batch in which every record has an answer of its own; Microsoft's client asks for
keys only, and its bulk calls are all or nothing.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from tests.bench.figures import Figure, compared
from tests.bench.servers import ROOT
from tests.contract.dataverse_client import pace
from tests.contract.dataverse_client.install import ensure_client
from tests.contract.dataverse_client.server import CLIENT_ID, ORGANIZATION, SECRET, Addresses, running

SINGLES: Final = 100
"""Single operations of each in a round."""
BATCHES: Final = 3
SINGLE: Final = {"create": "one record created", "read": "one record read", "update": "one record changed"}
BULK: Final = {"create_many": "created", "update_many": "changed"}


@dataclass(frozen=True)
class Contestant:
    """A client in a process of its own."""

    process: subprocess.Popen[str]

    def seconds(self, operation: str, times: int) -> float:
        """Processor seconds per record."""
        assert self.process.stdin is not None, "asked for"
        assert self.process.stdout is not None, "asked for"
        self.process.stdin.write(f"{operation} {times}\n")
        self.process.stdin.flush()
        told = self.process.stdout.readline()
        if not told:
            raise SystemExit("a client ended early; nothing can be measured")
        return float(json.loads(told))


@contextmanager
def _started(command: Sequence[str], **environment: str) -> Iterator[Contestant]:
    pipe = subprocess.PIPE
    with subprocess.Popen(  # noqa: S603 - our own drivers
        command, env={**os.environ, **environment}, cwd=ROOT, stdin=pipe, stdout=pipe, text=True
    ) as process:
        assert process.stdin is not None, "asked for"
        try:
            yield Contestant(process)
        finally:
            process.stdin.close()
            process.wait(30)


def _both(stack: ExitStack, served: Addresses) -> Mapping[str, Contestant]:
    wanted = [served.crm, served.sign_in, CLIENT_ID, SECRET]
    ours = [sys.executable, "-m", "tests.bench.our_client", *wanted, ORGANIZATION]
    microsofts = [str(ensure_client()), pace.__file__, *wanted]
    trusted = {"SSL_CERT_FILE": served.certificate, "REQUESTS_CA_BUNDLE": served.certificate, "PYTHONUTF8": "1"}
    return {
        "ours": stack.enter_context(_started(ours, **trusted)),
        "microsoft's": stack.enter_context(_started(microsofts, **trusted, PYTHONPATH="")),
    }


def _in_turn(both: Mapping[str, Contestant], operation: str, times: int, rounds: int) -> dict[str, list[float]]:
    """Round by round, every other in reverse order."""
    seconds: dict[str, list[float]] = {name: [] for name in both}
    for number in range(rounds):
        for name in reversed(list(both)) if number % 2 else both:
            seconds[name].append(both[name].seconds(operation, times))
    return seconds


def measure(rounds: int, singles: int = SINGLES, batches: int = BATCHES) -> list[Figure]:
    """Processor time per record."""
    with TemporaryDirectory() as folder, ExitStack() as stack:
        both = _both(stack, stack.enter_context(running(Path(folder))))
        for one in both.values():
            one.seconds("create_many", 1)  # signs in, reads metadata, makes records to read and to change
            one.seconds("update_many", 1)
            one.seconds("read", 2)
        figures = [_figure(what, _in_turn(both, name, singles, rounds), "at most 0.3") for name, what in SINGLE.items()]
        return figures + [
            _figure(f"one record of {pace.MANY} {what} in a call", _in_turn(both, name, batches, rounds), "at most 0.4")
            for name, what in BULK.items()
        ]


def _figure(what: str, seconds: Mapping[str, Sequence[float]], goal: str) -> Figure:
    rounds = ("us CPU", 1e6, seconds["ours"], seconds["microsoft's"])
    return compared("B9", what, *rounds, baseline_is="the same by Microsoft's client", goal=goal)
