"""Error rates, power and cost of the verdicts, by simulation of the production code where the truth is known.

``make simulate`` runs every row with 4,000 repetitions and writes the tables into ``docs/statistics.md``; the tests run
the same rows with fewer. A row says what it promises, and is broken when it does not keep it.
"""
