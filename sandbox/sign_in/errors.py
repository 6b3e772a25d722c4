"""What the sign-in service says when it refuses.

Numbers, names and texts after Microsoft Learn, 'Microsoft Entra authentication and authorization error codes', and
after published answers (AADSTS500112, AADSTS500131, AADSTS7000114).
"""

from __future__ import annotations

from datetime import datetime

NO_CONSENT = 65001
ADMIN_CONSENT = 90094


class SignInError(Exception):
    """A refusal: HTTP status, OAuth error, number, text, and for some the sub-error."""

    def __init__(self, status: int, error: str, number: int, text: str, suberror: str = "") -> None:
        super().__init__(f"{error} AADSTS{number}")
        self.status = status
        self.error = error
        self.number = number
        self.text = text
        self.suberror = suberror


def no_tenant(tenant: str) -> SignInError:
    """Refuse a directory nobody knows."""
    return SignInError(400, "invalid_request", 90002, f"Tenant '{tenant}' not found.")


def missing(parameter: str) -> SignInError:
    """Refuse a request without one of its parameters."""
    text = f"The request body must contain the following parameter: '{parameter}'."
    return SignInError(400, "invalid_request", 900144, text)


def unsupported_grant() -> SignInError:
    """Refuse a grant type that is not imitated."""
    return SignInError(400, "unsupported_grant_type", 70003, "The app requested an unsupported grant type.")


def unknown_application(client_id: str) -> SignInError:
    """Refuse an application that is not registered."""
    text = f"Application with identifier '{client_id}' was not found in the directory."
    return SignInError(400, "unauthorized_client", 700016, text)


def no_secret() -> SignInError:
    """Refuse an application that shows nothing."""
    text = "The request body must contain the following parameter: 'client_assertion' or 'client_secret'."
    return SignInError(401, "invalid_client", 7000218, text)


def wrong_secret(client_id: str) -> SignInError:
    """Refuse an application that shows another secret."""
    text = (
        "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not "
        f"the client secret ID, for a secret added to app '{client_id}'."
    )
    return SignInError(401, "invalid_client", 7000215, text)


def not_default(scope: str) -> SignInError:
    """Refuse client credentials for anything but a resource's default scope."""
    text = f"The provided value for scope {scope} is not valid. Client credential flows must have a scope value with "
    return SignInError(400, "invalid_scope", 1002012, text + "/.default suffixed to the resource identifier.")


def bad_scope(scope: str) -> SignInError:
    """Refuse a scope that names no resource."""
    text = f"The provided value for the input parameter 'scope' is not valid. The scope {scope} is not valid."
    return SignInError(400, "invalid_scope", 70011, text)


def several_resources() -> SignInError:
    """Refuse one token for two resources."""
    text = "Provided value for the input parameter scope isn't valid because it contains more than one resource."
    return SignInError(400, "invalid_request", 28000, text)


def no_such_scope(client_id: str, scope: str, resource: str) -> SignInError:
    """Refuse a right that the resource does not have."""
    text = f"The application '{client_id}' asked for scope '{scope}' that doesn't exist on the resource '{resource}'."
    return SignInError(400, "invalid_client", 650053, text)


def no_consent(client_id: str) -> SignInError:
    """Refuse a token for a resource that nobody allowed the application to use in a user's name."""
    text = (
        f"The user or administrator has not consented to use the application with ID '{client_id}'. Send an "
        "interactive authorization request for this user and resource."
    )
    return SignInError(400, "invalid_grant", NO_CONSENT, text, "consent_required")


def admin_consent() -> SignInError:
    """Refuse a sign-in to an application that only an administrator may allow."""
    return SignInError(400, "access_denied", ADMIN_CONSENT, "The grant requires admin permission.")


def wrong_redirect(uri: str, client_id: str) -> SignInError:
    """Refuse an address that is not registered for the application."""
    text = (
        f"The redirect URI '{uri}' specified in the request does not match the redirect URIs configured for the "
        f"application '{client_id}'."
    )
    return SignInError(400, "invalid_client", 50011, text)


def another_reply_address(uri: str, first: str) -> SignInError:
    """Refuse a code that comes with another address than it was sent to."""
    text = (
        f"The reply address '{uri}' does not match the reply address '{first}' provided when requesting Authorization "
    )
    return SignInError(400, "invalid_client", 500112, text + "code.")


def unsupported_response(kind: str) -> SignInError:
    """Refuse a response type that is not imitated."""
    return SignInError(400, "unsupported_response_type", 70005, f"The response type '{kind}' is not supported.")


def nobody_signed_in() -> SignInError:
    """Refuse a silent sign-in without a session."""
    text = "Session information is not sufficient for single-sign-on."
    return SignInError(400, "login_required", 50058, text)


def invalid_code() -> SignInError:
    """Refuse a code, or a refresh token, that was never given to the application."""
    return SignInError(400, "invalid_grant", 70000, "Provided grant is invalid or malformed.")


def code_expired() -> SignInError:
    """Refuse a code that is too old."""
    text = "The provided authorization code or refresh token has expired due to inactivity."
    return SignInError(400, "invalid_grant", 70008, text)


def refresh_expired() -> SignInError:
    """Refuse a refresh token that is too old."""
    return SignInError(400, "invalid_grant", 700082, "The refresh token has expired due to inactivity.")


def code_used() -> SignInError:
    """Refuse a code the second time."""
    text = "OAuth2 Authorization code was already redeemed, please retry with a new valid code or use an existing "
    return SignInError(400, "invalid_grant", 54005, text + "refresh token.")


def wrong_verifier() -> SignInError:
    """Refuse a code whose proof key does not fit."""
    text = "The Code_Verifier does not match the code_challenge supplied in the authorization request."
    return SignInError(400, "invalid_grant", 501481, text)


def malformed_assertion() -> SignInError:
    """Refuse an assertion that is no token."""
    return SignInError(400, "invalid_request", 50027, "JWT token is invalid or malformed.")


def forged_assertion() -> SignInError:
    """Refuse an assertion that this service did not sign."""
    text = "Assertion failed signature validation. [Reason - The key was not found.]"
    return SignInError(400, "invalid_grant", 50013, text)


def assertion_for_another(audience: str, client_id: str) -> SignInError:
    """Refuse an assertion that was made out to another application than the one that shows it."""
    text = (
        "Assertion audience does not match the Client app presenting the assertion. The audience in the assertion was "
        f"'{audience}' and the expected audience is '{client_id}' or one of the Application Uris of this application "
        f"with App ID '{client_id}'. The downstream client must request a token for the expected audience (the "
        "application that made the OBO request) and this application should use that token as the assertion."
    )
    return SignInError(400, "invalid_grant", 500131, text)


def assertion_expired(now: datetime, expires: datetime) -> SignInError:
    """Refuse an assertion that is too old."""
    text = (
        "Assertion is not within its valid time range. Ensure that the access token is not expired before using it for "
        "user assertion, or request a new token. "
        f"Current time: {now:%Y-%m-%dT%H:%M:%SZ}, expiry time of assertion: {expires:%Y-%m-%dT%H:%M:%SZ}."
    )
    return SignInError(400, "invalid_grant", 500133, text)


def no_user_in_assertion(client_id: str) -> SignInError:
    """Refuse an assertion in which nobody signed in."""
    text = f"Application '{client_id}' is not allowed to make application on-behalf-of calls."
    return SignInError(400, "unauthorized_client", 7000114, text)


def unknown_user() -> SignInError:
    """Refuse somebody who is not in the directory."""
    return SignInError(400, "invalid_grant", 50034, "The user account does not exist in the directory.")
