"""All settings, read from the environment in one place and section by section.

A section is read when it is first needed, so a mistake in one closes only what depends on it; `check` reads them all.
Every error names the setting and what to do, never its value. docs/reference/settings.md explains each setting; a test
holds that page, local.settings.example.json and this module together.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Annotated, ClassVar, Final, Literal, Self, TypeVar
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from shared.connectors.keys import canonical_guid
from shared.errors import SettingsError

AZURE_VARIABLES: Final = ("WEBSITE_INSTANCE_ID", "WEBSITE_SITE_NAME")
"""Set by App Service in every app (Microsoft Learn, "Environment variables and app settings reference")."""
UNRESOLVED: Final = "@Microsoft.KeyVault("
"""A Key Vault reference that could not be resolved reaches the app as this text (Microsoft Learn, "Use Key Vault
references as app settings")."""

LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
"""Hosts that are this very machine: only they may be called without encryption."""

OnOff = Literal["on", "off"]
Guid = Annotated[str, AfterValidator(canonical_guid)]
Secret = Annotated[SecretStr, Field(min_length=32)]
"""A value that opens a door: 256 bits as text have at least 32 characters."""


class Section(BaseModel):
    """Settings that are needed together; a field's alias is the name of its setting."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True, defer_build=True)

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> Self:
        """Read the section; an empty setting counts as missing. Raises SettingsError naming every wrong setting."""
        found = {}
        for field in cls.model_fields.values():
            name = str(field.alias)
            value = environment.get(name, "").strip()
            if value.startswith(UNRESOLVED):
                raise SettingsError(
                    f"{name}: its Key Vault reference is not resolved. Give the app's identity the role Key Vault "
                    "Secrets User and look at the setting in the portal."
                )
            if value:
                found[name] = value
        try:
            return cls.model_validate(found)
        except ValidationError as error:
            raise SettingsError(_explain(error)) from None


def _explain(error: ValidationError) -> str:
    faults = error.errors(include_url=False, include_input=False)
    return " ".join(_sentence(fault["loc"], fault["type"], fault["msg"], fault.get("ctx", {})) for fault in faults)


def _sentence(place: Sequence[int | str], kind: str, text: str, limits: Mapping[str, object]) -> str:
    what = "is missing; set it." if kind == "missing" else f"{text.removeprefix('Value error, ')}."
    if kind in ("too_short", "string_too_short"):
        what = f"needs at least {limits['min_length']} characters."
    return f"{place[0]}: {what}" if place else what


class Place(Section):
    """Where the app runs."""

    local: Annotated[OnOff, Field(alias="CROSSDOCK_LOCAL")] = "off"


class PublicAddress(Section):
    """Where the systems reach the app; needed by those that are told so when we subscribe."""

    url: Annotated[str | None, Field(alias="CROSSDOCK_PUBLIC_URL")] = None

    @field_validator("url")
    @classmethod
    def _can_be_reached(cls, url: str | None) -> str | None:
        parts = urlsplit(url or "https://missing")
        safe = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)
        if not safe or not parts.hostname or parts.username or parts.query or parts.fragment:
            raise ValueError("give an https address without user name, query and fragment")
        return url


_TOGETHER: Final = (
    frozenset({"URL", "SANDBOX_URL"}),
    frozenset({"WEBHOOK_SECRET", "WEBHOOK_SECRET_PREVIOUS"}),
    frozenset({"CLIENT_STATE", "CLIENT_STATE_PREVIOUS"}),
)
"""Settings of which a system that has one of its own takes none from its kind."""


class SystemSection(Section):
    """Settings of one system, under its name: `CROSSDOCK_<NAME>_…`.

    system: the kind of the system. own: what each system says for itself; the rest it may leave to the settings of its
    kind.
    """

    system: ClassVar[str]
    own: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    def read_for(cls, name: str, environment: Mapping[str, str]) -> Self:
        """Read the section of the system of this name. Raises SettingsError naming every wrong setting of it."""
        if name == cls.system:
            return cls.read(environment)
        try:
            return cls.read({**environment, **cls._said_by(name, environment)})
        except SettingsError as error:
            raise SettingsError(error.detail.replace(prefix_of(cls.system), prefix_of(name))) from None

    @classmethod
    def _said_by(cls, name: str, environment: Mapping[str, str]) -> dict[str, str]:
        """The settings of the kind as they are for one system."""
        kind, mine = prefix_of(cls.system), prefix_of(name)
        of_kind = [str(field.alias) for field in cls.model_fields.values() if str(field.alias).startswith(kind)]
        said = {setting: environment.get(setting.replace(kind, mine), "").strip() for setting in of_kind}
        told = {setting.removeprefix(kind) for setting, value in said.items() if value}
        alone = cls.own.union(*(group for group in _TOGETHER if group & told))
        left = {setting for setting in of_kind if not said[setting] and setting.removeprefix(kind) not in alone}
        return said | {setting: environment.get(setting, "") for setting in left}

    def missing(self, name: str) -> list[str]:
        """The settings without which this door takes nothing from the system of this name."""
        wanted = [(one, str(field.alias)) for one, field in type(self).model_fields.items() if "previous" not in one]
        kind, mine = prefix_of(self.system), prefix_of(name)
        return [setting.replace(kind, mine) for one, setting in wanted if getattr(self, one) is None]


def prefix_of(name: str) -> str:
    """How the settings of a system begin."""
    return f"CROSSDOCK_{name.upper()}_"


class SecretDoor(SystemSection):
    """Who may post something to us: whoever shows this secret, or the one before."""

    secret: Secret | None
    previous: Secret | None


class DataverseDoor(SecretDoor):
    """Who may post Dataverse's notices, and from which organisation."""

    system: ClassVar[str] = "dataverse"
    own: ClassVar[frozenset[str]] = frozenset({"ORGANIZATION_ID"})
    secret: Annotated[Secret | None, Field(alias="CROSSDOCK_DATAVERSE_WEBHOOK_SECRET")] = None
    previous: Annotated[Secret | None, Field(alias="CROSSDOCK_DATAVERSE_WEBHOOK_SECRET_PREVIOUS")] = None
    organization_id: Annotated[Guid | None, Field(alias="CROSSDOCK_DATAVERSE_ORGANIZATION_ID")] = None


class BusinessCentralDoor(SecretDoor):
    """Who may post Business Central's notices, and from which company."""

    system: ClassVar[str] = "business_central"
    own: ClassVar[frozenset[str]] = frozenset({"COMPANY_ID"})
    secret: Annotated[Secret | None, Field(alias="CROSSDOCK_BUSINESS_CENTRAL_WEBHOOK_SECRET")] = None
    previous: Annotated[Secret | None, Field(alias="CROSSDOCK_BUSINESS_CENTRAL_WEBHOOK_SECRET_PREVIOUS")] = None
    client_state: Annotated[Secret | None, Field(alias="CROSSDOCK_BUSINESS_CENTRAL_CLIENT_STATE")] = None
    client_state_previous: Annotated[Secret | None, Field(alias="CROSSDOCK_BUSINESS_CENTRAL_CLIENT_STATE_PREVIOUS")] = (
        None
    )
    environment: Annotated[str | None, Field(alias="CROSSDOCK_BUSINESS_CENTRAL_ENVIRONMENT")] = None
    company_id: Annotated[Guid | None, Field(alias="CROSSDOCK_BUSINESS_CENTRAL_COMPANY_ID")] = None


class FieldServiceDoor(SecretDoor):
    """Who may post the messages of a field service, and ask for checks from there."""

    site: str


class FsmDoor(FieldServiceDoor):
    """Who may post the messages of an FSM server, and ask for checks from there."""

    system: ClassVar[str] = "fsm"
    secret: Annotated[Secret | None, Field(alias="CROSSDOCK_FSM_WEBHOOK_SECRET")] = None
    previous: Annotated[Secret | None, Field(alias="CROSSDOCK_FSM_WEBHOOK_SECRET_PREVIOUS")] = None
    site: Annotated[str, Field(alias="CROSSDOCK_FSM_SITE")] = "{}"


class IfsCloudDoor(FieldServiceDoor):
    """Who may post the messages of IFS Cloud, and ask for checks from there."""

    system: ClassVar[str] = "ifs_cloud"
    secret: Annotated[Secret | None, Field(alias="CROSSDOCK_IFS_CLOUD_WEBHOOK_SECRET")] = None
    previous: Annotated[Secret | None, Field(alias="CROSSDOCK_IFS_CLOUD_WEBHOOK_SECRET_PREVIOUS")] = None
    site: Annotated[str, Field(alias="CROSSDOCK_IFS_CLOUD_SITE")] = "{}"


class OperatorDoor(Section):
    """Who may use the operations API."""

    key: Annotated[Secret | None, Field(alias="CROSSDOCK_OPERATOR_KEY")] = None
    previous: Annotated[Secret | None, Field(alias="CROSSDOCK_OPERATOR_KEY_PREVIOUS")] = None
    platform_sign_in: Annotated[OnOff, Field(alias="CROSSDOCK_PLATFORM_SIGN_IN")] = "off"


@dataclass(frozen=True, slots=True)
class Identity:
    """An application at the sign-in service; without a secret: that managed identity."""

    client_id: str
    secret: SecretStr | None


class Address(SystemSection):
    """Where a system is: the real one, or a sandbox on this machine."""

    own: ClassVar[frozenset[str]] = frozenset({"URL", "SANDBOX_URL"})
    local: Annotated[OnOff, Field(alias="CROSSDOCK_LOCAL")] = "off"
    sandbox_token_url: Annotated[str | None, Field(alias="CROSSDOCK_SANDBOX_TOKEN_URL")] = None
    url: str | None
    sandbox_url: str | None
    identities: SecretStr | None

    @model_validator(mode="after")
    def _one_address(self) -> Self:
        name = f"CROSSDOCK_{self.system.upper()}_URL"
        sandbox = f"CROSSDOCK_{self.system.upper()}_SANDBOX_URL"
        if self.url and self.sandbox_url:
            raise ValueError(f"{name}, {sandbox}: keep one of the two")
        if self.sandbox_url and self.local == "off":
            raise ValueError(f"{sandbox}: a sandbox is for one machine; set {name} instead")
        if self.sandbox_url and not self.sandbox_token_url:
            raise ValueError("CROSSDOCK_SANDBOX_TOKEN_URL: is missing; manage.py run sets it with the sandboxes")
        if not self.url and not self.sandbox_url:
            raise ValueError(f"{name}: is missing; set the address of the system (manage.py run starts a sandbox)")
        return self

    @model_validator(mode="after")
    def _identities_are_readable(self) -> Self:
        if any(not identity.client_id for identity in self.each_identity()):
            raise ValueError(
                f"CROSSDOCK_{self.system.upper()}_IDENTITIES: write <client id>:<secret>, several separated by blanks; "
                "a client id alone is a managed identity"
            )
        return self

    def each_identity(self) -> tuple[Identity, ...]:
        """The identities that share the work; empty for the app's own identity."""
        text = self.identities.get_secret_value() if self.identities else ""
        parts = [entry.partition(":") for entry in text.split()]
        return tuple(Identity(client_id, SecretStr(secret) if secret else None) for client_id, _, secret in parts)

    @property
    def base_url(self) -> str:
        """The address to call."""
        return str(self.url or self.sandbox_url)

    @property
    def is_sandbox(self) -> bool:
        """Whether it is an imitation on this machine."""
        return not self.url

    @property
    def place(self) -> tuple[str, ...]:
        """What no other system of the installation may be."""
        return (self.base_url.rstrip("/").lower(),)


class DataverseSettings(Address):
    """The organisation and our identities in it."""

    system: ClassVar[str] = "dataverse"
    own: ClassVar[frozenset[str]] = frozenset({"URL", "SANDBOX_URL", "ORGANIZATION_ID"})
    url: Annotated[str | None, Field(alias="CROSSDOCK_DATAVERSE_URL")] = None
    sandbox_url: Annotated[str | None, Field(alias="CROSSDOCK_DATAVERSE_SANDBOX_URL")] = None
    organization_id: Annotated[Guid, Field(alias="CROSSDOCK_DATAVERSE_ORGANIZATION_ID")]
    tenant_id: Annotated[str | None, Field(alias="CROSSDOCK_DATAVERSE_TENANT_ID")] = None
    profile: Annotated[Literal["productive", "test"], Field(alias="CROSSDOCK_DATAVERSE_PROFILE")] = "productive"
    identities: Annotated[SecretStr | None, Field(alias="CROSSDOCK_DATAVERSE_IDENTITIES")] = None

    @property
    def place(self) -> tuple[str, ...]:
        """The organisation."""
        return (self.organization_id,)


class BusinessCentralSettings(Address):
    """The company and our identities in its environment."""

    system: ClassVar[str] = "business_central"
    own: ClassVar[frozenset[str]] = frozenset({"COMPANY_ID"})
    url: Annotated[str | None, Field(alias="CROSSDOCK_BUSINESS_CENTRAL_URL")] = None
    sandbox_url: Annotated[str | None, Field(alias="CROSSDOCK_BUSINESS_CENTRAL_SANDBOX_URL")] = None
    tenant_id: Annotated[str, Field(alias="CROSSDOCK_BUSINESS_CENTRAL_TENANT_ID")]
    environment: Annotated[str, Field(alias="CROSSDOCK_BUSINESS_CENTRAL_ENVIRONMENT")]
    company_id: Annotated[Guid, Field(alias="CROSSDOCK_BUSINESS_CENTRAL_COMPANY_ID")]
    extension: Annotated[
        str,
        Field(
            alias="CROSSDOCK_BUSINESS_CENTRAL_EXTENSION",
            pattern=r"^[A-Za-z0-9]+/[A-Za-z0-9]+/(v[0-9]+\.[0-9]+|beta)$",
        ),
    ] = "crmlink/sync/v1.0"
    identities: Annotated[SecretStr | None, Field(alias="CROSSDOCK_BUSINESS_CENTRAL_IDENTITIES")] = None

    @property
    def place(self) -> tuple[str, ...]:
        """The company, in its environment."""
        return (self.tenant_id.lower(), self.environment.lower(), self.company_id)


class SiteAddress(Address):
    """Where a system is that each customer runs himself, and how one signs in there.

    sign_in: oauth2 are client credentials at `token_url`; api_key is a key in a header.
    """

    sign_in: Literal["oauth2", "basic", "api_key"]
    token_url: str | None
    scope: str | None
    site: str
    identities: SecretStr

    @model_validator(mode="after")
    def _can_sign_in(self) -> Self:
        mine = prefix_of(self.system)
        if any(identity.secret is None for identity in self.each_identity()):
            raise ValueError(
                f"{mine}IDENTITIES: write <client id>:<secret>, <user>:<password> or <header>:<key>, as "
                f"{mine}SIGN_IN says"
            )
        if self.sign_in == "oauth2" and not self.token_url:
            raise ValueError(f"{mine}TOKEN_URL: is missing; set the address of the site's token endpoint")
        return self


class PostOfficeSettings(SiteAddress):
    """The site's interface and our identity there."""

    system: ClassVar[str] = "postoffice"
    url: Annotated[str | None, Field(alias="CROSSDOCK_POSTOFFICE_URL")] = None
    sandbox_url: Annotated[str | None, Field(alias="CROSSDOCK_POSTOFFICE_SANDBOX_URL")] = None
    sign_in: Annotated[Literal["oauth2", "basic", "api_key"], Field(alias="CROSSDOCK_POSTOFFICE_SIGN_IN")] = "oauth2"
    token_url: Annotated[str | None, Field(alias="CROSSDOCK_POSTOFFICE_TOKEN_URL")] = None
    scope: Annotated[str | None, Field(alias="CROSSDOCK_POSTOFFICE_SCOPE")] = None
    site: Annotated[str, Field(alias="CROSSDOCK_POSTOFFICE_SITE")] = "{}"
    identities: Annotated[SecretStr, Field(alias="CROSSDOCK_POSTOFFICE_IDENTITIES")]


class FsmSettings(SiteAddress):
    """The FSM server's interface and our identity there."""

    system: ClassVar[str] = "fsm"
    url: Annotated[str | None, Field(alias="CROSSDOCK_FSM_URL")] = None
    sandbox_url: Annotated[str | None, Field(alias="CROSSDOCK_FSM_SANDBOX_URL")] = None
    sign_in: Annotated[Literal["oauth2", "basic", "api_key"], Field(alias="CROSSDOCK_FSM_SIGN_IN")] = "basic"
    token_url: Annotated[str | None, Field(alias="CROSSDOCK_FSM_TOKEN_URL")] = None
    scope: Annotated[str | None, Field(alias="CROSSDOCK_FSM_SCOPE")] = None
    site: Annotated[str, Field(alias="CROSSDOCK_FSM_SITE")] = "{}"
    identities: Annotated[SecretStr, Field(alias="CROSSDOCK_FSM_IDENTITIES")]


class IfsCloudSettings(Address):
    """The environment of IFS Cloud and our client at its identity service.

    namespace: the realm of its sign-in.
    """

    system: ClassVar[str] = "ifs_cloud"
    url: Annotated[str | None, Field(alias="CROSSDOCK_IFS_CLOUD_URL")] = None
    sandbox_url: Annotated[str | None, Field(alias="CROSSDOCK_IFS_CLOUD_SANDBOX_URL")] = None
    namespace: Annotated[str, Field(alias="CROSSDOCK_IFS_CLOUD_NAMESPACE", pattern=r"^[A-Za-z0-9._-]{1,64}$")]
    site: Annotated[str, Field(alias="CROSSDOCK_IFS_CLOUD_SITE")] = "{}"
    identities: Annotated[SecretStr, Field(alias="CROSSDOCK_IFS_CLOUD_IDENTITIES")]

    @model_validator(mode="after")
    def _can_sign_in(self) -> Self:
        if any(identity.secret is None for identity in self.each_identity()):
            raise ValueError("CROSSDOCK_IFS_CLOUD_IDENTITIES: write <client id>:<secret>")
        return self


class SalesCockpitSettings(Address):
    """The Cockpit, our identity there, and what is exchanged with it.

    crm: the name of the Dataverse system whose opportunities it rates. as_user: how reads and writes happen as the
    signed-in user.
    """

    system: ClassVar[str] = "sales_cockpit"
    url: Annotated[str | None, Field(alias="CROSSDOCK_SALES_COCKPIT_URL")] = None
    sandbox_url: Annotated[str | None, Field(alias="CROSSDOCK_SALES_COCKPIT_SANDBOX_URL")] = None
    tenant_id: Annotated[str | None, Field(alias="CROSSDOCK_SALES_COCKPIT_TENANT_ID")] = None
    scope: Annotated[str | None, Field(alias="CROSSDOCK_SALES_COCKPIT_SCOPE")] = None
    identities: Annotated[SecretStr | None, Field(alias="CROSSDOCK_SALES_COCKPIT_IDENTITIES")] = None
    crm: Annotated[str, Field(alias="CROSSDOCK_SALES_COCKPIT_CRM")] = "dataverse"
    as_user: Annotated[Literal["on_behalf_of", "caller_object_id"], Field(alias="CROSSDOCK_SALES_COCKPIT_AS_USER")] = (
        "on_behalf_of"
    )
    embed: Annotated[OnOff, Field(alias="CROSSDOCK_SALES_COCKPIT_EMBED")] = "off"
    shown_columns: Annotated[str, Field(alias="CROSSDOCK_SALES_COCKPIT_SHOWN_COLUMNS")] = (
        "name,customerid,estimatedvalue,estimatedclosedate,closeprobability,opportunityratingcode,ownerid,statecode"
    )
    probability_column: Annotated[str, Field(alias="CROSSDOCK_SALES_COCKPIT_PROBABILITY_COLUMN")] = "closeprobability"
    probability_choices: Annotated[str | None, Field(alias="CROSSDOCK_SALES_COCKPIT_PROBABILITY_CHOICES")] = None
    results: Annotated[str | None, Field(alias="CROSSDOCK_SALES_COCKPIT_RESULTS")] = None
    budget_seconds: Annotated[int, Field(alias="CROSSDOCK_SALES_COCKPIT_BUDGET_SECONDS", gt=0, le=60)] = 8

    @field_validator("shown_columns")
    @classmethod
    def _columns_are_names(cls, text: str) -> str:
        if not re.fullmatch(r"[a-z][a-z0-9_]*(,[a-z][a-z0-9_]*)*", text.replace(" ", "")):
            raise ValueError("write the logical names of columns, several with commas")
        return text.replace(" ", "")

    @field_validator("results")
    @classmethod
    def _results_have_columns(cls, text: str | None) -> str | None:
        if text is not None and not re.fullmatch(
            r"[A-Za-z][A-Za-z0-9_]*=[a-z][a-z0-9_]*(,[A-Za-z][A-Za-z0-9_]*=[a-z][a-z0-9_]*)*", text.replace(" ", "")
        ):
            raise ValueError("write <result>=<column>, several with commas, such as score=crossdock_score")
        return text.replace(" ", "") if text else text

    @field_validator("probability_choices")
    @classmethod
    def _ranges_cover_everything(cls, text: str | None) -> str | None:
        if text is not None and not _covers_all(text.replace(" ", "")):
            raise ValueError(
                "write <from>-<to>=<choice>, several with commas, which together cover 0 to 100 without a gap, such as "
                "0-33=1,34-66=2,67-100=3"
            )
        return text.replace(" ", "") if text else text

    def shown(self) -> tuple[str, ...]:
        """The columns that the Cockpit may show, in their order."""
        return tuple(dict.fromkeys(self.shown_columns.split(",")))

    def result_columns(self) -> Mapping[str, str]:
        """The results that are written, each with its column."""
        return {
            name: column for name, _, column in (one.partition("=") for one in (self.results or "").split(",") if one)
        }

    def choices(self) -> Sequence[tuple[int, int, str]]:
        """From which to which probability (whole, both inside) a choice column gets which choice."""
        return _ranges(self.probability_choices or "")


_RANGE: Final = re.compile(r"(\d{1,3})-(\d{1,3})=(-?\d{1,10})")


def _ranges(text: str) -> list[tuple[int, int, str]]:
    """The ranges of a text; empty when it has none or is written otherwise."""
    found = [_RANGE.fullmatch(one) for one in text.split(",") if one]
    return [] if None in found else [(int(one[1]), int(one[2]), one[3]) for one in found if one]


def _covers_all(text: str) -> bool:
    """Whether ranges follow one another from 0 to 100."""
    ranges = _ranges(text)
    begins, ends = [one[0] for one in ranges], [one[1] for one in ranges]
    follows = begins == [0, *(end + 1 for end in ends[:-1])]
    return bool(ranges) and follows and ends[-1] == 100 and all(begin <= end for begin, end, _ in ranges)


class Checks(Section):
    """How the checks are answered while the caller waits.

    price_from, stock_from, credit_from: name of the system whose data count. budget_seconds: in all; backend_seconds:
    for each system that is asked. repeat_seconds: for so long the same request id gets the same answer. confirm: the
    tables of the CRM whose records are registered only after a yes.
    """

    price_from: Annotated[str, Field(alias="CROSSDOCK_CHECKS_PRICE_FROM")] = "business_central"
    stock_from: Annotated[str, Field(alias="CROSSDOCK_CHECKS_STOCK_FROM")] = "business_central"
    credit_from: Annotated[str, Field(alias="CROSSDOCK_CHECKS_CREDIT_FROM")] = "business_central"
    budget_seconds: Annotated[float, Field(alias="CROSSDOCK_CHECKS_BUDGET_SECONDS", gt=0, le=60)] = 5
    backend_seconds: Annotated[float, Field(alias="CROSSDOCK_CHECKS_BACKEND_SECONDS", gt=0, le=60)] = 2
    repeat_seconds: Annotated[int, Field(alias="CROSSDOCK_CHECKS_REPEAT_SECONDS", ge=0, le=3600)] = 300
    confirm: Annotated[str | None, Field(alias="CROSSDOCK_CHECKS_CONFIRM", pattern=r"^([a-z][a-z0-9_]*(, *|$))*$")] = (
        None
    )

    def source_of(self, check: str) -> str:
        """Name of the system whose data count for a check: `price`, `stock` or `credit`."""
        return {"price": self.price_from, "stock": self.stock_from, "credit": self.credit_from}[check]

    def chose(self, check: str) -> bool:
        """Whether that was said, and is not merely the default."""
        return f"{check}_from" in self.model_fields_set

    def confirmed_tables(self) -> tuple[str, ...]:
        """The tables whose records are registered only after a yes."""
        return tuple(one.strip() for one in (self.confirm or "").split(",") if one.strip())


class UserSignIn(Section):
    """Whose tokens users may show, and our application at the sign-in service, which acts on their behalf.

    audience: the client id of our API, and its address there (`api://...`) if tokens are made out to that; separated by
    blanks. client_secret: missing where the app's managed identity is a federated credential of the application.
    scope: the delegated right that a token must hold. sandbox_url: a sign-in service on this machine.
    """

    tenant_id: Annotated[Guid | None, Field(alias="CROSSDOCK_USERS_TENANT_ID")] = None
    audience: Annotated[str | None, Field(alias="CROSSDOCK_USERS_AUDIENCE")] = None
    client_secret: Annotated[SecretStr | None, Field(alias="CROSSDOCK_USERS_CLIENT_SECRET")] = None
    scope: Annotated[str, Field(alias="CROSSDOCK_USERS_SCOPE")] = "user_impersonation"
    sandbox_url: Annotated[str | None, Field(alias="CROSSDOCK_USERS_SANDBOX_URL")] = None
    local: Annotated[OnOff, Field(alias="CROSSDOCK_LOCAL")] = "off"

    @model_validator(mode="after")
    def _sandbox_is_local(self) -> Self:
        if self.sandbox_url and self.local == "off":
            raise ValueError("CROSSDOCK_USERS_SANDBOX_URL: a sandbox is for one machine; remove it")
        if bool(self.tenant_id) != bool(self.audience):
            raise ValueError("CROSSDOCK_USERS_TENANT_ID, CROSSDOCK_USERS_AUDIENCE: set both, or none of them")
        return self


class StoreSettings(Section):
    """Where links, claims, journal and the rest are kept: exactly one of the three places."""

    path: Annotated[str | None, Field(alias="CROSSDOCK_STORE_PATH")] = None
    endpoint: Annotated[str | None, Field(alias="CROSSDOCK_STORE_ENDPOINT")] = None
    connection_string: Annotated[SecretStr | None, Field(alias="CROSSDOCK_STORE_CONNECTION_STRING")] = None
    prefix: Annotated[str, Field(alias="CROSSDOCK_STORE_PREFIX", pattern=r"^[A-Za-z][A-Za-z0-9]{0,22}$")] = "crossdock"
    local: Annotated[OnOff, Field(alias="CROSSDOCK_LOCAL")] = "off"

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        given = [place for place in (self.path, self.endpoint, self.connection_string) if place]
        if len(given) != 1:
            raise ValueError(
                "CROSSDOCK_STORE_ENDPOINT, CROSSDOCK_STORE_CONNECTION_STRING, CROSSDOCK_STORE_PATH: "
                "set exactly one (in Azure the endpoint)"
            )
        if self.path and self.local == "off":
            raise ValueError("CROSSDOCK_STORE_PATH: a file is for one machine; set CROSSDOCK_STORE_ENDPOINT instead")
        return self


class QueueSettings(Section):
    """The Service Bus namespace; the names are those that the platform's triggers read too."""

    connection_string: Annotated[SecretStr | None, Field(alias="ServiceBus")] = None
    namespace: Annotated[str | None, Field(alias="ServiceBus__fullyQualifiedNamespace")] = None

    @model_validator(mode="after")
    def _one_way_in(self) -> Self:
        if bool(self.connection_string) == bool(self.namespace):
            raise ValueError(
                "ServiceBus, ServiceBus__fullyQualifiedNamespace: set exactly one (in Azure the namespace's host name)"
            )
        return self


class EngineSettings(Section):
    """What the engine itself needs."""

    fingerprint_key: Annotated[SecretStr, Field(alias="CROSSDOCK_FINGERPRINT_KEY")]
    fingerprint_key_previous: Annotated[SecretStr | None, Field(alias="CROSSDOCK_FINGERPRINT_KEY_PREVIOUS")] = None
    identity_client_id: Annotated[str | None, Field(alias="CROSSDOCK_IDENTITY_CLIENT_ID")] = None
    windows: Annotated[str | None, Field(alias="CROSSDOCK_WINDOWS")] = None

    @field_validator("windows")
    @classmethod
    def _windows_are_days(cls, text: str | None) -> str | None:
        if text is None:
            return None
        if not re.fullmatch(r"([a-z][a-z0-9_]*=[1-9]\d{0,2}(,(?=.)|$))*", text.replace(" ", "")):
            raise ValueError(
                "write <transfer>=<days>, several with commas, such as shipment_statistics_to_dataverse=14"
            )
        return text.replace(" ", "")

    def window_days(self) -> Mapping[str, int]:
        """How many days the windows of these transfers have, whatever their definitions say."""
        named = (one.partition("=") for one in (self.windows or "").split(",") if one)
        return {name: int(days) for name, _, days in named}

    @model_validator(mode="after")
    def _keys_are_readable(self) -> Self:
        keys = self.fingerprint_keys()
        for name, (key_id, key) in zip(_FINGERPRINT_KEYS, keys, strict=False):
            if not key_id or set(" |") & set(key_id) or not 16 <= len(key) <= 64:
                raise ValueError(f"{name}: write <id>:<base64 of 16 to 64 random bytes>, such as k1:...")
        if len({key_id for key_id, _ in keys}) < len(keys):
            raise ValueError(f"{_FINGERPRINT_KEYS[0]}: give the new key another id than the one before has")
        return self

    def fingerprint_keys(self) -> list[tuple[str, bytes]]:
        """Id and bytes of the key, then of the one before if there is one; empty bytes when a text is no base64."""
        texts = [self.fingerprint_key, self.fingerprint_key_previous]
        return [_key_of(text.get_secret_value()) for text in texts if text is not None]


_FINGERPRINT_KEYS: Final = ("CROSSDOCK_FINGERPRINT_KEY", "CROSSDOCK_FINGERPRINT_KEY_PREVIOUS")


def _key_of(setting: str) -> tuple[str, bytes]:
    key_id, _, text = setting.partition(":")
    try:
        return key_id, base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        return key_id, b""


class Schedules(Section):
    """When the timers tick: NCRONTAB with seconds, UTC."""

    walks: Annotated[str, Field(alias="CROSSDOCK_WALKS_SCHEDULE")] = "*/30 * * * * *"
    drain: Annotated[str, Field(alias="CROSSDOCK_DRAIN_SCHEDULE")] = "*/10 * * * * *"
    sweep: Annotated[str, Field(alias="CROSSDOCK_SWEEP_SCHEDULE")] = "15 * * * * *"
    subscriptions: Annotated[str, Field(alias="CROSSDOCK_SUBSCRIPTIONS_SCHEDULE")] = "0 7 * * * *"
    compare: Annotated[str, Field(alias="CROSSDOCK_COMPARE_SCHEDULE")] = "0 0 2 * * *"
    schema_drift: Annotated[str, Field(alias="CROSSDOCK_SCHEMA_DRIFT_SCHEDULE")] = "0 20 2 * * *"
    evaluations: Annotated[str, Field(alias="CROSSDOCK_EVALUATIONS_SCHEDULE")] = "0 37 * * * *"


SALES_COCKPIT: Final = SalesCockpitSettings.system
ADDRESSES: Final[Mapping[str, type[Address]]] = {
    kind.system: kind
    for kind in (
        DataverseSettings,
        BusinessCentralSettings,
        PostOfficeSettings,
        SalesCockpitSettings,
        FsmSettings,
        IfsCloudSettings,
    )
}
"""Every kind of system, with its settings."""
FIELD_SERVICES: Final[tuple[type[FieldServiceDoor], ...]] = (FsmDoor, IfsCloudDoor)
DOORS: Final[tuple[type[SystemSection], ...]] = (DataverseDoor, BusinessCentralDoor, *FIELD_SERVICES)
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,29}")


