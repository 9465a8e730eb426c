"""What is due when inside of a fault phase."""

from __future__ import annotations

from meshchaos.faults.kind import AcceptedProof, Placement
from meshchaos.run.timeline import Action, Do, Step, Timeline, Timing, live_before

T0 = 1_800_000_000.0


def placement(name: str) -> Placement:
    return Placement(name, "abort", "server", "a -> b", "so", (), AcceptedProof("held"))


A, B = placement("a"), placement("b")
RAMP = tuple(Step(percentage, A) for percentage in (25.0, 50.0, 75.0, 100.0))


def all_due(timeline: Timeline) -> list[Action]:
    found = []
    while (action := timeline.due(float("inf"))) is not None:
        found.append(action)
    return found


def told(actions: list[Action]) -> list[tuple[float, str, str]]:
    return [(round(one.at - T0, 6), one.do.name, one.placement.id) for one in actions]


def test_without_times_nothing_is_due() -> None:
    timeline = Timeline((A, B), {}, 10)
    assert timeline.first == (A, B)
    timeline.begin(T0)
    assert timeline.next_at() == float("inf")
    assert timeline.due(T0 + 100) is None
    assert timeline.never_applied == ()


def test_a_later_fault_is_applied_in_its_time_and_ends_counted_from_when_it_was_live() -> None:
    timeline = Timeline((A, B), {"b": Timing(after=2, lasts=3)}, 10)
    assert timeline.first == (A,)
    timeline.begin(T0)
    assert timeline.due(T0 + 1.999) is None
    assert timeline.never_applied == (B,)
    action = timeline.due(T0 + 2)
    assert action is not None
    assert (action.do, action.placement) == (Do.APPLY, B)
    timeline.live(B, T0 + 2.5)
    assert told(all_due(timeline)) == [(5.5, "UNDO", "b")]


def test_an_end_beyond_the_phases_is_left_to_the_heal() -> None:
    timeline = Timeline((A,), {"a": Timing(lasts=10)}, 10)
    timeline.begin(T0)
    assert all_due(timeline) == []


def test_steps_share_the_time_that_is_left() -> None:
    timeline = Timeline((A,), {"a": Timing(after=2, steps=RAMP)}, 10)
    timeline.begin(T0)
    assert told(all_due(timeline)) == [(2, "APPLY", "a")]
    timeline.live(A, T0 + 4)
    steps = all_due(timeline)
    assert told(steps) == [(5.5, "STEP", "a"), (7, "STEP", "a"), (8.5, "STEP", "a")]
    assert [one.step for one in steps] == [1, 2, 3]


def test_kills_come_again_until_the_end_and_not_at_it() -> None:
    timeline = Timeline((A,), {"a": Timing(every=2, lasts=6)}, 10)
    timeline.begin(T0)
    assert told(all_due(timeline)) == [(2, "KILL", "a"), (4, "KILL", "a"), (6, "UNDO", "a")]


def test_at_one_moment_what_ends_makes_room_for_what_begins() -> None:
    timings = {"a": Timing(lasts=3), "b": Timing(after=3)}
    for order in ((A, B), (B, A)):
        timeline = Timeline(order, timings, 10)
        timeline.begin(T0)
        assert told(all_due(timeline)) == [(3, "UNDO", "a"), (3, "APPLY", "b")]


def test_what_is_live_when_a_fault_begins() -> None:
    c, d = placement("c"), placement("d")
    timings = {"b": Timing(after=1, lasts=2), "c": Timing(lasts=3), "d": Timing(after=3)}
    live = [live_before((A, B, c, d), timings, position) for position in range(4)]
    assert live == [[], [A, c], [A], [A]], "those at the same moment in their order; what ends then is gone"


def test_a_timing_in_words() -> None:
    assert str(Timing()) == "from the phase's begin"
    assert str(Timing(after=10, lasts=20)) == "from 10s on for 20s"
    assert str(Timing(steps=RAMP)) == "from the phase's begin, in 4 steps: 25%, 50%, 75%, 100%"
    assert str(Timing(every=2)) == "from the phase's begin, again every 2s"
