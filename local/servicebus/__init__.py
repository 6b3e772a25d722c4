"""A Service Bus-compatible AMQP 1.0 endpoint for one machine: durable queues, one process, no installation.

The unmodified azure-servicebus package speaks to it with the connection string of `ServiceBusEndpoint`. See
docs/systems/service_bus.md for what it does and what it refuses.
"""

from local.servicebus.broker import Clock, Counts
from local.servicebus.config import QueueSettings, read_emulator_config, read_emulator_config_file
from local.servicebus.errors import ConfigError, Refusal, StoreError
from local.servicebus.faults import Faults
from local.servicebus.server import QueueView, ServiceBusEndpoint, SystemClock

__all__ = [
    "Clock",
    "ConfigError",
    "Counts",
    "Faults",
    "QueueSettings",
    "QueueView",
    "Refusal",
    "ServiceBusEndpoint",
    "StoreError",
    "SystemClock",
    "read_emulator_config",
    "read_emulator_config_file",
]
