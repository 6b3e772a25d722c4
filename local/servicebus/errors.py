"""What the endpoint refuses, in the words of AMQP 1.0 and of Microsoft Learn, "AMQP errors in Azure Service Bus".

A refusal's `condition` is its stable code: clients choose their exception by it. Texts name queues and fields, never
what a message carries.
"""

from __future__ import annotations

from enum import StrEnum


class Condition(StrEnum):
    """The error conditions this endpoint answers with."""

    DECODE_ERROR = "amqp:decode-error"
    FRAMING_ERROR = "amqp:connection:framing-error"
    CONNECTION_FORCED = "amqp:connection:forced"
    ILLEGAL_STATE = "amqp:illegal-state"
    INTERNAL_ERROR = "amqp:internal-error"
    INVALID_FIELD = "amqp:invalid-field"
    MESSAGE_SIZE_EXCEEDED = "amqp:link:message-size-exceeded"
    NOT_ALLOWED = "amqp:not-allowed"
    NOT_FOUND = "amqp:not-found"
    NOT_IMPLEMENTED = "amqp:not-implemented"
    RESOURCE_LIMIT_EXCEEDED = "amqp:resource-limit-exceeded"
    UNAUTHORIZED = "amqp:unauthorized-access"
    ARGUMENT_ERROR = "com.microsoft:argument-error"
    MESSAGE_LOCK_LOST = "com.microsoft:message-lock-lost"
    MESSAGE_NOT_FOUND = "com.microsoft:message-not-found"
    SERVER_BUSY = "com.microsoft:server-busy"


STATUS_OF_CONDITION = {
    Condition.NOT_FOUND: 404,
    Condition.MESSAGE_NOT_FOUND: 404,
    Condition.MESSAGE_LOCK_LOST: 410,
    Condition.UNAUTHORIZED: 401,
    Condition.NOT_IMPLEMENTED: 501,
    Condition.SERVER_BUSY: 503,
    Condition.INTERNAL_ERROR: 500,
}
"""The status of a `$management` answer; every other condition is the caller's mistake and answers 400."""


class Refusal(Exception):
    """A request is refused; the peer is told `condition` and `description` and may go on using the connection."""

    def __init__(self, condition: Condition, description: str) -> None:
        super().__init__(f"{condition.value}: {description}")
        self.condition = condition
        self.description = description

    @property
    def status(self) -> int:
        """The HTTP-like number that a request-response operation answers with."""
        return STATUS_OF_CONDITION.get(self.condition, 400)


class ProtocolViolation(Exception):
    """The peer breaks the protocol; its connection is closed with this error, the others live on."""

    def __init__(self, condition: Condition, description: str) -> None:
        super().__init__(f"{condition.value}: {description}")
        self.condition = condition
        self.description = description


class CodecError(ValueError):
    """Bytes that are no AMQP value, or a value that AMQP cannot carry."""


class StoreError(Exception):
    """The data file cannot be used; the sentence says why and what to do."""


class ConfigError(ValueError):
    """A setting of a queue is wrong or asks for what this endpoint does not have; names the field and the remedy."""
