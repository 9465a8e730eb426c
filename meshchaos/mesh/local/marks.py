"""Marks of Pods that disturb their proxies' control plane, obeyed: an expired certificate, no updates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from meshchaos.mesh.local.objects.store import Event
from meshchaos.mesh.local.replicas import Launcher, ReplicaState
from meshchaos.mesh.objects import annotations_of
from meshchaos.mesh.proxy_marks import CERTIFICATE, EXPIRED, STOPPED, UPDATES


def obey(events: Sequence[Event], replicas: Mapping[str, ReplicaState], launcher: Launcher) -> list[ReplicaState]:
    """Proxies that their Pods' marks now say something else of; a certificate is offered at once."""
    found = []
    for event in events:
        state = replicas.get(f"{event.ref.name}.{event.ref.namespace}")
        if event.ref.kind != "Pod" or event.after is None or state is None or not state.has_proxy:
            continue
        marks = annotations_of(event.after)
        expired, stale = marks.get(CERTIFICATE) == EXPIRED, marks.get(UPDATES) == STOPPED
        if (expired, stale) == (state.local.expired, state.stale):
            continue
        found.append(state)
        state.stale = stale
        if expired != state.local.expired:
            state.local = replace(state.local, expired=expired)
            state.expired = expired
            launcher.offer_secrets(state, fresh=True)
    return found
