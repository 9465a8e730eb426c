"""The breaking point: which field, which values, what they say together; and a whole search on a real mesh."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from meshchaos.checks.kind import Verdict
from meshchaos.errors import UserError
from meshchaos.run.catalog import Catalog, open_catalog
from meshchaos.run.limit.axis import Axis
from meshchaos.run.limit.finder import make_finder
from meshchaos.run.limit.search import Point, bracket, following, scan
from tests.e2e.stage import STRAINED, Stage, stage
from tests.run.shop import CONFIG

PERCENT = Axis("spec.faults[0].abort.percentage", "%", 0, 100, runs_low=False)
RATE = Axis("spec.load.rate", "/s", 100, 1000, runs_low=True)
P, F, U, X = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.INVALID

EXPERIMENT = """\
apiVersion: meshchaos.dev/v1
kind: Experiment
metadata: {name: few-stars}
spec:
  hypothesis: The page is there while some of it fails.
  load: {target: "http://shop.example/", rate: 80, arrivals: uniform, timeout: 3s}
  phases: {warmup: 200ms, baseline: 400ms, fault: 2s, recovery: 0s}
  faults:
    - abort: {to: page, httpStatus: 500}
    - delay: {to: stars, fixedDelay: 10ms}
  expect:
    - success: 60%
