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

    From the call that writes the object to the moment at which the last proxy's worker is known to run it (the
    write itself waits until every proxy has accepted it, so this is all of it); and till the caller knows.
    """
    live, known, gone, cleared = [], [], [], []
    with running(bookinfo(), page_calls()) as mesh:
        change = Create(_fault())
        for _ in range(CHANGES):
            started = time.time()
            apply_change(mesh, change, RUN_ID)
            live.append(mesh.confirm([change], present=True, timeout=10).at - started)
            known.append(time.time() - started)
            started = time.time()
            undo_change(mesh, change, RUN_ID)
            gone.append(mesh.confirm([change], present=False, timeout=10).at - started)
            cleared.append(time.time() - started)
    for name, values, middle, tail in (
        ("fault applied -> live in every proxy", live, 2, 5),
        ("fault taken out -> gone from every proxy", gone, 2, 5),
        ("fault applied -> the caller knows", known, None, None),
        ("fault taken out -> the caller knows", cleared, None, None),
    ):
        worst = f"worst {max(values) * 1e3:.3g} ms"
        yield Figure(f"{name}, median", quantile(values, 0.5) * 1000, "ms", middle, CHANGES)
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
