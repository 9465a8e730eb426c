"""Faults one after another, and a ramp, inside one fault phase on real Envoys."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.stage import Stage, kept_up, stage

pytestmark = [pytest.mark.envoy, pytest.mark.e2e]

EXPERIMENT = """\
apiVersion: meshchaos.dev/v1
kind: Experiment
metadata: {{name: {name}}}
spec:
  hypothesis: The page bears it.
  load: {{target: "http://shop.example/", rate: 100, arrivals: uniform, timeout: 3s}}
  phases: {{warmup: 200ms, baseline: 500ms, fault: {phase}, recovery: 300ms}}
  faults:
{faults}
  expect:
    - success: {success}
"""


UNNAMED = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: stars, namespace: shop}
spec:
  hosts: [stars]
  http: [{timeout: 2s, route: [{destination: {host: stars}}]}]
"""


@pytest.fixture(scope="module")
def up() -> Iterator[Stage]:
    with stage() as made, kept_up(made):
        yield made


@pytest.fixture(scope="module")
def owned() -> Iterator[Stage]:
    """The same where stars has a VirtualService of its owner's, whose route can be known by its content only."""
    with stage() as made:
        made.add_objects(UNNAMED)
        with kept_up(made):
            yield made


def run(up: Stage, code: int, name: str, phase: str, success: str, *faults: str) -> dict[str, object]:
    listed = "\n".join(f"    - {fault}" for fault in faults)
    text = EXPERIMENT.format(name=name, phase=phase, success=success, faults=listed)
    up.write(text, f"{name}.chaos.yaml")
    up.fails(code, "run", f"{name}.chaos.yaml", "--seed", "5")
    return up.newest()


def test_two_faults_in_sequence_on_one_route(up: Stage) -> None:
    """Envoy keeps one fault a route: the first goes before the second comes."""
    result = run(
        up,
        0,
        "sequence",
        "4s",
        "60%",
        "delay: {to: stars, fixedDelay: 20ms, for: 1500ms}",
        "abort: {to: stars, httpStatus: 500, percentage: 60, after: 1500ms, for: 1s}",
    )
    delay, abort = result["faults"]  # type: ignore[misc]
    assert (delay["proof"]["verdict"], abort["proof"]["verdict"]) == ("PASS", "PASS")
    assert delay["goneAt"] <= abort["appliedAt"], "one makes room for the other"
    assert 100 <= delay["injected"]["of"] <= 190, "only requests of its own time count"
    assert 60 <= abort["injected"]["of"] <= 140
    (found,) = result["expectations"]  # type: ignore[misc]
    assert found["n"] >= 390, "requests are judged over the whole fault phase"
    assert [line for line in found["evidence"] if "abort" in line and "was live from " in line]
    assert [line for line in found["evidence"] if "delay" in line and "was live from 0 ms to " in line]


ONE_RETRY = "retries: {to: stars, attempts: 1, retryOn: 5xx, for: 1s}"


@pytest.mark.parametrize(
    "later",
    [
        "delay: {to: stars, fixedDelay: 20ms, at: client, after: 1s, for: 1s}",
        "timeout: {to: stars, timeout: 1s, after: 1s}",
    ],
    ids=["copies the route", "edits the route"],
)
def test_what_comes_later_finds_the_route_as_its_owner_wrote_it(owned: Stage, later: str) -> None:
    """The earlier change of the same route is gone by then, and the plan knows it."""
    result = run(owned, 0, "later", "3s", "60%", ONE_RETRY, later)
    assert [fault["proof"]["verdict"] for fault in result["faults"]] == ["PASS", "PASS"]  # type: ignore[attr-defined]
    assert (result["healed"], result["leftovers"]) == (True, [])
    owned.on_mesh(
        "spec = mesh.get(Ref('VirtualService', 'shop', 'stars'))['spec']\n"
        "assert spec['http'] == [{'timeout': '2s', 'route': [{'destination': {'host': 'stars'}}]}], spec\n"
    )


def test_a_copied_route_and_an_edited_one_are_refused_when_they_meet(owned: Stage) -> None:
    faults = f"    - {ONE_RETRY}\n    - delay: {{to: stars, fixedDelay: 20ms, at: client}}"
    owned.write(EXPERIMENT.format(name="cross", phase="3s", success="60%", faults=faults), "cross.chaos.yaml")
    line = owned.one_line(2, "run", "cross.chaos.yaml")
    assert "spec.faults[1].delay: faults retries and delay both change the routes of VirtualService stars.shop" in line


def test_each_step_of_a_ramp_is_judged_and_the_first_that_fails_is_named(up: Stage) -> None:
    result = run(
        up, 1, "ramp", "6s", "50%", "abort: {to: page, httpStatus: 500, percentage: {from: 0, to: 100, steps: 4}}"
    )
    (fault,) = result["faults"]  # type: ignore[misc]
    assert fault["proof"]["verdict"] == "PASS"
    assert [step["share"] for step in fault["steps"]] == [0.25, 0.5, 0.75, 1.0]
    for step in fault["steps"]:
        assert step["of"] >= 100
        assert abs(step["count"] / step["of"] - step["share"]) < 0.2
    assert fault["steps"][-1]["count"] == fault["steps"][-1]["of"]
    (phase,) = [one for one in result["phases"] if one["name"] == "fault"]  # type: ignore[attr-defined]
    assert [step["label"] for step in phase["steps"]] == ["abort 25 %", "abort 50 %", "abort 75 %", "abort 100 %"]
    (found,) = result["expectations"]  # type: ignore[misc]
    assert found["verdict"] == "FAIL"
    assert "at abort 50 %" in found["reason"] or "at abort 75 %" in found["reason"]
    assert [line for line in found["evidence"] if line.startswith("PASS at abort 25 %")]
    assert [line for line in found["evidence"] if line.startswith("FAIL at abort 100 %")]
    assert result["healed"]
    again = up.command("report", str(next((up.folder / "reports").glob(f"*-{result['runId']}"))))
    assert again.returncode == 1, again.stderr
    assert up.newest()["faults"] == result["faults"], "judged again from the folder alone"


def test_faults_that_meet_at_times_of_their_own_are_refused(up: Stage) -> None:
    up.write(
        EXPERIMENT.format(
            name="meet",
            phase="4s",
            success="60%",
            faults="    - delay: {to: page, fixedDelay: 20ms}\n    - abort: {to: page, httpStatus: 500, after: 1s}",
        ),
        "meet.chaos.yaml",
    )
    line = up.one_line(2, "run", "meet.chaos.yaml")
    assert "spec.faults[1].abort: it meets spec.faults[0] on one route" in line
