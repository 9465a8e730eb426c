"""The engine on fakes: every way a run can go, and that nothing of it is left."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest

from meshchaos.checks.kind import Verdict
from meshchaos.errors import Conflict, EvidenceError, LoadError, MeshError, MeshGone, NotLive
from meshchaos.experiment.model import Deadlines, Phase, StopIf
from meshchaos.mesh.objects import Ref, ref_of
from meshchaos.run import events
from meshchaos.run.history_file import read_history, whole_history
from meshchaos.run.judge import judge_run
from meshchaos.run.outcome import worst_exit
from meshchaos.run.plan import make_checks
from meshchaos.run.result import Result, schema
from tests.fakes import START, VIRTUAL_SERVICE, FakeFaultSpec, FakeProver, died
from tests.run.bench import EXPECT, KINDS, RUN_ID, Bench


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def nothing_left(bench: Bench) -> None:
    assert bench.mesh.without_versions() == bench.before
    assert bench.mesh.open_entries == []
    assert all(load.calls[-1] == "close" for load in bench.loads)


def test_a_good_run_passes_and_leaves_nothing(bench: Bench) -> None:
    result = bench.run()
    assert (result.verdict, result.exit_code) == (Verdict.PASS, 0)
    assert result.healed
    assert bench.phases() == [("warmup", None), ("baseline", None), ("fault", None), ("recovery", None)]
    assert bench.steps() == ["applied", "live", "removed", "gone"]
    nothing_left(bench)


@pytest.mark.parametrize(("share", "told"), [(1.0, True), (0.5, False)])
def test_a_load_that_is_only_sent_elsewhere_is_told(bench: Bench, share: float, told: bool) -> None:
    """301 is a good status, as 304 is."""
    bench.behaviour = lambda at: (301 if (at * 100) % 10 < 10 * share else 304, 0.01)
    result = bench.run()
    assert result.verdict is Verdict.PASS
    assert any("only say that http://shop.example/" in warning for warning in result.warnings) is told, result.warnings


def test_journal_is_open_before_the_first_write_and_closed_after_the_last_check(bench: Bench) -> None:
    bench.builder = replace(bench.builder, faults=(FakeFaultSpec(), FakeFaultSpec(edit=True)))
    bench.run()
    calls = [call for call in bench.mesh.calls if call != "journal.renew"]
    first, second = f"chaos-{RUN_ID}-0", "ratings"
    assert calls[0] == "journal.open"
    assert [call for call in calls if call != "confirm live"] == [
        "journal.open",
        "deploy",
        "observe",
        f"create {first}",
        f"replace {second}",
        f"replace {second}",
        f"delete {first}",
        "confirm gone",
        "confirm gone",
        "journal.close",
    ]
    entry_open = calls.index("journal.open")
    assert entry_open < min(calls.index(call) for call in bench.mesh.writes())
    nothing_left(bench)


def test_phases_touch_and_gaps_belong_to_none(bench: Bench) -> None:
    result = bench.run()
    warmup, baseline, fault, recovery = (count.record for count in result.phases)
    assert warmup.end == baseline.start
    (record,) = result.faults
    assert record.live_at == fault.start
    assert fault.end == pytest.approx(fault.start + 20.0)
    assert record.removed_at is not None
    assert record.removed_at >= fault.end
    assert record.gone_at == recovery.start
    idle = result.finished - result.started - sum(c.record.end - c.record.start for c in result.phases)
    assert idle < 1.0


def test_violated_steady_state_applies_no_fault(bench: Bench) -> None:
    bench.behaviour = lambda at: (503, 0.01)
    result = bench.run()
    assert (result.verdict, result.exit_code) == (Verdict.INVALID, 3)
    assert result.reason.startswith("steady state: success")
    assert bench.mesh.writes() == []
    assert bench.phases() == [("warmup", None), ("baseline", None)]
    nothing_left(bench)


def test_failing_under_the_fault_is_fail(bench: Bench) -> None:
    bench.behaviour = lambda at: (503, 0.01) if START + 12 < at < START + 30 else (200, 0.01)
    result = bench.run()
    assert (result.verdict, result.exit_code) == (Verdict.FAIL, 1)
    assert result.healed
    nothing_left(bench)


def test_stop_if_heals_at_once_and_fails(bench: Bench) -> None:
    bench.builder = replace(bench.builder, stop_if=StopIf(0.5))
    bench.behaviour = lambda at: (503, 0.01) if at > START + 12 else (200, 0.01)
    result = bench.run()
    assert (result.verdict, result.exit_code) == (Verdict.FAIL, 1)
    assert bench.phases()[-1] == ("fault", "stop-if")
    fault = result.phases[-1].record
    assert fault.end - fault.start < 10
    assert result.stopped is not None
    assert result.to_json()["stopIf"]["verdict"] == "FAIL"
    nothing_left(bench)


def test_an_early_verdict_ends_the_phase_and_goes_on_to_recovery(bench: Bench) -> None:
    phases = (Phase("warmup", 1), Phase("baseline", 10), Phase("fault", 120, at_least=10), Phase("recovery", 5))
    bench.builder = replace(bench.builder, phases=phases)
    result = bench.run()
    assert result.verdict is Verdict.PASS
    assert bench.phases()[2:] == [("fault", "early-verdict"), ("recovery", None)]
    fault = result.phases[2].record
    assert 10 <= fault.end - fault.start < 60


def test_a_phase_without_at_least_runs_its_full_length(bench: Bench) -> None:
    bench.behaviour = lambda at: (503, 0.01) if START + 12 < at < START + 31 else (200, 0.01)
    bench.run()
    assert bench.phases()[2] == ("fault", None)


def test_a_fault_somebody_deletes_makes_the_run_invalid(bench: Bench) -> None:
    ref = Ref("EnvoyFilter", "shop", f"chaos-{RUN_ID}-0")
    bench.in_fault_phase(lambda: bench.mesh.objects.pop(ref))
    result = bench.run()
    assert (result.verdict, result.exit_code) == (Verdict.INVALID, 3)
    assert "vanished in mid-phase" in result.reason
    assert "the object was deleted" in result.reason
    assert {finding.verdict for finding in result.findings} == {Verdict.INVALID}, "no PASS of a phase broken off"
    assert bench.phases()[-1] == ("fault", "invalid")
    assert "vanished" in bench.steps()
    nothing_left(bench)


def test_a_fault_somebody_edits_away_says_who(bench: Bench) -> None:
    bench.builder = replace(bench.builder, faults=(FakeFaultSpec(edit=True),))

    def edit() -> None:
        manifest = bench.mesh.objects[ref_of(VIRTUAL_SERVICE)]
        manifest["spec"]["timeout0"] = "9s"
        manifest["metadata"]["managedFields"] = [
            {"manager": "meshchaos", "operation": "Update", "time": "2027-01-15T08:00:00Z"},
            {"manager": "flagger", "operation": "Update", "time": "2027-01-15T08:00:09Z"},
        ]

    bench.in_fault_phase(edit)
    result = bench.run()
    assert "flagger wrote it last (Update at 2027-01-15T08:00:09Z)" in next(
        e.reason for e in bench.seen if isinstance(e, events.Stopped)
    )
    assert result.exit_code == 4, "their edit stays, and what could not be put back is named"
    assert bench.mesh.objects[ref_of(VIRTUAL_SERVICE)]["spec"]["timeout0"] == "9s"
    assert [e.kind for e in bench.seen if isinstance(e, events.Stopped)] == ["invalid"]


@pytest.mark.parametrize("how", ["gone and back", "made anew", "another field"])
def test_an_object_written_under_a_fault_is_not_trusted_though_it_holds_it(bench: Bench, how: str) -> None:
    bench.builder = replace(bench.builder, faults=(FakeFaultSpec(edit=how != "made anew"),))

    def disturb() -> None:
        ref = Ref("EnvoyFilter", "shop", f"chaos-{RUN_ID}-0") if how == "made anew" else ref_of(VIRTUAL_SERVICE)
        manifest = bench.mesh.get(ref)
        if how == "made anew":
            del bench.mesh.objects[ref]
            bench.mesh.create_silently(manifest)
        elif how == "gone and back":
            without = {key: value for key, value in manifest["spec"].items() if key != "timeout0"}
            bench.mesh.replace({**bench.mesh.get(ref), "spec": without})
            bench.mesh.replace({**bench.mesh.get(ref), "spec": manifest["spec"]})
        else:
            routes = [{"name": "theirs", "route": [{"destination": {"host": "x"}}]}, *manifest["spec"]["http"]]
            bench.mesh.replace({**manifest, "spec": {**manifest["spec"], "http": routes}})

    bench.in_fault_phase(disturb)
    result = bench.run()
    assert (result.verdict, result.exit_code) == (Verdict.INVALID, 3)
    assert "was changed under it" in result.reason
    assert bench.phases()[-1] == ("fault", "invalid")
    assert not any(f"timeout{i}" in bench.mesh.get(ref_of(VIRTUAL_SERVICE))["spec"] for i in range(2))


def test_labels_written_under_a_fault_change_nothing(bench: Bench) -> None:
    bench.builder = replace(bench.builder, faults=(FakeFaultSpec(edit=True),))

    def label() -> None:
        manifest = bench.mesh.get(ref_of(VIRTUAL_SERVICE))
        manifest["metadata"]["labels"] = {"seen": "yes"}
        bench.mesh.replace(manifest)

    bench.in_fault_phase(label)
    assert bench.run().verdict is Verdict.PASS


def test_a_fault_that_leaves_the_proxies_is_seen(bench: Bench) -> None:
    bench.mesh.fail["confirm live"] = [None, NotLive("ratings-v1-1.shop has it not")]
    result = bench.run()
    assert (result.verdict, result.exit_code) == (Verdict.INVALID, 3)
    assert "it is not live any more: ratings-v1-1.shop has it not" in result.reason
    nothing_left(bench)


def test_a_generator_that_dies_in_the_fault_phase_is_invalid(bench: Bench) -> None:
    bench.in_fault_phase(lambda: bench.loads[0].fail.update(poll=died()))
    result = bench.run()
    assert (result.verdict, result.exit_code) == (Verdict.INVALID, 3)
    assert "the load generator died" in result.reason
    nothing_left(bench)


def test_an_unhealthy_generator_is_invalid(bench: Bench) -> None:
    bench.prepare = lambda load: setattr(load, "healthy", False)
    result = bench.run()
    assert (result.verdict, result.exit_code) == (Verdict.INVALID, 3)
    assert "it lagged" in result.reason


def test_a_stub_that_could_not_keep_up_is_invalid(bench: Bench) -> None:
    bench.in_fault_phase(lambda: bench.mesh.strains.append("the stub page-1.shop was saturated"))
    result = bench.run()
    assert (result.verdict, result.reason) == (Verdict.INVALID, "the stub page-1.shop was saturated")
    nothing_left(bench)


def test_a_mesh_that_breaks_is_error_and_healed(bench: Bench) -> None:
    bench.in_fault_phase(lambda: bench.mesh.troubles.append("the Envoy of ratings-v1-1.shop died (SIGKILL)"))
    result = bench.run()
    assert (result.verdict, result.exit_code) == (Verdict.ERROR, 5)
    assert result.reason == "the Envoy of ratings-v1-1.shop died (SIGKILL)"
    assert result.healed
    nothing_left(bench)


@pytest.mark.parametrize(("step", "verdict"), [(0.1, Verdict.PASS), (-3.0, Verdict.INVALID), (0.6, Verdict.INVALID)])
def test_a_clock_that_is_set_in_mid_run_is_invalid(bench: Bench, step: float, verdict: Verdict) -> None:
    bench.in_fault_phase(lambda: setattr(bench.clock, "step", step))
    result = bench.run()
    assert result.verdict is verdict
    assert ("clock was set by" in result.reason) is (verdict is Verdict.INVALID)
    nothing_left(bench)


def test_the_deadline_of_the_run_heals_and_is_error(bench: Bench) -> None:
    bench.builder = replace(bench.builder, deadlines=Deadlines(run=60.0))
    bench.in_fault_phase(lambda: setattr(bench.clock, "time", bench.clock.time + 100))
    result = bench.run()
    assert (result.verdict, result.exit_code) == (Verdict.ERROR, 5)
    assert "deadline of 60s" in result.reason
    nothing_left(bench)


def test_an_interrupt_heals_and_is_130(bench: Bench) -> None:
    bench.in_fault_phase(lambda: setattr(bench, "signal", "SIGINT"))
    result = bench.run()
    assert result.exit_code == 130
    assert result.reason == "interrupted by SIGINT; everything was put back"
    assert bench.phases()[-1] == ("fault", "interrupted")
    assert result.healed
    nothing_left(bench)


def test_what_cannot_be_deleted_is_left_over(bench: Bench) -> None:
    bench.mesh.fail["delete"] = [MeshError("webhook denied the request")]
    result = bench.run()
    assert (result.verdict, result.exit_code, result.healed) == (Verdict.ERROR, 4, False)
    assert result.leftovers == (f"EnvoyFilter chaos-{RUN_ID}-0.shop: webhook denied the request",)
    left = [event for event in bench.seen if isinstance(event, events.LeftBehind)]
    assert left[0].remedy == "meshchaos heal --mesh fake"
    assert len(bench.mesh.open_entries) == 1, "the journal stays open, so that heal can finish"


def test_a_leftover_keeps_no_other_fault_from_being_undone(bench: Bench) -> None:
    bench.builder = replace(bench.builder, faults=(FakeFaultSpec(edit=True), FakeFaultSpec(), FakeFaultSpec()))
    bench.mesh.fail[f"delete chaos-{RUN_ID}-2"] = [MeshError("no")]
    result = bench.run()
    assert result.exit_code == 4
    assert bench.mesh.writes()[-3:] == [f"delete chaos-{RUN_ID}-2", f"delete chaos-{RUN_ID}-1", "replace ratings"]


def test_not_gone_from_the_proxies_is_left_over(bench: Bench) -> None:
    bench.builder = replace(bench.builder, deadlines=Deadlines(gone=0.001))
    bench.mesh.fail["confirm gone"] = [NotLive("ratings-v1-1.shop has it still")] * 5
    result = bench.run()
    assert result.exit_code == 4
    assert "not gone from the proxies: ratings-v1-1.shop has it still" in result.reason


def test_a_bug_in_healing_is_left_over_and_keeps_its_traceback(bench: Bench) -> None:
    bench.builder = replace(bench.builder, faults=(FakeFaultSpec(), FakeFaultSpec()))
    bench.mesh.fail["delete"] = [ZeroDivisionError("no mesh")]
    result = bench.run()
    assert result.exit_code == 4
    assert result.leftovers == (f"EnvoyFilter chaos-{RUN_ID}-1.shop: a bug: ZeroDivisionError: no mesh",)
    assert f"delete chaos-{RUN_ID}-0" in bench.mesh.writes()
    assert any("Traceback (most recent call last)" in warning for warning in result.warnings)


def test_a_write_race_is_run_again(bench: Bench) -> None:
    bench.builder = replace(bench.builder, faults=(FakeFaultSpec(edit=True),))
    bench.mesh.fail["replace"] = [Conflict("somebody wrote"), None, Conflict("somebody wrote")]
    result = bench.run()
    assert result.exit_code == 0
    nothing_left(bench)


def test_a_fault_not_live_in_time_is_error_and_undone(bench: Bench) -> None:
    bench.builder = replace(bench.builder, deadlines=Deadlines(live=0.001))
    bench.mesh.fail["confirm live"] = [NotLive("ratings-v1-1.shop has it not")] * 9
    result = bench.run()
    assert (result.verdict, result.exit_code) == (Verdict.ERROR, 5)
    assert bench.mesh.writes() == [f"create chaos-{RUN_ID}-0", f"delete chaos-{RUN_ID}-0"]
    nothing_left(bench)


def test_nothing_injected_is_invalid(bench: Bench) -> None:
    bench.prover = FakeProver(0.0)
    result = bench.run()
    assert (result.verdict, result.exit_code) == (Verdict.INVALID, 3)
    assert "none of" in result.reason


def test_unreadable_evidence_is_invalid(bench: Bench) -> None:
    bench.prover = FakeProver(0.5, EvidenceError("the access log of ratings-v1-1.shop is gone"))
    result = bench.run()
    assert (result.verdict, result.exit_code) == (Verdict.INVALID, 3)
    assert "the access log of ratings-v1-1.shop is gone" in result.reason


def test_a_target_that_never_answers_is_invalid_before_anything_is_done(bench: Bench) -> None:
    bench.silent = "no answer within 2s"
    result = bench.run()
    assert (result.verdict, result.exit_code) == (Verdict.INVALID, 3)
    assert "no answer through the gateway: no answer within 2s" in result.reason
    assert bench.mesh.calls == []


def test_a_held_journal_starts_nothing(bench: Bench) -> None:
    bench.mesh.open("beef", "ann@laptop", (), 30)
    result = bench.run()
    assert (result.verdict, result.exit_code) == (Verdict.ERROR, 5)
    assert result.reason == (
        "mesh fake: run beef (ann@laptop) holds it, and for 30s yet unless it renews; "
        "wait for it, or if you know it is over, say: meshchaos heal --mesh fake --force"
    )
    assert bench.mesh.calls == ["journal.open"]
    assert len(bench.mesh.open_entries) == 1, "it is theirs"


def test_an_expired_journal_writes_nothing_more(bench: Bench) -> None:
    def heal_behind_our_back() -> None:
        bench.mesh.open_entries.clear()
        bench.mesh.objects.pop(Ref("EnvoyFilter", "shop", f"chaos-{RUN_ID}-0"))

    bench.in_fault_phase(heal_behind_our_back, after=4.9)
    result = bench.run()
    assert result.exit_code in (3, 5)
    assert bench.mesh.writes() == [f"create chaos-{RUN_ID}-0"], "no delete by a run that lost its journal"


STEPS: list[tuple[str, Callable[[Bench], object], type[Exception] | None]] = [
    ("journal.open", lambda b: b.mesh.fail.update({"journal.open": [MeshError("disk full")]}), None),
    ("observe", lambda b: b.mesh.fail.update(observe=[MeshError("boom")]), None),
    ("load starts", lambda b: setattr(b, "prepare", lambda load: load.fail.update(start=LoadError("no port"))), None),
    ("create", lambda b: b.mesh.fail.update(create=[MeshError("boom")]), None),
    ("create, bug", lambda b: b.mesh.fail.update(create=[ZeroDivisionError("bug")]), ZeroDivisionError),
    ("replace", lambda b: b.mesh.fail.update(replace=[MeshError("boom")]), None),
    ("replace, bug", lambda b: b.mesh.fail.update(replace=[ZeroDivisionError("bug")]), ZeroDivisionError),
    ("confirm", lambda b: b.mesh.fail.update({"confirm live": [MeshError("boom")]}), None),
    ("confirm 2", lambda b: b.mesh.fail.update({"confirm live": [None, ZeroDivisionError()]}), ZeroDivisionError),
    ("confirm in phase", lambda b: b.mesh.fail.update({"confirm live": [None, None, MeshError("x")]}), None),
    ("renew", lambda b: b.mesh.fail.update({"journal.renew": [None, MeshError("x")]}), None),
    ("trouble", lambda b: b.mesh.fail.update(trouble=[None] * 90 + [MeshError("x")]), None),
    ("trouble, bug", lambda b: b.mesh.fail.update(trouble=[None] * 90 + [ZeroDivisionError()]), ZeroDivisionError),
    ("poll", lambda b: b.in_fault_phase(lambda: b.loads[0].fail.update(poll=died())), None),
    ("poll, bug", lambda b: b.in_fault_phase(lambda: b.loads[0].fail.update(poll=KeyError())), KeyError),
    ("stop", lambda b: setattr(b, "prepare", lambda load: load.fail.update(stop=died())), None),
    ("ctrl-c raised", lambda b: b.mesh.fail.update({"confirm live": [None, KeyboardInterrupt()]}), KeyboardInterrupt),  # type: ignore[list-item]
]


@pytest.mark.parametrize(("name", "breaks", "escapes"), STEPS, ids=[step[0] for step in STEPS])
def test_whatever_step_breaks_nothing_is_left(
    bench: Bench, name: str, breaks: Callable[[Bench], object], escapes: type[BaseException] | None
) -> None:
    bench.builder = replace(bench.builder, faults=(FakeFaultSpec(), FakeFaultSpec(edit=True)))
    breaks(bench)
    if escapes is not None:
        with pytest.raises(escapes):
            bench.run()
    else:
        result = bench.run()
        assert result.exit_code in (3, 5), result.reason
    nothing_left(bench)


def test_a_mesh_that_is_gone_is_error_and_its_leftovers_are_named(bench: Bench) -> None:
    bench.mesh.fail["delete"] = [MeshGone("the mesh does not answer")]
    result = bench.run()
    assert result.exit_code == 4
    assert "the mesh does not answer" in result.reason


def test_a_mesh_that_ends_takes_its_changes_with_it(bench: Bench) -> None:
    bench.mesh.ephemeral = True
    bench.mesh.fail["delete"] = [MeshGone("the mesh does not answer")]
    bench.mesh.fail["confirm gone"] = [MeshGone("the mesh does not answer")]
    result = bench.run()
    assert (result.verdict, result.exit_code) == (Verdict.ERROR, 5)


def test_a_listener_that_raises_cannot_keep_the_fault_in_place(bench: Bench) -> None:
    def broken(event: events.Event) -> None:
        if isinstance(event, events.FaultChanged):
            raise OSError("no screen")

    bench.handlers = [broken]
    with pytest.raises(OSError, match="no screen"):
        bench.run()
    nothing_left(bench)
    assert json.loads((bench.folder / "result.json").read_text("utf-8"))["verdict"] == "PASS"


def test_a_full_disk_stops_the_run_heals_and_says_so(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    real = os.fsync
    syncs = 0

    def full(descriptor: int) -> None:
        nonlocal syncs
        syncs += 1
        if syncs > 4:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(descriptor)

    monkeypatch.setattr("meshchaos.run.history_file.os.fsync", full)
    result = bench.run()
    assert result.exit_code == 5
    assert result.reason == f"cannot write {bench.folder / 'history.jsonl'}: No space left on device"
    nothing_left(bench)


def test_the_worst_exit_code_by_precedence() -> None:
    assert worst_exit([0, 3, 1]) == 1
    assert worst_exit([0, 3]) == 3
    assert worst_exit([5, 1, 130]) == 130
    assert worst_exit([4, 130]) == 4
    assert worst_exit([0, 0]) == 0
    assert worst_exit([]) == 2


def test_without_faults_the_way_things_stand_is_judged(bench: Bench) -> None:
    phases = (Phase("warmup", 1), Phase("observe", 10))
    bench.builder = replace(bench.builder, faults=(), phases=phases, expect=EXPECT)
    result = bench.run()
    assert (result.verdict, result.exit_code) == (Verdict.PASS, 0)
    assert bench.mesh.writes() == []
    assert [finding.during for finding in result.findings] == [("observe",), ("observe",)]


def test_result_json_is_as_its_published_schema_says(bench: Bench) -> None:
    bench.builder = replace(bench.builder, stop_if=StopIf(0.5))
    bench.behaviour = lambda at: (503, 0.01) if at > START + 20 else (200, 0.01)
    bench.run()
    data = json.loads((bench.folder / "result.json").read_text("utf-8"))
    assert data["stopIf"] is not None
    jsonschema.validate(data, schema())
    assert list(data) == list(schema()["properties"])


def test_judged_again_from_disk_it_comes_out_the_same(bench: Bench) -> None:
    first = bench.run()
    found = read_history(bench.folder)
    samples = {load.plan.name: load.samples() for load in bench.loads}
    checks = make_checks(bench.builder.build(), KINDS, {})
    again = judge_run(bench.builder.build(), checks, found, samples, bench.folder)
    assert replace(again, finished=first.finished).to_json() == first.to_json()


def judged_again(bench: Bench, found: Sequence[events.Event], rows: int | None = None) -> Result:
    samples = {load.plan.name: load.samples() for load in bench.loads}
    if rows is not None:
        samples = {name: replace(some, rows=some.rows[:rows]) for name, some in samples.items()}
    checks = make_checks(bench.builder.build(), KINDS, {})
    return judge_run(bench.builder.build(), checks, found, samples, bench.folder)


def test_samples_that_are_gone_since_are_missed(bench: Bench) -> None:
    bench.prepare = lambda load: setattr(load, "counts", True)
    bench.run()
    found = read_history(bench.folder)
    assert judged_again(bench, found).verdict is Verdict.PASS
    again = judged_again(bench, found, rows=7000)
    assert again.verdict is Verdict.INVALID
    assert "its sample file holds 6," in again.reason


def test_a_history_that_ends_before_the_run_did_is_no_verdict(bench: Bench) -> None:
    bench.run()
    found = read_history(bench.folder)
    for kept in range(1, len(found)):
        again = judged_again(bench, whole_history(found[:kept]))
        assert again.verdict is Verdict.ERROR, found[kept - 1]
        assert "the history ends before the run did" in again.reason
    cut = next(i for i, event in enumerate(found) if isinstance(event, events.PhaseFinished) and i > 8)
    assert "whether its faults were put back is not known" in judged_again(bench, whole_history(found[:cut])).reason
    assert judged_again(bench, whole_history(found)).verdict is Verdict.PASS


def test_a_load_of_which_nothing_is_told_is_not_trusted(bench: Bench) -> None:
    bench.run()
    found = [event for event in read_history(bench.folder) if not isinstance(event, events.LoadFinished)]
    again = judged_again(bench, found)
    assert (again.verdict, again.reason) == (
        Verdict.INVALID,
        "load main: nothing says whether its generator kept its rate",
    )
