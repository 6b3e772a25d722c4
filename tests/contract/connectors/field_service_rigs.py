"""The connector of field service with its sandbox in process, in both dialects, on tables that people have added."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from sandbox.faults import FaultKind, FaultRule
from sandbox.field_service.options import FsmOptions, IfsCloudOptions
from sandbox.field_service.sandbox import FieldServiceSandbox, FsmSandbox, IfsCloudSandbox
from sandbox.transport import SandboxTransport
from shared.allowance import Allowance
from shared.connectors.field_service.client import ALLOWED
from shared.connectors.field_service.connector import FieldServiceConnector
from shared.connectors.field_service.dialect import Dialect
from shared.connectors.field_service.fsm import Fsm
from shared.connectors.field_service.ifs_cloud import IfsCloud
from shared.connectors.field_service.site import FsmSite, IfsCloudSite
from shared.connectors.turns import InTurn
from shared.http_client import HttpClient, basic
from shared.identity import FixedCredential, TokenEndpointTokens
from tests.contract.connectors.rigs import Columns, Rig
from tests.unit.connectors.fakes import CountingIds

HOST = "https://service.example"
TOKENS = f"{HOST}/auth/realms/example/protocol/openid-connect/token"


class FieldServiceRig(Rig):
    """Mills with payment terms: tables that the contract suite needs and that no shipped definition names."""

    rolls_back_on_500 = False
    announced = None
    no_keys = ("", "a,", ",a", "a%", "a\x00b")
    sandbox: FieldServiceSandbox
    connector: FieldServiceConnector
    terms: str
    roles: Mapping[str, str]
    """Further columns of mills, by what they hold, and the choice that a mill of water has."""
    stock: tuple[str, str, str, str]
    """A table of the application that is known by a location and a part, with its columns."""

    def _start(self, sandbox: FieldServiceSandbox) -> None:
        self.sandbox = sandbox
        self.faults, self.requests = sandbox.faults, sandbox.requests
        for name, said in self.tables().items():
            sandbox.add_table(name, **said)

    @abstractmethod
    def tables(self) -> Mapping[str, Mapping[str, Any]]:
        """The two tables."""

    @abstractmethod
    def terms_row(self) -> Mapping[str, Any]:
        """A row of the table that mills refer to."""

    def respelled(self, key: str) -> str:
        """A key has no other spelling, but for what is encoded in it."""
        return key

    async def start(self) -> None:
        self.sandbox.add(self.terms, self.terms_row())

    async def aclose(self) -> None:
        await self.connector.aclose()
        await self.sandbox.aclose()

    async def person_creates(self, name: str) -> str:
        return self.sandbox.add(self.table, {self.columns.name: name})

    async def person_renames(self, key: str, name: str) -> None:
        self.sandbox.edit(self.table, key, {self.columns.name: name})

    async def person_deletes(self, key: str) -> None:
        self.sandbox.delete(self.table, key)

    def stored(self) -> Mapping[str, Mapping[str, object]]:
        return self.sandbox.rows(self.table)

    def _connector(self, dialect: Dialect) -> FieldServiceConnector:
        return FieldServiceConnector(dialect, self.clock, instance="service.example", system=dialect.kind)


def _columns(*said: tuple[str, str, Any]) -> Sequence[Mapping[str, Any]]:
    """Columns by name and type, the third being a text's length or, of others, further members."""
    return [
        {"name": name, "type": kind, **(more if isinstance(more, Mapping) else {"length": more})}
        for name, kind, more in said
    ]


