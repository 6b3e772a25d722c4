"""How the sandbox says no: one exception per kind, worded in the caller's language when it is answered.

Codes and texts after Microsoft Learn, 'Business Central API error codes' and 'Troubleshooting web service errors';
the shape of the body, with the correlation id inside the message, after recorded answers of the live service.
"""

from __future__ import annotations

from typing import Any

from sandbox.business_central.texts import TEXTS


class ApiError(Exception):
    """A refusal in the vendor's own words.

    `status` is the HTTP status, `code` the vendor's error code, `text` a key of `sandbox.business_central.texts`,
    the rest fills the text's gaps.
    """

    def __init__(self, status: int, code: str, text: str, **values: Any) -> None:
        super().__init__(f"{status} {code}")
        self.status = status
        self.code = code
        self.text = text
        self.values = values

    def message(self, language: str, correlation_id: str) -> str:
        """Return the text in a language, with the correlation id at its end as the service writes it."""
        words = TEXTS[self.text]
        text = words.get(language, words["en"]).format(**self.values)
        return f"{text}  CorrelationId:  {correlation_id}."

    def body(self, language: str, correlation_id: str) -> dict[str, Any]:
        """Return the JSON body of the answer."""
        return {"error": {"code": self.code, "message": self.message(language, correlation_id)}}


class NotImitated(Exception):
    """The real service may well answer this; the sandbox does not, and says so with 501."""

    def __init__(self, what: str) -> None:
        super().__init__(f"not imitated: {what}")
        self.what = what


class NoEnvironment(Exception):
    """The environment in the address does not exist; the service answers this one in XML."""


def bad_request(text: str, **values: Any) -> ApiError:
    """Return the plain 400 `BadRequest`."""
    return ApiError(400, "BadRequest", text, **values)


def dialog(text: str, **values: Any) -> ApiError:
    """Return the 400 of an error raised by application code (`Application_DialogException`)."""
    return ApiError(400, "Application_DialogException", text, **values)


def no_such_segment(segment: str) -> ApiError:
    """Return the 404 of an unknown address part, and of an id that does not exist (any more)."""
    return ApiError(404, "BadRequest_ResourceNotFound", "no_resource", segment=segment)


def no_such_property(name: str, entity: str) -> ApiError:
    """Return the 400 of a property that the entity does not have."""
    return bad_request("no_property", name=name, entity=entity)


def method_not_allowed(method: str, segment: str) -> ApiError:
    """Return the 405 of a method the resource does not offer."""
    return ApiError(405, "BadRequest_MethodNotAllowed", "method", method=method, segment=segment)


def stale_etag() -> ApiError:
    """Return the 409 of an etag that is no longer current. It is 409 and not 412."""
    return ApiError(409, "Request_EntityChanged", "changed")


def token_needed() -> ApiError:
    """Return the 400 of a write without a usable If-Match."""
    return ApiError(400, "BadRequest_InvalidToken", "token")
