"""What checking a definition against the systems finds: code, how bad, where, a sentence, and what to do.

`docs/errors.md` has a page section for each code, generated from `FINDINGS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from shared.errors import Who
from shared.sync.problems import Catalogued


class Severity(StrEnum):
    """wrong: records cannot be transferred as the definition says. warning: some cannot, or not for long. note: worth
    knowing."""

    WRONG = "wrong"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found. file and line: of the definition; column: with its table and system, if it is one."""

    code: str
    severity: Severity
    file: str
    line: int
    sentence: str
    remedy: str
    column: str = ""

    @property
    def needs_somebody(self) -> bool:
        """Whether it is more than worth knowing."""
        return self.severity is not Severity.NOTE

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.severity.value} {self.code}: {self.sentence}"


FINDINGS: Mapping[str, Catalogued] = {
    "CD-4601": Catalogued("A system has no such table.", Who.CONSULTANT, "Correct the table's name in the definition."),
    "CD-4602": Catalogued(
        "A table has no such column.",
        Who.CONSULTANT,
        "Correct the name in the definition, or make the column; in Dataverse manage.py register --columns does.",
    ),
    "CD-4603": Catalogued(
        "The types of the two columns cannot correspond.",
        Who.CONSULTANT,
        "Name another column, or a converter that leads from the one type to the other.",
    ),
    "CD-4604": Catalogued(
        "A key of one system means nothing in the other.",
        Who.CONSULTANT,
        "Say reference: with the pair whose links translate the key, or name a column behind the reference.",
    ),
    "CD-4605": Catalogued(
        "A text may be longer than the target's column allows.",
        Who.CONSULTANT,
        "Say too_long: cut, or too_long: park to leave such records to a person.",
    ),
    "CD-4606": Catalogued(
        "A value that the definition names is none of the column's choices.",
        Who.CONSULTANT,
        "Correct the value in the definition, or add the choice to the column.",
    ),
    "CD-4607": Catalogued(
        "A choice has no entry in the table of values; records with it are parked.",
        Who.CONSULTANT,
        "Add the choice to values: in the definition.",
    ),
    "CD-4608": Catalogued(
        "The column that is to be written is read-only.",
        Who.CONSULTANT,
        "Give the field to the other master, or name another column.",
    ),
    "CD-4609": Catalogued(
        "The column can be written at a create only, not later.",
        Who.CONSULTANT,
        "Let the field's master be the column's own system once the records are linked.",
    ),
    "CD-4610": Catalogued(
        "The column that holds the partner's unique number is not kept unique.",
        Who.ADMINISTRATOR,
        "Let manage.py register make the alternate key; if its index failed, remove the duplicates first.",
    ),
    "CD-4611": Catalogued(
        "Change tracking is off for a table that is walked.",
        Who.ADMINISTRATOR,
        "Switch it on, or let manage.py register do it.",
    ),
    "CD-4612": Catalogued(
        "Column security denies our identity a column.",
        Who.ADMINISTRATOR,
        "Add the application user to a column security profile that allows it.",
    ),
    "CD-4613": Catalogued(
        "Our identity lacks a right on a table, or has it for some records only.",
        Who.ADMINISTRATOR,
        "Give the application user a role with the privilege at the level of the organisation.",
    ),
    "CD-4614": Catalogued(
        "The system does not tell of changes of a table.",
        Who.CONSULTANT,
        "Say walk: for the transfer, so that its changes are found.",
    ),
    "CD-4615": Catalogued(
        "Whether the number series takes numbers of ours cannot be read.",
        Who.ADMINISTRATOR,
        "Allow manual numbers in the series; the first record that is created shows whether it does.",
    ),
    "CD-4616": Catalogued(
        "A column that the system requires is filled by no line.",
        Who.CONSULTANT,
        "Add a line that fills it, or give the column a default.",
    ),
    "CD-4617": Catalogued(
        "The table's metadata has changed since it was last looked at.",
        Who.CONSULTANT,
        "Look at the definition's line; manage.py check says whether it still fits.",
    ),
    "CD-4618": Catalogued(
        "Rows cannot be derived here: they are not kept by days, or their keys and deletes are not ours.",
        Who.CONSULTANT,
        "Name a column of days on both sides, and a table of Dataverse as the target.",
    ),
    "CD-4619": Catalogued(
        "The records of a table cannot be deleted, but on_delete says so.",
        Who.CONSULTANT,
        "Say on_delete: unlink, or set values that mark the record as no longer used.",
    ),
    "CD-4620": Catalogued(
        "A table or column that is declared as ours is not there yet.",
        Who.ADMINISTRATOR,
        "Run manage.py register --apply, which makes it.",
    ),
    "CD-4621": Catalogued(
        "A column that is declared as ours is there, but does not hold what it is declared for.",
        Who.CONSULTANT,
        "Change the column in the system (a longer text, the missing choice), or declare it under another name.",
    ),
    "CD-4622": Catalogued(
        "The system whose data count for a check answers none.",
        Who.CONSULTANT,
        "Name in the setting a system of CROSSDOCK_SYSTEMS that has a part in the file with checks:, or add the part.",
    ),
}
