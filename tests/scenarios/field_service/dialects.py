"""The two dialects of field service as the stories see them: one set of names, and what each dialect calls them.

Stories speak of tables, columns and choices as FSM names them, with values of Python's own types; a reference is the
key of the record that it leads to. What IFS Cloud calls all that is written down here once more, apart from the
definitions, so that a wrong line in one of those is seen.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import httpx

from sandbox.clock import Clock
from sandbox.field_service.keys import key_of, parts_of
from sandbox.field_service.options import Auth, FsmOptions
from sandbox.field_service.sandbox import FieldServiceSandbox, FsmSandbox, IfsCloudSandbox
from sandbox.tokens import TokenIssuer

Row = Mapping[str, Any]
SECRET: Final = "field-service-secret-of-32-characters"
REFERENCES: Final[Mapping[str, tuple[str, ...]]] = {
    "place_id": ("CustomerId",),
    "product_id": ("PartNo", "SerialNo"),
    "contract_id": ("ContractNo",),
    "task_id": ("TaskSeq",),
}
"""Columns that lead to a record, and those in which IFS Cloud holds its key."""


class Dialect(ABC):
    """One dialect: its sandbox, our settings for it, and its words."""

    kind: str
    settings: Mapping[str, str]

    @abstractmethod
    def sandbox(self, clock: Clock, issuer: TokenIssuer, post: httpx.AsyncClient, seed: int) -> FieldServiceSandbox:
        """A new installation. post: by which it tells of changes."""

    @abstractmethod
    def table(self, name: str) -> str:
        """What it calls a table."""

    @abstractmethod
    def said(self, table: str, values: Row) -> dict[str, Any]:
        """Columns with values as it writes them."""

    @abstractmethod
    def heard(self, table: str, row: Row) -> dict[str, Any]:
        """A row of its own in the words of the stories."""


class Fsm(Dialect):
    """FSM 6.x. options: how this installation words things."""

    kind = "fsm"
    options = FsmOptions()
    settings: Mapping[str, str] = {
        "CROSSDOCK_FSM_SANDBOX_URL": "https://fsm.example/fsm/rest",
        "CROSSDOCK_FSM_IDENTITIES": "crossdock:open-sesame",
        "CROSSDOCK_FSM_WEBHOOK_SECRET": SECRET,
    }

    def sandbox(self, clock: Clock, issuer: TokenIssuer, post: httpx.AsyncClient, seed: int) -> FieldServiceSandbox:
        return FsmSandbox(clock=clock, issuer=issuer, post=post, base_path="/fsm/rest", seed=seed, options=self.options)

    def table(self, name: str) -> str:
        return name

    def said(self, table: str, values: Row) -> dict[str, Any]:
        return {name: self._written(value) for name, value in values.items()}

    def _written(self, value: Any) -> Any:
        if isinstance(value, bool):
            return self.options.flags[not value]
        if isinstance(value, datetime):
            return f"{value.astimezone(ZoneInfo(self.options.zone)):%Y-%m-%dT%H:%M:%S}"
        return value.isoformat() if isinstance(value, date) else value

    def heard(self, table: str, row: Row) -> dict[str, Any]:
        kinds = kinds_of(table)
        return {name: self._read(kinds[name], value) for name, value in row.items()}

    def _read(self, kind: str, value: Any) -> Any:
        if kind == "flag" and value is not None:
            return value == self.options.flags[0]
        return read(kind, value, self.options.zone)


class OtherFsm(Fsm):
    """An FSM server that words whatever it may otherwise: paths, yes and no, the zone of its times, and how one signs
    in; and that has no versions."""

    options = FsmOptions(
        versions=False,
        zone="Europe/Rome",
        flags=("TRUE", "FALSE"),
        auth=Auth.API_KEY,
        api_key_header="X-Fsm-Key",
        paths={"query": "search/{table}", "update": "tables/{table}/row/{key}"},
    )
    settings: Mapping[str, str] = {
        **Fsm.settings,
        "CROSSDOCK_FSM_SIGN_IN": "api_key",
        "CROSSDOCK_FSM_IDENTITIES": "X-Fsm-Key:open-sesame",
        "CROSSDOCK_FSM_SITE": json.dumps(
            {
                "paths": dict(options.paths),
                "versions": False,
                "time_zone": options.zone,
                "flags": list(options.flags),
                "page_size": 2,
            }
        ),
    }


class IfsCloud(Dialect):
    """IFS Cloud."""

    kind = "ifs_cloud"
    settings: Mapping[str, str] = {
        "CROSSDOCK_IFS_CLOUD_SANDBOX_URL": "https://ifs.example",
        "CROSSDOCK_IFS_CLOUD_NAMESPACE": "example",
        "CROSSDOCK_IFS_CLOUD_IDENTITIES": "CROSSDOCK:open-sesame",
        "CROSSDOCK_IFS_CLOUD_WEBHOOK_SECRET": SECRET,
    }

    def sandbox(self, clock: Clock, issuer: TokenIssuer, post: httpx.AsyncClient, seed: int) -> FieldServiceSandbox:
        return IfsCloudSandbox(clock=clock, issuer=issuer, post=post, seed=seed)

    def table(self, name: str) -> str:
        return TABLES[name]

    def said(self, table: str, values: Row) -> dict[str, Any]:
        body: dict[str, Any] = {}
        for name, value in values.items():
            if name in REFERENCES and name not in keys_of(table):
                own = REFERENCES[name]
                parts = parts_of(value) if value is not None else [None] * len(own)
                whole = own == ("TaskSeq",) and value is not None
                body |= dict(zip(own, [int(value)] if whole else parts, strict=True))
            elif (table, name) not in LEFT_OUT:
                body[COLUMNS[table][name]] = self._written(table, name, value)
        return body

    def _written(self, table: str, name: str, value: Any) -> Any:
        if isinstance(value, datetime):
            return f"{value.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
        if isinstance(value, date):
            return value.isoformat()
        return CHOICES.get((table, name), {}).get(value, value) if isinstance(value, str) else value

    def heard(self, table: str, row: Row) -> dict[str, Any]:
        kinds, found = kinds_of(table), {}
        for name, own in COLUMNS[table].items():
            back = {theirs: ours for ours, theirs in CHOICES.get((table, name), {}).items()}
            value = row.get(own)
            found[name] = back.get(value, value) if isinstance(value, str) else value
            found[name] = read(kinds[name], found[name]) if kinds[name] != "flag" else found[name]
        for name in set(kinds) & set(REFERENCES) - set(keys_of(table)):
            parts = [row.get(one) for one in REFERENCES[name]]
            found[name] = None if None in parts else key_of(parts)
        return found


FSM, OTHER_FSM, IFS_CLOUD = Fsm(), OtherFsm(), IfsCloud()
_DEFAULT: Final = Path(__file__).parents[3] / "sandbox" / "field_service" / "fsm_tables.json"


@cache
def _tables() -> Mapping[str, Any]:
    return dict(json.loads(_DEFAULT.read_text("utf-8"))["tables"])


def kinds_of(table: str) -> Mapping[str, str]:
    """What each column of a table holds."""
    return {column["name"]: column["type"] for column in _tables()[table]["columns"]}


def keys_of(table: str) -> list[str]:
    """The columns of a table's key."""
    return list(_tables()[table]["keys"])


