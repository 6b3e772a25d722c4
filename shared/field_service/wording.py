"""What a salesperson is told when his record is not registered: why, and what to do, in his language. Pure.

He sees the amounts of the record that he works on and of its customer; they go to him and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from shared.field_service.bodies import Body, CreditBody, PriceBody, StockBody
from shared.field_service.deciding import Reason
from shared.field_service.errors import (
    BackEndDown,
    BackEndFailed,
    CheckRefused,
    CurrencyMismatch,
    CustomerUnknown,
    NotRemembered,
    NotTold,
    SaveFirst,
    TookTooLong,
    UnknownItems,
)
from shared.strict_json import Json, JsonObject
from shared.sync.confirming import Check

LANGUAGES: Final = ("en", "de", "it", "fr")
SYSTEMS: Final = {"business_central": "Business Central", "dataverse": "Dynamics 365"}
"""What people call the kinds of systems."""


@dataclass(frozen=True, slots=True)
class Result:
    """How one check ended. system: what people call the one that was asked; answer: what it said, or why it did not."""

    check: Check
    system: str
    body: Body | None
    answer: JsonObject | CheckRefused

    @property
    def confirmed(self) -> bool:
        """Whether it is a yes."""
        return not isinstance(self.answer, CheckRefused) and self.answer.get("confirmed") is True


def language_of(accepted: str) -> str:
    """The first language of an Accept-Language header that we speak; English where there is none."""
    for one in accepted.split(","):
        if (found := one.partition(";")[0].strip().lower().partition("-")[0]) in LANGUAGES:
            return found
    return LANGUAGES[0]


def title_of(name: str, language: str) -> str:
    """The heading."""
    return _TEXTS["title"][language].format(name=name or _TEXTS["this"][language])


def text_of(results: Sequence[Result], language: str) -> str:
    """Every reason in a sentence of its own, and what to do."""
    sentences = [one for result in results if not result.confirmed for one in _sentences(result, language)]
    return " ".join(dict.fromkeys([*sentences, _TEXTS["again"][language]]))


def _sentences(result: Result, language: str) -> Iterator[str]:
    answer, body, told = result.answer, result.body, _Telling(language, result)
    if isinstance(answer, CheckRefused):
        yield told.refusal(answer)
    elif isinstance(body, StockBody):
        yield from told.stock(body, answer)
    elif isinstance(body, PriceBody):
        yield from told.prices(body, answer)
    elif isinstance(body, CreditBody):
        yield from told.credit(body, answer)


@dataclass(frozen=True, slots=True)
class _Telling:
    language: str
    result: Result

    def _say(self, name: str, **parts: str) -> str:
        return _TEXTS[name][self.language].format(system=self.result.system, **parts)

    def refusal(self, error: CheckRefused) -> str:
        what = _TEXTS[self.result.check.value][self.language]
        match error:
            case UnknownItems():
                items = {line.line_id: line.item_id for line in getattr(self.result.body, "lines", ())}
                return self._say(
                    "unknown_items", items=", ".join(dict.fromkeys(items.get(one, one) for one in error.lines))
                )
            case CurrencyMismatch():
                return self._say("currency", currency=str(getattr(self.result.body, "currency", "")))
            case CustomerUnknown():
                return self._say("customer_unknown")
            case SaveFirst():
                return self._say("save_first")
            case TookTooLong() | BackEndFailed() | BackEndDown() | NotRemembered():
                return self._say("no_answer", what=what, code=error.code)
            case NotTold():
                return self._say("not_told", what=what, detail=error.detail, code=error.code)
            case _:
                return self._say("not_set_up", what=what, code=error.code)

    def stock(self, body: StockBody, answer: JsonObject) -> Iterator[str]:
        there = {str(one["lineId"]): one for one in _rows(answer, "lines")}
        for item in dict.fromkeys(line.item_id for line in body.lines):
            lines = [line for line in body.lines if line.item_id == item]
            available = _number(there[lines[0].line_id].get("available"))
            needed = sum((line.quantity for line in lines), Decimal(0))
            if needed > available:
                yield self._say("stock", item=item, needed=_plain(needed), available=_plain(available))

    def prices(self, body: PriceBody, answer: JsonObject) -> Iterator[str]:
        lines = {line.line_id: line for line in body.lines}
        there = {str(one["lineId"]): one for one in _rows(answer, "lines")}
        for reason in _rows(answer, "reasons"):
            line, found = lines[str(reason["lineId"])], there[str(reason["lineId"])]
            yield self._say(
                str(reason["code"]),
                item=line.item_id,
                unit=line.unit,
                price=self._money(_number(found.get("unitPrice")), body.currency),
                asked=self._money(line.unit_price or Decimal(0), body.currency),
                day=str(found.get("validUntil") or ""),
            )

    def credit(self, body: CreditBody, answer: JsonObject) -> Iterator[str]:
        used, overdue = _number(answer.get("used")), _number(answer.get("overdue"))
        parts = {
            "sum": self._money(used + body.amount, body.currency),
            "limit": self._money(_number(answer.get("limit")), body.currency),
            "overdue": self._money(overdue, body.currency),
        }
        for reason in _rows(answer, "reasons"):
            yield self._say(str(reason["code"]), **parts)

    def _money(self, amount: Decimal, currency: str) -> str:
        text = f"{amount:,.2f}"
        if self.language in ("de", "it"):
            text = text.translate(str.maketrans(",.", ".,"))
        if self.language == "fr":
            text = text.replace(",", "\u202f").replace(".", ",")
        return f"{text} {currency}"


def _rows(answer: JsonObject, name: str) -> Sequence[JsonObject]:
    found = answer.get(name)
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _number(value: Json) -> Decimal:
    return Decimal(value) if isinstance(value, int | Decimal) else Decimal(0)


def _plain(number: Decimal) -> str:
    return format(number.normalize(), "f")


_TEXTS: Final[Mapping[str, Mapping[str, str]]] = {
    "title": {
        "en": "{name} was not confirmed",
        "de": "{name} wurde nicht bestätigt",
        "it": "{name}: nessuna conferma",
        "fr": "{name} : pas de confirmation",
    },
    "this": {"en": "This record", "de": "Dieser Datensatz", "it": "Questo record", "fr": "Cet enregistrement"},
    "again": {
        "en": "Nothing has been registered; try again once this is settled.",
        "de": "Es wurde nichts gebucht; versuchen Sie es erneut, sobald das geklärt ist.",
        "it": "Non è stato registrato nulla; riprovare quando la questione è risolta.",
        "fr": "Rien n'a été enregistré ; réessayez une fois la question réglée.",
    },
    Check.PRICE.value: {"en": "The prices", "de": "Die Preise", "it": "I prezzi", "fr": "Les prix"},
    Check.STOCK.value: {"en": "The stock", "de": "Der Bestand", "it": "Le giacenze", "fr": "Le stock"},
    Check.CREDIT.value: {
        "en": "The credit limit",
        "de": "Das Kreditlimit",
        "it": "Il fido",
        "fr": "L'encours autorisé",
    },
    Reason.OVER_LIMIT: {
        "en": "With this the customer would owe {sum}; the credit limit is {limit}.",
        "de": "Damit würde der Kunde {sum} schulden; das Kreditlimit ist {limit}.",
        "it": "Il cliente arriverebbe a un debito di {sum}; il fido è di {limit}.",
        "fr": "Le client devrait alors {sum} ; l'encours autorisé est de {limit}.",
    },
    Reason.OVERDUE: {
        "en": "The customer is late with payments of {overdue}.",
        "de": "Der Kunde ist mit {overdue} im Verzug.",
        "it": "Il cliente ha pagamenti scaduti per {overdue}.",
        "fr": "Le client a {overdue} de paiements en retard.",
    },
    Reason.BLOCKED: {
        "en": "The customer is blocked in {system}.",
        "de": "Der Kunde ist in {system} gesperrt.",
        "it": "Il cliente è bloccato in {system}.",
        "fr": "Le client est bloqué dans {system}.",
    },
    Reason.NO_PRICE: {
        "en": "{item}: {system} has no price for it.",
        "de": "{item}: In {system} steht kein Preis dafür.",
        "it": "{item}: in {system} non c'è alcun prezzo.",
        "fr": "{item} : {system} n'a pas de prix.",
    },
    Reason.OTHER_PRICE: {
        "en": "{item}: the price is {price}, not {asked}.",
        "de": "{item}: Der Preis ist {price}, nicht {asked}.",
        "it": "{item}: il prezzo è {price}, non {asked}.",
        "fr": "{item} : le prix est {price}, et non {asked}.",
    },
    Reason.PRICE_EXPIRED: {
        "en": "{item}: its price held until {day} only.",
        "de": "{item}: Der Preis galt nur bis {day}.",
        "it": "{item}: il prezzo valeva solo fino al {day}.",
        "fr": "{item} : le prix n'était valable que jusqu'au {day}.",
    },
    Reason.OTHER_UNIT: {
        "en": "{item}: its price is for another unit than {unit}.",
        "de": "{item}: Der Preis gilt für eine andere Einheit als {unit}.",
        "it": "{item}: il prezzo vale per un'unità diversa da {unit}.",
        "fr": "{item} : le prix vaut pour une autre unité que {unit}.",
    },
    Reason.ITEM_BLOCKED: {
        "en": "{item} is not for sale.",
        "de": "{item} wird nicht verkauft.",
        "it": "{item} non è in vendita.",
        "fr": "{item} n'est pas en vente.",
    },
    "stock": {
        "en": "{item}: {needed} are needed, {available} are there.",
        "de": "{item}: {needed} werden gebraucht, {available} sind da.",
        "it": "{item}: ne servono {needed}, ce ne sono {available}.",
        "fr": "{item} : il en faut {needed}, il y en a {available}.",
    },
    "unknown_items": {
        "en": "{system} does not know: {items}.",
        "de": "{system} kennt nicht: {items}.",
        "it": "{system} non conosce: {items}.",
        "fr": "{system} ne connaît pas : {items}.",
    },
    "currency": {
        "en": "{system} keeps these amounts in another currency than {currency}.",
        "de": "{system} führt diese Beträge in einer anderen Währung als {currency}.",
        "it": "{system} tiene questi importi in una valuta diversa da {currency}.",
        "fr": "{system} tient ces montants dans une autre devise que {currency}.",
    },
    "customer_unknown": {
        "en": "{system} does not know this customer yet; ask whoever keeps customers there to have it transferred.",
        "de": "{system} kennt diesen Kunden noch nicht; lassen Sie ihn von der Stelle anlegen, die dort Kunden pflegt.",
        "it": "{system} non conosce ancora questo cliente; chiedere a chi gestisce i clienti di trasferirlo.",
        "fr": "{system} ne connaît pas encore ce client ; demandez à qui gère les clients de le transférer.",
    },
    "save_first": {
        "en": "Save the other changes first, then confirm.",
        "de": "Speichern Sie zuerst die übrigen Änderungen, und bestätigen Sie dann.",
        "it": "Salvare prima le altre modifiche, poi confermare.",
        "fr": "Enregistrez d'abord les autres modifications, puis confirmez.",
    },
    "no_answer": {
        "en": "{what} could not be checked, because {system} does not answer. Wait a few minutes; if it lasts, tell "
        "your administrator the code {code}.",
        "de": "{what}: keine Prüfung möglich, weil {system} nicht antwortet. Warten Sie einige Minuten; dauert es "
        "an, nennen Sie Ihrem Administrator die Kennung {code}.",
        "it": "{what}: nessuna verifica possibile, perché {system} non risponde. Attendere qualche minuto; se "
        "continua, comunicare all'amministratore il codice {code}.",
        "fr": "{what} : aucune vérification possible, car {system} ne répond pas. Attendez quelques minutes ; si cela "
        "dure, donnez à votre administrateur le code {code}.",
    },
    "not_told": {
        "en": "{what} could not be checked: {detail} Tell your administrator, with the code {code}.",
        "de": "{what}: keine Prüfung möglich: {detail} Sagen Sie es Ihrem Administrator, mit der Kennung {code}.",
        "it": "{what}: nessuna verifica possibile: {detail} Comunicarlo all'amministratore, con il codice {code}.",
        "fr": "{what} : aucune vérification possible : {detail} Dites-le à votre administrateur, avec le code {code}.",
    },
    "not_set_up": {
        "en": "{what} could not be checked, because nobody has said where. Tell your administrator the code {code}.",
        "de": "{what}: keine Prüfung möglich, weil nicht eingerichtet ist, wo. Nennen Sie Ihrem Administrator die "
        "Kennung {code}.",
        "it": "{what}: nessuna verifica possibile, perché non è impostato dove. Comunicare all'amministratore il "
        "codice {code}.",
        "fr": "{what} : aucune vérification possible, car rien n'est configuré. Donnez à votre administrateur le code "
        "{code}.",
    },
}
