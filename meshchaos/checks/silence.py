"""Nobody decides how many requests an edge gets: a client that is down, or has given the server up, sends none.

What was asked in the rest of the time may all be good, and says nothing of the silent part.
"""

from __future__ import annotations

from collections.abc import Sequence

from meshchaos.checks import words
from meshchaos.history.samples import Samples

TOO_LONG = 0.5
"""The part of a window without one request that is no test of the window any more."""


def silence(samples: Sequence[Samples], start: float, end: float) -> str | None:
    """In words, where the longest time without a request is at least half of [start, end); else None."""
    import numpy as np

    starts = np.concatenate([some.rows["start"] for some in samples]) if samples else np.zeros(0)
    inside = np.sort(starts[(starts >= start) & (starts < end)])
    borders = np.concatenate(([start], inside, [end]))
    gaps = np.diff(borders)
    longest = int(np.argmax(gaps))
    gap = float(gaps[longest])
    if gap < TOO_LONG * (end - start):
        return None
    since = words.seconds(float(borders[longest]) - start)
    return f"for {words.seconds(gap)} of {words.seconds(end - start)}, from {since} on"
