"""Where several records may be the partner, or one perhaps is, a person decides and sees how alike they are."""

from __future__ import annotations

from typing import Any

from shared.sync.ports import Switch
from tests.scenarios.account_customer.world import COMPANY_VALUES, TO_CRM, RealWorld, vat_number, virtually

ALIKE: dict[str, Any] = {
    "displayName": "Aurora Milling Srl",
    "postalCode": "39100",
    "city": "Milltown",
    "addressLine1": "Mill Lane 1",
}
OTHER: dict[str, Any] = {"displayName": "Birch Sawmill", "postalCode": "39042", "city": "Sawtown"}


@virtually
async def test_several_customers_with_one_vat_number_are_put_before_a_person_with_scores() -> None:
    """R-055, R-080: the likeliest first, with the columns that were compared and no value of any record."""
    async with RealWorld() as world:
        await world.switch(TO_CRM, Switch.OFF)
        number = vat_number(1)
        other = await world.new_customer(**OTHER, taxRegistrationNumber=number)
        alike = await world.new_customer(**ALIKE, taxRegistrationNumber=number)
        account = await world.new_account(**COMPANY_VALUES)
        await world.settle()
        (item,) = await world.parked()
        assert (item.key, item.code, list(item.others)) == (account, "CD-4301", [alike, other])
        first, second = item.candidates
        assert (first.key, second.key) == (alike, other)
        assert first.score > 90 > 70 > second.score
        assert "taxRegistrationNumber 100" in first.reasons
        assert "displayName 100" in first.reasons, "the legal form is no difference"
        assert "postalCode 0" in second.reasons
        assert not any(str(value) in told for told in (*first.reasons, *second.reasons) for value in ALIKE.values())
        assert await world.links() == {}


@virtually
async def test_a_customer_of_nearly_the_same_name_is_put_before_a_person() -> None:
    """R-055: found with another spelling of the legal form, at the same post code; never linked by itself."""
    async with RealWorld() as world:
        await world.switch(TO_CRM, Switch.OFF)
        customer = await world.new_customer(**ALIKE)
        account = await world.new_account(**(COMPANY_VALUES | {"name": "Aurora Milling S.r.l."}))
        await world.settle()
        (item,) = await world.parked()
        assert (item.key, item.code) == (account, "CD-4303")
        (candidate,) = item.candidates
        assert candidate.key == customer
        assert candidate.score > 80
        assert len(world.customers) == 1


@virtually
async def test_a_name_in_another_order_is_not_found_by_a_search() -> None:
    """R-055: systems search by equality; what stands otherwise than in the usual spellings is another company."""
    async with RealWorld() as world:
        await world.switch(TO_CRM, Switch.OFF)
        await world.new_customer(**(ALIKE | {"displayName": "Milling Aurora"}))
        account = await world.new_account(**COMPANY_VALUES)
        await world.settle()
        assert await world.parked() == []
        assert list(await world.links()) == [account]
