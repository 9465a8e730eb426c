"""The cluster's certificates and kubeconfigs, made anew for each cluster."""

from __future__ import annotations

import base64
import datetime
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.cluster.node.layout import API, API_IP, CONTEXT, KEYS, NODE, NODE_IP

_DAYS: Final = 30
_PEM = serialization.Encoding.PEM
_USERS: Final = {
    "admin": ("meshchaos-admin", "system:masters"),
    "kube-controller-manager": ("system:kube-controller-manager", ""),
    "kube-scheduler": ("system:kube-scheduler", ""),
    "kube-proxy": ("system:kube-proxy", ""),
    "kubelet": (f"system:node:{NODE}", "system:nodes"),
}
"""By the file's name: as whom it speaks, and in which group."""


@dataclass(frozen=True)
class _Issuer:
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def make() -> None:
    """All of them, unless they are there."""
    if (KEYS / "admin.kubeconfig").exists():
        return
    KEYS.mkdir(parents=True, exist_ok=True, mode=0o700)
    ca = _issue("ca", "meshchaos-node-ca")
    names = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"]
    _issue("apiserver", "kube-apiserver", by=ca, names=names, addresses=("127.0.0.1", NODE_IP, API_IP))
    _issue("apiserver-kubelet-client", "kube-apiserver-kubelet-client", "system:masters", by=ca)
    _issue("kubelet-server", NODE, by=ca, names=[NODE], addresses=(NODE_IP, "127.0.0.1"))
    accounts = rsa.generate_private_key(65537, 2048)
    _write("sa.key", _private(accounts))
    public = serialization.PublicFormat.SubjectPublicKeyInfo
    _write("sa.pub", accounts.public_key().public_bytes(_PEM, public))
    for file, (name, group) in sorted(_USERS.items(), reverse=True):  # the admin's last: then all are there
        _issue(file, name, group, by=ca)
        _write(f"{file}.kubeconfig", _kubeconfig(file))


def _issue(
    file: str,
    name: str,
    group: str = "",
    *,
    by: _Issuer | None = None,
    names: Sequence[str] = (),
    addresses: Sequence[str] = (),
) -> _Issuer:
    """A certificate and its key; ``by`` None: an authority that signs itself."""
    key, authority = ec.generate_private_key(ec.SECP256R1()), by is None
    subject = [x509.NameAttribute(NameOID.COMMON_NAME, name)]
    subject += [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group)] if group else []
    now = datetime.datetime.now(datetime.UTC)
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=not authority,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )
    signer = by.key if by is not None else key
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name(subject))
        .issuer_name(by.certificate.subject if by is not None else x509.Name(subject))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(days=_DAYS))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .add_extension(usage, critical=True)
    )
    if not authority:
        both = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        builder = builder.add_extension(x509.ExtendedKeyUsage(both), critical=False)
    found: list[x509.GeneralName] = [x509.DNSName(one) for one in names]
    found += [x509.IPAddress(ipaddress.ip_address(one)) for one in addresses]
    if found:
        builder = builder.add_extension(x509.SubjectAlternativeName(found), critical=False)
    certificate = builder.sign(signer, hashes.SHA256())
    _write(f"{file}.crt", certificate.public_bytes(_PEM))
    _write(f"{file}.key", _private(key))
    return _Issuer(certificate, key)


def _private(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def _kubeconfig(user: str) -> bytes:
    def data(name: str) -> str:
        return base64.b64encode((KEYS / name).read_bytes()).decode()

    own = {"client-certificate-data": data(f"{user}.crt"), "client-key-data": data(f"{user}.key")}
    cluster = {"server": API, "certificate-authority-data": data("ca.crt")}
    form = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": CONTEXT, "cluster": cluster}],
        "users": [{"name": user, "user": own}],
        "contexts": [{"name": CONTEXT, "context": {"cluster": CONTEXT, "user": user}}],
        "current-context": CONTEXT,
    }
    return yaml.safe_dump(form).encode()


def _write(name: str, data: bytes) -> None:
    path = KEYS / name
    path.touch(mode=0o600)
    path.write_bytes(data)
