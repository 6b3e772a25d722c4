"""Where people sign in: a page with everybody in the directory, one button each, and a session that remembers.

After Microsoft Learn, 'Microsoft identity platform and OAuth 2.0 authorization code flow' and 'OpenID Connect on the
Microsoft identity platform'. Nobody has a password here. Only administrators consent in this directory: whoever
signs in to an application that nobody consented to is told so.
"""

from __future__ import annotations

import html
import random
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from starlette.responses import HTMLResponse, RedirectResponse, Response

from sandbox.sign_in import errors
from sandbox.sign_in.directory import Directory, Person, read_scope
from sandbox.sign_in.errors import SignInError
from sandbox.sign_in.grants import Code, Grants
from sandbox.sign_in.tokens import Tokens

SESSION_COOKIE = "ESTSAUTHSANDBOX"
RESPONSES = {"code": "query", "code id_token": "fragment", "id_token code": "fragment"}
"""The response types there are, with the way their answers go unless another is asked for."""
ALONE = {"X-Frame-Options": "DENY", "Cache-Control": "no-store"}
"""No page of a sign-in is shown in a frame."""
_STYLE = "body{font:16px sans-serif;max-width:26em;margin:3em auto}button{display:block;width:100%;margin:.4em 0;"
_STYLE += "padding:.7em;font:inherit;text-align:left}small{color:#555}"


@dataclass(frozen=True)
class Wish:
    """A checked request for a sign-in."""

    client_id: str
    redirect_uri: str
    scope: str
    state: str
    nonce: str
    prompt: str
    login_hint: str
    response_type: str
    response_mode: str
    challenge: tuple[str, str]


