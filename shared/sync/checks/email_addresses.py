"""E-mail addresses, checked by their form; no name server is asked."""

from __future__ import annotations

from shared.sync.arguments import Told
from shared.sync.values import Unfit


def check_email(text: str, told: Told) -> None:
    """One address, or several separated by `;`, each of them right."""
    if not all(is_address(part.strip()) for part in text.split(";")):
        raise Unfit("CD-4004", "this is not an e-mail address; several are separated by ;")


def check_pec(text: str, told: Told) -> None:
    """Exactly one address."""
    if not is_address(text.strip()):
        raise Unfit("CD-4004", "this is not one e-mail address; a certified one stands alone")


def is_address(text: str) -> bool:
    """Whether it is an address that mail can be sent to, as far as its form tells."""
    from email_validator import EmailNotValidError, validate_email

    try:
        validate_email(text, check_deliverability=False, allow_smtputf8=False)
    except EmailNotValidError:
        return False
    return True
