"""The tables and the properties the interface shows: one declarative description for checks, answers and $metadata.

Names, lengths, enum members and what can be written after Microsoft Learn, 'Business Central API v2.0' (customer,
contact, paymentTerms, currency, ...), and the pages of the product's published source.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

ZERO_GUID = "00000000-0000-0000-0000-000000000000"
BLANK = "_x0020_"
_EDM = {
    "text": "Edm.String",
    "code": "Edm.String",
    "enum": "Edm.String",
    "guid": "Edm.Guid",
    "bool": "Edm.Boolean",
    "int": "Edm.Int32",
    "bigint": "Edm.Int64",
    "decimal": "Edm.Decimal",
    "date": "Edm.Date",
    "datetime": "Edm.DateTimeOffset",
}


@dataclass(frozen=True)
class Field:
    """One property. `stored` is its name in the table's row where that differs; `computed` ones have none, a `stamp` is
    set with every write."""

    name: str
    kind: str
    length: int = 0
    read_only: bool = False
    computed: bool = False
    members: tuple[str, ...] = ()
    stored: str = ""
    stamp: bool = False

    @property
    def source(self) -> str:
        """The name of the value in the table's row."""
        return self.stored or self.name

    @property
    def edm(self) -> str:
        """The property's type in the interface's metadata."""
        return _EDM[self.kind]


@dataclass(frozen=True)
class Link:
    """A navigation property: to one row (`by` holds its id) or, without `by`, to a collection."""

    name: str
    target: str
    by: str = ""
    imitated: bool = True


@dataclass(frozen=True)
class EntityType:
    """A page of the interface: its names, the table below it, its properties and what it allows."""

    name: str
    entity_set: str
    table: str
    caption: str
    fields: tuple[Field, ...]
    links: tuple[Link, ...] = ()
    methods: frozenset[str] = frozenset({"GET"})
    needs_parent: bool = False
    has_etag: bool = True
    key: str = "id"
    by_name: Mapping[str, Field] = field(init=False, repr=False, compare=False)
    link_by_name: Mapping[str, Link] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_name", {one.name: one for one in self.fields})
        object.__setattr__(self, "link_by_name", {one.name: one for one in self.links})


@dataclass(frozen=True)
class TableInfo:
    """A table of the application: its natural key and the other columns rows are looked up by."""

    name: str
    caption: str
    key: str = "code"
    key_caption: str = "Code"
    indexes: tuple[str, ...] = ()


def _id() -> Field:
    return Field("id", "guid", read_only=True)


def _modified() -> Field:
    return Field("lastModifiedDateTime", "datetime", read_only=True, stamp=True)


def _address() -> tuple[Field, ...]:
    return (
        Field("addressLine1", "text", 100),
        Field("addressLine2", "text", 50),
        Field("city", "text", 30),
        Field("state", "text", 30),
        Field("country", "code", 10),
        Field("postalCode", "code", 20),
    )


ALL_METHODS = frozenset({"GET", "POST", "PATCH", "DELETE"})
RELATIONS = (BLANK, "None", "Customer", "Vendor", "Bank_x0020_Account", "Employee", "Other", "Multiple")

CUSTOMER = EntityType(
    "customer",
    "customers",
    "customers",
    "Customer",
    (
        _id(),
        Field("number", "code", 20),
        Field("displayName", "text", 100),
        Field("type", "enum", members=("Company", "Person")),
        *_address(),
        Field("phoneNumber", "text", 30),
        Field("email", "text", 80),
        Field("website", "text", 255),
        Field("salespersonCode", "code", 20),
        Field("balanceDue", "decimal", read_only=True, computed=True),
        Field("creditLimit", "decimal"),
        Field("taxLiable", "bool"),
        Field("taxAreaId", "guid"),
        Field("taxAreaDisplayName", "text", 100, read_only=True, computed=True),
        Field("taxRegistrationNumber", "text", 50),
        Field("currencyId", "guid"),
        Field("currencyCode", "code", 10, computed=True),
        Field("paymentTermsId", "guid"),
        Field("shipmentMethodId", "guid"),
        Field("paymentMethodId", "guid"),
        Field("blocked", "enum", members=(BLANK, "Ship", "Invoice", "All")),
        _modified(),
    ),
    (
        Link("currency", "currencies", "currencyId"),
        Link("paymentTerm", "paymentTerms", "paymentTermsId"),
        Link("shipmentMethod", "shipmentMethods", "shipmentMethodId"),
        Link("paymentMethod", "paymentMethods", "paymentMethodId"),
        Link("contactsInformation", "contactsInformation"),
        Link("customerFinancialDetails", "", imitated=False),
        Link("picture", "", imitated=False),
        Link("defaultDimensions", "", imitated=False),
        Link("agedAccountsReceivable", "", imitated=False),
        Link("documentAttachments", "", imitated=False),
    ),
    methods=ALL_METHODS,
)

