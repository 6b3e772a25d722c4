"""A local Azure Functions host: drives the very functions of a function app over HTTP, by the clock and from queues.

`FunctionsHost` is all that callers need; what it imitates and what not is in docs/how-to/run-locally.md.
"""

from local.host.errors import HostRefused, LockLost, ReceiverLost, UnknownFunction
from local.host.functions_host import FunctionsHost, HostHealth
from local.host.index import HostedFunction, HttpTrigger, QueueTrigger, TimerTrigger, index
from local.host.invoking import Outcome
from local.host.ports import Clock, OpenReceiver, QueuedMessage, QueueSource, Receiver
from local.host.queues import ListenerHealth
from local.host.service_bus import open_service_bus_receiver
from local.host.settings import HostKeys
from local.host.sign_in import PlatformSignIn

__all__ = [
    "Clock",
    "FunctionsHost",
    "HostHealth",
    "HostKeys",
    "HostRefused",
    "HostedFunction",
    "HttpTrigger",
    "ListenerHealth",
    "LockLost",
    "OpenReceiver",
    "Outcome",
    "PlatformSignIn",
    "QueueSource",
    "QueueTrigger",
    "QueuedMessage",
    "Receiver",
    "ReceiverLost",
    "TimerTrigger",
    "UnknownFunction",
    "index",
    "open_service_bus_receiver",
]
