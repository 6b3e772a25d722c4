"""The composition root, heavy half: settings become connectors, stores and the engine over them."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar
from urllib.parse import urlsplit

import httpx
from pydantic import BaseModel, ValidationError

from shared.allotment import Allowed
from shared.allowance import Allowance
from shared.connectors.business_central import client as business_central
from shared.connectors.business_central.connector import BusinessCentralConnector
from shared.connectors.dataverse import client as dataverse
from shared.connectors.dataverse.connector import DataverseConnector
from shared.connectors.field_service import client as field_service
from shared.connectors.field_service.connector import FieldServiceConnector
from shared.connectors.field_service.dialect import Dialect
from shared.connectors.field_service.fsm import Fsm
from shared.connectors.field_service.ifs_cloud import IfsCloud
from shared.connectors.field_service.site import FsmSite, IfsCloudSite
from shared.connectors.postoffice import client as postoffice
from shared.connectors.postoffice.connector import PostOfficeConnector
from shared.connectors.postoffice.site import Site
from shared.connectors.postoffice.with_files import PostOfficeWithFiles, file_lists
from shared.connectors.sales_cockpit import client as sales_cockpit
from shared.connectors.sales_cockpit.connector import SalesCockpitConnector
from shared.connectors.turns import InTurn
from shared.errors import SettingsError, StoreUnavailable
from shared.http_client import HttpClient, Sign, basic, bearer, in_header
from shared.identity import (
    AzureIdentityTokens,
    CredentialTokens,
    FixedCredential,
    TokenEndpointTokens,
    TokenSource,
)
from shared.settings import (
    ADDRESSES,
    FIELD_SERVICES,
    Address,
    BusinessCentralSettings,
    Checks,
    DataverseSettings,
    EngineSettings,
    FsmSettings,
    Identity,
    IfsCloudSettings,
    PostOfficeSettings,
    SalesCockpitSettings,
    SiteAddress,
    StoreSettings,
    needed,
    prefix_of,
)
from shared.stores.rows import RowInvalid, RowStore, RowStoreRefused, RowStoreUnavailable
from shared.stores.stores import TABLES, Stores, open_stores
from shared.sync.alarms import Watch
from shared.sync.confirming import Check, Confirming
from shared.sync.context import Ports, Timing
from shared.sync.definition import Definition, Index, Problem
from shared.sync.draining import Draining
from shared.sync.feed_work import FeedWork
from shared.sync.fingerprint import Fingerprints
from shared.sync.full_compare import FullCompares
from shared.sync.own_tables import OwnTable
from shared.sync.pipeline import Pipeline
from shared.sync.ports import Connector, Profile
from shared.sync.schema_watch import SchemaWatch
from shared.sync.subscribing import Subscriptions
from shared.sync.walking import Walks
from shared.sync.windows import Windows

if TYPE_CHECKING:
    from shared.app import App

log = logging.getLogger(__name__)

REQUEST_ID_HEADERS: Final = {
    "dataverse": "x-ms-client-request-id",
    "business_central": "client-request-id",
    "postoffice": "x-request-id",
    "sales_cockpit": "x-request-id",
    "fsm": "x-request-id",
    "ifs_cloud": "x-request-id",
}
CHECKS_FILE: Final = "transfers/field_service/checks.yaml"
"""Where what answers checks usually stands."""
MODED: Final = frozenset({"postoffice"})
"""Kinds of systems whose exchange has a mode that people choose."""
IFS_CLOUD_SCOPE = "openid microprofile-jwt"
BUSINESS_CENTRAL_SCOPE = "https://api.businesscentral.dynamics.com/.default"


@dataclass(frozen=True)
class Engine:
    """Everything a transfer, a timer or an operator needs. clients: of each system, one for each identity of ours."""

    index: Index
    stores: Stores
    pipeline: Pipeline
    walks: Walks
    windows: Windows
    draining: Draining
    subscriptions: Subscriptions
    schema_watch: SchemaWatch
    watch: Watch
    compares: FullCompares
    feed_work: FeedWork
    clients: Mapping[str, Sequence[HttpClient]]
    own: Sequence[HttpConnector | Allowance | RowStore]

    async def aclose(self) -> None:
        """Close the connectors, give the permits back and close the store, where they were made here."""
        for part in self.own:
            await part.aclose()


IdentityT = TypeVar("IdentityT")
SiteT = TypeVar("SiteT", bound=BaseModel)

HttpConnector = (
    DataverseConnector
    | BusinessCentralConnector
    | PostOfficeConnector
    | PostOfficeWithFiles
    | SalesCockpitConnector
    | FieldServiceConnector
)


def _prints(keys: Sequence[tuple[str, bytes]]) -> Fingerprints:
    """Of the first key, knowing the one before."""
    (key_id, key), *before = keys
    return Fingerprints(key_id, key, _prints(before) if before else None)


async def build(app: App) -> Engine:
    """Make the engine. Raises SettingsError naming the setting, StoreUnavailable when the store does not answer."""
    kinds = app.settings.kinds
    index = _confirming_here(_needed_here(load_index(app.index_json), kinds), app)
    index = with_windows(index, app.settings.get(EngineSettings).window_days())
    prints = _prints(app.settings.get(EngineSettings).fingerprint_keys())
    queue = app.queue
    rows = await open_rows(app)
    stores = open_stores(rows, app.outside.clock)
    systems = Systems(app, stores)
    connectors = app.outside.connectors
    if connectors is None:
        connectors = await _made(systems, index, rows)
    ports = Ports(
        connectors=connectors,
        stores=stores,
        queue=queue,
        clock=app.outside.clock,
        ids=app.outside.ids,
        prints=prints,
        timing=app.outside.timing or Timing(),
        moded=frozenset(name for name, kind in kinds.items() if kind in MODED),
    )
    pipeline = Pipeline(ports, _without_unknown_systems(index, connectors, systems.wrong))
    own = (*systems.connectors.values(), *systems.allowances.values(), *(() if app.outside.rows is rows else (rows,)))
    walks, compares = Walks(pipeline), FullCompares(pipeline)
    return Engine(
        index=pipeline.index,
        stores=stores,
        pipeline=pipeline,
        walks=walks,
        windows=Windows(pipeline),
        draining=Draining(pipeline),
        subscriptions=Subscriptions(pipeline, walks),
        schema_watch=SchemaWatch(pipeline),
        watch=Watch(pipeline),
        compares=compares,
        feed_work=FeedWork(pipeline, walks, compares),
        clients=systems.clients,
        own=own,
    )


async def _made(systems: Systems, index: Index, rows: RowStore) -> Mapping[str, Connector]:
    """The connectors. A system whose settings are wrong stops its definitions only, unless that leaves none."""
    try:
        connectors = systems.made(index.systems)
        left = _without_unknown_systems(index, connectors, systems.wrong).definitions
        for error in systems.wrong.values() if not left else ():
            raise error
        return connectors
    except SettingsError:
        await systems.aclose()
        await rows.aclose()
        raise


async def open_rows(app: App) -> RowStore:
    """The row store, prepared. Raises SettingsError and StoreUnavailable."""
    rows = _rows(app) if app.outside.rows is None else app.outside.rows
    try:
        await rows.prepare()
    except (RowStoreUnavailable, RowStoreRefused) as error:
        await rows.aclose()
        raise StoreUnavailable(f"The store cannot be opened: {error}") from error
    return rows


# --- the index ------------------------------------------------------------------------------------


def load_index(index_json: bytes) -> Index:
    """The compiled index; a definition that does not load disables only itself and is named as a problem."""
    try:
        tree = json.loads(index_json)
        entries, own = list(tree["definitions"]), list(tree.get("tables", ()))
        checks = [one for one in (tree.get("confirming"),) if one is not None]
        known = [Problem.model_validate(entry) for entry in tree["problems"]]
    except (ValueError, TypeError, KeyError):
        problem = Problem(file="transfers/index.json", line=1, text="this is no compiled index; compile it again")
        return Index(problems=(problem,))
    read: list[Definition | OwnTable | Confirming | Problem] = [
        *(_read(Definition, entry) for entry in entries),
        *(_read(OwnTable, entry) for entry in own),
        *(_read(Confirming, entry) for entry in checks),
    ]
    problems = known + [one for one in read if isinstance(one, Problem)]
    for problem in problems:
        log.error("a definition is disabled: %s", problem, extra={"action": "index"})
    return Index(
        definitions=tuple(one for one in read if isinstance(one, Definition)),
        tables=tuple(one for one in read if isinstance(one, OwnTable)),
        confirming=next((one for one in read if isinstance(one, Confirming)), None),
        problems=tuple(problems),
    )


def _needed_here(index: Index, kinds: Mapping[str, str]) -> Index:
    """Without the tables of our own that only other systems need."""
    systems = {*kinds, *kinds.values()}
    tables = tuple(one for one in index.tables if one.system in kinds and one.needed_with(systems))
    return index.model_copy(update={"tables": tables})


def _confirming_here(index: Index, app: App) -> Index:
    """With who answers checks and who asks here. Wrong settings of the checks stop the checks, which tell them, and
    nothing else."""
    try:
        wanted = app.settings.get(Checks)
    except SettingsError:
        return index
    kinds = app.settings.kinds
    sources = {check: wanted.source_of(check) for check in Check}
    chosen = [check for check in Check if wanted.chose(check)]
    for_others = any(one.system in kinds.values() for one in FIELD_SERVICES)
    tables, rules = wanted.confirmed_tables(), index.confirming
    if rules is not None:
        rules = rules.installed(kinds, sources, tables, chosen=chosen, for_others=for_others)
    known = {one.table for asked in rules.asking.values() for one in asked} if rules is not None else set()
    file = rules.file if rules is not None else CHECKS_FILE
    lost = [
        Problem(file=file, line=1, text=f"CROSSDOCK_CHECKS_CONFIRM: {one} does not stand under confirm:; add it")
        for one in tables
        if one not in known
    ]
    return index.model_copy(update={"confirming": rules, "problems": (*index.problems, *lost)})


def with_windows(index: Index, days: Mapping[str, int]) -> Index:
    """The definitions with the windows that the settings give them; raises SettingsError."""
    known = {transfer.name for definition in index.deriving for transfer in definition.transfers}
    if strange := sorted(set(days) - known):
        raise SettingsError(f"CROSSDOCK_WINDOWS: {strange[0]} has no window (there are: {', '.join(known) or 'none'}).")
    return index.model_copy(update={"definitions": tuple(_with_windows(one, days) for one in index.definitions)})


def _with_windows(definition: Definition, days: Mapping[str, int]) -> Definition:
    changed = [
        one.model_copy(update={"window_days": days[one.name]}) if one.name in days else one
        for one in definition.transfers
    ]
    return definition.model_copy(update={"transfers": tuple(changed)})


PartT = TypeVar("PartT", Definition, OwnTable, Confirming)


def _read(model: type[PartT], entry: object) -> PartT | Problem:
    try:
        return model.model_validate(entry)
    except ValidationError as error:
        file = str(entry.get("file", "transfers/index.json")) if isinstance(entry, dict) else "transfers/index.json"
        text = f"{_first_fault(error)}; compile the definitions again with this version"
        return Problem(file=file, line=1, text=text, transfers=tuple(_named(entry)))


def _first_fault(error: ValidationError) -> str:
    """Where the first fault is and what it is, without the value."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    told = first["msg"].removeprefix("Value error, ")
    return f"{'.'.join(map(str, first['loc']))}: {'is not known' if first['type'] == 'extra_forbidden' else told}"


