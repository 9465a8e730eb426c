"""What the fixture ``chaos`` gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest

from meshchaos.checks.kind import Verdict
from meshchaos.errors import UserError
from meshchaos.run.expecting import judge_measured, text_of
from meshchaos.run.fault_by_hand import FaultByHand, Plainly
from meshchaos.run.load_by_hand import LoadByHand, load_of
from meshchaos.run.measured import Measured
from meshchaos.run.result import Result
from pytest_meshchaos.drawn import Drawn
from pytest_meshchaos.kinds.edge_faults import EdgeFaults
from pytest_meshchaos.kinds.object_faults import ObjectFaults
from pytest_meshchaos.session import ChaosSession


class ExpectationFailed(AssertionError):
    """An expectation FAILed, or could not be judged; ``str()`` begins with the verdict."""


@dataclass(frozen=True)
class Chaos(EdgeFaults, ObjectFaults):
    """What the fixture ``chaos`` gives. ``folder`` is the test file's. Every installed kind of fault is a method:
    ``with chaos.delay(to="ratings", fixedDelay="2s") as fault:`` (or ``async with``), with ``from_`` for ``from``.
    A type checker knows those of meshchaos; for one of another distribution's, use ``fault``.
    """

    session: ChaosSession = field(repr=False)
    folder: Path = field(repr=False)

    def fault(self, kind: str, /, **fields: Any) -> FaultByHand:
        """One fault by its kind's key, with the fields of the file: durations as text ("250ms"), percentages 0 to 100.
        It is live inside of ``with``, taken back and proved on leaving. Raises UserError for a kind or field that is
        not there.
        """
        return self.session.by_hand().fault(kind, fields)

    def make(self, drawn: Drawn) -> FaultByHand:
        """One that was drawn by a strategy of ``pytest_meshchaos.strategies``. Raises UserError as ``fault``."""
        return self.fault(drawn.kind, **drawn.fields)

    def together(self, *faults: FaultByHand) -> FaultByHand:
        """Several that are live at the same time, applied in turn and taken back in reverse. Raises UserError."""
        return self.session.by_hand().together(faults)

    def load(
        self,
        target: str,
        *,
        rate: float | str,
        from_: str = "gateway",
        arrivals: Literal["poisson", "uniform"] = "poisson",
        timeout: str = "10s",
        **fields: Any,
    ) -> LoadByHand:
        """Requests in the background, inside of ``with`` (or ``async with``): to the URL ``target``, ``rate`` of them a
        second, each when it is due (open loop), by Locust; ``during("5s")`` is what those of so long came to.

        ``from_``: a workload, ``gateway`` or ``outside``. ``timeout`` ("10s"): when a request is given up. ``fields``:
        others of an experiment's ``load``: ``name``, ``method``, ``headers``, ``body``, ``maxInFlight``, ``requests``.
        Raises UserError for what such a load does not take.
        """
        given = {"target": target, "rate": rate, "from": from_, "arrivals": arrivals, "timeout": timeout, **fields}
        hand = self.session.by_hand()
        return LoadByHand(hand, load_of(hand, given))

    def expect(
        self,
        measured: Measured,
        *,
        success: str | Mapping[str, Any] | None = None,
        latency: Mapping[str, str] | None = None,
        slo: str | None = None,
    ) -> None:
        """Judges what a load came to as an experiment's expectations are judged: ``success="99%"``,
        ``latency={"p99": "800ms"}``, ``slo="page"`` (of meshchaos.yaml), which share the error rate of a FAIL.

        Raises ExpectationFailed, an AssertionError, unless all PASS; where INCONCLUSIVE is to be skipped
        (``--meshchaos-inconclusive``) the test is. Raises UserError for an expectation that means nothing.
        """
        __tracebackhide__ = True
        asked = {"success": success, "latency": latency, "slo": slo}
        wanted = {key: value for key, value in asked.items() if value is not None}
        with Plainly():
            catalog = self.session.catalog
            found, findings = judge_measured(measured, wanted, catalog.kinds, catalog.slos)
        if found.verdict is Verdict.PASS:
            return
        if found.verdict is Verdict.INCONCLUSIVE and self.session.skips_inconclusive:
            pytest.skip(f"INCONCLUSIVE: {found.reason}")
        raise ExpectationFailed(text_of(found, findings))

    if not TYPE_CHECKING:

        def __getattr__(self, kind: str) -> Callable[..., FaultByHand]:
            if kind not in self.session.catalog.kinds.faults:
                raise AttributeError(f"chaos has no {kind!r}: neither a method nor an installed kind of fault")
            return partial(self.fault, kind)

    def run(self, path: str | Path, name: str | None = None) -> Result:
        """Runs an experiment of a file (relative to the test's folder): the only one, or the one called ``name``.
        Nothing of a fault outlives the call. Raises UserError.
        """
        file = self.folder / path
        if not file.is_file():
            raise UserError(f"{file}: no such file")
        found = self.session.read(file)
        names = ", ".join(one.name for one in found)
        chosen = [one for one in found if name in (None, one.name)]
        if not chosen:
            raise UserError(f"{file}: there is no experiment {name!r}; there are {names}")
        if len(chosen) > 1:
            raise UserError(f"{file}: there are several experiments: say which, {names}")
        return self.session.run(chosen[0])
