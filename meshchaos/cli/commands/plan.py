"""``meshchaos plan``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from meshchaos.cli import options

if TYPE_CHECKING:
    from collections.abc import Iterator

    from meshchaos.run.plan import Plan


class Share(click.ParamType[float]):
    """``99.95%`` as 0.9995."""

    name = "share"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        text = str(value)
        try:
            number = float(text.removesuffix("%")) / 100
        except ValueError:
            number = -1.0
        if not text.endswith("%") or not 0 < number <= 1:
            self.fail(f"{text!r} is not a share such as 99.95%", param, ctx)
        return number


@click.command("plan", short_help="Show what a run would change.")
@options.paths
@options.catalog_options
@options.selection_options
@click.option(
    "--assume", type=Share(), metavar="SHARE", help="Samples for 80 % power at this true share, such as 99.95%."
)
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), metavar="N", help="The seed that the run will get.")
def command(
    *,
    paths: tuple[Path, ...],
    mesh: str | None,
    config: Path | None,
    sets: tuple[str, ...],
    labels: str | None,
    keyword: str | None,
    assume: float | None,
    seed: int | None,
) -> int:
    """Show what a run of PATHS would change, where and why, and what its verdicts need. Changes nothing."""
    from meshchaos.run.api import make_suite

    catalog, chosen = options.selected(paths, mesh=mesh, config=config, sets=sets, labels=labels, keyword=keyword)
    with make_suite(catalog, chosen, seed=seed) as suite:
        for position, experiment in enumerate(chosen):
            plan, opened = suite.plan(experiment, assume)
            if position:
                click.echo()
            for line in plan_lines(plan, opened.name):
                click.echo(line)
    return 0


def plan_lines(plan: Plan, mesh: str) -> Iterator[str]:
    """The plan for people."""
    from meshchaos.run.plan import plan_words

    experiment = plan.experiment
    yield f"{experiment.name} on mesh {mesh}: {experiment.hypothesis}"
    for words in plan_words(plan):
        yield f"  {words}"
    for placement in plan.placements:
        if placement.felt_by:
            yield f"  blast radius of {placement.id}: {', '.join(placement.felt_by)}"
    for diff in plan.diffs:
        yield ""
        yield from (f"  {line}" for line in diff.text.splitlines())
    if plan.needs:
        yield ""
        yield "  samples for a PASS:"
        yield from (f"    {need}" for need in plan.needs)
    for warning in plan.warnings:
        yield f"  warning: {warning}"
    yield f"  takes {plan.seconds:g}s and what confirming and draining add; changes nothing now"
