"""One request of a load, sent by ourselves or by a caller of the mesh: does anybody answer at all?"""

from __future__ import annotations

import http.client
import socket
import ssl
from concurrent.futures import TimeoutError as NoAnswer
from typing import Final
from urllib.parse import urlsplit

from meshchaos.errors import MeshError
from meshchaos.load.away import AwayDriver
from meshchaos.load.driver import LoadDriver, LoadPlan
from meshchaos.load.wire import encode
from meshchaos.mesh.client_tls import context_of
from meshchaos.mesh.seam import Caller

_SAFE: Final = ("GET", "HEAD", "OPTIONS")
_WAY: Final = 5.0
"""Seconds that a caller's answer may take beside the request itself."""


def probe_load(load: LoadPlan, timeout: float) -> str | None:
    """Why no answer came within ``timeout`` seconds, or None; any status is an answer. A load that has no request
    without side effects is only connected to.
    """
    host, _, port = load.entry.address.rpartition(":")
    request = next((one for one in load.requests if one.method in _SAFE), None)
    tls = load.entry.tls
    connection = http.client.HTTPConnection(host.strip("[]"), int(port), timeout=timeout)
    try:
        connection.connect()
        if tls is not None:
            connection.sock = context_of(tls).wrap_socket(connection.sock, server_hostname=tls.server_name)
        if request is None and load.locustfile is None:
            return None
        target = urlsplit(load.target)
        path = request.path if request is not None else (target.path or "/")
        url = f"{target.scheme}://{target.netloc}{path}" if load.entry.proxied else path
        headers = {"Host": load.entry.host, "User-Agent": "meshchaos"} | dict(request.headers if request else {})
        connection.request(request.method if request is not None else "GET", url, headers=headers)
        connection.getresponse().read()
    except TimeoutError:
        return f"{load.target} did not answer within {timeout:g}s (at {load.entry.address})"
    except ssl.SSLCertVerificationError as error:
        return f"{load.target} at {load.entry.address} shows a certificate that is not trusted: {error.verify_message}"
    except (OSError, http.client.HTTPException, socket.gaierror) as error:
        return f"{load.target} at {load.entry.address}: {str(error) or type(error).__name__}"
    finally:
        connection.close()
    return None


def probe_away(caller: Caller, load: LoadPlan, timeout: float) -> str | None:
    """``probe_load``, by the caller that is going to send the load."""
    form = {"op": "answered", "plan": encode(load, parent=0, guard=False).decode(), "timeout": timeout}
    try:
        why = caller.submit(form).result(timeout + _WAY)["why"]
    except (MeshError, NoAnswer) as error:
        return str(error) or f"the Pod that sends it said nothing within {timeout + _WAY:g}s"
    return None if why is None else str(why)


def drive_away(caller: Caller, plan: LoadPlan, latency_limit: float | None) -> LoadDriver:
    """The generator of a load that a caller sends."""
    return AwayDriver(caller, plan, latency_limit=latency_limit)
