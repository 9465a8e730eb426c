"""``python -m tests.proof [--runs N] [--seed N] [--only KIND...] [--jobs N]``: prints each run and the table; with all
kinds it also writes the table into ``docs/proof.md``. Ends with 1 when a verdict was wrong.
"""

from __future__ import annotations

import argparse
import os
import secrets
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

from tests.e2e.truths import KINDS, TRUTHS, Truth
from tests.proof.repeat import Outcome, repeat
from tests.run.prometheus_server import MISSING, is_there

PAGE = Path(__file__).resolve().parents[2] / "docs" / "proof.md"
BEGIN, END = "<!-- measured: make prove writes from here -->", "<!-- to here -->"
RUNS = 20


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.proof")
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--seed", type=int, default=secrets.randbits(32), help="of the runs' seeds; drawn by itself")
    parser.add_argument("--only", nargs="+", choices=KINDS, default=KINDS, metavar="KIND")
    parser.add_argument("--jobs", type=int, default=1, help="meshes at once")
    given = parser.parse_args(arguments)
    truths = [truth for truth in TRUTHS if truth.kind in given.only]
    if any(truth.asks for truth in truths) and not is_there():
        print(MISSING, file=sys.stderr)
        return 2
    print(f"seed {given.seed}", flush=True)
    began = time.monotonic()

    def one(truth: Truth) -> list[Outcome]:
        drawn = Random(f"{given.seed}/{truth.name}")
        return repeat(truth, [drawn.getrandbits(31) for _ in range(given.runs)], lambda n, o: tell(n, given.runs, o))

    with ThreadPoolExecutor(given.jobs) as pool:
        found = list(pool.map(one, truths))
    minutes = (time.monotonic() - began) / 60
    text = "\n".join(table(found))
    print(text)
    outcomes = [outcome for several in found for outcome in several]
    if given.only == KINDS:
        head = (
            f"Seed {given.seed}, {given.runs} runs a row, {len(outcomes)} in all, {minutes:.0f} minutes on "
            f"{os.cpu_count()} cores.\n\n"
        )
        before, _, rest = PAGE.read_text("utf-8").partition(BEGIN)
        _, _, after = rest.partition(END)
        PAGE.write_text(f"{before}{BEGIN}\n\n{head}{text}\n{END}{after}", "utf-8")
        print(f"written: {PAGE.name}", file=sys.stderr)
    return 1 if any(outcome.judged == "wrong" for outcome in outcomes) else 0


def tell(number: int, runs: int, outcome: Outcome) -> None:
    truth = f"{outcome.truth.kind} {'holds' if outcome.truth.holds else 'is broken'}"
    print(f"{truth} {number}/{runs} seed {outcome.seed}: {outcome.judged}: {outcome.reason}", flush=True)


def table(found: Sequence[Sequence[Outcome]]) -> Iterator[str]:
    """As Markdown, and below it what was not right."""
    yield "| expectation | the mesh | truth | right | wrong | other |"
    yield "|---|---|---|---:|---:|---:|"
    for several in found:
        truth = several[0].truth
        counts = [sum(one.judged == what for one in several) for what in ("right", "wrong", "other")]
        shown = " | ".join(str(count) for count in counts)
        yield f"| `{truth.kind}` | {truth.mesh} | {'holds' if truth.holds else 'broken'} | {shown} |"
    total = [sum(one.judged == what for several in found for one in several) for what in ("right", "wrong", "other")]
    yield f"| all | | | {' | '.join(str(count) for count in total)} |"
    yield ""
    for several in found:
        for one in several:
            if one.judged != "right":
                yield f"- {one.truth.kind}, {one.truth.mesh}, seed {one.seed}, {one.judged}: {one.reason}"


if __name__ == "__main__":
    sys.exit(main())
