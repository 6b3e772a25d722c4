"""What keeps a check from being confirmed; docs/systems/field_service_checks.md lists it all.

`name` is what the contract calls the kind of answer. A caller that gets any of these does not register his transaction.
"""

from __future__ import annotations

from collections.abc import Sequence

from shared.errors import Who
from shared.routes import RequestError


class CheckRefused(RequestError):
    """No answer to a check, or none that confirms. lines: the ids of the lines that it is about."""

    name = "BadRequest"

    def __init__(self, detail: str = "", field: str = "", lines: Sequence[str] = ()) -> None:
        super().__init__(detail, field)
        self.lines = tuple(lines)


class NotConfirmed(CheckRefused):
    """The system whose data count has not said yes. reason: the same in one word, for programs."""

    name = "NotConfirmed"
    reason = ""
    status = 503


class ChecksNotSetUp(NotConfirmed):
    """No table is named that could answer this check from the system that the settings choose."""

    code = "CD-8101"
    reason = "not_set_up"
    sentence = "No system answers this check."
    who = Who.CONSULTANT
    remedy = "Name in the setting a system of CROSSDOCK_SYSTEMS that has a part in transfers/field_service/checks.yaml."


class CustomerUnknown(NotConfirmed):
    """The customer has no link to one in the system that answers, or that one is gone. Nothing is searched by name."""

    code = "CD-8102"
    reason = "customer_unknown"
    sentence = "The customer is not linked to one in the system that answers."
    who = Who.RECORD_OWNER
    remedy = "Look the customer up with manage.py links; let its transfer run, or link the records by hand."


class TookTooLong(NotConfirmed):
    """The time for the check was over before the answer came; what was under way has been given up."""

    code = "CD-8103"
    reason = "time_out"
    sentence = "The system did not answer in time."
    who = Who.NOBODY
    remedy = "Ask again. If it lasts, look at the system, and at CROSSDOCK_CHECKS_BACKEND_SECONDS."


class BackEndFailed(NotConfirmed):
    """The system that answers could not be reached, asked for fewer requests, refused, or answered what it should not;
    the text names the error's own code."""

    code = "CD-8104"
    reason = "system_error"
    sentence = "The system that answers did not."
    who = Who.ADMINISTRATOR
    remedy = "Ask again. If it lasts, look up the code that the sentence names."


class BackEndDown(NotConfirmed):
    """The system failed several times in a row, so it is left alone and was not asked."""

    code = "CD-8105"
    reason = "system_down"
    sentence = "The system that answers is down, so it was not asked."
    who = Who.NOBODY
    remedy = "Ask again later: it is probed every half minute. manage.py doctor says why it is down."


class NotTold(NotConfirmed):
    """The system answered, but not with all that the check needs; the text names what is missing, never a value."""

    code = "CD-8106"
    reason = "value_missing"
    sentence = "The system does not tell a value that the check needs."
    who = Who.RECORD_OWNER
    remedy = "Fill the named column in, or name another one in transfers/field_service/checks.yaml."


class NotRemembered(NotConfirmed):
    """Our own store did not answer. Without it the customer's link is not known, nor is a repeat the same answer."""

    code = "CD-8107"
    reason = "store_down"
    sentence = "The store of links does not answer."
    who = Who.NOBODY
    remedy = "Ask again."


class SaveFirst(CheckRefused):
    """The request that registers a record of the CRM changes something else of it, too, which was not checked."""

    code = "CD-8114"
    name = "SaveFirst"
    sentence = "The same request changes what is to be checked."
    who = Who.RECORD_OWNER
    remedy = "Save the other changes first, then register the record."
    status = 409


class UnknownItems(CheckRefused):
    """Items that the system which answers does not have; their lines are named."""

    code = "CD-8111"
    name = "UnknownItems"
    sentence = "Some items are unknown to the system that answers."
    who = Who.RECORD_OWNER
    remedy = "Correct the items of the named lines, or create them in the system that answers."
    status = 422


class CurrencyMismatch(CheckRefused):
    """The amounts are kept in another currency than the one that was asked in; nothing is converted."""

    code = "CD-8112"
    name = "CurrencyMismatch"
    sentence = "The system keeps these amounts in another currency."
    who = Who.RECORD_OWNER
    remedy = "Ask in the currency that the sentence names."
    status = 409


class RequestIdReused(CheckRefused):
    """The same request id came with another body a short while ago."""

    code = "CD-8113"
    name = "RequestIdReused"
    sentence = "This request id was used for another question a short while ago."
    who = Who.DEVELOPER
    remedy = "Give every question an id of its own; repeat one with the same body only."
    status = 409
