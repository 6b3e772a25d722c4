"""The recipient code of the Italian exchange system for electronic invoices (codice destinatario)."""

from __future__ import annotations

import re

from shared.sync.arguments import Told
from shared.sync.values import Unfit

NO_CODE = "0000000"
"""The recipient has no code: the invoice goes to the certified mail address (PEC)."""


def check_recipient_code(text: str, told: Told) -> None:
    """Six characters for a public office, seven for everybody else; the code for none needs a PEC beside it.

    Whether there is a PEC is only asked where the rule says from which column (`pec_from`).
    """
    if not re.fullmatch(r"[A-Z0-9]{6,7}", text, re.ASCII):
        raise Unfit("CD-4032", "it has six (public office) or seven capital letters and digits")
    if text == NO_CODE and told.get("pec") == "":
        raise Unfit("CD-4033", "enter the certified mail address, or the recipient's own code")