CONTACT = EntityType(
    "contact",
    "contacts",
    "contacts",
    "Contact",
    (
        _id(),
        Field("number", "code", 20),
        Field("type", "enum", members=("Company", "Person")),
        Field("displayName", "text", 100),
        Field("jobTitle", "text", 30),
        Field("companyNumber", "code", 20),
        Field("companyName", "text", 100),
        Field("contactBusinessRelation", "enum", members=RELATIONS),
        *_address(),
        Field("phoneNumber", "text", 30),
        Field("mobilePhoneNumber", "text", 30),
        Field("email", "text", 80),
        Field("website", "text", 255),
        Field("searchName", "code", 100),
        Field("privacyBlocked", "bool"),
        Field("taxRegistrationNumber", "text", 50),
        Field("lastInteractionDate", "date", read_only=True),
        _modified(),
    ),
    (Link("picture", "", imitated=False),),
    methods=ALL_METHODS,
)

CUSTOMER_CONTACT = EntityType(
    "customerContact",
    "customerContacts",
    "contacts",
    "Contact",
    (
        _id(),
        Field("email", "text", 80),
        Field("firstName", "text", 30),
        Field("lastName", "text", 30, stored="surname"),
        Field("professionalTitle", "text", 30, stored="jobTitle"),
        Field("customerId", "guid", computed=True),
        Field("customerName", "text", 100, read_only=True, computed=True),
        Field("primaryPhoneNumber", "text", 30, stored="phoneNumber"),
    ),
    (Link("pdfDocument", "", imitated=False),),
    methods=frozenset({"GET", "PATCH", "DELETE"}),
)

CONTACT_INFORMATION = EntityType(
    "contactInformation",
    "contactsInformation",
    "",
    "Contact Information",
    (
        Field("contactId", "guid", read_only=True),
        Field("contactNumber", "code", 20, read_only=True),
        Field("contactName", "text", 100, read_only=True),
        Field("contactType", "enum", members=("Company", "Person"), read_only=True),
        Field("relatedId", "guid", read_only=True),
        Field("relatedType", "enum", members=("Customer", "Vendor", "Bank_x0020_Account"), read_only=True),
    ),
    needs_parent=True,
    has_etag=False,
    key="contactId",
)


def _small(name: str, entity_set: str, caption: str, *more: Field, length: int = 10, text: int = 100) -> EntityType:
    fields = (_id(), Field("code", "code", length), Field("displayName", "text", text), *more, _modified())
    return EntityType(name, entity_set, entity_set, caption, fields, methods=ALL_METHODS)