def _named(entry: object) -> Iterator[str]:
    transfers = entry.get("transfers", ()) if isinstance(entry, dict) else ()
    for transfer in transfers if isinstance(transfers, list) else ():
        if isinstance(transfer, dict):
            yield str(transfer.get("name", ""))


def _without_unknown_systems(
    index: Index, connectors: Mapping[str, Connector], wrong: Mapping[str, SettingsError]
) -> Index:
    """A definition of a system that there is no connector for is a problem, and the others run."""
    mine = [one for one in index.definitions if one.instead_of not in {*connectors, *wrong}]
    good = [one for one in mine if one.runs_among(connectors)]
    bad = [one for one in mine if one not in good and not _is_for_others(one, connectors, wrong)]
    problems = [_without_connector(one, connectors, wrong) for one in bad]
    return index.model_copy(update={"definitions": tuple(good), "problems": (*index.problems, *problems)})


def _is_for_others(
    definition: Definition, connectors: Mapping[str, Connector], wrong: Mapping[str, SettingsError]
) -> bool:
    """Whether it is for installations with a kind of system that there is none of here."""
    missing = set(definition.systems) - set(connectors)
    return not missing & set(wrong) and missing <= set(ADDRESSES)


def _without_connector(
    definition: Definition, connectors: Mapping[str, Connector], wrong: Mapping[str, SettingsError]
) -> Problem:
    system = next(name for name in definition.systems if name not in connectors)
    text = (
        f"{system}: is no system of this installation; add it to CROSSDOCK_SYSTEMS (there are: {', '.join(connectors)})"
    )
    if system in wrong:
        text = wrong[system].detail
    names = tuple(transfer.name for transfer in definition.transfers)
    return Problem(file=definition.file, line=1, text=text, transfers=names)


