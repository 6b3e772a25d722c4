"""Checks of a value before it is written, by the name that definitions use.

Each module knows one kind of data: its forms, its check digits, its lists. A check raises `Unfit` with a code of the
catalogue and a hint that never holds the value. Packages that are large are imported at the first use.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from shared.sync.arguments import COUNTRY, Argument, Told
from shared.sync.checks.amounts import check_not_negative
from shared.sync.checks.countries import check_country
from shared.sync.checks.email_addresses import check_email, check_pec
from shared.sync.checks.fiscal_codes import check_fiscal_code
from shared.sync.checks.postcodes import check_postcode
from shared.sync.checks.provinces import check_province
from shared.sync.checks.recipient_codes import check_recipient_code
from shared.sync.checks.telephones import check_phone
from shared.sync.checks.vat_numbers import check_vat_number
from shared.sync.checks.web_addresses import check_web_address


@dataclass(frozen=True)
class Check:
    """complain: raises Unfit for a text that does not pass. meaning: what passes, for people. takes: its arguments."""

    complain: Callable[[str, Told], None]
    meaning: str
    codes: tuple[str, ...]
    takes: Mapping[str, Argument] = field(default_factory=dict)


CHECKS: Mapping[str, Check] = {
    "country": Check(check_country, "an ISO code of two capital letters", ("CD-4036",)),
    "email": Check(check_email, "one address, or several separated by `;`", ("CD-4004",)),
    "fiscal_code": Check(
        check_fiscal_code,
        "a codice fiscale with its check letter and a day that exists, or an organisation's eleven digits",
        ("CD-4031",),
    ),
    "not_negative": Check(check_not_negative, "zero and above", ("CD-4006",)),
    "pec": Check(check_pec, "exactly one address", ("CD-4004",)),
    "phone": Check(check_phone, "no letters", ("CD-4003",)),
    "postcode": Check(check_postcode, "a post code of the record's country, if known", ("CD-4034",), COUNTRY),
    "province": Check(check_province, "the two letters of an Italian province, if in Italy", ("CD-4035",), COUNTRY),
    "recipient_code": Check(
        check_recipient_code,
        "six capital letters and digits for a public office, else seven; 0000000 only beside a PEC",
        ("CD-4032", "CD-4033"),
        {"pec": Argument(column=True)},
    ),
    "vat_number": Check(
        check_vat_number,
        "a right number of the record's country or of its own prefix (EU and Northern Ireland, with check digits); "
        "elsewhere 4 to 20 letters and digits",
        ("CD-4005",),
        COUNTRY,
    ),
    "web_address": Check(check_web_address, "a host with a dot, with or without http(s)://", ("CD-4037",)),
}
