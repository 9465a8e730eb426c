"""An API server for tests, as far as a client notices: objects with resourceVersions, conflicts, chunks, dry runs.

What goes wrong is scripted: ``server.fail`` holds, for the next requests whose ``METHOD path`` begins with a text, a
status to answer with (and headers), or ``CUT``: the request is carried out and its answer never comes. What somebody
else does meanwhile is, too: ``server.ahead`` and ``server.behind`` are called around every request.
"""

from __future__ import annotations

import json
import re
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import yaml

CUT = 0
_PATH = re.compile(
    r"/(?:api/(?P<core>v1)|apis/(?P<group>[^/]+/[^/]+))(?:/namespaces/(?P<ns>[^/]+)(?=/))?/(?P<plural>[a-z]+)(?:/(?P<name>[^/]+))?"
)
KINDS = {
    "namespaces": ("Namespace", "v1"),
    "configmaps": ("ConfigMap", "v1"),
    "pods": ("Pod", "v1"),
    "services": ("Service", "v1"),
    "serviceaccounts": ("ServiceAccount", "v1"),
    "deployments": ("Deployment", "apps/v1"),
    "jobs": ("Job", "batch/v1"),
    "leases": ("Lease", "coordination.k8s.io/v1"),
    "virtualservices": ("VirtualService", "networking.istio.io/v1"),
    "destinationrules": ("DestinationRule", "networking.istio.io/v1"),
    "gateways": ("Gateway", "networking.istio.io/v1"),
    "serviceentries": ("ServiceEntry", "networking.istio.io/v1"),
    "sidecars": ("Sidecar", "networking.istio.io/v1"),
    "envoyfilters": ("EnvoyFilter", "networking.istio.io/v1alpha3"),
    "peerauthentications": ("PeerAuthentication", "security.istio.io/v1"),
    "requestauthentications": ("RequestAuthentication", "security.istio.io/v1"),
    "authorizationpolicies": ("AuthorizationPolicy", "security.istio.io/v1"),
    "telemetries": ("Telemetry", "telemetry.istio.io/v1"),
}


@dataclass
class Failure:
    """The next ``times`` requests that begin with ``prefix``. ``late``: seconds after which one that was carried out is
    answered (``status`` is 200 then).
    """

    prefix: str
    status: int
    times: int = 1
    headers: dict[str, str] = field(default_factory=dict)
    reason: str = ""
    late: float = 0.0


@dataclass(frozen=True)
class Asked:
    """``number``: of the request, from 1. ``writes``: it changes something, unlike a read and a dry run."""

    number: int
    method: str
    path: str
    writes: bool

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def right(self) -> str:
        """What a Role would have to allow for it: ``list pods in shop``."""
        found = _PATH.fullmatch(self.path)
        if found is None:
            return ""
        read = "get" if found["name"] else "list"
        verb = {"GET": read, "POST": "create", "PUT": "update", "DELETE": "delete"}[self.method]
        return f"{verb} {found['plural']} in {found['ns'] or 'the cluster'}"


def nobody(_asked: Asked) -> Failure | None:
    return None


