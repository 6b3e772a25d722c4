"""Every error the product reports: a stable code, a sentence, who can mend it and the first thing to do.

The class says what the machine does: `SystemDown` and `Throttled` defer, `UnknownResult` looks up, `VersionConflict`
starts over, `Refused` parks for a person. Vendors' texts contain values of records, so they are never kept: the
vendor's code, the field and our own sentence are. `docs/errors.md` is generated from the classes and from the
catalogue `PROBLEMS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum


class Who(StrEnum):
    """Who can mend the cause."""

    NOBODY = "nobody: it ends by itself"
    CALLER = "whoever asked"
    RECORD_OWNER = "whoever keeps the record"
    ADMINISTRATOR = "the administrator of the system"
    CONSULTANT = "whoever keeps the definition"
    DEVELOPER = "the developers of Crossdock"


class CrossdockError(Exception):
    """Root of all errors with a stable code."""

    code = "CD-0000"
    sentence = "Something unforeseen happened."
    who = Who.DEVELOPER
    remedy = "Send the run's correlation id to the developers."

    def __init__(self, detail: str = "") -> None:
        super().__init__(f"{self.code} {detail or self.sentence}")
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Answer:
    """What is kept of a system's answer that was an error: never its text.

    status: HTTP status, None when no answer came. vendor_code: the vendor's error code. field: the column it names.
    request_id: the id under which the vendor's support finds the request.
    """

    status: int | None = None
    vendor_code: str = ""
    field: str = ""
    request_id: str = ""


class ConnectorError(CrossdockError):
    """A system did not do what it was asked; the subclasses say what that means."""

    code = "CD-1000"

    def __init__(self, system: str, answer: Answer | None = None, detail: str = "") -> None:
        self.system = system
        self.answer = answer or Answer()
        super().__init__(detail or f"{system}: {self.sentence} {_facts(self.answer)}".rstrip())

    def told_of(self, system: str) -> None:
        """Name the system as this installation does: a connector knows its kind only."""
        detail = self.detail.replace(f"{self.system}:", f"{system}:", 1)
        self.system = system
        CrossdockError.__init__(self, detail)


def _facts(answer: Answer) -> str:
    facts = {
        "status": answer.status,
        "code": answer.vendor_code,
        "field": answer.field,
        "request": answer.request_id,
    }
    return " ".join(f"{name}={value}" for name, value in facts.items() if value)


class SystemDown(ConnectorError):
    """The system could not be reached or said it is unavailable; the request was certainly not executed."""

    code = "CD-1001"
    sentence = "The system does not answer or says it is unavailable."
    who = Who.NOBODY
    remedy = "Nothing: transfers wait and go on by themselves. If it lasts, look at the system's own status page."


class SignInFailed(SystemDown):
    """Our credentials were refused, also after one fresh token; concerns every record, so the system counts as down."""

    code = "CD-1002"
    sentence = "The system refuses our sign-in."
    who = Who.ADMINISTRATOR
    remedy = "Check the secret's expiry and that the application user exists and is enabled in the system."


class Throttled(ConnectorError):
    """The system asked us to come back later; the request was not executed. `retry_after` is its wish."""

    code = "CD-1003"
    sentence = "The system asks for fewer requests."
    who = Who.NOBODY
    remedy = "Nothing: transfers wait as long as the system asks."

    def __init__(self, system: str, retry_after: timedelta, answer: Answer | None = None) -> None:
        self.retry_after = retry_after
        super().__init__(system, answer)


class UnknownResult(ConnectorError):
    """A write was sent and no usable answer came: it may or may not have been executed. Look up, never repeat
    blindly."""

    code = "CD-1004"
    sentence = "The system's answer to a write was lost."
    who = Who.NOBODY
    remedy = "Nothing: the record is looked up before anything is written again."


class VersionConflict(ConnectorError):
    """The record was changed since the version that the write named; nothing was written."""

    code = "CD-1005"
    sentence = "Somebody else changed the record in the same moment."
    who = Who.NOBODY
    remedy = "Nothing: the transfer reads both sides again."


class RecordMissing(ConnectorError):
    """The addressed record does not exist (any more); nothing was written."""

    code = "CD-1006"
    sentence = "The record does not exist any more."
    who = Who.NOBODY
    remedy = "Nothing: the definition's on_delete decides."


class AlreadyExists(ConnectorError):
    """A create met a record with the same enforced key; nothing was written."""

    code = "CD-1007"
    sentence = "A record with this key exists already."
    who = Who.RECORD_OWNER
    remedy = "Compare the two records and link or rename one."


class Refused(ConnectorError):
    """The system refuses this record for good until data, rights or settings change; nothing was written."""

    code = "CD-1008"
    sentence = "The system refuses the record."
    who = Who.RECORD_OWNER
    remedy = "Correct the named field in the source; the change is transferred by itself, or press retry."


class ManualNumbersForbidden(Refused):
    """The ERP's number series does not take numbers chosen by us."""

    code = "CD-1009"
    sentence = "The number series of the ERP does not allow manual numbers."
    who = Who.ADMINISTRATOR
    remedy = "Allow manual numbers in the series, or remove choose_key from the transfer's definition."


class NoCompanyContact(Refused):
    """A person is to hang on a customer that has no company contact, which is what a person hangs on in the ERP."""

    code = "CD-1016"
    sentence = "The customer has no company contact that the person could belong to."
    who = Who.ADMINISTRATOR
    remedy = (
        "Name a business relation code for customers in Marketing Setup and create the customer's contact (Create "
        "Contacts from Customers); a customer that is a person takes no persons."
    )


