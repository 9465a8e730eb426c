"""A gateway that ends TLS, on the local mesh: real Envoys, certificates that it makes, and clients that check them."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import ssl
from collections.abc import Iterator
from dataclasses import replace

import httpx
import pytest
from small_mesh import NAMESPACE, small

from meshchaos.errors import UserError
from meshchaos.mesh.client_tls import context_of
from meshchaos.mesh.local.client import LocalMesh
from meshchaos.mesh.local.objects import builtin
from meshchaos.mesh.objects import Manifest
from meshchaos.mesh.seam import Entry, Tls
from meshchaos.probes.client import ask
from meshchaos.run.client import MeshTransport, Ways

pytestmark = pytest.mark.envoy
NETWORKING = "networking.istio.io/v1"


def server(number: int, name: str, protocol: str, *hosts: str, **tls: object) -> Manifest:
    made: Manifest = {"port": {"number": number, "name": name, "protocol": protocol}, "hosts": list(hosts)}
    return {**made, "tls": tls} if tls else made


def named(kind: str, name: str, **spec: object) -> Manifest:
    return {"apiVersion": NETWORKING, "kind": kind, "metadata": {"name": name, "namespace": NAMESPACE}, "spec": spec}


def routes(name: str, host: str, gateway: str, to: str) -> Manifest:
    route = [{"destination": {"host": to, "port": {"number": 80}}}]
    return named("VirtualService", name, hosts=[host], gateways=[gateway], http=[{"name": name, "route": route}])


OBJECTS = (
    named(
        "Gateway",
        "front",
        selector={"istio": "ingressgateway"},
        servers=[
            server(80, "http", "HTTP", "shop.example", "bare.example", httpsRedirect=True),
            server(443, "shop", "HTTPS", "shop.example", mode="SIMPLE", credentialName="shop"),
            server(443, "any", "HTTPS", "./*.wild.example", mode="SIMPLE", credentialName="wild"),
            server(9443, "all", "HTTPS", "*", mode="SIMPLE", credentialName="all", minProtocolVersion="TLSV1_3"),
        ],
    ),
    named(
        "Gateway",
        "late",
        selector={"istio": "ingressgateway"},
        servers=[
            server(443, "twice", "HTTPS", "shop.example", "late.example", mode="SIMPLE", credentialName="late"),
            server(8443, "behind", "HTTPS", "shop.example", mode="SIMPLE", credentialName="late"),  # where 443 leads
            server(443, "once", "HTTPS", "once.example", mode="SIMPLE", credentialName="once"),
            server(9443, "all", "HTTPS", "*", mode="SIMPLE", credentialName="late"),
        ],
    ),
    routes("shop", "shop.example", "front", "api"),
    routes("once", "once.example", "late", "web"),
    routes("wild", "a.wild.example", "front", "web"),
    routes("all", "anything.example", "front", "web"),
)


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalMesh]:
    spec = small(tmp_path_factory.mktemp("mesh") / "logs")
    objects = [one for one in spec.manifests if one not in builtin.additions(list(spec.manifests))]
    with LocalMesh.start(replace(spec, manifests=(*builtin.additions([*objects, *OBJECTS]), *objects, *OBJECTS))) as up:
        yield up


def get(entry: Entry, name: str = "") -> tuple[int, dict[str, str], bytes]:
    """``name``: instead of the server's that the entry names."""
    host, _, port = entry.address.rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=10)
    connection.connect()
    if entry.tls is not None:
        tls = replace(entry.tls, server_name=name or entry.tls.server_name)
        connection.sock = context_of(tls).wrap_socket(connection.sock, server_hostname=tls.server_name)
    try:
        connection.request("GET", "/", headers={"Host": entry.host})
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("url", "workload"),
    [("https://shop.example/", "api"), ("https://a.wild.example/", "web"), ("https://anything.example:9443/", "web")],
)
def test_each_host_is_served_over_tls_under_a_name_that_is_its(mesh: LocalMesh, url: str, workload: str) -> None:
    entry = mesh.entry("gateway", url, NAMESPACE)
    assert entry.words.endswith(", over TLS")
    status, _, body = get(entry)
    assert (status, json.loads(body)["workload"]) == (200, workload)


def test_plain_http_is_sent_to_https(mesh: LocalMesh) -> None:
    """Also where nothing is routed."""
    for host in ("shop.example", "bare.example"):
        status, headers, _ = get(mesh.entry("gateway", f"http://{host}/", NAMESPACE))
        assert (status, headers["location"]) == (301, f"https://{host}/")


def test_a_certificate_is_for_its_names_and_for_the_meshs_own_clients(mesh: LocalMesh) -> None:
    entry = mesh.entry("gateway", "https://shop.example/", NAMESPACE)
    assert entry.tls is not None
    with pytest.raises(ssl.SSLCertVerificationError, match="self-signed certificate"):
        get(replace(entry, tls=Tls("shop.example")))  # who trusts what this machine trusts
    with pytest.raises(OSError, match=r"reset|EOF|closed"):
        get(entry, "other.example")  # no server has it
    with pytest.raises(OSError, match=r"WRONG_VERSION|EOF|reset"):
        get(replace(mesh.entry("gateway", "http://shop.example/", NAMESPACE), tls=entry.tls))
    with pytest.raises((OSError, http.client.HTTPException)):
        get(replace(entry, tls=None))


def test_of_two_servers_for_a_host_the_older_gateways_counts(mesh: LocalMesh) -> None:
    """All of the other one is left out, as Istio does; the rest of its Gateway is served."""
    status, _, body = get(mesh.entry("gateway", "https://once.example/", NAMESPACE))
    assert (status, json.loads(body)["workload"]) == (200, "web")
    with pytest.raises(UserError, match=r"no Gateway serves late.example on port 443 over TLS"):
        mesh.entry("gateway", "https://late.example/", NAMESPACE)


def test_versions_are_the_servers(mesh: LocalMesh) -> None:
    entry = mesh.entry("gateway", "https://anything.example:9443/", NAMESPACE)
    assert entry.tls is not None
    host, _, port = entry.address.rpartition(":")
    old = context_of(replace(entry.tls, server_name="its own context"))
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with socket.create_connection((host, int(port)), timeout=10) as raw, pytest.raises(ssl.SSLError, match="VERSION"):
        old.wrap_socket(raw, server_hostname="anything.example")


def test_probes_and_httpx_clients_go_there_too(mesh: LocalMesh) -> None:
    url = "https://shop.example/"
    entry = mesh.entry("gateway", url, NAMESPACE)
    assert asyncio.run(ask(entry, "GET", url, {}, 10.0)).status == 200
    assert asyncio.run(ask(replace(entry, tls=Tls("shop.example")), "GET", url, {}, 10.0)).failure == "connect"
    with httpx.Client(
        transport=MeshTransport(Ways("gateway", lambda to: mesh.entry("gateway", to, NAMESPACE)))
    ) as client:
        assert client.get(url).json()["workload"] == "api"
        assert client.get("http://shop.example/").headers["location"] == url


@pytest.mark.parametrize(
    ("source", "url", "words"),
    [
        ("gateway", "https://elsewhere.org/", "no Gateway serves elsewhere.org on port 443 over TLS; there are: "),
        ("gateway", "http://shop.example:443/", "no Gateway serves shop.example on port 443 in plaintext; there are: "),
        ("web", "https://api/", "https is what a gateway speaks; from web use http"),
    ],
)
def test_mistakes_say_what_there_is(mesh: LocalMesh, source: str, url: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        mesh.entry(source, url, NAMESPACE)
