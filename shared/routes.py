"""How every route is guarded: one table. The functions carry no other rule.

The platform's sign-in identifies people but never refuses (a refusal would break webhooks); this table refuses.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import logging
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum, StrEnum
from hashlib import sha256
from typing import Any, Final, TypeVar

from pydantic import BaseModel, SecretStr, ValidationError

from shared.errors import CrossdockError, SettingsError, Who
from shared.settings import (
    FIELD_SERVICES,
    BusinessCentralDoor,
    DataverseDoor,
    OperatorDoor,
    SecretDoor,
    Settings,
)
from shared.strict_json import Json, NotJson, load
from shared.users import User

log = logging.getLogger(__name__)

ModelT = TypeVar("ModelT", bound=BaseModel)

WEBHOOK_HEADER: Final = "x-crossdock-secret"
SIGNATURE_HEADER: Final = "x-crossdock-signature"
TIMESTAMP_HEADER: Final = "x-crossdock-timestamp"
SIGNATURE_SECONDS: Final = 300
"""How far the time of a signature may be from now, in either direction: clocks differ."""
LARGEST_SIGNED_BYTES: Final = 4 * 1024 * 1024
OPERATOR_KEY_HEADER: Final = "x-crossdock-key"
PRINCIPAL_HEADER: Final = "x-ms-client-principal"
PRINCIPAL_ID_HEADER: Final = "x-ms-client-principal-id"
"""Set by the platform's sign-in; callers cannot send them while it is on (Microsoft Learn, "Work with user identities
in Azure App Service authentication")."""
_LARGEST_PRINCIPAL: Final = 64 * 1024
_SECONDS: Final = re.compile(r"[0-9]{1,12}")
_PLAIN_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")


class Role(IntEnum):
    """What a caller of the operations API may do; each role includes those before it."""

    VIEWER = 1
    OPERATOR = 2
    ADMIN = 3


ROLE_NAMES: Final[Mapping[str, Role]] = {f"crossdock.{role.name.lower()}": role for role in Role}
"""The app roles at the sign-in service."""


class Guard(StrEnum):
    """What a route asks for. header_secret: the secret of Dataverse's notices; path_secret: that of Business
    Central's, as a part of the path; field_service: that of a field service, in the header or as the key of a
    signature; user: a token of a person; user_page: the same, or the platform's sign-in, for pages that browsers open;
    the others: a role."""

    PUBLIC = "public"
    HEADER_SECRET = "header_secret"  # noqa: S105 # the name of a kind of guard
    PATH_SECRET = "path_secret"  # noqa: S105 # the name of a kind of guard
    FIELD_SERVICE = "field_service"
    USER = "user"
    USER_PAGE = "user_page"
    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Route:
    """One HTTP function: its path below `/api`, its methods and its guard."""

    path: str
    methods: tuple[str, ...]
    guard: Guard


def _get(path: str, guard: Guard) -> Route:
    return Route(path, ("GET",), guard)


def _post(path: str, guard: Guard) -> Route:
    return Route(path, ("POST",), guard)


_PARKED: Final = "ops/transfers/{transfer}/parked"

