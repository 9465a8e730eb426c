"""Load and probes with a workload's identity, from Pods of the run; and a Job that heals when all else is gone."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from real_cluster import Cluster, until, watchdog_of

from meshchaos.errors import NotFound

pytestmark = pytest.mark.cluster

WHO = (
    "success: 90%",
    "denied: {to: httpbin, notFrom: sleeper}",
    "allowed: {to: httpbin, from: sleeper, paths: /get}",
    "mutualTLS: {to: httpbin, from: sleeper}",
)


def test_who_may_call_whom_holds(inside: Cluster) -> None:
    before = inside.state()
    result, code, output = inside.run("who", "delay: {to: httpbin, fixedDelay: 50ms}", *WHO)
    assert (code, result["verdict"]) == (0, "PASS"), output
    assert inside.state() == before


def test_a_port_that_takes_plaintext_is_found(inside: Cluster) -> None:
    before = inside.state()
    result, code, output = inside.run("plain", "mtls: {workload: httpbin, mode: PERMISSIVE}", *WHO[-1:])
    assert (code, result["verdict"]) == (1, "FAIL"), output
    assert "plaintext was taken" in result["reason"]
    assert inside.state() == before


def test_a_partition_is_felt_by_the_one_it_is_about(inside: Cluster) -> None:
    before = inside.state()
    result, code, output = inside.run("apart", "partition: {from: sleeper, to: httpbin}", "success: 90%")
    assert (code, result["verdict"]) == (1, "FAIL"), output
    assert inside.state() == before


@pytest.fixture
def healer(inside: Cluster) -> Iterator[Cluster]:
    """With the service account and the Roles that ``meshchaos rbac`` prints for it, and no others."""
    config = inside.folder / "meshchaos.yaml"
    plain = config.read_text("utf-8")
    form = yaml.safe_load(plain)
    form["meshes"]["real"]["kubernetes"]["healer"] = {"serviceAccount": "meshchaos-healer"}
    config.write_text(yaml.safe_dump(form), "utf-8")
    made: list[str] = []
    try:
        process = inside.command("rbac", str(inside.experiment("killed", FAULT, "success: 1%", fault="60s")))
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 0, output
        for one in yaml.safe_load_all(output):
            if one["metadata"]["name"] == "meshchaos-healer":
                made.append(_make(inside, one))
        assert len(made) >= 3, output
        yield inside
    finally:
        config.write_text(plain, "utf-8")
        for path in reversed(made):
            try:
                inside.api.call("DELETE", path)
            except NotFound:
                continue


FAULT = "abort: {to: httpbin, httpStatus: 503, percentage: 50}"


def _make(cluster: Cluster, manifest: dict[str, Any]) -> str:
    plural = f"{manifest['kind'].lower()}s"
    root = "/api/v1" if manifest["kind"] == "ServiceAccount" else "/apis/rbac.authorization.k8s.io/v1"
    path = f"{root}/namespaces/{manifest['metadata']['namespace']}/{plural}"
    cluster.api.call("POST", path, manifest)
    return f"{path}/{manifest['metadata']['name']}"


def test_a_job_heals_when_the_runners_machine_is_gone(healer: Cluster, tmp_path: Path) -> None:
    before = healer.state()
    log = tmp_path / "run.log"
    with log.open("w") as said:
        process = healer.command("run", str(healer.folder / "killed.chaos.yaml"), to=said)
    try:
        until(lambda: " is live" in log.read_text("utf-8") or process.poll() is not None, "the fault is live", 120)
        assert process.poll() is None, log.read_text("utf-8")
        os.kill(watchdog_of(process.pid), signal.SIGKILL)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert healer.state() != before
    until(lambda: healer.state() == before and not _ours(healer), "the Job puts everything back", 120)


def _ours(cluster: Cluster) -> list[str]:
    """Pods and Jobs that runs made."""
    roots = ("/api/v1/namespaces/{}/pods", "/apis/batch/v1/namespaces/{}/jobs")
    found = [one for root in roots for one in cluster.api.listing(root.format(cluster.namespace))]
    return [name for one in found if (name := str(one["metadata"]["name"])).startswith("chaos-")]
