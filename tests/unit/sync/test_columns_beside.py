"""Rules that look at another column of the record: checks with the record's country or its certified address."""

from __future__ import annotations

import pytest

from shared.sync.definition import Arguments, FieldRule, Master
from shared.sync.planner import Action, plan_create, plan_update
from shared.sync.ports import Side, Value
from tests.unit.sync.making import NO_BASE, base_of, remembered, rule

PHONE = FieldRule(
    left="phone",
    right="phone_number",
    master_unlinked=Master.LEFT,
    master_linked=Master.LEFT,
    convert="phone_e164",
    convert_with=Arguments(settings={"country": "IT"}, columns={"country": ("land", "country")}),
)
VAT = FieldRule(
    left="vat",
    right="registration",
    master_unlinked=Master.LEFT,
    master_linked=Master.LEFT,
    check="vat_number",
    check_with=Arguments(columns={"country": ("land", "country")}),
)
CODE = FieldRule(
    left="code",
    right="pa_code",
    master_unlinked=Master.LEFT,
    master_linked=Master.LEFT,
    check="recipient_code",
    check_with=Arguments(columns={"pec": ("pec", "pec_email")}),
)
LAND = rule("land", "country")


@pytest.mark.parametrize(
    ("number", "country", "code"),
    [
        ("136695976", "Germany", ""),
        ("136695976", "IT", "CD-4005"),
        ("00743110157", None, ""),
        ("00743110158", None, "CD-4005"),
    ],
)
def test_the_records_country_decides_which_numbers_are_right(number: str, country: Value, code: str) -> None:
    """R-058: a German number is no Italian one, and the column beside it says which it should be."""
    plan = plan_create(Side.LEFT, [VAT, LAND], {"vat": number, "land": country}, {})
    assert [decision.code for decision in plan.problems] == ([code] if code else [])
    assert ("registration" in plan.writes) is not bool(code)


def test_the_other_direction_looks_at_the_other_systems_column() -> None:
    """The column is named once, by its field rule it is known on both sides."""
    shared = VAT.model_copy(update={"master_linked": Master.RIGHT})
    source: dict[str, Value] = {"registration": "136695976", "country": "DE"}
    target: dict[str, Value] = {"vat": None, "land": "IT"}
    plan = plan_update(Side.RIGHT, [shared, LAND], NO_BASE, source, target, {})
    assert plan.writes["vat"] == "136695976"


def test_a_recipient_without_a_code_waits_for_the_certified_address() -> None:
    """R-058: 0000000 alone is parked; with the address beside it, it goes."""
    base = base_of([CODE], {"code": "M5UXCR1"}, {"pa_code": "M5UXCR1"})
    target: dict[str, Value] = {"pa_code": "M5UXCR1"}
    (alone,) = plan_update(Side.LEFT, [CODE], base, {"code": "0000000", "pec": None}, target, {}).decisions
    assert (alone.action, alone.code) == (Action.PARK, "CD-4033")
    plan = plan_update(Side.LEFT, [CODE], base, {"code": "0000000", "pec": "a@pec.example.com"}, target, {})
    assert plan.writes == {"pa_code": "0000000"}


def test_a_setting_stands_in_for_a_blank_column() -> None:
    """And the column goes before the setting."""
    told = Arguments(settings={"country": "IT"}, columns={"country": ("land", "country")})
    assert told.told(Side.LEFT, {"land": None}) == {"country": "IT"}
    assert told.told(Side.LEFT, {"land": "AT"}) == {"country": "AT"}
    assert told.told(Side.RIGHT, {"land": "AT", "country": "DE"}) == {"country": "DE"}
    pec = Arguments(columns={"pec": ("pec", "pec_email")})
    assert pec.told(Side.LEFT, {"pec": None}) == {"pec": ""}
    assert pec.told(Side.RIGHT, {"pec": None}) == {}, "a system without the column says nothing"


def test_a_value_is_converted_anew_when_the_column_beside_it_changes() -> None:
    """R-055, R-059: the same digits are another number in another country; and once only."""
    source: dict[str, Value] = {"phone": "0512 12345", "land": None}
    base = base_of([PHONE, LAND], source, {"phone_number": "+39051212345", "country": None})
    moved = source | {"land": "Austria"}
    plan = plan_update(Side.LEFT, [PHONE, LAND], base, moved, None, {})
    assert plan.writes == {"phone_number": "+4351212345", "country": "Austria"}
    target: dict[str, Value] = dict(plan.writes)
    after = remembered(base, plan, moved, target)
    assert plan_update(Side.LEFT, [PHONE, LAND], after, moved, None, {}).writes == {}
    assert plan_update(Side.LEFT, [PHONE, LAND], base, source, None, {}).writes == {}


def test_a_blank_beside_a_changed_column_blanks_nothing() -> None:
    """What a first agreement has spared stays spared."""
    base = base_of([PHONE, LAND], {"phone": None, "land": None}, {"phone_number": "0471", "country": None})
    target: dict[str, Value] = {"phone_number": "0471", "country": None}
    plan = plan_update(Side.LEFT, [PHONE, LAND], base, {"phone": None, "land": "AT"}, target, {})
    assert plan.writes == {"country": "AT"}


def test_a_rule_told_otherwise_is_another_version() -> None:
    """What was agreed under the old one is no base any more."""
    other = VAT.model_copy(update={"check_with": Arguments(settings={"country": "IT"})})
    assert other.version != VAT.version