ROUTES: Final[Mapping[str, Route]] = {
    "dataverse_webhook": _post("webhooks/dataverse", Guard.HEADER_SECRET),
    "dataverse_confirm": _post("webhooks/dataverse/confirm", Guard.HEADER_SECRET),
    "business_central_webhook": Route(
        "webhooks/business-central/{secret}/{subscription?}", ("GET", "POST"), Guard.PATH_SECRET
    ),
    "cockpit_launch": _get("cockpit/launch", Guard.USER_PAGE),
    "cockpit_evaluations": _post("cockpit/evaluations", Guard.USER),
    "cockpit_opportunity": _get("cockpit/opportunities/{opportunity}", Guard.USER),
    "fsm_price_check": _post("fsm/price-check", Guard.FIELD_SERVICE),
    "fsm_stock_check": _post("fsm/stock-check", Guard.FIELD_SERVICE),
    "fsm_credit_check": _post("fsm/credit-check", Guard.FIELD_SERVICE),
    "fsm_outbound": _post("fsm/outbound", Guard.FIELD_SERVICE),
    "ops_health": _get("ops/health", Guard.PUBLIC),
    "ops_transfers": _get("ops/transfers", Guard.VIEWER),
    "ops_transfer": _get("ops/transfers/{transfer}", Guard.VIEWER),
    "ops_switch": Route("ops/transfers/{transfer}/switch", ("PUT",), Guard.OPERATOR),
    "ops_links": _get("ops/transfers/{transfer}/links", Guard.VIEWER),
    "ops_preview_link": _post("ops/transfers/{transfer}/links/preview", Guard.OPERATOR),
    "ops_link_records": _post("ops/transfers/{transfer}/links", Guard.ADMIN),
    "ops_keep_apart": _post("ops/transfers/{transfer}/apart", Guard.ADMIN),
    "ops_allow_again": _post("ops/transfers/{transfer}/apart/undo", Guard.ADMIN),
    "ops_offered": _get("ops/transfers/{transfer}/offered", Guard.OPERATOR),
    "ops_take_over": _post("ops/transfers/{transfer}/take-over", Guard.ADMIN),
    "ops_modes": _get("ops/modes", Guard.VIEWER),
    "ops_mode": _get("ops/modes/{system}/{partner}", Guard.VIEWER),
    "ops_choose_mode": Route("ops/modes/{system}/{partner}", ("PUT",), Guard.ADMIN),
    "ops_locks": _get("ops/locks/{system}/{table}/{key}", Guard.VIEWER),
    "ops_link": _get("ops/links/{system}/{table}/{key}", Guard.VIEWER),
    "ops_unlink": _post("ops/links/{system}/{table}/{key}/unlink", Guard.ADMIN),
    "ops_explain": _get("ops/explain/{system}/{table}/{key}", Guard.OPERATOR),
    "ops_journal": _get("ops/journal/{system}/{table}/{key}", Guard.VIEWER),
    "ops_parked": _get(_PARKED, Guard.VIEWER),
    "ops_parked_item": _get(f"{_PARKED}/{{side}}/{{key}}", Guard.VIEWER),
    "ops_retry": _post(f"{_PARKED}/{{side}}/{{key}}/retry", Guard.OPERATOR),
    "ops_retry_all": _post(f"{_PARKED}/retry", Guard.OPERATOR),
    "ops_waiting": _get("ops/waiting", Guard.VIEWER),
    "ops_breakers": _get("ops/breakers", Guard.VIEWER),
    "ops_schema": _get("ops/schema", Guard.VIEWER),
    "ops_environments": _get("ops/environments", Guard.VIEWER),
    "ops_adopt": _post("ops/environments/{system}/adopt", Guard.ADMIN),
}


class RequestError(CrossdockError):
    """The caller asked for something that cannot be done; `status` is HTTP's, `field` what he sent wrongly."""

    code = "CD-5001"
    sentence = "The request cannot be understood."
    who = Who.CALLER
    remedy = "Correct what field and sentence name; the route's page in docs/reference or docs/systems describes it."
    status = 400

    def __init__(self, detail: str = "", field: str = "") -> None:
        super().__init__(detail)
        self.field = field


class NotAdmitted(RequestError):
    """The caller showed no valid secret, key or sign-in."""

    code = "CD-5002"
    sentence = "The caller is not known."
    who = Who.ADMINISTRATOR
    remedy = "Sign in, or send the operator key; a system shows the secret that its settings have, or signs with it."
    status = 401


class RoleTooLow(RequestError):
    """The caller is known but may not do this."""

    code = "CD-5003"
    sentence = "The caller's role does not allow this."
    who = Who.ADMINISTRATOR
    remedy = "Ask the administrator for the role that docs/reference/operations.md names."
    status = 403


class Unknown(RequestError):
    """What the request names does not exist."""

    code = "CD-5004"
    sentence = "There is nothing under this name."
    remedy = "Look which names there are: manage.py mode, schema and links show them, and the lists of the API."
    status = 404


class Overtaken(RequestError):
    """Somebody else changed it since the caller looked."""

    code = "CD-5005"
    sentence = "Somebody else changed this in the meantime."
    remedy = "Read it again and decide anew."
    status = 409


