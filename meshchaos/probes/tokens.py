"""The tokens that probes show, made at run time and kept in memory only; a JWT is signed as RFC 7515 and 7518 say."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from meshchaos.errors import UserError
from meshchaos.experiment.model import Issuer, Secret, Token
from meshchaos.experiment.secrets import resolve

GARBAGE: Final = "garbage.that-is.no-token"
LIFETIME: Final = 24 * 3600.0
"""Seconds that a token is good for; longer than any run."""
EXPIRED: Final = 3600.0
"""Seconds ago that an expired one ended: more than the minute of clock skew that proxies allow."""


def bearer(token: Token, issuers: Mapping[str, Issuer], folder: Path) -> str | None:
    """What goes behind ``Bearer``; None for no token. ``folder``: where the paths of secrets begin.

    Raises UserError: no such secret, an issuer that meshchaos.yaml does not name, a key that is none.
    """
    if token.kind == "none":
        return None
    if token.kind == "garbage":
        return GARBAGE
    if token.kind != "signed":
        return resolve(Secret(token.kind, token.name), folder=folder)
    issuer = issuers.get(token.name)
    if issuer is None:
        known = f"it names {', '.join(issuers)}" if issuers else "it names none"
        raise UserError(
            f"no key signs for the issuer {token.name!r}: name one in meshchaos.yaml, issuers: "
            f"{{{token.name!r}: {{keyFile: key.pem}}}} ({known})"
        )
    now = time.time()
    ends = now - EXPIRED if token.expired else now + LIFETIME
    claims = {"iss": token.name, "iat": int(ends - LIFETIME), "exp": int(ends)}
    return sign({**claims, **(json.loads(token.claims) if token.claims else {})}, issuer)


def sign(claims: Mapping[str, Any], issuer: Issuer) -> str:
    """A JWT in compact form: RS256, ES256 or ES384, as the key is. Raises UserError for a key that is none."""
    key, algorithm = _key(issuer.key_file)
    head = {"alg": algorithm, "typ": "JWT", **({"kid": issuer.key_id} if issuer.key_id else {})}
    signed = f"{_encoded(json.dumps(head).encode())}.{_encoded(json.dumps(claims).encode())}"
    return f"{signed}.{_encoded(_signature(key, algorithm, signed.encode()))}"


def _key(path: str) -> tuple[Any, str]:
    try:
        from cryptography.hazmat.primitives.asymmetric import ec, rsa
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
    except ImportError as error:
        raise UserError("signing tokens takes the package cryptography: pip install 'meshchaos[local]'") from error
    try:
        key = load_pem_private_key(Path(path).read_bytes(), password=None)
    except OSError as error:
        raise UserError(f"the key {path} cannot be read: {error.strerror}") from error
    except (ValueError, TypeError) as error:  # their words may quote the file
        raise UserError(f"{path} is no private key in PEM without a password") from error
    if isinstance(key, rsa.RSAPrivateKey):
        return key, "RS256"
    curve = key.curve.name if isinstance(key, ec.EllipticCurvePrivateKey) else ""
    algorithm = {"secp256r1": "ES256", "secp384r1": "ES384"}.get(curve)
    if algorithm is None:
        raise UserError(f"{path}: tokens are signed with RSA keys, or ECDSA keys on P-256 or P-384")
    return key, algorithm


def _signature(key: Any, algorithm: str, data: bytes) -> bytes:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, padding
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

    if algorithm == "RS256":
        found: bytes = key.sign(data, padding.PKCS1v15(), hashes.SHA256())
        return found
    r, s = decode_dss_signature(key.sign(data, ec.ECDSA(hashes.SHA256() if algorithm == "ES256" else hashes.SHA384())))
    size = 32 if algorithm == "ES256" else 48
    return r.to_bytes(size, "big") + s.to_bytes(size, "big")


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
