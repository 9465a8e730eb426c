"""Telemetry's access logs on real Envoys, beside our own."""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_mesh import RATINGS, TinyMesh, call
from worlds import PAGE, index, made
from worlds import RATINGS as SERVER

from meshchaos.errors import ProxyRejected
from meshchaos.mesh.local.translate import refresh, resources
from meshchaos.mesh.objects import Manifest

envoy = pytest.mark.envoy


def telemetry(namespace: str = "shop", name: str = "logs", expression: str = "", **element: Any) -> Manifest:
    wanted = {"providers": [{"name": "envoy"}], **({"filter": {"expression": expression}} if expression else {})}
    return made("Telemetry", name, namespace, {"accessLogging": [{**wanted, **element}]})


class Told:
    """What a replica's log of the user's says of requests, since this was made."""

    def __init__(self, mesh: TinyMesh, name: str) -> None:
        self._path = Path(mesh.replica(name).logs) / "istio-proxy.log"
        self._from = len(self._text())

    def _text(self) -> str:
        return self._path.read_text() if self._path.exists() else ""

    def until(self, last: str, again: Callable[[], object] = lambda: None) -> str:
        """All of it, once ``last`` is in it. ``again`` is done until then: a request on a connection that was there
        before a listener's change is still the old listener's.
        """
        deadline = time.monotonic() + 5
        while last not in (found := self._text()[self._from :]):
            assert time.monotonic() < deadline, f"{last} is not in {found}"
            again()
            time.sleep(0.01)
        return found


@envoy
class TestAccessLogs:
    def test_in_istios_format_and_ours_stays(self, mesh: TinyMesh) -> None:
        mesh.change(telemetry())
        client, server = Told(mesh, "page"), Told(mesh, "ratings-v1")
        found = server.until("told-1", lambda: mesh.get("page", RATINGS, x_request_id="told-1"))
        line = next(line for line in found.splitlines() if "told-1" in line)
        assert "inbound|9080||" in line
        assert line.endswith(" default")
        assert '"GET /ratings/0 HTTP/1.1" 200 - via_upstream - "-" 0 ' in client.until("told-1")
        assert mesh.lines("page", "told-1")[0].status == 200
        assert mesh.lines("ratings-v1", "told-1")[0].side == "inbound"

    def test_only_what_its_expression_holds_for(self, mesh: TinyMesh) -> None:
        mesh.change(telemetry(expression="response.code >= 400 || request.headers['end-user'] == 'tester'"))
        told = Told(mesh, "page")
        assert mesh.get("page", RATINGS, x_request_id="good-1").status == 200
        assert mesh.get("page", RATINGS, x_request_id="tester-1", end_user="tester").status == 200
        mesh.apps["ratings-v1"].status = mesh.apps["ratings-v2"].status = 500
        assert mesh.get("page", RATINGS, x_request_id="bad-1").status == 500
        found = told.until("bad-1")
        assert ("good-1" in found, "tester-1" in found) == (False, True)
        assert mesh.lines("page", "good-1")[0].status == 200, "ours has all of them"

    def test_sides_and_workloads(self, mesh: TinyMesh) -> None:
        on = telemetry(match={"mode": "SERVER"})
        off = made(
            "Telemetry",
            "quiet",
            "shop",
            {"selector": {"matchLabels": {"version": "v1"}}, "accessLogging": [{"disabled": True}]},
        )
        mesh.change(on, off)
        seen: list[str] = []

        def ask() -> None:
            seen.append(mesh.get("page", RATINGS, x_request_id=f"side-{len(seen)}").by)

        Told(mesh, "ratings-v2").until("side-", ask)
        while seen.count("ratings-v1") < 2:  # one may be the old listener's
            ask()
        mesh.lines("ratings-v1", f"side-{len(seen) - 1 - seen[::-1].index('ratings-v1')}")
        page, quiet, loud = (Told(mesh, name) for name in ("page", "ratings-v1", "ratings-v2"))
        since = len(seen)
        while set(seen[since:]) != {"ratings-v1", "ratings-v2"} or seen[-1] != "ratings-v2":
            ask()
        last = len(seen) - 1
        loud.until(f"side-{last}")
        mesh.lines("page", f"side-{last}")
        assert (page.until(""), quiet.until("")) == ("", "")

    def test_a_gateways_requests_are_a_clients(self, mesh: TinyMesh) -> None:
        mesh.change(telemetry("istio-system", match={"mode": "CLIENT"}))
        told = Told(mesh, "gateway")
        assert mesh.gateway("/ratings/0", "shop.example", x_request_id="gate-1").status == 200
        assert "outbound|9080||ratings.shop" in told.until("gate-1")

    def test_an_expression_that_is_none_is_refused_by_envoy(self, mesh: TinyMesh) -> None:
        with pytest.raises(ProxyRejected, match="listeners"):
            mesh.change(telemetry(expression="response.code >="))
        assert call(mesh)[0].status == 200

    def test_tcp_connections(self, mesh: TinyMesh) -> None:
        mesh.change(telemetry())
        told = Told(mesh, "page")
        page = mesh.replica("page")
        connection = http.client.HTTPConnection(page.address, 16002, timeout=5)
        connection.request("GET", "/raw", headers={"host": "raw"})
        assert connection.getresponse().read()
        connected = Path(page.logs) / "connected.log"
        deadline = time.monotonic() + 5
        while not (connected.exists() and "raw.shop" in connected.read_text()):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert "raw.shop" not in told.until(""), "it has not ended"
        connection.close()
        assert told.until("raw.shop").count("outbound|7001||raw.shop") == 1


class TestMemory:
    @pytest.mark.parametrize("one", [telemetry(), telemetry("istio-system"), telemetry(match={"mode": "CLIENT"})])
    def test_there_and_back(self, one: Manifest) -> None:
        before = index()
        for replica in (PAGE, SERVER):
            kept = resources(before, replica)
            changed = refresh(index(one, before=before), replica, kept, ["Telemetry"])
            assert changed == resources(index(one), replica)
            assert changed.clusters is kept.clusters
            assert refresh(index(), replica, changed, ["Telemetry"]) == kept
