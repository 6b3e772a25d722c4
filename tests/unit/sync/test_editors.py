"""Who changed a record last: from the record, from what notices told, and from what the link knows."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from shared.sync.definition import Master, Reference
from shared.sync.editors import with_editor
from shared.sync.edits import edit, newer, who_of
from shared.sync.ports import Record, Side, Unlinked, Untold, Value
from tests.unit.sync.making import rule

USERS = Reference(left="users", right="employees")
RULE = rule(left="by", right="manager", last_editor="at", reference=USERS)
US = "us"


def at(second: int) -> datetime:
    return datetime(2026, 3, 2, 12, 0, second, tzinfo=UTC)


@dataclass(frozen=True)
class _Users:
    """Every user but one is linked: with the employee of the same name in capitals."""

    async def ourselves(self) -> frozenset[str]:
        return frozenset({US})

    async def meant(self, column: str, key: str) -> Value:
        return Unlinked(key) if key == "stranger" else key.upper()


def seen(by: Value, second: int, *, known: str = "", told: str = "") -> tuple[Value, str]:
    """The editor of a record, and what is known from then on."""
    record = Record("r", "1", {"by": by, "at": at(second)})
    found, latest = asyncio.run(with_editor(RULE, Side.LEFT, record, known, told, _Users()))
    return found.values["by"], latest


def test_a_person_whom_the_record_names_is_the_last_one() -> None:
    """Whatever was told before, and by a clock that is ahead."""
    value, latest = seen("ANNA", 5, known=edit(at(1), "bert"), told=edit(at(2), "carl"))
    assert (value, latest) == ("ANNA", edit(at(5), "=ANNA"))
    assert seen("ANNA", 5, told=edit(at(9), "bert")) == ("ANNA", edit(at(9), "=ANNA"))


def test_after_a_write_of_ours_the_person_of_the_notice_counts() -> None:
    assert seen(Untold(), 5, told=edit(at(4), "bert")) == ("BERT", edit(at(4), "bert"))


def test_a_late_notice_of_an_earlier_edit_changes_nothing() -> None:
    """The link knows a later one."""
    known = edit(at(3), "bert")
    assert seen(Untold(), 5, known=known, told=edit(at(2), "anna")) == ("BERT", known)


def test_our_own_notice_tells_of_nobody() -> None:
    value, latest = seen(Untold(), 5, known=edit(at(3), "bert"), told=edit(at(5), US))
    assert (value, latest) == ("BERT", edit(at(3), "bert"))
    value, latest = seen(Untold(), 5, told=edit(at(5), US))
    assert isinstance(value, Untold)
    assert latest == ""


def test_a_person_without_a_partner_is_remembered_until_there_is_one() -> None:
    """Our write may hide him from the record before that."""
    value, latest = seen(Unlinked("stranger"), 5)
    assert (value, latest) == ("stranger", edit(at(5), "stranger"))
    value, _ = seen(Untold(), 8, known=latest)
    assert isinstance(value, Unlinked)
    assert seen(Untold(), 8, known=edit(at(5), "anna"))[0] == "ANNA"


def test_edits_are_ordered_by_their_time() -> None:
    """Also with those of other zones, and none is before all."""
    assert who_of(newer(edit(at(1), "z"), edit(at(2), "a"))) == "a"
    assert newer("", edit(at(1), "z")) == edit(at(1), "z")
    assert who_of("") == ""


def test_a_field_with_the_last_editor_has_one_master_and_a_pair_of_users() -> None:
    with pytest.raises(ValidationError, match="last_editor"):
        rule(last_editor="at")
    with pytest.raises(ValidationError, match="last_editor"):
        rule(last_editor="at", reference=USERS, master=Master.BOTH)
