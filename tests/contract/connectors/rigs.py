"""Each connector with its sandbox in process: what the contract suite needs to know of the two."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

import httpx

from sandbox.business_central import AUDIENCE, BusinessCentralOptions, BusinessCentralSandbox, Company
from sandbox.dataverse import DataverseOptions, DataverseSandbox
from sandbox.faults import FaultKind, FaultRule, Faults
from sandbox.request_log import RequestLog
from sandbox.tokens import TENANT_ID, TokenIssuer
from sandbox.transport import SandboxTransport
from shared.allotment import Allowed
from shared.allowance import Allowance
from shared.connectors.business_central.connector import BusinessCentralConnector
from shared.connectors.dataverse.connector import DataverseConnector
from shared.connectors.keys import ZERO_GUID
from shared.http_client import HttpClient
from shared.identity import TokenEndpointTokens
from shared.sync.ports import Connector, Value
from tests.unit.connectors.fakes import CountingIds, JumpingClock

LOGIN = f"https://login.example/{TENANT_ID}/oauth2/v2.0/token"
APPLICATION = "11111111-1111-4111-8111-111111111111"
COMPANY = "5d115c9c-44e3-ea11-bb43-000d3a2feca1"
ORGANIZATION = "7d1e7a4c-2b5e-4c58-9a0b-3f6b2d1c8e55"
EXTENSION = "crmlink/sync/v1.0"
UNKNOWN_KEY = "99999999-9999-4999-8999-999999999999"


@dataclass(frozen=True)
class Columns:
    """The columns of the table under test, by what they are for."""

    name: str
    text: str
    number: str
    amount: str
    behind: str
    behind_value: str


class Rig(ABC):
    """A connector, its sandbox, and the people who work in the application."""

    table: str
    columns: Columns
    connector: Connector
    faults: Faults
    requests: RequestLog
    path: str
    behind_path: str
    rolls_back_on_500: bool
    """Whether the system's 500 carries a code that says nothing was written."""
    announced: bool | None = True
    """Whether the system tells of the table's changes; None where it does not say."""
    shows_tokens = True
    """Whether we sign in with tokens."""
    groups = False
    """Whether the system's tables are in groups, by what stands before the point in their names."""
    no_keys: Sequence[str] = ("", "10000", f"{UNKNOWN_KEY}0", f"{UNKNOWN_KEY})/x", ZERO_GUID)
    """Texts that can be no key."""

    def __init__(self) -> None:
        self.clock = JumpingClock()
        self.issuer = TokenIssuer(self.clock)
        self.issuer.register(APPLICATION, "made-up")

    @property
    def asked(self) -> list[str]:
        """The columns the suite asks for."""
        one = self.columns
        return [one.name, one.text, one.number, one.amount, one.behind]

    def values(self, name: str, number: str | None = None) -> dict[str, Value]:
        """A new record's values."""
        one = self.columns
        values: dict[str, Value] = {one.name: name, one.text: "0471 000000", one.amount: Decimal("1234.56")}
        return values if number is None else values | {one.number: number}

    def tokens(self, application: str = APPLICATION) -> TokenEndpointTokens:
        """A token source at the imitated sign-in service."""
        transport = SandboxTransport(self.issuer.app)
        return TokenEndpointTokens(LOGIN, application, "made-up", self.clock, transport=transport)

    def strike(self, kind: FaultKind, method: str, **more: float | bool) -> None:
        """Let one request for records go wrong."""
        self.faults.add(FaultRule(kind, method, self.path, times=1, **more))  # type: ignore[arg-type]  # mixed fields

    def strike_behind(self, kind: FaultKind, seconds: float) -> None:
        """Let all requests go wrong for the small table that a reference of the suite points to."""
        rule = FaultRule(kind, "GET", self.behind_path, seconds=seconds, retry_after_seconds=3600)
        self.faults.add(rule)

    def sent(self, method: str) -> int:
        """How many requests for records of the table came in."""
        return self.requests.count(method, self.path)

    def respelled(self, key: str) -> str:
        """Another spelling of a key."""
        return "{" + key.upper() + "}"

    @abstractmethod
    async def start(self) -> None:
        """Put in what the suite needs to be there."""

    @abstractmethod
    async def aclose(self) -> None:
        """Close everything."""

    @abstractmethod
    async def person_creates(self, name: str) -> str:
        """A person in the application makes a record; returns its key."""

    @abstractmethod
    async def person_renames(self, key: str, name: str) -> None:
        """A person in the application changes a record's name."""

    @abstractmethod
    async def person_deletes(self, key: str) -> None:
        """A person in the application deletes a record."""

    @abstractmethod
    def stored(self) -> Mapping[str, Mapping[str, object]]:
        """The rows the system holds."""

    def names(self) -> Sequence[object]:
        """The names of all records that the system holds, in order."""
        return sorted(str(row[self.columns.name]) for row in self.stored().values())


