"""Values: the one text by which they are compared."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.sync.ports import Value
from shared.sync.values import canonical, is_blank, same_value


@pytest.mark.parametrize("one", [1, Decimal(1), Decimal("1.0"), Decimal("1.000"), Decimal("0.1E1"), "1"])
def test_one_is_one_however_it_is_written(one: Value) -> None:
    """Systems answer the same number as integer, decimal or text."""
    assert canonical(one) == "1"
    assert same_value(one, 1)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, None),
        ("", None),
        ("00123", "00123"),
        ("NO", "NO"),
        (True, "true"),
        (False, "false"),
        (0, "0"),
        (Decimal("-0.00"), "0"),
        (Decimal("1E+3"), "1000"),
        (Decimal("12.50"), "12.5"),
        (date(2026, 2, 28), "2026-02-28"),
        (datetime(2026, 6, 1, 14, 0, tzinfo=timezone(timedelta(hours=2))), "2026-06-01T12:00:00+00:00"),
    ],
)
def test_a_value_has_one_text(value: Value, text: str | None) -> None:
    """Leading zeros stay, surplus ones of amounts go, times are UTC, blank is no value and 0 is one."""
    assert canonical(value) == text
    assert is_blank(value) is (text is None)


@given(number=st.integers(-(10**20), 10**20), zeros=st.integers(0, 6))
def test_trailing_zeros_never_matter(number: int, zeros: int) -> None:
    """An ERP answers amounts with as many decimals as its currency has."""
    padded = Decimal(number).quantize(Decimal(1).scaleb(-zeros)) if zeros else Decimal(number)
    assert canonical(padded) == canonical(number) == str(number)
