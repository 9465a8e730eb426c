"""MeshConfig, as far as the local mesh has it: a YAML document in the ConfigMap ``istio`` of ``istio-system``.

External authorizers are obeyed. Settings that change nothing here are taken, so that a cluster's own ConfigMap can be;
any other is refused by name, as fields of objects are.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from meshchaos.mesh.istio.mesh_config import AUTHORIZERS, KEY, is_mesh_config
from meshchaos.mesh.local.objects.schema import (
    Check,
    Path,
    Problem,
    anything,
    boolean,
    distinct,
    integer,
    listing,
    mapping,
    only,
    record,
    text,
    unsupported,
    word,
)
from meshchaos.mesh.local.objects.values import dns_label, duration, header_changed
from meshchaos.mesh.local.world import DOMAIN, ROOT_NAMESPACE, TRUST_DOMAIN
from meshchaos.mesh.objects import Manifest


def _service(value: Any) -> str | None:
    """The full name of a Service, optionally behind ``namespace/``."""
    name = value.rpartition("/")[2]
    if value.count("/") > 1 or not name.endswith(f".svc.{DOMAIN}"):
        return f"{value!r} must be the full name of a Service of this mesh, such as authz.shop.svc.{DOMAIN}"
    return None


_UNKNOWN_TO_ENVOY = frozenset({101, 102, 103, 418, 425, 451})
_STATUSES = frozenset(str(one.value) for one in HTTPStatus if one.value not in _UNKNOWN_TO_ENVOY)


def _status(value: Any) -> str | None:
    return None if value in _STATUSES else f"{value!r} is not an HTTP status that Envoy knows, such as '503'"


def _not_every(value: Any) -> str | None:
    return "a single * is not supported by Istio; write a prefix or a suffix" if value == "*" else None


def _absolute(value: Any) -> str | None:
    return None if value.startswith("/") else "must begin with /"


_HEADERS = listing(text(_not_every))
_BOTH: dict[str, Check] = {
    "service": text(_service),
    "port": integer(1, 65535),
    "timeout": text(duration),
    "failOpen": boolean,
    "statusOnError": text(_status),
    "clearRouteCache": unsupported("does nothing in Istio yet; leave it out"),
    "includeRequestBodyInCheck": record(
        {"maxRequestBytes": integer(1), "allowPartialMessage": boolean, "packAsBytes": boolean},
        required=("maxRequestBytes",),
    ),
}
AUTHORIZER_BY_HTTP = record(
    {
        **_BOTH,
        "pathPrefix": text(_absolute),
        "includeHeadersInCheck": _HEADERS,
        "includeRequestHeadersInCheck": _HEADERS,
        "includeAdditionalHeadersInCheck": mapping(text(empty=True), key=header_changed),
        "headersToUpstreamOnAllow": _HEADERS,
        "headersToDownstreamOnDeny": _HEADERS,
        "headersToDownstreamOnAllow": _HEADERS,
    },
    required=("service", "port"),
)
AUTHORIZER_BY_GRPC = record(_BOTH, required=("service", "port"))

_OTHERS = ("prometheus", "envoyFileAccessLog", "stackdriver", "zipkin", "opentelemetry", "datadog", "skywalking")


def _one_of_them(provider: Any) -> str | None:
    return None if len(provider) == 2 else f"needs one of {', '.join((*AUTHORIZERS, *_OTHERS))}"


PROVIDER = record(
    {
        "name": text(dns_label),
        "envoyExtAuthzHttp": AUTHORIZER_BY_HTTP,
        "envoyExtAuthzGrpc": AUTHORIZER_BY_GRPC,
        # They act where Telemetry names them, and there the local mesh says which it has.
        **dict.fromkeys(_OTHERS, anything),
    },
    required=("name",),
    rules=(_one_of_them,),
)

_DEFAULT_CONFIG = record(
    dict.fromkeys(
        (
            *("concurrency", "discoveryAddress", "holdApplicationUntilProxyStarts", "image", "proxyStatsMatcher"),
            *("terminationDrainDuration", "tracing"),
        ),
        anything,
    )
)

MESH_CONFIG = record(
    {
        "extensionProviders": listing(PROVIDER, rules=(distinct("name"),)),
        "rootNamespace": only(ROOT_NAMESPACE, f"the local mesh's root namespace is {ROOT_NAMESPACE}"),
        "trustDomain": only(TRUST_DOMAIN, f"the local mesh's trust domain is {TRUST_DOMAIN}"),
        "enableAutoMtls": only(True),
        "outboundTrafficPolicy": record(
            {"mode": only("REGISTRY_ONLY", "the local mesh reaches its own Services only: write REGISTRY_ONLY")}
        ),
        "pathNormalization": record({"normalization": word("DEFAULT", "BASE")}),
        "defaultConfig": _DEFAULT_CONFIG,
        # Logs, metrics, traces and ingress controllers, of which the local mesh has its own or none.
        **dict.fromkeys(
            (
                *("accessLogEncoding", "accessLogFile", "accessLogFormat", "defaultProviders", "enablePrometheusMerge"),
                *("enableTracing", "ingressClass", "ingressControllerMode", "ingressSelector", "ingressService"),
            ),
            anything,
        ),
    }
)


def mesh_config(manifest: Manifest, path: Path, problems: list[Problem]) -> None:
    """A ConfigMap; only Istio's own is looked into."""
    text_of_it = (manifest.get("data") or {}).get(KEY) if is_mesh_config(manifest) else None
    if text_of_it is None:
        return
    import yaml

    place = (*path, "data", KEY)
    try:
        document = yaml.safe_load(text_of_it)
    except (yaml.YAMLError, AttributeError) as error:
        problems.append(Problem(place, f"is not YAML: {' '.join(str(error).split())}"))
        return
    if document is not None:
        MESH_CONFIG(document, place, problems)