class FakeApi:
    """``objects`` by (plural, namespace, name); ``requests``: what was asked, ``METHOD path``, in order; ``written``:
    those of them that change something.

    ``ahead`` is called before a request is looked at and may say how it fails; ``behind`` after it was carried out and
    before it is answered; ``settle`` after each write, and stands for the cluster's controllers; ``admit`` may change
    what is created, also in a dry run, as admission webhooks do.
    """

    def __init__(self) -> None:
        self.ahead: Callable[[Asked], Failure | None] = nobody
        self.behind: Callable[[Asked], object] = nobody
        self.settle: Callable[[FakeApi], object] = lambda api: None
        self.admit: Callable[[dict[str, Any]], dict[str, Any]] = lambda manifest: manifest
        self.objects: dict[tuple[str, str, str], dict[str, Any]] = {}
        self.requests: list[str] = []
        self.written: list[str] = []
        self.fail: list[Failure] = []
        self.aggregated = True
        self.denied: set[str] = set()
        """``delete leases in shop``: what a review of rights says no to."""
        self.lock = threading.RLock()
        self._version = 100
        server = _Server(("127.0.0.1", 0), _handler(self))
        server.daemon_threads = True
        self._server = server
        self.url = f"http://127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def put(self, plural: str, manifest: dict[str, Any]) -> dict[str, Any]:
        """Somebody else's write."""
        with self.lock:
            meta = manifest["metadata"]
            key = (plural, str(meta.get("namespace", "")), str(meta["name"]))
            before = self.objects.get(key, {"metadata": {}})["metadata"]
            spec = self.objects.get(key, {}).get("spec")
            meta["uid"] = before.get("uid") or str(uuid.uuid4())
            meta["creationTimestamp"] = before.get("creationTimestamp") or "2026-01-01T00:00:00Z"
            meta["generation"] = int(before.get("generation", 0)) + (manifest.get("spec") != spec or spec is None)
            meta["resourceVersion"] = self.next_version()
            self.objects[key] = json.loads(json.dumps(manifest))
            return self.objects[key]

    def edit(self, plural: str, namespace: str, name: str, change: Callable[[dict[str, Any]], object]) -> None:
        """Somebody else changes an object that is there."""
        with self.lock:
            found = json.loads(json.dumps(self.objects[plural, namespace, name]))
            change(found)
            self.put(plural, found)

    def next_version(self) -> str:
        self._version += 1
        return str(self._version)

    def kubeconfig(self, folder: Path, context: str = "fake") -> Path:
        path = folder / "kubeconfig"
        form = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": {"server": self.url}}],
            "users": [{"name": "u", "user": {}}],
            "contexts": [{"name": context, "context": {"cluster": "c", "user": "u"}}],
        }
        path.write_text(yaml.safe_dump(form), "utf-8")
        return path


@contextmanager
def fake_api() -> Iterator[FakeApi]:
    api = FakeApi()
    try:
        api.put("namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}})
        yield api
    finally:
        api.close()


class _Server(ThreadingHTTPServer):
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):  # of a client that was killed
            super().handle_error(request, client_address)


def _handler(api: FakeApi) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 65536  # head and body in one packet: else the client waits for its own delayed acknowledgement

        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            self._serve("GET")

        def do_POST(self) -> None:
            self._serve("POST")

        def do_PUT(self) -> None:
            self._serve("PUT")

        def do_DELETE(self) -> None:
            self._serve("DELETE")

        def _serve(self, method: str) -> None:
            parts = urlsplit(self.path)
            body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"null")
            with api.lock:
                query = dict(parse_qsl(parts.query))
                api.requests.append(f"{method} {parts.path}")
                asked = Asked(len(api.requests), method, parts.path, method != "GET" and "dryRun" not in query)
                api.written += [str(asked)] if asked.writes else []
                scripted = (f for f in api.fail if str(asked).startswith(f.prefix) and f.times)
                failure = api.ahead(asked) or next(scripted, None)
                if failure is not None:
                    failure.times -= 1
                    if failure.status != CUT and not failure.late:
                        self._answer(failure.status, _status(failure.status, failure.reason), failure.headers)
                        return
                status, form = _carry_out(api, method, parts.path, query=query, body=body, headers=self.headers)
                if asked.writes:
                    api.settle(api)
                    _collect(api)
                api.behind(asked)
            if failure is not None and failure.late:
                time.sleep(failure.late)
            elif failure is not None:
                self.close_connection = True
                self.connection.close()
                return
            self._answer(status, form, {})

        def _answer(self, status: int, form: dict[str, Any], headers: dict[str, str]) -> None:
            data = json.dumps(form).encode()
            self.send_response(status)
            for name, value in {**headers, "Content-Type": "application/json"}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)
            self.wfile.flush()

    return Handler


