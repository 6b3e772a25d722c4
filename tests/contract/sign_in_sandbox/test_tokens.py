"""Tokens: what they say, how they are checked, and what an application gets for the one that a user showed it."""

from __future__ import annotations

import jwt
import pytest

from sandbox.tokens import InvalidToken
from tests.contract.sign_in_sandbox.conftest import ANNA, API, BERT, CRM, SIGN_IN, WEB, Place, number_of


async def test_a_users_token_says_who_for_whom_and_for_what(place: Place) -> None:
    """Version 2.0: signed with a published key, made out to the API's client id, with scopes and the person's id."""
    token = place.issuer.issue_user(ANNA, API, WEB, ("read",))
    claims = await place.claims(token, API)
    tenant = place.issuer.tenant_id
    assert claims["iss"] == f"https://login.microsoftonline.com/{tenant}/v2.0"
    assert (claims["oid"], claims["tid"], claims["azp"], claims["scp"]) == (ANNA, tenant, WEB, "read")
    assert (claims["ver"], claims["exp"] - claims["iat"]) == ("2.0", 3599)
    assert not {"name", "upn", "preferred_username", "email", "appid"} & set(claims)
    seen = place.issuer.verify(token, API)
    assert (seen.is_user, seen.object_id, seen.scopes, seen.application_id) == (True, ANNA, ("read",), WEB)


async def test_version_1_names_issuer_and_application_differently(place: Place) -> None:
    """As Dataverse's tokens are."""
    claims = await place.claims(place.issuer.issue_user(ANNA, CRM, API, version="1.0"), CRM)
    assert claims["iss"] == f"https://sts.windows.net/{place.issuer.tenant_id}/"
    assert (claims["appid"], claims["ver"]) == (API, "1.0")


async def test_an_applications_token_has_no_scopes(place: Place) -> None:
    """Nobody signed in: the object id is the application's own."""
    answer = await place.tokens(grant_type="client_credentials", scope=f"api://{API}/.default")
    claims = await place.claims(answer.json()["access_token"], API)
    assert "scp" not in claims
    assert claims["sub"] == claims["oid"]
    assert not place.issuer.verify(answer.json()["access_token"], API).is_user


async def test_the_service_describes_itself(place: Place) -> None:
    """Where the keys are, and who issues."""
    told = (await place.browser.get(f"{place.root}/v2.0/.well-known/openid-configuration")).json()
    assert told["jwks_uri"] == f"{SIGN_IN}/{place.issuer.tenant_id}/discovery/v2.0/keys"
    assert told["issuer"] == f"https://login.microsoftonline.com/{place.issuer.tenant_id}/v2.0"
    other = await place.browser.get(f"{SIGN_IN}/elsewhere/discovery/v2.0/keys")
    assert (other.status_code, number_of(other)) == (400, 90002)


async def test_a_replaced_key_makes_old_tokens_worthless(place: Place) -> None:
    """The list of keys shows the new one only."""
    token = place.issuer.issue_user(ANNA, API, WEB)
    assert place.issuer.verify(token, API).object_id == ANNA
    place.issuer.replace_key()
    with pytest.raises(InvalidToken, match="signature"):
        place.issuer.verify(token, API)
    with pytest.raises(KeyError):
        await place.claims(token, API)
    assert (await place.claims(place.issuer.issue_user(ANNA, API, WEB), API))["oid"] == ANNA


async def test_a_token_signed_with_something_else_is_refused(place: Place) -> None:
    """Neither a shared secret nor no signature at all will do."""
    claims = await place.claims(place.issuer.issue_user(ANNA, API, WEB), API)
    for forged in (jwt.encode(claims, "x" * 32, "HS256"), jwt.encode(claims, "", "none")):
        with pytest.raises(InvalidToken, match="signature"):
            place.issuer.verify(forged, API)


