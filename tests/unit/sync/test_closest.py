"""The names that may be meant."""

from __future__ import annotations

import pytest

from shared.sync.closest import MOST, asking, closest

OFFERED = [
    ("creditlimit", "Credit Limit"),
    ("creditonhold", "Credit Hold"),
    ("cdock_pay", "Terms of payment"),
    ("x", ""),
]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("creditlmit", "creditlimit"),
        ("CreditLimit", "creditlimit"),
        ("Credit limit", "creditlimit"),
        ("terms_of_payment", "cdock_pay"),
    ],
)
def test_the_closest_by_name_or_label_stands_first(name: str, meant: str) -> None:
    """R-041: whoever writes a definition may know either, in whatever case."""
    assert closest(name, OFFERED)[0] == meant


def test_no_more_than_three_are_named_each_once() -> None:
    """A name that is like its label is one name."""
    many = [(f"column{number}", f"Column {number}") for number in range(9)]
    found = closest("column", many)
    assert len(set(found)) == len(found) == MOST


def test_where_none_is_close_nothing_is_asked() -> None:
    """The sentence ends there."""
    assert closest("zzz", OFFERED) == []
    assert asking("There is no zzz", "zzz", OFFERED) == "There is no zzz."
    assert asking("There is no y", "creditlimt", OFFERED[:1]) == "There is no y; did you mean creditlimit?"
