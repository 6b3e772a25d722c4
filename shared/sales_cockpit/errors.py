"""What can go wrong while a user of the Sales Cockpit waits."""

from __future__ import annotations

from shared.errors import Who
from shared.routes import RequestError


class CockpitRefusal(RequestError):
    """What the Sales Cockpit's routes refuse; docs/systems/sales_cockpit.md lists them."""


class NotVisible(CockpitRefusal):
    """The opportunity does not exist, or the user may not see it: he is not told which."""

    code = "CD-7001"
    sentence = "There is no such opportunity that this user may see."
    who = Who.ADMINISTRATOR
    remedy = "Open the opportunity in Dynamics first; ask your administrator for access if it is missing there, too."
    status = 404


class EmbedDisabled(CockpitRefusal):
    """The tab inside the opportunity is not configured."""

    code = "CD-7002"
    sentence = "Showing the Cockpit inside the opportunity is not switched on."
    who = Who.ADMINISTRATOR
    remedy = "Open it in a tab of its own, or set CROSSDOCK_SALES_COCKPIT_EMBED to on."
    status = 403


class OpportunityClosed(CockpitRefusal):
    """A won or lost opportunity takes no evaluations and gets no project."""

    code = "CD-7003"
    sentence = "The opportunity is closed."
    who = Who.NOBODY
    remedy = "Reopen it in Dynamics if it goes on."
    status = 409


class OutOfRange(CockpitRefusal):
    """A result that the column it is mapped to cannot take."""

    code = "CD-7004"
    sentence = "The evaluation holds a value that its column cannot take."
    who = Who.ADMINISTRATOR
    remedy = "Compare the named result with the column that CROSSDOCK_SALES_COCKPIT_RESULTS gives it."
    status = 422


class UnknownSolution(CockpitRefusal):
    """The Cockpit knows no solution of this id."""

    code = "CD-7005"
    sentence = "The Cockpit has no such solution."
    who = Who.ADMINISTRATOR
    remedy = "Correct the solution in the button's address, or leave it out."
    status = 422


class CockpitUnavailable(CockpitRefusal):
    """The Cockpit does not answer, or not as agreed."""

    code = "CD-7006"
    sentence = "The Cockpit cannot be reached at the moment."
    who = Who.NOBODY
    remedy = "Try again in a few minutes; nothing was lost."
    status = 502


class CrmUnavailable(CockpitRefusal):
    """Dynamics does not answer in time."""

    code = "CD-7007"
    sentence = "Dynamics cannot be reached at the moment."
    who = Who.NOBODY
    remedy = "Try again in a few minutes; nothing was lost."
    status = 502


class SignInAgain(CockpitRefusal):
    """The sign-in service wants the user himself: his token has ended, or a further proof is asked of him."""

    code = "CD-7008"
    sentence = "The sign-in has ended or is not enough for Dynamics."
    who = Who.NOBODY
    remedy = "Sign in again."
    status = 401

    def __init__(self, vendor_code: str = "") -> None:
        super().__init__(_with_code(self.sentence, vendor_code))


class NotSetUp(CockpitRefusal):
    """Our application may not act for users: the administrator has something to do. Told with the sign-in's code."""

    code = "CD-7010"
    sentence = "Crossdock may not act for the signed-in user."
    who = Who.ADMINISTRATOR
    remedy = "Follow docs/how-to/sales-cockpit.md, step by step; the code says what is missing."
    status = 502

    def __init__(self, vendor_code: str = "") -> None:
        super().__init__(_with_code(self.sentence, vendor_code))


class NotWritten(CockpitRefusal):
    """Why an evaluation is not written: told to the Cockpit's program, or to the journal, and never on a page."""

    def __init__(self, vendor_code: str = "", field: str = "") -> None:
        super().__init__(_with_code(self.sentence, vendor_code), field)


class MayNotChange(NotWritten):
    """The user sees the opportunity and may not change it, or not that column of it."""

    code = "CD-7011"
    sentence = "The user may not change the opportunity."
    who = Who.ADMINISTRATOR
    remedy = "Give the user the right to change it in Dynamics, or let somebody rate it who has it."
    status = 403


class EvaluationRefused(NotWritten):
    """Dynamics refuses the values: a rule, a plug-in, or a limit that its metadata do not tell."""

    code = "CD-7012"
    sentence = "Dynamics refuses the evaluation."
    who = Who.ADMINISTRATOR
    remedy = "Look in Dynamics which rule of the opportunity stands in the way; the code is Dynamics' own."
    status = 422


class NotTheRater(NotWritten):
    """An evaluation is told by who made it, and by nobody else."""

    code = "CD-7013"
    sentence = "The evaluation was made by another user than the one who is signed in."
    who = Who.DEVELOPER
    remedy = "The Cockpit has to send an evaluation with the sign-in of the person whose id stands in evaluatedBy."
    status = 403


class EvaluationMissing(NotWritten):
    """An evaluation that waits for Dynamics is looked up in the Cockpit, which does not tell of it (any more)."""

    code = "CD-7014"
    sentence = "The Cockpit does not tell of the evaluation."
    who = Who.NOBODY
    remedy = "Nothing, if it was deleted in the Cockpit; else rate once more."
    status = 404


def _with_code(sentence: str, vendor_code: str) -> str:
    return f"{sentence} ({vendor_code})" if vendor_code else sentence
