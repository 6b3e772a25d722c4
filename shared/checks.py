"""The composition root of the checks that are answered while somebody waits, over the engine.

Whatever happens, the caller gets his answer within the budget, and a yes only from a system that was asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import TYPE_CHECKING, Final

from shared.connectors.dataverse.connector import DataverseConnector
from shared.connectors.dataverse.webhook import MAX_BODY_BYTES, NotANotice, read_question
from shared.errors import ConnectorError, StoreUnavailable
from shared.field_service.asking import BackEnd, outliving
from shared.field_service.bodies import Body, CreditBody, PriceBody, StockBody
from shared.field_service.confirming import FOR_TELLING, Confirmations, Verdict, tell
from shared.field_service.customers import Customers
from shared.field_service.deciding import decide_credit, decide_prices, decide_stock
from shared.field_service.errors import (
    BackEndDown,
    BackEndFailed,
    CheckRefused,
    ChecksNotSetUp,
    NotRemembered,
    TookTooLong,
)
from shared.field_service.remembering import Remembering
from shared.field_service.wording import SYSTEMS, Result
from shared.routes import NotAdmitted, RequestError, TooLarge
from shared.settings import Checks
from shared.strict_json import JsonObject
from shared.sync.breaker import unwatched
from shared.sync.confirming import Check, Confirming, CreditSource, PriceSource, StockSource, unanswered
from shared.sync.definition import TableName

if TYPE_CHECKING:
    from shared.app import App
    from shared.engine import Engine

CHECK_OF: Final[Mapping[type[Body], Check]] = {
    PriceBody: Check.PRICE,
    StockBody: Check.STOCK,
    CreditBody: Check.CREDIT,
}


async def confirm(app: App, systems: Sequence[str], raw: bytes) -> Verdict:
    """Whether a record of the CRM may be registered; who has changed it is told why not.

    Raises RequestError for what Dataverse never posts, NotAdmitted for another organisation, SettingsError.
    """
    if len(raw) > MAX_BODY_BYTES:
        raise TooLarge
    try:
        question = read_question(raw, app.notices.organizations(systems))
    except NotANotice as error:
        raise RequestError(str(error)) from None
    if question is None:
        raise NotAdmitted("The body is of another organisation.")
    budget, clock = app.settings.get(Checks).budget_seconds, app.outside.clock
    ends_at = clock.monotonic() + budget
    try:
        async with within(budget * (1 - FOR_TELLING)):
            checking = await outliving(asyncio.ensure_future(app.checks()))
    except CheckRefused as error:  # nobody can be told: what would tell him is not there
        return Verdict([Result(one, "Crossdock", None, error) for one in Check], "", error.sentence)
    left = ends_at - clock.monotonic() - budget * FOR_TELLING
    verdict = await checking.confirmations.decide(question, left)
    crm = checking.crm(question.system)
    if not verdict.confirmed and crm is not None:
        await tell(crm, question, verdict, max(ends_at - clock.monotonic(), budget * FOR_TELLING))
    return verdict


async def check(app: App, systems: Sequence[str], body: Body) -> JsonObject:
    """The answer to a check that the systems' sender asks for; raises CheckRefused and SettingsError.

    An engine that is only being made goes on being made after the caller's time is over.
    """
    async with within(app.settings.get(Checks).budget_seconds):
        checking = await outliving(asyncio.ensure_future(app.checks()))
        return await checking.once(systems, body)


@asynccontextmanager
async def within(seconds: float, what: str = "") -> AsyncIterator[None]:
    """Give up after so long, with the error that says so, and tell other errors as reasons for a no."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise TookTooLong(what) from None
    except StoreUnavailable:
        raise NotRemembered from None
    except ConnectorError as error:
        raise BackEndFailed(f"{error.system} did not answer the check: {error.code}.") from None


