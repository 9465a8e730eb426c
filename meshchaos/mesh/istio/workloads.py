"""Workloads: which one the user means by a name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from meshchaos.errors import UserError
from meshchaos.mesh.istio.services import Labelled, did_you_mean


class Named(Labelled, Protocol):
    """A workload: a Deployment, a gateway."""

    @property
    def name(self) -> str: ...


W = TypeVar("W", bound=Named)


def find_workloads(known: Sequence[W], reference: str, namespace: str) -> list[W]:
    """The workloads a user means: a Deployment's name, or an ``app`` label for all its versions, each also with
    ``.namespace``. A name goes before a label. Raises UserError, which lists what exists nearby.
    """
    name, dot, place = reference.partition(".")
    place = place if dot else namespace
    here = [one for one in known if one.namespace == place]
    found = [one for one in here if one.name == name] or [one for one in here if app_of(one) == name]
    if found:
        return found
    names = sorted({one.name for one in here} | {app for one in here if (app := app_of(one))})
    elsewhere = sorted(f"{one.name}.{one.namespace}" for one in known if one.namespace != place)
    exact = [full for full in elsewhere if full.partition(".")[0] == name]
    text = f"there is no workload {reference!r} in namespace {place}"
    if exact:
        raise UserError(f"{text}; did you mean {exact[0]!r}?")
    hint = did_you_mean(name, names) or did_you_mean(reference, elsewhere)
    listed = f"namespace {place} has {', '.join(names)}" if names else f"the mesh has {', '.join(elsewhere) or 'none'}"
    raise UserError(f"{text}{hint}; {listed}")


def app_of(workload: Labelled) -> str:
    """The ``app`` label, else Kubernetes' recommended one; empty without."""
    return workload.labels.get("app") or workload.labels.get("app.kubernetes.io/name") or ""
