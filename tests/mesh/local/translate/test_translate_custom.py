"""The action CUSTOM on real Envoys: an authorizer outside is asked, before anything else decides."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from authorizers import Asked, by_grpc, by_http
from policies import LET_THROUGH, by_page, denied, enforce, operation, policy, source
from tiny_mesh import TinyMesh, request
from worlds import replica, service

from meshchaos.mesh.local.objects.validate import problems
from meshchaos.mesh.objects import Manifest

pytestmark = pytest.mark.envoy
HOST = "authz.shop.svc.cluster.local"


def mesh_config(**provider: Any) -> Manifest:
    spec = {"service": HOST, "port": 9000, **provider.pop("spec", {})}
    kind = "envoyExtAuthzGrpc" if provider.pop("grpc", False) else "envoyExtAuthzHttp"
    providers = [{"name": "authz", kind: spec}, *provider.pop("more", ())]
    found: Manifest = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "istio", "namespace": "istio-system"},
        "data": {"mesh": json.dumps({"extensionProviders": providers})},
    }
    assert problems(found) == []
    return found


def custom(*rules: dict[str, Any], name: str = "ask", provider: str = "authz") -> Manifest:
    return policy("CUSTOM", name=name, provider={"name": provider}, rules=list(rules or [{}]))


def joined(mesh: TinyMesh, asked: Asked, port: str) -> Iterator[Asked]:
    """The authorizer as a workload without a sidecar, behind a Service."""
    before = mesh.index.world.replicas
    one = replica("authz", "127.0.0.1", sidecar=False, applications={9000: asked.address})
    known = service("authz", "shop", 9000, name=port)
    mesh.change(known, replicas=(*before, one))
    mesh.base.append(known)
    yield asked
    mesh.base.remove(known)
    mesh.change(known)
    mesh.change(replicas=before)


@pytest.fixture
def http(mesh: TinyMesh) -> Iterator[Asked]:
    with by_http() as asked:
        yield from joined(mesh, asked, "http")


@pytest.fixture
def grpc(mesh: TinyMesh) -> Iterator[Asked]:
    with by_grpc() as asked:
        yield from joined(mesh, asked, "grpc")


def asks_by_http(**spec: Any) -> Manifest:
    return mesh_config(spec={"includeRequestHeadersInCheck": ["x-tok*"], "timeout": "5s", **spec})


class TestByHttp:
    def test_it_decides(self, mesh: TinyMesh, http: Asked) -> None:
        enforce(mesh, asks_by_http(), custom())
        assert by_page(mesh, "/a", x_token="good") == LET_THROUGH
        assert by_page(mesh, "/a", x_token="bad") == (418, "ext_authz_denied")
        assert http.paths == ["/a", "/a"]
        assert sum(app.hits["/a"] for app in mesh.apps.values()) == 1

    def test_only_what_matches_is_asked_about(self, mesh: TinyMesh, http: Asked) -> None:
        enforce(mesh, asks_by_http(), custom(operation(paths=["/admin*"])))
        assert by_page(mesh, "/open") == LET_THROUGH
        assert by_page(mesh, "/admin/x")[0] == 418
        assert http.paths == ["/admin/x"]

    def test_it_comes_first_and_cannot_open_what_is_denied(self, mesh: TinyMesh, http: Asked) -> None:
        enforce(mesh, asks_by_http(), custom(), policy("DENY", name="shut", rules=[operation(paths=["/shut"])]))
        assert by_page(mesh, "/shut")[0] == 418
        assert by_page(mesh, "/shut", x_token="good") == denied("ns[shop]-policy[shut]-rule[0]")

    def test_headers_and_prefix(self, mesh: TinyMesh, http: Asked) -> None:
        config = asks_by_http(
            pathPrefix="/check",
            includeAdditionalHeadersInCheck={"x-extra": "1"},
            headersToUpstreamOnAllow=["x-by"],
            headersToDownstreamOnDeny=["x-by"],
            headersToDownstreamOnAllow=["X-B*"],
        )
        enforce(mesh, config, custom())
        allowed = mesh.get("page", "http://ratings:9080/p", x_token="good", x_other="hidden")
        assert (allowed.status, allowed.headers["x-by"]) == (200, "authorizer")
        seen = allowed.json["headers"]
        assert (seen["x-by"], "x-private" in seen) == ("authorizer", False)
        refused = mesh.get("page", "http://ratings:9080/p")
        assert (refused.status, refused.headers["x-by"]) == (418, "authorizer")
        assert "x-private" not in refused.headers
        assert http.paths == ["/check/p", "/check/p"]
        assert http.headers[0]["x-extra"] == "1"
        assert "x-other" not in http.headers[0]

    def test_when_it_is_away(self, mesh: TinyMesh, http: Asked) -> None:
        away = tuple(one for one in mesh.index.world.replicas if one.name != "authz")
        mesh.change(replicas=away)
        enforce(mesh, asks_by_http(), custom())
        assert by_page(mesh, x_token="good") == (403, "ext_authz_error")
        enforce(mesh, asks_by_http(statusOnError="503"), custom())
        assert by_page(mesh, x_token="good") == (503, "ext_authz_error")
        enforce(mesh, asks_by_http(failOpen=True), custom())
        assert by_page(mesh) == LET_THROUGH

    def test_tcp_is_none_of_its_business(self, mesh: TinyMesh, http: Asked) -> None:
        enforce(mesh, asks_by_http(), custom())
        assert request(mesh.replica("page").address, 16002, "GET", "/").status == 200
        assert http.paths == []


class TestByGrpc:
    def test_it_decides_on_requests(self, mesh: TinyMesh, grpc: Asked) -> None:
        enforce(mesh, mesh_config(grpc=True), custom())
        assert by_page(mesh, "/asked") == LET_THROUGH
        [question] = grpc.bodies
        assert b"/asked" in question
        assert b"spiffe://cluster.local/ns/shop/sa/page" in question
        grpc.allows = False
        assert by_page(mesh, "/asked") == (403, "ext_authz_denied")

    def test_it_decides_on_connections(self, mesh: TinyMesh, grpc: Asked) -> None:
        enforce(mesh, mesh_config(grpc=True), custom(operation(ports=["7001"])))
        assert request(mesh.replica("page").address, 16002, "GET", "/").status == 200
        assert by_page(mesh) == LET_THROUGH
        assert len(grpc.bodies) == 1
        grpc.allows = False
        with pytest.raises(OSError, match=r"closed|reset"):
            request(mesh.replica("page").address, 16002, "GET", "/")


class TestWithoutAnAuthorizer:
    """Istio closes what it cannot ask about."""

    BAD = "istio-ext-authz-{}-ns[shop]-policy[{}]-rule[0]-deny-due-to-bad-CUSTOM-action"

    def test_one_that_is_not_defined(self, mesh: TinyMesh) -> None:
        enforce(mesh, custom(operation(paths=["/admin"])))
        assert by_page(mesh, "/admin") == denied(self.BAD.format("authz", "ask"))
        assert by_page(mesh, "/open") == LET_THROUGH

    def test_one_whose_service_is_not_there(self, mesh: TinyMesh) -> None:
        enforce(mesh, mesh_config(), custom())
        assert by_page(mesh) == denied(self.BAD.format("authz", "ask"))

    def test_two_at_once(self, mesh: TinyMesh, http: Asked) -> None:
        more = [{"name": "other", "envoyExtAuthzHttp": {"service": HOST, "port": 9000}}]
        config = mesh_config(more=more)
        both = custom(operation(paths=["/a"])), custom(operation(paths=["/b"]), name="b", provider="other")
        enforce(mesh, config, *both)
        assert by_page(mesh, "/a", x_token="good") == denied(self.BAD.format("authz", "ask"))
        assert by_page(mesh, "/b", x_token="good") == denied(self.BAD.format("other", "b"))
        enforce(mesh, config, both[0])
        assert by_page(mesh, "/a")[0] == 418

    def test_custom_is_not_for_identities(self) -> None:
        wrong = custom(source(principals=["*"]))
        assert problems({**wrong, "apiVersion": "security.istio.io/v1"}) != []
