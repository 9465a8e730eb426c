"""``meshchaos init``."""

from __future__ import annotations

from pathlib import Path

import click

from meshchaos.cli import options


@click.command("init", short_help="Write a first experiment for your manifests.")
@options.paths
@click.option("--from", "source", metavar="WORKLOAD", help="Who sends the requests, instead of the gateway.")
def command(paths: tuple[Path, ...], source: str | None) -> int:
    """Write meshchaos.yaml, one experiment and one test for the manifests in PATHS (by itself: in this folder). No file
    is written over.
    """
    from meshchaos.mesh.local.objects import manifests
    from meshchaos.run.init.files import files_of, refuse_again, write
    from meshchaos.run.init.manifest_files import find_manifests, shortest
    from meshchaos.run.init.survey import survey

    here = Path.cwd()
    refuse_again(here)
    files = find_manifests(paths or (Path(),))
    found = survey(manifests.load(_shown(one, here) for one in files.taken), source)
    for path, kinds in files.left_out:
        click.echo(f"left out {_shown(path, here)}: the local mesh has no {kinds}")
    for file, new in write(files_of(found, shortest(files.taken, here)), here):
        click.echo(f"wrote {file.path}: {file.what}" if new else f"left as it is: {file.path}")
    click.echo("now say: meshchaos run experiments && pytest")
    return 0


def _shown(path: Path, here: Path) -> Path:
    return path.relative_to(here) if here in path.parents else path
