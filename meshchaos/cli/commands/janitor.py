"""``meshchaos janitor``."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import click


@click.command("janitor", short_help="Stay, and put back what dead runs left on a cluster.")
@click.option("--mesh", metavar="NAME", help="The mesh, a name in meshchaos.yaml; default: its defaultMesh.")
@click.option("--config", type=click.Path(path_type=Path), metavar="FILE", help="Instead of meshchaos.yaml.")
def command(mesh: str | None, config: Path | None) -> int:
    """Stay, look at the runs that hold a mesh on a cluster, and put back what nobody renews any more. Ends by SIGTERM
    or Ctrl-C.
    """
    from meshchaos.errors import UserError
    from meshchaos.experiment.config import read_config
    from meshchaos.mesh.kubernetes.client import KubernetesMesh
    from meshchaos.run.interrupts import Interrupts
    from meshchaos.run.janitor import LOOK, Janitor
    from meshchaos.run.meshes import cluster_spec

    known = read_config(config)
    spec = cluster_spec(known, known.mesh(mesh).name)
    if spec is None:
        raise UserError(f"mesh {known.mesh(mesh).name} is a local one: it puts back by itself what runs leave")
    _say(f"mesh {spec.mesh}: context {spec.context}, namespaces {', '.join(spec.namespaces)}: looking every {LOOK:g}s")
    # A signal is noted and not raised: raised where Python runs a finalizer, it would be lost.
    with tempfile.TemporaryDirectory(prefix="meshchaos-janitor-") as logs, Interrupts() as signals:
        clock = signals.clock()
        while signals.requested is None:
            # Anew after each heal: what was kept of the proxies for it is not wanted any more.
            with KubernetesMesh.open(spec, Path(logs), guarded=False) as opened:
                janitor = Janitor(opened, _say)
                while not janitor.look() and signals.requested is None:
                    clock.wait(LOOK)
    return 0


def _say(line: str) -> None:
    click.echo(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {line}")