"""


def search(axis: Axis, runs: int, truth: Callable[[float], Verdict]) -> list[Point]:
    """As the finder does it, without runs."""
    points: list[Point] = []
    waiting = scan(axis, runs)
    while len(points) < runs:
        value = waiting.pop(0) if waiting else following(axis, points)
        if value is None:
            break
        assert axis.low <= value <= axis.high
        assert value not in [point.value for point in points], "no value is run twice"
        points.append(Point(value, truth(value)))
    return points


@pytest.mark.parametrize("axis", [PERCENT, RATE], ids=["percentage", "rate"])
def test_the_limit_lies_in_the_interval_wherever_it_is(axis: Axis) -> None:
    draw = random.Random(5)
    for _ in range(300):
        limit = draw.uniform(axis.low, axis.high)
        found = bracket(search(axis, 8, lambda value, limit=limit: P if value <= limit else F))  # type: ignore[misc]
        low, high = found.passed, found.failed
        assert (axis.low if low is None else low) <= limit
        assert high is not None
        assert limit < high
        width = high - (axis.low if low is None else low)
        assert width <= (axis.high - axis.low) / 32, "four runs scan, four bisect"


def test_nothing_that_is_undecided_is_taken_for_a_verdict() -> None:
    """Around the limit a run decides nothing; the interval holds all of that."""
    draw = random.Random(6)
    for _ in range(300):
        limit = draw.uniform(0, 100)

        def truth(value: float, limit: float = limit) -> Verdict:
            return U if abs(value - limit) < 8 else P if value < limit else F

        found = bracket(search(PERCENT, 10, truth))
        assert found.passed is None or found.passed < limit
        assert found.failed is None or found.failed > limit
        assert found.above == ()


def test_all_pass_takes_the_scan_only_and_all_fail_goes_down() -> None:
    points = search(PERCENT, 8, lambda value: P)
    assert [point.value for point in points] == [100, 75, 50, 25]
    assert (bracket(points).passed, bracket(points).failed) == (100, None)
    points = search(PERCENT, 8, lambda value: F)
    assert bracket(points).passed is None
    assert [point.value for point in points][4:] == [12.5, 6.25, 3.12, 1.56]


def test_a_pass_above_a_fail_is_told_and_does_not_move_the_limit() -> None:
    """A delay beyond a timeout is cut by it."""
    points = search(PERCENT, 8, lambda value: F if 40 <= value <= 60 else P)
    found = bracket(points)
    assert found.above == (75, 100)
    assert found.passed is not None
    assert found.passed < 40 <= (found.failed or 0)


def test_nothing_but_invalid_is_no_limit() -> None:
    points = search(RATE, 6, lambda value: X)
    found = bracket(points)
    assert (found.passed, found.failed) == (None, None)
    assert set(found.undecided) == {point.value for point in points}


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    (tmp_path / "meshchaos.yaml").write_text(CONFIG, "utf-8")
    (tmp_path / "shop.yaml").write_text("", "utf-8")
    (tmp_path / "few.chaos.yaml").write_text(EXPERIMENT, "utf-8")
    return open_catalog(config=tmp_path / "meshchaos.yaml")


def axis(catalog: Catalog, path: str, low: str | None = None, high: str | None = None, runs: int = 8) -> Axis:
    file = catalog.config.path.parent / "few.chaos.yaml"  # type: ignore[union-attr]
    return make_finder(catalog, catalog.read([file], []), path=path, low=low, high=high, runs=runs).axis


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("faults[0].percentage", ("spec.faults[0].abort.percentage", "%", 0, 100, False)),
        ("spec.faults[0].abort.percentage", ("spec.faults[0].abort.percentage", "%", 0, 100, False)),
        ("faults[1].fixedDelay", ("spec.faults[1].delay.fixedDelay", "s", 0, 3, False)),
        ("load.rate", ("spec.load.rate", "/s", 80, 800, True)),
    ],
)
def test_fields_have_a_unit_and_a_range_of_their_own(catalog: Catalog, path: str, expected: tuple[object, ...]) -> None:
    found = axis(catalog, path)
    assert (found.path, found.unit, found.low, found.high, found.runs_low) == expected


def test_values_are_written_as_they_are_read_again(catalog: Catalog) -> None:
    delay = axis(catalog, "faults[1].fixedDelay", "10ms", "100s")
    assert delay.setting(delay.snapped(1.23456)) == "spec.faults[1].delay.fixedDelay=1.235s"
    assert delay.written(delay.snapped(93.7)) == "1m34s"
    assert delay.snapped(93.7) == 94
    assert PERCENT.written(PERCENT.snapped(99.98765)) == "99.99%"


@pytest.mark.parametrize(
    ("path", "low", "high", "message"),
    [
        ("faults[0].percentag", None, None, "did you mean 'percentage'?"),
        ("faults[2].percentage", None, None, r"no spec.faults\[2\]: there are 2"),
        ("faults.percentage", None, None, r"say which, as in faults\[0\]"),
        ("loads.rate", None, None, "did you mean 'load'?"),
        ("load.target", None, None, "is no number, duration or share"),
        ("faults[0].to", None, None, "is no number, duration or share"),
        ("faults[0]", None, None, "is no number"),
        ("load", None, None, "is no number"),
        ("fau lts", None, None, "is no path"),
        ("faults[0].httpStatus", None, None, "say --from ... and --to ..."),
        ("phases.fault", "1s", None, "say --to ..."),
        ("faults[0].percentage", "50", "50%", "--from 50% is not below --to 50%"),
        ("faults[0].percentage", "many", None, "--from many: 'many' is no number"),
        ("faults[0].percentage", None, "101", "--to 101: a percentage lies between 0 and 100"),
        ("faults[1].fixedDelay", None, "5", "--to 5: "),
        ("load.rate", None, "nan", "--to nan: "),
        ("faults[0].httpStatus", "200", "900", r"faults\[0\].abort.httpStatus"),
    ],
)
def test_mistakes_come_before_any_run(
    catalog: Catalog, path: str, low: str | None, high: str | None, message: str
) -> None:
    with pytest.raises(UserError, match=message) as caught:
        axis(catalog, path, low, high)
    assert "\n" not in str(caught.value)


def test_one_experiment_in_a_file_of_its_own(catalog: Catalog) -> None:
    file = catalog.config.path.parent / "few.chaos.yaml"  # type: ignore[union-attr]
    file.write_text(f"{EXPERIMENT}---\n{EXPERIMENT.replace('few-stars', 'other')}", "utf-8")
    chosen = catalog.read([file], [])
    with pytest.raises(UserError, match="varies one experiment, and 2 are selected"):
        make_finder(catalog, chosen, path="load.rate", low=None, high=None, runs=8)
    with pytest.raises(UserError, match="holds 2 experiments"):
        make_finder(catalog, chosen[:1], path="load.rate", low=None, high=None, runs=8)


@pytest.fixture
def shop() -> Iterator[Stage]:
    with stage() as made:
        yield made


@pytest.mark.envoy
@pytest.mark.e2e
def test_a_search_on_a_real_mesh(shop: Stage) -> None:
    """The truth is 40 %: aborts at the page itself, which nobody retries at the gateway."""
    shop.write(EXPERIMENT.replace("    - delay: {to: stars, fixedDelay: 10ms}\n", ""), "few.chaos.yaml")
    options = ("--find-limit", "faults[0].percentage", "--runs", "4", "--seed", "1", "--json", "found.json", "-q")
    done = shop.command("run", "few.chaos.yaml", *options)
    if STRAINED in (shop.folder / "found.json").read_text("utf-8"):  # a run that nothing can be said of, as it says
        print(done.stdout + done.stderr)
        shutil.rmtree(shop.folder / "reports")
        done = shop.command("run", "few.chaos.yaml", *options)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    found = shop.read("found.json")
    limit = found["limit"]
    low, high = (float(end.rstrip("%")) for end in limit["interval"])
    assert low in (25, 37.5)
    assert 40 <= high <= 100, "50 % is too close for so few requests: it may stay undecided"
    points = limit["points"]
    values = [float(point["value"].rstrip("%")) for point in points]
    assert (len(values), values[0], values[-1]) == (4, 25, 100)
    assert [points[0]["verdict"], points[-1]["verdict"]] == ["PASS", "FAIL"]
    assert found["exitCode"] == 0
    for point, value in zip(points, values, strict=True):
        (expectation,) = point["expectations"]
        assert abs(expectation["estimate"] - (1 - value / 100)) < 0.17, "what was set is what happened"
        assert (shop.folder / "reports" / point["folder"] / "report.html").exists(), "each is a run of its own"
    (folder,) = (shop.folder / "reports").glob("*-limit-*")
    assert shop.read(str(folder / "limit.json")) == found
    page = (folder / "limit.html").read_text("utf-8")
    assert page.count('class="mark') == 4
    assert page.count("report.html") == 4
    assert "passes up to" in page
    logs = [path.parent.parent.name for path in (shop.folder / "reports").glob("*/mesh/supervisor.log")]
    assert len(logs) == 1, "one mesh for all of them"
    shop.nothing_left()
