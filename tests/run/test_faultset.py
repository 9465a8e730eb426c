"""Steps of a ramp and faults that end early, on a mesh that is a dictionary."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from meshchaos.errors import NotLive
from meshchaos.faults.kind import Placement, Proof
from meshchaos.mesh.changes import Change, Create, EditObject
from meshchaos.mesh.edits import MISSING, SetField
from meshchaos.mesh.objects import Manifest, Ref, ref_of
from meshchaos.run.faultset import FaultSet
from meshchaos.run.history_file import HistoryWriter
from meshchaos.run.outcome import RunStopped
from meshchaos.run.recorder import Recorder
from tests.fakes import NAMESPACE, VIRTUAL_SERVICE, FakeClock, FakeMesh

RUN = "r1"


def envoy_filter(number: int, share: float) -> Manifest:
    meta = {"name": f"chaos-{RUN}-{number}", "namespace": NAMESPACE}
    return {"apiVersion": "networking.istio.io/v1alpha3", "kind": "EnvoyFilter", "metadata": meta,
            "spec": {"share": share}}  # fmt: skip


def placement(number: int, share: float, *changes: Change) -> Placement:
    proof = Proof(("b-1.shop",), "inbound", "FI", "x", share)
    made = changes or (Create(envoy_filter(number, share)),)
    return Placement(f"chaos-{RUN}-{number}", "abort", "server", f"a -> b{number}", "so", made, proof)


LOW, HIGH = placement(0, 0.25), placement(0, 0.5)
OTHER = placement(1, 1.0)


class Made:
    def __init__(self, folder: Path) -> None:
        self.clock = FakeClock()
        self.mesh = FakeMesh(self.clock)
        self.before = self.mesh.without_versions()
        self.history = HistoryWriter(folder, frozenset())
        self.faults = FaultSet(
            mesh=self.mesh,  # type: ignore[arg-type]
            placements=(LOW, OTHER),
            run_id=RUN,
            clock=self.clock,
            recorder=Recorder(self.history, ()),
            tick=lambda: None,
            stop=lambda: None,
            remedy="meshchaos heal",
            live_deadline=1,
            gone_deadline=1,
            ramps=(LOW.id,),
        )

    def share(self, number: int = 0) -> float:
        spec: dict[str, float] = self.mesh.get(ref_of(envoy_filter(number, 0)))["spec"]
        return spec["share"]


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Made]:
    found = Made(tmp_path)
    yield found
    found.history.close()


def test_a_step_writes_the_same_object_and_closes_the_step_before(made: Made) -> None:
    with made.faults as faults:
        faults.apply(LOW)
        made.clock.wait(2)
        faults.step(HIGH)
        assert made.share() == 0.5
        first, second = faults.records[LOW.id].steps
        assert (first.share, second.share) == (0.25, 0.5)
        assert first.until is not None
        assert first.until - first.live_at == pytest.approx(2, abs=0.1)
        assert second.until is None
        assert faults.records[LOW.id].share == 0.5
    assert made.mesh.without_versions() == made.before


def test_a_step_of_an_object_that_somebody_took_away_ends_the_run(made: Made) -> None:
    with made.faults as faults:
        faults.apply(LOW)
        made.mesh.objects.pop(ref_of(envoy_filter(0, 0)))
        with pytest.raises(RunStopped, match="vanished in mid-phase"):
            faults.step(HIGH)


def test_a_step_that_never_gets_live_is_told_and_healed(made: Made) -> None:
    with made.faults as faults:
        faults.apply(LOW)
        made.mesh.fail["confirm live"] = [NotLive("b-1 lacks it")] * 100
        with pytest.raises(NotLive):
            faults.step(HIGH)
        made.mesh.fail.clear()
    assert faults.clean
    assert made.mesh.without_versions() == made.before


def test_one_that_ends_early_is_gone_and_the_others_stay(made: Made) -> None:
    with made.faults as faults:
        faults.apply(LOW)
        faults.apply(OTHER)
        faults.remove(LOW)
        assert ref_of(envoy_filter(0, 0)) not in made.mesh.objects
        assert faults.live == (OTHER.id,)
        assert faults.vanished() is None
        record = faults.records[LOW.id]
        assert record.removed_at is not None
        assert record.gone_at is not None
        writes = len(made.mesh.writes())
    assert made.mesh.without_versions() == made.before
    assert not [call for call in made.mesh.writes()[writes:] if call.endswith(f" {LOW.id}")], "undone once"


def test_two_on_one_object_and_the_first_ends(made: Made) -> None:
    ref = ref_of(VIRTUAL_SERVICE)
    one = placement(0, 1.0, EditObject(ref, (SetField(("spec", "x"), MISSING, 1),)))
    two = placement(1, 1.0, EditObject(ref, (SetField(("spec", "y"), MISSING, 2),)))
    with replace(made.faults, placements=(one, two), ramps=()) as faults:
        faults.apply(one)
        faults.apply(two)
        faults.remove(one)
        assert faults.vanished() is None, "its object was written by our own undoing"
        spec = made.mesh.get(Ref(ref.kind, ref.namespace, ref.name))["spec"]
        assert "x" not in spec
        assert spec["y"] == 2
    assert made.mesh.without_versions() == made.before


def test_what_somebody_else_wrote_over_one_that_ends_early_stays_and_ends_the_run(made: Made) -> None:
    ref = ref_of(VIRTUAL_SERVICE)
    one = placement(0, 1.0, EditObject(ref, (SetField(("spec", "x"), MISSING, 1),)))
    with replace(made.faults, placements=(one,), ramps=()) as faults:
        faults.apply(one)
        made.mesh.objects[ref]["spec"]["x"] = 9
        with pytest.raises(RunStopped):
            faults.remove(one)
    assert made.mesh.objects[ref]["spec"]["x"] == 9
