"""Whole experiments on a real cluster: proved, judged, put back, whatever dies."""

from __future__ import annotations

import os
import signal

import pytest
from real_cluster import Cluster, until, watchdog_of

from meshchaos.mesh.objects import Manifest

pytestmark = pytest.mark.cluster


def test_a_delay_at_the_server_is_proved_judged_and_gone(cluster: Cluster) -> None:
    before = cluster.state()
    fault = "delay: {to: httpbin, fixedDelay: 300ms, percentage: 50}"
    result, code, output = cluster.run("slow", fault, "success: 90%", "latency: {p90: 1s}")
    assert (code, result["verdict"]) == (0, "PASS"), output
    (found,) = result["faults"]
    assert found["injected"]["count"] > 0
    assert cluster.state() == before


def test_a_field_of_an_owners_rule_is_changed_in_every_client_and_back(cluster: Cluster) -> None:
    before = cluster.state()
    fault = "connectionPool: {to: httpbin, tcp: {maxConnections: 50}}"
    result, code, output = cluster.run("pool", fault, "success: 50%")
    assert (code, result["verdict"]) == (0, "PASS"), output
    (found,) = result["faults"]
    assert "connectionPool tcp.maxConnections 50" in str(found["proof"]), output
    assert cluster.state() == before


def test_aborts_break_what_they_should(cluster: Cluster) -> None:
    before = cluster.state()
    fault = "abort: {to: httpbin, httpStatus: 503, percentage: 50, at: server}"
    result, code, output = cluster.run("aborted", fault, "success: 90%")
    assert (code, result["verdict"]) == (1, "FAIL"), output
    assert cluster.state() == before


def test_an_edit_made_during_the_fault_survives(cluster: Cluster) -> None:
    if not cluster.gateway:
        pytest.skip("the VirtualService is a gateway's, and there is none")
    before = cluster.get("VirtualService", "httpbin")
    process = cluster.command(
        "run", str(cluster.experiment("edited", "timeout: {to: httpbin, timeout: 3s}", "success: 50%", fault="20s"))
    )
    try:
        held = until(lambda: _with_timeout(cluster), "the timeout is in the VirtualService")
        held["metadata"].setdefault("labels", {})["team"] = "somebody"
        cluster.put(held)
        output, _ = process.communicate(timeout=120)
        after = cluster.get("VirtualService", "httpbin")
        assert after["spec"] == before["spec"], output
        assert after["metadata"]["labels"]["team"] == "somebody"
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
        now = cluster.get("VirtualService", "httpbin")
        now["metadata"].pop("labels", None)
        cluster.put(now)


def _with_timeout(cluster: Cluster) -> Manifest | None:
    found = cluster.get("VirtualService", "httpbin")
    return found if "timeout" in found["spec"]["http"][0] else None


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("killed-server-side", "delay: {to: httpbin, fixedDelay: 200ms}"),
        ("killed-client-side", "abort: {to: httpbin, httpStatus: 503, at: client}"),
        ("killed-mtls", "mtls: {workload: httpbin, mode: STRICT}"),
    ],
)
@pytest.mark.parametrize("alone", [True, False], ids=["by-nobodys-hand", "by-heal"])
def test_a_run_killed_under_its_fault_is_healed(cluster: Cluster, name: str, fault: str, alone: bool) -> None:
    """``alone``: its watchdog is left to it; else that is killed, too, as when their machine ends."""
    before = cluster.state()
    process = cluster.command("run", str(cluster.experiment(name, fault, "success: 1%", fault="60s")))
    assert process.stdout is not None
    try:
        for line in process.stdout:
            if " is live" in line:
                break
        else:
            pytest.fail("the fault never was live")
        if not alone:
            os.kill(watchdog_of(process.pid), signal.SIGKILL)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    if alone:
        until(lambda: cluster.state() == before, "everything is put back")
        return
    refused = cluster.command("run", str(cluster.experiment(name, fault, "success: 1%")))
    output, _ = refused.communicate(timeout=60)
    assert refused.returncode == 5
    assert "left changes behind; say: meshchaos heal --mesh real" in output
    healer = cluster.command("heal", "--mesh", "real")
    output, _ = healer.communicate(timeout=120)
    assert healer.returncode == 0, output
    assert "put back and verified" in output
    assert cluster.state() == before


def test_what_the_cluster_refuses_is_told_before_anything_is_done(cluster: Cluster) -> None:
    before = cluster.state()
    objects = (
        "{apiVersion: networking.istio.io/v1, kind: VirtualService, "
        f"metadata: {{name: bad, namespace: {cluster.namespace}}}, "
        "spec: {hosts: [httpbin], http: [{fault: {abort: {httpStatus: 9999}}, route: [{destination: {host: x}}]}]}}"
    )
    result, code, output = cluster.run("bad", f"apply: {{objects: [{objects}]}}", "success: 1%")
    assert (code, result) == (2, {}), output
    assert "bad.chaos.yaml:" in output
    assert cluster.state() == before