class NotLinkable(RequestError):
    """Two records cannot be linked as things stand; the detail says why."""

    code = "CD-5009"
    sentence = "The two records cannot be linked."
    who = Who.RECORD_OWNER
    remedy = "Undo the link that stands in the way, or choose another record."
    status = 409


class SwitchedOff(RequestError):
    """The transfer is off, so that the message would be done without doing anything."""

    code = "CD-5008"
    sentence = "The transfer is switched off."
    remedy = "Switch the transfer on first."
    status = 409


class ModeForbids(RequestError):
    """The mode of the two systems does not allow this."""

    code = "CD-5010"
    sentence = "The mode of the two systems does not allow this."
    who = Who.ADMINISTRATOR
    remedy = "Choose another mode first: manage.py mode, or docs/how-to/take-customers-over.md."
    status = 409


class TooLarge(RequestError):
    """The body is larger than this route takes."""

    code = "CD-5006"
    sentence = "The body is too large."
    remedy = "Send less."
    status = 413


class NotJsonType(RequestError):
    """A write without `Content-Type: application/json`: a page of another site could have sent it unseen."""

    code = "CD-5007"
    sentence = "The body's content type is not JSON."
    remedy = "Send Content-Type: application/json."
    status = 415


def error_body(error: CrossdockError) -> dict[str, str]:
    """An error as callers of the operations API get it."""
    field = error.field if isinstance(error, RequestError) else ""
    return {"code": error.code, "sentence": error.detail or error.sentence, "field": field, "remedy": error.remedy}


def checked(read: Callable[[Any], ModelT], given: object) -> ModelT:
    """Read what a caller sent; raises RequestError naming the first wrong field, without its value."""
    try:
        return read(given)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        raise RequestError(first["msg"].removeprefix("Value error, "), ".".join(map(str, first["loc"]))) from None


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: the role, and an id that may be written down (never a name). None: nobody known.

    systems: those whose secret the sender of a notice has shown; it speaks for no other. user: a signed-in person.
    """

    role: Role | None = None
    id: str = ""
    systems: tuple[str, ...] = ()
    user: User | None = None


_NOBODY: Final = Caller()


class Doorkeeper:
    """Admits callers by the table. now: the time against which signatures are held."""

    def __init__(self, settings: Settings, now: Callable[[], datetime]) -> None:
        self._settings = settings
        self._now = now
        self._secrets: dict[tuple[type[SecretDoor], ...], Mapping[str, tuple[bytes, ...]]] = {}

    def admit(
        self, route: Route, headers: Mapping[str, str], parameters: Mapping[str, str], body: bytes = b""
    ) -> Caller:
        """The caller; raises NotAdmitted, RoleTooLow, TooLarge for a signed body, and SettingsError when a webhook's
        settings are wrong.

        People with tokens are admitted by `shared.user_tokens`.
        """
        match route.guard:
            case Guard.HEADER_SECRET:
                return self._with_secret(headers.get(WEBHOOK_HEADER), DataverseDoor)
            case Guard.PATH_SECRET:
                return self._with_secret(parameters.get("secret"), BusinessCentralDoor)
            case Guard.FIELD_SERVICE:
                return self._of_field_service(headers, body)
            case Guard.PUBLIC:
                return self._known(headers)
            case _:
                return self._with_role(headers, Role[route.guard.name])

    def _with_secret(self, shown: str | None, *kinds: type[SecretDoor]) -> Caller:
        """A webhook's sender."""
        return _speaking(name for name, secrets in self._allowed(kinds).items() if is_one_of(shown, secrets))

    def _of_field_service(self, headers: Mapping[str, str], body: bytes) -> Caller:
        """A field service, by its secret or by a signature under it. What is wrong in the settings goes to the log:
        its answers have words, and strangers are not told."""
        try:
            if (signature := headers.get(SIGNATURE_HEADER)) is None:
                return self._with_secret(headers.get(WEBHOOK_HEADER), *FIELD_SERVICES)
            return self._with_signature(signature, headers.get(TIMESTAMP_HEADER) or "", body)
        except SettingsError as error:
            log.error("no field service can be known: %s", error, extra={"action": "door"})
            raise SettingsError from None

    def _with_signature(self, shown: str, timestamp: str, body: bytes) -> Caller:
        """The sender of a body that is signed with a secret, a short while ago."""
        if len(body) > LARGEST_SIGNED_BYTES:
            raise TooLarge
        if not _SECONDS.fullmatch(timestamp) or abs(self._now().timestamp() - int(timestamp)) > SIGNATURE_SECONDS:
            raise NotAdmitted
        signature = shown.lower()  # senders write hexadecimal digits in either case
        return _speaking(
            name
            for name, secrets in self._allowed(FIELD_SERVICES).items()
            if is_one_of(signature, [_signed(secret, timestamp, body) for secret in secrets])
        )

    def _allowed(self, kinds: tuple[type[SecretDoor], ...]) -> Mapping[str, tuple[bytes, ...]]:
        """The secrets of all systems behind these doors, encoded once."""
        allowed = self._secrets.get(kinds)
        if allowed is None:
            doors = self._settings.of_each(*kinds)
            allowed = self._secrets[kinds] = {name: encoded(one.secret, one.previous) for name, one in doors.items()}
        return allowed

    def _with_role(self, headers: Mapping[str, str], wanted: Role) -> Caller:
        caller = self._known(headers)
        if caller.role is None:
            raise NotAdmitted
        if caller.role < wanted:
            raise RoleTooLow
        return caller

    def _known(self, headers: Mapping[str, str]) -> Caller:
        """By the operator key, or by the platform's sign-in where the settings say that it is on."""
        try:
            door = self._settings.get(OperatorDoor)
        except SettingsError as error:  # strangers are not told which setting is wrong
            log.error("nobody can be known: %s", error, extra={"action": "door"})
            return _NOBODY
        if is_one_of(headers.get(OPERATOR_KEY_HEADER), encoded(door.key, door.previous)):
            return Caller(Role.ADMIN)
        if door.platform_sign_in == "off":
            return _NOBODY
        shown = headers.get(PRINCIPAL_ID_HEADER) or ""
        return Caller(_role(headers.get(PRINCIPAL_HEADER)), shown if _PLAIN_ID.fullmatch(shown) else "")


