"""What the interface does with a request that has been let in."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sandbox.postoffice.checking import as_mapping, part_key, row_of
from sandbox.postoffice.errors import invalid, not_found, stale
from sandbox.postoffice.listing import Lists, limit_of
from sandbox.postoffice.options import PostOfficeOptions
from sandbox.postoffice.showing import etag_of, shown
from sandbox.postoffice.statistics import Statistics
from sandbox.postoffice.store import PARTS_OF, Store
from sandbox.postoffice.tables import JOURNAL, PARTS, SHOWN_AS, Table
from sandbox.problems import ApiError, FieldError, NotImitated, bad_request
from sandbox.rows_on_disk import Row

PARTS_BY_NAME = {SHOWN_AS.get(name, name): name for name in PARTS}
MANAGERS = "account-managers"
CRM, POST_OFFICE = "CRM", "PO"
FIRST_NUMBER = 100_001


@dataclass(frozen=True)
class Call:
    """One request below the base. `headers` have lower-case names; `stale` is how old a read shall be, or None."""

    method: str
    segments: tuple[str, ...]
    query: Mapping[str, str]
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    stale: float | None = None


@dataclass(frozen=True)
class Answer:
    """What a request is answered with; `body` None is no body."""

    status: int
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


class Api:
    """The requests of the contract. `options` may be changed while it serves, as a site's settings may."""

    def __init__(self, store: Store, options: PostOfficeOptions) -> None:
        self._store = store
        self._options = options
        self._lists = Lists(store, options)
        self.statistics = Statistics(store, options)
        self.is_test_system = options.is_test_system

    def answer(self, call: Call) -> Answer:
        """Carry out a request; raises ApiError and NotImitated."""
        match call.segments:
            case ("system",):
                return self._system(call)
            case ("changes",):
                return self._changes(call)
            case ("shipment-statistics",):
                _only(call, "GET")
                query = dict(call.query)
                return Answer(200, self.statistics.page(query, limit_of(query)))
            case (name, *rest) if name in self._store.tables:
                return self._table(call, self._store.tables[name], tuple(rest))
            case (_,):
                raise ApiError(404, "NoSuchPath", "There is nothing at this address.")
        raise NotImitated("an address outside the contract")

    def _system(self, call: Call) -> Answer:
        _only(call, "GET")
        options = self._options
        told = {"isTestSystem": self.is_test_system, "version": options.version, "tenant": options.tenant}
        return Answer(200, told)

    def _changes(self, call: Call) -> Answer:
        _only(call, "GET")
        if not self._options.changes:
            raise ApiError(404, "NoSuchPath", "There is nothing at this address.")
        return Answer(200, self._lists.changes(call.query, limit_of(call.query)))

    def _table(self, call: Call, table: Table, rest: tuple[str, ...]) -> Answer:
        match rest, call.method:
            case (), "GET":
                return Answer(200, self._lists.page(table, call.query, limit_of(call.query)))
            case (), "POST" if table.written:
                return self._create(call, table)
            case (row_id,), "GET" if table.written:
                return self._one(call, table, row_id)
            case (row_id,), "PATCH" if table.written:
                return self._change(call, table, row_id)
            case (row_id, "crm-link"), "PUT" if table.written:
                return self._link(call, table, row_id)
            case (row_id, "crm-link"), "DELETE" if table.written:
                return self._unlink(table, row_id)
            case (row_id, "journal"), "POST" if table.journal:
                return self._journal(call, table, row_id)
            case (row_id, "journal"), "GET" if table.journal:
                self._there(table, row_id)
                return Answer(200, self._lists.journal(table, row_id, call.query, limit_of(call.query)))
            case (row_id, name, key), "PUT" | "DELETE" if name in table.parts:
                return self._part(call, table, row_id, name, key)
        known = not rest or (table.written and (len(rest) == 1 or rest[1] in {"crm-link", "journal", *table.parts}))
        if known:
            raise ApiError(405, "MethodNotAllowed", f"{call.method} is not offered here.")
        raise NotImitated("an address outside the contract")

    # --- one record ---

    def _one(self, call: Call, table: Table, row_id: str) -> Answer:
        row = self._state(call, table, row_id)
        names = [name for name in call.query.get("expand", "").split(",") if name]
        unknown = next((name for name in names if PARTS_BY_NAME.get(name, "") not in self._answered(table)), None)
        strange = next((name for name in call.query if name != "expand"), None)
        if unknown is not None or strange is not None:
            raise bad_request("UnknownParameter", "Only known parts can be expanded.", strange or "expand")
        return self._answer(200, table, row_id, row, [PARTS_BY_NAME[name] for name in names])

    def _state(self, call: Call, table: Table, row_id: str) -> Row:
        row = self._store.get(table.name, row_id)
        if call.stale is not None:
            row = self._store.as_of(table.name, row_id, call.stale)
        if row is None:
            raise not_found(table.name)
        return row

    def _there(self, table: Table, row_id: str) -> Row:
        row = self._store.get(table.name, row_id)
        if row is None:
            raise not_found(table.name)
        return row

    def _answer(self, status: int, table: Table, row_id: str, row: Row, expand: list[str]) -> Answer:
        body = shown(table, row_id, row, versions=self._options.etag, expand=expand)
        return Answer(status, body, {"ETag": etag_of(row)} if self._options.etag else {})

    # --- create ---

    def _create(self, call: Call, table: Table) -> Answer:
        body = as_mapping(call.body)
        known = self._known(call, table, body)
        if known is not None:
            return self._answer(200, table, known, self._there(table, known), self._answered(table))
        if not body.get("crmId"):
            raise invalid([FieldError("crmId", "Required", "It must not be blank.")])
        row_id, row = self.create(table, body, CRM)
        self._remember(call, table, row_id)
        return self._answer(201, table, row_id, row, self._answered(table))

    def _answered(self, table: Table) -> list[str]:
        """The parts that the answer to a POST shows."""
        return [name for name in table.parts if name != MANAGERS or self._options.account_managers]

    def create(self, table: Table, body: Mapping[str, Any], master: str) -> tuple[str, Row]:
        """Create a record, checked as a whole; a missing number is the next free one."""
        parts = {PARTS_BY_NAME[name]: given for name, given in body.items() if PARTS_BY_NAME.get(name) in table.parts}
        plain = {name: given for name, given in body.items() if PARTS_BY_NAME.get(name) not in table.parts}
        values = dict.fromkeys(table.fields) | row_of(self._store, table.fields, plain, whole=True)
        if table.booked and values["customerId"] is None and values["costCentreId"] is None:
            raise invalid([FieldError("customerId", "Required", "A customer or a cost centre is named.")])
        rows = {name: self._parts_of_body(table, name, given) for name, given in parts.items()}
        self._check_numbers(table, values, "")
        if values.get("active") is None and "active" in table.fields:
            values["active"] = True
        if "number" in table.fields and values["number"] is None:
            values["number"] = self._next_number(table)
        if table.mastered:
            values["master"] = master
        row_id = self._store.new_id()
        return row_id, self._store.write(table.name, row_id, {**values, PARTS_OF: rows})

    def _parts_of_body(self, table: Table, name: str, given: Any) -> dict[str, Row]:
        fields = table.parts[name].fields
        found: dict[str, Row] = {}
        for key, one in _by_key(given):
            part_key(self._store, table.parts[name], key)
            found[key] = dict.fromkeys(fields) | row_of(self._store, fields, one, at=f"{name}.{key}.", whole=True)
        return found

    def _known(self, call: Call, table: Table, body: Mapping[str, Any]) -> str | None:
        """Return the record that an earlier POST of this key made, or that has this CRM id already."""
        key = call.headers.get("idempotency-key")
        if key and self._options.idempotency_keys:
            kept = self._store.spaces["idempotency"].get(f"{table.name}/{key}")
            if kept is not None and self._store.now() - datetime.fromisoformat(kept["at"]) < self._idempotency_life:
                if kept["body"] != _digest(body):
                    raise ApiError(422, "IdempotencyKeyReused", "This key came with another body.")
                return str(kept["id"]) if self._store.get(table.name, kept["id"]) is not None else None
        crm_id = str(body.get("crmId", "")).lower()
        if crm_id and self._options.knows_crm_id:
            return next((row_id for row_id, row in self._store.rows(table.name) if row["crmId"] == crm_id), None)
        return None

    @property
    def _idempotency_life(self) -> timedelta:
        return timedelta(hours=self._options.idempotency_hours)

    def _remember(self, call: Call, table: Table, row_id: str) -> None:
        key = call.headers.get("idempotency-key")
        if key and self._options.idempotency_keys:
            kept = {"id": row_id, "at": self._store.now().isoformat(), "body": _digest(call.body)}
            self._store.keep("idempotency", f"{table.name}/{key}", kept)

    def _check_numbers(self, table: Table, values: Mapping[str, Any], row_id: str) -> None:
        """Refuse a number that another record has."""
        number = values.get("number")
        if number is None:
            return
        taken = any(row["number"] == number and other != row_id for other, row in self._store.rows(table.name))
        if taken:
            raise ApiError(409, "NumberTaken", "Another record has this number.", [_taken("number")])

    def _next_number(self, table: Table) -> str:
        numbers = {row["number"] for _, row in self._store.rows(table.name)}
        number = int(self._store.spaces["meta"].get(f"number/{table.name}", FIRST_NUMBER))
        while str(number) in numbers:
            number += 1
        self._store.keep("meta", f"number/{table.name}", number + 1)
        return str(number)

    # --- change ---

    def _change(self, call: Call, table: Table, row_id: str) -> Answer:
        row = self._there(table, row_id)
        self._check_etag(call, row)
        self._check_master(table, row)
        body = as_mapping(call.body)
        if "crmId" in body:
            raise invalid([FieldError("crmId", "ReadOnly", "It is written by crm-link.")])
        written = self.change(table, row_id, body)
        return self._answer(200, table, row_id, written, [])

    def change(self, table: Table, row_id: str, body: Mapping[str, Any]) -> Row:
        """Change a record's fields and addresses; what is not named stays."""
        row = self._there(table, row_id)
        plain = {name: given for name, given in body.items() if name != "addresses" or not table.parts}
        values = row_of(self._store, table.fields, plain, whole=False)
        if "number" in values and values["number"] is None:
            raise invalid([FieldError("number", "Required", "It must not be blank.")])
        self._check_numbers(table, values, row_id)
        parts = row[PARTS_OF]
        if "addresses" in body and table.parts:
            parts = {**parts, "addresses": self._addresses(table, parts.get("addresses", {}), body["addresses"])}
        return self._written(table, row_id, row, {**row, **values, PARTS_OF: parts})

    def _addresses(self, table: Table, before: Mapping[str, Row], given: Any) -> dict[str, Row]:
        after = dict(before)
        for key, one in as_mapping(given).items():
            part_key(self._store, table.parts["addresses"], key)
            if one is None:
                after.pop(key, None)
                continue
            fields = table.parts["addresses"].fields
            values = row_of(self._store, fields, as_mapping(one), at=f"addresses.{key}.", whole=False)
            after[key] = {**dict.fromkeys(fields), **after.get(key, {}), **values}
        return after

    def _written(self, table: Table, row_id: str, before: Row, after: Row) -> Row:
        """Write a record unless nothing in it has changed."""
        return before if after == before else self._store.write(table.name, row_id, after)

    def _check_etag(self, call: Call, row: Row) -> None:
        given = call.headers.get("if-match")
        if self._options.etag and given is not None and given not in ("*", etag_of(row)):
            raise stale()

    def _check_master(self, table: Table, row: Row) -> None:
        if table.mastered and row["master"] != CRM:
            raise ApiError(409, "NotCrmMastered", "This record is maintained here; link it first.")

    # --- links ---

    def _link(self, call: Call, table: Table, row_id: str) -> Answer:
        row = self._there(table, row_id)
        body = as_mapping(call.body)
        values = row_of(self._store, {"crmId": table.fields["crmId"]}, {"crmId": body.get("crmId")}, whole=True)
        if values["crmId"] is None or body.get("master") != CRM or len(body) != 2:
            raise invalid([FieldError("master", "WrongValue", "A link has a crmId and the master CRM.")])
        others = (other for other, one in self._store.rows(table.name) if one["crmId"] == values["crmId"])
        if row["crmId"] not in (None, values["crmId"]) or any(other != row_id for other in others):
            raise ApiError(409, "LinkedToOther", "It is linked to something else.", [_taken("crmId")])
        master = {"master": CRM} if table.mastered else {}
        written = self._written(table, row_id, row, {**row, **values, **master})
        return self._answer(200, table, row_id, written, [])

    def _unlink(self, table: Table, row_id: str) -> Answer:
        row = self._there(table, row_id)
        if row["crmId"] is None:
            raise not_found(f"{table.name}/crm-link")
        master = {"master": POST_OFFICE} if table.mastered else {}
        self._store.write(table.name, row_id, {**row, "crmId": None, **master})
        return Answer(204)

    # --- sub-records ---

    def _part(self, call: Call, table: Table, row_id: str, name: str, key: str) -> Answer:
        row = self._there(table, row_id)
        self._check_etag(call, row)
        self._check_master(table, row)
        if call.method == "PUT":
            written = self.put_part(table, row_id, name, key, as_mapping(call.body))
            return Answer(200, {"key": key, **written[PARTS_OF][name][key]}, self._etag(written))
        if not table.parts[name].deletable:
            raise ApiError(405, "MethodNotAllowed", "DELETE is not offered here.")
        return Answer(204, headers=self._etag(self.drop_part(table, row_id, name, key)))

    def _etag(self, row: Row) -> Mapping[str, str]:
        return {"ETag": etag_of(row)} if self._options.etag else {}

    def put_part(self, table: Table, row_id: str, name: str, key: str, body: Mapping[str, Any]) -> Row:
        """Put a sub-record in its place, as a whole."""
        row, parts = self._there(table, row_id), table.parts[name]
        part_key(self._store, parts, key)
        values = dict.fromkeys(parts.fields) | row_of(self._store, parts.fields, body, whole=True)
        after = {**row[PARTS_OF], name: {**row[PARTS_OF].get(name, {}), key: values}}
        return self._written(table, row_id, row, {**row, PARTS_OF: after})

    def drop_part(self, table: Table, row_id: str, name: str, key: str) -> Row:
        """Take a sub-record away; raises the 404 for one that is not there."""
        row = self._there(table, row_id)
        before = row[PARTS_OF].get(name, {})
        if key not in before:
            raise not_found(f"{table.name}/{name}")
        after = {**row[PARTS_OF], name: {other: one for other, one in before.items() if other != key}}
        return self._store.write(table.name, row_id, {**row, PARTS_OF: after})

    def _journal(self, call: Call, table: Table, row_id: str) -> Answer:
        self._there(table, row_id)
        entry = dict.fromkeys(JOURNAL) | row_of(self._store, JOURNAL, as_mapping(call.body), whole=True)
        place = f"{table.name}/{row_id}/{entry['externalId']}"
        journal = self._store.spaces["journal"]
        key = call.headers.get("idempotency-key")
        if place in journal and (self._options.idempotency_keys and key == entry["externalId"]):
            return Answer(200, journal[place])
        if place in journal:
            place += f"/{len(journal)}"
        self._store.keep("journal", place, entry)
        return Answer(201, entry)


def _by_key(given: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Go through sub-records of a body: an object by key, or a list whose rows have one."""
    if isinstance(given, list):
        for one in map(as_mapping, given):
            yield str(one.get("key", "")), {name: value for name, value in one.items() if name != "key"}
    else:
        yield from ((key, as_mapping(one)) for key, one in as_mapping(given).items() if one is not None)


def _only(call: Call, method: str) -> None:
    if call.method != method:
        raise ApiError(405, "MethodNotAllowed", f"{call.method} is not offered here.")


def _taken(field_name: str) -> FieldError:
    return FieldError(field_name, "Taken", "Another record has it.")


def _digest(body: Any) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
