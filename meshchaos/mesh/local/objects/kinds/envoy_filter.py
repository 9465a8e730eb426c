"""EnvoyFilter: MERGE into inbound HTTP routes, which is how a fault gets to a server's side."""

from __future__ import annotations

from typing import Any

from meshchaos.mesh.local.objects.kinds.kind import Kind
from meshchaos.mesh.local.objects.kinds.shared import LABELS
from meshchaos.mesh.local.objects.schema import (
    Path,
    Problem,
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


def _value(value: Any, path: Path, problems: list[Problem]) -> None:
    """Fields of Envoy's Route by their own names; what they hold is for Envoy to judge."""
    if not isinstance(value, dict) or not value:
        problems.append(Problem(path, f"must be a mapping, is {kind_of(value)}"))
        return
    for name in value:
        if not isinstance(name, str) or name.lower() != name:
            problems.append(
                Problem((*path, str(name)), "write Envoy's fields with underscores (typed_per_filter_config)")
            )
    if "match" in value or "name" in value:
        problems.append(Problem(path, "match and name of a route cannot be merged by the local mesh"))
    filters = value.get("typed_per_filter_config", {})
    mapping(record_with_type)(filters, (*path, "typed_per_filter_config"), problems)


def record_with_type(value: Any, path: Path, problems: list[Problem]) -> None:
    """A protobuf Any."""
    if not isinstance(value, dict) or not isinstance(value.get("@type"), str):
        problems.append(Problem(path, "must be a mapping with '@type'"))


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
