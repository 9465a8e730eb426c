"""The access log of every proxy: one JSON line a request or TCP connection (``mesh.log_format``).

``mesh.local.metrics`` reads the same lines. What users ask for by Telemetry goes to another file
(``translate.telemetry``).
"""

from __future__ import annotations

from collections.abc import Sequence

from meshchaos.mesh.local.translate.names import Json, extension
from meshchaos.mesh.log_format import FORMAT

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