def _carry_out(
    api: FakeApi, method: str, path: str, *, query: dict[str, str], body: Any, headers: Any
) -> tuple[int, dict[str, Any]]:
    if path == "/version":
        return 200, {"gitVersion": "v1.34.4"}
    if path == "/apis":
        return 200, _groups(aggregated=api.aggregated and "APIGroupDiscoveryList" in str(headers.get("Accept")))
    if path.startswith("/apis/") and path.count("/") == 3:
        return 200, {"resources": [_resource(plural) for plural, (_, v) in KINDS.items() if path == f"/apis/{v}"]}
    if path == "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews":
        asked = body["spec"]["resourceAttributes"]
        plural = "/".join(part for part in (asked["resource"], asked["subresource"]) if part)
        return 201, {"status": {"allowed": f"{asked['verb']} {plural} in {asked['namespace']}" not in api.denied}}
    found = _PATH.fullmatch(path)
    if found is None or found["plural"] not in KINDS:
        return 404, _status(404, "NotFound")
    plural, name = found["plural"], found["name"]
    namespace = found["ns"] or ""
    key = (plural, namespace, name or (body or {}).get("metadata", {}).get("name", ""))
    there = api.objects.get(key)
    dry = query.get("dryRun") == "All"
    if method == "GET" and name is None:
        return 200, _list(api, plural, namespace, query)
    if method == "POST":
        if there is not None:
            return 409, _status(409, "AlreadyExists")
        body = api.admit(body)
        if dry:  # a uid is there, though nothing else is
            return 201, {**body, "metadata": {**body["metadata"], "uid": "of-a-dry-run"}}
        return 201, api.put(plural, body)
    if there is None:
        return 404, _status(404, "NotFound")
    if method == "GET":
        return 200, there
    if method == "PUT":
        if body["metadata"].get("resourceVersion") != there["metadata"]["resourceVersion"]:
            return 409, _status(409, "Conflict")
        return 200, body if dry else api.put(plural, body)
    wanted = ((body or {}).get("preconditions") or {}).get("uid")
    if wanted not in (None, there["metadata"]["uid"]):
        return 409, _status(409, "Conflict")
    if dry:
        return 200, _status(200, "")
    del api.objects[key]
    return 200, _status(200, "")


def _collect(api: FakeApi) -> None:
    """What belongs to an object that is gone goes, too."""
    while True:
        there = {one["metadata"]["uid"] for one in api.objects.values()}
        orphans = [
            key
            for key, one in api.objects.items()
            if (owners := {owner["uid"] for owner in one["metadata"].get("ownerReferences") or () if "uid" in owner})
            and not there & owners
        ]
        if not orphans:
            return
        for key in orphans:
            del api.objects[key]


def _list(api: FakeApi, plural: str, namespace: str, query: dict[str, str]) -> dict[str, Any]:
    kind, version = KINDS[plural]
    label, _, value = query.get("labelSelector", "").partition("=")
    items = [
        {key: part for key, part in one.items() if key not in ("kind", "apiVersion")}
        for (of, place, _), one in sorted(api.objects.items())
        if of == plural and namespace in ("", place) and _labelled(one, label, value)
    ]
    start, limit = int(query.get("continue") or 0), int(query.get("limit") or 1000)
    meta = {"continue": str(start + limit)} if start + limit < len(items) else {}
    return {"kind": f"{kind}List", "apiVersion": version, "metadata": meta, "items": items[start : start + limit]}


def _labelled(manifest: dict[str, Any], label: str, value: str) -> bool:
    labels = manifest["metadata"].get("labels") or {}
    return not label or (labels.get(label) == value if value else label in labels)


def _groups(*, aggregated: bool) -> dict[str, Any]:
    versions: dict[str, dict[str, list[str]]] = {}
    for plural, (_, version) in KINDS.items():
        group, _, name = version.rpartition("/")
        if group:
            versions.setdefault(group, {}).setdefault(name, []).append(plural)
    if not aggregated:
        groups = [
            {"name": group, "versions": [{"groupVersion": f"{group}/{name}", "version": name} for name in names]}
            for group, names in versions.items()
        ]
        return {"kind": "APIGroupList", "groups": groups}
    items = [
        {
            "metadata": {"name": group},
            "versions": [
                {
                    "version": name,
                    "resources": [
                        {"resource": plural, "responseKind": {"kind": KINDS[plural][0]}, "scope": "Namespaced"}
                        for plural in plurals
                    ],
                }
                for name, plurals in names.items()
            ],
        }
        for group, names in versions.items()
    ]
    return {"kind": "APIGroupDiscoveryList", "items": items}


def _resource(plural: str) -> dict[str, Any]:
    return {"name": plural, "kind": KINDS[plural][0], "namespaced": plural != "namespaces"}


def _status(code: int, reason: str) -> dict[str, Any]:
    return {"kind": "Status", "code": code, "reason": reason, "message": f"scripted {code} {reason}".strip()}
