"""Converters, by the name that definitions use: pure functions from the left side's value to the right's, and back.

`back(forth(x))` equals `x` up to the converter's normal form; tests/unit holds every converter to that. A value that
cannot be converted raises `Unfit`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from html import unescape

from shared.sync.arguments import COUNTRY, Argument, Told
from shared.sync.checks import countries, telephones, vat_numbers
from shared.sync.ports import Value
from shared.sync.values import Unfit, canonical, is_blank


@dataclass(frozen=True, slots=True)
class Given:
    """What a rule gives its converter besides the value: the table values: and the arguments."""

    values: Mapping[str, str] = field(default_factory=dict)
    told: Told = field(default_factory=dict)


Function = Callable[[Value, Given], Value]


@dataclass(frozen=True)
class Converter:
    """Two pure functions, and a sentence for the mapping sheet.

    takes: the arguments it may be told. table: it needs values:. longest: how long the right side's text can get.
    """

    forth: Function
    back: Function
    meaning: str
    takes: Mapping[str, Argument] = field(default_factory=dict)
    table: bool = False
    longest: int | None = None


def _tidying(
    meaning: str, tidy: Function, takes: Mapping[str, Argument] | None = None, longest: int | None = None
) -> Converter:
    """A converter that does the same both ways: both sides hold the tidy form."""
    return Converter(tidy, tidy, meaning, takes or {}, longest=longest)


def _same(value: Value, _: Given) -> Value:
    return value


def _on_texts(change: Callable[[str, Given], str]) -> Function:
    """A function of texts; other values stay, and nothing left is no value."""

    def changed(value: Value, given: Given) -> Value:
        return change(value, given) or None if isinstance(value, str) else value

    return changed


# --- texts ----------------------------------------------------------------------------------------


def _trimmed(text: str, _: Given) -> str:
    return " ".join(text.split())


def _upper(text: str, _: Given) -> str:
    return text.strip().upper()


def _lower(text: str, _: Given) -> str:
    return text.strip().lower()


def _title(text: str, _: Given) -> str:
    """Every word with one capital; a few letters of Unicode need a second look."""
    for _round in range(4):
        text = re.sub(r"[^\W\d_]+", lambda word: word[0][:1].upper() + word[0][1:].lower(), text.strip())
    return text


def _alphanumeric(text: str, _: Given) -> str:
    return "".join(sign for sign in text if sign.isalnum())


def _replaced(text: str, table: Mapping[str, str]) -> str:
    places = "|".join(re.escape(part) for part in sorted(table, key=len, reverse=True))
    return re.sub(places, lambda found: table[found[0]], text)


def _replacing(text: str, table: Mapping[str, str]) -> str:
    """The text with every part replaced, provided that replacing back gives the text again."""
    other = _replaced(text, table)
    if _replaced(other, {right: left for left, right in table.items()}) != text:
        raise Unfit("CD-4009", "replaced by the rule's table values: it could not be told from another text")
    return other


def _replaced_forth(text: str, given: Given) -> str:
    return _replacing(text, given.values)


def _replaced_back(text: str, given: Given) -> str:
    return _replacing(text, {right: left for left, right in given.values.items()})


_LINE_ENDS = re.compile(r"<(?:br|/p|/div|/li|/tr|/h[1-6])(?:\s[^<>]*)?/?>", re.IGNORECASE)
_UNSEEN = re.compile(r"<(style|script)\b[^<>]*>.*?</\1\s*>|<!--.*?-->", re.IGNORECASE | re.DOTALL)
_TAG = re.compile(r"</?[a-zA-Z][^<>]*>|<!--.*?-->", re.DOTALL)


def _plain_text(text: str, _: Given) -> str:
    """What a person sees of a formatted text; one without tags stays as it is."""
    while _TAG.search(text):  # what was written as &lt;b&gt; looks like a tag afterwards; each round is shorter
        shown = _TAG.sub("", _LINE_ENDS.sub("\n", _UNSEEN.sub("", text)))
        lines = (" ".join(line.split()) for line in unescape(shown).split("\n"))
        text = re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()
    return text


# --- tables, yes and no ---------------------------------------------------------------------------


def _looked_up(value: Value, values: Mapping[str, str]) -> Value:
    text = canonical(value)
    if text is None:
        return None
    if text not in values:
        raise Unfit("CD-4001", "the value is not in the rule's table values:; add it there")
    return values[text]


def _values_forth(value: Value, given: Given) -> Value:
    return _looked_up(value, given.values)


def _values_back(value: Value, given: Given) -> Value:
    return _looked_up(value, {right: left for left, right in given.values.items()})


def _negated(value: Value, _: Given) -> Value:
    if is_blank(value):
        return None
    if not isinstance(value, bool):
        raise Unfit("CD-4002", "the converter 'not' takes yes/no columns only")
    return not value


# --- numbers and times ----------------------------------------------------------------------------


def _rounded(value: Value, given: Given) -> Value:
    """Half a unit goes away from zero, as people round."""
    text = canonical(value)
    if text is None:
        return None
    try:
        step = Decimal(1).scaleb(-int(given.told["decimals"]))
        rounded = Decimal("" if isinstance(value, bool) else text).quantize(step, ROUND_HALF_UP)
    except InvalidOperation:
        raise Unfit("CD-4009", "the converter 'round' takes numbers only") from None
    return canonical(rounded) if isinstance(value, str) else rounded


def _date_of(value: Value, _: Given) -> Value:
    return value.astimezone(UTC).date() if isinstance(value, datetime) else value


def _midnight(value: Value, _: Given) -> Value:
    if isinstance(value, date) and not isinstance(value, datetime):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    return value


_PARTS = {"dd": r"(?P<day>[0-9]{2})", "MM": r"(?P<month>[0-9]{2})", "yyyy": r"(?P<year>[0-9]{4})"}


def _date_text(value: Value, given: Given) -> Value:
    """A day as text of the given form, a text of that form as the day."""
    form, day = given.told["form"], _date_of(value, given)
    if isinstance(day, date):
        text = form.replace("dd", f"{day.day:02d}").replace("MM", f"{day.month:02d}")
        return text.replace("yyyy", f"{day.year:04d}")
    if day is None or day == "":
        return None
    pattern = re.sub("dd|MM|yyyy", lambda part: _PARTS[part[0]], re.escape(form))
    found = re.fullmatch(pattern, day) if isinstance(day, str) else None
    try:
        return date(**{name: int(digits) for name, digits in found.groupdict().items()}) if found else _no_day()
    except ValueError:
        return _no_day()


def _no_day() -> Value:
    raise Unfit("CD-4009", "it is no day of the form that the rule names")


_DIGITS = re.compile(r"-?[0-9]{1,18}")


def _digits(value: Value, _: Given) -> Value:
    """A whole number as its digits, and digits as the number."""
    text = canonical(value)
    if text is None:
        return None
    if isinstance(value, bool) or not _DIGITS.fullmatch(text):
        raise Unfit("CD-4009", "it is no whole number")
    return int(text) if isinstance(value, str) else text


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _unix_time(value: Value, _: Given) -> Value:
    """A moment as whole seconds since 1970, a number of seconds as the moment."""
    if isinstance(value, datetime):
        return (value - _EPOCH) // timedelta(seconds=1)
    text = canonical(value)
    if text is None:
        return None
    try:
        return _EPOCH + timedelta(seconds=int("" if isinstance(value, bool | date) else text))
    except (ValueError, OverflowError):
        raise Unfit("CD-4009", "it is neither a moment nor a whole number of seconds") from None


# --- kinds of data --------------------------------------------------------------------------------


def _phone_e164(text: str, given: Given) -> str:
    return telephones.e164(text, given.told.get("country", "")) if text.strip() else ""


def _country_code(text: str, _: Given) -> str:
    code = countries.code_of(text) if text.strip() else ""
    if code is None:
        raise Unfit("CD-4036", "it is neither an ISO code nor a name that is known for a country")
    return code


def _country_name(text: str, given: Given) -> str:
    code, language = _country_code(text, given), given.told.get("names", "")
    return countries.name_of(code, language) if code and language else code


def _vat_forth(text: str, given: Given) -> str:
    return _vat_number(text, given.told, prefixed=given.told.get("prefixed") in {"right", "both"})


def _vat_back(text: str, given: Given) -> str:
    return _vat_number(text, given.told, prefixed=given.told.get("prefixed") in {"left", "both"})


def _vat_number(text: str, told: Told, *, prefixed: bool) -> str:
    """With the prefix or without; where one side has prefixes, only one that can be restored is left out."""
    prefix, number = vat_numbers.parts(vat_numbers.plain(text))
    if "prefixed" not in told:
        return number
    home = vat_numbers.prefix_of_country(told.get("country", ""))
    if prefixed:
        return vat_numbers.joined(prefix or home, number)
    return number if prefix in {"", home} else prefix + number


_DECIMALS = Argument("[0-9]", "one digit", required=True)
_FORM = Argument(
    "(?=.*dd)(?=.*MM)(?=.*yyyy)(dd|MM|yyyy)[./-]?(dd|MM|yyyy)[./-]?(dd|MM|yyyy)",
    "dd, MM and yyyy, each once, with . - / or nothing between",
    required=True,
)

CONVERTERS: Mapping[str, Converter] = {
    "same": _tidying("unchanged", _same),
    "trim": _tidying("without surplus blanks", _on_texts(_trimmed)),
    "upper": _tidying("in capitals", _on_texts(_upper)),
    "lower": _tidying("in small letters", _on_texts(_lower)),
    "title": _tidying("every word with one capital", _on_texts(_title)),
    "alphanumeric": _tidying("letters and digits only", _on_texts(_alphanumeric)),
    "replace": Converter(
        _on_texts(_replaced_forth),
        _on_texts(_replaced_back),
        "with parts of the text replaced by the table of values, where that can be undone",
        table=True,
    ),
    "plain_text": _tidying("a formatted text (HTML) without its tags", _on_texts(_plain_text)),
    "values": Converter(_values_forth, _values_back, "by the table of values", table=True),
    "not": _tidying("yes becomes no and no becomes yes", _negated),
    "round": _tidying(
        "rounded, half away from zero", _rounded, {"decimals": Argument("[0-9]", "one digit", required=True)}
    ),
    "digits": _tidying("a whole number becomes text, and text of digits a whole number", _digits, longest=19),
    "date": Converter(_date_of, _midnight, "the day without the time (UTC)"),
    "date_text": _tidying("a day becomes text, and text of that form a day", _date_text, {"form": _FORM}, 10),
    "unix_time": _tidying("a moment becomes seconds since 1970 (UTC), and seconds a moment", _unix_time),
    "phone_e164": _tidying(
        "the number in international form, such as +390471123456", _on_texts(_phone_e164), COUNTRY, 16
    ),
    "country_code": Converter(
        _on_texts(_country_code),
        _on_texts(_country_name),
        "a country's name or code becomes its ISO code, and the code stays or becomes a name",
        {"names": Argument("|".join(countries.LANGUAGES), f"one of {', '.join(countries.LANGUAGES)}")},
        longest=2,
    ),
    "vat_number": Converter(
        _on_texts(_vat_forth),
        _on_texts(_vat_back),
        "the plain VAT number, without country prefix or with it on one or both sides",
        {"prefixed": Argument("left|right|both", "left, right or both"), **COUNTRY},
    ),
}
