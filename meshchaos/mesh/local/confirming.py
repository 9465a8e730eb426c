"""Whether changes are live: the store holds them, and the proxies that took a version for them answer by it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence, Set

from meshchaos.errors import NotLive
from meshchaos.mesh.apply import holds
from meshchaos.mesh.changes import Change
from meshchaos.mesh.local.replicas import ReplicaState
from meshchaos.mesh.objects import Manifest, Ref, ref_of


async def confirmed(
    manifests: Iterable[Manifest],
    replicas: Mapping[str, ReplicaState],
    touched: Mapping[Ref, Set[str]],
    changes: Sequence[Change],
    *,
    present: bool,
) -> list[str]:
    """The proxies that carry the changes (or none of them any more), by their replicas' names, each asked by a probe:
    its worker answers, so it runs what its main thread accepted. ``touched``: who took a version for an object.

    Raises NotLive.
    """
    objects = {ref_of(manifest): manifest for manifest in manifests}
    concerned: set[str] = set()
    for change in changes:
        found = objects.get(change.ref)
        there = found is not None and holds(found, change)
        if there != present:
            state = "does not hold the change any more" if present else "still holds the change"
            raise NotLive(f"{change.ref} {state}: somebody else wrote it")
        concerned |= touched.get(change.ref, set())
    deployments = [
        objects[change.ref] for change in changes if change.ref.kind == "Deployment" and change.ref in objects
    ]
    for deployment in deployments:
        _require_replicas(deployment, replicas)
    if present and not concerned and len(deployments) < len(changes):
        what = ", ".join(str(change.ref) for change in changes)
        raise NotLive(f"no proxy took anything new for {what}: what it selects or matches is not there")
    states = [replicas[name] for name in sorted(concerned) if name in replicas]
    # A proxy that died carries nothing any more (that it died is told as trouble), and one that was killed is started
    # again with what is there then.
    states = [s for s in states if s.envoy is None or s.envoy.running or (present and not s.envoy.wanted)]
    await asyncio.gather(*(_probe(state) for state in states))
    return [state.name for state in states]


def _require_replicas(deployment: Manifest, replicas: Mapping[str, ReplicaState]) -> None:
    """Raises NotLive unless as many replicas serve as the Deployment asks for."""
    ref, wanted = ref_of(deployment), deployment["spec"].get("replicas", 1)
    running = [state.local for state in replicas.values()]
    own = [one for one in running if (one.workload, one.namespace) == (ref.name, ref.namespace)]
    serving = sum(one.serving for one in own)
    if serving != wanted or len(own) != wanted:
        raise NotLive(f"{ref} asks for {wanted} replicas, and {serving} serve")


async def _probe(state: ReplicaState) -> None:
    if state.probe is None:
        raise NotLive(f"the proxy of {state.name} is not up yet")
    try:
        status, _ = await state.probe.get("/healthz/ready")
    except (OSError, EOFError, TimeoutError) as error:
        raise NotLive(f"the proxy of {state.name} does not answer a probe: {error or 'no answer in 5 s'}") from error
    if status != 200:
        raise NotLive(f"the proxy of {state.name} answers a probe with {status}")
