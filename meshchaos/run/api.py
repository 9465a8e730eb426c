"""What the command, the pytest plug-in and programs call: files in, results out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from meshchaos.experiment.model import Experiment
from meshchaos.run import events
from meshchaos.run.catalog import Catalog, open_catalog, reread
from meshchaos.run.folder import DEFAULT
from meshchaos.run.history_file import of_kind, read_history, whole_history
from meshchaos.run.judge import judge_run
from meshchaos.run.meshes import open_mesh
from meshchaos.run.plan import make_checks
from meshchaos.run.result import Result
from meshchaos.run.rooms import Rooms
from meshchaos.run.selection import select
from meshchaos.run.suite import Consent, OnResult, Suite, SuiteResult
from meshchaos.run.wiring import rooms as real_rooms


def run_files(
    paths: Sequence[Path],
    *,
    mesh: str | None = None,
    config: Path | None = None,
    sets: Sequence[str] = (),
    labels: str | None = None,
    keyword: str | None = None,
    output: Path = DEFAULT,
    seed: int | None = None,
    fail_fast: bool = False,
    handlers: Sequence[events.Handler] = (),
    on_result: OnResult | None = None,
    yes: Collection[str] = (),
) -> SuiteResult:
    """Runs the experiments of files and folders, one after another. Raises UserError before anything is run;
    nothing selected is a result without runs, exit code 2. ``yes``: the contexts of clusters that may be changed;
    a mesh on another is refused.
    """
    catalog = open_catalog(config=config, mesh=mesh)
    chosen = select(catalog.read(paths, sets), labels, keyword)
    suite = make_suite(
        catalog, chosen, output=output, seed=seed, fail_fast=fail_fast, handlers=handlers, on_result=on_result, yes=yes
    )
    with suite:
        return suite.run()


def make_suite(
    catalog: Catalog,
    experiments: Sequence[Experiment],
    *,
    output: Path = DEFAULT,
    seed: int | None = None,
    fail_fast: bool = False,
    handlers: Sequence[events.Handler] = (),
    on_result: OnResult | None = None,
    again: Callable[[str], None] | None = None,
    rooms: Rooms | None = None,
    consent: Consent | None = None,
    yes: Collection[str] = (),
) -> Suite:
    """A context manager that holds the meshes it opens: ``run()`` all, or ``plan(experiment)``. One that is kept
    open may run experiment after experiment (``run_one``). A cluster is changed only where ``consent`` agrees to it or,
    where there is none, ``yes`` has its context.
    """
    return Suite(
        catalog=catalog,
        experiments=experiments,
        rooms=rooms or real_rooms(),
        opener=lambda name, logs: open_mesh(catalog, name, logs),
        output=output,
        handlers=handlers,
        seed=seed,
        fail_fast=fail_fast,
        on_result=on_result,
        again=again,
        consent=consent,
        yes=yes,
    )


def judge_again(folder: Path) -> Result:
    """The result of a finished run from what it left, without a mesh. Raises UserError for another folder."""
    from meshchaos.load.reader import read_samples

    found = whole_history(read_history(folder))
    started = next(of_kind(found, events.RunStarted), None)
    experiment, slos, kinds = reread(folder, started)
    checks = make_checks(experiment, kinds, slos)
    return judge_run(experiment, checks, found, read_samples(folder), folder)
