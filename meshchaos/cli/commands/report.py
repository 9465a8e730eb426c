"""``meshchaos report``."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("report", short_help="Judge finished runs again.")
@click.argument("runs", nargs=-1, type=click.Path(path_type=Path))
@click.option("--html", type=click.Path(path_type=Path), metavar="FILE", help="Write the page there instead.")
def command(runs: tuple[Path, ...], html: Path | None) -> int:
    """Judge RUNS (folders below reports/) again from what they left, and rewrite result.json and report.html."""
    from meshchaos.errors import UserError
    from meshchaos.load.reader import read_samples
    from meshchaos.report import lines, page
    from meshchaos.run.api import judge_again
    from meshchaos.run.outcome import worst_exit

    if not runs:
        raise UserError("which runs? name their folders (meshchaos report reports/slow-ratings-...)")
    if html is not None and len(runs) > 1:
        raise UserError(f"--html is for one run, and {len(runs)} are named")
    codes = []
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
        codes.append(result.exit_code)
    return worst_exit(codes)
