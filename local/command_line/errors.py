"""What the command line itself complains of."""

from __future__ import annotations

from shared.errors import CrossdockError, Who


class WrongUsage(CrossdockError):
    """What was typed does not say what to do."""

    code = "CD-6001"
    sentence = "The command cannot be understood."
    who = Who.CALLER
    remedy = "Add --help to the command to see what it takes."


class NotConfirmed(CrossdockError):
    """A command that changes much asks before it does; nobody said yes."""

    code = "CD-6002"
    sentence = "Nobody confirmed the change, so nothing was done."
    who = Who.CALLER
    remedy = "Answer y, or add --yes where nobody can be asked."


class NothingToWorkOn(CrossdockError):
    """There are no settings of an installation and no local run."""

    code = "CD-6003"
    sentence = "There is no installation to work on: no settings, and no local run is up."
    who = Who.ADMINISTRATOR
    remedy = "Put its settings into local.settings.json (docs/reference/settings.md), or start manage.py run."