# --- the store ------------------------------------------------------------------------------------


def _rows(app: App) -> RowStore:
    wanted, clock = app.settings.get(StoreSettings), app.outside.clock
    try:
        if wanted.path:
            from shared.stores.sqlite_rows import SqliteRows

            return SqliteRows(wanted.path, TABLES, environment=app.settings.environment)
        from shared.stores.azure_rows import AzureRows

        if wanted.connection_string is not None:
            secret = wanted.connection_string.get_secret_value()
            return AzureRows.from_connection_string(secret, TABLES, prefix=wanted.prefix, clock=clock)
        tokens = CredentialTokens(app.credential(), clock)
        return AzureRows.from_endpoint(str(wanted.endpoint), tokens, TABLES, prefix=wanted.prefix, clock=clock)
    except (RowStoreRefused, RowInvalid, ValueError) as error:
        raise SettingsError(f"CROSSDOCK_STORE_*: {error}") from error


# --- the systems ----------------------------------------------------------------------------------


class _NoSuchIdentity(Exception):
    """A system has fewer identities than the place that was asked for."""


class Systems:
    """Makes the connectors of the systems that definitions name, and one allowance for each identity of theirs.

    stores: None where what is made is for a look: it shares nothing with other processes and remembers nothing. only:
    of each system's identities the one at this place, and no connector where there is none.
    """

    def __init__(self, app: App, stores: Stores | None, *, only: int | None = None) -> None:
        self._app = app
        self._permits = stores.permits if stores else None
        self._reports = stores.reports if stores else None
        self._only = only
        self.clients: dict[str, Sequence[HttpClient]] = {}
        self._holder = app.outside.ids.new()
        self.connectors: dict[str, HttpConnector] = {}
        self.wrong: dict[str, SettingsError] = {}
        self.allowances: dict[str, Allowance] = {}

    def made(self, names: Sequence[str]) -> Mapping[str, Connector]:
        """The connectors by name; none for a system that the settings do not name, nor for one that they describe
        wrongly (`wrong`). Raises SettingsError when systems cannot be told apart."""
        makers: Mapping[str, Callable[[str], HttpConnector]] = {
            "dataverse": self._dataverse,
            "business_central": self._business_central,
            "postoffice": self._postoffice,
            "sales_cockpit": self._sales_cockpit,
            "fsm": self._fsm,
            "ifs_cloud": self._ifs_cloud,
        }
        self._app.settings.refuse_doubles()
        kinds = self._app.settings.kinds
        for name in names:
            if name in kinds:
                try:
                    self.connectors[name] = makers[kinds[name]](name)
                except SettingsError as error:
                    self.wrong[name] = error
                except _NoSuchIdentity:
                    continue
        return dict(self.connectors)

    async def aclose(self) -> None:
        """Close what was made."""
        for connector in self.connectors.values():
            await connector.aclose()

    def _dataverse(self, name: str) -> DataverseConnector:
        wanted = self._app.settings.of(DataverseSettings, name)
        scope = f"{wanted.base_url.rstrip('/')}/.default"
        clients = self._clients(name, dataverse.ALLOWED, wanted, "", scope, wanted.tenant_id)
        return DataverseConnector(
            clients, self._app.outside.clock, wanted.organization_id, system=name, profile=Profile(wanted.profile)
        )

    def _business_central(self, name: str) -> BusinessCentralConnector:
        wanted = self._app.settings.of(BusinessCentralSettings, name)
        place, tenant = f"{wanted.tenant_id}/{wanted.environment}", wanted.tenant_id
        return BusinessCentralConnector(
            self._clients(name, business_central.ALLOWED, wanted, place, BUSINESS_CENTRAL_SCOPE, tenant),
            self._app.outside.clock,
            tenant=tenant,
            environment=wanted.environment,
            company_id=wanted.company_id,
            base_path=urlsplit(wanted.base_url).path,
            extension=wanted.extension,
            system=name,
        )

    def _postoffice(self, name: str) -> PostOfficeConnector | PostOfficeWithFiles:
        wanted = self._app.settings.of(PostOfficeSettings, name)
        site = _site(name, wanted.site)
        clients = self._site_clients(name, postoffice.ALLOWED, wanted)
        parts = urlsplit(wanted.base_url)
        connector = PostOfficeConnector(
            clients,
            self._app.outside.clock,
            instance=_instance(wanted),
            base_path=parts.path,
            site=site,
            system=name,
        )
        return self._with_files(connector, site, name) if site.files else connector

    def _with_files(self, connector: PostOfficeConnector, site: Site, name: str) -> PostOfficeWithFiles:
        """The connector of a site some of whose lists come as files."""
        assert site.files is not None
        _, key = self._app.settings.get(EngineSettings).fingerprint_keys()[0]
        clock = self._app.outside.clock
        lists = file_lists(site, site.files, clock, system=name, key=key, reports=self._reports)
        return PostOfficeWithFiles(connector, lists)

    def _sales_cockpit(self, name: str) -> SalesCockpitConnector:
        wanted = self._app.settings.of(SalesCockpitSettings, name)
        scope = needed(SalesCockpitSettings, "scope", wanted.scope, name)
        parts = urlsplit(wanted.base_url)
        return SalesCockpitConnector(
            self._clients(name, sales_cockpit.ALLOWED, wanted, "", scope, wanted.tenant_id),
            self._app.outside.clock,
            instance=_instance(wanted),
            base_path=parts.path,
            system=name,
        )

    def _fsm(self, name: str) -> FieldServiceConnector:
        wanted = self._app.settings.of(FsmSettings, name)
        site = _bound(FsmSite, name, wanted.site)
        http = InTurn(self._site_clients(name, field_service.ALLOWED, wanted))
        return self._field_service(name, wanted, Fsm(http, urlsplit(wanted.base_url).path, site))

    def _ifs_cloud(self, name: str) -> FieldServiceConnector:
        """Its sign-in is a part of the environment, of a sandbox, too."""
        wanted = self._app.settings.of(IfsCloudSettings, name)
        site = _bound(IfsCloudSite, name, wanted.site)
        parts = urlsplit(wanted.base_url)
        token_url = f"{parts.scheme}://{parts.netloc}/auth/realms/{wanted.namespace}/protocol/openid-connect/token"
        clients = self.clients[name] = [
            self._client(
                name,
                wanted,
                IFS_CLOUD_SCOPE,
                _token_endpoint(self._app, token_url, identity, name),
                self._allowance(field_service.ALLOWED, wanted, "", identity),
            )
            for identity in self._chosen(wanted.each_identity())
        ]
        return self._field_service(name, wanted, IfsCloud(InTurn(clients), parts.path, site))

    def _field_service(self, name: str, wanted: Address, dialect: Dialect) -> FieldServiceConnector:
        return FieldServiceConnector(dialect, self._app.outside.clock, instance=_instance(wanted), system=name)

    def _site_clients(self, name: str, allowed: Allowed, wanted: SiteAddress) -> Sequence[HttpClient]:
        """A client for each identity, signed in as the site demands."""
        chosen = self._chosen(wanted.each_identity())
        clients = self.clients[name] = [self._site_client(name, allowed, wanted, identity) for identity in chosen]
        return clients

    def _site_client(self, name: str, allowed: Allowed, wanted: SiteAddress, identity: Identity) -> HttpClient:
        tokens, sign = _sign_in(self._app, wanted, identity)
        allowance = self._allowance(allowed, wanted, "", identity)
        return self._client(name, wanted, wanted.scope or "", tokens, allowance, sign)

    def _clients(
        self, name: str, allowed: Allowed, wanted: Address, place: str, scope: str, tenant_id: str | None
    ) -> Sequence[HttpClient]:
        """A client for each identity of a system, or one for the app's own."""
        clients = self.clients[name] = [
            self._client(
                name,
                wanted,
                scope,
                _tokens(self._app, wanted, tenant_id, identity),
                self._allowance(allowed, wanted, place, identity),
            )
            for identity in self._chosen(wanted.each_identity() or (None,))
        ]
        return clients

    def _chosen(self, identities: Sequence[IdentityT]) -> Sequence[IdentityT]:
        """Those that are asked for; raises _NoSuchIdentity where there is none at the place."""
        chosen = identities if self._only is None else identities[self._only : self._only + 1]
        if identities and not chosen:
            raise _NoSuchIdentity
        return chosen

    def _client(
        self,
        name: str,
        wanted: Address,
        scope: str,
        tokens: TokenSource,
        allowance: Allowance,
        sign: Sign = bearer,
    ) -> HttpClient:
        """One signed-in client, which closes its own tokens."""
        return HttpClient(
            system=name,
            base_url=wanted.base_url,
            scope=scope,
            tokens=tokens,
            sign=sign,
            clock=self._app.outside.clock,
            ids=self._app.outside.ids,
            allowance=allowance,
            request_id_header=REQUEST_ID_HEADERS[wanted.system],
            http=_transport(self._app, name),
            owns_tokens=True,
        )

    def _allowance(self, allowed: Allowed, wanted: Address, place: str, identity: Identity | None) -> Allowance:
        """The one allowance of an identity at a place; limits count there, whatever it is used for."""
        name = "/".join(
            (wanted.system, urlsplit(wanted.base_url).netloc, place, identity.client_id if identity else "")
        )
        if name not in self.allowances:
            self.allowances[name] = Allowance(
                allowed, self._app.outside.clock, identity=name, store=self._permits, holder=self._holder
            )
        return self.allowances[name]