def encoded(*secrets: SecretStr | None) -> tuple[bytes, ...]:
    """Secrets as `is_one_of` takes them; one that is missing is empty."""
    return tuple(secret.get_secret_value().encode() if secret else b"" for secret in secrets)


def is_one_of(shown: str | None, allowed: Sequence[bytes]) -> bool:
    """Whether the text is one of the secrets. The same work for a wrong and a missing one; an empty secret opens
    nothing."""
    given, found = (shown or "").encode("utf-8", "surrogatepass"), False
    for secret in allowed:
        found |= hmac.compare_digest(given, secret) and secret != b""
    return found


def _speaking(systems: Iterable[str]) -> Caller:
    """Who speaks for these systems; raises NotAdmitted when there is none."""
    if not (found := tuple(systems)):
        raise NotAdmitted
    return Caller(systems=found)


def _signed(secret: bytes, timestamp: str, body: bytes) -> bytes:
    """The signature of a body under a secret; empty, which opens nothing, without one."""
    if not secret:
        return b""
    return b"sha256=" + hmac.new(secret, f"{timestamp}.".encode() + body, sha256).hexdigest().encode()


def _role(header: str | None) -> Role | None:
    """The highest role among the claims (Microsoft Learn, "Work with user identities": base64 of JSON with claims
    of `typ` and `val`); None for anything unreadable."""
    try:
        principal = load(base64.b64decode(header or "", validate=True)[:_LARGEST_PRINCIPAL], depth=8)
    except (binascii.Error, ValueError, NotJson):
        return None
    if not isinstance(principal, dict) or not isinstance(claims := principal.get("claims"), list):
        return None
    kinds = ("roles", principal.get("role_typ"))
    return max((role for claim in claims if (role := _role_of(claim, kinds))), default=None)


def _role_of(claim: Json, kinds: Sequence[Json]) -> Role | None:
    if not isinstance(claim, dict):
        return None
    kind, value = claim.get("typ"), claim.get("val")
    if not isinstance(kind, str) or kind not in kinds or not isinstance(value, str):
        return None
    return ROLE_NAMES.get(value.lower())
