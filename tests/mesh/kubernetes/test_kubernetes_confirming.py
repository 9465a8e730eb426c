"""Whether all proxies concerned run a change; the proxies are stand-ins that tell what they run."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, cast

import pytest

from meshchaos.errors import MeshError, MeshGone, NotLive
from meshchaos.mesh.kubernetes.confirming import SETTLED, Known, Looking
from meshchaos.mesh.kubernetes.live import Footprint, Text
from meshchaos.mesh.kubernetes.proxy import KubernetesProxy
from meshchaos.mesh.objects import Ref
from meshchaos.mesh.seam import Replica

SIGN = Text("chaos-1", "shop", {})
LISTENER = "type.googleapis.com/envoy.admin.v3.ListenersConfigDump.DynamicListener"


class StandIn:
    """``runs``: what it tells at each look, the last of them from then on."""

    mark = b"x"

    def __init__(self, name: str, *runs: str | None, ready: bool = True, at: str = "") -> None:
        self.replica = Replica(name, name, "shop", "10.0.0.1", {}, "x", True, ready=ready)
        self.name = f"{name}.shop"
        self.runs = list(runs)
        self.at = at

    def config_dump(self, resource: str = "") -> Any:
        found = self.runs.pop(0) if len(self.runs) > 1 else self.runs[0]
        if found is None:
            raise MeshGone("no answer")
        listener = {"name": "virtualInbound", "x": found}
        return {"configs": [{"@type": LISTENER, "active_state": {"listener": listener, "last_updated": self.at}}]}


def looking(*proxies: StandIn) -> Looking:
    return Looking(cast(list[KubernetesProxy], list(proxies)), frozenset())


def wait(*proxies: StandIn, present: bool = True, timeout: float = 0.3, **more: Any) -> tuple[str, ...]:
    known: Callable[[Ref], Any] = lambda ref: None  # noqa: E731
    return looking(*proxies).wait([SIGN], known, present=present, timeout=timeout, **more).proxies


def test_all_of_them_are_waited_for() -> None:
    found = wait(StandIn("a", "", "", "chaos-1"), StandIn("b", "chaos-1"), timeout=10)
    assert found == ("a.shop", "b.shop")
    assert wait(StandIn("a", "chaos-1", "chaos-1", ""), present=False, timeout=10) == ("a.shop",)


def test_those_that_are_late_are_named() -> None:
    with pytest.raises(NotLive, match=r"^a.shop does not run it yet \(1 of 2 do as asked\)$"):
        wait(StandIn("a", ""), StandIn("b", "chaos-1"))
    with pytest.raises(NotLive, match=r"^b.shop runs it still \(1 of 2 do as asked\)$"):
        wait(StandIn("a", ""), StandIn("b", "chaos-1"), present=False)


def test_a_proxy_that_does_not_answer_has_it_not_and_keeps_nothing() -> None:
    with pytest.raises(NotLive, match=r"^a.shop does not run it yet"):
        wait(StandIn("a", None), StandIn("b", "chaos-1"))
    assert wait(StandIn("a", None), StandIn("b", ""), present=False) == ("b.shop",)


def test_nobody_concerned_is_not_live_unless_that_is_said() -> None:
    with pytest.raises(NotLive, match="no proxy is concerned"):
        wait(StandIn("a", "", ready=False))
    assert wait(StandIn("a", "", ready=False), somewhere=False) == ()
    assert wait(StandIn("a", "", ready=False), present=False) == ()


def test_a_changed_field_is_live_when_it_differs_and_gone_when_it_is_as_before() -> None:
    sign = Footprint(Ref("PeerAuthentication", "shop", "p"), "shop", {}, "dynamic_listeners")

    def run(*runs: str, present: bool, first: Any, last: Any, timeout: float = 0.3, age: float = 0.0) -> None:
        known = Known(first, last, time.monotonic() - age)
        looking(StandIn("a", *runs)).wait([sign], lambda ref: known, present=present, timeout=timeout)

    before, during = (looking(StandIn("a", text)).digests(sign) for text in ("old", "new"))
    run("old", "new", present=True, first=before, last=before, timeout=10)
    with pytest.raises(NotLive, match="does not run it yet"):
        run("old", present=True, first=before, last=before)
    run("new", "old", present=False, first=before, last=during, timeout=10)
    with pytest.raises(NotLive, match="runs it still"):
        run("new", present=False, first=before, last=during)
    # A change that nothing came of is gone, too.
    run("old", present=False, first=before, last=before)
    # A healer has not seen how it was before: what runs when it writes is what has to go,
    run("new", "old", present=False, first=None, last=during, timeout=10)
    with pytest.raises(NotLive, match="runs it still"):
        run("new", present=False, first=None, last=during)
    # unless the proxy had not been told of it when the runner died.
    run("old", present=False, first=None, last=before, age=SETTLED)


def test_a_clock_that_is_not_ours_is_told() -> None:
    def compare(at: str) -> None:
        looking(StandIn("a", "chaos-1", at=at)).compare_clocks("chaos-1", 1_800_000_000.0, 1_800_000_000.4)

    compare("2027-01-15T08:00:00.200Z")
    compare("2027-01-15T08:00:00.600Z")
    with pytest.raises(MeshError, match=r"the clock of the node of a.shop is 1.6 s or more ahead of this machine's"):
        compare("2027-01-15T08:00:02.000Z")
    with pytest.raises(MeshError, match=r"3.0 s or more behind this machine's"):
        compare("2027-01-15T07:59:57.000Z")
