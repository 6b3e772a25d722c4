"""What is done about subscriptions, as a pure plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from shared.sync.ports import Subscription
from shared.sync.subscribing import Act, Place, Step, plan

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
LIFE = timedelta(days=3)
ROOT = "https://app.example/api/webhooks/erp/"
PLACE = Place(ROOT, {"customers": f"{ROOT}today/customers", "items": f"{ROOT}today/items"}, "state of today")


def subscription(
    table: str = "customers", hours: float = 72, address: str = "", state: str = "state of today", name: str = "s1"
) -> Subscription:
    """A subscription that lives so many hours more."""
    there = address or f"{ROOT}today/{table}"
    return Subscription(name, table, there, state, NOW + timedelta(hours=hours), f"etag of {name}")


def acts(steps: Sequence[Step]) -> list[tuple[str, str]]:
    """What is done to which table."""
    return [(step.act.value, step.table) for step in steps]


def test_without_any_every_table_gets_one() -> None:
    """One for each table, so that a mistake costs one table its notices and not all."""
    assert acts(plan(PLACE, [], NOW, LIFE)) == [("made", "customers"), ("made", "items")]


def test_half_of_a_life_is_left_alone_and_then_it_is_renewed() -> None:
    """Twice in a life there is time for a person before it is gone."""
    young = plan(PLACE, [subscription(hours=37), subscription("items", hours=36, name="s2")], NOW, LIFE)
    assert acts(young) == [("kept", "customers"), ("renewed", "items")]


def test_a_secret_of_yesterday_is_replaced_in_place() -> None:
    """In the address or in the state: the subscription stays and no notice is missed."""
    old = subscription(address=f"{ROOT}yesterday/customers")
    shown = subscription("items", state="state of yesterday", name="s2")
    steps = plan(PLACE, [old, shown], NOW, LIFE)
    assert acts(steps) == [("renewed", "customers"), ("renewed", "items")]
    assert [step.present for step in steps] == [old, shown]


def test_a_dead_one_is_ended_and_made_again() -> None:
    """Some services go on listing what has expired."""
    assert acts(plan(PLACE, [subscription(hours=0), subscription("items", name="s2")], NOW, LIFE)) == [
        ("ended", "customers"),
        ("made", "customers"),
        ("kept", "items"),
    ]


def test_a_second_one_and_one_of_a_former_definition_are_ended() -> None:
    """A lost answer made two, a table left the definitions; both would go on telling."""
    double = subscription(hours=50, name="s2")
    former = subscription("vendors", name="s3")
    elsewhere = replace(subscription(name="s4"), table="", address=f"{ROOT}today/customers")
    steps = plan(PLACE, [double, subscription(), former, elsewhere], NOW, LIFE)
    ended = [step.present.id for step in steps if step.act is Act.END and step.present]
    assert sorted(ended) == ["s2", "s3", "s4"]
    assert acts(steps)[-2:] == [("kept", "customers"), ("made", "items")]


_addresses = st.sampled_from(
    [f"{ROOT}today/customers", f"{ROOT}today/items", f"{ROOT}old/items", "https://other.example/hook", ROOT[:-2]]
)
_present = st.lists(
    st.builds(
        lambda n, table, address, state, hours: subscription(table, hours, address, state, f"s{n}"),
        st.integers(0, 10_000),
        st.sampled_from(["customers", "items", "vendors", ""]),
        _addresses,
        st.sampled_from(["state of today", "state of yesterday"]),
        st.integers(-10, 72),
    ),
    max_size=8,
    unique_by=lambda one: one.id,
)


@given(_present)
def test_after_the_plan_every_table_has_one_good_subscription_and_foreign_ones_are_as_they_were(
    present: list[Subscription],
) -> None:
    """Whatever there was; and a second plan has nothing to do."""
    after = {one.id: one for one in present}
    for number, step in enumerate(plan(PLACE, present, NOW, LIFE)):
        fresh = subscription(step.table, name=f"new{number}")
        if step.act is Act.END and step.present:
            del after[step.present.id]
        elif step.act is Act.RENEW and step.present:
            after[step.present.id] = replace(fresh, id=step.present.id)
        elif step.act is Act.MAKE:
            after[fresh.id] = fresh
    foreign = [one for one in present if not one.address.startswith(ROOT)]
    assert [one for one in after.values() if not one.address.startswith(ROOT)] == foreign
    ours = [one for one in after.values() if one.address.startswith(ROOT)]
    assert sorted(one.table for one in ours) == ["customers", "items"]
    assert {step.act for step in plan(PLACE, list(after.values()), NOW, LIFE)} == {Act.KEEP}


def test_no_secret_stands_in_what_is_printed() -> None:
    """Address and state open our door."""
    told = repr(PLACE) + repr(subscription()) + repr(plan(PLACE, [subscription()], NOW, LIFE))
    assert "today" not in told
