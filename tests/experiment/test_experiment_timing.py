"""``after``, ``for`` and ramps: what they mean, and what cannot be."""

from __future__ import annotations

import pytest

from meshchaos.errors import FileError
from meshchaos.experiment.model import Fault
from meshchaos.experiment.reader import read_string
from meshchaos.run.vocabulary import load_kinds

TEXT = """\
apiVersion: meshchaos.dev/v1
kind: Experiment
metadata: {name: x}
spec:
  load: {target: "http://shop.example/", rate: 60}
  phases: {fault: PHASE}
  faults:
    - delay: {to: stars, fixedDelay: 1sMORE}
  expect: [success: 90%]
  hypothesis: It bears it.
"""


def fault(more: str, phase: str = "30s") -> Fault:
    text = TEXT.replace("PHASE", phase).replace("MORE", more)
    (experiment,) = read_string(text, "f.yaml", load_kinds().vocabulary)
    return experiment.faults[0]


def test_a_fault_alone_is_there_from_begin_to_end() -> None:
    assert not fault("").timed
    assert fault("").window(30) == (0, 30)


def test_after_and_for() -> None:
    assert fault(", after: 10s, for: 20s").window(30) == (10, 30)
    assert fault(", for: 5s").window(30) == (0, 5)


def test_a_ramp_goes_in_equal_steps_to_its_end() -> None:
    steps = fault(", percentage: {from: 0, to: 100, steps: 10}").ramp
    assert [step.percentage for step in steps] == [10, 20, 30, 40, 50, 60, 70, 80, 90, 100]
    assert [step.spec.percentage for step in steps] == [step.percentage for step in steps]
    down = fault(", percentage: {from: 100, to: 40, steps: 3}")
    assert [step.percentage for step in down.ramp] == [80, 60, 40]


@pytest.mark.parametrize(
    ("more", "phase", "message"),
    [
        (", after: 30s", "30s", "delay.after: the fault phase lasts 30s and is over by then"),
        (", after: 11s, for: 20s", "30s", "delay.for: after and for are 31s together"),
        (", for: 0s", "30s", "delay.for: must be longer than 0"),
        (", after: 3", "30s", "delay.after: a duration needs a unit"),
        (", percentage: {to: 50}", "{atLeast: 10s, atMost: 30s}", "an early verdict .* before this ramp"),
        (", after: 3s", "{atLeast: 10s, atMost: 30s}", "an early verdict .* before this fault"),
        (", percentage: {to: 50}", "5s", "10 steps would last 500ms each"),
        (", percentage: {to: 50, steps: 0}", "30s", "steps must be 1 to 100"),
        (", percentage: {to: 50, stepz: 3}", "30s", "did you mean 'steps'"),
        (", percentage: {from: 50}", "30s", "`to` is missing"),
        (", percentage: {from: 50, to: 50}", "30s", "from one percentage to another"),
        (", percentage: {from: 50, to: 0}", "30s", "0 injects nothing"),
        (
            ", percentage: {to: 50}}\n    - abort: {to: stars, httpStatus: 500, percentage: {to: 50}",
            "30s",
            "a ramp already",
        ),
    ],
)
def test_mistakes(more: str, phase: str, message: str) -> None:
    with pytest.raises(FileError, match=message):
        fault(more, phase)
