"""A mesh of two workloads and a gateway on real Envoys, and the command as a process on it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    # Started in the background by a shell: the commands under test would inherit it, and no SIGINT would reach them.
    signal.signal(signal.SIGINT, signal.default_int_handler)

MANIFESTS = """
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {istio-injection: enabled}}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: page, namespace: shop}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: stars, namespace: shop}
---
apiVersion: v1
kind: Service
metadata: {name: page, namespace: shop}
spec: {selector: {app: page}, ports: [{name: http, port: 8000}]}
---
apiVersion: v1
kind: Service
metadata: {name: stars, namespace: shop}
spec: {selector: {app: stars}, ports: [{name: http, port: 8000}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: page, namespace: shop}
spec:
  selector: {matchLabels: {app: page}}
  template:
    metadata: {labels: {app: page}}
    spec: {serviceAccountName: page, containers: [{name: page, image: page, ports: [{containerPort: 8000}]}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: stars, namespace: shop}
spec:
  selector: {matchLabels: {app: stars}}
  template:
    metadata: {labels: {app: stars}}
    spec: {serviceAccountName: stars, containers: [{name: stars, image: stars, ports: [{containerPort: 8000}]}]}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: shop, namespace: shop}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [shop.example]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop, namespace: shop}
spec:
  hosts: [shop.example]
  gateways: [shop]
  http: [{name: page, route: [{destination: {host: page}}]}]
"""

CONFIG = """
meshes:
  shop:
    local:
      manifests: [shop.yaml]
      workloads:
        page: {stub: {calls: [{url: "http://stars:8000/", optional: true}]}}
"""

EXPERIMENT = """
apiVersion: meshchaos.dev/v1
kind: Experiment
metadata: {name: no-stars}
spec:
  hypothesis: The page is there without its stars.
  load: {target: "http://shop.example/", rate: 60, arrivals: uniform, timeout: 5s}
  phases: {warmup: 1s, baseline: 3s, fault: 4s, recovery: 3s}
  faults:
    - abort: {to: stars, httpStatus: 503}
  expect:
    - success: 90%
"""


@dataclass
class Shop:
    """A working folder with a mesh and one experiment."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        (self.folder / "shop.yaml").write_text(MANIFESTS, "utf-8")
        (self.folder / "meshchaos.yaml").write_text(CONFIG, "utf-8")
        self.write(EXPERIMENT)
        runtime = self.folder / "r"
        runtime.mkdir(mode=0o700)
        # A runtime folder of our own: what runs elsewhere on this machine is not ours to see.
        self.environment = {**os.environ, "XDG_RUNTIME_DIR": str(runtime), "CI": "1", "NO_COLOR": "1"}

    def write(self, text: str, name: str = "no-stars.chaos.yaml") -> Path:
        path = self.folder / name
        path.write_text(text, "utf-8")
        return path

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "meshchaos", *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    @contextmanager
    def running(self, *arguments: str) -> Iterator[Running]:
        output = self.folder / "out.txt"
        with output.open("w") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "meshchaos", *arguments],
                cwd=self.folder,
                env=self.environment,
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        try:
            yield Running(self, process, output)
        finally:
            if process.poll() is None:
                process.kill()
            process.wait(60)

    def result(self) -> dict[str, Any]:
        """Of the only run."""
        (path,) = (self.folder / "reports").glob("*/result.json")
        data: dict[str, Any] = json.loads(path.read_text("utf-8"))
        return data

    def processes(self) -> list[str]:
        """Command lines of processes whose environment is this shop's."""
        marker = f"XDG_RUNTIME_DIR={self.folder / 'r'}".encode()
        found = []
        for proc in Path("/proc").iterdir():
            if not proc.name.isdigit() or int(proc.name) == os.getpid():
                continue
            try:
                if marker in (proc / "environ").read_bytes().split(b"\0"):
                    found.append((proc / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
            except OSError:
                continue  # it ended meanwhile, or is another user's
        return [line for line in found if line]


@dataclass
class Running:
    shop: Shop
    process: subprocess.Popen[bytes]
    output: Path

    def until_said(self, text: str) -> None:
        wait_for(lambda: text in self.output.read_text("utf-8") or self.process.poll() is not None, text)
        assert text in self.output.read_text("utf-8"), self.output.read_text("utf-8")

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def end(self) -> int:
        return self.process.wait(90)

    def pid_of(self, *words: str) -> int:
        """Of the one process of this shop whose command line has these words."""
        marker = f"XDG_RUNTIME_DIR={self.shop.folder / 'r'}".encode()
        for proc in Path("/proc").iterdir():
            try:
                line = (proc / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                if all(word in line for word in words) and marker in (proc / "environ").read_bytes().split(b"\0"):
                    return int(proc.name)
            except (OSError, ValueError):
                continue
        raise AssertionError(f"no process with {words} in: {self.shop.processes()}")


def wait_for(condition: Callable[[], bool], what: str, seconds: float = 90.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(0.05)
