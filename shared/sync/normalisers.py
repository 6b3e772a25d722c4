"""Normalisers, by the name that definitions use: the form in which match keys are compared. For matching only.

Systems search by equality. So a normaliser also knows the spellings under which the same thing usually stands in a
system; what is found is then compared in its plain form.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from shared.sync.arguments import COUNTRY, Argument, Told
from shared.sync.checks import fiscal_codes, telephones, vat_numbers
from shared.sync.values import Unfit

Spellings = Callable[[str, Told], Iterable[str]]


@dataclass(frozen=True)
class Normaliser:
    """plain: the form that is compared; empty where a text says nothing.

    meaning: what is compared, for people. spellings: forms under which the value may stand in a system, to search for;
    None: it cannot be searched. alike: texts may resemble each other; else they are equal or have nothing in common.
    """

    plain: Callable[[str, Told], str]
    meaning: str
    spellings: Spellings | None = None
    alike: bool = False
    takes: Mapping[str, Argument] = field(default_factory=dict)

    def search(self, text: str, told: Told) -> tuple[str, ...]:
        """The spellings to search for, the one as written first."""
        found = self.spellings(text, told) if self.spellings else ()
        return tuple(dict.fromkeys(one for one in (text.strip(), *found) if one))


# --- texts and names ------------------------------------------------------------------------------


def _text(text: str, _: Told) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).split()).casefold()


def _as_written(text: str, _: Told) -> Iterable[str]:
    return ()


_LETTERS = str.maketrans({"æ": "ae", "œ": "oe", "ø": "o", "đ": "d", "ł": "l", "ð": "d", "þ": "th"})
_FORMS = """
srl srls spa snc sas sapa ss scarl scrl soc coop cooperativa c
gmbh mbh ag kg kgaa ohg og ug eu ek eg ev co
ltd limited plc llp llc inc corp
sa sarl sasu eurl sl slu lda bv nv vof cv
ab oy oyj as asa aps sp zoo sro doo dd kft zrt nyrt ood eood sia uab ou se
"""
_LEGAL_FORMS = frozenset(_FORMS.split())
_USUAL: Mapping[str, tuple[str, ...]] = {
    "srl": ("S.r.l.", "Srl", "SRL", "S.R.L."),
    "srls": ("S.r.l.s.", "Srls", "SRLS"),
    "spa": ("S.p.A.", "SpA", "Spa", "SPA", "S.P.A."),
    "snc": ("S.n.c.", "Snc", "SNC", "S.N.C."),
    "sas": ("S.a.s.", "Sas", "SAS", "S.A.S."),
    "gmbh": ("GmbH", "GMBH", "G.m.b.H."),
    "ltd": ("Ltd", "Ltd.", "Limited", "LTD"),
    "limited": ("Ltd", "Ltd.", "Limited", "LTD"),
}


def _company_name(text: str, told: Told) -> str:
    """Words without accents, punctuation and the legal form at the end; ü is ue is u."""
    decomposed = unicodedata.normalize("NFKD", _text(text, told))
    folded = "".join(sign for sign in decomposed if not unicodedata.combining(sign)).casefold().translate(_LETTERS)
    folded = re.sub(r"(?<=\b\w)\.(?=\w\b)", "", folded)
    words = _settled(" ".join(re.findall(r"[^\W_]+", folded))).split()
    while len(words) > 1 and words[-1] in _LEGAL_FORMS:
        words.pop()
    return " ".join(words)


def _settled(words: str) -> str:
    """`s r l` becomes one word, as S.r.l. does, and ue becomes u; each may make room for the other."""
    while True:
        joined = re.sub(r"(?<=\b\w) (?=\w\b)", "", words)
        folded = re.sub(r"([aou])e+", r"\1", joined)
        if folded == words:
            return words
        words = folded


def _company_spellings(text: str, told: Told) -> Iterable[str]:
    """In capitals, without the legal form, and with the usual spellings of that form."""
    words = text.split()
    stem = list(words)
    while len(stem) > 1 and _compact(stem[-1]) in {*_LEGAL_FORMS, ""}:
        stem.pop()
    name, form = " ".join(stem), _compact("".join(words[len(stem) :]))
    usual = [f"{name} {spelling}" for spelling in _USUAL.get(form, ())]
    return (" ".join(words), name, *usual, text.strip().upper(), name.upper())


def _compact(word: str) -> str:
    return re.sub(r"[\W_]", "", word).casefold()


# --- numbers and codes ----------------------------------------------------------------------------


def _vat_number(text: str, _: Told) -> str:
    return vat_numbers.parts(vat_numbers.plain(text))[1]


def _vat_spellings(text: str, told: Told) -> Iterable[str]:
    prefix, number = vat_numbers.parts(vat_numbers.plain(text))
    prefix = prefix or vat_numbers.prefix_of_country(told.get("country", "")) or "IT"
    return (number, prefix + number, f"{prefix} {number}")


def _fiscal_code(text: str, _: Told) -> str:
    return fiscal_codes.plain(text)


def _fiscal_spellings(text: str, told: Told) -> Iterable[str]:
    return (_fiscal_code(text, told),)


def _postcode(text: str, _: Told) -> str:
    return re.sub(r"[^0-9A-Z]", "", re.sub(r"^\s*[A-Z]{1,3}-(?=[0-9])", "", text.upper()))


def _postcode_spellings(text: str, told: Told) -> Iterable[str]:
    return (_postcode(text, told),)


def _phone(text: str, told: Told) -> str:
    """The international form; of a number that has none, its digits."""
    digits = re.sub(r"[^0-9]", "", text)
    for written in (text, digits):
        with suppress(Unfit):
            return telephones.e164(written, told.get("country", ""))
    return digits


def _phone_spellings(text: str, told: Told) -> Iterable[str]:
    number = _phone(text, told)
    return (number, *telephones.spellings(number)) if number.startswith("+") else (number,)


# --- addresses ------------------------------------------------------------------------------------


def _email(text: str, _: Told) -> str:
    return text.partition(";")[0].strip().casefold()


def _email_spellings(text: str, told: Told) -> Iterable[str]:
    return (text.partition(";")[0].strip(), _email(text, told))


_EVERYBODY = """
gmail.com googlemail.com outlook.com hotmail.com hotmail.it hotmail.de live.com live.it msn.com yahoo.com yahoo.it
yahoo.de icloud.com me.com aol.com libero.it virgilio.it tiscali.it tiscalinet.it alice.it tin.it inwind.it iol.it
fastwebnet.it gmx.net gmx.de gmx.at gmx.com web.de t-online.de freenet.de bluewin.ch orange.fr wanadoo.fr free.fr
laposte.net proton.me protonmail.com pec.it legalmail.it arubapec.it postecert.it
"""
_SHARED_DOMAINS = frozenset(_EVERYBODY.split())


def _email_domain(text: str, told: Told) -> str:
    """Empty for the domains where everybody may have an address: they say nothing about the company."""
    domain = _email(text, told).rpartition("@")[2].strip()
    return "" if domain in _SHARED_DOMAINS else domain


NORMALISERS: Mapping[str, Normaliser] = {
    "text": Normaliser(_text, "without surplus blanks and capitals", _as_written, alike=True),
    "vat_number": Normaliser(
        _vat_number,
        "letters and digits, without the country's prefix; searched as written, plain and with the prefix",
        _vat_spellings,
        takes=COUNTRY,
    ),
    "fiscal_code": Normaliser(_fiscal_code, "letters and digits", _fiscal_spellings),
    "company_name": Normaliser(
        _company_name,
        "words without accents, punctuation and the legal form at the end; searched as written, in capitals, without "
        "the form and with its usual spellings",
        _company_spellings,
        alike=True,
    ),
    "email": Normaliser(_email, "the first address, without capitals", _email_spellings),
    "email_domain": Normaliser(
        _email_domain, "what follows the @, but for domains where everybody may have an address; cannot be searched"
    ),
    "phone": Normaliser(
        _phone,
        "the international form; searched as written, in it and in the usual national and international spellings",
        _phone_spellings,
        takes=COUNTRY,
    ),
    "postcode": Normaliser(
        _postcode, "letters and digits, without a country's letters before them", _postcode_spellings
    ),
}
