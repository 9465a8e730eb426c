"""Up to when nothing that a proxy sent is open, by its own count and the lines of its log."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from meshchaos.evidence.settled import Pending, Settled
from meshchaos.history.edges import EdgeLine
from meshchaos.mesh.seam import ProxyLogLine

LINE = ProxyLogLine(0.0, 0.1, "outbound", "id", "GET", "/", "api", 200, (), "", "", "", "10.0.0.1:80", 1, (), "")


@dataclass
class Proxy:
    """Had 100 requests before it was watched, from second 10 on."""

    now: float = 10.0
    count: int | None = 100
    settled: Settled = field(init=False)

    def __post_init__(self) -> None:
        self.settled = Settled(lambda: self.count, self.now, self.count, clock=lambda: self.now)

    def begins(self, at: float) -> None:
        assert self.count is not None
        self.now, self.count = at, self.count + 1

    def ends(self, started: float, method: str = "GET") -> None:
        self.settled.line(replace(LINE, start=started, method=method))

    def look(self, at: float) -> float:
        self.now = at
        self.settled.look()
        return self.settled.until


def test_what_began_before_a_moment_is_settled_once_all_of_it_has_its_line() -> None:
    proxy = Proxy()
    for at in (10.5, 10.6, 10.7):
        proxy.begins(at)
    proxy.ends(10.6)
    assert proxy.look(11.0) < 10.0, "two are open"
    proxy.begins(11.5)
    proxy.ends(11.5)
    proxy.ends(10.5)
    assert proxy.look(12.0) < 10.0, "one is open, though as many lines came as there were requests in the first second"
    proxy.ends(10.7)
    assert proxy.look(13.0) == 13.0


def test_a_slow_request_holds_back_what_began_after_it_and_nothing_before() -> None:
    proxy = Proxy()
    proxy.begins(10.5)
    proxy.ends(10.5)
    assert proxy.look(11.0) == 11.0
    proxy.begins(11.5)
    proxy.begins(12.5)
    proxy.ends(12.5)
    assert proxy.look(13.0) == 11.0
    assert proxy.look(14.0) == 11.0
    proxy.ends(11.5)
    assert proxy.look(15.0) == 15.0


def test_what_is_no_request_and_what_began_before_the_watch_is_not_counted() -> None:
    proxy = Proxy()
    proxy.begins(10.5)
    for method in ("", "CONNECT"):
        proxy.ends(10.4, method)
    proxy.ends(9.9)
    assert proxy.look(11.0) < 10.0
    proxy.ends(10.5)
    assert proxy.look(12.0) == 12.0


def test_a_request_that_begins_while_the_proxy_is_asked_settles_nothing_too_early() -> None:
    proxy = Proxy()
    proxy.begins(10.5)
    assert proxy.count is not None
    proxy.count += 1  # within the look at 11.0, behind its moment
    assert proxy.look(11.0) < 10.0
    proxy.ends(11.0001)
    assert proxy.look(11.5) < 10.0, "the one of 10.5 is open"
    proxy.ends(10.5)
    assert proxy.look(12.0) == 12.0


def test_a_proxy_that_does_not_tell_settles_nothing() -> None:
    proxy = Proxy(count=None)
    proxy.ends(10.5)
    assert proxy.look(11.0) < 10.0


def test_lines_are_handed_over_once_in_the_order_of_their_starts() -> None:
    lines = {at: EdgeLine("web.shop", replace(LINE, start=at)) for at in (1.0, 2.0, 3.0, 4.0)}
    pending = Pending()
    for at in (3.0, 1.0, 2.0):
        pending.add(lines[at])
    assert pending.take([2.5, 9.0]) == (lines[1.0], lines[2.0])
    pending.add(lines[4.0])
    assert pending.take([]) == (), "no client is left to say"
    assert pending.take([9.0]) == (lines[3.0], lines[4.0])
    assert pending.take([9.0]) == ()
