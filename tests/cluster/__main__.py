"""``make cluster-test``: the tier on a real Kubernetes with a real Istio; ``make cluster-bench``: its benchmark.

With ``MESHCHAOS_TEST_CONTEXT`` on the cluster of that context; else on one that is brought up on this machine and taken
down again, whatever happens. Where this machine cannot have one that is said in one line, and is no failure.
``MESHCHAOS_TEST_BUILD``: minutes at most for making its programs, which takes half an hour the first time.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from typing import NoReturn

from tests.cluster.node.guard import lacking

NOT_UP = 75
"""Exit code where there was no cluster to test on, which is not what a failing test is (EX_TEMPFAIL, sysexits(3))."""
NODE = (sys.executable, "-m", "tests.cluster.node")


def main(words: Sequence[str]) -> int:
    """``words``: for pytest, or ``bench`` alone."""
    if os.environ.get("MESHCHAOS_TEST_CONTEXT"):
        return _measure(words, {})
    if missing := lacking():
        print(f"cluster tier: skipped: this machine lacks {', and '.join(missing)}")
        return 0
    if not _installed():
        return 0
    signal.signal(signal.SIGTERM, _end)  # a cancelled job takes it down, too
    try:
        up = subprocess.run([*NODE, "up"], stdout=subprocess.PIPE, text=True, check=False)
        if up.returncode != 0:
            print("cluster tier: the cluster did not come up, so nothing was tested", file=sys.stderr)
            return NOT_UP
        said = dict(line.removeprefix("export ").split("=", 1) for line in up.stdout.splitlines())
        return _measure(words, said)
    finally:
        subprocess.run([*NODE, "down"], check=False)


def _installed() -> bool:
    """False, and said in one line, where it took longer than it may. Raises SystemExit where it failed."""
    minutes = os.environ.get("MESHCHAOS_TEST_BUILD")
    with subprocess.Popen([*NODE, "install"], start_new_session=True) as process:
        try:
            code = process.wait(60 * float(minutes) if minutes else None)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGTERM)
            print(f"cluster tier: skipped: its programs were not made within {minutes} minutes; the next time goes on")
            return False
        except BaseException:
            os.killpg(process.pid, signal.SIGTERM)
            raise
    if code != 0:
        raise SystemExit(code)
    return True


def _measure(words: Sequence[str], more: dict[str, str]) -> int:
    bench = list(words) == ["bench"]
    command = [sys.executable, "-m", *(("tests.cluster.bench",) if bench else ("pytest", "tests/cluster", *words))]
    return subprocess.run(command, env={**os.environ, **more}, check=False).returncode


def _end(*_: object) -> NoReturn:
    raise SystemExit(128 + signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
