"""``meshchaos heal``."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("heal", short_help="Put back what a run left behind.")
@click.option("--mesh", metavar="NAME", help="Only this mesh; default: all that can be reached.")
@click.option("--config", type=click.Path(path_type=Path), metavar="FILE", help="Instead of meshchaos.yaml.")
@click.option("--force", is_flag=True, help="Also what a run holds whose journal has not expired.")
@click.option("--leave", is_flag=True, help="What somebody else wrote over a run's changes is meant to stay.")
def command(mesh: str | None, config: Path | None, force: bool, leave: bool) -> int:
    """Put back what interrupted runs left behind, verify it, and release their locks. Safe to repeat."""
    from meshchaos.run.healing import heal

    done = heal(mesh=mesh, config=config, force=force, leave=leave)
    for line in done.lines:
        click.echo(line)
    return done.exit_code
