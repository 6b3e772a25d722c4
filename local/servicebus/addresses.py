"""Which node an address means: `$cbs`, a queue, one of its sub-queues, or the `$management` of one of these."""

from __future__ import annotations

from dataclasses import dataclass

from local.servicebus.cbs import path_of
from local.servicebus.store import SubQueue

_SUFFIXES = (
    ("/$transfer/$deadletterqueue", SubQueue.TRANSFER_DEAD_LETTER),
    ("/$deadletterqueue", SubQueue.DEAD_LETTER),
)
_MANAGEMENT = "/$management"
CBS = "$cbs"


@dataclass(frozen=True, slots=True)
class Node:
    """A place in the endpoint. `path` is the whole address without host, in lower case."""

    path: str
    queue: str
    sub: SubQueue = SubQueue.MAIN
    is_management: bool = False

    @property
    def is_cbs(self) -> bool:
        return self.path == CBS


def node_of(address: str) -> Node:
    """Read an address in any of its forms (`amqps://host:port/queue`, `sb://host/queue`, `queue`)."""
    path = path_of(address)
    is_management = path.endswith(_MANAGEMENT)
    rest = path.removesuffix(_MANAGEMENT)
    for suffix, sub in _SUFFIXES:
        if rest.endswith(suffix):
            return Node(path, rest.removesuffix(suffix), sub, is_management)
    return Node(path, rest, SubQueue.MAIN, is_management)
