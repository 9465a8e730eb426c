"""Ways in: which paths a gateway leads to a service."""

from __future__ import annotations

from typing import Any

import pytest

from meshchaos.mesh.istio.gateways import Way, way_in
from meshchaos.mesh.objects import Manifest

PAGE, STOCK = "page.shop.svc.cluster.local", "stock.shop.svc.cluster.local"


def made(kind: str, name: str, spec: dict[str, Any], age: int = 0) -> Manifest:
    metadata = {"name": name, "namespace": "shop", "creationTimestamp": f"2026-01-01T00:00:0{age}Z"}
    return {"apiVersion": "networking.istio.io/v1", "kind": kind, "metadata": metadata, "spec": spec}


def to(host: str, *uris: dict[str, str], **more: Any) -> dict[str, Any]:
    match = [{"uri": uri, **more} for uri in uris]
    return {"route": [{"destination": {"host": host}}], **({"match": match} if match else {})}


def way(host: str, *rules: dict[str, Any], later: tuple[dict[str, Any], ...] = ()) -> Way | None:
    server = {"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["shop.example"]}
    objects = [made("Gateway", "shop", {"selector": {}, "servers": [server]})]
    for age, http in enumerate((rules, later)):
        if http:
            spec = {"hosts": ["shop.example"], "gateways": ["shop"], "http": list(http)}
            objects.append(made("VirtualService", f"vs-{age}", spec, age))
    return way_in(objects, host, 80)


@pytest.mark.parametrize(
    ("path", "leads"),
    [
        ("/page", True),
        ("/page?x=1", True),
        ("/pages", False),
        ("/static", True),
        ("/static-internal", True),
        ("/STATIC/x", False),
        ("/v12/items", True),
        ("/vx/items", False),
        ("/admin", False),
        ("/odd/yes", True),
    ],
)
def test_a_path_leads_where_the_first_rule_that_takes_it_leads(path: str, leads: bool) -> None:
    found = way(
        PAGE,
        to("page", {"exact": "/page"}, {"prefix": "/static"}, {"regex": "/v[0-9]+/items"}),
        to("stock", {"prefix": "/odd"}, headers={"x-odd": {"exact": "1"}}),
        to("page", {"prefix": "/odd/yes"}),
        to("stock", {"prefix": "/pages"}),
    )
    assert found is not None
    assert (found.url, found.path) == ("http://shop.example", "/page")
    assert found.leads(path) is leads


def test_a_rule_before_takes_a_path_away_and_one_without_match_takes_all() -> None:
    found = way(PAGE, to("stock", {"prefix": "/stock"}), to("page"))
    assert found is not None
    assert (found.leads("/stock/1"), found.leads("/anything")) == (False, True)


def test_virtual_services_of_one_host_are_merged() -> None:
    found = way(PAGE, to("page", {"exact": "/page"}), later=(to("page", {"exact": "/more"}),))
    assert found is not None
    assert (found.leads("/more"), found.leads("/less")) == (True, False)
    assert way(STOCK, to("page")) is None