async def test_an_api_gets_a_token_of_the_user_for_the_system_behind_it(place: Place) -> None:
    """On behalf of: the person stays the same, the application is the API, the audience is the organisation."""
    answer = await place.on_behalf_of(place.issuer.issue_user(ANNA, API, WEB))
    assert answer.status_code == 200, answer.text
    claims = await place.claims(answer.json()["access_token"], CRM)
    assert (claims["oid"], claims["appid"], claims["scp"]) == (ANNA, API, "user_impersonation")
    assert answer.json()["scope"] == f"{CRM}/user_impersonation"
    assert "refresh_token" not in answer.json()


async def test_an_assertion_for_another_application_is_refused(place: Place) -> None:
    """Only who a token is made out to may act on it."""
    answer = await place.on_behalf_of(place.issuer.issue_user(ANNA, WEB, WEB))
    assert (answer.status_code, answer.json()["error"], number_of(answer)) == (400, "invalid_grant", 500131)


async def test_an_assertion_without_a_user_is_refused(place: Place) -> None:
    """An application cannot act on behalf of an application."""
    answer = await place.on_behalf_of(place.issuer.issue(WEB, API))
    assert (answer.status_code, answer.json()["error"], number_of(answer)) == (400, "unauthorized_client", 7000114)


async def test_an_old_assertion_is_refused(place: Place) -> None:
    """On the sandbox's clock."""
    token = place.issuer.issue_user(ANNA, API, WEB)
    await place.clock.advance(3599)
    assert number_of(await place.on_behalf_of(token)) == 500133


async def test_a_forged_or_broken_assertion_is_refused(place: Place) -> None:
    """By signature, and by form."""
    token = place.issuer.issue_user(ANNA, API, WEB)
    assert number_of(await place.on_behalf_of(token[:-8] + "AAAAAAAA")) == 50013
    assert number_of(await place.on_behalf_of("not a token")) == 50027


async def test_without_consent_there_is_no_token(place: Place) -> None:
    """For a resource that nobody allowed the application to use in people's names."""
    answer = await place.on_behalf_of(place.issuer.issue_user(ANNA, API, WEB), "https://other.example/.default")
    assert (answer.status_code, answer.json()["error"], number_of(answer)) == (400, "invalid_grant", 65001)
    assert answer.json()["suberror"] == "consent_required"


async def test_somebody_who_left_is_refused(place: Place) -> None:
    """An assertion of a person who is not in the directory."""
    assert number_of(await place.on_behalf_of(place.issuer.issue_user("33" * 16, API, WEB))) == 50034


async def test_a_request_without_its_parameters_is_refused_by_name(place: Place) -> None:
    """Each by the same number, and the text names the parameter."""
    jwt_bearer = "urn:ietf:params:oauth:grant-type:jwt-bearer"
    for form, name in (
        ({}, "grant_type"),
        ({"grant_type": "client_credentials"}, "scope"),
        ({"grant_type": "authorization_code"}, "code"),
        ({"grant_type": jwt_bearer, "assertion": "x", "scope": "y"}, "requested_token_use"),
        ({"grant_type": jwt_bearer, "requested_token_use": "on_behalf_of", "scope": "y"}, "assertion"),
    ):
        answer = await place.tokens(**form)
        assert number_of(answer) == 900144
        assert f"'{name}'" in answer.json()["error_description"]


async def test_an_application_shows_its_secret(place: Place) -> None:
    """Unknown, without a secret, with another one: three different refusals."""
    form = {"grant_type": "client_credentials", "scope": f"{CRM}/.default"}
    assert number_of(await place.tokens(BERT, **form)) == 700016
    assert number_of(await place.tokens(WEB, "", **form)) == 7000218
    assert number_of(await place.tokens(WEB, "guessed", **form)) == 7000215
    assert number_of(await place.tokens(grant_type="password")) == 70003
    assert number_of(await place.tokens(grant_type="client_credentials", scope="read")) == 1002012