class BusinessCentralRig(Rig):
    """Customers of one company."""

    table = "customers"
    columns = Columns("displayName", "phoneNumber", "number", "creditLimit", "paymentTermsId.code", "30T")
    path = r"/customers(\(|$)"
    behind_path = r"/paymentTerms(\(|$)"
    rolls_back_on_500 = False

    def __init__(self, options: BusinessCentralOptions | None = None) -> None:
        super().__init__()
        self.sandbox = BusinessCentralSandbox(
            base_url="https://erp.example",
            tenant=TENANT_ID,
            environment="Production",
            companies=[Company(COMPANY, "Aurora Milling")],
            clock=self.clock,
            issuer=self.issuer,
            options=options,
        )
        self.faults, self.requests = self.sandbox.faults, self.sandbox.requests
        self.connector: BusinessCentralConnector = self.connect("Production", COMPANY)

    def connect(
        self,
        environment: str,
        company: str,
        http: httpx.AsyncBaseTransport | None = None,
        extension: str = EXTENSION,
    ) -> BusinessCentralConnector:
        """A connector with one identity; `http` may lead elsewhere."""
        client = HttpClient(
            system="business_central",
            base_url="https://erp.example",
            scope=f"{AUDIENCE}/.default",
            tokens=self.tokens(),
            clock=self.clock,
            ids=CountingIds(),
            allowance=Allowance(Allowed(at_once=5), self.clock),
            request_id_header="client-request-id",
            http=http or SandboxTransport(self.sandbox.app),
            owns_tokens=True,
        )
        return BusinessCentralConnector(
            [client],
            self.clock,
            tenant=TENANT_ID,
            environment=environment,
            company_id=company,
            extension=extension,
            page_size=3,
        )

    async def start(self) -> None:
        return None

    async def aclose(self) -> None:
        await self.connector.aclose()
        await self.sandbox.aclose()

    async def person_creates(self, name: str) -> str:
        row = await self.sandbox.create(COMPANY, self.table, {"displayName": name})
        return str(row["id"])

    async def person_renames(self, key: str, name: str) -> None:
        await self.sandbox.edit(COMPANY, self.table, key, {"displayName": name})

    async def person_deletes(self, key: str) -> None:
        await self.sandbox.delete(COMPANY, self.table, key)

    def stored(self) -> Mapping[str, Mapping[str, object]]:
        return self.sandbox.rows(COMPANY, self.table)


class ExtendedRig(BusinessCentralRig):
    """Customers of one company, in an environment with the extension."""

    path = r"/crmCustomers(\(|$)"

    def __init__(self, options: BusinessCentralOptions | None = None) -> None:
        super().__init__(replace(options or BusinessCentralOptions(), extension=EXTENSION))


class DataverseRig(Rig):
    """Accounts of one organisation."""

    table = "account"
    columns = Columns(
        "name", "telephone1", "accountnumber", "creditlimit", "primarycontactid.emailaddress1", "office@mill.example"
    )
    path = r"/accounts(\(|$)"
    behind_path = r"/contacts(\(|$)"
    rolls_back_on_500 = True

    def __init__(self, options: DataverseOptions | None = None, post: httpx.AsyncClient | None = None) -> None:
        super().__init__()
        self.sandbox = DataverseSandbox(
            base_url="https://crm.example",
            organization_id=ORGANIZATION,
            clock=self.clock,
            issuer=self.issuer,
            post=post,
            options=options or DataverseOptions(application_users=(APPLICATION,)),
        )
        self.faults, self.requests = self.sandbox.faults, self.sandbox.requests
        self.connector: DataverseConnector = self.connect(ORGANIZATION)

    def connect(
        self, organization: str, *applications: str, http: httpx.AsyncBaseTransport | None = None
    ) -> DataverseConnector:
        """A connector that believes to speak to an organisation, with one identity or those given; `http` may alter
        what it is answered."""
        clients = [
            HttpClient(
                system="dataverse",
                base_url="https://crm.example",
                scope="https://crm.example/.default",
                tokens=self.tokens(application),
                clock=self.clock,
                ids=CountingIds(),
                http=http or SandboxTransport(self.sandbox.app),
                owns_tokens=True,
            )
            for application in applications or (APPLICATION,)
        ]
        return DataverseConnector(clients, self.clock, organization, page_size=3)

    async def start(self) -> None:
        await self.sandbox.create("contact", {"lastname": "Office", "emailaddress1": self.columns.behind_value})

    async def aclose(self) -> None:
        await self.connector.aclose()
        await self.sandbox.aclose()

    async def person_creates(self, name: str) -> str:
        return await self.sandbox.create(self.table, {"name": name})

    async def person_renames(self, key: str, name: str) -> None:
        await self.sandbox.edit(self.table, key, {"name": name})

    async def person_deletes(self, key: str) -> None:
        await self.sandbox.delete(self.table, key)

    def stored(self) -> Mapping[str, Mapping[str, object]]:
        return self.sandbox.rows(self.table)