def read(kind: str, value: Any, zone: str = "UTC") -> Any:
    """A day or a time as Python has it. zone: of a time that names none."""
    if value is None:
        return None
    if kind == "time":
        return datetime.fromisoformat(value.removesuffix("Z")).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
    return date.fromisoformat(value) if kind == "day" else value


LEFT_OUT: Final = {("place", "place_type")}
"""What IFS Cloud does not have."""
TABLES: Final[Mapping[str, str]] = {
    "place": "CustomerHandling.CustomerInfoSet",
    "product": "PartSerialsHandling.PartSerialCatalogSet",
    "product_warranty": "WarrantyHandling.SerialWarrantySet",
    "contract": "ServiceContractHandling.ServiceContractSet",
    "sla_result": "ServiceSlaHandling.SlaResultSet",
    "task": "WorkTaskHandling.JtTaskSet",
    "quote": "ServiceQuotationHandling.ServiceQuotationSet",
    "sales_history": "SalesHistoryHandling.CustomerSaleSet",
    "invoice_request": "ServiceInvoicingHandling.InvoiceRequestSet",
    "promotion": "PromotionHandling.PromotionSet",
    "stock": "InventoryPartInStockHandling.InventoryPartInStockSet",
    "part_return": "PartReturnHandling.PartReturnSet",
}
COLUMNS: Final[Mapping[str, Mapping[str, str]]] = {
    "place": {
        "place_id": "CustomerId",
        "name": "Name",
        "address_1": "Address1",
        "address_2": "Address2",
        "city": "City",
        "state_prov": "State",
        "zippost": "ZipCode",
        "country": "Country",
        "phone": "Phone",
        "email": "Email",
        "web": "Web",
        "credit_limit": "CreditLimit",
        "balance_due": "BalanceDue",
        "overdue": "Overdue",
        "credit_hold": "CreditBlock",
        "last_payment_date": "LastPaymentDate",
        "active": "Active",
        "crm_id": "Cf_CrmId",
    },
    "product": {
        "part_id": "PartNo",
        "serial_no": "SerialNo",
        "description": "Description",
        "installed_date": "InstallationDate",
        "status": "OperationalStatus",
        "crm_id": "Cf_CrmId",
    },
    "product_warranty": {
        "product_warranty_id": "WarrantyNo",
        "warranty_type": "WarrantyType",
        "start_date": "StartDate",
        "end_date": "EndDate",
        "covers_parts": "Material",
        "covers_labor": "Labor",
        "extension_offered": "Cf_ExtensionOffered",
        "extended_until": "Cf_ExtendedUntil",
        "crm_id": "Cf_CrmId",
    },
    "contract": {
        "contract_id": "ContractNo",
        "contract_type": "ContractType",
        "description": "ContractName",
        "start_date": "StartDate",
        "end_date": "EndDate",
        "status": "Objstate",
        "response_hours": "ResponseHours",
        "annual_value": "AnnualValue",
        "currency": "CurrencyCode",
        "crm_id": "Cf_CrmId",
    },
    "sla_result": {
        "sla_result_id": "SlaResultNo",
        "measure": "Measure",
        "due_dttm": "DueTime",
        "done_dttm": "DoneTime",
        "met": "Fulfilled",
    },
    "task": {
        "task_id": "TaskSeq",
        "request_id": "WoNo",
        "task_type": "WorkTypeId",
        "description": "Description",
        "customer_wish": "CustomerWish",
        "task_status": "Objstate",
        "priority": "Priority",
        "plan_start_dttm": "PlannedStart",
        "plan_end_dttm": "PlannedFinish",
        "person_id": "SignId",
        "started_dttm": "ActualStart",
        "completed_dttm": "ActualFinish",
        "resolution": "Resolution",
        "payment_kind": "PaymentKind",
        "amount": "Amount",
        "currency": "CurrencyCode",
        "customer_rating": "Cf_CustomerRating",
        "crm_id": "Cf_CrmId",
    },
    "quote": {
        "quote_id": "QuotationNo",
        "description": "Description",
        "quote_status": "Objstate",
        "total_amount": "TotalAmount",
        "currency": "CurrencyCode",
        "valid_until": "ValidUntil",
        "confirmed_dttm": "ConfirmedTime",
        "probability": "Probability",
        "crm_id": "Cf_CrmId",
    },
    "sales_history": {
        "sales_history_id": "SaleNo",
        "document_no": "DocumentNo",
        "sale_kind": "SaleKind",
        "description": "Description",
        "sold_date": "SoldDate",
        "amount": "Amount",
        "currency": "CurrencyCode",
        "origin": "Origin",
        "crm_id": "Cf_CrmId",
    },
    "invoice_request": {
        "invoice_request_id": "RequestNo",
        "requested_dttm": "RequestedTime",
        "description": "Description",
        "amount": "Amount",
        "currency": "CurrencyCode",
        "request_status": "Objstate",
        "invoice_no": "InvoiceNo",
        "invoiced_date": "InvoicedDate",
        "paid_date": "PaidDate",
    },
    "promotion": {
        "promotion_id": "PromotionId",
        "name": "Name",
        "description": "Description",
        "start_date": "StartDate",
        "end_date": "EndDate",
        "active": "Active",
        "offered_count": "OfferedCount",
        "sold_count": "SoldCount",
        "crm_id": "Cf_CrmId",
    },
    "stock": {
        "location_id": "LocationNo",
        "part_id": "PartNo",
        "location_name": "LocationName",
        "location_type": "LocationType",
        "item_kind": "ItemKind",
        "part_description": "PartDescription",
        "quantity": "Quantity",
        "unit": "UnitCode",
    },
    "part_return": {
        "part_return_id": "ReturnNo",
        "part_id": "PartNo",
        "serial_no": "SerialNo",
        "quantity": "Quantity",
        "reason": "Reason",
        "disposition": "Disposition",
        "owner": "Owner",
        "replacement_due": "ReplacementDue",
        "returned_dttm": "ReturnedTime",
        "return_status": "Objstate",
    },
}
CHOICES: Final[Mapping[tuple[str, str], Mapping[str, str]]] = {
    ("product", "status"): {"ACTIVE": "InOperation", "REMOVED": "OutOfOperation"},
    ("product_warranty", "warranty_type"): {"MANUFACTURER": "Manufacturer", "EXTENDED": "Extended"},
    ("contract", "contract_type"): {"FULL": "Full", "PREVENTIVE": "Preventive", "PARTS": "Parts"},
    ("contract", "status"): {"OFFERED": "Offered", "ACTIVE": "Active", "ENDED": "Closed"},
    ("task", "task_type"): {
        "INSTALL": "Install",
        "REPAIR": "Repair",
        "MAINTENANCE": "Maintenance",
        "VISIT": "Visit",
    },
    ("task", "task_status"): {
        "OPEN": "New",
        "SCHEDULED": "Scheduled",
        "ON SITE": "WorkStarted",
        "COMPLETED": "WorkDone",
        "CANCELED": "Cancelled",
    },
    ("task", "payment_kind"): {"WARRANTY": "Warranty", "CONTRACT": "Contract", "PAYABLE": "Payable"},
    ("quote", "quote_status"): {
        "DRAFT": "Planned",
        "SENT": "Released",
        "CONFIRMED": "Confirmed",
        "REFUSED": "Lost",
    },
    ("sales_history", "sale_kind"): {"GOODS": "Goods", "SERVICE": "Service", "CONTRACT": "Contract"},
    ("sales_history", "origin"): {"FSM": "IFS"},
    ("invoice_request", "request_status"): {
        "REQUESTED": "Requested",
        "INVOICED": "Invoiced",
        "PAID": "Paid",
        "REFUSED": "Refused",
    },
    ("stock", "location_type"): {"WAREHOUSE": "Warehouse", "VAN": "Van"},
    ("stock", "item_kind"): {"PART": "Part", "TOOL": "Tool"},
    ("part_return", "disposition"): {
        "RESTOCK": "Restock",
        "REPAIR": "Repair",
        "SCRAP": "Scrap",
        "SUPPLIER": "Supplier",
    },
    ("part_return", "owner"): {"CUSTOMER": "Customer", "COMPANY": "Company", "SUPPLIER": "Supplier"},
    ("part_return", "return_status"): {"ANNOUNCED": "Announced", "RECEIVED": "Received", "CLOSED": "Closed"},
}
"""What IFS Cloud calls the choices of a column, where it is another word."""
