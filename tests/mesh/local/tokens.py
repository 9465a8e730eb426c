"""An issuer of JSON Web Tokens whose key lives as long as the test."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature


def _packed(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Issuer:
    """ES256 (RFC 7518, 3.4)."""

    def __init__(self, name: str, kid: str = "one") -> None:
        self.name, self.kid = name, kid
        self._key = ec.generate_private_key(ec.SECP256R1())

    @property
    def jwks(self) -> str:
        numbers = self._key.public_key().public_numbers()
        x, y = (_packed(one.to_bytes(32, "big")) for one in (numbers.x, numbers.y))
        key = {"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": self.kid, "x": x, "y": y}
        return json.dumps({"keys": [key]})

    def token(self, subject: str = "alice", *, expires: float = 600.0, **claims: Any) -> str:
        now = int(time.time())
        head = {"alg": "ES256", "typ": "JWT", "kid": self.kid}
        body = {"iss": self.name, "sub": subject, "iat": now - 60, "exp": now + int(expires), **claims}
        signed = f"{_packed(json.dumps(head).encode())}.{_packed(json.dumps(body).encode())}"
        r, s = decode_dss_signature(self._key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{signed}.{_packed(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"
