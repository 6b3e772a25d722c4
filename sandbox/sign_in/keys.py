"""The keys that tokens are signed with: RSA, as Entra's, made once in a process for each seed and turn."""

from __future__ import annotations

import base64
import functools
import hashlib
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat


@dataclass(frozen=True)
class SigningKey:
    """A private key, its public half, and the name it has among the published keys."""

    private: rsa.RSAPrivateKey
    public: rsa.RSAPublicKey
    key_id: str

    def published(self, issuer: str) -> dict[str, str]:
        """Return the public half as the list of keys shows it (RFC 7517)."""
        numbers = self.public.public_numbers()
        return {
            "kty": "RSA",
            "use": "sig",
            "kid": self.key_id,
            "x5t": self.key_id,
            "n": _unsigned(numbers.n),
            "e": _unsigned(numbers.e),
            "issuer": issuer,
        }


@functools.cache
def signing_key(seed: int, turn: int) -> SigningKey:
    """Return the key of an issuer of that seed after it was replaced `turn` times."""
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = private.public_key()
    der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return SigningKey(private, public, _text(hashlib.sha256(der).digest()[:20]))


def _unsigned(number: int) -> str:
    return _text(number.to_bytes((number.bit_length() + 7) // 8, "big"))


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
