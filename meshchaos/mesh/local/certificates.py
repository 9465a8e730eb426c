"""The mesh's own certificate authority, and one identity for each service account; all of it in memory only.

Identities are SPIFFE names in a URI SAN, as Istio's are: ``spiffe://<trust domain>/ns/<namespace>/sa/<account>``.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Sequence
from typing import Any

from meshchaos.mesh.local.translate.tls import SERVED

LIFETIME = 24 * 3600.0
"""Istio's default for workload certificates, in seconds."""
_YEAR = 365 * 24 * 3600.0
_CLOCK_SKEW = 120.0
_SECRET = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"

IDENTITY = "default"
ROOT = "ROOTCA"
"""Istio's names of the two secrets."""


class Authority:
    """ECDSA P-256 throughout. ``lifetime`` in seconds is that of the identities; the root lives ten years."""

    def __init__(self, trust_domain: str, lifetime: float = LIFETIME) -> None:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.x509.oid import NameOID

        self._lifetime = lifetime
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, trust_domain)])
        now = time.time()
        self._certificate = (
            x509.CertificateBuilder()
            .subject_name(self._name)
            .issuer_name(self._name)
            .public_key(self._key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(_moment(now - _CLOCK_SKEW))
            .not_valid_after(_moment(now + 3650 * 24 * 3600))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(sign_certificates=True), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self._root = self._certificate.public_bytes(serialization.Encoding.PEM).decode()
        self._issued: dict[str, tuple[float, dict[str, Any]]] = {}

    def secrets(self, identity: str, *, fresh: bool = False, expired: bool = False) -> dict[str, dict[str, Any]]:
        """Envoy's two Secrets of an identity, by name; a new pair of key and chain when half the lifetime is over, or
        at once (``fresh``). ``expired``: one whose lifetime is over, which nobody accepts; the others stay as they are.
        """
        issued, secret = self._issued.get(identity, (0.0, {}))
        if expired:
            secret = self._issue(identity, until=-1.0)
        elif fresh or time.time() >= issued + self._lifetime / 2:
            secret = self._issue(identity, until=self._lifetime)
            self._issued[identity] = (time.time(), secret)
        root = {
            "@type": _SECRET,
            "name": ROOT,
            "validation_context": {"trusted_ca": {"inline_string": self._root}},
        }
        return {IDENTITY: secret, ROOT: root}

    @property
    def root(self) -> str:
        """The root's certificate, PEM text: what clients believe."""
        return self._root

    def served(self, name: str) -> dict[str, Any]:
        """The Secret ``name`` of a gateway (``translate.tls.SERVED``), for the host names in it. It lives for a year,
        as no local mesh does.
        """
        from cryptography import x509

        hosts = [x509.DNSName(host) for host in name.removeprefix(SERVED).split(",")]
        return {**self._certify(hosts, until=_YEAR), "name": name}

    def _issue(self, identity: str, *, until: float) -> dict[str, Any]:
        from cryptography import x509

        return {**self._certify([x509.UniformResourceIdentifier(identity)], until=until), "name": IDENTITY}

    def _certify(self, names: Sequence[Any], *, until: float) -> dict[str, Any]:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.x509.oid import ExtendedKeyUsageOID

        key = ec.generate_private_key(ec.SECP256R1())
        now = time.time()
        certificate = (
            x509.CertificateBuilder()
            # No subject: the SAN is the name, and critical therefore (RFC 5280, 4.2.1.6; SPIFFE X509-SVID, 2).
            .subject_name(x509.Name([]))
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(_moment(now - _CLOCK_SKEW))
            .not_valid_after(_moment(now + until))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(sign_certificates=False), critical=True)
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
                critical=False,
            )
            .add_extension(
                x509.SubjectAlternativeName(list(names)),
                critical=True,
            )
            .sign(self._key, hashes.SHA256())
        )
        chain = certificate.public_bytes(serialization.Encoding.PEM).decode() + self._root
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()
        return {
            "@type": _SECRET,
            "tls_certificate": {
                "certificate_chain": {"inline_string": chain},
                "private_key": {"inline_string": private},
            },
        }


def _moment(seconds: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC)


def _usage(*, sign_certificates: bool) -> Any:
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=not sign_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        encipher_only=False,
        decipher_only=False,
    )
