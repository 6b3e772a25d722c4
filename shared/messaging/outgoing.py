"""What every queue checks before it sends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from shared.sync.ports import Outgoing

MAX_MESSAGE_ID: Final = 128
"""Characters of a message id (Microsoft Learn, "Service Bus quotas")."""
MAX_BODY_BYTES: Final = 192 * 1024
"""Size of a body. The standard tier takes 256 KB with all headers and properties (the same page)."""


def check(messages: Sequence[Outgoing]) -> None:
    """Raise ValueError, naming the field and the remedy, for a message that no queue takes."""
    for message in messages:
        if not 1 <= len(message.message_id) <= MAX_MESSAGE_ID:
            raise ValueError(f"message_id has {len(message.message_id)} characters; 1 to {MAX_MESSAGE_ID} are allowed")
        size = len(message.body.encode())
        if size > MAX_BODY_BYTES:
            raise ValueError(f"body has {size} bytes, at most {MAX_BODY_BYTES} are allowed; send fewer keys at once")
        if message.not_before is not None and message.not_before.tzinfo is None:
            raise ValueError("not_before has no time zone; give an aware time")