PAYMENT_TERM = _small(
    "paymentTerm",
    "paymentTerms",
    "Payment Terms",
    Field("dueDateCalculation", "text", 32),
    Field("discountDateCalculation", "text", 32),
    Field("discountPercent", "decimal"),
    Field("calculateDiscountOnCreditMemos", "bool"),
)
CURRENCY = _small(
    "currency",
    "currencies",
    "Currency",
    Field("symbol", "text", 10),
    Field("amountDecimalPlaces", "text", 5),
    Field("amountRoundingPrecision", "decimal"),
    text=30,
)
SHIPMENT_METHOD = _small("shipmentMethod", "shipmentMethods", "Shipment Method")
PAYMENT_METHOD = _small("paymentMethod", "paymentMethods", "Payment Method")
COUNTRY = _small("countryRegion", "countriesRegions", "Country/Region", Field("addressFormat", "text", 30), text=50)
SALESPERSON = _small(
    "salespersonPurchaser",
    "salespeoplePurchasers",
    "Salesperson/Purchaser",
    Field("email", "text", 80),
    Field("email2", "text", 80),
    Field("phoneNo", "text", 30),
    Field("jobTitle", "text", 30),
    Field("commisionPercent", "decimal"),
    Field("privacyBlocked", "bool"),
    Field("blocked", "bool"),
    length=20,
    text=50,
)
UNIT_OF_MEASURE = EntityType(
    "unitOfMeasure",
    "unitsOfMeasure",
    "unitsOfMeasure",
    "Unit of Measure",
    (
        _id(),
        Field("code", "code", 10),
        Field("displayName", "text", 50),
        Field("internationalStandardCode", "code", 10),
        Field("symbol", "text", 10),
        _modified(),
    ),
)
ITEM = EntityType(
    "item",
    "items",
    "items",
    "Item",
    (
        _id(),
        Field("number", "code", 20),
        Field("displayName", "text", 100),
        Field("displayName2", "text", 50),
        Field("type", "enum", members=("Inventory", "Service", "Non_x002D_Inventory")),
        Field("blocked", "bool"),
        Field("gtin", "code", 14),
        Field("inventory", "decimal", computed=True, read_only=True),
        Field("unitPrice", "decimal"),
        Field("priceIncludesTax", "bool"),
        Field("unitCost", "decimal"),
        Field("baseUnitOfMeasureCode", "code", 10),
        _modified(),
    ),
    (
        Link("baseUnitOfMeasure", "", imitated=False),
        Link("inventoryPostingGroup", "", imitated=False),
        Link("generalProductPostingGroup", "", imitated=False),
        Link("picture", "", imitated=False),
        Link("defaultDimensions", "", imitated=False),
        Link("itemVariants", "", imitated=False),
        Link("documentAttachments", "", imitated=False),
    ),
)
CUSTOMER_FINANCIAL_DETAIL = EntityType(
    "customerFinancialDetail",
    "customerFinancialDetails",
    "customers",
    "Customer Financial Detail",
    (
        _id(),
        Field("number", "code", 20, read_only=True),
        Field("balance", "decimal", read_only=True, computed=True),
        Field("overdueAmount", "decimal", read_only=True, computed=True),
    ),
)
"""Of `totalSalesExcludingTax` there is nothing here: no documents are imitated."""
TAX_AREA = EntityType(
    "taxArea",
    "taxAreas",
    "taxAreas",
    "Tax Area",
    (
        _id(),
        Field("code", "code", 20),
        Field("displayName", "text", 100),
        Field("taxType", "enum", members=("Sales_x0020_Tax", "VAT")),
        _modified(),
    ),
)
COMPANY_INFORMATION = EntityType(
    "companyInformation",
    "companyInformation",
    "companyInformation",
    "Company Information",
    (
        _id(),
        Field("displayName", "text", 100),
        *_address(),
        Field("phoneNumber", "text", 30),
        Field("faxNumber", "text", 30),
        Field("email", "text", 80),
        Field("website", "text", 255),
        Field("taxRegistrationNumber", "text", 20),
        Field("currencyCode", "code", 10),
        Field("currentFiscalYearStartDate", "date"),
        Field("industry", "text", 30),
        Field("experience", "text", 30),
        _modified(),
    ),
)
COMPANY = EntityType(
    "company",
    "companies",
    "",
    "Company",
    (
        Field("id", "guid", read_only=True),
        Field("systemVersion", "text", 250, read_only=True),
        Field("timestamp", "int", read_only=True),
        Field("name", "text", 30),
        Field("displayName", "text", 250),
        Field("businessProfileId", "text", 250),
        Field("systemCreatedAt", "datetime", read_only=True),
        Field("systemCreatedBy", "guid", read_only=True),
        Field("systemModifiedAt", "datetime", read_only=True),
        Field("systemModifiedBy", "guid", read_only=True),
    ),
    has_etag=False,
)
SUBSCRIPTION = EntityType(
    "subscription",
    "subscriptions",
    "subscriptions",
    "Subscription",
    (
        Field("subscriptionId", "text", 150, read_only=True),
        Field("notificationUrl", "text", 2048),
        Field("resource", "text", 2048),
        Field("timestamp", "int", read_only=True),
        Field("userId", "guid", read_only=True),
        Field("lastModifiedDateTime", "datetime", read_only=True),
        Field("clientState", "text", 250),
        Field("expirationDateTime", "datetime", read_only=True),
        Field("systemCreatedAt", "datetime", read_only=True),
        Field("systemCreatedBy", "guid", read_only=True),
        Field("systemModifiedAt", "datetime", read_only=True),
        Field("systemModifiedBy", "guid", read_only=True),
    ),
    methods=ALL_METHODS,
    key="subscriptionId",
)

ENTITIES: Mapping[str, EntityType] = {
    entity.entity_set: entity
    for entity in (
        CUSTOMER,
        CONTACT,
        CUSTOMER_CONTACT,
        CONTACT_INFORMATION,
        PAYMENT_TERM,
        CURRENCY,
        SHIPMENT_METHOD,
        PAYMENT_METHOD,
        COUNTRY,
        SALESPERSON,
        TAX_AREA,
        COMPANY_INFORMATION,
        UNIT_OF_MEASURE,
        ITEM,
        CUSTOMER_FINANCIAL_DETAIL,
    )
}
"""What lives inside a company, by entity set."""

