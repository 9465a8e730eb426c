"""EnvoyFilter: MERGE into inbound HTTP routes, which is how a fault gets to a server's side."""

from __future__ import annotations

from typing import Any

from meshchaos.mesh.local.objects.kinds.kind import Kind
from meshchaos.mesh.local.objects.kinds.shared import LABELS
from meshchaos.mesh.local.objects.schema import (
    Path,
    Problem,
    did_you_mean,
    integer,
    kind_of,
    listing,
    mapping,
    only,
    record,
    text,
    unsupported,
    word,
)

_ONLY = "the local mesh takes only applyTo HTTP_ROUTE, context SIDECAR_INBOUND, operation MERGE"


FILTERS = ("envoy.filters.http.fault", "envoy.filters.http.cors")
"""The filters of a sidecar that take settings from a route; those of others would do nothing there."""


def _filter_settings(value: Any, path: Path, problems: list[Problem]) -> None:
    """A protobuf Any under the name of a filter that is there; what it holds is for Envoy to judge."""
    if path[-1] not in FILTERS:
        hint = did_you_mean(str(path[-1]), FILTERS)
        problems.append(Problem(path, f"the local mesh's sidecars have no such filter that looks at routes{hint}"))
    elif not isinstance(value, dict) or not isinstance(value.get("@type"), str):
        problems.append(Problem(path, "must be a mapping with '@type'"))


def _value(value: Any, path: Path, problems: list[Problem]) -> None:
    """Fields of Envoy's Route; what they hold is for Envoy to judge."""
    if not isinstance(value, dict) or not value:
        problems.append(Problem(path, f"must be a mapping, is {kind_of(value)}"))
        return
    for name in ("typed_per_filter_config", "typedPerFilterConfig"):
        if name in value:
            mapping(_filter_settings)(value[name], (*path, name), problems)


PATCH = record(
    {
        "applyTo": only("HTTP_ROUTE", _ONLY),
        "match": record(
            {
                "context": only("SIDECAR_INBOUND", _ONLY),
                "proxy": unsupported(),
                "routeConfiguration": record(
                    {
                        "name": text(),
                        "portNumber": integer(1, 65535),
                        "portName": unsupported(),
                        "gateway": unsupported("is for gateways only"),
                        "vhost": record(
                            {
                                "name": text(),
                                "route": record({"name": text(), "action": word("ANY", "ROUTE")}),
                                "domainName": unsupported(),
                            }
                        ),
                    }
                ),
            },
            required=("context",),
        ),
        "patch": record(
            {"operation": only("MERGE", _ONLY), "value": _value, "filterClass": unsupported()},
            required=("operation", "value"),
        ),
    },
    required=("applyTo", "match", "patch"),
)

SPEC = record(
    {
        "workloadSelector": record({"labels": LABELS}),
        "configPatches": listing(PATCH, nonempty=True),
        "priority": unsupported(),
        "targetRefs": unsupported(),
    },
    required=("configPatches",),
)

KINDS = (Kind("EnvoyFilter", ("networking.istio.io/v1alpha3",), {"spec": SPEC}),)
