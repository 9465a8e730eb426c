"""Whether the process that holds a mesh is known to be dead."""

from __future__ import annotations

import os
import re
import subprocess
import sys

from meshchaos.run.owner import is_dead, this_process

SAY = "import sys; from meshchaos.run.owner import this_process; print(this_process(), flush=True); sys.stdin.read()"


def test_a_process_is_dead_once_it_was_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", SAY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as one:
        assert one.stdout is not None
        owner = one.stdout.readline().strip()
        assert f"process {one.pid} (" in owner
        assert not is_dead(owner)
        one.kill()
        one.wait(10)
    assert is_dead(owner)


def test_a_number_that_was_given_out_again_is_another_process() -> None:
    mine = this_process()
    assert not is_dead(mine)
    assert is_dead(re.sub(r"\.\d+\)$", ".1)", mine))


def test_what_runs_elsewhere_may_be_alive() -> None:
    gone = re.sub(r"\.\d+\)$", ".1)", this_process())
    assert not is_dead(re.sub("@[^,]*", "@elsewhere.example", gone))
    assert not is_dead(re.sub(r"\(\d+\.", "(7.", gone)), "another PID namespace"
    assert not is_dead(f"ann@laptop, process {os.getpid()}"), "a system that tells no start"
    assert not is_dead("somebody")
