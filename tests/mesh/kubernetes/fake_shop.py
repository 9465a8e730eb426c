"""A shop in the API server of the tests: workloads, routes and a policy of their owners, and who keeps Pods there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml
from fake_api import FakeApi

KEY = {"kty": "oct", "kid": "1", "alg": "HS256", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQ"}
JWKS = json.dumps(json.dumps({"keys": [KEY]}))
ROUTES = """\
hosts: [stars]
http:
  - timeout: 2s
    retries: {attempts: 2}
    route:
      - {destination: {host: stars, subset: all}, weight: 100}
      - {destination: {host: stars, subset: some}, weight: 0}
"""
POLICY = """\
host: stars
trafficPolicy: {connectionPool: {http: {http1MaxPendingRequests: 50}}}
subsets: [{name: all, labels: {app: stars}}, {name: some, labels: {app: stars}}]
"""
TOGETHER = {
    "server": (
        "delay: {to: stars, fixedDelay: 10ms, replicas: 1}",
        "timeout: {to: stars, timeout: 1s}",
        "retries: {to: stars, attempts: 1, retryOn: 5xx}",
        "connectionPool: {to: stars, http: {http1MaxPendingRequests: 100}}",
        "mtls: {workload: stars, mode: STRICT}",
        "authorization: {deny: {to: stars, methods: DELETE}}",
        f'requestAuthentication: {{workload: stars, jwtRules: [{{issuer: "https://x.example", jwks: {JWKS}}}]}}',
        "apply: {objects: [{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {name: x}, "
        "spec: {hosts: [x.example], resolution: STATIC, ports: [{number: 80, name: http, protocol: HTTP}], "
        "endpoints: [{address: 127.0.0.1}]}}]}",
    ),
    "client": (
        "abort: {to: stars, httpStatus: 503, percentage: 5, at: client}",
        "outlierDetection: {to: stars, consecutive5xxErrors: 50, maxEjectionPercent: 100}",
        "scale: {workload: stars, replicas: 3}",
    ),
    "routes": (
        "trafficShift: {to: stars, weights: {all: 50, some: 50}}",
        "kill: {workload: stars}",
    ),
    "partition": ("partition: {from: page, to: stars}",),
}
"""Every kind of fault that a cluster takes; those that can be live together, together."""
EXPERIMENT = """\
apiVersion: meshchaos.dev/v1
kind: Experiment
metadata: {{name: {name}}}
spec:
  load: {{target: "http://page:8000/", from: outside, rate: 20, timeout: 3s}}
  phases: {{warmup: 1s, baseline: 2s, fault: 3s, recovery: 2s}}
  deadlines: {{live: 2s, gone: 2s}}
  faults:
{faults}
  expect:
    - success: 1%
"""


def settle(api: FakeApi) -> None:
    """Each Deployment has the Pods that it asks for; the newest go first."""
    for (plural, namespace, name), deployment in list(api.objects.items()):
        if plural != "deployments":
            continue
        own = [
            (key, pod)
            for key, pod in api.objects.items()
            if key[:2] == ("pods", namespace) and key[2].startswith(f"{name}-5d9-")
        ]
        own.sort(key=lambda one: int(one[0][2].rpartition("-")[2]))
        wanted = deployment["spec"].get("replicas", 1)
        for key, _ in own[wanted:]:
            del api.objects[key]
        for _ in range(wanted - len(own)):
            api.put("pods", _pod(api, deployment))


def _pod(api: FakeApi, deployment: dict[str, Any]) -> dict[str, Any]:
    meta, template = deployment["metadata"], deployment["spec"]["template"]
    owner = {"kind": "ReplicaSet", "name": f"{meta['name']}-5d9", "controller": True}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"{meta['name']}-5d9-{api.next_version()}",
            "namespace": meta["namespace"],
            "labels": {**template["metadata"]["labels"], "pod-template-hash": "5d9"},
            "ownerReferences": [owner],
        },
        "spec": template["spec"],
        "status": {"podIP": "127.0.0.1", "conditions": [{"type": "Ready", "status": "True"}]},
    }


def open_shop(api: FakeApi, folder: Path) -> Path:
    """Fills the server; the configuration of a mesh ``real`` that is there."""
    api.settle = settle
    for name in ("page", "stars"):
        labels, ports = {"app": name}, [{"name": "http", "port": 8000}]
        meta = {"name": name, "namespace": "shop"}
        service = {"selector": labels, "ports": ports, "clusterIP": "127.0.0.1"}
        api.put("services", {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": service})
        containers = [{"name": name, "ports": [{"containerPort": 8000}]}, {"name": "istio-proxy"}]
        template = {"metadata": {"labels": labels}, "spec": {"serviceAccountName": name, "containers": containers}}
        spec = {"replicas": 2, "selector": {"matchLabels": labels}, "template": template}
        api.put("deployments", {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {**meta}, "spec": spec})
    own = (("virtualservices", "VirtualService", ROUTES), ("destinationrules", "DestinationRule", POLICY))
    for plural, kind, text in own:
        meta = {"name": "stars", "namespace": "shop", "annotations": {"owner": "the stars' team"}}
        form = {"apiVersion": "networking.istio.io/v1", "kind": kind, "metadata": meta, "spec": yaml.safe_load(text)}
        api.put(plural, form)
    settle(api)
    cluster = {"context": "fake", "namespaces": ["shop"], "kubeconfig": str(api.kubeconfig(folder))}
    config = folder / "meshchaos.yaml"
    config.write_text(yaml.safe_dump({"meshes": {"real": {"kubernetes": cluster}}, "defaultMesh": "real"}), "utf-8")
    return config


def experiment(folder: Path, name: str, *faults: str) -> Path:
    path = folder / f"{name}.chaos.yaml"
    path.write_text(EXPERIMENT.format(name=name, faults="\n".join(f"    - {fault}" for fault in faults)), "utf-8")
    return path


_MOVED = ("resourceVersion", "generation", "managedFields", "creationTimestamp", "uid")


def state(api: FakeApi) -> dict[str, Any]:
    """All that the server holds, to the byte, but for what every write moves; Pods without the names that they were
    given.
    """
    found: dict[str, Any] = {}
    with api.lock:
        for (plural, namespace, name), one in sorted(api.objects.items()):
            form = json.loads(json.dumps(one))
            for key in _MOVED:
                form["metadata"].pop(key, None)
            if plural == "pods":
                place = f"pods of {form['metadata'].pop('name').rpartition('-')[0]}"
                found.setdefault(place, []).append(json.dumps(form, sort_keys=True))
                found[place].sort()
            else:
                found[f"{plural} {name}.{namespace}"] = json.dumps(form, sort_keys=True)
    return found