def _sign_in(app: App, wanted: SiteAddress, identity: Identity) -> tuple[TokenSource, Sign]:
    """What is shown to a site, and how."""
    name, secret = identity.client_id, identity.secret.get_secret_value() if identity.secret else ""
    if wanted.sign_in == "api_key":
        return FixedCredential(secret), in_header(name)
    if wanted.sign_in == "basic":
        return FixedCredential(f"{name}:{secret}"), basic
    return _token_endpoint(app, str(wanted.token_url), identity), bearer


def _token_endpoint(app: App, url: str, identity: Identity, place: str = "sign_in") -> TokenSource:
    """Tokens of an endpoint, which is a part of the place."""
    secret = identity.secret.get_secret_value() if identity.secret else ""
    return TokenEndpointTokens(url, identity.client_id, secret, app.outside.clock, transport=_transport(app, place))


def _instance(wanted: Address) -> str:
    """Host and path of a system that is known by its address."""
    parts = urlsplit(wanted.base_url)
    return f"{parts.netloc}{parts.path}".rstrip("/").lower()


def _bound(kind: type[SiteT], name: str, text: str) -> SiteT:
    """How a system's site words things, from its setting; raises SettingsError naming what is wrong in it."""
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        raise SettingsError(f"{prefix_of(name)}SITE: {_first_fault(error)}.") from None


