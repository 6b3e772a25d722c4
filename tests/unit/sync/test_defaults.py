"""Defaults: what a column gets where the other side has no value, with a create or always."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from shared.sync.definition import Default, DefaultWhen, FieldRule, Master
from shared.sync.planner import Action, Plan, Reason, plan_behind, plan_create, plan_update
from shared.sync.ports import Side, Value
from tests.unit.sync.making import NO_BASE, base_of, remembered, rule


def with_default(when: DefaultWhen = DefaultWhen.CREATE, master: Master = Master.LEFT) -> FieldRule:
    """A rule whose right column gets 30D."""
    return rule(master=master).model_copy(update={"default": Default(right="30D", when=when)})


@pytest.mark.parametrize("when", list(DefaultWhen))
@pytest.mark.parametrize("master", [Master.LEFT, Master.RIGHT, Master.BOTH])
@pytest.mark.parametrize("blank", [None, ""])
def test_a_create_sends_the_default_for_a_blank_whoever_is_master(
    when: DefaultWhen, master: Master, blank: Value
) -> None:
    """R-055: payment terms, say, without which the first order would fail."""
    plan = plan_create(Side.LEFT, [with_default(when, master)], {"a": blank}, {})
    assert plan.writes == {"b": "30D"}
    assert [told.reason for told in plan.told(None, None)] == ["sent with the create, the rule's default"]


def test_a_mapped_value_goes_before_the_default() -> None:
    """R-055: and one that is not carried does not."""
    assert plan_create(Side.LEFT, [with_default()], {"a": "14D"}, {}).writes == {"b": "14D"}
    assert plan_create(Side.LEFT, [with_default(master=Master.RIGHT)], {"a": "14D"}, {}).writes == {"b": "30D"}


def test_a_default_is_for_its_own_side() -> None:
    """A create in the other system is not concerned."""
    assert plan_create(Side.RIGHT, [with_default(master=Master.RIGHT)], {"b": None}, {}).writes == {}


def test_a_default_is_checked_like_any_value() -> None:
    """And measured."""
    wrong = with_default().model_copy(update={"check": "email"})
    assert [d.code for d in plan_create(Side.LEFT, [wrong], {"a": None}, {}).problems] == ["CD-4004"]
    assert [d.code for d in plan_create(Side.LEFT, [with_default()], {"a": None}, {"b": 2}).problems] == ["CD-4007"]


def after(rules: Sequence[FieldRule], plan: Plan, source: dict[str, Value], target: dict[str, Value]) -> Plan:
    """What the other direction decides about the record that a create has made."""
    base = remembered(NO_BASE, plan, source, target)
    return plan_update(Side.RIGHT, rules, base, target, source, {})


@pytest.mark.parametrize("master", [Master.RIGHT, Master.BOTH])
def test_a_default_given_to_its_master_comes_back_as_a_value(master: Master) -> None:
    """The ERP owns the terms from now on, so the CRM learns them."""
    rules = [with_default(master=master)]
    plan = plan_create(Side.LEFT, rules, {"a": None}, {})
    assert after(rules, plan, {"a": None}, {"b": "30D"}).writes == {"a": "30D"}


def test_a_default_where_the_source_is_master_stays_until_the_master_is_filled() -> None:
    """It is no value of the master, and is not blanked by one that is still empty; edits of it are left alone."""
    rules = [with_default()]
    plan = plan_create(Side.LEFT, rules, {"a": None}, {})
    assert after(rules, plan, {"a": None}, {"b": "30D"}).writes == {}
    base = remembered(NO_BASE, plan, {"a": None}, {"b": "30D"})
    assert plan_update(Side.LEFT, rules, base, {"a": None}, None, {}).writes == {}
    assert plan_update(Side.LEFT, rules, base, {"a": None}, {"b": "60D"}, {}).writes == {}
    assert plan_update(Side.LEFT, rules, base, {"a": "14D"}, {"b": "60D"}, {}).writes == {"b": "14D"}


def test_a_master_that_becomes_empty_leaves_the_default_where_it_always_stands() -> None:
    """R-055: a blank goes over as a blank with when: create, as the default with when: always."""
    for when, written in ((DefaultWhen.CREATE, None), (DefaultWhen.ALWAYS, "30D")):
        one = with_default(when)
        base = base_of([one], {"a": "14D"}, {"b": "14D"})
        plan = plan_update(Side.LEFT, [one], base, {"a": None}, {"b": "14D"}, {})
        assert plan.writes == {"b": written}
        base = remembered(base, plan, {"a": None}, {"b": written})
        assert plan_update(Side.LEFT, [one], base, {"a": None}, {"b": written}, {}).writes == {}


def test_a_default_that_always_stands_is_put_back() -> None:
    """The master is empty, and its side says what that means."""
    one = with_default(DefaultWhen.ALWAYS)
    base = base_of([one], {"a": None}, {"b": "30D"})
    (decision,) = plan_update(Side.LEFT, [one], base, {"a": None}, {"b": "60D"}, {}).decisions
    assert (decision.action, decision.reason, decision.value) == (Action.WRITE, Reason.PUT_BACK, "30D")


def test_a_default_that_always_stands_reaches_linked_records_when_it_is_new() -> None:
    """The rule is another one then, and agrees anew; one for creates only changes nothing for them."""
    assert with_default(DefaultWhen.ALWAYS).version != rule().version
    assert with_default().version == rule().version


def test_a_create_found_again_keeps_its_default() -> None:
    """The source is as blank as when the create was sent."""
    assert plan_behind(Side.LEFT, [with_default()], {"a": None}, {"b": "30D"}, {"b"}, {}).writes == {}
