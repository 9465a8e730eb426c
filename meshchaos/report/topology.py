"""Who sends what to whom, and on which edge each fault is: one line a load and a fault, as inline SVG.

Only what the run itself says is drawn: the load's way in, the fault's edge, and at which end of it what carried it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any
from urllib.parse import urlsplit

from meshchaos.checks import words
from meshchaos.history.records import FaultRecord
from meshchaos.report import lines
from meshchaos.run.result import Result

WIDTH, ROW, BOX = 920, 62, 230


@dataclass(frozen=True, slots=True)
class Hop:
    """``source`` empty: the fault is on ``target`` itself. ``at``: the end that carries a fault; empty for a load.
    ``above`` and ``below`` stand at the arrow.
    """

    source: str
    target: str
    above: str
    below: str
    at: str = ""

    @property
    def told(self) -> str:
        """The same in words."""
        way = f"{self.source} to {self.target}" if self.source else self.target
        return f"{way}: {self.above}, {self.below}" if self.below else f"{way}: {self.above}"


def hops_of(result: Result, spec: Mapping[str, Any]) -> list[Hop]:
    """Loads first, then the faults, in the order of the file. ``spec``: of ``experiment.yaml``."""
    loads = spec.get("load")
    hops = [_load(one) for one in loads if isinstance(one, dict)] if isinstance(loads, list) else []
    return hops + [_fault(one) for one in result.faults]


def draw(hops: Sequence[Hop]) -> str:
    """Empty where there is nothing to draw."""
    if not hops:
        return ""
    body = [_row(hop, index * ROW) for index, hop in enumerate(hops)]
    told = ". ".join(hop.told for hop in hops)
    return (
        f'<svg class="topology" viewBox="0 0 {WIDTH} {ROW * len(hops)}" role="img" aria-label="{escape(told)}">'
        f"{''.join(body)}</svg>"
    )


def _load(load: Mapping[str, Any]) -> Hop:
    target = urlsplit(str(load.get("target", "")))
    rate = f"{load['rate']} requests/s" if load.get("rate") is not None else f"{load.get('users', 'its')} users"
    return Hop(str(load.get("from", "outside")), target.netloc or "the mesh", f"load {load.get('name', '')}", rate)


def _fault(fault: FaultRecord) -> Hop:
    source, arrow, target = fault.edge.partition(" -> ")
    share = f" {words.percent(fault.share)}" if fault.share is not None else ""
    end = "client's proxy" if fault.at == "client" else "server's proxy"
    above = f"fault: {fault.kind}{share}, in the {end}" if fault.proof == "injection" else f"fault: {fault.kind}{share}"
    return Hop(source if arrow else "", target if arrow else fault.edge, above, _carried(fault), fault.at)


def _carried(fault: FaultRecord) -> str:
    if fault.live_at is None:
        return "never live"
    if fault.killed:
        return words.plural(len(fault.killed), "replica") + " killed"
    if not fault.injections:
        return ""
    marked, of = sum(one.injected for one in fault.injections), [one.of for one in fault.injections]
    if None in of or not sum(one or 0 for one in of):
        return f"{words.plural(marked, 'request')} carried it"
    every = sum(one or 0 for one in of)
    return f"{words.count(marked)} of {words.plural(every, 'request')} carried it ({words.percent(marked / every)})"


def _row(hop: Hop, top: int) -> str:
    middle = top + ROW / 2
    kind = "hit" if hop.at else "load"
    right = WIDTH - BOX - 1
    parts = [_box(right, top, hop.target, hit=hop.at == "server" or (bool(hop.at) and not hop.source))]
    if hop.source:
        parts.append(_box(1, top, hop.source, hit=hop.at == "client"))
    start = BOX + 1 if hop.source else BOX / 2
    parts.append(f'<path class="arrow {kind}" d="M{start} {middle}H{right - 2}m-9 -5l9 5l-9 5"/>')
    center = (BOX + right) / 2
    for at, label, text in ((middle - 8, f' class="{kind}"', hop.above), (middle + 17, "", hop.below)):
        parts.append(f'<text{label} x="{center}" y="{at}" text-anchor="middle">{escape(lines.cut(text, 68))}</text>')
    return "".join(parts)


def _box(x: float, top: int, name: str, *, hit: bool) -> str:
    """``hit``: it carries the fault, shown by a thick broken border and a bolt."""
    shown = lines.cut(name, 34)
    box = f'<rect class="{"node hit" if hit else "node"}" x="{x}" y="{top + 13}" width="{BOX}" height="36" rx="5"/>'
    bolt = f'<path class="bolt" d="M{x + BOX - 18} {top + 19}l-6 13h6l-3 11l11 -15h-6l4 -9z"/>' if hit else ""
    text = f'<text class="name" x="{x + BOX / 2}" y="{top + 35}" text-anchor="middle">{escape(shown)}</text>'
    return f"{box}{bolt}{text}"