def _site(name: str, text: str) -> Site:
    """What a site offers, from its setting; raises SettingsError naming what is wrong in it."""
    setting, site = f"{prefix_of(name)}SITE", _bound(Site, name, text)
    if strangers := site.strangers():
        raise SettingsError(f"{setting}: the contract knows no {', '.join(strangers)}; correct or remove it.")
    if written := site.written_files():
        raise SettingsError(f"{setting}: {', '.join(written)} is written, too, and cannot come as a file; remove it.")
    return site


def _tokens(app: App, wanted: Address, tenant_id: str | None, identity: Identity | None) -> TokenSource:
    client_id = identity.client_id if identity else None
    secret = identity.secret.get_secret_value() if identity and identity.secret else None
    if wanted.is_sandbox:
        if not client_id or not secret:
            raise SettingsError(f"CROSSDOCK_{wanted.system.upper()}_*: the sandbox needs a client id and a secret.")
        transport = _transport(app, "sign_in")
        return TokenEndpointTokens(
            str(wanted.sandbox_token_url), client_id, secret, app.outside.clock, transport=transport
        )
    client_id = client_id or app.settings.get(EngineSettings).identity_client_id
    return AzureIdentityTokens(app.outside.clock, tenant_id=tenant_id, client_id=client_id, client_secret=secret)


def _transport(app: App, name: str) -> httpx.AsyncBaseTransport | None:
    return app.outside.http(name) if app.outside.http else None
