"""What a person reads when a record is parked: code, sentence, who can mend it and the first thing to do.

Codes CD-40xx concern a value, CD-42xx and CD-43xx the partner, CD-44xx the run. `docs/errors.md` is generated from
here and from the error classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from shared.errors import Who


@dataclass(frozen=True, slots=True)
class Catalogued:
    """One entry of the catalogue."""

    sentence: str
    who: Who
    remedy: str


PROBLEMS: Mapping[str, Catalogued] = {
    "CD-4001": Catalogued(
        "The value is not in the rule's table of values.",
        Who.CONSULTANT,
        "Add the value to values: in the definition, or correct it in the source.",
    ),
    "CD-4002": Catalogued(
        "The converter 'not' met a value that is neither yes nor no.",
        Who.CONSULTANT,
        "Use the converter on yes/no columns only.",
    ),
    "CD-4003": Catalogued(
        "A telephone number contains letters.",
        Who.RECORD_OWNER,
        "Write the number with digits, blanks, + - ( ) / only.",
    ),
    "CD-4004": Catalogued(
        "A text is not an e-mail address.", Who.RECORD_OWNER, "Correct the address; several are separated by ;."
    ),
    "CD-4005": Catalogued("A VAT number is not valid.", Who.RECORD_OWNER, "Correct the number in its master."),
    "CD-4006": Catalogued("An amount is negative.", Who.RECORD_OWNER, "Correct the amount."),
    "CD-4007": Catalogued(
        "A text is longer than the target allows.",
        Who.RECORD_OWNER,
        "Shorten it, or let the definition say too_long: cut.",
    ),
    "CD-4008": Catalogued(
        "The system refuses the value of this field.",
        Who.RECORD_OWNER,
        "Correct the value in its master; the other fields have been transferred.",
    ),
    "CD-4009": Catalogued(
        "A converter met a value that it cannot turn over and back.",
        Who.RECORD_OWNER,
        "Correct the value in its master; if it is right, the definition needs another converter.",
    ),
    "CD-4010": Catalogued(
        "A field without a single master was changed on both sides.",
        Who.RECORD_OWNER,
        "Make both sides hold the same value.",
    ),
    "CD-4011": Catalogued(
        "A field is changed again and again where it is not mastered; it was put back several times today.",
        Who.ADMINISTRATOR,
        "Find who changes it there (a person, a flow, another integration), or change the field's master.",
    ),
    "CD-4020": Catalogued(
        "The record lacks values without which it is not passed on.",
        Who.RECORD_OWNER,
        "Fill in the named fields; the record then goes over by itself.",
    ),
    "CD-4021": Catalogued(
        "Who changed the record last is not known in the other system, or not clearly.",
        Who.ADMINISTRATOR,
        "Give the user there the same number or name, or link both by hand; the field then goes over by itself. The "
        "other fields have been transferred.",
    ),
    "CD-4022": Catalogued(
        "A setting that the field is written with is missing or wrong.",
        Who.ADMINISTRATOR,
        "Correct the named setting, then retry the record; the other fields have been transferred.",
    ),
    "CD-4031": Catalogued(
        "A fiscal code (codice fiscale) is not valid.", Who.RECORD_OWNER, "Correct the code in its master."
    ),
    "CD-4032": Catalogued(
        "The recipient code for electronic invoices has the wrong form.",
        Who.RECORD_OWNER,
        "Ask the recipient for the code: six characters for a public office, else seven.",
    ),
    "CD-4033": Catalogued(
        "A recipient without a code (0000000) has no certified mail address (PEC).",
        Who.RECORD_OWNER,
        "Enter the certified mail address, or the recipient's own code.",
    ),
    "CD-4034": Catalogued(
        "A post code does not fit the record's country.", Who.RECORD_OWNER, "Correct the post code or the country."
    ),
    "CD-4035": Catalogued(
        "An Italian province does not exist.", Who.RECORD_OWNER, "Write the two letters of the province."
    ),
    "CD-4036": Catalogued(
        "A country is not known.", Who.RECORD_OWNER, "Write its ISO code of two letters, or its usual name."
    ),
    "CD-4037": Catalogued("A text is not a web address.", Who.RECORD_OWNER, "Correct the address, or leave it empty."),
    "CD-4038": Catalogued(
        "A telephone number cannot be dialled.",
        Who.RECORD_OWNER,
        "Write one number with its area code, from abroad with + and the country's code.",
    ),
    "CD-4201": Catalogued(
        "It is not certain whether the partner was created: a similar record exists.",
        Who.RECORD_OWNER,
        "Compare the named records; link them, or delete the surplus one and press retry.",
    ),
    "CD-4202": Catalogued(
        "The numbers we choose are already taken by other records.",
        Who.ADMINISTRATOR,
        "Choose another prefix, or raise our counter above the highest number in use.",
    ),
    "CD-4301": Catalogued(
        "Several records could be the partner.", Who.RECORD_OWNER, "Choose one of the named records and link it."
    ),
    "CD-4302": Catalogued(
        "The matching record is already linked to another one: two records stand for one company.",
        Who.RECORD_OWNER,
        "Merge the duplicates, or correct the natural key of one of them.",
    ),
    "CD-4303": Catalogued(
        "A record with the same name and place exists; it may be the partner.",
        Who.RECORD_OWNER,
        "Link the two, or make them differ and press retry.",
    ),
    "CD-4304": Catalogued(
        "The matching record was unlinked by a person or by a delete.",
        Who.RECORD_OWNER,
        "Link the two by hand if they belong together.",
    ),
    "CD-4305": Catalogued(
        "The record that was chosen by hand does not exist any more.",
        Who.RECORD_OWNER,
        "Choose another record, or press retry to let matching look for one.",
    ),
    "CD-4306": Catalogued(
        "The record was deleted, or counts as deleted, although it is linked; nothing was done to its partner.",
        Who.RECORD_OWNER,
        "Restore the record, or undo the link and decide what becomes of the partner; then press retry.",
    ),
    "CD-4307": Catalogued(
        "Two records were merged, and each is linked to a partner of its own; nothing was done.",
        Who.RECORD_OWNER,
        "Merge the two partners as well, or undo the link of the merged record; then press retry.",
    ),
    "CD-4308": Catalogued(
        "The record was merged into one that cannot take its link over: it is gone, or the two were kept apart.",
        Who.RECORD_OWNER,
        "Link the partner to the right record by hand, or undo the link of the merged one; then press retry.",
    ),
    "CD-4401": Catalogued(
        "The record could not be transferred for days although every try failed for a passing reason.",
        Who.ADMINISTRATOR,
        "Look at the journal of the record and at the systems' health, then press retry.",
    ),
    "CD-4402": Catalogued(
        "The transfer failed again and again with an unforeseen error.",
        Who.DEVELOPER,
        "Send the correlation id to the developers; press retry after a mend.",
    ),
    "CD-4403": Catalogued(
        "The queue gave a message up.",
        Who.DEVELOPER,
        "Press retry; if it comes back, send the correlation id to the developers.",
    ),
    "CD-4411": Catalogued(
        "A brake has stopped the transfer: it would create more records within an hour than its definition allows.",
        Who.ADMINISTRATOR,
        "Look at what was created and what waits. If it is right, switch the transfer on; what waits then goes on.",
    ),
    "CD-4412": Catalogued(
        "A brake has stopped the transfer: it would change more records within an hour than its definition allows.",
        Who.ADMINISTRATOR,
        "Look at what was changed and what waits. If it is right, switch the transfer on; what waits then goes on.",
    ),
    "CD-4413": Catalogued(
        "A brake has stopped the transfer: it would empty more fields within an hour than its definition allows.",
        Who.ADMINISTRATOR,
        "Find out why the source's fields are empty. If it is right, switch the transfer on; what waits then goes on.",
    ),
    "CD-4414": Catalogued(
        "A brake has stopped the transfer: more records were found deleted within an hour than its definition allows.",
        Who.ADMINISTRATOR,
        "Find out why they are gone: deleted in bulk, or merely out of our application user's sight? Restore them, or "
        "switch the transfer on if it is right; what waits then goes on, and what is back is left alone.",
    ),
    "CD-4415": Catalogued(
        "A brake has stopped the transfer: most rows of a day have vanished from the source at once.",
        Who.ADMINISTRATOR,
        "Find out why the source tells of so few: a restored or empty database, a wrong address, a filter? If it is "
        "right, switch the transfer on; for an hour such days then pass.",
    ),
}
