"""OData query options: $filter, $select, $orderby, $top and $count, the same for every sandbox.

The text of $filter is parsed by the odata-query package; the tree becomes a predicate over a row. Each system
says which properties exist and of which type they are (`types`), and which string functions it knows.

Text is compared without regard to case unless asked otherwise: Dataverse says so (Microsoft Learn, 'Filter rows
using OData': "All filter conditions using string values are case insensitive"); a system whose database compares
exactly passes `case_sensitive=True`. A literal of an enumeration, `Some.Colour'Red'`, is of the type that it names.
Null follows the OData rules: `ne` is true when exactly one side is null, `gt`, `ge`, `lt` and `le` are false when any
side is.
"""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, TypeVar

from odata_query import ast
from odata_query.exceptions import ODataException
from odata_query.grammar import ODataLexer, ODataParser

Row = Mapping[str, Any]
RowT = TypeVar("RowT", bound=Mapping[str, Any])
Predicate = Callable[[Row], bool]
Getter = Callable[[Row], Any]
Types = Callable[[str], str | None]
"""Edm type of a property path (`name`, `sdkmessageid/name`), or None when there is no such property."""
Accessor = Callable[[Row, str], Any]

TEXT_FUNCTIONS = frozenset({"contains", "startswith", "endswith"})
NUMBERS = frozenset({"Edm.Int16", "Edm.Int32", "Edm.Int64", "Edm.Decimal", "Edm.Double"})
MOMENTS = frozenset({"Edm.DateTimeOffset", "Edm.Date"})
_OPERATOR_NAMES = {
    ast.Eq: "Equal",
    ast.NotEq: "NotEqual",
    ast.Lt: "LessThan",
    ast.LtE: "LessThanOrEqual",
    ast.Gt: "GreaterThan",
    ast.GtE: "GreaterThanOrEqual",
    ast.In: "In",
}
_ORDERINGS: dict[type, Callable[[Any, Any], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}


class BadQuery(Exception):
    """The query is wrong. `prop` names the unknown property, or is None when something else is wrong."""

    def __init__(self, reason: str, prop: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.prop = prop


class UnsupportedQuery(Exception):
    """The query may be right, but no sandbox imitates it; answer 501."""

    def __init__(self, what: str) -> None:
        super().__init__(f"not imitated: {what}")
        self.what = what


def plain_value(row: Row, path: str) -> Any:
    """Return a row's value under its property name; a missing one is null."""
    return row.get(path)


def compile_filter(
    text: str,
    *,
    types: Types,
    value: Accessor = plain_value,
    functions: frozenset[str] = TEXT_FUNCTIONS,
    case_sensitive: bool = False,
    dynamics_functions: bool = False,
) -> Predicate:
    """Turn the text of $filter into a predicate over a row.

    `dynamics_functions` also knows `Microsoft.Dynamics.CRM.In(PropertyName='x',PropertyValues=["1","2"])`.
    Raises BadQuery for what a system would refuse (`prop` set when a property is unknown) and UnsupportedQuery
    for what is not imitated.
    """
    compiler = _Compiler(types, value, functions, case_sensitive)
    if dynamics_functions:
        text = _lift_dynamics_functions(text, compiler)
    return compiler.predicate(_parse(text))


@dataclass(frozen=True)
class Equality:
    """A condition `path eq 'text'` (or a GUID, or a day) that every matching row must meet."""

    path: str
    value: str | date


def equalities(text: str) -> list[Equality]:
    """Return the equalities every match of a filter must meet, so that a system may look them up in an index.

    Only conditions joined by `and` count. A text that does not parse, or has nothing of the kind, gives none.
    """
    try:
        return list(_equalities(_parse(text)))
    except BadQuery:
        return []


def _equalities(node: Any) -> Iterator[Equality]:
    match node:
        case ast.BoolOp(op=ast.And()):
            yield from _equalities(node.left)
            yield from _equalities(node.right)
        case ast.Compare(
            comparator=ast.Eq(), left=ast.Identifier() as name, right=(ast.String() | ast.GUID()) as value
        ):
            yield Equality(_path(name), value.val.lower() if isinstance(value, ast.GUID) else value.val)
        case ast.Compare(comparator=ast.Eq(), left=ast.Identifier() as name, right=ast.Date() as value):
            with suppress(ValueError):
                yield Equality(_path(name), date.fromisoformat(value.val))


def in_list(name: str, values: Sequence[Any], compiler: _Compiler) -> Predicate:
    """Return the predicate of the Dataverse query function In."""
    kind = compiler.edm_type(name)
    wanted = {compiler.comparable(_from_text(str(v), kind)) for v in values}
    return lambda row: compiler.comparable(compiler.value(row, name)) in wanted


@dataclass(frozen=True)
class _Operand:
    """One side of a comparison: its Edm type (None for null) and how to get its value."""

    kind: str | None
    get: Getter


_LITERALS: dict[type, tuple[str, Callable[[Any], Any]]] = {
    ast.String: ("Edm.String", lambda node: node.val),
    ast.Integer: ("Edm.Int32", lambda node: int(node.val)),
    ast.Float: ("Edm.Decimal", lambda node: Decimal(node.val)),
    ast.Boolean: ("Edm.Boolean", lambda node: node.py_val),
    ast.GUID: ("Edm.Guid", lambda node: node.val.lower()),
    ast.DateTime: ("Edm.DateTimeOffset", lambda node: parse_moment(node.val)),
    ast.Date: ("Edm.Date", lambda node: date.fromisoformat(node.val)),
}


class _Compiler:
    def __init__(self, types: Types, value: Accessor, functions: frozenset[str], case_sensitive: bool) -> None:
        self.types = types
        self.value = value
        self.functions = functions
        self.case_sensitive = case_sensitive
        self.lifted: dict[str, Predicate] = {}

    def predicate(self, node: Any) -> Predicate:
        match node:
            case ast.BoolOp():
                left, right = self.predicate(node.left), self.predicate(node.right)
                if isinstance(node.op, ast.And):
                    return lambda row: left(row) and right(row)
                return lambda row: left(row) or right(row)
            case ast.UnaryOp(op=ast.Not()):
                inner = self.predicate(node.operand)
                return lambda row: not inner(row)
            case ast.Compare():
                return self._compare(node)
            case ast.Call():
                return self._call(node)
            case ast.Identifier() if node.name in self.lifted:
                return self.lifted[node.name]
            case ast.Identifier():
                return self._boolean_property(node)
        raise UnsupportedQuery(f"{type(node).__name__} in $filter")

    def edm_type(self, path: str) -> str:
        kind = self.types(path)
        if kind is None:
            raise BadQuery(f"Could not find a property named '{path}'.", path)
        return kind

    def comparable(self, value: Any) -> Any:
        if isinstance(value, str):
            return value if self.case_sensitive else value.casefold()
        if isinstance(value, Decimal | float) and not isinstance(value, bool):
            return Decimal(str(value))
        return value

    def _boolean_property(self, node: ast.Identifier) -> Predicate:
        operand = self._operand(node)
        if operand.kind != "Edm.Boolean":
            raise BadQuery("The $filter expression must evaluate to a single boolean value.")
        return lambda row: operand.get(row) is True

    def _compare(self, node: ast.Compare) -> Predicate:
        if isinstance(node.left, ast.Call):
            return self._compared_call(node)
        left = self._operand(node.left)
        if isinstance(node.comparator, ast.In):
            return self._in(left, node.right)
        right = self._operand(node.right)
        name = _OPERATOR_NAMES[type(node.comparator)]
        _require_compatible(left.kind, right.kind, name)
        return self._comparison(type(node.comparator), left, right)

    def _comparison(self, comparator: type, left: _Operand, right: _Operand) -> Predicate:
        def sides(row: Row) -> tuple[Any, Any]:
            return _aligned(self.comparable(left.get(row)), self.comparable(right.get(row)))

        if comparator is ast.Eq:
            return lambda row: operator.eq(*sides(row))
        if comparator is ast.NotEq:
            return lambda row: operator.ne(*sides(row))
        order = _ORDERINGS[comparator]

        def ordered(row: Row) -> bool:
            one, other = sides(row)
            return one is not None and other is not None and order(one, other)

        return ordered

    def _compared_call(self, node: ast.Compare) -> Predicate:
        """`contains(...) eq true` and `eq false`."""
        if not (isinstance(node.comparator, ast.Eq) and isinstance(node.right, ast.Boolean)):
            raise UnsupportedQuery("a function compared with anything but true or false")
        assert isinstance(node.left, ast.Call)
        inner, wanted = self._call(node.left), bool(node.right.py_val)
        return lambda row: inner(row) is wanted

    def _in(self, left: _Operand, values: Any) -> Predicate:
        if not isinstance(values, ast.List):
            raise BadQuery("The right operand of 'in' must be a list.")
        operands = [self._operand(item) for item in values.val]
        for operand in operands:
            _require_compatible(left.kind, operand.kind, "In")
        wanted = [self.comparable(operand.get({})) for operand in operands]
        return lambda row: self.comparable(left.get(row)) in wanted

    def _call(self, node: ast.Call) -> Predicate:
        name = ".".join((*node.func.namespace, node.func.name))
        if name not in self.functions:
            raise UnsupportedQuery(f"the function {name} in $filter")
        text, part = (self._operand(argument) for argument in node.args)
        for operand in (text, part):
            if operand.kind not in ("Edm.String", None):
                raise BadQuery(f"No function signature for the function with name '{name}' matches the arguments.")
        test = _TEXT_TESTS[name]

        def called(row: Row) -> bool:
            whole, piece = self.comparable(text.get(row)), self.comparable(part.get(row))
            return whole is not None and piece is not None and test(whole, piece)

        return called

    def _operand(self, node: Any) -> _Operand:
        if isinstance(node, ast.Null):
            return _Operand(None, lambda row: None)
        if isinstance(node, ast.String) and node.val.startswith(_ENUM_MARK):
            return _enum_member(node.val)
        literal = _LITERALS.get(type(node))
        if literal is not None:
            kind, read = literal
            fixed = read(node)
            return _Operand(kind, lambda row: fixed)
        if isinstance(node, ast.Identifier | ast.Attribute):
            path = _path(node)
            return _Operand(self.edm_type(path), lambda row: self.value(row, path))
        raise UnsupportedQuery(f"{type(node).__name__} in $filter")


@lru_cache(maxsize=512)
def _parse(text: str) -> Any:
    try:
        return ODataParser().parse(ODataLexer().tokenize(_masked(_with_enums_marked(text.strip()))))
    except (ODataException, ValueError) as error:
        raise BadQuery(f"Syntax error in '{text}'.") from error


_TEXT_TESTS: dict[str, Callable[[str, str], bool]] = {
    "contains": lambda whole, piece: piece in whole,
    "startswith": lambda whole, piece: whole.startswith(piece),
    "endswith": lambda whole, piece: whole.endswith(piece),
}
_STRING_OR_NAME = re.compile(r"'(?:[^']|'')*'|[A-Za-z_]\w*")
_SWALLOWED = re.compile(r"(?i)(any|all|null|true|false|duration|geography)\w+")
_MASK = "p__"


def _masked(text: str) -> str:
    """Protect names such as `allocationcode`, whose beginning odata-query would read as a keyword."""

    def protect(found: re.Match[str]) -> str:
        word = found.group()
        return _MASK + word if _SWALLOWED.fullmatch(word) else word

    return _STRING_OR_NAME.sub(protect, text)


def _path(node: Any) -> str:
    if isinstance(node, ast.Attribute):
        return f"{_path(node.owner)}/{node.attr.removeprefix(_MASK)}"
    return str(node.full_name()).removeprefix(_MASK)


_ENUM_MARK = "\N{OBJECT REPLACEMENT CHARACTER}"
_ENUM_OR_STRING = re.compile(r"(?P<type>[A-Za-z_]\w*(?:\.\w+)+)'(?P<member>\w+)'|'(?:[^']|'')*'")


def _with_enums_marked(text: str) -> str:
    """Turn literals of enumerations, which odata-query does not know, into texts that say which type they are of."""

    def marked(found: re.Match[str]) -> str:
        return f"'{_ENUM_MARK}{found['type']}{_ENUM_MARK}{found['member']}'" if found["type"] else found.group()

    return _ENUM_OR_STRING.sub(marked, text)


def _enum_member(marked: str) -> _Operand:
    _, kind, member = marked.split(_ENUM_MARK)
    return _Operand(kind, lambda row: member)


_DYNAMICS = re.compile(r"'(?:[^']|'')*'|Microsoft\.Dynamics\.CRM\.(?P<name>\w+)\((?P<arguments>[^)]*)\)")
_IN_ARGUMENTS = re.compile(r"\s*PropertyName='(?P<name>[^']*)'\s*,\s*PropertyValues=(?P<values>\[.*\])\s*")


def _lift_dynamics_functions(text: str, compiler: _Compiler) -> str:
    def lift(found: re.Match[str]) -> str:
        if found["name"] is None:
            return found.group()
        if found["name"] != "In":
            raise UnsupportedQuery(f"the query function Microsoft.Dynamics.CRM.{found['name']}")
        arguments = _IN_ARGUMENTS.fullmatch(found["arguments"])
        if arguments is None:
            raise BadQuery("The arguments of the function 'Microsoft.Dynamics.CRM.In' are not valid.")
        placeholder = f"lifted__{len(compiler.lifted)}"
        compiler.lifted[placeholder] = in_list(arguments["name"], _json_list(arguments["values"]), compiler)
        return placeholder

    return _DYNAMICS.sub(lift, text)


def _json_list(text: str) -> list[Any]:
    try:
        values = json.loads(text.replace("'", '"'))
    except ValueError:
        raise BadQuery("PropertyValues is not a list.") from None
    return list(values)


def _from_text(text: str, kind: str) -> Any:
    try:
        match kind:
            case "Edm.Int16" | "Edm.Int32" | "Edm.Int64":
                return int(text)
            case "Edm.Decimal" | "Edm.Double":
                return Decimal(text)
            case "Edm.Boolean":
                return text.lower() == "true"
            case "Edm.DateTimeOffset":
                return parse_moment(text)
            case "Edm.Date":
                return date.fromisoformat(text)
    except ArithmeticError as error:
        raise BadQuery(f"'{text}' is not a value of {kind}.") from error
    except ValueError as error:
        raise BadQuery(f"'{text}' is not a value of {kind}.") from error
    return text


def _require_compatible(left: str | None, right: str | None, name: str) -> None:
    if left is None or right is None or left == right:
        return
    if any(left in family and right in family for family in (NUMBERS, MOMENTS)):
        return
    raise BadQuery(
        "A binary operator with incompatible types was detected. Found operand types "
        f"'{left}' and '{right}' for operator kind '{name}'."
    )


def _aligned(left: Any, right: Any) -> tuple[Any, Any]:
    """Make a date and a moment comparable: the date means midnight UTC."""
    if isinstance(left, datetime) and isinstance(right, date) and not isinstance(right, datetime):
        return left, datetime(right.year, right.month, right.day, tzinfo=UTC)
    if isinstance(right, datetime) and isinstance(left, date) and not isinstance(left, datetime):
        return datetime(left.year, left.month, left.day, tzinfo=UTC), right
    return left, right


def parse_moment(text: str) -> datetime:
    """Read an ISO 8601 moment (any precision, `Z` or offset, none means UTC) as aware UTC."""
    whole, fraction, zone = re.fullmatch(r"([^.Zz+]*?)(\.\d+)?([Zz]|[+-]\d\d:\d\d)?", text).groups()  # type: ignore[union-attr] # the pattern matches any text
    offset = "+00:00" if zone in (None, "Z", "z") else zone
    return datetime.fromisoformat(f"{whole}{(fraction or '')[:7]}{offset}").astimezone(UTC)


def parse_select(text: str, *, types: Types) -> tuple[str, ...]:
    """Read $select into property names in the given order; raises BadQuery for an unknown one."""
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    for name in names:
        if types(name) is None:
            raise BadQuery(f"Could not find a property named '{name}'.", name)
    return names


def parse_top(text: str) -> int:
    """Read $top (or another count); raises BadQuery unless it is a whole number of at least 0."""
    if not re.fullmatch(r"\d{1,10}", text.strip()):
        raise BadQuery(f"Invalid value '{text}' for $top query option found. It must be a non-negative integer.")
    return int(text)


def parse_bool(text: str) -> bool:
    """Read the value of $count; raises BadQuery for anything but true and false."""
    if text.strip() not in ("true", "false"):
        raise BadQuery(f"Invalid value '{text}' for $count query option found. It must be 'true' or 'false'.")
    return text.strip() == "true"


@dataclass(frozen=True)
class Order:
    """One property of $orderby."""

    path: str
    descending: bool = False


def parse_orderby(text: str, *, types: Types) -> tuple[Order, ...]:
    """Read $orderby (`name desc,createdon`); raises BadQuery for an unknown property or another direction."""
    orders = []
    for part in text.split(","):
        path, *direction = part.split()
        if types(path) is None:
            raise BadQuery(f"Could not find a property named '{path}'.", path)
        if direction not in ([], ["asc"], ["desc"]):
            raise BadQuery(f"Syntax error in '{text}'.")
        orders.append(Order(path, direction == ["desc"]))
    return tuple(orders)


def sort_rows(
    rows: Iterable[RowT],
    orders: Sequence[Order],
    *,
    value: Accessor = plain_value,
    case_sensitive: bool = False,
) -> list[RowT]:
    """Sort rows; null comes first ascending and last descending, as in SQL Server."""
    result = list(rows)
    for order in reversed(orders):
        result.sort(key=_sort_key(order.path, value, case_sensitive), reverse=order.descending)
    return result


def _sort_key(path: str, value: Accessor, case_sensitive: bool) -> Callable[[Row], tuple[int, Any]]:
    def key(row: Row) -> tuple[int, Any]:
        found = value(row, path)
        if found is None:
            return 0, 0
        return 1, found.casefold() if isinstance(found, str) and not case_sensitive else found

    return key


def substitute_aliases(text: str, parameters: Mapping[str, str]) -> str:
    """Replace parameter aliases (`@p1`) by the values given as query parameters; raises BadQuery if one is missing."""

    def replacement(found: re.Match[str]) -> str:
        alias = found.group()
        if not alias.startswith("@"):
            return alias
        if alias not in parameters:
            raise BadQuery(f"The parameter alias '{alias}' has no value.")
        return parameters[alias]

    return re.sub(r"'(?:[^']|'')*'|@\w+", replacement, text)
