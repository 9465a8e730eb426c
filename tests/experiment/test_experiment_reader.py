"""A good file: what it means, what is filled in, what comes over it, and that it survives its own copy."""

# ruff: noqa: E501 - the messages are whole

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from experiment_vocabulary import GOOD, VOCABULARY, AbortSpec, DelaySpec, LatencySpec, RecoverySpec, SuccessSpec

from meshchaos.errors import FileError, FileErrors, UserError
from meshchaos.experiment.fields import Text, spec
from meshchaos.experiment.model import Deadlines, Experiment, Phase, Request, Secret, SpecKind, StopIf, Vocabulary
from meshchaos.experiment.reader import read, read_string
from meshchaos.experiment.specs import build
from meshchaos.experiment.yaml_source import dump

LOAD = GOOD[GOOD.index("  load:") : GOOD.index("  phases:")]
PLAIN = GOOD[: GOOD.index("  overrides:")]
SHORT = """\
apiVersion: meshchaos.dev/v1
kind: Experiment
metadata: {name: short}
spec:
  load: {target: "http://shop.example/cart?full=1", rate: 20}
  faults: {delay: {to: ratings, fixedDelay: 250ms}}
  expect: {success: 99%}
"""


@spec
class AlertSpec:
    name: Text


def one(text: str, **options: Any) -> Experiment:
    (experiment,) = read_string(text, "x.yaml", VOCABULARY, **options)
    return experiment


def test_a_whole_file() -> None:
    experiment = one(GOOD)
    assert (experiment.name, experiment.labels, experiment.mesh) == ("slow-ratings", {"tier": "web"}, "bookinfo")
    assert experiment.phases == tuple(
        Phase(name, length)
        for name, length in [("warmup", 2.0), ("baseline", 10.0), ("fault", 60.0), ("recovery", 20.0)]
    )
    assert [fault.spec for fault in experiment.faults] == [DelaySpec("ratings", 2.0, percentage=50.0)]
    assert [e.spec for e in experiment.expect] == [SuccessSpec(0.995), LatencySpec({"p99": 0.8}), RecoverySpec(10.0)]
    assert experiment.stop_if == StopIf(0.5)
    assert experiment.confidence == 0.95
    assert experiment.deadlines == Deadlines(30.0, 30.0, 120.0, 900.0)
    where = experiment.faults[0].where
    assert (where.file, where.line, where.col, where.path) == ("x.yaml", 15, 7, "spec.faults[0].delay")


def test_what_is_left_out_is_filled_in_as_the_contract_says() -> None:
    experiment = one(SHORT)
    (load,) = experiment.loads
    assert (load.name, load.source, load.arrivals, load.timeout) == ("main", "gateway", "poisson", 10.0)
    assert load.max_in_flight == 400  # 2 x 20/s x 10 s
    assert load.requests == (Request("GET /cart", "GET", "/cart?full=1", {}, None),)
    assert [(phase.name, phase.at_most) for phase in experiment.phases] == [
        ("warmup", 2.0),
        ("baseline", 10.0),
        ("fault", 60.0),
        ("recovery", 20.0),
    ]
    assert experiment.confidence == 0.95
    assert experiment.faults[0].spec.percentage == 100.0
    assert experiment.expect[0].during is None
    assert experiment.main_phase == "fault"


def test_without_faults_there_is_only_something_to_observe() -> None:
    text = SHORT.replace("  faults: {delay: {to: ratings, fixedDelay: 250ms}}\n", "")
    experiment = one(text)
    assert [(phase.name, phase.at_most) for phase in experiment.phases] == [("warmup", 2.0), ("observe", 60.0)]
    assert experiment.main_phase == "observe"
    assert one(text.replace("{success: 99%}", "{success: {atLeast: 99%, during: all}}")).expect[0].during == (
        "observe",
    )
    with pytest.raises(FileError, match="this experiment has no phase 'fault'"):
        one(text.replace("{success: 99%}", "{success: {atLeast: 99%, during: fault}}"))


@pytest.mark.parametrize("check", ["success: 99%", "latency: {p99: 1s}", "recovery: {within: 1s}"])
def test_without_a_load_there_are_no_requests_to_judge(check: str) -> None:
    text = PLAIN.replace(LOAD, "").replace("    - success: 99.5%\n", "").replace("    - latency: {p99: 800ms}\n", "")
    text = text.replace("    - recovery: {within: 10s}\n", f"    - {check}\n").replace("  stopIf", "  #")
    with pytest.raises(FileError, match=r"needs requests to judge, and spec.load is left out"):
        one(text)
    assert one(text.replace(check, "injected: {share: 50%}")).loads == ()