class NotSetUp(Refused):
    """A column cannot be written before a setting is there; the detail names the setting."""

    code = "CD-1017"
    sentence = "A setting that the column is written with is missing or wrong."
    who = Who.ADMINISTRATOR
    remedy = "Correct the named setting, then retry the record."


class FileUnfit(ConnectorError):
    """A file that stands in the place of a list is not there, not whole or not the one that is meant; nothing of it is
    used, and everything waits for the next one. Other lists and the system itself are not concerned."""

    code = "CD-1021"
    sentence = "A file that stands in the place of a list cannot be used."
    who = Who.ADMINISTRATOR
    remedy = (
        "Let the list be exported once more, as a whole; nothing is lost meanwhile. A file that really became that "
        "short is let through by least_share in the site's settings."
    )

    def __init__(self, system: str, file: str, why: str) -> None:
        super().__init__(system, detail=f"{system}: {file} {why}.")


class Unreadable(Refused):
    """Rows of a file cannot be read; others of it can. by_key: of each such row the column, and where and what it is,
    never its value."""

    code = "CD-1022"
    sentence = "A row of a file cannot be read."
    who = Who.RECORD_OWNER
    remedy = "Correct the named field where the file comes from; with the next file the record goes over by itself."

    def __init__(self, system: str, by_key: Mapping[str, tuple[str, str]]) -> None:
        self.by_key = by_key
        column, told = next(iter(by_key.values()))
        super().__init__(system, Answer(field=column), f"{system}: {told}")
        self.sentence = told

    def of(self, key: str) -> Unreadable:
        """The same about one of the rows."""
        return Unreadable(self.system, {key: self.by_key[key]})


class NotAllowed(Refused):
    """Our identity lacks a right for this record or table; nothing was written."""

    code = "CD-1010"
    sentence = "Our identity lacks a right in the system."
    who = Who.ADMINISTRATOR
    remedy = "Give the application user the privilege or permission set that the system's documentation names."


class DeleteNotOffered(Refused):
    """The system's interface deletes no records of this table; nothing was done."""

    code = "CD-1023"
    sentence = "The system does not let its records be deleted."
    who = Who.CONSULTANT
    remedy = "Take on_delete: delete out of the transfer, or let the system offer it; then retry the record."


class NotMastered(ConnectorError):
    """The record, or the one that it is a part of, is maintained in its own system, because it is not linked there yet
    or not any more; nothing was written."""

    code = "CD-1018"
    sentence = "The record is maintained in its own system until it is linked there."
    who = Who.NOBODY
    remedy = "Nothing: the transfer tries again. If it lasts, look whether the record's own transfer is switched on."


class FeedExpired(ConnectorError):
    """The watermark of a change feed is too old for the system; only a full walk helps."""

    code = "CD-1011"
    sentence = "The system no longer knows the watermark of the change feed."
    who = Who.NOBODY
    remedy = "Nothing: the walk starts over from the beginning."


class UnknownColumn(ConnectorError):
    """A table or column of a definition does not exist in the system."""

    code = "CD-1012"
    sentence = "The system does not know a table or column that the definition names."
    who = Who.CONSULTANT
    remedy = "Correct the name in the definition; manage.py check names what exists."


class BadAnswer(SystemDown):
    """A read was answered with something that is not what the system documents (HTML, half a body, wrong types)."""

    code = "CD-1013"
    sentence = "The system's answer could not be understood."


class SubscriptionRefused(Refused):
    """The system makes or renews no subscription of ours: it could not reach our address in time, or the table cannot
    be subscribed to."""

    code = "CD-1014"
    sentence = "The system refuses to tell us of changes."
    who = Who.ADMINISTRATOR
    remedy = (
        "Check that CROSSDOCK_PUBLIC_URL can be reached from outside and answers within seconds; "
        "walks find the changes meanwhile."
    )


class TooManySubscriptions(SubscriptionRefused):
    """The system holds as many subscriptions as it allows, of all its users together."""

    code = "CD-1015"
    sentence = "The system holds as many subscriptions as it allows."
    remedy = "End subscriptions that nobody needs any more; walks find the changes meanwhile."


class StoreUnavailable(CrossdockError):
    """Our own store did not answer; the message goes back to the queue."""

    code = "CD-2001"
    sentence = "The store of links does not answer."
    who = Who.NOBODY
    remedy = "Nothing: the message is delivered again."


class QueueUnavailable(CrossdockError):
    """Our own queue did not take a message."""

    code = "CD-2002"
    sentence = "The queue does not take messages."
    who = Who.NOBODY
    remedy = "Nothing: the sender is asked to send again."


class SignInUnavailable(CrossdockError):
    """The sign-in service's keys cannot be read, so no person's token can be checked."""

    code = "CD-2006"
    sentence = "Nobody can be signed in at the moment: the sign-in service does not answer."
    who = Who.NOBODY
    remedy = "Try again in a few minutes."


class SettingsError(CrossdockError):
    """A setting is missing or wrong; the text names it and the remedy."""

    code = "CD-3001"
    sentence = "A setting is missing or wrong."
    who = Who.ADMINISTRATOR
    remedy = "Correct the named setting."


class WrongEnvironment(SettingsError):
    """Another environment answers than the settings name, or than the links were made for; nothing was moved."""

    code = "CD-3002"
    sentence = "Another environment answers than the one the links were made for."
    remedy = "Correct the named settings, or adopt the new environment; until then changes wait."


class WrongProfile(WrongEnvironment):
    """A test database and a productive one were to exchange data; nothing was moved."""

    code = "CD-3003"
    sentence = "One of the two databases is for tests and the other one is productive."
    remedy = (
        "Nothing, if the other CRM is meant: its own transfers run. Else correct the mark of the database or the "
        "profile in the settings; until then changes wait."
    )
