"""What Dataverse says when it refuses, with status, code and text.

Codes and texts after Microsoft Learn, 'Web service error codes', 'Compose HTTP requests and handle errors' and
'Troubleshoot Dataverse Web API client errors'.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence


class DataverseError(Exception):
    """A refusal as the Web API answers it. `code` is empty where the documents show it empty."""

    def __init__(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(f"{status} {code} {message}")
        self.status = status
        self.code = code
        self.message = message
        self.headers = dict(headers or {})


class NotImitated(Exception):
    """The real system may well do this; the sandbox does not. Answered with 501 and logged."""


def not_a_member() -> DataverseError:
    """Refuse somebody who has no user in this organisation."""
    return DataverseError(403, "0x80072560", "The user is not a member of the organization.")


def may_not_act_for_others() -> DataverseError:
    """Refuse to act as somebody else without the privilege for it."""
    return DataverseError(403, "0x8004a110", "User does not have the privilege to act on behalf another user.")


def access_denied(user_id: str, right: str, table: str, row_id: str) -> DataverseError:
    """Refuse a row that the user's privilege does not reach."""
    text = f"Principal with id {user_id} does not have {right}Access right(s) for record with id {row_id} of entity"
    return DataverseError(403, "0x80048306", f"{text} {table}.")


def needs_another_message(table: str, state: str) -> DataverseError:
    """Refuse an update that closes what an action of its own has to close."""
    text = f"This message can not be used to set the state of {table} to {state}. In order to set state of {table} to "
    return DataverseError(400, "0x80100005", text + f"{state}, use the {state} message instead.")


def unknown_segment(segment: str) -> DataverseError:
    """Refuse a path segment nobody knows."""
    return DataverseError(404, "0x80060888", f"Resource not found for the segment '{segment}'.")


def unknown_property(name: str, table: str) -> DataverseError:
    """Refuse a property that is not one of the table's, in a URL."""
    text = f"Could not find a property named '{name}' on type 'Microsoft.Dynamics.CRM.{table}'."
    return DataverseError(400, "0x80060888", text)


def unknown_attribute(text: str) -> DataverseError:
    """Refuse a column nobody knows, in FetchXML or SQL."""
    return DataverseError(400, "0x80041103", text)


def bad_query(reason: str) -> DataverseError:
    """Refuse a query option that does not parse or does not fit."""
    return DataverseError(400, "0x80060888", reason)


def payload_error(set_name: str, reason: str) -> DataverseError:
    """Refuse a body that does not fit the model."""
    text = (
        f"Error identified in Payload provided by the user for Entity :'{set_name}', For more information on this "
        "error please follow this help link https://go.microsoft.com/fwlink/?linkid=2195293  ---->  "
        f"InnerException : Microsoft.OData.ODataException: {reason}"
    )
    return DataverseError(400, "0x80048d19", text)


def undeclared_property(set_name: str, name: str) -> DataverseError:
    """Refuse a body's property that the table does not have."""
    reason = (
        f"The property '{name}' does not exist on type 'Microsoft.Dynamics.CRM.{set_name}'. Make sure to only use "
        "property names that are defined by the type."
    )
    return payload_error(set_name, reason)


def undeclared_navigation(set_name: str, name: str) -> DataverseError:
    """Refuse `x@odata.bind` where x is no single-valued navigation property in exactly this spelling."""
    reason = (
        f"An undeclared property '{name}' which only has property annotations in the payload but no property value "
        "was found in the payload. In OData, only declared navigation properties and declared named streams can be "
        "represented as properties without values."
    )
    return payload_error(set_name, reason)


def does_not_exist(display_name: str, row_id: str) -> DataverseError:
    """Answer for an id nobody has."""
    return DataverseError(404, "0x80040217", f"Entity '{display_name}' With Id = {row_id} Does Not Exist")


def not_found_by_key(table: str) -> DataverseError:
    """Answer for key values nobody has."""
    text = f"A record with the specified key values does not exist in {table} entity"
    return DataverseError(404, "0x80060891", text)


