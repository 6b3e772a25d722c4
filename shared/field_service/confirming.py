"""The CRM asks before it registers a record: the same checks, of the record as it stands, and the salesperson is told
why where the answer is no.

Who cannot be answered is not registered.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, Protocol

from pydantic import ValidationError

from shared.errors import ConnectorError, CrossdockError
from shared.field_service.asking import BackEnd, together
from shared.field_service.bodies import Body, CreditBody, PriceBody, StockBody
from shared.field_service.errors import CheckRefused, ChecksNotSetUp, CustomerUnknown, NotTold, SaveFirst
from shared.field_service.wording import Result, language_of, text_of, title_of
from shared.strict_json import Json, JsonObject
from shared.sync.confirming import Check, Confirmation, Confirming, Lines
from shared.sync.definition import TableName
from shared.sync.ports import Record, Value
from shared.sync.values import canonical

log = logging.getLogger(__name__)

FOR_TELLING: Final = 0.2
"""The share of the budget that is kept for telling the salesperson."""
Answer = Callable[[Check, Body, Sequence[TableName]], Awaitable[JsonObject]]


class Question(Protocol):
    """What is asked; see `shared.connectors.dataverse.webhook`."""

    @property
    def system(self) -> str: ...
    @property
    def table(self) -> str: ...
    @property
    def key(self) -> str: ...
    @property
    def user(self) -> str | None: ...
    @property
    def sent(self) -> Mapping[str, str | None] | None: ...
    @property
    def language(self) -> str: ...


class Tells(Protocol):
    """Tells a user of the CRM something that he sees while he works."""

    async def tell(self, user: str, title: str, text: str, within_seconds: float) -> None: ...

    async def ourselves(self) -> frozenset[str]: ...


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a record may be registered, and what its editor is told where it may not."""

    results: Sequence[Result] = ()
    title: str = ""
    text: str = ""

    @property
    def confirmed(self) -> bool:
        """Whether every check said yes."""
        return all(one.confirmed for one in self.results)

    @property
    def reasons(self) -> Sequence[str]:
        """Why not: the check that said no, or the code of what kept it from saying anything."""
        return [_code(one) for one in self.results if not one.confirmed]

    def body(self) -> JsonObject:
        """The answer. The platform reads its status only; people read it in a trace."""
        told: JsonObject = {"confirmed": self.confirmed}
        reasons: list[Json] = [*self.reasons]
        return told if self.confirmed else told | {"sentence": f"{self.title}. {self.text}", "reasons": reasons}


def _code(result: Result) -> str:
    return result.answer.code if isinstance(result.answer, CheckRefused) else result.check.value


@dataclass(frozen=True)
class Confirmations:
    """Answers the CRM. answer: asks the system whose data count. called: what people call that system."""

    rules: Confirming | None
    back_ends: Mapping[str, BackEnd]
    answer: Answer
    called: Callable[[Check], str]
    within: Callable[[float, str], Any]
    backend_seconds: float

    async def decide(self, question: Question, within_seconds: float) -> Verdict:
        """Whether the record may be registered. What is asked about and registers nothing is none of our business."""
        rule = self._rule(question)
        if rule is not None and not _registers(rule, question):
            return Verdict()
        results, name = await self._results(rule, question, within_seconds)
        language = language_of(question.language)
        return Verdict(results, title_of(name, language), text_of(results, language))

    def _rule(self, question: Question) -> Confirmation | None:
        rules = self.rules.asked_by(question.system) if self.rules else ()
        return next((one for one in rules if one.table == question.table), None)

    async def _results(
        self, rule: Confirmation | None, question: Question, within_seconds: float
    ) -> tuple[Sequence[Result], str]:
        """How each check ended, and the record's name as far as it is known."""
        checks = rule.checks if rule else tuple(Check)
        name = ""
        try:
            back_end = self.back_ends.get(question.system)
            if rule is None or back_end is None:
                raise ChecksNotSetUp(
                    f"Nothing is said of {question.table} under confirm: and CROSSDOCK_CHECKS_CONFIRM."
                )
            _refuse_other_changes(rule, question)
            async with self.within(within_seconds, ""):
                document = await self._read(back_end, rule, question)
                name = canonical(document.record.values.get(rule.name)) or ""
                asking = [TableName(system=question.system, table=back_end.customers)]
                return await together(*(self._check(one, rule, document, asking) for one in checks)), name
        except CheckRefused as error:
            return [Result(one, self.called(one), None, error) for one in checks], name

    async def _read(self, back_end: BackEnd, rule: Confirmation, question: Question) -> Document:
        async with self.within(self.backend_seconds, f"{back_end.name} did not answer in time."):
            await back_end.prepare(f"confirm {rule.table}", _reads(rule))
            record = back_end.record(rule.table, question.key, rule.columns)
            if rule.lines is None:
                return Document((await record)[0], ())
            lines = back_end.lines(rule.lines.table, rule.lines.by, question.key, rule.lines.columns)
            (found,), rows = await together(record, lines)
            return Document(found, rows)

    async def _check(self, check: Check, rule: Confirmation, document: Document, asking: Sequence[TableName]) -> Result:
        """One check; what keeps it from being answered is its result, too."""
        body = None
        try:
            body = _body(check, rule, document)
            answer: JsonObject = {"confirmed": True}
            if body is not None:
                answer = await self.answer(check, body, asking)
        except CheckRefused as error:
            return Result(check, self.called(check), body, error)
        return Result(check, self.called(check), body, answer)


