"""What the local host refuses, always with the function or setting it is about and the first thing to do."""

from __future__ import annotations

from shared.errors import CrossdockError, Who


class HostRefused(CrossdockError):
    """The function app cannot be run as it is; in Azure it would fail too, or the local host does not imitate it."""

    code = "CD-9101"
    sentence = "The local Functions host cannot run the function app."
    who = Who.DEVELOPER
    remedy = "Correct the function or setting that the message names."


class UnknownFunction(CrossdockError):
    """A function was named that the app does not have, or that cannot be started by hand."""

    code = "CD-9102"
    sentence = "There is no such function to start."
    who = Who.DEVELOPER
    remedy = "Look at the list of functions that the host prints at the start."


class ReceiverLost(CrossdockError):
    """The queue's endpoint went away; the listener opens a new receiver by itself."""

    code = "CD-9103"
    sentence = "The queue's endpoint does not answer."
    who = Who.NOBODY
    remedy = "Start the Service Bus endpoint; the listener comes back by itself."


class LockLost(CrossdockError):
    """A message's lock ran out or was taken away; the queue hands the message out again."""

    code = "CD-9104"
    sentence = "The lock on the message is gone."
    who = Who.NOBODY
    remedy = "Nothing to do: the message comes again. If it happens often, lengthen the queue's lock duration."


def refused(function: str, why: str) -> HostRefused:
    """Return the error that names the function and says what is wrong with it and how to mend it."""
    return HostRefused(f"function {function!r}: {why}")
