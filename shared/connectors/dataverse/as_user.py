"""Opportunities as a signed-in user sees and changes them: his rights decide, and his name stands in the record.

Two ways, chosen by a setting. On behalf of: his token is exchanged for one of this organisation. CallerObjectId: our
application user acts for him, within the rights of both (Microsoft Learn, "Impersonate another user").
Nothing of an answer is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

from shared.connectors.answers import object_of
from shared.connectors.dataverse.client import HEADERS, ROOT, encoded
from shared.connectors.dataverse.errors import Doing, error_of, is_missing
from shared.errors import BadAnswer, NotAllowed, SignInFailed
from shared.http_client import Call, HttpClient, Reply, Sender
from shared.identity import TokenSource
from shared.sales_cockpit.errors import NotSetUp, NotVisible, SignInAgain
from shared.sales_cockpit.ports import Opportunity, State
from shared.strict_json import Json, JsonObject
from shared.sync.ports import ColumnType, TableMetadata
from shared.users import User

TABLE: Final = "opportunity"
SET: Final = "opportunities"
FORMATTED: Final = "OData.Community.Display.V1.FormattedValue"
STATES: Final = {0: State.OPEN, 1: State.WON, 2: State.LOST}
"""`statecode` of an opportunity (Microsoft Learn, 'Opportunity table reference')."""
NOT_A_MEMBER: Final = "0x80072560"
MAY_NOT_ACT: Final = frozenset({"0x80040204", "0x8004a110"})
AGAIN: Final = frozenset({"AADSTS50013", "AADSTS500133", "AADSTS50076", "AADSTS50079", "AADSTS50158", "AADSTS70043",
                          "AADSTS700082", "AADSTS50173", "AADSTS530003", "AADSTS53003"})  # fmt: skip
"""Answers of the sign-in service that only the user himself can mend: his token has ended, or was withdrawn; a second
factor or another device is asked of him (Microsoft Learn, 'Microsoft Entra authentication error codes')."""


@dataclass(frozen=True)
class Acting:
    """How requests are made for a user: who sends them, and the headers that say for whom."""

    sender: Sender
    headers: Mapping[str, str]


For = Callable[[User], Acting]


def on_behalf_of(http: HttpClient, tokens: Callable[[str], TokenSource]) -> For:
    """With tokens that the user's own token is exchanged for; raises SignInAgain for a user without one."""

    def acting(user: User) -> Acting:
        if not user.assertion:
            raise SignInAgain
        return Acting(http.as_another(tokens(user.assertion)), {})

    return acting


def caller_object_id(sender: Sender) -> For:
    """As our own application user, which acts for him."""
    return lambda user: Acting(sender, {"CallerObjectId": user.object_id})


class OpportunitiesAsUser:
    """See `shared.sales_cockpit.ports.Crm`."""

    def __init__(self, system: str, acting: For, metadata: Callable[[], Metadata]) -> None:
        self.system = system
        self._acting = acting
        self._metadata = metadata

    async def metadata(self) -> TableMetadata:
        """The table's columns, as our own identity sees them."""
        return await self._metadata().measured(TABLE)

    async def read(self, user: User, key: str, columns: Sequence[str], within_seconds: float) -> Opportunity:
        """One opportunity with these columns, in one request."""
        names = await self._json_names(columns)
        selected = dict.fromkeys(("name", "statecode", *names.values()))
        query = [("$select", ",".join(selected))]
        headers = {"Prefer": f'odata.include-annotations="{FORMATTED}"'}
        call = Call("GET", f"{ROOT}{SET}({key}){encoded(query)}", f"{SET}(..)", {**HEADERS, **headers})
        reply = await self._send(user, call, within_seconds)
        if is_missing(reply):
            raise NotVisible
        return self._opportunity(key, object_of(self.system, self._checked(reply, Doing.READ, columns)), names)

    async def write(self, user: User, key: str, etag: str, values: Mapping[str, Json], within_seconds: float) -> str:
        """Change these columns in one request, if the opportunity still has this etag; answers the new one."""
        headers = {**HEADERS, "If-Match": etag, "Prefer": "return=representation"}
        query = [("$select", "statecode")]
        target = f"{ROOT}{SET}({key}){encoded(query)}"
        call = Call("PATCH", target, f"{SET}(..)", headers, dict(values))
        reply = self._checked(await self._send(user, call, within_seconds), Doing.UPDATE, list(values))
        return str(object_of(self.system, reply).get("@odata.etag") or "")

    async def _json_names(self, columns: Sequence[str]) -> Mapping[str, str]:
        """Each column with the property that carries it; metadata are asked for only where a column could be a
        reference. Raises UnknownColumn through the caller's check of settings, never here: an unknown one is asked for
        as it is and refused by the system."""
        if set(columns) <= {"name", "statecode"}:
            return {name: name for name in columns}
        known = (await self.metadata()).columns
        return {name: _json_name(name, known[name].type if name in known else None) for name in columns}

    async def _send(self, user: User, call: Call, within_seconds: float) -> Reply:
        acting = self._acting(user)
        signed = replace(call, headers={**call.headers, **acting.headers})
        try:
            return await acting.sender.send(signed, within_seconds)
        except SignInFailed as error:
            raise _sign_in(error) from None

    def _checked(self, reply: Reply, doing: Doing, columns: Sequence[str] = ()) -> Reply:
        if reply.status < 400:
            return reply
        error = error_of(doing, reply, columns)
        if isinstance(error, NotAllowed):
            raise (_may_not_act(error) if error.answer.vendor_code in MAY_NOT_ACT else _hidden(error, doing)) from None
        raise _sign_in(error) if isinstance(error, SignInFailed) else error

    def _opportunity(self, key: str, row: JsonObject, names: Mapping[str, str]) -> Opportunity:
        state, etag = row.get("statecode"), row.get("@odata.etag")
        if not isinstance(state, int) or state not in STATES or not isinstance(etag, str):
            raise BadAnswer(self.system, detail=f"{self.system}: an opportunity without state or version")
        shown = {name: row[f"{json_name}@{FORMATTED}"] for name, json_name in names.items()
                 if f"{json_name}@{FORMATTED}" in row}  # fmt: skip
        return Opportunity(
            key=key,
            etag=etag,
            state=STATES[state],
            name=str(row.get("name") or ""),
            values={name: row[json_name] for name, json_name in names.items() if json_name in row},
            formatted={name: str(text) for name, text in shown.items()},
        )


class Metadata(Protocol):
    """The part of the connector that describes tables."""

    async def measured(self, table: str) -> TableMetadata: ...


def _json_name(name: str, kind: ColumnType | None) -> str:
    return f"_{name}_value" if kind is ColumnType.REFERENCE else name


def _hidden(error: NotAllowed, doing: Doing) -> Exception:
    """What a user may not read is to him as if it did not exist; what he may not write he is told."""
    return NotVisible() if doing is Doing.READ else error


def _may_not_act(error: NotAllowed) -> NotSetUp:
    return NotSetUp(error.answer.vendor_code)


def _sign_in(error: SignInFailed) -> Exception:
    """Whose fault a refused sign-in is: the user's session, his membership, or our application's rights."""
    code = error.answer.vendor_code
    if code == NOT_A_MEMBER:
        return NotVisible()
    if code in AGAIN:
        return SignInAgain(code)
    return NotSetUp(code)
