"""The API below one environment: companies, what is in them, metadata. Synchronous: nothing waits in between."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sandbox.business_central import contacts, crm, customers, items, small_tables
from sandbox.business_central.calls import Answer, Call, check_etag, require_etag
from sandbox.business_central.entities import COMPANY, ENTITIES, OTHER_SETS, TABLES, EntityType, Link
from sandbox.business_central.errors import (
    ApiError,
    NotImitated,
    dialog,
    method_not_allowed,
    no_such_segment,
)
from sandbox.business_central.metadata import csdl
from sandbox.business_central.queries import answer_list, narrowed, read_query, select_rows
from sandbox.business_central.records import Session, read_body
from sandbox.business_central.setup import BusinessCentralOptions, Company
from sandbox.business_central.showing import etag_of, linked_row, linked_rows, shown
from sandbox.business_central.store import PRESENT, Table, Work
from sandbox.business_central.values import GUID, Row

_SEGMENT = re.compile(r"(?P<name>[^()]+)(?:\((?P<key>[^()]*)\))?")
_FOUNDED = datetime(2024, 1, 1, tzinfo=UTC)
_SYSTEM_USER = "00000000-0000-0000-0000-000000000001"
_COMPANY_OPTIONS = frozenset({"company", "tenant"})
_ROW_OPTIONS = frozenset({"$select", "$expand", "$schemaversion"})
_ODATA = {"OData-Version": "4.0"}


def parse_segment(segment: str) -> tuple[str, str | None]:
    """Split `customers(<id>)` into name and key; raises the service's refusal of a malformed address."""
    found = _SEGMENT.fullmatch(segment)
    if found is None:
        raise no_such_segment(segment)
    return found["name"], found["key"]


def parse_id(key: str) -> str:
    """Read a row's id; it is a GUID without quotes."""
    if GUID.fullmatch(key) is None:
        raise ApiError(400, "BadRequest_NotFound", "query", reason="Bad Request - Error in query syntax.")
    return key.lower()


class Api:
    """Answers calls on the environment's companies within a unit of work. inside: the entity sets of a company."""

    def __init__(
        self,
        companies: Sequence[Company],
        options: BusinessCentralOptions,
        inside: Mapping[str, EntityType] = ENTITIES,
    ) -> None:
        self._companies = companies
        self._options = options
        self._sets = inside
        self._csdl = csdl(inside)

    def answer(self, call: Call, work: Work) -> Answer:
        """Carry out a call; raises ApiError or NotImitated, and leaves undoing to the caller."""
        if call.method != "GET" and call.headers.get("data-access-intent", "").lower() == "readonly":
            raise ApiError(400, "BadRequest_InvalidOperation", "replica_write")
        if not call.segments:
            return self._service_document(call)
        name, key = parse_segment(call.segments[0])
        if name == "$metadata":
            return self._metadata(call)
        if name == "companies":
            return self._companies_call(call, work, key)
        return self._inside(call, self._session(work, self._default_company(call)), call.segments)

    @property
    def country(self) -> str:
        """The country of the environment: that of its first company."""
        return self._companies[0].country if self._companies else "IT"

    def company(self, wanted: str) -> Company:
        """Return a company by id or name; raises the 404 of an unknown one."""
        for company in self._companies:
            if wanted.lower() == company.id.lower() or wanted == company.name:
                return company
        raise ApiError(404, "Internal_CompanyNotFound", "no_company", company=wanted)

    def _default_company(self, call: Call) -> Company:
        wanted = call.options.get("company") or call.headers.get("company")
        if wanted:
            return self.company(wanted)
        if not self._companies:
            raise ApiError(404, "Internal_CompanyNotFound", "no_company", company="")
        return self._companies[0]

    def _session(self, work: Work, company: Company) -> Session:
        return Session(work, company, self._options)

    # --- the top ---

    def _service_document(self, call: Call) -> Answer:
        _only_get(call, "api")
        names = ["companies", "subscriptions", *self._sets]
        value = [{"name": name, "kind": "EntitySet", "url": name} for name in names]
        return Answer(200, {"@odata.context": f"{call.root}/$metadata", "value": value}, _ODATA)

    def _metadata(self, call: Call) -> Answer:
        _only_get(call, "$metadata")
        return Answer(200, self._csdl, _ODATA, "application/xml")

    def _companies_call(self, call: Call, work: Work, key: str | None) -> Answer:
        if key is None:
            return self._list_companies(call, work)
        company = self.company(parse_id(key))
        if len(call.segments) > 1:
            return self._inside(call, self._session(work, company), call.segments[1:])
        _only_get(call, "companies")
        context = f"{call.root}/$metadata#companies/$entity"
        session = self._session(work, company)
        select = read_query(session, COMPANY, call.options).select
        return Answer(
            200, {"@odata.context": context, **shown(session, COMPANY, self._company_row(company), select)}, _ODATA
        )

    def _list_companies(self, call: Call, work: Work) -> Answer:
        _only_get(call, "companies")
        if len(call.segments) > 1:
            raise NotImitated("what follows the list of companies")
        session = self._session(work, self._companies[0] if self._companies else Company("", ""))
        query = read_query(session, COMPANY, call.options, call.prefer)
        rows = [self._company_row(company) for company in self._companies]
        context = f"{call.root}/$metadata#companies"
        body = answer_list(session, COMPANY, rows, query, url=call.url, context=context, options=call.options)
        return Answer(200, body, _ODATA)

    def _company_row(self, company: Company) -> Row:
        return _company_row(company, self._options.system_version)

    # --- inside a company ---

    def _inside(self, call: Call, session: Session, segments: tuple[str, ...]) -> Answer:
        name, key = parse_segment(segments[0])
        entity = _entity(self._sets, name)
        if entity.needs_parent:
            raise dialog("parent_needed", segment=name)
        place = _Place(call, session, entity, segments[1:])
        if place.is_action and key is not None:
            return place.act(parse_id(key))
        if call.method not in entity.methods:
            raise _refused_method(call.method, entity)
        return place.collection() if key is None else place.one(parse_id(key))