@dataclass
class Checking:
    """Answers checks. back_ends: the systems whose data may count, by name."""

    settings: Checks
    engine: Engine
    kinds: Mapping[str, str]
    rules: Confirming | None
    customers: Customers
    remembering: Remembering
    back_ends: Mapping[str, BackEnd]
    today: Callable[[], date]

    @cached_property
    def confirmations(self) -> Confirmations:
        """Who answers the CRM."""
        return Confirmations(
            rules=self.rules,
            back_ends=self.back_ends,
            answer=self.answer,
            called=self._called,
            within=within,
            backend_seconds=self.settings.backend_seconds,
        )

    def crm(self, system: str) -> DataverseConnector | None:
        """Who tells the users of a CRM something."""
        found = self.engine.pipeline.ports.connectors.get(system)
        inner = unwatched(found) if found is not None else None
        return inner if isinstance(inner, DataverseConnector) else None

    async def once(self, systems: Sequence[str], body: Body) -> JsonObject:
        """The answer, the same for every repeat."""
        asking = [TableName(system=one, table=table) for one in systems if (table := self._customers_of(one))]
        name = CHECK_OF[type(body)]
        return await self.remembering.once(min(systems), name.value, body, lambda: self.answer(name, body, asking))

    def _called(self, check: Check) -> str:
        system = self.settings.source_of(check)
        return SYSTEMS.get(self.kinds.get(system, ""), system)

    def _customers_of(self, system: str) -> str:
        return self.rules.customers.get(self.kinds.get(system, ""), "") if self.rules else ""

    async def answer(self, name: Check, body: Body, asking: Sequence[TableName]) -> JsonObject:
        """The answer by asking the system whose data count. asking: the tables that the body's customer may be of."""
        system = self.settings.source_of(name)
        source = self.rules.source(name, self.kinds.get(system, "")) if self.rules else None
        back_end = self.back_ends.get(system)
        if self.rules is None or source is None or back_end is None:
            raise ChecksNotSetUp(unanswered(name, system, there=system in self.kinds))
        customer = ""
        if isinstance(body, PriceBody | CreditBody):
            goal = TableName(system=system, table=back_end.customers)
            customer = await self.customers.in_system(asking, body.customer_id, goal)
        if await self.engine.pipeline.panel.is_open(back_end.connector):
            raise BackEndDown(f"{system} is down, so it was not asked.")
        async with within(self.settings.backend_seconds, f"{system} did not answer in time."):
            await back_end.prepare_for(name, source)
            return await self._asked(back_end, source, body, customer)

    async def _asked(
        self, back_end: BackEnd, source: PriceSource | StockSource | CreditSource, body: Body, customer: str
    ) -> JsonObject:
        assert self.rules is not None  # else there is no source
        match body, source:
            case PriceBody(), PriceSource():
                prices = await back_end.prices(source, [one.item_id for one in body.lines], customer)
                return decide_prices(body, prices, self.rules.unit, self.today())
            case StockBody(), StockSource():
                return decide_stock(body, await back_end.stock(source, [one.item_id for one in body.lines]))
            case CreditBody(), CreditSource():
                return decide_credit(body, await back_end.credit(source, customer), back_end.name)
            case _:
                raise ChecksNotSetUp

    async def aclose(self) -> None:
        """End what is still under way."""
        await self.remembering.aclose()
        for one in self.back_ends.values():
            await one.aclose()


def build(app: App, engine: Engine) -> Checking:
    """What answers checks; raises SettingsError."""
    settings, kinds, ports = app.settings.get(Checks), app.settings.kinds, engine.pipeline.ports
    rules = engine.index.confirming
    customers = rules.customers if rules else {}
    back_ends = {
        name: BackEnd(connector, ports.clock, rules, customers[kinds[name]])
        for name, connector in ports.connectors.items()
        if rules and kinds.get(name) in customers
    }
    return Checking(
        settings=settings,
        engine=engine,
        kinds=kinds,
        rules=rules,
        customers=Customers(engine.stores.links, engine.index.linking, ports.connectors),
        remembering=Remembering(
            engine.stores.answers, ports.clock, ports.ids, settings.repeat_seconds, settings.budget_seconds
        ),
        back_ends=back_ends,
        today=lambda: ports.clock.now().date(),
    )
