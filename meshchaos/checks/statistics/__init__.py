"""The tests behind the verdicts: pure functions, each with its source.

- ``binomial``: the exact test of one rate, looked at once (full phases).
- ``eprocess``: the grid-mixture e-process, valid under looks on the way (early stops, ``stopIf``).
- ``quantile``: quantiles of censored latencies, with bounds that agree with either test.
- ``bursts``: whether failures came in clusters, and a test for FAIL when they did.
- ``ratio``: a canary's failures against the baseline's. ``latency_ratio``: a quantile of it. ``share``: of the traffic.
  All three say what they found as a ``comparison``.
- ``mean``: bounds of the mean of bounded whole numbers, such as attempts a request.
- ``planner``: how many requests a verdict takes.

What they promise together, and the simulation that shows it: docs/statistics.md.

Counts are of requests, ``bad`` of ``n``; ``theta`` is the largest bad rate allowed, in (0, 1);
``alpha`` is one-sided. scipy and numpy are imported only inside functions; ``preload`` does it ahead
of time, so that no look on the way pays for it.
"""

from __future__ import annotations

import importlib


def preload() -> None:
    """Imports what the tests use (about 0.3 s): call it where nobody waits, such as in the warm-up."""
    importlib.import_module("scipy.special")
