"""What Telemetry adds to a proxy's listeners: the access log that ``kubectl logs -c istio-proxy`` would show."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from meshchaos.mesh.istio.telemetry import AccessLogging
from meshchaos.mesh.local.translate.access_log import ENDED
from meshchaos.mesh.local.translate.index import Index
from meshchaos.mesh.local.translate.names import Json, extension
from meshchaos.mesh.local.world import LocalReplica

LOG: Final = "istio-proxy.log"
"""In the replica's folder of logs, beside ``access.log``, which is ours."""

_TCP_PROXY: Final = "envoy.filters.network.tcp_proxy"

FORMAT: Final = (
    '[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS% '
    "%RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% "
    '"%UPSTREAM_TRANSPORT_FAILURE_REASON%" %BYTES_RECEIVED% %BYTES_SENT% %DURATION% '
    '%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" "%REQ(X-REQUEST-ID)%" '
    '"%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%" %UPSTREAM_CLUSTER_RAW% %UPSTREAM_LOCAL_ADDRESS% '
    "%DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% %ROUTE_NAME%\n"
)
"""Istio's default text format (documented under "Default access log format")."""


def with_telemetry(index: Index, replica: LocalReplica, listeners: Iterable[Json]) -> list[Json]:
    """The listeners with the user's access log beside ours in every filter that logs; the same ones where none is asked
    for.
    """
    result = []
    for listener in listeners:
        asked = index.access_logging(replica, "SERVER" if listener["traffic_direction"] == "INBOUND" else "CLIENT")
        result.append(listener if asked is None else _logging(listener, asked, replica))
    return result


def _logging(listener: Json, asked: AccessLogging, replica: LocalReplica) -> Json:
    path = f"{replica.logs or replica.directory}/{LOG}"
    chains = [
        {**chain, "filters": [_also(one, _log(path, asked, tcp=one["name"] == _TCP_PROXY)) for one in chain["filters"]]}
        for chain in listener["filter_chains"]
    ]
    return {**listener, "filter_chains": chains}


def _also(network: Json, log: Json) -> Json:
    config: Mapping[str, Any] = network.get("typed_config") or {}
    if "access_log" not in config:
        return network
    return {**network, "typed_config": {**config, "access_log": [*config["access_log"], log]}}


def _log(path: str, asked: AccessLogging, *, tcp: bool) -> Json:
    log: Json = {
        "name": "envoy.access_loggers.file",
        "typed_config": extension(
            "access_loggers.file.v3.FileAccessLog",
            path=path,
            log_format={"text_format_source": {"inline_string": FORMAT}},
        ),
    }
    filters = [*([ENDED] if tcp else []), *([_cel(asked.expression)] if asked.expression else [])]
    if filters:
        log["filter"] = filters[0] if len(filters) == 1 else {"and_filter": {"filters": filters}}
    return log


def _cel(expression: str) -> Json:
    return {
        "extension_filter": {
            "name": "envoy.access_loggers.extension_filters.cel",
            "typed_config": extension("access_loggers.filters.cel.v3.ExpressionFilter", expression=expression),
        }
    }
