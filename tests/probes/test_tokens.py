"""Tokens of probes: real signatures, and what is not there is told by its name only."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from meshchaos.errors import UserError
from meshchaos.experiment.model import Issuer, Token
from meshchaos.experiment.scalars import as_token
from meshchaos.mesh.local.issuers import PlayedIssuer
from meshchaos.probes.tokens import bearer

NAME = "https://issuer.example"


def written(key: Any, folder: Path) -> dict[str, Issuer]:
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "key.pem").write_bytes(key.private_bytes(*form))
    return {NAME: Issuer(NAME, str(folder / "key.pem"), "one")}


def decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def test_a_token_is_signed_with_the_issuers_key(tmp_path: Path) -> None:
    key = rsa.generate_private_key(65537, 2048)
    token = as_token({"issuer": NAME, "claims": {"aud": ["shop"], "groups": "staff"}})
    head, claims, signature = (bearer(token, written(key, tmp_path), tmp_path) or "").split(".")
    assert json.loads(decoded(head)) == {"alg": "RS256", "typ": "JWT", "kid": "one"}
    found = json.loads(decoded(claims))
    assert found["iss"] == NAME
    assert found["sub"] == "meshchaos", "without a subject no requestPrincipals would match"
    assert found["aud"] == ["shop"]
    assert found["exp"] > time.time() + 3600
    key.public_key().verify(decoded(signature), f"{head}.{claims}".encode(), padding.PKCS1v15(), hashes.SHA256())


def test_one_that_expired_is_signed_no_less(tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    issuers = written(key, tmp_path)
    text = bearer(as_token({"issuer": NAME, "expired": True}), issuers, tmp_path) or ""
    head, claims, signature = text.split(".")
    assert json.loads(decoded(claims))["exp"] < time.time() - 60
    raw = decoded(signature)
    pair = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    key.public_key().verify(pair, f"{head}.{claims}".encode(), ec.ECDSA(hashes.SHA256()))


def test_a_key_of_the_meshs_goes_before_one_of_the_file(tmp_path: Path) -> None:
    other, mine = ec.generate_private_key(ec.SECP256R1()), PlayedIssuer(NAME)
    text = bearer(as_token({"issuer": NAME}), written(other, tmp_path), tmp_path, {NAME: mine.private_key}) or ""
    head, claims, signature = text.split(".")
    (key,) = json.loads(mine.jwks)["keys"]
    x, y = (int.from_bytes(decoded(key[name])) for name in ("x", "y"))
    raw = decoded(signature)
    pair = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    public = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
    public.verify(pair, f"{head}.{claims}".encode(), ec.ECDSA(hashes.SHA256()))
    assert json.loads(decoded(head)) == {"alg": "ES256", "typ": "JWT"}, "no kid, which a key without one would refuse"


def test_what_is_not_there_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert bearer(Token(), {}, tmp_path) is None
    monkeypatch.setenv("SHOP_TOKEN", "t0ken")
    assert bearer(as_token({"env": "SHOP_TOKEN"}), {}, tmp_path) == "t0ken"
    with pytest.raises(UserError, match="NO_SUCH is not set"):
        bearer(as_token({"env": "NO_SUCH"}), {}, tmp_path)
    with pytest.raises(UserError, match=r"no key signs for the issuer .* let a local mesh play it"):
        bearer(as_token({"issuer": NAME}), {}, tmp_path)
    (tmp_path / "key.pem").write_text("-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n")
    with pytest.raises(UserError, match=r"key\.pem is no private key") as told:
        bearer(as_token({"issuer": NAME}), {NAME: Issuer(NAME, str(tmp_path / "key.pem"))}, tmp_path)
    assert "c2VjcmV0" not in str(told.value)