def _refuse_options(call: Call, known: frozenset[str]) -> None:
    """Raise NotImitated for query options that mean nothing here, rather than ignore them."""
    for name in call.options:
        if name not in known:
            raise NotImitated(f"the query option {name} on {call.method} of a record")


def _entity(sets: Mapping[str, EntityType], name: str) -> EntityType:
    if name in sets:
        return sets[name]
    if (sets is ENTITIES and name in OTHER_SETS) or name == "subscriptions":
        raise NotImitated(f"the entity set {name}")
    raise no_such_segment(name)


def _refused_method(method: str, entity: EntityType) -> Exception:
    if entity.entity_set == "companyInformation" and method == "PATCH":
        return NotImitated("changing companyInformation")
    if entity.entity_set in ("items", "unitsOfMeasure"):
        return NotImitated(f"writing {entity.entity_set} from outside")
    return method_not_allowed(method, entity.entity_set)


def _only_get(call: Call, segment: str) -> None:
    if call.method != "GET":
        raise method_not_allowed(call.method, segment)


def _company_row(company: Company, version: str) -> Row:
    return {
        "id": company.id,
        "systemVersion": version,
        "timestamp": 1,
        "name": company.name,
        "displayName": company.display_name,
        "businessProfileId": "",
        "systemCreatedAt": _FOUNDED,
        "systemCreatedBy": _SYSTEM_USER,
        "systemModifiedAt": _FOUNDED,
        "systemModifiedBy": _SYSTEM_USER,
    }


