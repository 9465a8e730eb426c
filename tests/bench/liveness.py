"""From a change accepted to the change live in every proxy concerned, and the same for taking it out."""

from __future__ import annotations

import time
from collections.abc import Iterator

from meshchaos.mesh.apply import apply_change, undo_change
from meshchaos.mesh.changes import Create
from tests.bench.figure import Figure, bookinfo, page_calls, quantile, running

CHANGES = 200
RUN_ID = "0000bench"


def measure() -> Iterator[Figure]:
    """A server-side abort on both replicas of ratings, 200 times in and out.

    ``accepted`` is the answer to the write, which on the local mesh waits until every proxy concerned has taken it;
    ``live`` the moment at which the last one's worker thread is known to run it. Both are told, and from the call too.
    """
    figures: dict[str, list[float]] = {}
    with running(bookinfo(), page_calls()) as mesh:
        change = Create(_fault())
        for _ in range(CHANGES):
            for word, end, write, present in (
                ("fault applied", "live in every proxy", apply_change, True),
                ("fault taken out", "gone from every proxy", undo_change, False),
            ):
                called = time.time()
                write(mesh, change, RUN_ID)
                accepted = time.time()
                at = mesh.confirm([change], present=present, timeout=10).at
                figures.setdefault(f"{word}: accepted -> {end}", []).append(max(at - accepted, 0.0))
                figures.setdefault(f"{word}: call -> {end}", []).append(at - called)
    for name, values in figures.items():
        from_call = "call ->" in name
        middle, tail = (None, None) if from_call else (2, 5)
        yield Figure(f"{name}, median", quantile(values, 0.5) * 1000, "ms", middle, CHANGES)
        worst = f"worst {max(values) * 1e3:.3g} ms"
        yield Figure(f"{name}, p99", quantile(values, 0.99) * 1000, "ms", tail, CHANGES, worst)


def _fault() -> dict[str, object]:
    value = {
        "typed_per_filter_config": {
            "envoy.filters.http.fault": {
                "@type": "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault",
                "abort": {"http_status": 503, "percentage": {"numerator": 200000, "denominator": "MILLION"}},
            }
        }
    }
    match = {
        "context": "SIDECAR_INBOUND",
        "routeConfiguration": {"vhost": {"name": "inbound|http|9080", "route": {"name": "default"}}},
    }
    return {
        "apiVersion": "networking.istio.io/v1alpha3",
        "kind": "EnvoyFilter",
        "metadata": {"name": "chaos-bench-0", "namespace": "bookinfo"},
        "spec": {
            "workloadSelector": {"labels": {"app": "ratings"}},
            "configPatches": [
                {"applyTo": "HTTP_ROUTE", "match": match, "patch": {"operation": "MERGE", "value": value}}
            ],
        },
    }
