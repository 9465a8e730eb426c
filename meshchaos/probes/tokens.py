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
from meshchaos.experiment.problems import nearest
from meshchaos.experiment.secrets import resolve

GARBAGE: Final = "garbage.that-is.no-token"
SUBJECT: Final = "meshchaos"
"""``sub`` where no claim says otherwise: without any, no ``requestPrincipals`` matches (``<issuer>/<subject>``)."""
LIFETIME: Final = 24 * 3600.0
"""Seconds that a token is good for; longer than any run."""
EXPIRED: Final = 3600.0
"""Seconds ago that an expired one ended: more than the minute of clock skew that proxies allow."""


def bearer(
    token: Token, issuers: Mapping[str, Issuer], folder: Path, played: Mapping[str, str] | None = None
) -> str | None:
    """What goes behind ``Bearer``; None for no token. ``folder``: where the paths of secrets begin. ``played``: the
    private keys (PEM) of issuers that the mesh plays, which go before ``issuers``: the mesh takes no other.

    Raises UserError: no such secret, an issuer that nobody has a key of, a key that is none.
    """
    if token.kind == "none":
        return None
    if token.kind == "garbage":
        return GARBAGE
    if token.kind != "signed":
        return resolve(Secret(token.kind, token.name), folder=folder)
    pem, named = (played or {}).get(token.name), issuers.get(token.name)
    if pem is None and named is None:
        known = [*(played or {}), *issuers]
        near = nearest(token.name, known)
        hint = f", did you mean {near!r}?" if near else ":"
        raise UserError(
            f"no key signs for the issuer {token.name!r}{hint} give its private key in meshchaos.yaml, issuers: "
            f'{{"{token.name}": {{keyFile: key.pem}}}}, or let a local mesh play it, local: {{issuers: '
            f'["{token.name}"]}} (there are keys for {", ".join(known) or "none"})'
        )
    now = time.time()
    ends = now - EXPIRED if token.expired else now + LIFETIME
    claims = {"iss": token.name, "sub": SUBJECT, "iat": int(ends - LIFETIME), "exp": int(ends)}
    claims |= json.loads(token.claims) if token.claims else {}
    if pem is not None:
        return sign(claims, pem.encode(), f"the mesh's key for {token.name}")
    assert named is not None
    return sign(claims, _read(named.key_file), named.key_file, named.key_id)


def sign(claims: Mapping[str, Any], pem: bytes, place: str, key_id: str | None = None) -> str:
    """A JWT in compact form: RS256, ES256 or ES384, as the key is. ``place`` tells people where the key is from.
    Raises UserError for a key that is none.
    """
    key, algorithm = _key(pem, place)
    head = {"alg": algorithm, "typ": "JWT", **({"kid": key_id} if key_id else {})}
    signed = f"{_encoded(json.dumps(head).encode())}.{_encoded(json.dumps(claims).encode())}"
    return f"{signed}.{_encoded(_signature(key, algorithm, signed.encode()))}"


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise UserError(f"the key {path} cannot be read: {error.strerror}") from error


def _key(pem: bytes, place: str) -> tuple[Any, str]:
    try:
        from cryptography.hazmat.primitives.asymmetric import ec, rsa
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
    except ImportError as error:
        raise UserError("signing tokens takes the package cryptography: pip install 'meshchaos[local]'") from error
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError) as error:  # their words may quote the file
        raise UserError(f"{place} is no private key in PEM without a password") from error
    if isinstance(key, rsa.RSAPrivateKey):
        return key, "RS256"
    curve = key.curve.name if isinstance(key, ec.EllipticCurvePrivateKey) else ""
    algorithm = {"secp256r1": "ES256", "secp384r1": "ES384"}.get(curve)
    if algorithm is None:
        raise UserError(f"{place}: tokens are signed with RSA keys, or ECDSA keys on P-256 or P-384")
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