async def tell(crm: Tells, question: Question, verdict: Verdict, within_seconds: float) -> bool:
    """Tell the record's editor why it is not registered; answers whether he was told. Nobody is told of what one of our
    own identities does."""
    if question.user is None:
        return False
    try:
        async with asyncio.timeout(within_seconds):
            if question.user in await crm.ourselves():
                return False
            await crm.tell(question.user, verdict.title, verdict.text, within_seconds)
    except (ConnectorError, TimeoutError) as error:
        code = error.code if isinstance(error, CrossdockError) else "time_out"
        log.warning("a user could not be told why a record is not registered", extra={"code": code})
        return False
    return True


# --- the record -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Document:
    """A record with its lines, as they stand."""

    record: Record
    lines: Sequence[Record]


def _reads(rule: Confirmation) -> Mapping[str, Sequence[str]]:
    lines = {rule.lines.table: rule.lines.columns} if rule.lines else {}
    return {rule.table: rule.columns, **lines}


def _registers(rule: Confirmation, question: Question) -> bool:
    """Whether the change is one that registers the record; also where the body does not tell."""
    if question.sent is None or rule.column not in question.sent:
        return True
    return question.sent[rule.column] in rule.when[rule.column]


def _refuse_other_changes(rule: Confirmation, question: Question) -> None:
    """What is checked stands in the record; what is changed by the same request does not yet. Raises SaveFirst."""
    near = [name.partition(".")[0] for name in (rule.customer, rule.currency, rule.total, *rule.total_of)]
    for sent in question.sent or ():
        if any(name == sent or name.startswith(f"{sent}_") for name in near):
            raise SaveFirst("", sent)


def _body(check: Check, rule: Confirmation, document: Document) -> Body | None:
    """What is asked of the system that answers; None where nothing of the record is to be asked. Raises NotTold,
    CustomerUnknown."""
    values = document.record.values
    shared: dict[str, Any] = {"requestId": "crm"}
    if check is not Check.STOCK:
        customer, currency = canonical(values.get(rule.customer)), canonical(values.get(rule.currency))
        if customer is None:
            raise CustomerUnknown
        if currency is None:
            raise NotTold(f"{rule.table}.{rule.currency} is empty.", rule.currency)
        shared |= {"customerId": customer, "currency": currency}
    if check is Check.CREDIT:
        total = _number(rule.table, rule.total, values.get(rule.total))
        return _made(CreditBody, shared | {"amount": max(total, Decimal(0))})
    lines = [line for line in _lines(rule.lines, document.lines) if line["quantity"]]
    if check is Check.STOCK:
        lines = [line for line in lines if line["quantity"] > 0]  # what comes back needs not be there
    if not lines:
        return None
    shared["lines"] = [line | {"quantity": abs(line["quantity"])} for line in lines]
    return _made(PriceBody if check is Check.PRICE else StockBody, shared)


def _lines(about: Lines | None, rows: Sequence[Record]) -> list[dict[str, Any]]:
    """The lines that name an item; one that somebody has written in by hand has none."""
    found = []
    for number, row in enumerate(rows if about else (), 1):
        assert about is not None
        if (item := canonical(row.values.get(about.item))) is None:
            continue
        quantity = _number(about.table, about.quantity, row.values.get(about.quantity))
        line = {"lineId": f"{number}", "itemId": item, "quantity": quantity}
        line["uom"] = canonical(row.values.get(about.unit)) or "-"
        if about.price:
            line["unitPrice"] = _number(about.table, about.price, row.values.get(about.price))
        found.append(line)
    return found


def _number(table: str, column: str, value: Value) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise NotTold(f"{table}.{column} is empty.", column)
    return Decimal(value)


def _made(kind: type[Body], members: Mapping[str, Any]) -> Body:
    try:
        return kind.model_validate(members)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        raise NotTold(f"{'.'.join(map(str, first['loc']))}: {first['msg']}.") from None
