"""The access log that evidence reads, on every mesh: Envoy's JSON format and the reader of its lines.

The format is ours alone: whoever changes a field here changes ``parse_line`` with it, and what reads the lines
otherwise (``mesh.local.metrics``).
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from meshchaos.errors import EvidenceError
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


_BLOCK = 1024 * 1024
"""Bytes a reading; some two thousand lines."""


def end_of(log: Path) -> int:
    """The position behind the last whole line; 0 where there is no log. While a line is written its first bytes may be
    there without the rest: a size that is seen then lies in the middle of one.
    """
    try:
        with log.open("rb") as file:
            at = file.seek(0, os.SEEK_END)
            while at > 0:
                start = max(0, at - _BLOCK)
                file.seek(start)
                found = file.read(at - start).rfind(b"\n")
                if found >= 0:
                    return start + found + 1
                at = start
    except FileNotFoundError:
        pass
    return 0


def read_lines(log: Path, since: int) -> tuple[list[ProxyLogLine], int]:
    """Whole lines of a log behind position ``since``, a block of them, and the position behind them. Raises
    EvidenceError for a log that was shortened or removed, and for lines that are none of ours.
    """
    try:
        with log.open("rb") as file:
            if file.seek(0, os.SEEK_END) < since:
                raise EvidenceError(f"the access log {log} is shorter than it was: somebody emptied it")
            file.seek(since)
            block = file.read(_BLOCK)
        end = block.rfind(b"\n") + 1
        return [parse_line(line) for line in block[:end].splitlines() if line], since + end
    except FileNotFoundError:
        if since:
            raise EvidenceError(f"the access log {log} was removed") from None
        return [], 0
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:  # a line that Envoy did not write
        raise EvidenceError(f"the access log {log} cannot be read: {error}") from error


def parse_line(line: bytes) -> ProxyLogLine:
    """One whole line of the log. Raises ValueError or KeyError for what is none of ours."""
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
