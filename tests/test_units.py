"""Units: what is written is what is meant, and what is printed can be read again."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from meshchaos.units import (
    format_duration,
    format_percentage,
    format_rate,
    format_share,
    parse_duration,
    parse_percentage,
    parse_rate,
    parse_share,
)


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("250ms", 0.25),
        ("1m30s", 90.0),
        ("2s", 2.0),
        ("1h", 3600.0),
        ("1.5h", 5400.0),
        ("30d", 2_592_000.0),
        ("20us", 2e-5),
        ("20µs", 2e-5),
        ("0s", 0.0),
        (".5s", 0.5),
        ("1h2m3s4ms", 3723.004),
        (" 2s ", 2.0),
        ("0.1s", 0.1),
    ],
)
def test_durations(written: str, seconds: float) -> None:
    assert parse_duration(written) == seconds


@pytest.mark.parametrize(("written", "share"), [("99.5%", 0.995), ("0%", 0.0), ("100%", 1.0), ("0.01 %", 0.0001)])
def test_shares(written: str, share: float) -> None:
    assert parse_share(written) == share


@pytest.mark.parametrize("written", [10, 10.0, "10", "10%", "10 %", {"value": 10}, {"value": "10%"}, {"value": 10.0}])
def test_percentages(written: Any) -> None:
    assert parse_percentage(written) == 10.0


@pytest.mark.parametrize(
    ("written", "rate"),
    [(200, 200.0), ("200", 200.0), ("200/s", 200.0), ("1200/m", 20.0), ("36 / h", 0.01), (0.5, 0.5)],
)
def test_rates(written: Any, rate: float) -> None:
    assert parse_rate(written) == rate


@pytest.mark.parametrize(
    ("parse", "written", "said"),
    [
        (parse_duration, 250, "a duration needs a unit: write 250ms or 250s"),
        (parse_duration, "250", "a duration needs a unit: write 250ms or 250s"),
        (parse_duration, 0.5, "a duration needs a unit: write 0.5ms or 0.5s"),
        (parse_duration, "-2s", "a duration cannot be negative: '-2s'"),
        (parse_duration, "1s1m", "'1s1m' is no duration: each unit once, the larger first, as in 1h2m3s"),
        (parse_duration, "1s1s", "'1s1s' is no duration: each unit once, the larger first, as in 1h2m3s"),
        (parse_duration, True, "a duration is text such as 250ms or 1m30s, not true"),
        (parse_duration, None, "a duration is text such as 250ms or 1m30s, not nothing"),
        (parse_duration, [], "a duration is text such as 250ms or 1m30s, not a list"),
        (parse_duration, float("nan"), "a duration is text such as 250ms or 1m30s, not nan"),
        (parse_share, 0.995, "a share needs a % sign: write 99.5% or 0.995%"),
        (parse_share, 99.5, "a share needs a % sign: write 99.5%"),
        (parse_share, 1, "a share needs a % sign: write 100% or 1%"),
        (parse_share, "101%", "'101%' is more than 100%"),
        (parse_share, "-1%", "'-1%' is no share: write for instance 99.5% (0% to 100%)"),
        (parse_percentage, 101, "a percentage lies between 0 and 100, and 101 does not"),
        (parse_percentage, -1, "a percentage lies between 0 and 100, and -1 does not"),
        (parse_percentage, 0.00001, "Envoy knows steps of 0.0001 %, and 0.00001 is finer"),
        (parse_percentage, {"valu": 1}, "a percentage is 10, 10% or {value: 10}"),
        (parse_percentage, {"value": {"value": 1}}, "a percentage is 10, 10% or {value: 10}, not a mapping"),
        (parse_rate, 0, "a rate is above 0"),
        (parse_rate, "fast", "a rate is requests per second: write 200 (or 200/s, 1200/m), not 'fast'"),
        (parse_rate, 2e6, "2000000 is more than 1,000,000 requests per second"),
    ],
)
def test_what_is_wrong_says_what_to_write(parse: Callable[[Any], float], written: Any, said: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        parse(written)
    assert str(caught.value) == said


@pytest.mark.parametrize(
    ("seconds", "printed"),
    [
        (0, "0s"),
        (0.25, "250ms"),
        (0.0123456, "12.3ms"),
        (0.9996, "1s"),
        (1.5, "1.5s"),
        (59.96, "1m"),
        (90, "1m30s"),
        (3599.6, "1h"),
        (3661, "1h1m"),
        (2_592_000, "30d"),
        (-1.5, "-1.5s"),
        (float("inf"), "never"),
    ],
)
def test_printed_durations(seconds: float, printed: str) -> None:
    assert format_duration(seconds) == printed


@pytest.mark.parametrize(
    ("share", "printed"),
    [
        (0, "0%"),
        (1, "100%"),
        (0.995, "99.5%"),
        (0.99999, "99.999%"),
        (0.000123, "0.0123%"),
        (1 / 3, "33.3%"),
        (0.2, "20%"),
        (1 - 1e-12, "99.9999999999%"),
    ],
)
def test_printed_shares(share: float, printed: str) -> None:
    assert format_share(share) == printed


def test_other_printed_numbers() -> None:
    assert [format_rate(200), format_rate(0.5), format_rate(12345.6)] == ["200/s", "0.5/s", "12346/s"]
    assert format_percentage(50) == "50%"


def test_only_nothing_is_0_and_only_all_is_100_percent() -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    draw = random.Random(seed)
    for _ in range(2_000):
        share = draw.choice([10 ** -draw.uniform(0, 9), 1 - 10 ** -draw.uniform(0, 9)])
        if not 0 < share < 1:
            continue
        printed = format_share(share)
        assert printed not in ("0%", "100%"), share
        read = parse_share(printed)
        assert min(read, 1 - read) == pytest.approx(min(share, 1 - share), rel=0.01), (share, printed)
        seconds = 10 ** draw.uniform(-5, 7)
        assert parse_duration(format_duration(seconds)) == pytest.approx(seconds, rel=0.05)