def test_stop_if_needs_a_load() -> None:
    text = SHORT.replace('  load: {target: "http://shop.example/cart?full=1", rate: 20}\n', "")
    text = text.replace("{success: 99%}", "{injected: {share: 50%}}") + "  stopIf: {success: {below: 50%}}\n"
    with pytest.raises(FileError, match=r"x.yaml:7:12: spec.stopIf.success: stopIf needs requests to judge"):
        one(text)


def test_an_early_verdict_is_allowed_by_at_least() -> None:
    experiment = one(GOOD.replace("fault: 60s", "fault: {atLeast: 10s, atMost: 1m}"))
    assert experiment.phase("fault") == Phase("fault", 60.0, 10.0)


def test_phases_of_no_length_are_left_away() -> None:
    text = GOOD.replace("warmup: 2s", "warmup: 0s").replace("recovery: 20s", "recovery: 0s")
    experiment = one(text.replace("    - recovery: {within: 10s}\n", ""))
    assert [phase.name for phase in experiment.phases] == ["baseline", "fault"]


def test_during_takes_one_several_or_all() -> None:
    def during(written: str) -> Any:
        return one(GOOD.replace("99.5%", f"{{atLeast: 99.5%, during: {written}}}")).expect[0].during

    assert during("baseline") == ("baseline",)
    assert during("[recovery, baseline, recovery]") == ("baseline", "recovery")
    assert during("all") == ("baseline", "fault", "recovery")


def test_requests_take_what_they_leave_out_from_their_load() -> None:
    text = GOOD.replace(
        "timeout: 10s",
        "method: post\n    headers: {X-A: '1', X-B: {env: B}}\n    body: hello\n    token: {file: t.txt}\n"
        "    requests:\n"
        "      - {name: pay, weight: 3, path: /pay, headers: {x-a: '2'}}\n"
        "      - {path: '/look?x=1', method: GET, body: ''}\n",
    )
    pay, look = one(text, folder=Path("/shop")).loads[0].requests
    token = Secret("file", "/shop/t.txt", prefix="Bearer ")
    assert pay == Request(
        "pay", "POST", "/pay", {"X-B": Secret("env", "B"), "x-a": "2", "Authorization": token}, "hello", 3.0
    )
    assert (look.name, look.path, look.body, look.headers["X-A"]) == ("GET /look", "/look?x=1", "", "1")


def test_several_loads_and_scopes() -> None:
    text = PLAIN.replace(
        LOAD,
        "  load:\n"
        "    - {name: shop, target: 'http://a/', rate: 10, requests: [{name: pay, path: /}]}\n"
        "    - {name: batch, target: 'http://b:8080/x', rate: 12/m, from: reviews-v3}\n",
    ).replace("success: 99.5%", "success: {atLeast: 99.5%, load: shop, request: pay, name: paying}")
    experiment = one(text)
    assert [(load.name, load.source, load.rate, load.max_in_flight) for load in experiment.loads] == [
        ("shop", "gateway", 10.0, 200),
        ("batch", "reviews-v3", 0.2, 4),
    ]
    first = experiment.expect[0]
    assert (first.load, first.request, first.name) == ("shop", "pay", "paying")
    with pytest.raises(FileError, match=r"there is no request 'pay' \(known: GET /x\)"):
        one(text.replace("load: shop, request", "load: batch, request"))


def test_a_locustfile_is_a_closed_load() -> None:
    text = PLAIN.replace("rate: 200\n    arrivals: poisson\n", "locustfile: load/shop.py\n    users: 25\n")
    (load,) = one(text, folder=Path("/shop")).loads
    assert (load.rate, load.users, load.max_in_flight, load.requests) == (None, 25, 25, ())
    assert load.locustfile == "/shop/load/shop.py"


def test_faults_come_by_any_spelling_of_a_percentage() -> None:
    for written in ("10", "10%", "{value: 10}"):
        spec = one(GOOD.replace("percentage: 50", f"percentage: {written}")).faults[0].spec
        assert spec.percentage == 10.0


