"""Which of a proxy's requests have their lines, while more come in all the time."""

from __future__ import annotations

from meshchaos.evidence.requests import Begun, Requests, Standing, standing

FIRST = Begun(100.0, Requests(active=2, total=50))
LAST = Begun(110.0, Requests(active=3, total=54))
LINES = [99.5, 100.5, 101.0, 105.0]
"""The first had begun before anybody looked."""


def test_what_began_before_and_after_is_nobodys_line() -> None:
    waiting = standing(FIRST, LAST, LINES, active=3)
    assert waiting == Standing(active=1, due=4, logged=3)
    assert not waiting.whole
    assert not standing(FIRST, LAST, [*LINES, 110.5, 111.0, 112.0], active=3).whole
    assert standing(FIRST, LAST, [*LINES, 110.5, 109.9], active=7) == Standing(active=0, due=4, logged=4)
    assert standing(FIRST, LAST, [*LINES, 109.9], active=7).whole


def test_what_is_neither_there_nor_in_flight_was_lost() -> None:
    lost = standing(FIRST, LAST, LINES, active=0)
    assert (lost.over, lost.logged) == (4, 3)
    waits = standing(FIRST, LAST, LINES, active=9)
    assert (waits.over, waits.logged) == (3, 3)


def test_a_proxy_without_counts_is_never_known_to_be_whole() -> None:
    hidden = Begun(110.0, Requests(active=1, total=None))
    assert standing(FIRST, hidden, LINES, active=1) == Standing(active=1, due=None, logged=3)
    assert not standing(FIRST, hidden, LINES, active=0).whole
    anew = Begun(110.0, Requests(active=0, total=3))
    assert standing(FIRST, anew, LINES, active=0).due == -47
    assert not standing(FIRST, anew, [], active=0).whole
