"""``python -m tests.bench [NAME ...]``: all benchmarks, or those named."""

from __future__ import annotations

import json
import platform
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tabulate import tabulate

from tests.bench import generator, liveness, mesh_up, overhead, page, startup, verdicts
from tests.bench.figure import Figure

BENCHES: dict[str, Callable[[], Iterator[Figure]]] = {
    "startup": startup.measure,
    "mesh-up": mesh_up.measure,
    "liveness": liveness.measure,
    "generator": generator.measure,
    "overhead": overhead.measure,
    "verdicts": verdicts.measure,
    "page": page.measure,
}


def main(names: list[str]) -> int:
    unknown = [name for name in names if name not in BENCHES]
    if unknown:
        print(f"no benchmark {', '.join(unknown)}; there are {', '.join(BENCHES)}", file=sys.stderr)
        return 2
    found: list[Figure] = []
    for name in names or BENCHES:
        print(f"{name} ...", file=sys.stderr, flush=True)
        found += BENCHES[name]()
    header = ("what", "measured", "goal", "of the goal", "n", "remark")
    print(tabulate([figure.row() for figure in found], headers=header, colalign=("left", "right", "right", "right")))
    data = {
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": platform.platform(),
        "figures": [figure.to_json() for figure in found],
    }
    Path("bench.json").write_text(json.dumps(data, indent=2) + "\n", "utf-8")
    print("written: bench.json", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