def test_yaml_1_1_never_makes_a_bool_of_a_word() -> None:
    text = GOOD.replace("to: ratings", "to: on").replace("{tier: web}", "{on: yes, no: off, y: n}")
    experiment = one(text.replace("hypothesis: The page stays fast.", "hypothesis: no"))
    assert experiment.faults[0].spec.to == "on"
    assert experiment.labels == {"on": "yes", "no": "off", "y": "n"}
    assert experiment.hypothesis == "no"


def test_anchors_and_merge_keys() -> None:
    text = GOOD.replace("labels: {tier: web}", "labels: &l {tier: web, a: b}").replace(
        "    - delay: {to: ratings, fixedDelay: 2s, percentage: 50}",
        "    - delay: &d {to: ratings, fixedDelay: 2s}\n    - delay: {<<: *d, to: details}",
    )
    assert [fault.spec.to for fault in one(text).faults] == ["ratings", "details"]


def test_overrides_are_merged_for_their_mesh_only() -> None:
    assert one(GOOD).loads[0].rate == 200.0
    experiment = one(GOOD, mesh="staging")
    assert (experiment.mesh, experiment.loads[0].rate, experiment.loads[0].max_in_flight) == ("staging", 20.0, 400)
    assert experiment.overrides == (("overrides.staging", "spec.load.rate", 20),)
    assert one(GOOD.replace("mesh: bookinfo", "mesh: staging")).loads[0].rate == 20.0
    assert one(GOOD.replace("  mesh: bookinfo\n", ""), default_mesh="staging").loads[0].rate == 20.0


def test_overrides_replace_lists_and_take_keys_away() -> None:
    text = GOOD.replace("{load: {rate: 20}}", "{stopIf: null, faults: [{abort: {to: details, httpStatus: 503}}]}")
    experiment = one(text, mesh="staging")
    assert experiment.stop_if is None
    assert [fault.spec for fault in experiment.faults] == [AbortSpec("details", 503)]


def test_a_mistake_in_an_override_is_told_there() -> None:
    with pytest.raises(FileError) as caught:
        one(GOOD.replace("{rate: 20}", "{rate: 0}"), mesh="staging")
    assert str(caught.value) == "x.yaml:24:28: spec.load.rate: a rate is above 0 (from overrides.staging)"
    with pytest.raises(FileError) as caught:
        one(GOOD.replace("{rate: 20}", "{rat: 20}"), mesh="staging")
    assert str(caught.value).startswith("x.yaml:24:22: spec.load.rat: unknown key 'rat', did you mean 'rate'?")


def test_a_mistake_in_an_override_does_not_wait_for_its_mesh() -> None:
    with pytest.raises(FileError) as caught:
        one(GOOD.replace("{rate: 20}", "{rate: 0}"))
    assert str(caught.value) == "x.yaml:24:28: spec.load.rate: a rate is above 0 (from overrides.staging)"
    incomplete = GOOD.replace("    rate: 200\n", "")
    assert one(incomplete, mesh="staging").loads[0].rate == 20.0
    assert one(incomplete, sets=["spec.load.rate=1"]).loads[0].rate == 1.0


@pytest.mark.parametrize(
    ("setting", "look", "value"),
    [
        ("spec.load.rate=20", lambda e: e.loads[0].rate, 20.0),
        ("spec.load[0].rate=20", lambda e: e.loads[0].rate, 20.0),
        ("spec.faults[0].delay.percentage=5%", lambda e: e.faults[0].spec.percentage, 5.0),
        ("spec.expect[0].success=97%", lambda e: e.expect[0].spec.at_least, 0.97),
        ("spec.expect=[{success: 97%}]", lambda e: len(e.expect), 1),
        ("spec.expect[1]=null", lambda e: [x.kind for x in e.expect], ["success", "recovery"]),
        ("spec.stopIf=", lambda e: e.stop_if, None),
        ("spec.deadlines.run=1h", lambda e: e.deadlines.run, 3600.0),
        ('spec.load.headers["x.y"]=z', lambda e: e.loads[0].requests[0].headers, {"x.y": "z"}),
        ("metadata.labels.tier=back", lambda e: e.labels, {"tier": "back"}),
        ("spec.hypothesis=no", lambda e: e.hypothesis, "no"),
        ("spec.mesh=staging", lambda e: (e.mesh, e.loads[0].rate), ("staging", 20.0)),
    ],
)
def test_settings(setting: str, look: Any, value: Any) -> None:
    experiment = one(GOOD, sets=[setting])
    assert look(experiment) == value
    assert experiment.overrides[-1][:2] == ("--set", setting.partition("=")[0])