class SystemNames(Section):
    """Which systems there are: `<name>=<kind>`, or a kind alone, which is then its name, too."""

    names: Annotated[str, Field(alias="CROSSDOCK_SYSTEMS")] = "dataverse,business_central"

    @field_validator("names")
    @classmethod
    def _can_be_told_apart(cls, text: str) -> str:
        read = list(_read_names(text))
        for name, kind in read:
            if kind not in ADDRESSES:
                raise ValueError(f"{name} is of no known kind; there are: {', '.join(ADDRESSES)}")
            if not _NAME.fullmatch(name) or (name in ADDRESSES and name != kind):
                raise ValueError(
                    f"{name} is no name; use up to 30 small letters, digits and _, and a kind's name for that kind only"
                )
        if len({name for name, _ in read}) != len(read):
            raise ValueError("a name stands there twice; give each system its own")
        told = {str(field.alias): "the installation" for kind in _GENERAL for field in kind.model_fields.values()}
        told |= {setting: kind for kind in set(ADDRESSES) - dict(read).keys() for setting in settings_of(kind, kind)}
        for name, kind in read:
            for setting in settings_of(name, kind):
                if setting in told:
                    raise ValueError(f"{name}: its setting {setting} would be that of {told[setting]}; rename it")
                told[setting] = name
        return text

    @property
    def kinds(self) -> dict[str, str]:
        """The systems by name, each with its kind."""
        return dict(_read_names(self.names))


