"""``meshchaos doctor``."""

from __future__ import annotations

from pathlib import Path

import click

from meshchaos.cli import options


@click.command("doctor", short_help="Say what is missing here.")
@options.paths
@options.catalog_options
def command(paths: tuple[Path, ...], mesh: str | None, config: Path | None, sets: tuple[str, ...]) -> int:
    """Look at this machine, at the mesh, and at the experiments in PATHS: what is missing, which workloads have no
    sidecar, and which fault could not bite and why. Exit 2 when something needs mending.
    """
    from meshchaos.run.doctor import examine

    ill = False
    for check in examine(paths, mesh=mesh, config=config, sets=sets):
        ill = ill or check.ill
        click.echo(f"{check.mark:<5} {check.text}")
    return 2 if ill else 0
