"""``meshchaos report``."""

from __future__ import annotations

from pathlib import Path

import click

from meshchaos.cli import options, written


@click.command("report", short_help="Judge finished runs again.")
@click.argument("runs", nargs=-1, type=click.Path(path_type=Path))
@click.option("--html", type=click.Path(path_type=Path), metavar="FILE", help="Write the page there instead.")
@click.option("--compare", is_flag=True, help="Show two runs side by side: RUNS are the first and the second.")
@options.summary_options
def command(
    *,
    runs: tuple[Path, ...],
    html: Path | None,
    compare: bool,
    junit: Path | None,
    markdown: Path | None,
    webhook: Path | None,
    otlp: Path | None,
) -> int:
    """Judge RUNS (folders below reports/) again from what they left, and rewrite result.json and report.html."""
    from meshchaos.errors import UserError
    from meshchaos.load.reader import read_samples
    from meshchaos.report import lines, page
    from meshchaos.run.api import judge_again
    from meshchaos.run.outcome import worst_exit

    if not runs:
        raise UserError("which runs? name their folders (meshchaos report reports/slow-ratings-...)")
    if compare and len(runs) != 2:
        raise UserError(f"--compare is for two runs, and {len(runs)} {'is' if len(runs) == 1 else 'are'} named")
    if html is not None and len(runs) > 1 and not compare:
        raise UserError(f"--html is for one run, and {len(runs)} are named")
    if compare:
        return _compare(runs, html)
    judged = []
    for folder in runs:
        result = judge_again(folder)
        result.write()
        try:
            path = page.write(result, read_samples(folder), target=html)
        except OSError as error:
            raise UserError(f"cannot write the report of {folder}: {error.strerror}") from error
        for finding in (*result.steady, *result.proofs, *result.findings):
            click.echo(lines.finding_line(finding))
        click.echo(f"{result.verdict.value:<12} {result.experiment}: {result.reason}")
        click.echo(f"{'':<12} {path}")
        judged.append(result)
    written.summaries(judged, junit=junit, markdown=markdown, webhook=webhook, otlp=otlp)
    return worst_exit(result.exit_code for result in judged)


def _compare(runs: tuple[Path, ...], html: Path | None) -> int:
    """Shows both; the exit code says only that it could be done."""
    from meshchaos.load.reader import read_samples
    from meshchaos.report import compare, compare_page
    from meshchaos.run.api import judge_again

    first, second = (judge_again(folder) for folder in runs)
    path = compare_page.write((first, read_samples(first.folder)), (second, read_samples(second.folder)), target=html)
    click.echo(compare.table(first, second))
    click.echo(path)
    return 0
