"""Faults for hypothesis (`pip install hypothesis`): ``@given(fault=http_faults(to=["ratings", "details"]))``.

Each is drawn as a ``Drawn``, which ``chaos.make`` makes into a fault, and which hypothesis shrinks: fewer requests, a
shorter delay, the first service. Values are drawn in steps in which proxies count, within what a test can wait for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

from pytest_meshchaos.drawn import Drawn

_STATUSES = (500, 502, 503, 504)


def delays(
    *,
    to: str | Sequence[str],
    shortest: int = 1,
    longest: int = 1000,
    percentages: st.SearchStrategy[int] | None = None,
) -> st.SearchStrategy[Drawn]:
    """``delay`` faults on one of these services, of ``shortest`` to ``longest`` milliseconds. ``percentages``: of the
    requests, 100 by itself: at fewer, a test with few requests may see none.
    """
    lengths = st.integers(shortest, longest).map("{}ms".format)
    return _drawn("delay", to, percentages, fixedDelay=lengths)


def aborts(
    *,
    to: str | Sequence[str],
    statuses: Sequence[int] = _STATUSES,
    percentages: st.SearchStrategy[int] | None = None,
) -> st.SearchStrategy[Drawn]:
    """``abort`` faults on one of these services, with one of these HTTP statuses."""
    return _drawn("abort", to, percentages, httpStatus=st.sampled_from(list(statuses)))


def http_faults(
    *, to: str | Sequence[str], longest: int = 1000, percentages: st.SearchStrategy[int] | None = None
) -> st.SearchStrategy[Drawn]:
    """Delays (to ``longest`` milliseconds) and aborts."""
    return st.one_of(aborts(to=to, percentages=percentages), delays(to=to, longest=longest, percentages=percentages))


def faults(kind: str, **fields: Any) -> st.SearchStrategy[Drawn]:
    """Of any kind: each field is a value or a strategy, ``faults("kill", workload=st.sampled_from([...]))``."""
    given = {key: one if isinstance(one, st.SearchStrategy) else st.just(one) for key, one in fields.items()}
    return st.fixed_dictionaries(given).map(lambda values: Drawn(kind, {key: values[key] for key in fields}))


def _drawn(
    kind: str, to: str | Sequence[str], percentages: st.SearchStrategy[int] | None, **fields: Any
) -> st.SearchStrategy[Drawn]:
    services = [to] if isinstance(to, str) else list(to)
    more = {} if percentages is None else {"percentage": percentages}
    return faults(kind, to=st.sampled_from(services), **fields, **more)