def _read_names(text: str) -> Iterator[tuple[str, str]]:
    for entry in filter(None, (part.strip() for part in text.split(","))):
        name, _, kind = entry.partition("=")
        yield name.strip(), kind.strip() or name.strip()


class Alarms(Section):
    """From when on health tells of what waits or is late."""

    walk_intervals: Annotated[int, Field(alias="CROSSDOCK_ALARM_WALK_INTERVALS", ge=2)] = 6
    token_days: Annotated[float, Field(alias="CROSSDOCK_ALARM_TOKEN_DAYS", gt=0)] = 5
    failing_hours: Annotated[float, Field(alias="CROSSDOCK_ALARM_FAILING_HOURS", gt=0)] = 4
    parked_days: Annotated[float, Field(alias="CROSSDOCK_ALARM_PARKED_DAYS", gt=0)] = 7
    pending_hours: Annotated[float, Field(alias="CROSSDOCK_ALARM_PENDING_HOURS", gt=0)] = 4
    queue_minutes: Annotated[float, Field(alias="CROSSDOCK_ALARM_QUEUE_MINUTES", gt=0)] = 60


SECTIONS: Final[tuple[type[Section], ...]] = (
    Place,
    SystemNames,
    PublicAddress,
    DataverseDoor,
    BusinessCentralDoor,
    FsmDoor,
    IfsCloudDoor,
    OperatorDoor,
    DataverseSettings,
    BusinessCentralSettings,
    PostOfficeSettings,
    SalesCockpitSettings,
    FsmSettings,
    IfsCloudSettings,
    Checks,
    UserSignIn,
    StoreSettings,
    QueueSettings,
    EngineSettings,
    Schedules,
    Alarms,
)

