"""The expectations: pure, (history, facts) -> findings. No I/O.

- ``success``, ``latency``, ``slo``, ``injected``, ``recovery``: the kinds, one module each.
- ``rate``: the check behind the first three; ``tally`` counts, ``decide`` tests, ``measured`` and
  ``sentences`` say it.
- ``steady``, ``stop``, ``judge``: the baseline, ``stopIf``, and the one verdict of a run.
- ``statistics``: the tests themselves.
"""
