"""Definitions of derived rows: what is read, and every mistake with its line and what to do."""

from __future__ import annotations

import pytest

from local.definition_document import Faulty
from local.definitions import read_definition
from shared.sync.definition import Identity, OnVanish
from shared.sync.ports import Side

GOOD = """\
pair: {dataverse: cdock_sum, postoffice: sums}
identity: derived
key: [customerId, day]
day: day
transfers:
  sums_to_dataverse:
    walk: every day
    window: 30 days
    on_vanish: delete
fields:
  - {dataverse: cdock_day, postoffice: day, master: postoffice}
  - dataverse: cdock_accountid
    postoffice: customerId
    master: postoffice
    reference: {dataverse: account, postoffice: customers, needed: true}
  - {dataverse: cdock_items, postoffice: items, master: postoffice}
brakes: {vanished_percent: 70}
"""


def test_a_definition_of_derived_rows_is_read_as_it_is_written() -> None:
    read = read_definition(GOOD, "transfers/sums.yaml")
    (transfer,) = read.transfers
    assert (read.identity, read.key, read.day) == (Identity.DERIVED, ("customerId", "day"), "day")
    assert (transfer.source, transfer.window_days, transfer.on_vanish) == (Side.RIGHT, 30, OnVanish.DELETE)
    assert read.brakes.vanished_percent == 70


def test_what_vanishes_stays_unless_the_definition_says_otherwise() -> None:
    read = read_definition(GOOD.replace("    on_vanish: delete\n", ""), "transfers/sums.yaml")
    assert read.transfers[0].on_vanish is OnVanish.KEEP


SECOND = """\
  sums_to_postoffice: {walk: every day, window: 30 days}
fields:
"""
MISTAKES: dict[str, tuple[str, str, int, str]] = {
    "no key": ("key: [customerId, day]\n", "", 1, "needs key:"),
    "no day": ("day: day\n", "", 1, "and day: (one of them)"),
    "a day that is not of the key": ("day: day\n", "day: items\n", 1, "and day: (one of them)"),
    "a key without a field": ("[customerId, day]", "[customerId, serviceId, day]", 1, "serviceId has no field rule"),
    "no window": ("    window: 30 days\n", "", 6, "need window: and walk:"),
    "no walk": ("    walk: every day\n", "", 6, "need window: and walk:"),
    "a window in another form": ("30 days", "a month", 8, "'30 days', 1 to 999"),
    "two directions": ("fields:\n", SECOND, 1, "goes one way"),
    "a condition": ("    walk", "    only_if: {items: 1}\n    walk", 6, "only_if: is not for derived rows"),
    "a number of ours": ("    walk", "    choose_key: {column: x, prefix: A}\n    walk", 6, "choose_key: is not for"),
    "a match rule": ("fields:", "match:\n  - {dataverse: a, postoffice: b}\nfields:", 1, "match: is not for"),
    "another master": ("items, master: postoffice", "items, master: dataverse", 16, "source is master of derived rows"),
    "a reference that may be missing": (", needed: true", "", 12, "say needed: true"),
    "a converted day": ("day, master: postoffice", "day, master: postoffice, convert: date", 11, "as it is"),
    "a key that may be left out": ("    reference", "    if_missing: leave_out\n    reference", 12, "if_missing: out"),
    "linked rows with a window": ("identity: derived\n", "", 1, "key: and day: belong to identity: derived"),
    "an identity of another name": ("identity: derived", "identity: computed", 2, "identity"),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_every_mistake_is_told_with_its_line_and_what_to_do(name: str) -> None:
    right, wrong, line, told = MISTAKES[name]
    assert right in GOOD
    with pytest.raises(Faulty) as fault:
        read_definition(GOOD.replace(right, wrong, 1), "transfers/sums.yaml")
    assert told in fault.value.text
    assert fault.value.line == line


def test_a_window_is_for_derived_rows_only() -> None:
    linked = GOOD.replace("identity: derived\nkey: [customerId, day]\nday: day\n", "")
    with pytest.raises(Faulty, match="window: and on_vanish: belong to identity: derived"):
        read_definition(linked, "transfers/sums.yaml")
