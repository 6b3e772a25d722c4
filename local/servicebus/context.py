"""What all connections of an endpoint share."""

from __future__ import annotations

from dataclasses import dataclass

from local.servicebus.broker import Broker
from local.servicebus.cbs import Authority
from local.servicebus.faults import Faults
from local.servicebus.management import Management


@dataclass(frozen=True, slots=True)
class Context:
    """Made anew when the broker is; `idle_seconds` is advertised to clients, who must send something that often."""

    broker: Broker
    management: Management
    authority: Authority
    faults: Faults
    container_id: str
    idle_seconds: float
