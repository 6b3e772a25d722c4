"""Log lines: facts as JSON behind the sentence; no query string, no path secret, no text of an error."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from io import StringIO

import pytest

from shared.log import Tidy, tidy_all, where_and_which, without_secrets


@pytest.fixture
def written() -> Iterator[StringIO]:
    """What a tidy handler writes for the logger `tidy`."""
    stream = StringIO()
    handler = logging.StreamHandler(stream)
    logger = logging.getLogger("tidy")
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    tidy_all(logger)
    yield stream
    logger.removeHandler(handler)


def test_facts_follow_the_sentence_as_json(written: StringIO) -> None:
    """Empty ones are left out; people and machines read the same line."""
    logging.getLogger("tidy").info("done %s", "well", extra={"run": "r1", "code": "", "times": 3, "field": None})
    text, _, facts = written.getvalue().strip().partition("{")
    assert text == "done well "
    assert json.loads("{" + facts) == {"run": "r1", "times": 3}


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("GET https://a.example/x?code=SECRET HTTP/1.1", "GET https://a.example/x?... HTTP/1.1"),
        ("'/api/x?a=1&code=SECRET'", "'/api/x?...'"),
        ("is it so? yes: a=b", "is it so? yes: a=b"),
        ("POST /api/webhooks/business-central/SECRET/customers", "POST /api/webhooks/business-central/.../customers"),
        ("/API/Webhooks/Business-Central/SECRET?validationToken=SECRET", "/API/Webhooks/Business-Central/...?..."),
    ],
)
def test_addresses_lose_query_strings_and_the_secret_part(written: StringIO, text: str, clean: str) -> None:
    """Also in the records of packages, and in arguments of the sentence."""
    assert without_secrets(text) == clean
    logging.getLogger("tidy").warning("request %s", text)
    assert "SECRET" not in written.getvalue()


def test_an_error_is_told_by_class_and_place_only(written: StringIO) -> None:
    """Texts of errors hold values: of a dictionary, of a parser, of a system."""
    values: dict[str, str] = {}
    try:
        _ = values["Kontoinhaber-4711"]
    except KeyError:
        logging.getLogger("tidy").exception("it failed")
    with pytest.raises(ValueError, match="4712") as raised:
        _fail_with_cause()
    assert where_and_which(raised.value).startswith("ValueError from KeyError at test_log.py:")
    assert "Kontoinhaber" not in written.getvalue()
    assert "KeyError at test_log.py:" in written.getvalue()


def test_a_sentence_with_wrong_arguments_is_written_all_the_same(written: StringIO) -> None:
    """A mistake in a log line must not end a transfer."""
    logging.getLogger("tidy").info("%d and %d", "one")
    logging.getLogger("tidy").info("%d", "one", extra={"run": "r1"})
    assert written.getvalue() == '%d and %d\n%d {"run": "r1"}\n'


def _fail_with_cause() -> None:
    try:
        raise KeyError("Kontoinhaber-4711")
    except KeyError as error:
        raise ValueError("Kontoinhaber-4712") from error


def test_tidying_twice_changes_nothing(written: StringIO) -> None:
    """Two handlers, two apps in one process: the facts stand there once."""
    logger = logging.getLogger("tidy")
    tidy_all(logger)
    (handler,) = logger.handlers
    assert len([one for one in handler.filters if isinstance(one, Tidy)]) == 1
    handler.addFilter(Tidy())
    logger.info("done", extra={"run": "r1"})
    assert written.getvalue().count("r1") == 1