def test_settings_come_after_overrides() -> None:
    experiment = one(GOOD, mesh="staging", sets=["spec.load.rate=7", "spec.load.rate=8"])
    assert experiment.loads[0].rate == 8.0
    assert [origin for origin, _, _ in experiment.overrides] == ["overrides.staging", "--set", "--set"]


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("spec.load.rate=fast", "spec.load.rate: a rate is requests per second: write 200 (or 200/s, 1200/m), not 'fast'"),
        ("spec.load.rat=20", "spec.load.rat: unknown key 'rat', did you mean 'rate'? (known: target, name, from, rate, "
         "arrivals, timeout, maxInFlight, method, headers, body, token, message, protoset, requests, locustfile, users)"),
        ("spec.faults[3].delay.percentage=5", "there is no spec.faults[3]: spec.faults has 1 item"),
        ("spec.load.rate.x=5", "spec.load.rate is 200, no mapping"),
        ("spec.faults.delay=5", "spec.faults is a list: write an index, as in [0]"),
        ("spec.load.rate", "has no value: write --set spec.load.rate=20"),
        ("load.rate=5", "sets something in spec or metadata: write for instance --set spec.load.rate=20"),
        ("spec..rate=5", "is no path at '..rate': write for instance spec.faults[0].percentage"),
        ("spec.overrides.staging=5", "the overrides are merged before --set: set the value itself"),
        ("spec.load.rate=[", None),
        ("=5", "sets something in spec or metadata: write for instance --set spec.load.rate=20"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_setting_is_told_there(setting: str, said: str | None) -> None:
    with pytest.raises(FileError) as caught:
        one(GOOD, sets=[setting])
    assert str(caught.value).startswith(f"--set {setting}:")
    if said is not None:
        assert str(caught.value) == f"--set {setting}: {said}"


RICH = GOOD.replace(
    "timeout: 10s",
    "timeout: 1.5s\n    token: {env: TOKEN}\n    headers: {on: 'yes', a: '0o10', b: '010', c: '1e3', d: '10:30', e: '3'}\n"
    "    body: \"line\\n  two\\n\"\n    requests: [{name: 'null', path: /a}, {path: /b, token: {file: t.txt}}]",
).replace("fault: 60s", "fault: {atLeast: 10s, atMost: 60s}")


@pytest.mark.parametrize(
    ("text", "options"),
    [
        (GOOD, {}),
        (GOOD, {"mesh": "staging"}),
        (GOOD, {"sets": ["spec.load.rate=3/m", "spec.faults[0].delay.at=client"]}),
        (SHORT, {"default_mesh": "m"}),
        (SHORT.replace("  faults: {delay: {to: ratings, fixedDelay: 250ms}}\n", ""), {}),
        (PLAIN.replace("rate: 200\n    arrivals: poisson\n", "locustfile: load/shop.py\n    users: 25\n"), {}),
        (GOOD.replace("warmup: 2s", "warmup: 0s"), {}),
        (RICH, {}),
    ],
)
def test_what_is_resolved_is_the_same_experiment_again(text: str, options: dict[str, Any], tmp_path: Path) -> None:
    first = one(text, folder=tmp_path, **options)
    assert "overrides" not in first.resolved["spec"]
    copy = dump(first.resolved)
    again = one(copy, folder=tmp_path / "elsewhere")

    def bare(experiment: Experiment) -> Experiment:
        return replace(
            experiment,
            overrides=(),
            resolved={},
            where=again.where,
            loads=tuple(replace(load, where=None) for load in experiment.loads),
            faults=tuple(replace(fault, where=again.where) for fault in experiment.faults),
            expect=tuple(replace(expectation, where=again.where) for expectation in experiment.expect),
        )

    assert bare(again) == bare(first)
    assert dict(again.resolved) == dict(first.resolved)
    assert yaml.safe_load(copy) == first.resolved, "a reader of YAML 1.1 sees something else"


def test_secrets_never_enter_what_is_resolved(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TOKEN", "s3cr3t")
    (tmp_path / "t.txt").write_text("s3cr3t")
    assert "s3cr3t" not in repr(one(RICH, folder=tmp_path))


def test_several_documents_and_all_their_mistakes(tmp_path: Path) -> None:
    second = GOOD.replace("name: slow-ratings", "name: other")
    file = tmp_path / "two.chaos.yaml"
    file.write_text(f"---\n{GOOD}---\n---\n# nothing\n---\n{second}...\n")
    assert [experiment.name for experiment in read(file, VOCABULARY)] == ["slow-ratings", "other"]
    file.write_text(f"{GOOD.replace('rate: 200', 'rate: no')}---\n{second.replace('99.5%', '99.5')}")
    with pytest.raises(FileErrors) as caught:
        read(file, VOCABULARY)
    assert [(error.line, error.path) for error in caught.value.errors] == [
        (10, "spec.load.rate"),
        (42, "spec.expect[0].success"),
    ]
    file.write_text(f"{GOOD}---\n{GOOD}")
    with pytest.raises(FileError, match="two experiments of this file are named 'slow-ratings'"):
        read(file, VOCABULARY)


def test_a_kind_may_have_fields_that_are_named_like_options() -> None:
    """``alert: {name: HighLatency}`` is the alert's name."""
    words = Vocabulary(VOCABULARY.faults, {**VOCABULARY.checks, "alert": SpecKind("alert", AlertSpec)})
    text = GOOD.replace("success: 99.5%", "alert: {name: HighLatency, during: recovery}")
    (experiment,) = read_string(text, "x.yaml", words)
    assert (experiment.expect[0].spec.name, experiment.expect[0].name) == ("HighLatency", None)
    assert experiment.expect[0].during == ("recovery",)


def test_specs_are_built_from_python_too() -> None:
    kind = VOCABULARY.faults["delay"]
    assert build(kind, {"to": "a", "from_": "b", "fixed_delay": "2s"}) == DelaySpec("a", 2.0, ("b",))
    with pytest.raises(UserError) as caught:
        build(kind, {"to": "a", "fixedDelay": 2, "att": "server"})
    assert sorted(str(caught.value).splitlines()) == [
        "delay: att: unknown key 'att', did you mean 'at'? "
        "(known: to, fixedDelay, from, percentage, match, at, replicas)",
        "delay: fixedDelay: a duration needs a unit: write 2ms or 2s",
    ]


EXISTING = """\
apiVersion: meshchaos.dev/v1
kind: Experiment
metadata: {name: users}
spec:
  load: existing
  faults: {delay: {to: ratings, fixedDelay: 250ms}}
  expect: {success: 99%}
"""


def test_the_meshs_own_traffic_needs_no_load_and_survives_its_own_copy() -> None:
    experiment = one(EXISTING)
    assert experiment.existing
    assert experiment.loads == ()
    again = one(dump(experiment.resolved))
    assert (again.existing, again.loads) == (True, ())
    assert not one(SHORT).existing
    assert one(SHORT, sets=["spec.load=existing"]).existing


def test_stop_if_sees_nothing_of_the_meshs_own_traffic() -> None:
    with pytest.raises(UserError, match=r"stopIf needs an edge .* where the load is `existing`"):
        one(EXISTING + "  stopIf: {success: {below: 50%}}\n")
    experiment = one(EXISTING + "  stopIf: {success: {below: 50%, to: ratings, from: page}}\n")
    assert experiment.stop_if == StopIf(0.5, to="ratings", sources=("page",))


GRPC = """\
apiVersion: meshchaos.dev/v1
kind: Experiment
metadata: {name: calls}
spec:
  load:
    target: grpc://ratings:9000/shop.Ratings/Get
    rate: 20
    protoset: ratings.protoset
    message: {file: a, deep: {env: b}}
    requests: [{}, {path: /shop.Ratings/List, message: {}, weight: 3}]
  faults: {delay: {to: ratings, fixedDelay: 250ms}}
  expect: {success: 99%}
"""


def test_a_grpc_load_and_its_own_copy(tmp_path: Path) -> None:
    experiment = one(GRPC, folder=tmp_path)
    (load,) = experiment.loads
    assert load.grpc
    assert load.protoset == str(tmp_path / "ratings.protoset")
    assert load.requests == (
        Request(
            "shop.Ratings/Get", "POST", "/shop.Ratings/Get", {}, None, message='{"file": "a", "deep": {"env": "b"}}'
        ),
        Request("shop.Ratings/List", "POST", "/shop.Ratings/List", {}, None, 3.0, "{}"),
    )
    (again,) = one(dump(experiment.resolved)).loads
    assert again.requests == load.requests
    assert again.protoset == load.protoset