_GENERAL: Final = tuple(kind for kind in SECTIONS if not issubclass(kind, SystemSection))


def settings_of(name: str, kind: str) -> list[str]:
    """The names of a system's settings."""
    sections = [one for one in SECTIONS if issubclass(one, SystemSection) and one.system == kind]
    found = [str(field.alias) for section in sections for field in section.model_fields.values()]
    return list(
        dict.fromkeys(one.replace(prefix_of(kind), prefix_of(name)) for one in found if one.startswith(prefix_of(kind)))
    )


def known_settings(kinds: Mapping[str, str]) -> frozenset[str]:
    """The names of all settings that an installation with these systems reads."""
    general = [str(field.alias) for section in SECTIONS for field in section.model_fields.values()]
    return frozenset([*general, *(one for name, kind in kinds.items() for one in settings_of(name, kind))])


SectionT = TypeVar("SectionT", bound=Section)
SystemSectionT = TypeVar("SystemSectionT", bound=SystemSection)
ValueT = TypeVar("ValueT")


def needed(kind: type[Section], field: str, value: ValueT | None, name: str = "") -> ValueT:
    """A setting that what comes next cannot do without; raises SettingsError naming it. name: the system's."""
    if value is None:
        setting = str(kind.model_fields[field].alias)
        if issubclass(kind, SystemSection) and name:
            setting = setting.replace(prefix_of(kind.system), prefix_of(name))
        raise SettingsError(f"{setting}: is missing; set it.")
    return value


