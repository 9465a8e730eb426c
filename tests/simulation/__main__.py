"""``python -m tests.simulation [--runs N] [--seed N]``: prints the tables; with the runs and the seed of the suite it
also writes them into ``docs/statistics.md``. Ends with 1 when a row does not keep what it promises.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.simulation.row import Row, Section
from tests.simulation.suite import RUNS, SECTIONS, SEED

PAGE = Path(__file__).resolve().parents[2] / "docs" / "statistics.md"
BEGIN, END = "<!-- simulated: make simulate writes from here -->", "<!-- to here -->"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--seed", type=int, default=SEED)
    given = parser.parse_args(arguments)
    tables: list[str] = [f"Seed {given.seed}, {given.runs:,} repetitions a row where nothing else is said.\n"]
    broken: list[str] = []
    for section in SECTIONS:
        rows = section.run(given.seed, given.runs)
        text = "\n".join(table(section, rows))
        print(text, flush=True)
        tables.append(text)
        broken += [f"{section.title}: {line}" for row in rows for line in row.broken()]
    for line in broken:
        print(f"not kept: {line}", file=sys.stderr)
    if (given.runs, given.seed) == (RUNS, SEED) and not broken:
        before, _, rest = PAGE.read_text("utf-8").partition(BEGIN)
        _, _, after = rest.partition(END)
        PAGE.write_text(f"{before}{BEGIN}\n\n" + "\n".join(tables) + f"\n{END}{after}", "utf-8")
        print(f"written: {PAGE.name}", file=sys.stderr)
    return 1 if broken else 0


def table(section: Section, rows: Sequence[Row]) -> Iterator[str]:
    """As Markdown. A column that no row fills is left out."""
    counted, noted = any(row.mean_n is not None for row in rows), any(row.note for row in rows)
    yield f"### {section.title}\n"
    less = f" {rows[0].runs:,} repetitions." if section.cost > 1 else ""
    yield f"{section.text}{less}\n"
    head = ["what", "truth", "PASS", "FAIL", "undecided"] + ["requests"] * counted + [""] * noted
    yield f"| {' | '.join(head)} |"
    yield "|---|---|" + "---:|" * (3 + counted) + "---|" * noted
    for row in rows:
        cells = [row.what, row.truth, *(mark(row, name) for name in ("passed", "failed", "undecided"))]
        cells += [f"{row.mean_n:,.0f}" if row.mean_n is not None else ""] * counted + [row.note] * noted
        yield f"| {' | '.join(cells)} |"
    yield ""


def mark(row: Row, name: str) -> str:
    """A share; in italics where it is an error rate."""
    share = f"{getattr(row, name):.3f}"
    return f"*{share}*" if name in row.wrong else share


if __name__ == "__main__":
    sys.exit(main())
