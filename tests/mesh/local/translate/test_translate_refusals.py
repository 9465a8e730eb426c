"""What real Envoys log of requests that a policy refuses, by which probes are judged."""

from __future__ import annotations

import base64
import itertools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from policies import enforce, operation, policy
from tiny_mesh import TinyMesh
from worlds import made

from meshchaos.experiment.model import Issuer
from meshchaos.experiment.scalars import as_token
from meshchaos.history.probes import probe_id, reached, refused
from meshchaos.mesh.seam import ProxyLogLine
from meshchaos.probes.tokens import GARBAGE, bearer

pytestmark = pytest.mark.envoy

ISSUER = "https://issuer.example"
_numbers = itertools.count()


@pytest.fixture
def key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@pytest.fixture
def guarded(mesh: TinyMesh, key: ec.EllipticCurvePrivateKey) -> Iterator[TinyMesh]:
    """``/open`` is open to everybody, nothing else is; a token may be missing, and must be right where it is shown."""
    numbers = key.public_key().public_numbers()
    x, y = (base64.urlsafe_b64encode(one.to_bytes(32, "big")).rstrip(b"=").decode() for one in (numbers.x, numbers.y))
    jwks = json.dumps({"keys": [{"kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": "one"}]})
    tokens = made("RequestAuthentication", "tokens", "shop", {"jwtRules": [{"issuer": ISSUER, "jwks": jwks}]})
    enforce(mesh, tokens, policy(rules=[operation(paths=["/open"])], selector=None))
    yield mesh
    mesh.reset()


def called(mesh: TinyMesh, path: str, token: str | None = None) -> tuple[int, Sequence[ProxyLogLine]]:
    """The status that the page gets from ratings, and what ratings' proxies logged of it."""
    identity = probe_id("0000beef", 0, next(_numbers))
    fields = {} if token is None else {"authorization": f"Bearer {token}"}
    answer = mesh.get("page", f"http://ratings:9080{path}", x_request_id=identity, **fields)
    (sent,) = mesh.lines("page", identity)
    address = sent.upstream_host.rpartition(":")[0]
    name = next(name for name in mesh.proxies if mesh.replica(name).address == address)
    return answer.status, mesh.lines(name, identity)


def test_a_refusal_is_told_from_an_answer_of_the_application(
    guarded: TinyMesh, key: ec.EllipticCurvePrivateKey, tmp_path: Path
) -> None:
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (tmp_path / "key.pem").write_bytes(key.private_bytes(*form))
    issuers = {ISSUER: Issuer(ISSUER, str(tmp_path / "key.pem"), "one")}
    right = bearer(as_token({"issuer": ISSUER}), issuers, tmp_path)
    expired = bearer(as_token({"issuer": ISSUER, "expired": True}), issuers, tmp_path)
    for path, token, status, details in (
        ("/open", None, 200, "via_upstream"),
        ("/open", right, 200, "via_upstream"),
        ("/shut", None, 403, "rbac_access_denied_matched_policy[none]"),
        ("/shut", right, 403, "rbac_access_denied_matched_policy[none]"),
        ("/open", expired, 401, "jwt_authn_access_denied{Jwt_is_expired}"),
        ("/open", GARBAGE, 401, "jwt_authn_access_denied{"),
    ):
        found, (line,) = called(guarded, path, token)
        assert (found, line.status) == (status, status), (path, line)
        assert line.details.startswith(details)
        assert refused(line) is (status != 200)
        assert reached(line) is (status == 200)
        assert line.cluster in ("", "inbound|9080||")
    hits = sum((app.hits for app in guarded.apps.values()), start=type(next(iter(guarded.apps.values())).hits)())
    assert hits["/shut"] == 0
    assert hits["/open"] == 2
    for app in guarded.apps.values():
        app.status = 403
    found, (line,) = called(guarded, "/open")
    assert found == 403
    assert reached(line)
    assert not refused(line)
