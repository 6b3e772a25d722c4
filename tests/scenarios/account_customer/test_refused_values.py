"""Values that a system refuses wait for a person; everything else flows, and what is mended goes by itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from shared.sync.ports import LinkState, Side
from tests.scenarios.account_customer.world import (
    COMPANY,
    COMPANY_VALUES,
    TO_ERP,
    RealWorld,
    Setup,
    definition_text,
    differing,
    vat_number,
    virtually,
)


@dataclass(frozen=True)
class Case:
    """A value of an account that cannot go over: why it is parked, and what mends it."""

    bad: dict[str, Any]
    good: dict[str, Any]
    code: str
    field: str


REFUSED = "CD-1008"
REFUSED_FIELD = "CD-4008"

LETTERS = Case({"telephone1": "ask at the mill"}, {"telephone1": "+390471000002"}, "CD-4003", "telephone1")
TOO_LONG = Case(
    {"emailaddress1": f"{'o' * 70}@mill.example"},
    {"emailaddress1": "sales@aurora-milling.example"},
    "CD-4007",
    "emailaddress1",
)
NO_SUCH_SALESPERSON = Case({"cdock_salesperson": "NOBODY"}, {"cdock_salesperson": None}, REFUSED, "cdock_salesperson")
BLOCKED = Case({"cdock_salesperson": "GONE"}, {"cdock_salesperson": "JO"}, REFUSED, "cdock_salesperson")
NO_SUCH_TERMS = Case({"cdock_paymentterms": "NEVER"}, {"cdock_paymentterms": "30T"}, REFUSED, "cdock_paymentterms")
LONG_NAME = Case({"name": "N" * 101}, {"name": "N" * 100}, "CD-4007", "name")
VAT = Case(
    {"address1_country": "Germany", "address1_postalcode": "01067", "cdock_vatnumber": "123456789"},
    {"cdock_vatnumber": "136695976"},
    "CD-4005",
    "cdock_vatnumber",
)
POST_CODE = Case(
    {"address1_country": "Italien", "address1_postalcode": "3910"},
    {"address1_postalcode": "39100"},
    "CD-4034",
    "address1_postalcode",
)
PROVINCE = Case(
    {"address1_country": "IT", "address1_stateorprovince": "Bolzano"},
    {"address1_stateorprovince": "BZ"},
    "CD-4035",
    "address1_stateorprovince",
)
COUNTRY = Case({"address1_country": "Utopia"}, {"address1_country": "Italia"}, "CD-4036", "address1_country")
MAIL = Case(
    {"emailaddress1": "office at mill"}, {"emailaddress1": "a@mill.example; b@mill.example"}, "CD-4004", "emailaddress1"
)
WEB = Case({"websiteurl": "the mill"}, {"websiteurl": "www.mill.example"}, "CD-4037", "websiteurl")
TWO_NUMBERS = Case({"telephone1": "0471 000001 / 2"}, {"telephone1": "0471 000001"}, "CD-4038", "telephone1")
WRONG_VAT = Case({"cdock_vatnumber": "00000001111"}, {"cdock_vatnumber": vat_number(7)}, "CD-4005", "cdock_vatnumber")
CASES = {
    "letters in the telephone number": LETTERS,
    "a text that is too long": TOO_LONG,
    "a salesperson that does not exist": NO_SUCH_SALESPERSON,
    "a blocked salesperson": BLOCKED,
    "payment terms that do not exist": NO_SUCH_TERMS,
}
ON_CREATE = CASES | {
    "a name that is too long": LONG_NAME,
    "a VAT number that is wrong in its country": VAT,
    "a post code that is none of its country": POST_CODE,
    "a province that does not exist": PROVINCE,
    "a country that does not exist": COUNTRY,
    "a text that is no e-mail address": MAIL,
    "a text that is no web address": WEB,
    "two telephone numbers": TWO_NUMBERS,
    "a VAT number with a wrong check digit": WRONG_VAT,
}


def crm_names_the_terms() -> Setup:
    """A world in which the CRM is master of the payment terms."""
    line = "business_central: paymentTermsId.code,   master: business_central"
    assert line in definition_text()
    return Setup(text=definition_text().replace(line, "business_central: paymentTermsId.code, master: dataverse"))


async def salespeople(world: RealWorld) -> None:
    """One who works there, and one who has gone."""
    await world.erp.create(COMPANY, "salespeoplePurchasers", {"code": "JO", "displayName": "North"})
    await world.erp.create(COMPANY, "salespeoplePurchasers", {"code": "GONE", "displayName": "South", "blocked": True})


@pytest.mark.parametrize("case", ON_CREATE.values(), ids=ON_CREATE.keys())
@virtually
async def test_a_refused_create_is_parked_and_goes_once_its_source_is_mended(case: Case) -> None:
    """R-041, R-054: code and remedy are told, a neighbour flows, and mending the account is all that is needed."""
    async with RealWorld(crm_names_the_terms()) as world:
        await salespeople(world)
        account = await world.new_account(**(COMPANY_VALUES | case.bad))
        neighbour = await world.new_account(name="Birch Sawmill", cdock_stage="qualified")
        await world.settle()
        (item,) = await world.parked()
        assert (item.key, item.code) == (account, case.code)
        assert item.code == REFUSED or item.field == case.field, "the vendor's text names no field, our checks do"
        assert item.sentence
        assert item.remedy
        assert list(await world.links()) == [neighbour]

        await world.edit_account(account, **case.good)
        await world.settle()
        assert await world.parked() == []
        assert set(await world.links()) == {account, neighbour}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
@virtually
async def test_a_refused_change_is_parked_and_closes_once_its_source_is_mended(case: Case) -> None:
    """R-042, R-059: the link stays, what can go goes, and the next good value closes the item by itself."""
    async with RealWorld(crm_names_the_terms()) as world:
        await salespeople(world)
        account, customer = await world.pair_made()
        await world.edit_account(account, **case.bad, websiteurl="https://aurora-milling.example")
        await world.settle()
        (item,) = await world.parked()
        code = REFUSED_FIELD if case.code == REFUSED else case.code
        assert (item.transfer, item.key, item.code, item.field) == (TO_ERP, account, code, case.field)
        assert (await world.link_of_account(account)).state is LinkState.LINKED
        assert world.customer(customer)["website"] == "https://aurora-milling.example"

        await world.edit_account(account, **case.good)
        await world.settle()
        assert await world.parked() == []
        assert list(differing(world.account(account), world.customer(customer))) == []


@virtually
async def test_no_value_of_a_refused_record_is_kept_anywhere() -> None:
    """R-041: parked items and journal tell codes, fields and our own sentences; the vendor's text stays out."""
    async with RealWorld(crm_names_the_terms()) as world:
        await salespeople(world)
        account = await world.new_account(**(COMPANY_VALUES | BLOCKED.bad))
        await world.settle()
        told = f"{await world.parked()}{await world.journal(Side.LEFT, account)}"
        for value in ("GONE", "Aurora", "0471", vat_number(1)):
            assert value not in told