def key_not_defined(table: str) -> DataverseError:
    """Refuse an alternate key that is not defined, or whose index is not active yet."""
    text = f"The specified key attributes are not a defined key for the {table} entity"
    return DataverseError(400, "0x80060890", text)


def invalid_key_operation(reason: str) -> DataverseError:
    """Refuse a key that cannot be used."""
    return DataverseError(400, "0x8006088f", f"Invalid EntityKey Operation performed : {reason}")


def duplicate_key(key_name: str, columns: str) -> DataverseError:
    """Refuse a second row with the same alternate key values."""
    text = (
        f"Entity Key {key_name} violated. A record with the same value for {columns} already exists. "
        "A duplicate record cannot be created. Select one or more unique values and try again."
    )
    return DataverseError(412, "0x80060892", text)


def duplicate_id() -> DataverseError:
    """Refuse a second row with the same id."""
    return DataverseError(412, "0x80040237", "Cannot insert duplicate key.")


def matching_key_exists() -> DataverseError:
    """Refuse `If-None-Match: *` on a row that is there."""
    return DataverseError(412, "0x80040237", "A record with matching key values already exists.")


def version_mismatch() -> DataverseError:
    """Refuse a write whose etag is not the row's."""
    text = "The version of the existing record doesn't match the RowVersion property provided."
    return DataverseError(412, "0x80060882", text)


def concurrency_not_enabled(table: str) -> DataverseError:
    """Refuse an etag on a table without optimistic concurrency."""
    text = f"Optimistic concurrency isn't enabled for entity type {table}. The IfVersionMatches value of "
    return DataverseError(400, "0x8006088d", text + "ConcurrencyBehavior can only be used if it is enabled.")


def too_long(column: str, table: str, length: int) -> DataverseError:
    """Refuse a text longer than its column."""
    text = (
        f"A validation error occurred. The length of the '{column}' attribute of the '{table}' entity exceeded "
        f"the maximum allowed length of '{length}'."
    )
    return DataverseError(400, "0x80044331", text)


def out_of_range(code: str, value: object, column: str, table: str, accepted: str) -> DataverseError:
    """Refuse a number or a choice outside its range."""
    text = (
        f"A validation error occurred. The value {value} of '{column}' on record of type '{table}' is outside the "
        f"valid range. Accepted Values: {accepted}"
    )
    return DataverseError(400, code, text)


def deadlock() -> DataverseError:
    """Refuse a write that met another write of the same row: the database chose it as the victim."""
    text = "Sql error: Generic SQL error. CRM ErrorCode: -2147204784 Sql ErrorCode: -2146232060 Sql Number: 1205"
    return DataverseError(500, "0x80044150", text)


def do_not_exist(display_name: str, row_ids: Sequence[str]) -> DataverseError:
    """Refuse a bulk update of ids nobody has."""
    return DataverseError(404, "0x80040217", f"{display_name} With Ids = {', '.join(row_ids)} Do Not Exist")


def malformed_batch(reason: str) -> DataverseError:
    """Refuse a batch that cannot be read, as a whole and in JSON."""
    return payload_error("", reason)


def unknown_reference(reference: str) -> DataverseError:
    """Refuse a reference to a request that is not before this one in its change set."""
    text = f"Content-ID Reference: '{reference}' does not exist in the batch context."
    return DataverseError(400, "0x80060888", text)


def associated(display_name: str) -> DataverseError:
    """Refuse to delete a row that others hold."""
    text = f"The {display_name} record cannot be deleted because it is associated with another record."
    return DataverseError(405, "0x80040227", text)


def invalid_status(table: str) -> DataverseError:
    """Refuse a status that does not belong to the state."""
    text = (
        "State code is invalid or state code is valid but status code is invalid for a specified state code "
        f"for {table}."
    )
    return DataverseError(400, "0x80048408", text)


def invalid_argument(reason: str) -> DataverseError:
    """Refuse something that makes no sense to the platform."""
    return DataverseError(400, "0x80040203", reason)


def webhook_failed(code: str, text: str) -> DataverseError:
    """Refuse an operation because a synchronous webhook step failed."""
    return DataverseError(400, code, text)
