"""People signing in with a browser: the page, the session, the code and what it is exchanged for."""

from __future__ import annotations

import base64
import hashlib
import re

from tests.contract.sign_in_sandbox.conftest import ANNA, API, BACK, BERT, CRM, WEB, Place, number_of, told


async def test_a_person_signs_in_with_the_press_of_a_button(place: Place) -> None:
    """The page lists everybody; the code is exchanged for a token of that person, and comes with the state."""
    page = await place.authorize(state="a&b")
    assert page.status_code == 200
    assert "Anna Rossi" in page.text
    assert "Bert &lt;Meier&gt;" in page.text
    assert page.headers["X-Frame-Options"] == "DENY"
    back = told(await place.press(page, ANNA))
    assert back["state"] == "a&b"
    answer = (await place.redeem(back["code"])).json()
    claims = await place.claims(answer["access_token"], API)
    assert (claims["oid"], claims["azp"], claims["scp"]) == (ANNA, WEB, "read")
    identity = await place.claims(answer["id_token"], WEB)
    assert (identity["oid"], identity["preferred_username"]) == (ANNA, "anna@example.com")
    assert "refresh_token" not in answer


async def test_the_next_time_is_silent(place: Place) -> None:
    """The session answers at once; the page comes again when somebody is to be picked, or another one is meant."""
    await place.code_of(ANNA)
    again = told(await place.authorize())
    assert (await place.claims((await place.redeem(again["code"])).json()["access_token"], API))["oid"] == ANNA
    assert told(await place.authorize(prompt="none"))["code"]
    assert told(await place.authorize(login_hint="anna@example.com"))["code"]
    assert (await place.authorize(prompt="select_account")).status_code == 200
    assert (await place.authorize(login_hint="bert@example.com")).status_code == 200


async def test_a_silent_sign_in_without_a_session_fails(place: Place) -> None:
    """The application is told, not the browser."""
    back = told(await place.authorize(prompt="none", state="s"))
    assert (back["error"], back["state"]) == ("login_required", "s")
    assert back["error_description"].startswith("AADSTS50058")


async def test_signing_out_ends_the_session(place: Place) -> None:
    """Back to a registered address, and to no other."""
    await place.code_of(ANNA)
    out = await place.browser.get(f"{place.root}/oauth2/v2.0/logout", params={"post_logout_redirect_uri": BACK})
    assert (out.status_code, out.headers["Location"]) == (302, BACK)
    assert (await place.authorize()).status_code == 200
    away = {"post_logout_redirect_uri": "https://evil.example"}
    assert (await place.browser.get(f"{place.root}/oauth2/v2.0/logout", params=away)).status_code == 200


async def test_a_code_is_good_once_for_ten_minutes_and_for_its_application(place: Place) -> None:
    """Each other use is refused with its own number."""
    code = await place.code_of(ANNA)
    assert (await place.redeem(code)).status_code == 200
    assert number_of(await place.redeem(code)) == 54005
    assert number_of(await place.redeem("1.Ainvented")) == 70000
    assert number_of(await place.redeem(await place.code_of(ANNA), redirect_uri="https://web.example/")) == 500112
    other = {"grant_type": "authorization_code", "code": await place.code_of(ANNA), "redirect_uri": BACK}
    assert number_of(await place.tokens(API, "api secret", **other)) == 70000
    late = await place.code_of(ANNA)
    await place.clock.advance(601)
    assert number_of(await place.redeem(late)) == 70008


async def test_a_proof_key_must_fit(place: Place) -> None:
    """A code that was asked for with a challenge needs the verifier."""
    verifier = "correct horse battery staple" * 2
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    wish = {"code_challenge": challenge, "code_challenge_method": "S256"}
    assert number_of(await place.redeem(await place.code_of(ANNA, **wish))) == 501481
    assert number_of(await place.redeem(await place.code_of(ANNA, **wish), code_verifier="wrong")) == 501481
    assert (await place.redeem(await place.code_of(ANNA, **wish), code_verifier=verifier)).status_code == 200


async def test_an_application_or_address_nobody_registered_is_told_to_the_browser_only(place: Place) -> None:
    """Nothing goes to an address that is not the application's own."""
    elsewhere = await place.authorize(redirect_uri="https://evil.example/")
    assert elsewhere.status_code == 400
    assert "AADSTS50011" in elsewhere.text
    assert "AADSTS700016" in (await place.authorize(client_id=BERT)).text


async def test_a_wish_that_cannot_be_is_told_to_the_application(place: Place) -> None:
    """By redirect, with the OAuth error."""
    for wish, error in (
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"scope": f"api://{API}/delete"}, "invalid_client"),
        ({"scope": f"api://{API}/read {CRM}/user_impersonation"}, "invalid_request"),
        ({"response_type": "code id_token", "response_mode": "query"}, "invalid_request"),
        ({"scope": f"{CRM}/user_impersonation", "prompt": "none"}, "invalid_grant"),
    ):
        assert told(await place.authorize(**wish))["error"] == error


async def test_without_consent_people_are_told_to_ask_their_administrator(place: Place) -> None:
    """Nobody consents for himself in this directory."""
    page = await place.authorize(scope=f"{CRM}/user_impersonation")
    assert page.status_code == 400
    assert "AADSTS90094" in page.text


async def test_the_answer_can_be_posted(place: Place) -> None:
    """As the platform's own sign-in asks for it, with an ID token that carries the nonce."""
    wish = {"response_type": "code id_token", "response_mode": "form_post", "nonce": "n-1", "state": 'x"y'}
    page = await place.press(await place.authorize(**wish), ANNA)
    assert f'action="{BACK}"' in page.text
    assert 'name="state" value="x&quot;y"' in page.text
    found = re.search(r'name="id_token" value="([^"]+)"', page.text)
    assert found is not None
    assert (await place.claims(found[1], WEB))["nonce"] == "n-1"


async def test_a_refresh_token_brings_new_tokens_also_for_another_resource(place: Place) -> None:
    """It is given only to who asked for offline access."""
    first = (await place.redeem(await place.code_of(ANNA, scope=f"openid offline_access api://{API}/read"))).json()
    again = {"grant_type": "refresh_token", "refresh_token": first["refresh_token"]}
    await place.clock.advance(4000)
    second = (await place.tokens(**again)).json()
    assert (await place.claims(second["access_token"], API))["oid"] == ANNA
    own = (await place.tokens(**again, scope=f"{WEB}/.default")).json()
    assert (await place.claims(own["access_token"], WEB))["oid"] == ANNA
    assert number_of(await place.tokens(API, "api secret", **again)) == 70000
    await place.clock.advance(91 * 86400)
    assert number_of(await place.tokens(**again)) == 700082


async def test_a_bare_sign_in_gives_no_token_for_our_api(place: Place) -> None:
    """Without a scope of an API the access token is for the platform's own directory service."""
    answer = (await place.redeem(await place.code_of(ANNA, scope="openid profile"))).json()
    claims = await place.claims(answer["access_token"], "00000003-0000-0000-c000-000000000000")
    assert (claims["oid"], answer["scope"]) == (ANNA, "openid profile")
