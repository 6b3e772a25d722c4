"""Who is in the directory: people, applications, what applications may do in people's names."""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from sandbox.sign_in import errors

GRAPH = "00000003-0000-0000-c000-000000000000"
"""Whose tokens come out where only a sign-in is asked for."""
SIGN_IN_SCOPES = frozenset({"openid", "profile", "email", "offline_access"})
DEFAULT_SCOPE = ".default"


@dataclass(frozen=True)
class Person:
    """Somebody who can sign in."""

    object_id: str
    name: str = field(repr=False)
    upn: str = field(repr=False)


@dataclass(frozen=True)
class Application:
    """A registered application; with scopes it is an API. `version`: of the tokens made out to it."""

    client_id: str
    secret: str = field(default="", repr=False)
    scopes: tuple[str, ...] = ()
    redirect_uris: tuple[str, ...] = ()
    uri: str = ""
    version: str = "1.0"

    @property
    def names(self) -> frozenset[str]:
        """Return what the API is called in a scope."""
        return frozenset(name for name in (self.client_id, f"api://{self.client_id}", _plain(self.uri)) if name)


@dataclass(frozen=True)
class Asked:
    """What a scope parameter asks for: a resource and rights there, and what belongs to the sign-in itself."""

    resource: str
    scopes: tuple[str, ...]
    sign_in: frozenset[str]


@dataclass(frozen=True)
class Granted:
    """What a user's token may be: for whom, with which rights, in which version."""

    resource: str
    audience: str
    scopes: tuple[str, ...]
    version: str


class Directory:
    """People, applications and consents of one tenant."""

    def __init__(self) -> None:
        self.people: dict[str, Person] = {}
        self._applications: dict[str, Application] = {}
        self._consents: set[tuple[str, str]] = set()

    def register(self, client_id: str, secret: str) -> None:
        """Make an application known, or give it another secret."""
        self._change(replace(self._known(client_id), secret=secret))

    def add_api(
        self, client_id: str, scopes: Iterable[str], redirect_uris: Iterable[str], uri: str, version: str
    ) -> None:
        """Give an application an API with rights that people can be represented with, and addresses for sign-ins."""
        known = self._known(client_id)
        self._change(replace(known, scopes=tuple(scopes), redirect_uris=tuple(redirect_uris), uri=uri, version=version))

    def consent(self, client_id: str, resource: str) -> None:
        """Allow an application, as the administrator, to use a resource in everybody's name."""
        self._consents.add((client_id.lower(), self._resource_key(resource)))

    def application(self, client_id: str) -> Application:
        """Return a registered application."""
        found = self._applications.get(client_id.lower())
        if found is None:
            raise errors.unknown_application(client_id)
        return found

    def authenticated(self, client_id: str, secret: str) -> Application:
        """Return the application that shows its secret."""
        found = self.application(client_id)
        if not secret:
            raise errors.no_secret()
        if not found.secret or not hmac.compare_digest(secret.encode(), found.secret.encode()):
            raise errors.wrong_secret(found.client_id)
        return found

    def person(self, object_id: str) -> Person:
        """Return somebody of the directory."""
        found = self.people.get(object_id.lower())
        if found is None:
            raise errors.unknown_user()
        return found

    def is_redirect(self, uri: str) -> bool:
        """Say whether an address is one of some application's."""
        return any(uri in one.redirect_uris for one in self._applications.values())

    def audience(self, resource: str) -> tuple[str, str]:
        """Return for whom a token for a resource is made out, and its version.

        A resource that is no API here belongs to somebody else: the token names it as it was asked for.
        """
        api = self._api(resource)
        if api is None:
            return resource, "1.0"
        return (api.client_id if api.version == "2.0" else resource), api.version

    def granted(self, client_id: str, asked: Asked) -> Granted:
        """Return what a user's token for an application may be; raises SignInError without consent."""
        if asked.resource == GRAPH:
            return Granted(GRAPH, GRAPH, asked.scopes or tuple(sorted(asked.sign_in)), "1.0")
        key, api = self._resource_key(asked.resource), self._api(asked.resource)
        if key != client_id and (client_id, key) not in self._consents:
            raise errors.no_consent(client_id)
        offered = api.scopes if api is not None else ("user_impersonation",)
        for scope in asked.scopes:
            if scope not in (DEFAULT_SCOPE, *offered):
                raise errors.no_such_scope(client_id, scope, asked.resource)
        scopes = offered if DEFAULT_SCOPE in asked.scopes else asked.scopes
        audience, version = self.audience(asked.resource)
        return Granted(asked.resource, audience, scopes, version)

    def _known(self, client_id: str) -> Application:
        return self._applications.get(client_id.lower()) or Application(client_id.lower())

    def _change(self, application: Application) -> None:
        self._applications[application.client_id] = application

    def _api(self, resource: str) -> Application | None:
        name = _plain(resource)
        return next((one for one in self._applications.values() if one.scopes and name in one.names), None)

    def _resource_key(self, resource: str) -> str:
        api = self._api(resource)
        return api.client_id if api is not None else _plain(resource)


def read_scope(text: str) -> Asked:
    """Take a scope parameter apart; raises SignInError when it asks for two resources."""
    parts = text.split()
    pairs = [part.rpartition("/")[::2] for part in parts if part not in SIGN_IN_SCOPES]
    resources = {resource or GRAPH for resource, _ in pairs}
    if len(resources) > 1:
        raise errors.several_resources()
    scopes = tuple(dict.fromkeys(scope for _, scope in pairs))
    return Asked(resources.pop() if resources else GRAPH, scopes, SIGN_IN_SCOPES & set(parts))


def _plain(resource: str) -> str:
    return resource.rstrip("/").lower()
