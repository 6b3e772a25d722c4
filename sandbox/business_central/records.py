"""One operation on a company's data: the session it runs in, and the draft a body is checked into field by field."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sandbox.business_central.entities import TABLES, ZERO_GUID, EntityType, Field
from sandbox.business_central.errors import ApiError, NotImitated, bad_request, dialog, no_such_property
from sandbox.business_central.rules import VAT_FORMATS as STANDARD_FORMATS
from sandbox.business_central.rules import bad_address, fits_format, following, has_letters
from sandbox.business_central.setup import BusinessCentralOptions, Company
from sandbox.business_central.store import Table, Work
from sandbox.business_central.values import Row, blank_row, read, within

CUSTOMER_SERIES = "CUST"
CONTACT_SERIES = "CONT"


@dataclass(frozen=True)
class Session:
    """A unit of work in one company. page_variables: what a page keeps from one row to the next."""

    work: Work
    company: Company
    options: BusinessCentralOptions
    page_variables: dict[str, Any] = field(default_factory=dict)

    def table(self, name: str) -> Table:
        """Return one of the company's tables."""
        return self.work.table(self.company.id, name)

    def put(self, name: str, row: Row) -> Row:
        """Write a row into one of the company's tables; returns it as written."""
        return self.work.put(self.company.id, name, row)

    def remove(self, name: str, row_id: str) -> None:
        """Delete a row of one of the company's tables."""
        self.work.remove(self.company.id, name, row_id)

    def related(self, table: str, value: str) -> Row | None:
        """Return the row of a table with this code or number."""
        return self.table(table).first(TABLES[table].key, value)

    def take_number(self, series: str, table: str) -> str:
        """Take the next number of a series that is still free in a table."""
        row = self.table("numberSeries").rows[series]
        number = str(row["next"])
        upcoming = following(number)
        while self.related(table, number) is not None:
            number, upcoming = upcoming, following(upcoming)
        self.put("numberSeries", {**row, "next": upcoming})
        return number

    def refuse_taken(self, table: str, value: str, row_id: str) -> None:
        """Raise `Internal_EntityWithSameKeyExists` if another row has this code or number."""
        found = self.related(table, value)
        if found is not None and found["id"] != row_id:
            info = TABLES[table]
            status = self.options.duplicate_key_status
            raise ApiError(
                status,
                "Internal_EntityWithSameKeyExists",
                "same_key",
                table=info.caption,
                field=info.key_caption,
                value=value,
            )


Check = Callable[["Draft", Field, Any], None]


@dataclass
class Draft:
    """A record being filled from a body. Each field is checked in turn, as the page's controls are."""

    session: Session
    entity: EntityType
    row: dict[str, Any]
    before: Row | None
    given: set[str] = field(default_factory=set)
    currency: Row | None = None
    """The currency an identifier in the same body has named."""

    @classmethod
    def new(cls, session: Session, entity: EntityType, **hidden: Any) -> Draft:
        """Start a new record; `hidden` are values of the table that the page does not show."""
        return cls(session, entity, {**blank_row(entity), **hidden}, None)

    @classmethod
    def of(cls, session: Session, entity: EntityType, row: Row) -> Draft:
        """Start a change of an existing record."""
        return cls(session, entity, dict(row), row)

    @property
    def number(self) -> str:
        """The number the record had before, for messages."""
        return str(self.before["number"]) if self.before is not None and "number" in self.before else ""

    def was(self, name: str) -> Any:
        """Return a value as it was before this change; blank for a new record."""
        return self.before[name] if self.before is not None else ""

    def apply(self, body: Mapping[str, Any], checks: Mapping[str, Check]) -> None:
        """Check and take over a body's values, in the order the environment is set to."""
        for one in self._fields(body):
            value = read(one, body[one.name])
            checks.get(one.name, assign)(self, one, value)
            self.given.add(one.name)

    def _fields(self, body: Mapping[str, Any]) -> Iterator[Field]:
        names = [name for name in body if not name.startswith("@") and "@odata." not in name]
        found = [self._field(name) for name in names]
        if self.session.options.field_order == "page":
            found.sort(key=self.entity.fields.index)
        return iter(found)

    def _field(self, name: str) -> Field:
        if name in self.entity.link_by_name:
            raise NotImitated(f"'{name}' written together with its {self.entity.name}")
        found = self.entity.by_name.get(name)
        if found is None:
            raise no_such_property(name, self.entity.name)
        if found.read_only:
            raise ApiError(400, "BadRequest_InvalidOperation", "read_only", name=name)
        return found


def assign(draft: Draft, field: Field, value: Any) -> None:
    """Take a value over without any further check."""
    draft.row[field.source] = value


def read_body(body: Any) -> Mapping[str, Any]:
    """Return a body that is a JSON object; raises the service's 400 for anything else."""
    if not isinstance(body, dict):
        raise bad_request("bad_body")
    return body