class FsmRig(FieldServiceRig):
    """An FSM server. Its reads are queries, which are POST."""

    table, terms = "mill", "payment_terms"
    stock = ("stock", "location_id", "part_id", "quantity")
    roles: Mapping[str, str] = {
        "flag": "active",
        "time": "opened_dttm",
        "day": "opened_date",
        "whole": "wheels",
        "choice": "kind",
        "water": "WATER",
        "terms": "terms_id",
        "changed": "modified_dttm",
    }
    shows_tokens = False
    columns = Columns("name", "phone", "mill_no", "credit_limit", "terms_id.text", "30 days")
    path = r"/tables/mill(/|$)"
    behind_path = r"/tables/payment_terms/query$"

    def __init__(self, options: FsmOptions | None = None, site: FsmSite | None = None) -> None:
        super().__init__()
        self.options = options or FsmOptions()
        self.imitated = FsmSandbox(
            clock=self.clock, issuer=self.issuer, base_path="/service/rest", options=self.options
        )
        self._start(self.imitated)
        self.connector = self.connect(site or FsmSite(page_size=3))

    def connect(self, site: FsmSite, password: str = "") -> FieldServiceConnector:
        """A connector with a binding of the site."""
        client = HttpClient(
            system="fsm",
            base_url=f"{HOST}/service/rest",
            scope="",
            tokens=FixedCredential(f"{self.options.user}:{password or self.options.password}"),
            sign=basic,
            clock=self.clock,
            ids=CountingIds(),
            allowance=Allowance(ALLOWED, self.clock),
            request_id_header="x-request-id",
            http=SandboxTransport(self.sandbox.app),
            owns_tokens=True,
        )
        return self._connector(Fsm(InTurn([client]), "/service/rest", site))

    def tables(self) -> Mapping[str, Mapping[str, Any]]:
        mill = _columns(
            ("mill_no", "text", 20),
            ("name", "text", {"length": 100, "required": True}),
            ("phone", "text", 40),
            ("credit_limit", "amount", {}),
            ("terms_id", "text", {"length": 20, "references": "payment_terms"}),
            ("active", "flag", {}),
            ("opened_dttm", "time", {}),
            ("opened_date", "day", {}),
            ("wheels", "whole", {}),
            ("kind", "text", {"length": 20, "choices": ["WATER", "WIND"]}),
            ("modified_dttm", "time", {"readOnly": True}),
        )
        terms = _columns(("terms_id", "text", 20), ("text", "text", 60), ("modified_dttm", "time", {"readOnly": True}))
        return {
            "payment_terms": {"keys": ["terms_id"], "columns": terms},
            "mill": {"keys": ["mill_no"], "columns": mill, "label": "Mill"},
        }

    def terms_row(self) -> Mapping[str, Any]:
        return {"terms_id": "30,T", "text": "30 days"}

    def strike(self, kind: FaultKind, method: str, **more: float | bool) -> None:
        self.faults.add(FaultRule(kind, *self._place(method), times=1, **more))  # type: ignore[arg-type]  # mixed fields

    def strike_behind(self, kind: FaultKind, seconds: float) -> None:
        self.faults.add(FaultRule(kind, "POST", self.behind_path, seconds=seconds, retry_after_seconds=3600))

    def sent(self, method: str) -> int:
        return self.requests.count(*self._place(method))

    def _place(self, method: str) -> tuple[str, str]:
        places = {"GET": ("POST", r"/tables/mill/query$"), "POST": ("POST", r"/tables/mill$")}
        return places.get(method, (method, self.path))


class IfsCloudRig(FieldServiceRig):
    """An environment of IFS Cloud."""

    table, terms = "MillHandling.MillSet", "PaymentTermHandling.PaymentTermSet"
    stock = ("InventoryPartInStockHandling.InventoryPartInStockSet", "LocationNo", "PartNo", "Quantity")
    roles: Mapping[str, str] = {
        "flag": "Active",
        "time": "OpenedTime",
        "day": "OpenedDate",
        "whole": "Wheels",
        "choice": "Kind",
        "water": "Water",
        "terms": "PaymentTermRef",
        "changed": "ModifiedTime",
    }
    columns = Columns("Name", "Phone", "MillNo", "CreditLimit", "PaymentTermRef.Text", "30 days")
    path = r"/MillHandling\.svc/MillSet"
    behind_path = r"/PaymentTermHandling\.svc/PaymentTermSet"
    groups = True

    def __init__(self, options: IfsCloudOptions | None = None, site: IfsCloudSite | None = None) -> None:
        super().__init__()
        self.options = options or IfsCloudOptions()
        self.imitated = IfsCloudSandbox(clock=self.clock, issuer=self.issuer, options=self.options)
        self._start(self.imitated)
        self.connector = self.connect(site or IfsCloudSite(page_size=3))

    def connect(self, site: IfsCloudSite, secret: str = "open-sesame") -> FieldServiceConnector:  # noqa: S107 # made up
        """A connector with a binding of the site."""
        transport = SandboxTransport(self.sandbox.app)
        client = HttpClient(
            system="ifs_cloud",
            base_url=HOST,
            scope="openid microprofile-jwt",
            tokens=TokenEndpointTokens(TOKENS, "CROSSDOCK", secret, self.clock, transport=transport),
            clock=self.clock,
            ids=CountingIds(),
            allowance=Allowance(ALLOWED, self.clock),
            request_id_header="x-request-id",
            http=SandboxTransport(self.sandbox.app),
            owns_tokens=True,
        )
        return self._connector(IfsCloud(InTurn([client]), "", site))

    def tables(self) -> Mapping[str, Mapping[str, Any]]:
        mill = _columns(
            ("MillNo", "text", 20),
            ("Name", "text", {"length": 100, "required": True}),
            ("Phone", "text", 40),
            ("CreditLimit", "amount", {}),
            ("Company", "text", 20),
            ("TermNo", "text", 20),
            ("Active", "flag", {}),
            ("OpenedTime", "time", {}),
            ("OpenedDate", "day", {}),
            ("Wheels", "whole", {}),
            ("Kind", "text", {"length": 20, "choices": ["Water", "Wind"]}),
            ("ModifiedTime", "time", {"readOnly": True}),
        )
        terms = _columns(
            ("TermNo", "text", 20),
            ("Company", "text", 20),
            ("Text", "text", 60),
            ("ModifiedTime", "time", {"readOnly": True}),
        )
        leads = {"target": self.terms, "columns": {"Company": "Company", "TermNo": "TermNo"}}
        return {
            self.terms: {"keys": ["TermNo", "Company"], "columns": terms},
            self.table: {"keys": ["MillNo"], "columns": mill, "navigation": {"PaymentTermRef": leads}},
        }

    def terms_row(self) -> Mapping[str, Any]:
        return {"TermNo": "30,T", "Company": "10", "Text": "30 days"}
