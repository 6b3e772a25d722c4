"""The Italian fields of a customer: what they refuse and what they blank.

Source: published source of the Italian layer of the base application (table Customer). A wrong fiscal code only raises
a message, which a call never sees: it is stored.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sandbox.business_central.entities import Field
from sandbox.business_central.errors import ApiError
from sandbox.business_central.records import Check, Draft, assign, must_have_value
from sandbox.business_central.values import NO_DATE

RESIDENT, NON_RESIDENT = "Resident", "Non_x002D_Resident"
_OF_A_PERSON: Mapping[str, Any] = {"firstName": "", "lastName": "", "dateOfBirth": NO_DATE, "placeOfBirth": ""}


def _check_individual(draft: Draft, field: Field, value: Any) -> None:
    """ "No" blanks everything of a person and the fiscal code, also where it was "no" before."""
    draft.row["individualPerson"] = value
    if not value:
        draft.row.update(_OF_A_PERSON, resident=RESIDENT, fiscalCode="")


def _check_resident(draft: Draft, field: Field, value: Any) -> None:
    if value == draft.row["resident"]:
        return
    draft.row["resident"] = value
    draft.row.update(_OF_A_PERSON if value == RESIDENT else {"fiscalCode": ""})


def _check_fiscal_code(draft: Draft, field: Field, value: Any) -> None:
    if draft.row["resident"] != RESIDENT:
        raise ApiError(
            400,
            "Application_FieldValidationException",
            "must_be_equal",
            field="Resident",
            wanted="Resident",
            table=draft.entity.caption,
            number=draft.number,
            value="Non-Resident",
        )
    draft.row["fiscalCode"] = value


def _check_of_a_person(draft: Draft, field: Field, value: Any) -> None:
    if not draft.row["individualPerson"]:
        raise must_have_value("Individual Person", draft.entity.caption, f"No.={draft.number}")
    assign(draft, field, value)


CHECKS: Mapping[str, Check] = {
    "individualPerson": _check_individual,
    "resident": _check_resident,
    "fiscalCode": _check_fiscal_code,
    **dict.fromkeys(_OF_A_PERSON, _check_of_a_person),
}
