"""DestinationRule: subsets and traffic policies."""

from __future__ import annotations

from typing import Any

from meshchaos.mesh.local.objects.kinds.kind import Kind
from meshchaos.mesh.local.objects.kinds.shared import EXPORT_TO, ISTIO_NETWORKING, LABELS, PORT_SELECTOR
from meshchaos.mesh.local.objects.schema import (
    Path,
    Problem,
    at_least_one,
    at_most_one,
    boolean,
    distinct,
    exactly_one,
    integer,
    listing,
    mapping,
    number,
    record,
    text,
    unsupported,
    word,
)
from meshchaos.mesh.local.objects.values import (
    dns_label,
    duration,
    duration_or_zero,
    header_name,
    host,
    label_key,
    label_value,
    prime,
)

COUNT = integer(0, 2**31 - 1)
HUNDRED = integer(0, 100)


def _balancer(value: Any, path: Path, problems: list[Problem]) -> None:
    if value == "PASSTHROUGH":
        problems.append(Problem(path, "PASSTHROUGH is not supported by the local mesh"))
    else:
        word("ROUND_ROBIN", "LEAST_REQUEST", "LEAST_CONN", "RANDOM", "UNSPECIFIED")(value, path, problems)


def _table_size(value: Any, path: Path, problems: list[Problem]) -> None:
    before = len(problems)
    integer(1, 5000010)(value, path, problems)
    if len(problems) == before and (wrong := prime(int(value))):
        problems.append(Problem(path, wrong))


CONSISTENT_HASH = record(
    {
        "httpHeaderName": text(header_name),
        "httpCookie": record(
            {
                "name": text(),
                "path": text(),
                "ttl": text(duration_or_zero),
                "attributes": listing(
                    record({"name": text(), "value": text(empty=True)}, required=("name",)), rules=(distinct("name"),)
                ),
            },
            required=("name",),
        ),
        "useSourceIp": boolean,
        "httpQueryParameterName": text(),
        "ringHash": record({"minimumRingSize": integer(0, 8 * 2**20)}),
        "maglev": record({"tableSize": _table_size}, required=("tableSize",)),
        "minimumRingSize": integer(0, 8 * 2**20),
    },
    rules=(
        exactly_one("httpHeaderName", "httpCookie", "useSourceIp", "httpQueryParameterName"),
        at_most_one("ringHash", "maglev", "minimumRingSize"),
    ),
)


def _share(value: Any) -> str | None:
    return None if 0 <= value <= 100 else f"must be from 0 to 100, is {value}"


LOAD_BALANCER = record(
    {
        "simple": _balancer,
        "consistentHash": CONSISTENT_HASH,
        "localityLbSetting": unsupported("the local mesh has one locality"),
        "zoneAwareLbSetting": unsupported("the local mesh has one locality"),
        "warmup": record(
            {
                "duration": text(duration),
                "minimumPercent": number(_share),
                "aggression": number(lambda value: None if value > 0 else f"must be above 0, is {value}"),
            },
            required=("duration",),
        ),
        "warmupDurationSecs": text(duration),
    },
    rules=(at_most_one("simple", "consistentHash"), at_most_one("warmup", "warmupDurationSecs")),
)

CONNECTION_POOL = record(
    {
        "tcp": record(
            {
                "maxConnections": COUNT,
                "connectTimeout": text(duration),
                "maxConnectionDuration": text(duration),
                "idleTimeout": text(duration_or_zero),
                "tcpKeepalive": record({"probes": COUNT, "time": text(duration), "interval": text(duration)}),
            }
        ),
        "http": record(
            {
                "http1MaxPendingRequests": COUNT,
                "http2MaxRequests": COUNT,
                "maxRequestsPerConnection": COUNT,
                "maxRetries": COUNT,
                "idleTimeout": text(duration),
                "h2UpgradePolicy": word("DEFAULT", "DO_NOT_UPGRADE", "UPGRADE"),
                "useClientProtocol": boolean,
                "maxConcurrentStreams": COUNT,
                "http2KeepAlive": unsupported(),
            },
            rules=(
                lambda http: (
                    "useClientProtocol may not be true with h2UpgradePolicy UPGRADE"
                    if http.get("useClientProtocol") and http.get("h2UpgradePolicy") == "UPGRADE"
                    else None
                ),
            ),
        ),
    },
    rules=(at_least_one("tcp", "http"),),
)


def _local_origin(outlier: Any) -> str | None:
    if outlier.get("consecutiveLocalOriginFailures") and not outlier.get("splitExternalLocalOriginErrors"):
        return "consecutiveLocalOriginFailures needs splitExternalLocalOriginErrors: true"
    return None


OUTLIER_DETECTION = record(
    {
        "consecutiveErrors": unsupported("is out of use in Istio; write consecutive5xxErrors"),
        "consecutive5xxErrors": integer(0),
        "consecutiveGatewayErrors": integer(0),
        "consecutiveLocalOriginFailures": integer(0),
        "splitExternalLocalOriginErrors": boolean,
        "outlierDetectionHttpErrorCodes": listing(integer(100, 599)),
        "interval": text(duration),
        "baseEjectionTime": text(duration),
        "maxEjectionPercent": HUNDRED,
        "minHealthPercent": HUNDRED,
    },
    rules=(_local_origin,),
)


def _tls(value: Any, path: Path, problems: list[Problem]) -> None:
    mode = value.get("mode") if isinstance(value, dict) else None
    if mode in {"SIMPLE", "MUTUAL"}:
        problems.append(Problem((*path, "mode"), f"{mode} is not supported by the local mesh"))
    else:
        record({"mode": word("DISABLE", "ISTIO_MUTUAL")})(value, path, problems)


POLICIES = {
    "loadBalancer": LOAD_BALANCER,
    "connectionPool": CONNECTION_POOL,
    "outlierDetection": OUTLIER_DETECTION,
    "tls": _tls,
}

TRAFFIC_POLICY = record(
    {
        **POLICIES,
        "portLevelSettings": listing(
            record({"port": PORT_SELECTOR, **POLICIES}, required=("port",), rules=(at_least_one(*POLICIES),))
        ),
        "tunnel": unsupported(),
        "proxyProtocol": unsupported(),
        "retryBudget": record({"percent": record({"value": number(_share)}), "minRetryConcurrency": COUNT}),
    },
    rules=(at_least_one(*POLICIES, "portLevelSettings", "retryBudget"),),
)

SPEC = record(
    {
        "host": text(host),
        "trafficPolicy": TRAFFIC_POLICY,
        "subsets": listing(
            record({"name": text(dns_label), "labels": LABELS, "trafficPolicy": TRAFFIC_POLICY}, required=("name",)),
            rules=(distinct("name"),),
        ),
        "exportTo": EXPORT_TO,
        "workloadSelector": record(
            {"matchLabels": mapping(text(label_value), key=label_key, nonempty=True)}, required=("matchLabels",)
        ),
    },
    required=("host",),
    rules=(
        lambda spec: (
            "a rule with workloadSelector acts in its own namespace; exportTo may only be [.]"
            if "workloadSelector" in spec and spec.get("exportTo", ["."]) != ["."]
            else None
        ),
    ),
)

KINDS = (Kind("DestinationRule", ISTIO_NETWORKING, {"spec": SPEC}),)