# --- checks that several pages share ---


def check_number(manual: bool, series: str) -> Check:
    """Return the check of a record's number: given by hand only if its series allows that."""

    def check(draft: Draft, field: Field, value: Any) -> None:
        if value != draft.was("number") and not manual:
            raise dialog("manual_numbers", series=series)
        if not value and draft.before is not None:
            raise must_have_value("No.", draft.entity.caption, f"No.={draft.number}")
        draft.row["number"] = value

    return check


def must_have_value(field: str, table: str, record: str) -> ApiError:
    """Return the refusal of a blank field that needs a value."""
    return ApiError(
        400, "Application_FieldValidationException", "must_have_value", field=field, table=table, record=record
    )


def check_name(draft: Draft, field: Field, value: Any) -> None:
    """Refuse a blank name."""
    if not value:
        raise dialog("blank_name")
    draft.row["displayName"] = value


def check_phone(draft: Draft, field: Field, value: Any) -> None:
    """Refuse letters in a telephone number."""
    if has_letters(value):
        caption = "Mobile Phone No." if field.name == "mobilePhoneNumber" else "Phone No."
        raise ApiError(
            400,
            "Application_FieldValidationException",
            "phone_letters",
            field=caption,
            table=draft.entity.caption,
            number=draft.number,
        )
    draft.row[field.source] = value


def check_email(draft: Draft, field: Field, value: Any) -> None:
    """Check the syntax of one or several mail addresses."""
    wrong = bad_address(value)
    if wrong is not None:
        raise dialog("email", value=wrong)
    draft.row[field.source] = value


def check_country(draft: Draft, field: Field, value: Any) -> None:
    """Check the country against its table; another country than before clears city, state and post code.

    Source: published source of the base application, tables Post Code and Customer: the address parts are cleared
    when a country that was not blank changes, and the VAT number is checked again.
    """
    related_code(draft, "Country/Region Code", "countriesRegions", value)
    before = draft.row["country"]
    draft.row["country"] = value
    if value == before:
        return
    if before:
        draft.row.update(city="", state="", postalCode="")
    check_vat_format(draft, draft.row["taxRegistrationNumber"])


def related_code(draft: Draft, caption: str, table: str, value: str) -> Row | None:
    """Return the row a code points to, None for a blank; raises `Internal_InvalidTableRelation` if there is none."""
    if not value:
        return None
    found = draft.session.related(table, value)
    if found is None:
        raise ApiError(
            400,
            "Internal_InvalidTableRelation",
            "not_related",
            field=caption,
            table=draft.entity.caption,
            value=value,
            related=TABLES[table].caption,
        )
    return found


def check_post_code(draft: Draft, field: Field, value: Any) -> None:
    """Take a post code or a city over; if the company's post code table knows it, the rest is filled from there."""
    draft.row[field.name] = value
    for known in draft.session.company.post_codes:
        if value and value.casefold() == (known.code if field.name == "postalCode" else known.city).casefold():
            draft.row.update(postalCode=known.code, city=known.city, state=known.county, country=known.country)
            return


def check_vat(draft: Draft, field: Field, value: Any) -> None:
    """Check a VAT number's format; it is upper-cased and at most 20 characters in the table."""
    number = within(value, 20).upper()
    if number != draft.was("taxRegistrationNumber"):
        check_vat_format(draft, number)
    draft.row["taxRegistrationNumber"] = number


def check_vat_format(draft: Draft, number: str) -> None:
    """Refuse a VAT number that fits none of its country's formats; a blank country means the company's own."""
    company = draft.session.company
    country = draft.row["country"] or company.country
    formats = company.vat_formats.get(country, STANDARD_FORMATS.get(country, ()))
    if not number or not formats or any(fits_format(number, pattern) for pattern in formats):
        return
    listed = ", ".join(formats)
    if not draft.number:
        raise dialog("vat_format_new", formats=listed)
    raise dialog("vat_format", table=draft.entity.caption, number=draft.number, country=country, formats=listed)


def check_salesperson(draft: Draft, field: Field, value: Any) -> None:
    """Check that a salesperson exists and is not blocked."""
    found = related_code(draft, "Salesperson Code", "salespeoplePurchasers", value)
    if found is not None and found["blocked"]:
        raise dialog("salesperson_blocked", value=value)
    draft.row["salespersonCode"] = value


def check_reference(table: str, caption: str) -> Check:
    """Return the check of an identifier that must belong to a row of a table; the zero GUID means none."""

    def check(draft: Draft, field: Field, value: Any) -> None:
        if value != ZERO_GUID and value not in draft.session.table(table).rows:
            raise dialog("no_match", name=field.name, table=caption)
        draft.row[field.source] = value

    return check
