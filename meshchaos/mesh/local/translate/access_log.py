"""The access log of every proxy: one JSON line a request or TCP connection, and its reader.

The format is ours alone: whoever changes a field here changes ``parse_line`` with it, and ``mesh.local.metrics``, which
reads the same lines. What users ask for by Telemetry goes to another file (``translate.telemetry``).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from meshchaos.mesh.local.translate.names import Json, extension
from meshchaos.mesh.seam import ProxyLogLine

FORMAT: dict[str, str] = {
    "start": "%START_TIME(%s.%6f)%",
    "us": "%COMMON_DURATION(DS_RX_BEG:DS_TX_END:us)%",
    "ms": "%DURATION%",
    "id": "%REQ(X-REQUEST-ID)%",
    "method": "%REQ(:METHOD)%",
    "path": "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%",
    "authority": "%REQ(:AUTHORITY)%",
    "status": "%RESPONSE_CODE%",
    "grpc": "%GRPC_STATUS_NUMBER%",
    "flags": "%RESPONSE_FLAGS%",
    "details": "%RESPONSE_CODE_DETAILS%",
    "terminated": "%CONNECTION_TERMINATION_DETAILS%",
    "route": "%ROUTE_NAME%",
    "cluster": "%UPSTREAM_CLUSTER_RAW%",
    "upstream": "%UPSTREAM_HOST%",
    "attempts": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
    "attempted": "%UPSTREAM_HOSTS_ATTEMPTED%",
    "transport_failure": "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
    "peer": "%DOWNSTREAM_PEER_URI_SAN%",
    "received": "%BYTES_RECEIVED%",
    "sent": "%BYTES_SENT%",
    "wire_received": "%DOWNSTREAM_WIRE_BYTES_RECEIVED%",
    "wire_sent": "%DOWNSTREAM_WIRE_BYTES_SENT%",
    "remote": "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%",
    "upstream_peer": "%UPSTREAM_PEER_URI_SAN%",
    "content_type": "%REQ(CONTENT-TYPE)%",
    "connection": "%CONNECTION_ID%",
}
"""Key of the line -> Envoy's operator. Times: ``start`` epoch seconds, ``us`` microseconds from the request's first
byte to the response's last, null where there was no such byte; ``ms`` is there always.
"""

_decoded = json.JSONDecoder().raw_decode
"""``json.loads`` without guessing the encoding: half the time, over a hundred thousand lines a run."""


CONNECTED = "connected.log"
"""Beside ``access.log``: a line for each TCP connection when it is there, which its line in ``access.log`` ends."""

ENDED: Json = {"log_type_filter": {"types": ["TcpConnectionEnd"]}}
"""Of a TCP proxy that also tells of its connections when they begin."""


def access_log(path: str, side: str, headers: Sequence[str]) -> list[Json]:
    """The ``access_log`` of a connection manager. ``side``: ``inbound`` or ``outbound``."""
    fields: Json = {"side": side, **FORMAT}
    if side == "inbound":
        # A client's rewrite sends the original path along; filters and evidence of the server go by the path itself.
        fields["path"] = "%REQ(:PATH)%"
    if headers:
        fields["headers"] = {name: f"%REQ({name})%" for name in headers}
    return [_file(path, fields)]


def connection_log(folder: str, side: str) -> Json:
    """What a TCP proxy logs: a connection when it begins and when it has ended, its line without a method."""
    begun = {"log_type_filter": {"types": ["TcpUpstreamConnected"]}}
    logs = [{**one, "filter": ENDED} for one in access_log(f"{folder}/access.log", side, ())] + [
        {**_file(f"{folder}/{CONNECTED}", {"side": side, **FORMAT}), "filter": begun}
    ]
    return {"access_log": logs, "access_log_options": {"flush_access_log_on_connected": True}}


def _file(path: str, fields: Json) -> Json:
    config = extension("access_loggers.file.v3.FileAccessLog", path=path, log_format={"json_format": fields})
    return {"name": "envoy.access_loggers.file", "typed_config": config}


def parse_line(line: bytes) -> ProxyLogLine:
    """One whole line of ``access.log``. Raises ValueError or KeyError for what is none of ours."""
    fields: dict[str, Any] = _decoded(line.decode())[0]
    get = fields.get
    micros = get("us")
    flags = get("flags")
    attempted = get("attempted")
    headers = get("headers")
    return ProxyLogLine(
        start=float(fields["start"]),
        duration=micros / 1e6 if isinstance(micros, int) else (get("ms") or 0) / 1e3,
        side=fields["side"],
        request_id=get("id") or "",
        method=get("method") or "",
        path=get("path") or "",
        authority=get("authority") or "",
        status=get("status") or 0,
        flags=tuple(flags.split(",")) if flags and flags != "-" else (),
        # A connection that a policy refuses has no response; why it ended is told there.
        details=get("details") or get("terminated") or "",
        route=get("route") or "",
        cluster=get("cluster") or "",
        upstream_host=get("upstream") or "",
        attempts=get("attempts") or 0,
        hosts_attempted=tuple(attempted.split(",")) if attempted and attempted != "-" else (),
        peer=get("peer") or "",
        headers={key: value for key, value in headers.items() if value is not None} if headers else {},
        grpc=get("grpc"),
    )
