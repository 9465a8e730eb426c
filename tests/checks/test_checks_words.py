"""Numbers as they are read."""

from __future__ import annotations

import pytest

from meshchaos.checks import words


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (1, "100 %"),
        (0, "0 %"),
        (0.9983, "99.83 %"),
        (0.995, "99.5 %"),
        (0.9999, "99.99 %"),
        (0.99999, "99.999 %"),
        (0.999996, "99.9996 %"),
        (0.00034, "0.034 %"),
        (0.5, "50 %"),
        (0.1, "10 %"),
    ],
)
def test_a_share_never_rounds_to_all_or_nothing(share, text):
    assert words.percent(share) == text


def test_a_range_has_one_precision():
    assert words.percent_range(0.9974, 0.9989) == "99.74-99.89 %"
    assert words.percent_range(0.9974, 0.99996) == "99.74-99.996 %"
    assert words.percent_range(0, 1) == "0-100 %"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0123, "12.3 ms"),
        (0.8, "800 ms"),
        (1, "1 s"),
        (1.239, "1.24 s"),
        (90, "90 s"),
        (1500, "25 min"),
        (9000, "2.5 h"),
        (0, "0 ms"),
    ],
)
def test_a_time(value, text):
    assert words.seconds(value) == text


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (0.401, 0.43, "401-430 ms"),
        (0.98, 1.2, "980 ms to 1.2 s"),
        (2.0, None, "from 2 s up, without end"),
        (None, None, ""),
        (None, 0.1, "0-100 ms"),
    ],
)
def test_a_range_of_times(low, high, text):
    assert words.seconds_range(low, high) == text


def test_levels_and_plurals():
    assert words.level(0.05) == "95 %"
    assert words.level(0.05 / 3) == "98.3 %"
    assert words.level(0.001) == "99.9 %"
    assert words.plural(1, "request") == "1 request"
    assert words.plural(11_998, "request") == "11,998 requests"
