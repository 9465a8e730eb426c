"""Mutual TLS between proxies: transport sockets (``networking/core/cluster_tls.go``, ``security/authn``)."""

from __future__ import annotations

from collections.abc import Sequence

from meshchaos.mesh.local.translate.names import Json, extension
from meshchaos.mesh.local.world import TRUST_DOMAIN, config_source

CERTIFICATE = "default"
ROOT = "ROOTCA"
SERVED = "served-to-clients:"
"""How the name of a gateway's certificate begins; the names that it is for follow."""
ANY_NAME = "any-name.invalid"
"""The name in the certificate of a server that serves whatever its clients call it: no certificate is for all."""
_VERSION = {"TLS_AUTO": "", "TLSV1_0": "TLSv1_0", "TLSV1_1": "TLSv1_1", "TLSV1_2": "TLSv1_2", "TLSV1_3": "TLSv1_3"}
_VERSIONS = {"tls_minimum_protocol_version": "TLSv1_2", "tls_maximum_protocol_version": "TLSv1_3"}

RAW_BUFFER: Json = {
    "name": "envoy.transport_sockets.raw_buffer",
    "typed_config": extension("transport_sockets.raw_buffer.v3.RawBuffer"),
}


def upstream_mutual(server_name: str, identities: Sequence[str], *, http2: bool) -> Json:
    """Istio's ISTIO_MUTUAL to servers of exactly these identities; none: any of the root's."""
    alpn = ["istio-peer-exchange", "istio", *(["h2"] if http2 else [])]
    matchers = [{"san_type": "URI", "matcher": {"exact": identity}} for identity in identities]
    context = extension(
        "transport_sockets.tls.v3.UpstreamTlsContext", sni=server_name, common_tls_context=_common(alpn, matchers)
    )
    return {"name": "envoy.transport_sockets.tls", "typed_config": context}


def downstream_mutual(*, http: bool) -> Json:
    """What a sidecar asks of a client over mTLS: a certificate of the mesh's root and trust domain."""
    alpn = ["h2", "http/1.1"] if http else ["istio-peer-exchange", "h2", "http/1.1"]
    matchers = [{"san_type": "URI", "matcher": {"prefix": f"spiffe://{TRUST_DOMAIN}/"}}]
    context = extension(
        "transport_sockets.tls.v3.DownstreamTlsContext",
        require_client_certificate=True,
        common_tls_context=_common(alpn, matchers),
    )
    return {"name": "envoy.transport_sockets.tls", "typed_config": context}


def downstream_simple(names: Sequence[str], versions: tuple[str, str]) -> Json:
    """What a gateway shows to clients from outside: a certificate for these names. The name of the secret says which,
    as the supervisor issues it when the proxy asks.
    """
    lowest, highest = (_VERSION.get(one, one) for one in versions)
    common: Json = {
        "tls_params": {
            "tls_minimum_protocol_version": lowest or "TLSv1_2",
            "tls_maximum_protocol_version": highest or "TLSv1_3",
        },
        "alpn_protocols": ["h2", "http/1.1"],
        "tls_certificate_sds_secret_configs": [_secret(SERVED + ",".join(names))],
    }
    context = extension("transport_sockets.tls.v3.DownstreamTlsContext", common_tls_context=common)
    return {"name": "envoy.transport_sockets.tls", "typed_config": context}


def socket_matches(mutual: Json) -> list[Json]:
    """Auto mTLS: an endpoint says by its metadata whether it has a sidecar."""
    return [
        {"name": "tlsMode-istio", "match": {"tlsMode": "istio"}, "transport_socket": mutual},
        {"name": "tlsMode-disabled", "match": {}, "transport_socket": RAW_BUFFER},
    ]


def _common(alpn: Sequence[str], matchers: list[Json]) -> Json:
    default: Json = {"match_typed_subject_alt_names": matchers} if matchers else {}
    return {
        "tls_params": _VERSIONS,
        "alpn_protocols": list(alpn),
        "tls_certificate_sds_secret_configs": [_secret(CERTIFICATE)],
        "combined_validation_context": {
            "default_validation_context": default,
            "validation_context_sds_secret_config": _secret(ROOT),
        },
    }


def _secret(name: str) -> Json:
    return {"name": name, "sds_config": config_source()}
