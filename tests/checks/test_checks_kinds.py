"""From expectations as written to checks: names, scopes, mistakes, and what a plan says."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import entry_points

import pytest
from histories import context, expectation, load

from meshchaos.checks.canary import CANARY, CanarySpec
from meshchaos.checks.injected import INJECTED, InjectedSpec
from meshchaos.checks.latency import LATENCY, LatencySpec
from meshchaos.checks.naming import unique_names
from meshchaos.checks.recovery import RECOVERY, RecoverySpec
from meshchaos.checks.slo import SLO, SloSpec
from meshchaos.checks.statistics import planner
from meshchaos.checks.success import SUCCESS, SuccessSpec
from meshchaos.errors import FileError
from meshchaos.experiment.model import Phase, Slo


def names(kind, one, ctx=None):
    return [check.name for check in kind.checks(one, ctx or context(one))]


def test_the_kinds_come_in_by_entry_points():
    found = {point.name: point.load() for point in entry_points(group="meshchaos.checks")}
    assert {"success", "latency", "slo", "injected", "recovery"} <= set(found)
    for key, kind in found.items():
        assert kind.kind.key == key


def test_default_names_say_kind_quantile_scope_and_phase_but_no_threshold():
    two = (load("shop", requests=("home", "pay")), load("api"))
    for options, expected in (
        ({}, "success"),
        ({"during": ("fault",)}, "success"),
        ({"during": ("recovery",)}, "success during recovery"),
        ({"during": ("baseline", "recovery")}, "success during baseline and recovery"),
        ({"during": ("baseline", "fault", "recovery")}, "success during all"),
        ({"load": "shop"}, "success shop"),
        ({"load": "shop", "request": "pay"}, "success shop/pay"),
        ({"request": "pay", "during": ("baseline",)}, "success pay during baseline"),
        ({"name": "pay is back"}, "pay is back"),
    ):
        one = expectation("success", SuccessSpec(0.995), **options)
        assert names(SUCCESS, one, context(one, loads=two)) == [expected]


def test_several_quantiles_are_several_checks():
    one = expectation("latency", LatencySpec({"p99": 0.8, "p99.9": 2.0, "p50": 0.1}))
    assert names(LATENCY, one) == ["latency p99", "latency p99.9", "latency p50"]
    thetas = [check.theta for check in LATENCY.checks(one, context(one))]
    assert thetas == [0.01, 0.001, 0.5]
    named = expectation("latency", LatencySpec({"p99": 0.8, "p50": 0.1}), name="quick")
    assert names(LATENCY, named) == ["quick p99", "quick p50"]
    single = expectation("latency", LatencySpec({"p99": 0.8}), name="quick")
    assert names(LATENCY, single) == ["quick"]


def test_without_faults_the_phase_is_observe():
    one = expectation("success", SuccessSpec(0.995))
    plain = context(one, lengths=(("warmup", 2), ("observe", 30)), faults=False)
    (check,) = SUCCESS.checks(one, plain)
    assert check.during == ("observe",)
    assert check.name == "success"


def test_an_slo_is_the_checks_it_names():
    slos = {"payments": Slo("payments", 0.999, {0.99: 0.8, 0.5: 0.2})}
    one = expectation("slo", SloSpec("payments"))
    assert names(SLO, one, context(one, slos=slos)) == [
        "slo payments success",
        "slo payments latency p99",
        "slo payments latency p50",
    ]
    named = expectation("slo", SloSpec("payments"), name="pay")
    assert names(SLO, named, context(named, slos=slos)) == ["pay success", "pay latency p99", "pay latency p50"]


def test_recovery_judges_what_is_about_the_fault_once():
    expect = (
        expectation("success", SuccessSpec(0.995), 0),
        expectation("success", SuccessSpec(0.995), 1, during=("baseline", "fault", "recovery")),
        expectation("success", SuccessSpec(0.9999), 2, during=("baseline",)),
        expectation("latency", LatencySpec({"p99": 0.8, "p50": 0.1}), 3),
        expectation("recovery", RecoverySpec(10), 4),
    )
    assert names(RECOVERY, expect[4], context(*expect)) == [
        "recovery: success",
        "recovery: latency p99",
        "recovery: latency p50",
    ]


def test_recovery_of_what_the_fault_may_break_judges_what_holds_otherwise():
    expect = (
        expectation("success", SuccessSpec(0.9), 0, during=("baseline",)),
        expectation("recovery", RecoverySpec(10), 1),
    )
    (check,) = RECOVERY.checks(expect[1], context(*expect))
    assert (check.name, check.base.theta) == ("recovery: success during baseline", 0.1)


def test_recovery_narrowed_to_a_load():
    expect = (
        expectation("success", SuccessSpec(0.995), 0),
        expectation("success", SuccessSpec(0.9), 1, load="api"),
        expectation("recovery", RecoverySpec(10), 2, load="shop"),
    )
    ctx = context(*expect, loads=(load("shop"), load("api")))
    (check,) = RECOVERY.checks(expect[2], ctx)
    assert check.name == "recovery shop: success"
    assert check.base.measure.load == "shop"


def test_equal_names_are_refused_at_the_second():
    expect = (expectation("success", SuccessSpec(0.995), 0), expectation("success", SuccessSpec(0.9), 4))
    checks = [check for one in expect for check in SUCCESS.checks(one, context(*expect))]
    with pytest.raises(
        FileError, match=r"slow\.chaos\.yaml:24:5: spec\.expect\[4\]: two expectations are named 'success'"
    ):
        unique_names(checks)
    unique_names(checks[:1])


RECOVERY_OF_NOTHING = expectation("recovery", RecoverySpec(10))


@pytest.mark.parametrize(
    ("kind", "one", "said"),
    [
        (SUCCESS, expectation("success", SuccessSpec(1.0)), "no number of requests can show 100 %"),
        (SUCCESS, expectation("success", SuccessSpec(0.0)), "always holds"),
        (SUCCESS, expectation("success", SuccessSpec(0.9, ("2xx",))), "'2xx' is no HTTP status"),
        (SUCCESS, expectation("success", SuccessSpec(0.9, ("400-200",))), "no range of HTTP statuses"),
        (SUCCESS, expectation("success", SuccessSpec(0.9), load="shop"), "no load is named 'shop' .there are: main"),
        (
            SUCCESS,
            expectation("success", SuccessSpec(0.9), request="pay"),
            "no request is named 'pay' .there are: main",
        ),
        (SUCCESS, expectation("success", SuccessSpec(0.9), during=("observe",)), "no phase 'observe'"),
        (LATENCY, expectation("latency", LatencySpec({})), "no quantile is given"),
        (LATENCY, expectation("latency", LatencySpec({"p100": 1.0})), "'p100' is no quantile"),
        (LATENCY, expectation("latency", LatencySpec({"p0": 1.0})), "'p0' is no quantile"),
        (LATENCY, expectation("latency", LatencySpec({"max": 1.0})), "'max' is no quantile"),
        (LATENCY, expectation("latency", LatencySpec({"p99": 11.0})), "above the timeout of load 'main'"),
        (SLO, expectation("slo", SloSpec("paymnts")), "no SLO 'paymnts', did you mean 'payments'"),
        (SLO, expectation("slo", SloSpec("empty")), "names neither success nor latency"),
        (RECOVERY, RECOVERY_OF_NOTHING, "there is none"),
        (INJECTED, expectation("injected", InjectedSpec(0.0)), "above 0 %"),
    ],
)
def test_mistakes_have_their_place_and_remedy(kind, one, said):
    slos = {"payments": Slo("payments", 0.999, {}), "empty": Slo("empty", None, {})}
    with pytest.raises(FileError, match=said) as caught:
        kind.checks(one, context(one, slos=slos))
    assert caught.value.line == 20


def test_without_load_success_and_latency_are_refused():
    for kind, one in (
        (SUCCESS, expectation("success", SuccessSpec(0.9))),
        (LATENCY, expectation("latency", LatencySpec({"p99": 1.0}))),
    ):
        with pytest.raises(FileError, match=r"spec\.load is left out"):
            kind.checks(one, context(one, loads=()))


def test_without_a_fault_there_is_nothing_to_recover_from_or_to_inject():
    lengths = (("warmup", 2), ("observe", 30))
    for kind, one in ((RECOVERY, RECOVERY_OF_NOTHING), (INJECTED, expectation("injected", InjectedSpec(0.5)))):
        with pytest.raises(FileError, match=r"spec\.faults is left out"):
            kind.checks(one, context(one, lengths=lengths, faults=False))


def test_a_plan_with_an_early_verdict_knows_both_parts_of_the_error_rate():
    one = expectation("success", SuccessSpec(0.99))
    ctx = context(one)
    experiment = replace(ctx.experiment, phases=(Phase("fault", 60, at_least=10),))
    (need,) = SUCCESS.plan(one, replace(ctx, experiment=experiment))
    assert need.clean == 487, "at 0.75 %, what the looks leave"
    assert need.assumed_early(0.985) == pytest.approx(4663, rel=0.01)
    assert need.assumed_early(0.99) is None


def test_a_plan_for_a_canary():
    spec = CanarySpec("stars", "v1", "v2", error_ratio=1.5, error_budget=0.005, latency_ratio={"p99": 1.3}, share=0.1)
    errors, budget, latency = CANARY.plan(expectation("canary", spec), context())
    assert (errors.clean, errors.unit, errors.planned) == (36_887, "attempts at v2", None)
    assert budget.clean == 598
    assert (latency.clean, latency.has_power) == (368, False)
    assert errors.assumed(0.995) == planner.needed_ratio(1.5, 1, rate=0.005, share=0.1, alpha=0.025)


def test_a_plan_knows_what_a_clean_pass_takes():
    expect = (expectation("success", SuccessSpec(0.995), 0), expectation("recovery", RecoverySpec(18), 1))
    ctx = context(*expect)
    (need,) = SUCCESS.plan(expect[0], ctx)
    assert (need.clean, need.planned, need.warning) == (598, 12_000, None)
    assert need.assumed(0.9995) == pytest.approx(950, rel=0.2)
    assert need.assumed(0.98, among=5) > need.assumed(0.98), "a FAIL among five takes more"
    assert need.assumed(0.9995, among=5) == need.assumed(0.9995), "a PASS does not"
    assert need.assumed_early(0.9995) is None, "the file allows no early verdict"
    (short,) = RECOVERY.plan(expect[1], ctx)
    assert (short.clean, short.planned) == (598, 400)
    assert short.warning == (
        "recovery: success cannot PASS in the recovery: that takes at least 598 requests without a bad one, "
        "and 2 s will bring about 400"
    )
    assert INJECTED.plan(expectation("injected", InjectedSpec(0.5)), ctx) is None


def test_a_plan_counts_the_share_of_one_request_and_not_closed_loads():
    one = expectation("success", SuccessSpec(0.995), request="pay")
    (need,) = SUCCESS.plan(one, context(one, loads=(load(requests=("home", "pay")),)))
    assert need.planned == 6000
    whole = expectation("success", SuccessSpec(0.995))
    (need,) = SUCCESS.plan(whole, context(whole, loads=(load(rate=None),)))
    assert (need.planned, need.warning) == (None, None)


def test_the_meshs_own_traffic_is_judged_on_an_edge_that_is_named():
    for kind, spec in ((SUCCESS, SuccessSpec(0.99)), (LATENCY, LatencySpec({"p99": 1.0}))):
        one = expectation(kind.kind.key, spec)
        existing = replace(context(one, loads=()), experiment=replace(context(one).experiment, loads=(), existing=True))
        with pytest.raises(FileError, match="name the edge whose requests are meant, with `to`"):
            kind.checks(one, existing)
        (check,) = kind.checks(replace(one, spec=replace(spec, to="ratings", from_=("reviews",))), existing)
        assert check.name.startswith(f"{kind.kind.key} reviews -> ratings")
    one = expectation("slo", SloSpec("payments"))
    existing = replace(context(one), experiment=replace(context(one).experiment, loads=(), existing=True))
    with pytest.raises(FileError, match="write its success and latency, each with the edge"):
        SLO.checks(one, existing)
