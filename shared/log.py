"""Log lines that people and machines read: a sentence, then its facts as JSON; never a secret, value or error text.

Code logs with the standard library (`log.info("sentence", extra={...})`). The filter here stands on the handlers, so
it sees every record of the process, also those of packages: it appends the facts, cuts query strings and the secret
part of a webhook's path, and replaces tracebacks, whose texts may hold values, by classes and places.
"""

from __future__ import annotations

import json
import logging
import re
import traceback
from pathlib import Path
from typing import Final

_OWN: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
"""What every record has; anything else came in by `extra`."""
_QUERY: Final = re.compile(r"\?[^\s\"'<>\\]+=[^\s\"'<>\\]*")
_PATH_SECRET: Final = re.compile(r"(webhooks/business-central/)[^/\s\"'?]+", re.IGNORECASE)
_PLACES: Final = 6


class Tidy(logging.Filter):
    """Makes every record fit to be written; it drops none."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Rewrite the record once, however many handlers it passes."""
        if not getattr(record, "crossdock_tidy", False):
            _tidy(record)
            record.crossdock_tidy = True
        return True


def _tidy(record: logging.LogRecord) -> None:
    facts = {name: value for name, value in vars(record).items() if name not in _OWN and value not in ("", None)}
    if record.exc_info and record.exc_info[1] is not None:
        facts["error"] = where_and_which(record.exc_info[1])
    record.exc_info = record.exc_text = record.stack_info = None
    text = _sentence(record)
    if facts:
        text = f"{text} {json.dumps(facts, default=str, ensure_ascii=False)}"
    record.msg, record.args = without_secrets(text), None


def _sentence(record: logging.LogRecord) -> str:
    """The sentence; one whose arguments do not fit it is written without them, and the caller goes on."""
    try:
        return record.getMessage()
    except (TypeError, ValueError):
        return str(record.msg)


def without_secrets(text: str) -> str:
    """The text without query strings and without the secret in the path of a webhook."""
    return _PATH_SECRET.sub(r"\1...", _QUERY.sub("?...", text))


def where_and_which(error: BaseException) -> str:
    """The classes of an error and its causes, and the places it came through; never its text."""
    frames = reversed(traceback.extract_tb(error.__traceback__)[-_PLACES:])
    places = " < ".join(f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames)
    names, cause = [type(error).__name__], error.__cause__ or error.__context__
    while cause is not None and len(names) < _PLACES:
        names.append(type(cause).__name__)
        cause = cause.__cause__ or cause.__context__
    return f"{' from '.join(names)} at {places}"


def tidy_all(root: logging.Logger | None = None) -> None:
    """Put the filter on every handler of the root logger that has none yet. Repetition does nothing."""
    for handler in (root or logging.getLogger()).handlers:
        if not any(isinstance(one, Tidy) for one in handler.filters):
            handler.addFilter(Tidy())
