"""``meshchaos validate``."""

from __future__ import annotations

from pathlib import Path

import click

from meshchaos.cli import options


@click.command("validate", short_help="Check experiment files.")
@options.paths
@options.catalog_options
@options.selection_options
def command(
    *,
    paths: tuple[Path, ...],
    mesh: str | None,
    config: Path | None,
    sets: tuple[str, ...],
    labels: str | None,
    keyword: str | None,
) -> int:
    """Check the experiments in PATHS: fields, units, names, expectations. Needs no mesh."""
    from meshchaos.run.plan import make_checks

    catalog, chosen = options.selected(paths, mesh=mesh, config=config, sets=sets, labels=labels, keyword=keyword)
    for experiment in chosen:
        catalog.mesh_name(experiment)
        checks = make_checks(experiment, catalog.kinds, catalog.slos)
        click.echo(f"{experiment.where.file}: {experiment.name}: valid, {len(checks)} checks")
    return 0