class SignIn:
    """The pages, and the sessions of the browsers that have signed in."""

    def __init__(self, directory: Directory, tokens: Tokens, grants: Grants, seed: int) -> None:
        self._directory = directory
        self._tokens = tokens
        self._grants = grants
        self._random = random.Random(f"entra sessions {seed}")
        self._sessions: dict[str, str] = {}

    def authorize(self, given: Mapping[str, str], address: str, session: str) -> Response:
        """Answer the request of a browser: silently for who has a session, else with the page.

        Raises SignInError where no application can be told (it is unknown, or the address is not its own).
        """
        wish = self._wish(given)
        try:
            self._check(wish)
            person = self._at_hand(wish, session)
        except SignInError as error:
            return self._refused(wish, error)
        if person is None:
            return self._page(wish, address)
        return self._done(wish, person)

    def chosen(self, given: Mapping[str, str], object_id: str) -> Response:
        """Answer the press of a button: a session, and back to the application."""
        wish = self._wish(given)
        try:
            self._check(wish)
        except SignInError as error:
            return self._refused(wish, error)
        person = self._directory.person(object_id)
        answer = self._done(wish, person)
        session = self._random.randbytes(24).hex()
        self._sessions[session] = person.object_id
        answer.set_cookie(SESSION_COOKIE, session, httponly=True)
        return answer

    def sign_out(self, session: str, back: str) -> Response:
        """End a session; then back to an address that some application registered, else a page that says so."""
        self._sessions.pop(session, None)
        if back and self._directory.is_redirect(back):
            answer: Response = RedirectResponse(back, 302)
        else:
            answer = HTMLResponse(_document("You signed out of your account", "<p>You can close this page.</p>"))
        answer.delete_cookie(SESSION_COOKIE)
        return answer

    def _wish(self, given: Mapping[str, str]) -> Wish:
        application = self._directory.application(given.get("client_id", ""))
        uri = given.get("redirect_uri", "")
        if uri not in application.redirect_uris:
            raise errors.wrong_redirect(uri, application.client_id)
        kind = given.get("response_type", "")
        return Wish(
            client_id=application.client_id,
            redirect_uri=uri,
            scope=given.get("scope", ""),
            state=given.get("state", ""),
            nonce=given.get("nonce", ""),
            prompt=given.get("prompt", ""),
            login_hint=given.get("login_hint", ""),
            response_type=kind,
            response_mode=given.get("response_mode") or RESPONSES.get(kind, "query"),
            challenge=(given.get("code_challenge", ""), given.get("code_challenge_method", "plain")),
        )

    def _check(self, wish: Wish) -> None:
        if wish.response_type not in RESPONSES:
            raise errors.unsupported_response(wish.response_type)
        if not wish.scope:
            raise errors.missing("scope")
        asked = read_scope(wish.scope)
        if "id_token" in wish.response_type and ("openid" not in asked.sign_in or not wish.nonce):
            raise errors.missing("nonce")
        try:
            self._directory.granted(wish.client_id, asked)
        except SignInError as error:
            if error.number == errors.NO_CONSENT and wish.prompt != "none":
                raise errors.admin_consent() from None
            raise

    def _at_hand(self, wish: Wish, session: str) -> Person | None:
        """Return who signs in without a page; raises SignInError when there must be none and nobody has signed in."""
        person = self._directory.people.get(self._sessions.get(session, ""))
        if wish.prompt in ("select_account", "login", "consent"):
            return None
        if person is not None and wish.login_hint and wish.login_hint.lower() != person.upn.lower():
            person = None
        if person is None and wish.prompt == "none":
            raise errors.nobody_signed_in()
        return person

    def _done(self, wish: Wish, person: Person) -> Response:
        code = Code(
            client_id=wish.client_id,
            redirect_uri=wish.redirect_uri,
            object_id=person.object_id,
            scope=wish.scope,
            nonce=wish.nonce,
            challenge=wish.challenge,
            given=self._tokens.clock.now(),
        )
        told = {"code": self._grants.new_code(code)}
        if "id_token" in wish.response_type:
            told["id_token"] = self._tokens.identity(person, wish.client_id, wish.nonce)
        return self._back(wish, told)

    def _refused(self, wish: Wish, error: SignInError) -> Response:
        if error.number == errors.ADMIN_CONSENT:
            raise error
        return self._back(wish, {"error": error.error, "error_description": f"AADSTS{error.number}: {error.text}"})

    def _back(self, wish: Wish, told: Mapping[str, str]) -> Response:
        values = dict(told) | ({"state": wish.state} if wish.state else {})
        if wish.response_mode == "form_post":
            return _posting(wish.redirect_uri, values)
        mark = "#" if wish.response_mode == "fragment" else "&" if "?" in wish.redirect_uri else "?"
        return RedirectResponse(f"{wish.redirect_uri}{mark}{urlencode(values)}", 302, headers=dict(ALONE))

    def _page(self, wish: Wish, address: str) -> Response:
        people = sorted(self._directory.people.values(), key=lambda person: person.name)
        buttons = "".join(
            f'<button name="user" value="{html.escape(person.object_id)}">{html.escape(person.name)}<br>'
            f"<small>{html.escape(person.upn)}</small></button>"
            for person in people
        )
        body = f'<form method="post" action="{html.escape(address)}">{buttons}</form>'
        return HTMLResponse(_document("Pick an account", body), headers=dict(ALONE))


def error_page(error: SignInError) -> Response:
    """Show a refusal that no application can be told."""
    body = f"<p>{html.escape(f'AADSTS{error.number}: {error.text}')}</p>"
    return HTMLResponse(_document("Sorry, but we’re having trouble signing you in.", body), 400, headers=dict(ALONE))


def _posting(uri: str, values: Mapping[str, str]) -> Response:
    """Let the browser post the answer to the application."""
    fields = "".join(
        f'<input type="hidden" name="{html.escape(name)}" value="{html.escape(value)}">'
        for name, value in values.items()
    )
    body = f'<form method="post" action="{html.escape(uri)}">{fields}<button>Continue</button></form>'
    return HTMLResponse(
        _document("Working...", body + "<script>document.forms[0].submit()</script>"), headers=dict(ALONE)
    )


def _document(title: str, body: str) -> str:
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{_STYLE}</style></head><body><h1>{title}</h1>{body}</body></html>"
    )
