"""Route templates of HTTP functions, as ASP.NET Core reads them.

Facts from Microsoft Learn, 'Azure Functions HTTP trigger' (customize the HTTP endpoint) and 'Routing in ASP.NET Core'
(templates, constraints, precedence): literals ignore case, a slash at the end does not matter, of several fitting
templates the more specific one wins, and an encoded slash (%2F) stays encoded inside a value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import unquote

_GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{32}", re.IGNORECASE)
_NUMBER = re.compile(r"[+-]?\d+")

_Check = Callable[[str], bool]


class BadRoute(ValueError):
    """The text is no route template that this host reads; the message says why."""


def _within(low: int, high: int) -> _Check:
    return lambda value: _NUMBER.fullmatch(value) is not None and low <= int(value) <= high


_PLAIN: Mapping[str, _Check] = {
    "guid": lambda value: _GUID.fullmatch(value) is not None,
    "int": _within(-(2**31), 2**31 - 1),
    "long": _within(-(2**63), 2**63 - 1),
    "bool": lambda value: value.lower() in ("true", "false"),
    "alpha": lambda value: re.fullmatch(r"[A-Za-z]*", value) is not None,
    "required": lambda value: value != "",
}

_WITH_NUMBERS: Mapping[str, Callable[..., _Check]] = {
    "minlength": lambda low: lambda value: len(value) >= low,
    "maxlength": lambda high: lambda value: len(value) <= high,
    "length": lambda low, high=None: lambda value: low <= len(value) <= (low if high is None else high),
    "min": lambda low: _within(low, 2**63 - 1),
    "max": lambda high: _within(-(2**63), high),
    "range": _within,
}


@dataclass(frozen=True, slots=True)
class _Segment:
    """One part between slashes: a literal (lower case), or a parameter with its checks."""

    literal: str = ""
    parameter: str = ""
    checks: tuple[_Check, ...] = ()
    optional: bool = False
    rest: bool = False

    @property
    def rank(self) -> int:
        """How specific it is; the smaller the more."""
        if not self.parameter:
            return 1
        return (4 if self.rest else 2) + (0 if self.checks else 1)


@dataclass(frozen=True, slots=True)
class Template:
    """A template that was read."""

    text: str
    segments: tuple[_Segment, ...]

    @property
    def precedence(self) -> tuple[int, ...]:
        """What templates are sorted by, so that the most specific one that fits comes first."""
        return tuple(segment.rank for segment in self.segments)

    @property
    def shape(self) -> str:
        """The same for two templates that fit the same addresses."""
        return "/".join(part.literal or ("{*}" if part.rest else "{}") for part in self.segments)

    def match(self, parts: tuple[str, ...]) -> dict[str, str] | None:
        """Return the values of the parameters, or None where the address does not fit.

        Optional and catch-all parameters that are absent are left out, as the platform hands them over.
        """
        values: dict[str, str] = {}
        for place, segment in enumerate(self.segments):
            if segment.rest:
                return _take(values, segment, "/".join(parts[place:]))
            if place >= len(parts):
                if segment.optional:
                    return values
                return None
            if segment.parameter:
                if _take(values, segment, parts[place]) is None:
                    return None
            elif segment.literal != parts[place].lower():
                return None
        return values if len(parts) <= len(self.segments) else None


def _take(values: dict[str, str], segment: _Segment, value: str) -> dict[str, str] | None:
    if value == "":
        return values if segment.rest else None
    if not all(check(value) for check in segment.checks):
        return None
    values[segment.parameter] = value
    return values


def split_path(raw_path: str) -> tuple[str, ...]:
    """Return the decoded parts of an undecoded address path; a slash at either end does not count."""
    trimmed = raw_path.strip("/")
    return tuple(_decode(part) for part in trimmed.split("/")) if trimmed else ()


def _decode(part: str) -> str:
    """Decode everything but the encoded slash, which ASP.NET Core leaves as it is."""
    return "%2F".join(unquote(piece) for piece in re.split("%2F", part, flags=re.IGNORECASE))


def parse(text: str) -> Template:
    """Read a template such as `orders/{id:guid}/{*rest}`.

    Raises BadRoute for what ASP.NET Core refuses (an optional part in the middle, a name twice) and for what this host
    does not imitate (default values, several parameters in one part, unknown constraints).
    """
    if text.startswith(("/", "~")):
        raise BadRoute(f"route {text!r} begins with a slash or tilde; leave it out.")
    parts = _split_template(text)
    segments = tuple(_segment(text, part) for part in parts)
    for place, segment in enumerate(segments[:-1]):
        if segment.rest or segment.optional:
            raise BadRoute(f"route {text!r}: {parts[place]} must be the last part.")
    names = [segment.parameter.lower() for segment in segments if segment.parameter]
    if len(names) != len(set(names)):
        raise BadRoute(f"route {text!r} names a parameter twice.")
    return Template(text, segments)


def _split_template(text: str) -> list[str]:
    """Split at slashes outside of braces (a regex constraint may hold some)."""
    parts, depth, current = [], 0, ""
    for letter in text.strip("/"):
        depth += {"{": 1, "}": -1}.get(letter, 0)
        if letter == "/" and depth == 0:
            parts.append(current)
            current = ""
        else:
            current += letter
    if depth:
        raise BadRoute(f"route {text!r} has braces without a partner.")
    return [*parts, current] if current or parts else []


def _segment(text: str, part: str) -> _Segment:
    if "{" not in part and part:
        return _Segment(literal=part.lower())
    if not (part.startswith("{") and part.endswith("}")) or part == "{}":
        raise BadRoute(f"route {text!r}: write one parameter per part, such as {{id}}, not {part!r}.")
    inner = part[1:-1]
    rest = inner.startswith("*")
    name, *constraints = inner.lstrip("*").split(":")
    optional = inner.endswith("?")
    if constraints:
        constraints[-1] = constraints[-1].removesuffix("?")
    name = name.removesuffix("?")
    if not re.fullmatch(r"[A-Za-z_]\w*", name):
        raise BadRoute(f"route {text!r}: {name!r} is no name for a parameter (default values are not imitated).")
    checks = tuple(_check(text, constraint) for constraint in constraints)
    return _Segment(parameter=name, checks=checks, optional=optional, rest=rest)


def _check(text: str, constraint: str) -> _Check:
    name, bracket, arguments = constraint.partition("(")
    if name in _PLAIN and not bracket:
        return _PLAIN[name]
    if name == "regex" and bracket:
        pattern = re.compile(arguments.removesuffix(")").replace("{{", "{").replace("}}", "}"), re.IGNORECASE)
        return lambda value: pattern.search(value) is not None
    numbers = arguments.removesuffix(")").split(",")
    if name in _WITH_NUMBERS and all(_NUMBER.fullmatch(number.strip()) for number in numbers):
        return _WITH_NUMBERS[name](*(int(number) for number in numbers))
    raise BadRoute(f"route {text!r}: constraint {constraint!r} is not known to the local host.")