class _Place:
    """An entity set of a company, or one of its rows, as a call addresses it."""

    def __init__(self, call: Call, session: Session, entity: EntityType, rest: tuple[str, ...]) -> None:
        self.call = call
        self.session = session
        self.entity = entity
        self.rest = rest
        self.context = f"{call.root}/$metadata#companies({session.company.id})/{entity.entity_set}"

    # --- the set ---

    def collection(self) -> Answer:
        if self.rest == ("$count",):
            return self._count(self.entity, self._rows())
        if self.rest:
            raise no_such_segment(self.rest[0])
        match self.call.method:
            case "GET":
                return self._list(self.entity, self._rows(), self.context)
            case "POST":
                return self._create()
        raise method_not_allowed(self.call.method, self.entity.entity_set)

    def _rows(self) -> list[Row]:
        """Return the set's rows in the state asked for, in the order of the table's key."""
        table = self.session.table(self.entity.table)
        key = TABLES[self.entity.table].key
        rows = sorted(self._candidates(table), key=lambda row: str(row[key]))
        return [row for row in rows if self._shows(row)]

    def _candidates(self, table: Table) -> Iterable[Row]:
        """Return all rows, or fewer if the filter names single values of an index and the present is asked for."""
        text = self.call.options.get("$filter")
        few = narrowed(table, self.entity, text) if text and self.call.state == PRESENT else None
        return self.call.state.rows(table).values() if few is None else few

    def _shows(self, row: Row) -> bool:
        return self.entity.name != "customerContact" or contacts.is_customer_contact(row)

    def _list(self, entity: EntityType, rows: Sequence[Row], context: str) -> Answer:
        call = self.call
        query = read_query(self.session, entity, call.options, call.prefer)
        body = answer_list(self.session, entity, rows, query, url=call.url, context=context, options=call.options)
        return Answer(200, body, _ODATA)

    def _count(self, entity: EntityType, rows: Sequence[Row]) -> Answer:
        _only_get(self.call, "$count")
        query = read_query(self.session, entity, self.call.options)
        total = select_rows(self.session, entity, rows, query).total
        return Answer(200, str(total), _ODATA, "text/plain")

    def _create(self) -> Answer:
        _refuse_options(self.call, _COMPANY_OPTIONS)
        row = create(self.session, self.entity, read_body(self.call.body))
        location = f"{self.call.root}/companies({self.session.company.id})/{self.entity.entity_set}({row['id']})"
        headers = {**_ODATA, "Location": location}
        if "return-no-content" in self.call.prefer:
            return Answer(204, None, headers)
        return Answer(201, self._shown(row), headers)

    # --- one row ---

    @property
    def is_action(self) -> bool:
        """Whether the address ends in a bound action; its name counts in any case."""
        return len(self.rest) == 1 and self.rest[0].lower().startswith("microsoft.nav.")

    def act(self, row_id: str) -> Answer:
        """Carry out a bound action."""
        name = self.rest[0].lower().removeprefix("microsoft.nav.")
        row = self.session.table(self.entity.table).rows.get(row_id)
        if row is None or not self._shows(row):
            raise no_such_segment(self.entity.entity_set)
        if (self.entity.entity_set, name) != ("crmContacts", "createcustomer"):
            raise NotImitated(f"the action {name} of {self.entity.entity_set}")
        if self.call.method != "POST":
            raise method_not_allowed(self.call.method, self.rest[0])
        _refuse_options(self.call, _COMPANY_OPTIONS)
        check_etag(self.call, etag_of(self.session, row))
        crm.create_customer(self.session, row, self.call.body)
        return Answer(204)

    def one(self, row_id: str) -> Answer:
        row = self.call.state.rows(self.session.table(self.entity.table)).get(row_id)
        if row is None or not self._shows(row):
            raise no_such_segment(self.entity.entity_set)
        if self.rest:
            return self._link(row)
        reads = self.call.method == "GET"
        _refuse_options(self.call, _COMPANY_OPTIONS | _ROW_OPTIONS if reads else _COMPANY_OPTIONS)
        match self.call.method:
            case "GET":
                return self._get(row)
            case "PATCH":
                require_etag(self.call, etag_of(self.session, row))
                changed = edit(self.session, self.entity, row, read_body(self.call.body))
                return Answer(200, self._shown(changed), _ODATA)
            case "DELETE":
                check_etag(self.call, etag_of(self.session, row))
                delete(self.session, self.entity, row)
                return Answer(204)
        raise method_not_allowed(self.call.method, self.entity.entity_set)

    def _get(self, row: Row) -> Answer:
        query = read_query(self.session, self.entity, self.call.options)
        selected = f"({','.join(query.select)})" if query.select else ""
        body = {"@odata.context": f"{self.context}{selected}/$entity"}
        return Answer(200, body | shown(self.session, self.entity, row, query.select, query.expand), _ODATA)

    def _shown(self, row: Row) -> dict[str, Any]:
        return {"@odata.context": f"{self.context}/$entity", **shown(self.session, self.entity, row)}

    def _link(self, row: Row) -> Answer:
        name = self.rest[0]
        link = self.entity.link_by_name.get(parse_segment(name)[0])
        if link is None:
            raise no_such_segment(name)
        if not link.imitated or len(self.rest) > 2:
            raise NotImitated(f"{link.name} below a {self.entity.name}")
        _only_get(self.call, link.name)
        return self._linked_set(link, row) if not link.by else self._linked_row(link, row)

    def _linked_set(self, link: Link, row: Row) -> Answer:
        entity = ENTITIES[link.target]
        rows = linked_rows(self.session, link, row)
        if self.rest[1:] == ("$count",):
            return self._count(entity, rows)
        if self.rest[1:] or self.rest[0] != link.name:
            raise NotImitated(f"single rows of {link.name}")
        return self._list(entity, rows, f"{self.context}({row['id']})/{link.name}")

    def _linked_row(self, link: Link, row: Row) -> Answer:
        found = linked_row(self.session, link, row)
        if found is None or len(self.rest) > 1:
            raise no_such_segment(link.name)
        entity = ENTITIES[link.target]
        select = read_query(self.session, entity, self.call.options).select
        body = {"@odata.context": f"{self.context}({row['id']})/{link.name}/$entity"}
        return Answer(200, body | shown(self.session, entity, found, select), _ODATA)


# --- writing, the same for callers and for people in the application ---


def create(session: Session, entity: EntityType, body: Mapping[str, Any]) -> Row:
    """Create a row by the rules of its table."""
    match entity.table:
        case "customers":
            return customers.create(session, body, entity)
        case "contacts":
            return contacts.create(session, body, entity)
        case "items":
            return items.create(session, entity, body)
    return small_tables.create(session, entity, body)


def edit(session: Session, entity: EntityType, row: Row, body: Mapping[str, Any]) -> Row:
    """Change a row by the rules of its table."""
    match entity.table:
        case "customers":
            return customers.edit(session, row, body, entity)
        case "contacts" if entity.name == "customerContact":
            return contacts.edit_customer_contact(session, row, body)
        case "contacts":
            return contacts.edit(session, row, body, entity)
        case "items":
            return items.edit(session, entity, row, body)
    return small_tables.edit(session, entity, row, body)


def delete(session: Session, entity: EntityType, row: Row) -> None:
    """Delete a row by the rules of its table."""
    match entity.table:
        case "customers":
            customers.delete(session, row)
        case "contacts":
            contacts.delete(session, row)
        case "items":
            raise NotImitated("an item deleted")
        case _:
            small_tables.delete(session, entity, row)
