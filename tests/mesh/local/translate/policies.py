"""Policies of the tests, and who may pass: calls by three identities, with what the server's proxy said of each."""

from __future__ import annotations

import itertools
from typing import Any

from tiny_mesh import RATINGS, TinyMesh, request
from worlds import destination_rule, made

from meshchaos.mesh.local.objects.kinds import REGISTRY
from meshchaos.mesh.local.objects.validate import problems
from meshchaos.mesh.objects import Manifest

PAGE = "cluster.local/ns/shop/sa/page"
GATEWAY = "cluster.local/ns/istio-system/sa/gateway"
_ids = itertools.count(1)
# A pooled connection may take one more request by the rules before (the listener that had it drains).
_ONE_REQUEST = [
    destination_rule(host, trafficPolicy={"connectionPool": {"http": {"maxRequestsPerConnection": 1}}})
    for host in ("ratings", "sniffed")
]


def policy(action: str = "ALLOW", /, name: str = "p", namespace: str = "shop", **spec: Any) -> Manifest:
    """Of ``ratings`` unless ``selector`` says otherwise."""
    spec.setdefault("selector", {"matchLabels": {"app": "ratings"}})
    if spec["selector"] is None:
        del spec["selector"]
    return made("AuthorizationPolicy", name, namespace, {"action": action, **spec})


def enforce(mesh: TinyMesh, *objects: Manifest) -> None:
    """Brings policies, which admission takes, to the mesh; the next request of any client meets them."""
    for one in objects:
        if one["kind"] in REGISTRY and one["apiVersion"] == "x":
            assert problems({**one, "apiVersion": REGISTRY[one["kind"]].versions[0]}) == []
    mesh.change(*_ONE_REQUEST, *objects)


def source(**fields: Any) -> dict[str, Any]:
    return {"from": [{"source": fields}]}


def operation(**fields: Any) -> dict[str, Any]:
    return {"to": [{"operation": fields}]}


def when(key: str, *values: str, **more: Any) -> dict[str, Any]:
    return {"when": [{"key": key, **({"values": list(values)} if values else {}), **more}]}


def by_page(mesh: TinyMesh, path: str = "/ratings/0", *, method: str = "GET", **headers: str) -> tuple[int, str]:
    """Status, and the server's response code details (``via_upstream`` when the application answered)."""
    number = f"policy-{next(_ids)}"
    url = f"http://ratings:9080{path}" if path.startswith("/") else path
    answer = mesh.get("page", url, method, x_request_id=number, **headers)
    return answer.status, _details(mesh, number)


def by_gateway(mesh: TinyMesh, path: str = "/ratings/0", **headers: str) -> tuple[int, str]:
    number = f"policy-{next(_ids)}"
    answer = mesh.gateway(path, "shop.example", x_request_id=number, **headers)
    return answer.status, _details(mesh, number)


def outside(mesh: TinyMesh, path: str = "/ratings/0", port: int = 9080) -> int:
    """In plaintext, without an identity; 0 for a connection that was cut."""
    try:
        return request(mesh.replica("ratings-v1").address, port, "GET", path).status
    except OSError:
        return 0


def _details(mesh: TinyMesh, number: str) -> str:
    sender = "page"
    while not (found := mesh._lines.get(sender, {}).get(number)):
        sender = "gateway" if sender == "page" else "page"
        mesh._read_log(sender)
    address = found[0].upstream_host.rpartition(":")[0]
    name = next((name for name in mesh.proxies if mesh.replica(name).address == address), None)
    return mesh.lines(name, number)[0].details if name else found[0].details


def denied(by: str) -> tuple[int, str]:
    """What a refusal looks like. ``by``: the policy's name and rule, or ``none`` for an ALLOW that nothing matched."""
    return 403, f"rbac_access_denied_matched_policy[{by}]"


LET_THROUGH = (200, "via_upstream")
MISSED = denied("none")

__all__ = [
    "GATEWAY",
    "LET_THROUGH",
    "MISSED",
    "PAGE",
    "RATINGS",
    "by_gateway",
    "by_page",
    "denied",
    "enforce",
    "operation",
    "outside",
    "policy",
    "source",
    "when",
]
