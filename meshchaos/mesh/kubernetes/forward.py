"""The official client's port-forward, as ``api`` uses it: its thread ends without a word where the Pod at the other end
does.

The client's own thread dies of that with a traceback on standard error, and leaves the sockets at both ends open: who
waits for an answer waits until a timeout, instead of reading the end at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kubernetes.client.exceptions import ApiException
from kubernetes.stream.ws_client import PortForward, create_websocket, get_websocket_url
from websocket import WebSocketException


class Forward(PortForward):
    """``_proxy`` is what the client's thread runs, from its start to its end."""

    def _proxy(self) -> None:
        try:
            super()._proxy()
        except (OSError, WebSocketException):
            pass  # who reads at our end is told by its end
        finally:
            for port in self.local_ports.values():
                port.python.close()
            self.websocket.shutdown()


def portforward_call(
    configuration: Any,
    _method: str,
    url: str,
    *,
    query_params: Sequence[tuple[str, str]],
    headers: Mapping[str, str],
    **_: Any,
) -> Forward:
    """As the client's function of that name, for the one port in ``query_params``. Raises ApiException."""
    ports = [int(value) for name, value in query_params if name == "ports"]
    try:
        return Forward(create_websocket(configuration, get_websocket_url(url, query_params), headers), ports)
    except Exception as error:
        raise ApiException(status=0, reason=str(error)) from error
