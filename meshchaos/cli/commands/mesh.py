"""``meshchaos mesh up|down|status``."""

from __future__ import annotations

from pathlib import Path

import click

_NAME = click.argument("name", required=False)
_CONFIG = click.option("--config", type=click.Path(path_type=Path), metavar="FILE", help="Instead of meshchaos.yaml.")


@click.group("mesh", short_help="Keep a local mesh running.")
def command() -> None:
    """Keep a local mesh running between runs; runs on it start at once."""


@command.command("up")
@_NAME
@_CONFIG
@click.option(
    "--logs", type=click.Path(path_type=Path), metavar="DIR", help="For its logs; default: reports/mesh-NAME."
)
def up(name: str | None, config: Path | None, logs: Path | None) -> int:
    """Start mesh NAME (default: defaultMesh of meshchaos.yaml) and leave it running."""
    from meshchaos.run.catalog import open_catalog
    from meshchaos.run.meshes import mesh_up

    info = mesh_up(open_catalog(config=config, mesh=name), logs)
    click.echo(
        f"mesh {info.mesh} is up (process {info.pid}); logs in {info.logs}; end it: meshchaos mesh down {info.mesh}"
    )
    return 0


@command.command("down")
@_NAME
@click.option("--all", "everything", is_flag=True, help="All that `mesh up` started.")
def down(name: str | None, everything: bool) -> int:
    """End mesh NAME, or the only one that runs."""
    from meshchaos.run.meshes import mesh_down

    for info in mesh_down(name, everything=everything):
        click.echo(f"mesh {info.mesh} is down")
    return 0


@command.command("status")
def status() -> int:
    """The local meshes that run now, and who holds them."""
    from meshchaos.run.meshes import mesh_status

    lines = mesh_status()
    for line in lines:
        click.echo(line)
    if not lines:
        click.echo("no local mesh runs; start one: meshchaos mesh up")
    return 0
