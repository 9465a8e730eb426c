"""A namespace of a real cluster, and whole runs of the command in it."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from meshchaos.errors import NotFound
from meshchaos.mesh.kubernetes.api import Api, connect
from meshchaos.mesh.kubernetes.kinds import Kinds
from meshchaos.mesh.objects import Manifest, Ref, ref_of

IMAGE = os.environ.get("MESHCHAOS_TEST_IMAGE", "docker.io/mccutchen/go-httpbin:v2.15.0")


@dataclass
class Cluster:
    """``folder`` has a meshchaos.yaml with the mesh ``real``; runs leave their reports in it."""

    api: Api
    kinds: Kinds
    namespace: str
    folder: Path
    gateway: bool
    source: str = "outside"
    """From where load comes where there is no gateway."""
    scheme: str = "http"
    """As which its load is sent to the gateway."""

    def get(self, kind: str, name: str) -> Manifest:
        return self.api.get(self.kinds.path(Ref(kind, self.namespace, name)))

    def ready(self, deployment: str) -> bool:
        """Whether any replica of it is."""
        try:
            return bool((self.get("Deployment", deployment).get("status") or {}).get("readyReplicas"))
        except NotFound:
            return False

    def put(self, manifest: Manifest) -> None:
        self.api.call("PUT", self.kinds.path(ref_of(manifest)), self.kinds.as_served(manifest))

    def state(self) -> dict[str, Any]:
        """Every object of the namespace that a run may touch, without what the API server counts."""
        found = {}
        kinds = ("VirtualService", "DestinationRule", "EnvoyFilter", "PeerAuthentication", "AuthorizationPolicy",
                 "RequestAuthentication", "Sidecar", "ServiceEntry", "ConfigMap", "Lease", "Deployment",
                 "Service")  # fmt: skip
        for kind in kinds:
            for one in self.api.listing(self.kinds.collection(kind, self.namespace)):
                meta = {k: v for k, v in one["metadata"].items() if k not in _COUNTED}
                found[str(ref_of(one))] = {**one, "metadata": meta, "status": None}
        return json.loads(json.dumps(found))  # type: ignore[no-any-return]

    def command(
        self, *words: str, to: Any = subprocess.PIPE, by: Sequence[str] = ("-m", "meshchaos")
    ) -> subprocess.Popen[str]:
        agreed = ["--yes"] if words[0] == "run" else []
        return subprocess.Popen(
            [sys.executable, *by, *words, *agreed],
            cwd=self.folder,
            stdout=to,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, name: str, fault: str, /, *expect: str, **phases: str) -> tuple[dict[str, Any], int, str]:
        """One experiment: its result.json, the exit code and what was printed. ``fault``: one, or a list of several."""
        file = self.experiment(name, fault, *expect, **phases)
        process = self.command("run", str(file), "--json", str(self.folder / f"{name}.json"))
        output, _ = process.communicate(timeout=180)
        results = self.folder / f"{name}.json"
        found = json.loads(results.read_text("utf-8")) if results.exists() else {}
        return (found["runs"][0] if "runs" in found else found), process.returncode, output

    def experiment(self, name: str, fault: str, /, *expect: str, **phases: str) -> Path:
        target = f"{self.scheme}://{self.namespace}.example/get" if self.gateway else "http://httpbin:8000/get"
        made = yaml.safe_load(fault)
        whole = {"warmup": "1s", "baseline": "4s", "fault": "6s", "recovery": "4s"}
        lengths = phases if "observe" in phases else {**whole, **phases}
        document = {
            "apiVersion": "meshchaos.dev/v1",
            "kind": "Experiment",
            "metadata": {"name": name},
            "spec": {
                "hypothesis": name,
                "mesh": "real",
                "load": {"target": target, "from": "gateway" if self.gateway else self.source, "rate": 40,
                         "timeout": "5s"},
                "phases": lengths,
                "faults": made if isinstance(made, list) else [made],
                "expect": [yaml.safe_load(one) for one in expect],
            },
        }  # fmt: skip
        file = self.folder / f"{name}.chaos.yaml"
        file.write_text(yaml.safe_dump(document), "utf-8")
        return file


_COUNTED = ("resourceVersion", "generation", "managedFields", "uid", "creationTimestamp")


def watchdog_of(runner: int) -> int:
    """The process beside a runner that heals."""
    children = Path(f"/proc/{runner}/task/{runner}/children").read_text("utf-8").split()
    (found,) = (pid for pid in children if b"watchdog" in Path(f"/proc/{pid}/cmdline").read_bytes())
    return int(found)


def until(condition: Callable[[], object], words: str, timeout: float = 60.0) -> Any:
    end = time.monotonic() + timeout
    while not (found := condition()):
        assert time.monotonic() < end, f"not within {timeout:g} s: {words}"
        time.sleep(0.1)
    return found


@contextmanager
def opened(context: str, folder: Path) -> Iterator[Cluster]:
    """A namespace of its own with the workloads of ``httpbin.yaml``, deleted afterwards."""
    api = connect(context)
    kinds = Kinds.ask(api)
    namespace = f"meshchaos-test-{secrets.token_hex(3)}"
    labels = {"istio-injection": "enabled"}
    api.call("POST", "/api/v1/namespaces", {"metadata": {"name": namespace, "labels": labels}})
    try:
        text = Path(__file__).with_name("httpbin.yaml").read_text("utf-8")
        for manifest in yaml.safe_load_all(text.replace("IMAGE", IMAGE).replace("HOST", f"{namespace}.example")):
            manifest["metadata"]["namespace"] = namespace
            api.call("POST", kinds.collection(manifest["kind"], namespace), kinds.as_served(manifest))
        found = Cluster(api, kinds, namespace, folder, _gateway(api))
        until(lambda: found.ready("httpbin") and found.ready("sleeper"), "workloads are ready", 120)
        mesh: dict[str, Any] = {"kubernetes": {"context": context, "namespaces": [namespace]}}
        if address := os.environ.get("MESHCHAOS_TEST_GATEWAY"):
            mesh["gateway"] = {"address": address}
        (folder / "meshchaos.yaml").write_text(yaml.safe_dump({"meshes": {"real": mesh}}), "utf-8")
        yield found
    finally:
        api.call("DELETE", f"/api/v1/namespaces/{namespace}")
        api.close()


def _gateway(api: Api) -> bool:
    pods = api.listing("/api/v1/namespaces/istio-system/pods", {"labelSelector": "istio=ingressgateway"})
    return bool(pods)
