"""A user's own Locust classes, led into the mesh and written down: a closed model.

Their host, proxy and Host header are set so that relative URLs, and absolute ones of the target, enter where the load
does; a timeout is set where they have none. All else runs as it is.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any, Final

import gevent
import requests.exceptions
from locust import FastHttpUser, HttpUser, User
from locust.clients import HttpSession
from locust.contrib.fasthttp import FastHttpSession
from urllib3.exceptions import ReadTimeoutError

from meshchaos.history.samples import Outcome
from meshchaos.load.driver import LoadPlan
from meshchaos.load.generator.rows import BEAT_EVERY, Clock, RowWriter
from meshchaos.load.sample_file import names_file

MAX_NAMES: Final = 500
"""Names noted one by one; all further ones share the last, lest ids in URLs make each request its own kind."""
OTHERS: Final = "(others)"
_LOCUST_DEFAULT_TIMEOUT: Final = 60.0

_TIMEOUTS: Final = (requests.exceptions.Timeout, ReadTimeoutError, gevent.Timeout, TimeoutError)
_RESETS: Final = ("reset", "closed", "aborted", "broken pipe", "disconnected", "prematurely")
_REFUSALS: Final = ("refused", "unreachable", "failed to establish")


class ClosedLoop:
    """The rows and beats of a closed model. ``begin`` and ``end`` follow what is in flight, one per greenlet."""

    def __init__(self, plan: LoadPlan, writer: RowWriter, clock: Clock) -> None:
        self._plan = plan
        self._writer = writer
        self._clock = clock
        self._names: dict[str, int] = {}
        self._names_fd = os.open(names_file(plan.samples), os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        self._open: dict[int, float] = {}
        self._started = 0
        self._seq = 0

    def record(self, **event: Any) -> None:
        """Listener of ``events.request``."""
        now = self._clock()
        latency = float(event.get("response_time") or 0.0) / 1000
        start = event.get("start_time")
        start = float(start) if isinstance(start, int | float) else now - latency
        response, failure = event.get("response"), event.get("exception")
        status = int(getattr(response, "status_code", 0) or 0)
        if not status:  # what the file itself makes of it (``response.failure(...)``) hides why there was no answer
            failure = getattr(response, "error", None) or failure
        outcome = outcome_of(status, failure)
        size = int(event.get("response_length") or 0)
        answered = outcome is Outcome.ANSWERED
        request = self._index(str(event.get("name")))
        self._writer.sample(start, 0.0, latency, self._seq, status if answered else 0, request, outcome, -1, size)
        self._seq += 1

    def _index(self, name: str) -> int:
        index = self._names.get(name)
        if index is None:
            if len(self._names) >= MAX_NAMES:
                name = OTHERS
            index = self._names.get(name)
            if index is None:
                index = self._names[name] = len(self._names)
                os.write(self._names_fd, json.dumps(name).encode() + b"\n")
        return index

    def follow(self, request: Callable[..., Any], **defaults: Any) -> Callable[..., Any]:
        """The method ``request`` of a client, its calls followed."""

        def followed(*args: Any, **kwargs: Any) -> Any:
            self._started += 1
            number = self._started
            self._open[number] = began = self._clock()
            try:
                return request(*args, **{**defaults, **kwargs})
            except gevent.GreenletExit:
                self._given_up(began, args, kwargs)
                raise
            finally:
                del self._open[number]

        return followed

    def _given_up(self, began: float, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Notes a request that was under way when its user was ended, if it had had the load's timeout by then: a hang
        counts. A younger one was cut off by us and says nothing of the service.
        """
        if self._clock() - began < self._plan.timeout:
            return
        url = kwargs.get("url") or (args[2] if len(args) > 2 else "")  # (session, method, url)
        name = str(kwargs.get("name") or url)
        self._writer.sample(began, 0.0, self._clock() - began, self._seq, 0, self._index(name), Outcome.TIMEOUT, -1, 0)
        self._seq += 1

    def beat(self, *, last: bool = False) -> None:
        now = self._clock()
        oldest = now - next(iter(self._open.values())) if self._open else 0.0
        self._writer.beat(
            now, oldest=oldest, scheduler_lag=0.0, due=self._started, in_flight=len(self._open), last=last
        )

    def beats(self) -> None:
        while True:
            self.beat()
            gevent.sleep(BEAT_EVERY)


def outcome_of(status: int, failure: BaseException | None) -> Outcome:
    """How a request ended, by what the client raised. A response that the locustfile itself marked as failed has a
    good status and is OTHER, so that it is bad here too.
    """
    if failure is None or status >= 400:
        return Outcome.ANSWERED if status else Outcome.OTHER
    if status:
        return Outcome.OTHER
    if isinstance(failure, _TIMEOUTS):
        return Outcome.TIMEOUT
    text = f"{type(failure).__name__} {failure}".lower()
    if any(word in text for word in _REFUSALS):
        return Outcome.CONNECT
    if "timed out" in text:
        return Outcome.TIMEOUT
    return Outcome.RESET if any(word in text for word in _RESETS) else Outcome.OTHER


def lead_in(plan: LoadPlan, classes: list[type[User]], loop: ClosedLoop) -> None:
    """Sets host, proxy, Host header and timeouts of the user's classes, HttpUser and FastHttpUser alike."""
    entry = plan.entry
    host, _, port = entry.address.rpartition(":")
    base = f"http://{entry.host}" if entry.proxied else f"http://{entry.address}"
    for user in classes:
        user.host = base
        if issubclass(user, FastHttpUser):
            if entry.proxied:
                user.proxy_host, user.proxy_port = host.strip("[]"), int(port)
            else:
                user.default_headers = {"Host": entry.host, **(user.default_headers or {})}
            for name in ("network_timeout", "connection_timeout"):
                if getattr(user, name) == _LOCUST_DEFAULT_TIMEOUT:
                    setattr(user, name, plan.timeout)
        elif issubclass(user, HttpUser):
            user.__init__ = _prepared(user.__init__, plan)  # type: ignore[method-assign]  # the one way into its session
    for session, defaults in ((HttpSession, {"timeout": plan.timeout}), (FastHttpSession, {})):
        setattr(session, "request", loop.follow(session.request, **defaults))  # noqa: B010  # a method, for mypy


def _prepared(init: Callable[..., None], plan: LoadPlan) -> Callable[..., None]:
    def prepared(self: HttpUser, *args: Any, **kwargs: Any) -> None:
        init(self, *args, **kwargs)
        self.client.trust_env = False
        if plan.entry.proxied:
            proxy = f"http://{plan.entry.address}"
            self.client.proxies = {"http": proxy, "https": proxy}
        else:
            self.client.headers["Host"] = plan.entry.host

    return prepared
