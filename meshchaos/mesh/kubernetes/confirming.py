"""Waiting until every proxy concerned runs a change, or none does any more: asked of all of them at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from meshchaos.errors import MeshError, MeshGone, NotLive
from meshchaos.mesh.kubernetes.dumps import updated
from meshchaos.mesh.kubernetes.live import Footprint, Sign, Target
from meshchaos.mesh.kubernetes.proxy import KubernetesProxy
from meshchaos.mesh.objects import Ref
from meshchaos.mesh.seam import Confirmation

_POLL: Final = 0.01
"""Seconds between two looks at one proxy; a look takes some 10 ms of its own."""
_AT_ONCE: Final = 16
SKEW: Final = 0.25
"""Seconds that clocks may differ by: what faults are live by is good to some tenths, too."""

SETTLED: Final = 15.0
"""Seconds after a write by which istiod has told every proxy: it gathers changes for 10 s at most."""

Digests = Mapping[str, str | None]
"""Of one object by the proxies' names."""


@dataclass(frozen=True, slots=True)
class Known:
    """What proxies ran of an object. ``first``: before anything was made of it; None: not known, to whoever heals for
    another. ``last``: before it was last written, which was at ``at`` (monotonic s).
    """

    first: Digests | None
    last: Digests
    at: float


class Looking:
    """``gateways``: the names of the proxies that are gateways."""

    def __init__(self, proxies: Sequence[KubernetesProxy], gateways: frozenset[str]) -> None:
        self._proxies = proxies
        self._gateways = gateways

    def digests(self, sign: Footprint) -> dict[str, str | None]:
        """What each proxy runs of an object now."""
        concerned = [one for one in self._proxies if one.replica.ready and self._may(sign, one)]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            found = pool.map(lambda proxy: _digest(sign, proxy), concerned)
            return dict(zip((one.name for one in concerned), found, strict=True))

    def wait(
        self,
        signs: Sequence[Sign],
        known: Callable[[Ref], Known | None],
        *,
        present: bool,
        timeout: float,
        somewhere: bool = True,
    ) -> Confirmation:
        """Raises NotLive, naming the proxies that lack it, or have it still. ``known``: None for an
        object that was not written here. ``somewhere``: it must concern one.
        """
        end = time.monotonic() + timeout
        pairs = [(sign, one) for sign in signs for one in self._proxies if one.replica.ready and self._may(sign, one)]

        def ask(pair: tuple[Sign, KubernetesProxy]) -> tuple[str, bool | None, float]:
            sign, proxy = pair
            while True:
                try:
                    shown = _shows(sign, proxy, known, present=present)
                except MeshGone:
                    shown = False if present else None  # a proxy that is gone runs nothing
                at = time.time()
                if shown is None or shown is present or time.monotonic() >= end:
                    return proxy.name, shown, at
                time.sleep(_POLL)

        with ThreadPoolExecutor(_AT_ONCE) as pool:
            found = list(pool.map(ask, pairs))
        late = sorted({name for name, shown, _ in found if shown is not None and shown is not present})
        concerned = sorted({name for name, shown, _ in found if shown is not None})
        if late:
            state = "does not run it yet" if present else "runs it still"
            raise NotLive(f"{', '.join(late)} {state} ({len(concerned) - len(late)} of {len(concerned)} do as asked)")
        if present and somewhere and signs and not concerned:
            raise NotLive("no proxy is concerned: what it selects or matches is not there, or no proxy was told of it")
        return Confirmation(max((at for _, _, at in found), default=time.time()), tuple(concerned))

    def compare_clocks(self, text: str, since: float, until: float) -> None:
        """Raises MeshError where a proxy says that it took listeners with ``text``, which were written and seen in a
        time of ours (epoch s), far outside of it.
        """
        ready = [one for one in self._proxies if one.replica.ready and one.mark is not None]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            found = zip(ready, pool.map(lambda proxy: _updated(proxy, text), ready), strict=True)
        for proxy, at in found:
            skew = 0.0 if at is None else max(at - until, 0.0) + min(at - since, 0.0)
            if abs(skew) > SKEW:
                raise MeshError(
                    f"the clock of the node of {proxy.name} is {abs(skew):.1f} s or more "
                    f"{'ahead of' if skew > 0 else 'behind'} this machine's: its log lines cannot be put beside what "
                    "is sent and when a fault is live; let both go by NTP"
                )

    def _may(self, sign: Sign, proxy: KubernetesProxy) -> bool:
        return sign.concerns(Target(proxy.replica, proxy.name in self._gateways))


def _digest(sign: Footprint, proxy: KubernetesProxy) -> str | None:
    try:
        return sign.digest(proxy.config_dump(sign.section))
    except MeshGone:
        return None


def _updated(proxy: KubernetesProxy, text: str) -> float | None:
    try:
        return updated(proxy.config_dump("dynamic_listeners"), text)
    except MeshGone:
        return None


def _shows(sign: Sign, proxy: KubernetesProxy, known: Callable[[Ref], Known | None], *, present: bool) -> bool | None:
    if not isinstance(sign, Footprint):
        return sign.shows(proxy.config_dump(sign.section))
    before = known(sign.ref)
    now = sign.digest(proxy.config_dump(sign.section))
    if before is None or proxy.name not in before.last or (now is None and before.last[proxy.name] is None):
        return None
    last = before.last[proxy.name]
    if before.first is None:
        # Where the change had not come to the proxy yet, it runs after the undoing what it ran ahead of it.
        return now != last if present else now == last and time.monotonic() - before.at < SETTLED
    first = before.first.get(proxy.name)
    return now != first if present else now != first and now == last
