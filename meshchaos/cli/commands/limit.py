"""``meshchaos run --find-limit``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click

if TYPE_CHECKING:
    from meshchaos.experiment.model import Experiment
    from meshchaos.run.catalog import Catalog
    from meshchaos.run.events import Handler
    from meshchaos.run.result import Result
    from meshchaos.run.suite import Consent


@dataclass(frozen=True, slots=True)
class Asked:
    """What the options say. ``low`` and ``high`` as they were written."""

    path: str
    low: str | None
    high: str | None
    runs: int


def find(
    asked: Asked,
    catalog: Catalog,
    chosen: list[Experiment],
    *,
    sets: tuple[str, ...],
    output: Path,
    seed: int | None,
    handlers: Sequence[Handler],
    out: TextIO,
    json_file: Path | None,
    html: Path | None,
    page: Callable[[Result], None],
    again: Callable[[str], None],
    consent: Consent,
) -> int:
    """Runs the search and tells it; the exit code. ``page`` writes the report of one run."""
    import json

    from meshchaos.report import limit_page, limit_table
    from meshchaos.run.api import make_suite
    from meshchaos.run.limit.finder import make_finder
    from meshchaos.run.result import write_json

    def before(number: int, most: int, value: str) -> None:
        click.echo(f"--- {asked.path} = {value} (run {number} of at most {most})", file=out)

    finder = make_finder(
        catalog,
        chosen,
        path=asked.path,
        low=asked.low,
        high=asked.high,
        runs=asked.runs,
        sets=sets,
        before=before,
    )
    suite = make_suite(
        catalog, chosen, output=output, seed=seed, handlers=handlers, on_result=page, again=again, consent=consent
    )
    with suite:
        if any(catalog.on_cluster(catalog.mesh_name(one)) for one in chosen):
            consent([suite.plan(one)[0] for one in chosen])
        found = finder.find(suite)
    found.write()
    limit_page.write(found, target=html)
    for line in limit_table.lines(found):
        click.echo(line, file=out)
    if json_file is not None and str(json_file) == "-":
        click.echo(json.dumps(found.document(), indent=2, ensure_ascii=False))
    elif json_file is not None:
        write_json(json_file, found.document())
    return found.exit_code
