"""Telemetry: access logs for the user's eyes. What meshchaos logs for its proofs is not touched by it."""

from __future__ import annotations

from meshchaos.mesh.local.objects.kinds.kind import Kind
from meshchaos.mesh.local.objects.kinds.shared import SELECTOR
from meshchaos.mesh.local.objects.schema import boolean, listing, only, record, text, unsupported, word

PROVIDER = "envoy"
"""Istio's own provider of that name: Envoy's text format, on the standard output of istio-proxy."""

_PROVIDERS = record(
    {"name": only(PROVIDER, f"the local mesh has one provider of access logs, {PROVIDER} (the file istio-proxy.log)")},
    required=("name",),
)

ACCESS_LOGGING = record(
    {
        "match": record({"mode": word("CLIENT_AND_SERVER", "CLIENT", "SERVER")}),
        "providers": listing(_PROVIDERS),
        "disabled": boolean,
        "filter": record({"expression": text()}, required=("expression",)),
    }
)

METRICS = record(
    {
        "providers": listing(
            record(
                {"name": only("prometheus", "the local mesh has one provider of metrics, prometheus")},
                required=("name",),
            )
        ),
        "overrides": unsupported(
            "is not supported by the local mesh: its proxies serve Istio's standard metrics with their standard labels"
        ),
        "reportingInterval": unsupported(),
    }
)

SPEC = record(
    {
        "selector": SELECTOR,
        "accessLogging": listing(ACCESS_LOGGING),
        "tracing": unsupported("is not supported by the local mesh, which has no tracing backend"),
        "metrics": listing(METRICS),
        "targetRef": unsupported(),
        "targetRefs": unsupported(),
    }
)

KINDS = (Kind("Telemetry", ("telemetry.istio.io/v1", "telemetry.istio.io/v1alpha1"), {"spec": SPEC}, required=()),)
