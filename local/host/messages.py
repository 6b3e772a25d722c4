"""Turns a queue's message into what a function receives, through the converter of azure-functions itself.

The host hands the worker a body and named metadata; the names and their spelling are those of the .NET extension
(source of `ServiceBusTriggerBindingStrategy` and of the host's gRPC conversion): texts as text, everything else as
JSON. Absent properties are left out, so that the function sees None.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import azure.functions as func
from azure.functions.meta import Datum
from azure.functions.servicebus import ServiceBusMessageInConverter

from local.host.index import QueueTrigger
from local.host.ports import QueuedMessage


def argument_for(trigger: QueueTrigger, message: QueuedMessage) -> func.ServiceBusMessage | str | bytes:
    """Return the message as the function's parameter is annotated: message object (also unannotated), text or bytes.

    Without `data_type=BINARY` the host reads the body as UTF-8 text; bytes that are none become U+FFFD, as in Azure.
    """
    text = message.body.decode("utf-8", errors="replace")
    if trigger.parameter_type is bytes:
        return message.body
    if trigger.parameter_type is str:
        return text
    body = Datum(message.body, "bytes") if trigger.binary else Datum(text, "string")
    decoded: func.ServiceBusMessage = ServiceBusMessageInConverter.decode(body, trigger_metadata=metadata_of(message))  # type: ignore[assignment] # UserProperties makes the answer one message, not a list
    return decoded


def metadata_of(message: QueuedMessage) -> dict[str, Datum]:
    """Return the trigger metadata of a message under the names the worker looks for."""
    properties = {str(key): _plain(value) for key, value in message.application_properties.items()}
    values: Mapping[str, Any] = {
        "MessageId": message.message_id,
        "DeliveryCount": message.delivery_count,
        "SequenceNumber": message.sequence_number,
        "EnqueuedSequenceNumber": message.enqueued_sequence_number,
        "LockToken": message.lock_token,
        "LockedUntil": message.locked_until,
        "EnqueuedTimeUtc": message.enqueued_at,
        "ExpiresAtUtc": message.expires_at,
        "TimeToLive": message.time_to_live,
        "ScheduledEnqueueTimeUtc": message.scheduled_for,
        "ContentType": message.content_type,
        "CorrelationId": message.correlation_id,
        "Subject": message.subject,
        "Label": message.subject,
        "To": message.to,
        "ReplyTo": message.reply_to,
        "ReplyToSessionId": message.reply_to_session_id,
        "SessionId": message.session_id,
        "PartitionKey": message.partition_key,
        "TransactionPartitionKey": message.transaction_partition_key,
        "State": message.state,
        "DeadLetterSource": message.dead_letter_source,
        "DeadLetterReason": message.dead_letter_reason,
        "DeadLetterErrorDescription": message.dead_letter_description,
        "ApplicationProperties": properties,
        "UserProperties": properties,
    }
    return {name: _datum(value) for name, value in values.items() if value is not None}


def _datum(value: object) -> Datum:
    match value:
        case str():
            return Datum(value, "string")
        case datetime():
            return Datum(json.dumps(_iso(value)), "json")
        case timedelta():
            # Whole seconds: the worker reads no .NET time span of a day or more.
            return Datum(str(int(value.total_seconds())), "string")
        case _:
            return Datum(json.dumps(value), "json")


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _plain(value: object) -> object:
    """Application properties cross to the worker as JSON, so ids and times arrive there as text."""
    match value:
        case bytes():
            return value.decode("utf-8", errors="replace")
        case datetime():
            return _iso(value)
        case UUID():
            return str(value)
        case timedelta():
            return str(value)
        case _:
            return value
