"""``meshchaos rbac``."""

from __future__ import annotations

from pathlib import Path

import click

from meshchaos.cli import options


@click.command("rbac", short_help="Print the Roles that experiments need on a cluster.")
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
    """Print, as YAML, the Roles that whoever runs PATHS on a cluster needs: these and no more. Changes nothing; ask as
    somebody who may read the mesh.
    """
    import yaml

    from meshchaos.run.rights import rights

    catalog, chosen = options.selected(paths, mesh=mesh, config=config, sets=sets, labels=labels, keyword=keyword)
    click.echo(yaml.safe_dump_all(rights(catalog, chosen), sort_keys=False), nl=False)
    return 0
