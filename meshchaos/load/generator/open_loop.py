"""The open-loop scheduler: requests start when they are due, whatever became of those before them.

Arrival i of a uniform load is due at t0 + i / rate (after the ramp); a Poisson load has exponential gaps from the seed.
Latency counts from that *intended* start, so a stall of the target shows in every request that it held up (measured:
a closed loop hides a stall of a tenth of the run altogether). The timeout counts from the actual start, as any
client's would: a generator that is late by itself never makes a request time out.
"""

from __future__ import annotations

import resource
from bisect import bisect_right
from collections.abc import Callable, Iterator
from itertools import accumulate
from math import sqrt
from random import Random
from typing import Any, Final

import gevent

from meshchaos.history.samples import Outcome, request_id
from meshchaos.load.driver import LoadPlan
from meshchaos.load.generator.alarm import Alarm
from meshchaos.load.generator.answers import Answer
from meshchaos.load.generator.client import Exchange, Pool, Requests
from meshchaos.load.generator.rows import BEAT_EVERY, Clock, RowWriter

LEAD: Final = 0.05
"""Seconds from now to the first arrival."""
STRETCH: Final = 0.002
"""Seconds of starting arrivals at most before those already started get their turn."""
NAP: Final = 0.0003
"""Seconds slept at least: above some 2,000 requests/s each waking up starts more than one, which saves CPU."""
MAX_CONNECTIONS: Final = 25_000
"""Towards one destination: the range of ephemeral ports is about 28,000 on Linux, and descriptors are dear."""

_NO_ANSWER: Final = Answer(0, 0, -1, keep_alive=False)

Report = Callable[..., None]


def arrivals(plan: LoadPlan) -> Iterator[float]:
    """When requests are due, seconds from the first moment. Endless.

    The load is drawn at rate 1 and its time is bent: with the rate rising linearly over the ramp T to R, R t^2 / (2 T)
    arrivals are due by t < T, and R (t - T / 2) after it.
    """
    assert plan.rate is not None
    rate, ramp = plan.rate, plan.ramp
    random = Random(f"{plan.seed}/{plan.index}/arrivals")
    poisson = plan.arrivals == "poisson"
    nth = random.expovariate(1.0) if poisson else 0.0
    while True:
        yield sqrt(2 * nth * ramp / rate) if nth < rate * ramp / 2 else nth / rate + ramp / 2
        nth += random.expovariate(1.0) if poisson else 1.0


def picks(plan: LoadPlan) -> Iterator[int]:
    """Which request each arrival is, by weight, drawn from the seed. Endless."""
    weights = list(accumulate(request.weight for request in plan.requests))
    random = Random(f"{plan.seed}/{plan.index}/requests").random
    last = len(weights) - 1
    while True:
        yield min(bisect_right(weights, random() * weights[-1]), last) if last else 0


class OpenLoop:
    """One load. ``report`` is Locust's ``events.request.fire``."""

    def __init__(self, plan: LoadPlan, writer: RowWriter, clock: Clock, report: Report) -> None:
        host, _, port = plan.entry.address.rpartition(":")
        address = (host.strip("[]"), int(port))
        prefix = request_id(plan.run_id, plan.index, 0)[:-12].encode()  # its last group is the number of the arrival
        self._plan = plan
        self._writer = writer
        self._clock = clock
        self._report = report
        self._pool, self._exchange = _wire(plan, address, prefix, clock)
        self._cap = min(plan.max_in_flight, MAX_CONNECTIONS, _descriptors() - 256)
        self._open: dict[int, float] = {}
        self._due = 0
        self._next = float("inf")
        self._stopping = False

    def stop(self) -> None:
        """No more arrivals. Callable from any thread."""
        self._stopping = True

    def run(self) -> None:
        """Until ``stop`` or the plan's duration; returns when every request is resolved, last beat written."""
        beats = gevent.spawn(self._beat)
        self._schedule()
        while self._open:
            gevent.sleep(BEAT_EVERY / 5)
        beats.kill()
        now = self._clock()
        self._writer.beat(now, oldest=0.0, scheduler_lag=0.0, due=self._due, in_flight=0, last=True)

    def _schedule(self) -> None:
        clock, open_ = self._clock, self._open
        begin = clock() + LEAD
        end = begin + self._plan.duration
        pick = picks(self._plan)
        alarm = Alarm()
        yielded = clock()
        for offset in arrivals(self._plan):
            due = self._next = begin + offset
            if due >= end:
                break
            while not self._stopping and (wait := due - clock()) > 0:
                alarm.sleep(min(max(wait, NAP), 0.1))
                yielded = clock()
            if self._stopping:
                break
            seq, which = self._due, next(pick)
            self._due += 1
            if len(open_) >= self._cap:
                lag = clock() - due
                self._writer.sample(due, lag, lag, seq, 0, which, Outcome.DROPPED, -1, 0)
            else:
                self._begin(seq, which, due)
            if clock() - yielded > STRETCH:
                gevent.sleep(0)
                yielded = clock()
        self._next = float("inf")

    def _begin(self, seq: int, which: int, due: float) -> None:
        begun = self._clock()
        self._open[seq] = due
        tag = (seq, which, due, begun)
        deadline = begun + self._plan.timeout
        self._pool.begin(self._exchange(seq, which, deadline=deadline, tag=tag, done=self._done))

    def _done(self, exchange: Exchange, outcome: Outcome, answer: Answer | None, error: BaseException | None) -> None:
        seq, which, due, begun = exchange.tag
        latency = self._clock() - due
        status, size, grpc, _ = answer or _NO_ANSWER
        self._writer.sample(due, begun - due, latency, seq, status, which, outcome, grpc, size)
        del self._open[seq]
        request = self._plan.requests[which]
        self._report(
            request_type=request.method,
            name=request.name,
            response_time=latency * 1000,
            response_length=size,
            response=None,
            context={},
            exception=error,
            start_time=due,
            url=request.path,
        )

    def _beat(self) -> None:
        while True:
            now = self._clock()
            late = max(now - self._next, 0.0)
            oldest = max(now - next(iter(self._open.values())), late) if self._open else late
            self._writer.beat(now, oldest=oldest, scheduler_lag=late, due=self._due, in_flight=len(self._open))
            gevent.sleep(BEAT_EVERY)


def _wire(
    plan: LoadPlan, address: tuple[str, int], prefix: bytes, clock: Clock
) -> tuple[Pool, Callable[..., Exchange]]:
    """How a load's requests are sent, and what makes them: (number, which of them) -> the exchange."""
    if plan.grpc:
        from meshchaos.load.generator.grpc import Calls, GrpcPool

        return GrpcPool(address, clock=clock), Calls(plan, prefix)
    return Pool(address, clock=clock, tls=plan.entry.tls), Requests(plan, prefix)


def _descriptors() -> int:
    """How many files this process may have open, after asking for as many as it can get."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY or hard > soft:
        wanted = MAX_CONNECTIONS + 1024
        soft = wanted if hard == resource.RLIM_INFINITY else min(hard, max(wanted, soft))
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return soft


def tune() -> Any:
    """Garbage collection out of the way: requests leave none behind that reference counts do not clear."""
    import gc

    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
