"""The demo's applications in a cluster: each Pod of its manifests is the stub that the local mesh runs for it.

Copied into the image as ``/bookinfo.py`` with ``/bookinfo.json``, the stubs' specs by Deployment. Started there without
arguments: which one it is the Pod's name says.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

_PATIENCE = 60.0
"""Seconds for the cluster's DNS to know the Services that it calls."""


def main() -> None:
    name = socket.gethostname()
    specs = json.loads(Path("/bookinfo.json").read_text("utf-8"))
    workload = max((one for one in specs if name.startswith(f"{one}-")), key=len)
    called = {urlsplit(call["url"]).netloc for call in specs[workload]["calls"]}
    spec = {
        **specs[workload],
        "workload": workload,
        "replica": name,
        "listen": "0.0.0.0:9080",
        "hosts": {place: _address(place) for place in called},
    }
    os.execv(sys.executable, [sys.executable, "-m", "meshchaos.mesh.local.stub", json.dumps(spec)])


def _address(place: str) -> str:
    host, _, port = place.partition(":")
    end = time.monotonic() + _PATIENCE
    while True:
        try:
            return f"{socket.gethostbyname(host)}:{port}"
        except OSError:
            if time.monotonic() >= end:
                raise
            time.sleep(0.5)


if __name__ == "__main__":
    main()