_OF_CUSTOMERS = ("taxRegistrationNumber", "displayName", "externalId", "primaryContactId")

TABLES: Mapping[str, TableInfo] = {
    info.name: info
    for info in (
        TableInfo(
            "customers",
            "Customer",
            "number",
            "No.",
            indexes=("taxRegistrationNumber", "displayName", "externalId", "primaryContactId"),
        ),
        TableInfo("contacts", "Contact", "number", "No.", indexes=("companyNumber", "displayName", "externalId")),
        TableInfo("relations", "Contact Business Relation", "id", "Contact", indexes=("contactId", "customerId")),
        TableInfo("ledgerEntries", "Cust. Ledger Entry", "id", "Entry No.", indexes=("customerId",)),
        TableInfo("numberSeries", "No. Series", "id", "Code"),
        TableInfo("paymentTerms", "Payment Terms"),
        TableInfo("currencies", "Currency"),
        TableInfo("shipmentMethods", "Shipment Method"),
        TableInfo("paymentMethods", "Payment Method"),
        TableInfo("countriesRegions", "Country/Region"),
        TableInfo("salespeoplePurchasers", "Salesperson/Purchaser"),
        TableInfo("taxAreas", "VAT Business Posting Group"),
        TableInfo("companyInformation", "Company Information", "id", "Primary Key"),
        TableInfo("unitsOfMeasure", "Unit of Measure"),
        TableInfo("items", "Item", "number", "No."),
        TableInfo("itemEntries", "Item Ledger Entry", "id", "Entry No.", indexes=("itemId",)),
        TableInfo("changeBounds", "Change Bound", "id", "Primary Key"),
        TableInfo("customerTemplates", "Customer Templ."),
    )
}
"""The tables inside a company."""

ENVIRONMENT_TABLES: Mapping[str, TableInfo] = {
    info.name: info
    for info in (
        TableInfo("subscriptions", "Subscription", "id", "Id", indexes=("notificationUrl", "watched")),
        TableInfo(
            "notices", "API Webhook Notification", "id", "Id", indexes=("notificationUrl", "subscriptionId", "entity")
        ),
    )
}
"""The tables outside any company."""

WEBHOOK_SETS = frozenset(
    {
        "companyInformation",
        "countriesRegions",
        "currencies",
        "customers",
        "items",
        "paymentMethods",
        "paymentTerms",
        "shipmentMethods",
        "unitsOfMeasure",
    }
)
"""Imitated entity sets that can be subscribed to (Microsoft Learn, 'Working with webhooks', supported entities)."""

OTHER_SETS = frozenset(
    [
        "accounts",
        "agedAccountsPayables",
        "agedAccountsReceivables",
        "applyVendorEntries",
        "attachments",
        "balanceSheets",
        "bankAccounts",
        "cashFlowStatements",
        "customerPaymentJournals",
        "customerPayments",
        "customerReturnReasons",
        "customerSales",
        "defaultDimensions",
        "dimensionSetLines",
        "dimensionValues",
        "dimensions",
        "disputeStatus",
        "documentAttachments",
        "employees",
        "fixedAssets",
        "fixedAssetLocations",
        "generalLedgerEntries",
        "generalLedgerEntryAttachments",
        "generalLedgerSetup",
        "generalProductPostingGroups",
        "incomeStatements",
        "inventoryPostingGroups",
        "itemCategories",
        "itemLedgerEntries",
        "itemVariants",
        "jobs",
        "journalLines",
        "journals",
        "locations",
        "opportunities",
        "paymentRegistrationSetup",
        "pdfDocument",
        "picture",
        "pictures",
        "postedTimeSheetLines",
        "projects",
        "purchaseCreditMemoLines",
        "purchaseCreditMemos",
        "purchaseInvoiceLines",
        "purchaseInvoices",
        "purchaseOrderLines",
        "purchaseOrders",
        "purchaseReceiptLines",
        "purchaseReceipts",
        "retainedEarningsStatements",
        "salesCreditMemoLines",
        "salesCreditMemos",
        "salesInvoiceLines",
        "salesInvoices",
        "salesOrderLines",
        "salesOrders",
        "salesQuoteLines",
        "salesQuotes",
        "salesShipmentLines",
        "salesShipments",
        "taxGroups",
        "timeRegistrationEntries",
        "trialBalances",
        "vendorPaymentJournals",
        "vendorPayments",
        "vendorPurchases",
        "vendors",
        "entityDefinitions",
    ]
)
"""Documented entity sets the sandbox does not imitate: 501, where a name nobody knows is 404."""
