"""Mutual TLS between proxies: transport sockets (``networking/core/cluster_tls.go``, ``security/authn``)."""

from __future__ import annotations

from collections.abc import Sequence

from meshchaos.mesh.local.translate.names import Json, extension
from meshchaos.mesh.local.world import TRUST_DOMAIN, config_source

CERTIFICATE = "default"
ROOT = "ROOTCA"
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
