"""Edges as they are found on a mesh, what is known of them beforehand, and what is judged of them on the way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from meshchaos.checks.kind import CheckContext, Verdict
from meshchaos.checks.success import SUCCESS, SuccessSpec
from meshchaos.experiment.model import Expectation, Phase, StopIf
from meshchaos.history.asks import EdgeAsk
from meshchaos.history.edges import EdgeLine, Loss, Told
from meshchaos.mesh.objects import Manifest
from meshchaos.mesh.seam import ProxyLogLine, Replica, Snapshot, Workload
from meshchaos.run import events
from meshchaos.run.edges import edge_of
from meshchaos.run.result import Result
from meshchaos.run.rooms import Scene
from tests.fakes import HERE, START, Behaviour, fine
from tests.mesh.local.small_mesh import NAMESPACE, manifests
from tests.run.bench import Bench

ASK = EdgeAsk("api", ("web",))


def workload(name: str) -> Workload:
    replica = Replica(f"{name}-1", name, NAMESPACE, "10.0.0.1", {"app": name}, name, sidecar=True)
    return Workload(name, NAMESPACE, {"app": name}, name, sidecar=True, gateway=False, replicas=(replica,))


def route(attempts: int) -> Manifest:
    return {
        "kind": "VirtualService",
        "metadata": {"name": "api", "namespace": NAMESPACE},
        "spec": {"hosts": ["api"], "http": [{"retries": {"attempts": attempts}}]},
    }


def mesh_config(text: dict[str, Any]) -> Manifest:
    meta = {"name": "istio", "namespace": "istio-system"}
    return {"kind": "ConfigMap", "metadata": meta, "data": {"mesh": yaml.safe_dump(text)}}


@pytest.mark.parametrize(
    ("before", "under", "most"),
    [
        ([], [], 3),
        ([route(5)], [], 6),
        ([route(5)], [route(9)], 10),
        ([route(5)], [route(0)], 6),
        ([mesh_config({"defaultHttpRetryPolicy": {"attempts": 7}})], [], 8),
        ([{"kind": "HTTPRoute", "metadata": {}, "spec": {"rules": [{"retry": {"attempts": 4}}]}}], [], 5),
    ],
)
def test_the_most_attempts_are_those_of_any_route_before_or_under_the_faults(
    before: list[Manifest], under: list[Manifest], most: int
) -> None:
    objects = tuple(one for one in manifests() if one["metadata"]["name"] != "istio")
    mesh = Snapshot((*objects, *before), (workload("web"), workload("api")), (NAMESPACE,))
    record = edge_of(ASK, mesh, NAMESPACE, under)
    assert record.most_attempts == most
    assert [peer.identity for peer in record.clients] == [f"spiffe://cluster.local/ns/{NAMESPACE}/sa/web"]


LINE = ProxyLogLine(0.0, 0.02, "outbound", "id", "GET", "/", "api", 200, (), "", "", "", "10.0.0.1:80", 1, (), "")


@dataclass
class Teller:
    """Tells of 200 requests a second, ``lag`` seconds late; None: it does not know how far it is."""

    scene: Scene
    behaviour: Behaviour = fine
    lag: float | None = 0.1
    losses: tuple[Loss, ...] = ()
    calls: int = 0
    _until: float = START

    def start(self) -> None: ...

    def collect(self) -> None:
        self.calls += 1

    def told(self) -> Mapping[EdgeAsk, Told]:
        if self.lag is None:
            return {ASK: Told(float("-inf"), ())}
        lines = []
        until = max(self._until, self.scene.clock.now() - self.lag)
        while self._until < until:
            status, duration = self.behaviour(self._until)
            lines.append(EdgeLine("web-1.shop", replace(LINE, start=self._until, status=status, duration=duration)))
            self._until += 0.005
        return {ASK: Told(until, tuple(lines), self.losses)}

    def finish(self) -> None: ...

    def close(self) -> None: ...


@dataclass
class EdgeBench(Bench):
    """One expectation, about an edge of which ``teller`` tells."""

    teller: dict[str, Any] = field(default_factory=dict)
    stop_if: StopIf | None = None

    def run(self) -> Result:
        engine = self.engine()
        expectation = Expectation("success", 0, SuccessSpec(0.95, to="api", from_=("web",)), HERE)
        checks = SUCCESS.checks(expectation, CheckContext(engine.plan.experiment, {}))
        experiment = replace(engine.plan.experiment, stop_if=self.stop_if)
        engine.plan = replace(engine.plan, checks=tuple(checks), experiment=experiment)
        engine.rooms = replace(engine.rooms, observers=lambda scene: [Teller(scene, **self.teller)])
        return engine.run()

    def gap(self) -> float:
        """Seconds between the baseline and the first change."""
        (baseline,) = (e for e in self.seen if isinstance(e, events.PhaseFinished) and e.record.name == "baseline")
        first = next(e for e in self.seen if isinstance(e, events.FaultApplying))
        return first.at - baseline.record.end


def test_an_edge_that_is_broken_before_the_fault_gets_none(tmp_path: Path) -> None:
    bench = EdgeBench(tmp_path, teller={"behaviour": lambda at: (503, 0.02)})
    result = bench.run()
    assert (result.verdict, result.exit_code) == (Verdict.INVALID, 3)
    assert result.reason.startswith("steady state: success web -> api: before any fault: 0 % of 2,000 requests were")
    assert bench.mesh.writes() == []


@pytest.mark.parametrize("lag", [0.0, 0.4, 30.0, None])
def test_an_edge_that_holds_or_is_not_known_yet_holds_nobody_up_for_long(tmp_path: Path, lag: float | None) -> None:
    bench = EdgeBench(tmp_path, teller={"lag": lag})
    bench.run()
    assert bench.mesh.writes() != []
    assert bench.gap() <= (lag or 0.0) + 0.1 if lag in (0.0, 0.4) else 0.9 <= bench.gap() <= 1.1


EARLY = (Phase("warmup", 1), Phase("baseline", 10), Phase("fault", 120, at_least=10), Phase("recovery", 5))


@pytest.mark.parametrize(
    ("teller", "cut", "longest"),
    [
        ({}, "early-verdict", 60),
        ({"behaviour": lambda at: (503 if at > START + 11.05 else 200, 0.02)}, "early-verdict", 15),
        ({"lag": None}, None, 121),
        ({"lag": 30.0}, "early-verdict", 90),
        ({"losses": (Loss("web-1.shop", START, START + 1),)}, None, 121),
    ],
    ids=["holds", "broken", "does not tell", "tells late", "lost some"],
)
def test_an_early_verdict_on_an_edge_goes_by_what_is_over(
    tmp_path: Path, teller: dict[str, Any], cut: str | None, longest: float
) -> None:
    bench = EdgeBench(tmp_path, teller=teller)
    bench.builder = replace(bench.builder, phases=EARLY)
    bench.run()
    (fault,) = (e.record for e in bench.seen if isinstance(e, events.PhaseFinished) and e.record.name == "fault")
    assert fault.cut == cut
    assert 10 <= fault.end - fault.start < longest
    if teller.get("lag") == 30.0:
        assert fault.end - fault.start > 40, "ten seconds must be over, and thirty pass until that is known"


def test_stop_if_on_an_edge_heals_at_once_though_the_load_is_served(tmp_path: Path) -> None:
    teller = {"behaviour": lambda at: (503 if at > START + 14 else 200, 0.02)}
    bench = EdgeBench(tmp_path, teller=teller, stop_if=StopIf(0.5, to="api", sources=("web",)))
    result = bench.run()
    assert (result.verdict, result.exit_code) == (Verdict.FAIL, 1)
    assert result.stopped is not None
    assert result.stopped.name == "stopIf success web -> api below 50 %"
    (fault,) = (e.record for e in bench.seen if isinstance(e, events.PhaseFinished) and e.record.name == "fault")
    assert fault.cut == "stop-if"
    assert fault.end - fault.start < 12
    assert result.healed


def test_stop_if_on_an_edge_that_is_not_told_stops_nothing(tmp_path: Path) -> None:
    teller = {"lag": None, "behaviour": lambda at: (503, 0.02)}
    bench = EdgeBench(tmp_path, teller=teller, stop_if=StopIf(0.5, to="api", sources=("web",)))
    result = bench.run()
    assert result.stopped is None
    assert bench.phases()[2] == ("fault", None)
