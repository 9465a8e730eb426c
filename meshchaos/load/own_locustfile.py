"""Runs a user's own locustfile: its classes are loaded as Locust would, led into the mesh, and their requests written
down. The plan comes on a pipe; see ``generator.closed_loop``.
"""

from __future__ import annotations

import sys
from typing import Any

import gevent
from locust import events
from locust.env import Environment
from locust.util.load_locustfile import load_locustfile

from meshchaos.load.generator.closed_loop import ClosedLoop, lead_in
from meshchaos.load.generator.control import receive, watch
from meshchaos.load.generator.rows import Clock, RowWriter

PLAN, FD = receive()
USERS, SHAPES = load_locustfile(str(PLAN.locustfile))
if not USERS:
    sys.exit(f"No User class found in {PLAN.locustfile}")
# Locust looks for classes among this module's names.
globals().update(USERS)
globals().update({f"Shape{index}": type(shape) for index, shape in enumerate(SHAPES)})


def prepare(environment: Environment, **_: Any) -> None:
    """The plan's duration bounds the run, the runner's ``stop`` ends it; users get to finish their task."""
    loop = ClosedLoop(PLAN, RowWriter(PLAN.samples), Clock())
    lead_in(PLAN, list(USERS.values()), loop)
    environment.stop_timeout = PLAN.timeout
    events.request.add_listener(loop.record)  # type: ignore[no-untyped-call]  # Locust's own
    stopping = False

    def stop() -> None:
        nonlocal stopping
        stopping = True

    def attend() -> None:
        with gevent.Timeout(PLAN.duration, exception=False):
            while not stopping:
                gevent.sleep(0.05)
        assert environment.runner is not None
        environment.runner.quit()

    def finish(**_: Any) -> None:
        beats.kill()
        loop.beat(last=True)

    beats = gevent.spawn(loop.beats)
    gevent.spawn(attend)
    watch(FD, stop)
    events.quitting.add_listener(finish)  # type: ignore[no-untyped-call]  # Locust's own


events.init.add_listener(prepare)  # type: ignore[no-untyped-call]  # Locust's own
