"""All tables."""

from __future__ import annotations

from tests.simulation import canaries, clusters, others, rates
from tests.simulation.row import Section

SECTIONS: tuple[Section, ...] = (*rates.SECTIONS, *clusters.SECTIONS, *canaries.SECTIONS, *others.SECTIONS)

SEED = 20_260_101
RUNS = 4000
