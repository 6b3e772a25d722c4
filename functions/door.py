"""What all HTTP functions share: the route and the guard from the table, the app, and errors as answers.

A handler takes one `Call` and returns the answer. The platform sees a plain function with the parameter `req`: it
loads no function at all where a parameter has no binding.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, Final

import azure.functions as func

from shared.app import App, current
from shared.errors import (
    ConnectorError,
    CrossdockError,
    QueueUnavailable,
    SettingsError,
    SignInUnavailable,
    StoreUnavailable,
)
from shared.routes import (
    ROUTES,
    Caller,
    Guard,
    ModelT,
    NotJsonType,
    RequestError,
    Route,
    TooLarge,
    checked,
    error_body,
)
from shared.strict_json import dump

log = logging.getLogger(__name__)

LARGEST_WISH_BYTES: Final = 16 * 1024
HEADERS: Final = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}

_STATUS: Final[tuple[tuple[type[CrossdockError], int], ...]] = (
    (SettingsError, 503),
    (StoreUnavailable, 503),
    (QueueUnavailable, 503),
    (SignInUnavailable, 503),
    (ConnectorError, 502),
)


def new_blueprint() -> func.Blueprint:
    """A collection of functions, for `function_app` to register."""
    return func.Blueprint()  # type: ignore[no-untyped-call] # the package leaves this constructor without types


@dataclass(frozen=True, slots=True)
class Call:
    """One admitted request."""

    request: func.HttpRequest
    app: App
    caller: Caller

    def path(self, name: str) -> str:
        """A parameter of the route; empty when it was left out."""
        return str(self.request.route_params.get(name) or "")

    def query(self, name: str) -> str:
        """A parameter of the query; empty when it is missing."""
        return str(self.request.params.get(name) or "")

    def json_body(self) -> bytes:
        """The body of a request that says it is JSON, of any size; raises NotJsonType."""
        media_type = str(self.request.headers.get("content-type", "")).partition(";")[0].strip().lower()
        if media_type != "application/json":
            raise NotJsonType
        return bytes(self.request.get_body())

    def wish(self, kind: type[ModelT]) -> ModelT:
        """The body of a write; raises NotJsonType, TooLarge and RequestError naming the field."""
        body = self.json_body()
        if len(body) > LARGEST_WISH_BYTES:
            raise TooLarge
        return checked(kind.model_validate_json, body)


class RunFailed(CrossdockError):
    """A run ended with an error nobody foresaw. Its text stays out, because the host writes what a function raises
    into its log."""

    code = "CD-2004"
    sentence = "A run failed with an unforeseen error."


def presentable(error: Exception) -> CrossdockError:
    """The error itself if it is one of ours, else one that names its class only."""
    return error if isinstance(error, CrossdockError) else RunFailed(f"An unforeseen {type(error).__name__}.")


Handler = Callable[[Call], Awaitable[func.HttpResponse]]


Refusal = Callable[[func.HttpRequest, CrossdockError], func.HttpResponse]


def door(
    blueprint: func.Blueprint, name: str, refusal: Refusal | None = None
) -> Callable[[Handler], Callable[..., Any]]:
    """Register a handler as the HTTP function of this name, by the route table.

    refusal: answers errors, where the caller is not served by the usual JSON.
    """
    route = ROUTES[name]

    def register(handler: Handler) -> Callable[..., Any]:
        decorated = blueprint.route(
            route=route.path, methods=list(route.methods), auth_level=func.AuthLevel.ANONYMOUS, trigger_arg_name="req"
        )(_answering(name, route, handler, refusal or partial(_usual_refusal, route)))
        named: Callable[..., Any] = blueprint.function_name(name)(decorated)
        return named

    return register


def _answering(name: str, route: Route, handler: Handler, refused: Refusal) -> Callable[..., Any]:
    """The function that the platform calls."""

    async def answer(req: func.HttpRequest) -> func.HttpResponse:
        app = current()
        try:
            return await handler(Call(req, app, await _admitted(app, route, req)))
        except CrossdockError as error:
            app.notices.refused(name, error.code)
            return refused(req, error)
        except Exception:
            log.exception("a request failed", extra={"action": name})
            app.notices.refused(name, CrossdockError.code)
            return refused(req, CrossdockError())

    answer.__doc__ = handler.__doc__
    return answer


async def _admitted(app: App, route: Route, req: func.HttpRequest) -> Caller:
    """Who asks, as the route's guard wants him."""
    if route.guard is Guard.USER:
        return Caller(user=await app.users.bearer(req.headers))
    if route.guard is Guard.USER_PAGE:
        return Caller(user=await app.users.browser(req.headers))
    return app.doorkeeper.admit(route, req.headers, req.route_params, bytes(req.get_body()))


def _usual_refusal(route: Route, _: func.HttpRequest, error: CrossdockError) -> func.HttpResponse:
    return _refusal(route, error)


def _refusal(route: Route, error: CrossdockError) -> func.HttpResponse:
    """The answer to an error. A webhook's sender reads the status only, and each has its own meaning for it."""
    match route.guard:
        case Guard.PATH_SECRET:  # anything but 2xx deletes the subscriptions (see docs/systems/webhooks.md)
            return empty(200)
        case Guard.HEADER_SECRET:  # 503 earns a second attempt, so it is for what may go better then
            return empty(error.status if isinstance(error, RequestError) else 503)
        case _:
            return answered(error_body(error), status_of(error))


def status_of(error: CrossdockError) -> int:
    """HTTP's status for an error."""
    if isinstance(error, RequestError):
        return error.status
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


def answered(content: Mapping[str, Any], status: int = 200) -> func.HttpResponse:
    """An answer of JSON; numbers are as exact as they are given."""
    return func.HttpResponse(dump(dict(content)), status_code=status, headers=HEADERS, mimetype="application/json")


@cache
def empty(status: int) -> func.HttpResponse:
    """The answer without a body. Made once for each status: the platform only reads it."""
    return func.HttpResponse(status_code=status, headers=HEADERS)
