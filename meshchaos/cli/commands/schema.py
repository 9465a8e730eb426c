"""``meshchaos schema``."""

from __future__ import annotations

import click


@click.command("schema", short_help="Print a JSON Schema.")
@click.argument("kind", type=click.Choice(["experiment", "config", "result"]), default="experiment")
def command(kind: str) -> int:
    """Print the JSON Schema of an experiment file (with the kinds of installed plug-ins), of meshchaos.yaml
    (config), or of result.json (result). Editors read draft 7.
    """
    import json

    from meshchaos.run.catalog import schema_of

    click.echo(json.dumps(schema_of(kind), indent=2, ensure_ascii=False))
    return 0
