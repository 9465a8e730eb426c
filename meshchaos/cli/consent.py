"""Before anything is changed on a cluster: what, where, and whether that is meant."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from meshchaos.run.catalog import Catalog
    from meshchaos.run.plan import Plan
    from meshchaos.run.suite import Consent

yes_option = click.option(
    "--yes", count=True, help="Do not ask before a cluster is changed; for a production context: twice."
)


def asking(catalog: Catalog, yes: int) -> Consent:
    """Asks on the terminal, once for a cluster, twice where it looks like production. Raises UserError for a no, and
    where nobody is there to be asked.
    """

    def ask(plans: Sequence[Plan]) -> None:
        names = {catalog.mesh_name(plan.experiment): None for plan in plans}
        for name in names:
            if catalog.on_cluster(name):
                _ask(catalog, name, [plan for plan in plans if catalog.mesh_name(plan.experiment) == name], yes)

    return ask


def _ask(catalog: Catalog, name: str, plans: Sequence[Plan], yes: int) -> None:
    from meshchaos.errors import UserError
    from meshchaos.run.meshes import cluster_spec
    from meshchaos.run.safety import looks_like_production

    spec = cluster_spec(catalog.config, name)
    assert spec is not None
    production = looks_like_production(spec.context, catalog.safety(name))
    asked = 2 if production else 1
    if yes >= asked:
        return
    where = f"context {spec.context}, namespaces {', '.join(spec.namespaces)}"
    if not sys.stdin.isatty():
        why = f"; {spec.context} looks like production: --yes --yes" if production else ""
        raise UserError(f"mesh {name} is on a cluster ({where}), and nobody can be asked here: say --yes{why}")
    click.echo(f"mesh {name}: {where}", err=True)
    for line in _lines(plans):
        click.echo(f"  {line}", err=True)
    if not yes and not click.confirm("Change that, and put it back afterwards?", err=True):
        raise UserError("nothing was changed: you said no")
    if production:
        answer = click.prompt(f"{spec.context} looks like production. Type its name to go on", err=True)
        if answer != spec.context:
            raise UserError(f"nothing was changed: {answer!r} is not {spec.context!r}")


def _lines(plans: Sequence[Plan]) -> Iterable[str]:
    for plan in plans:
        for placement in plan.placements:
            refs = ", ".join(str(change.ref) for change in placement.changes) or "no object; it ends Pods"
            yield f"{plan.experiment.name}: {placement.kind} {placement.edge}: {refs}"
