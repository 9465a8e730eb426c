"""The locustfile that meshchaos ships: one Locust user that drives an open loop.

Run by ``LocustDriver`` as ``python -m locust -f <this> --headless --users 1``; the plan comes on a pipe.
"""

from __future__ import annotations

from typing import Any

import gevent
from locust import User, events, task
from locust.env import Environment

from meshchaos.load.generator.control import receive, watch
from meshchaos.load.generator.open_loop import OpenLoop, tune
from meshchaos.load.generator.rows import Clock, RowWriter

PLAN, FD = receive()


class OpenLoopUser(User):
    """All requests of the load come from this one user."""

    loop: OpenLoop

    @task
    def drive(self) -> None:
        self.loop.run()
        # Not from this greenlet: quitting waits for the users to end.
        gevent.spawn(self.environment.runner.quit)
        gevent.sleep(60)


def prepare(environment: Environment, **_: Any) -> None:
    OpenLoopUser.loop = OpenLoop(PLAN, RowWriter(PLAN.samples), Clock(), environment.events.request.fire)
    watch(FD, OpenLoopUser.loop.stop)
    tune()


events.init.add_listener(prepare)  # type: ignore[no-untyped-call]  # Locust's own
