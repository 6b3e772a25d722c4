"""Pages for people who cannot go on: complete in every language, and without anything from elsewhere."""

from __future__ import annotations

import re

import pytest

from shared.errors import CrossdockError
from shared.routes import NotAdmitted, RequestError
from shared.sales_cockpit.errors import CockpitRefusal, NotSetUp, NotVisible
from shared.sales_cockpit.pages import LANGUAGES, TEXTS, language_of, page

THE_CALLERS = {"CD-7004", "CD-7010"}
"""A rating out of range is never a page's; a wrong set-up is told by the page for everything else."""


def test_every_refusal_has_its_words_in_every_language() -> None:
    """And no text is the same as the English one by oversight."""
    codes = {kind.code for kind in CockpitRefusal.__subclasses__()} | {NotAdmitted.code, RequestError.code}
    assert codes - THE_CALLERS <= TEXTS.keys()
    for texts in TEXTS.values():
        assert texts.keys() == set(LANGUAGES)
        assert len({text.heading for text in texts.values()}) == len(LANGUAGES)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_page_says_its_language_what_is_wrong_and_the_code(language: str) -> None:
    """It loads nothing and runs nothing."""
    text = page(NotVisible(), language)
    assert f'<html lang="{language}">' in text
    assert TEXTS["CD-7001"][language].heading.replace("'", "&#x27;") in text
    assert "CD-7001" in text
    assert re.search(r"<script|src=|url\(|https?:|@import|<a ", text) is None


def test_what_is_the_administrators_shows_the_code_alone() -> None:
    """What an error tells stays out of the page: it may name settings."""
    text = page(NotSetUp("AADSTS65001"), "de")
    assert "AADSTS65001" not in text
    assert "CD-7010" in text
    assert "CD-0000" in page(CrossdockError("inner matters"), "de")


def test_a_sign_in_address_cannot_break_out_of_its_place() -> None:
    """Whatever it holds."""
    assert '"><script>' not in page(NotAdmitted(), "en", '/x?a="><script>')


@pytest.mark.parametrize(
    ("accepted", "lcid", "language"),
    [
        ("de-CH,de;q=0.9,en;q=0.8", "", "de"),
        ("it", "1031", "de"),
        ("", "2064", "it"),
        ("nl,fr;q=0.5", "", "fr"),
        ("nl", "1043", "en"),
        ("", "", "en"),
        ("*;q=0", "abc", "en"),
        ("fr", "99999999999", "fr"),
    ],
)
def test_the_readers_language(accepted: str, lcid: str, language: str) -> None:
    """Dynamics' own first, then the browser's."""
    assert language_of(accepted, lcid) == language