class Settings:
    """The sections as they stand in one environment, each read once."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = dict(environment)
        self._sections: dict[tuple[type[Section], str], Section] = {}

    @property
    def environment(self) -> Mapping[str, str]:
        """The environment itself, for who checks where he runs."""
        return self._environment

    def get(self, kind: type[SectionT]) -> SectionT:
        """A section; raises SettingsError."""
        return self._read(kind, "", lambda: kind.read(self._environment))

    def of(self, kind: type[SystemSectionT], name: str) -> SystemSectionT:
        """A section of the system of this name; raises SettingsError."""
        return self._read(kind, name, lambda: kind.read_for(name, self._environment))

    def _read(self, kind: type[SectionT], name: str, read: Callable[[], SectionT]) -> SectionT:
        found = self._sections.get((kind, name))
        if found is None:
            self._refuse_local_in_azure()
            found = self._sections[kind, name] = read()
        assert isinstance(found, kind)
        return found

    @property
    def kinds(self) -> Mapping[str, str]:
        """The systems of this installation by name, each with its kind. Raises SettingsError."""
        return self.get(SystemNames).kinds

    def of_each(self, *sections: type[SystemSectionT]) -> dict[str, SystemSectionT]:
        """The section of every system of their kinds; a system whose settings are wrong is left out.

        Raises SettingsError when that leaves none.
        """
        found: dict[str, SystemSectionT] = {}
        errors: list[SettingsError] = []
        by_kind = {section.system: section for section in sections}
        for name, kind in [(name, kind) for name, kind in self.kinds.items() if kind in by_kind]:
            try:
                found[name] = self.of(by_kind[kind], name)
            except SettingsError as error:
                errors.append(error)
        if errors and not found:
            raise errors[0]
        return found

    def refuse_doubles(self) -> None:
        """Raise SettingsError when two systems are the same organisation, or the same company."""
        seen: dict[tuple[str, ...], str] = {}
        for name, kind in self.kinds.items():
            try:
                place = (kind, *self.of(ADDRESSES[kind], name).place)
            except SettingsError:
                continue  # told where it is needed
            if place in seen:
                raise SettingsError(
                    f"{prefix_of(seen[place])}*, {prefix_of(name)}*: lead to the same place; correct one of them, or "
                    "take it out of CROSSDOCK_SYSTEMS."
                )
            seen[place] = name

    def check(self) -> list[SettingsError]:
        """Read every section; the errors."""
        errors: dict[str, SettingsError] = {}
        for read in self._all():
            try:
                read()
            except SettingsError as error:
                errors.setdefault(str(error), error)
        return list(errors.values())

    def _all(self) -> Iterator[Callable[[], object]]:
        for kind in _GENERAL:
            yield partial(self.get, kind)
        with suppress(SettingsError):  # told by its own section
            for section in (*DOORS, *ADDRESSES.values()):
                for name in [name for name, one in self.kinds.items() if one == section.system]:
                    yield partial(self.of, section, name)
            yield self.refuse_doubles

    def _refuse_local_in_azure(self) -> None:
        in_azure = any(self._environment.get(name) for name in AZURE_VARIABLES)
        if in_azure and self._environment.get("CROSSDOCK_LOCAL", "").strip() not in ("", "off"):
            raise SettingsError("CROSSDOCK_LOCAL: is for one machine; remove it from the app's settings.")


def schedule(field: str, environment: Mapping[str, str]) -> str:
    """A timer's schedule for its trigger: `%SETTING%` where the setting is there, else its default.

    The host resolves the percent form and loads no such function when the setting is missing.
    """
    info = Schedules.model_fields[field]
    return f"%{info.alias}%" if environment.get(str(info.alias), "").strip() else str(info.default)
