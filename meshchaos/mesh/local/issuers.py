"""Issuers of JSON Web Tokens that the mesh plays, so that policies about tokens are tried where nobody can sign for the
real ones. Their keys live in the supervisor's memory, as long as the mesh.
"""

from __future__ import annotations

import base64
import json

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec


class PlayedIssuer:
    """One issuer: signs by ES256 (RFC 7518, 3.4), with a key of its own."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._key = ec.generate_private_key(ec.SECP256R1())

    @property
    def jwks(self) -> str:
        """Its JSON Web Key Set (RFC 7517, 5): the public key, without a ``kid``, so that it fits any token."""
        numbers = self._key.public_key().public_numbers()
        x, y = (_packed(one.to_bytes(32, "big")) for one in (numbers.x, numbers.y))
        return json.dumps({"keys": [{"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "x": x, "y": y}]})

    @property
    def private_key(self) -> str:
        """PEM. Never write it down."""
        return self._key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()


def _packed(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
