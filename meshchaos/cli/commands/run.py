"""``meshchaos run``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from meshchaos.cli import consent, options, written

if TYPE_CHECKING:
    from meshchaos.run.result import Result
    from meshchaos.run.suite import SuiteResult


@click.command("run", short_help="Run experiments.")
@options.paths
@options.catalog_options
@options.selection_options
@click.option("--fail-fast", is_flag=True, help="Stop after the first experiment that does not PASS.")
@click.option(
    "--output", type=click.Path(path_type=Path), default=Path("reports"), metavar="DIR", help="Default: reports."
)
@click.option(
    "--seed", type=click.IntRange(0, 2**32 - 1), metavar="N", help="Arrivals and chosen replicas; default: random."
)
@click.option("--json", "json_file", type=click.Path(path_type=Path), metavar="FILE", help="All results; - is stdout.")
@click.option("--html", type=click.Path(path_type=Path), metavar="FILE", help="The report of the one experiment.")
@options.summary_options
@click.option("--metrics", metavar="[HOST:]PORT", help="Serve the run as Prometheus metrics meanwhile, at /metrics.")
@click.option(
    "--find-limit",
    metavar="PATH",
    help="Run with several values of one field, such as faults[0].percentage, and tell the largest that still passes.",
)
@click.option("--from", "low", metavar="VALUE", help="With --find-limit: the smallest value; default by the field.")
@click.option("--to", "high", metavar="VALUE", help="With --find-limit: the largest value; default by the field.")
@click.option("--runs", type=click.IntRange(2, 64), metavar="N", help="With --find-limit: at most so many runs (8).")
@consent.yes_option
@click.option("-q", "--quiet", is_flag=True, help="Only warnings, leftovers and verdicts.")
@click.option("-v", "--verbose", is_flag=True, help="More progress lines.")
def command(
    *,
    paths: tuple[Path, ...],
    mesh: str | None,
    config: Path | None,
    sets: tuple[str, ...],
    labels: str | None,
    keyword: str | None,
    fail_fast: bool,
    output: Path,
    seed: int | None,
    json_file: Path | None,
    html: Path | None,
    junit: Path | None,
    markdown: Path | None,
    webhook: Path | None,
    otlp: Path | None,
    metrics: str | None,
    find_limit: str | None,
    low: str | None,
    high: str | None,
    runs: int | None,
    yes: int,
    quiet: bool,
    verbose: bool,
) -> int:
    """Run the experiments in PATHS (files, or folders of *.chaos.yaml): inject, prove, judge, put back."""
    from meshchaos.errors import UserError
    from meshchaos.report import terminal
    from meshchaos.run.api import make_suite

    catalog, chosen = options.selected(paths, mesh=mesh, config=config, sets=sets, labels=labels, keyword=keyword)
    if find_limit is None and (low, high, runs) != (None, None, None):
        raise UserError("--from, --to and --runs belong to --find-limit: say which field, as in faults[0].percentage")
    if html is not None and len(chosen) > 1:
        raise UserError(
            f"--html is for one experiment, and {len(chosen)} are selected; each leaves a report.html anyway"
        )
    if find_limit is not None and (junit, markdown, webhook, otlp) != (None, None, None, None):
        raise UserError("--junit, --markdown, --webhook-json and --otlp-json are not for --find-limit: it has --json")
    out = sys.stderr if json_file is not None and str(json_file) == "-" else sys.stdout

    handlers = [terminal.handler(out, quiet=quiet, verbose=verbose)]
    if metrics is not None:
        from meshchaos.report.metrics import served

        handlers.append(click.get_current_context().with_resource(served(metrics)))

    def finished(result: Result) -> None:
        _write_page(result, html)

    if find_limit is not None:
        from meshchaos.cli.commands import limit

        return limit.find(
            limit.Asked(find_limit, low, high, runs or 8),
            catalog,
            chosen,
            sets=sets,
            output=output,
            seed=seed,
            handlers=handlers,
            out=out,
            json_file=json_file,
            html=html,
            page=lambda result: _write_page(result, None),
            again=_warn,
            consent=consent.asking(catalog, yes),
        )
    suite = make_suite(
        catalog,
        chosen,
        output=output,
        seed=seed,
        fail_fast=fail_fast,
        handlers=handlers,
        on_result=finished,
        again=_warn,
        consent=consent.asking(catalog, yes),
    )
    with suite:
        done = suite.run()
    _tell(done, out, quiet)
    if json_file is not None:
        _write_json(done, json_file)
    written.index(output)
    written.in_actions(done.results, out)
    written.summaries(done.results, junit=junit, markdown=markdown, webhook=webhook, otlp=otlp)
    return done.exit_code


def _write_page(result: Result, target: Path | None) -> None:
    from meshchaos.errors import EvidenceError
    from meshchaos.load.reader import read_samples
    from meshchaos.report import page

    try:
        page.write(result, read_samples(result.folder), target=target)
    except (OSError, EvidenceError) as error:
        words = error.strerror if isinstance(error, OSError) else str(error)
        click.echo(f"meshchaos: no report.html: {words}", err=True)


def _tell(done: SuiteResult, out: object, quiet: bool) -> None:
    if quiet:
        return
    for result in done.results:
        report = result.folder / "report.html"
        left = report if report.exists() else result.folder
        click.echo(f"{result.verdict.value:<12} {result.experiment}: {left}", file=out)  # type: ignore[arg-type]
    for name in done.skipped:
        click.echo(f"{'not run':<12} {name}", file=out)  # type: ignore[arg-type]


def _shown(path: Path) -> Path:
    """Relative to the working folder where it is below it."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def _write_json(done: SuiteResult, target: Path) -> None:
    import json

    from meshchaos.run.result import SCHEMA_VERSION, write_json

    data = {
        "schemaVersion": SCHEMA_VERSION,
        "exitCode": done.exit_code,
        "runs": [result.to_json() for result in done.results],
        "skipped": list(done.skipped),
    }
    if str(target) == "-":
        click.echo(json.dumps(data, indent=2, ensure_ascii=False))
    else:
        write_json(target, data)


def _warn(text: str) -> None:
    sys.stderr.write(f"\nmeshchaos: {text}\n")
    sys.stderr.flush()
