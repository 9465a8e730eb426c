"""A matrix of calls on a mesh that runs: probed and judged as in a run, on one short phase."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from meshchaos.checks.kind import Check, Finding
from meshchaos.evidence.edge_file import read_edges
from meshchaos.evidence.edge_watch import EdgeWatch
from meshchaos.history.edges import EdgeRecord
from meshchaos.history.probes import ProbeRecord
from meshchaos.history.records import History, PhaseRecord
from meshchaos.mesh.local.client import LocalMesh
from meshchaos.mesh.objects import Manifest, ref_of
from meshchaos.probes.file import FILE, read_probes
from meshchaos.probes.prober import Prober
from meshchaos.probes.tokens import bearer
from meshchaos.run.edges import edges_of
from meshchaos.run.probes import probes_of
from tests.mesh.local.small_mesh import until

RUN = "0000cafe"
POLICIES = ("PeerAuthentication", "AuthorizationPolicy", "RequestAuthentication")


def given(mesh: LocalMesh, policies: Sequence[Manifest]) -> None:
    """The mesh has these policies and no others, and every proxy serves by them."""
    wanted = {ref_of(policy): policy for policy in policies}
    present = {ref_of(one): one for one in mesh.snapshot().objects if one["kind"] in POLICIES}
    for ref, found in present.items():
        if ref not in wanted:
            mesh.delete(ref, found["metadata"]["uid"])
        elif found["spec"] != wanted[ref]["spec"]:
            mesh.replace(found | {"spec": wanted[ref]["spec"]})
    for ref, policy in wanted.items():
        if ref not in present:
            mesh.create(policy)


def judged(
    mesh: LocalMesh,
    folder: Path,
    checks: Sequence[Check],
    namespace: str,
    *,
    calls: int = 6,
    between: Callable[[], None] = lambda: None,
) -> list[Finding]:
    """The findings of checks about the phase ``observe``, in which every call is made ``calls`` times at least, or came
    through once. ``between`` is run when probing has begun.
    """
    snapshot = mesh.snapshot()
    edges, probes = edges_of(checks, snapshot, namespace), probes_of(checks, snapshot, namespace)
    keys = mesh.signing_keys()
    told: list[Sequence[EdgeRecord] | Sequence[ProbeRecord]] = []
    phase: list[str | None] = [None]
    prober = Prober(
        mesh,
        [replace(record, every=0.1) for record in probes],
        [[bearer(token, {}, folder, keys) for token in record.ask.tokens] for record in probes],
        folder,
        told.append,
        run_id=RUN,
        namespace=namespace,
        phase=lambda: phase[0],
    )
    watch = EdgeWatch(mesh, edges, folder, told.append, seen=prober.seen)
    try:
        watch.start()
        prober.start()
        phase[0] = "warmup"
        until(lambda: _used_up(folder, probes), "every cell was called in the warm-up")
        start, phase[0] = time.time(), "observe"
        between()
        until(lambda: _enough(folder, probes, calls), "every cell was probed often enough")
        watch.collect()  # the servers' counts behind the last probe
        phase[0], end = None, time.time()
        prober.finish()
        watch.finish()
    finally:
        prober.close()
        watch.close()
    history = History(
        (PhaseRecord("observe", start, end, end - start),),
        (),
        {},
        (),
        0.95,
        edges=read_edges(folder, told[-1]),  # type: ignore[arg-type]  # the watch's, told last
        probes=read_probes(folder, told[-2]),  # type: ignore[arg-type]  # the prober's
    )
    return [check.judge(history, alpha=0.05) for check in checks]


def _used_up(folder: Path, probes: Sequence[ProbeRecord]) -> bool:
    """Whether calls enough were made for every connection that proxies kept or opened by the policies before."""
    if not (folder / FILE).exists():
        return False
    made = [Counter(probe.cell for probe in one.probes) for one in read_probes(folder, probes).values()]
    return all(calls[cell] >= 4 for calls, one in zip(made, probes, strict=True) for cell in range(len(one.cells)))


def _enough(folder: Path, probes: Sequence[ProbeRecord], calls: int) -> bool:
    if not (folder / FILE).exists():
        return False
    for found in read_probes(folder, probes).values():
        made = [0] * len(found.record.cells)
        for probe in found.probes:
            if probe.phase:
                through = found.record.ask.once and 200 <= probe.status < 400
                made[probe.cell] += calls if through else 1
        if min(made) < calls:
            return False
    return True
