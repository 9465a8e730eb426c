"""What is in Envoy's ``config_dump``: what is active, and not what drains; pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final, Literal

Section = Literal["dynamic_listeners", "dynamic_route_configs", "dynamic_active_clusters"]
Dump = Mapping[str, Any]
Json = Mapping[str, Any]

_DURATION: Final = re.compile(r"\d+(\.\d+)?s")


def within(ours: Any, theirs: Any) -> bool:
    """Whether a proxy's JSON holds all that ours says. Envoy leaves out what is 0, empty or false."""
    if isinstance(ours, Mapping):
        there = theirs if isinstance(theirs, Mapping) else {}
        return all(within(value, there.get(key)) for key, value in ours.items())
    if isinstance(ours, list | tuple):
        there_too = theirs if isinstance(theirs, list) else []
        return len(ours) == len(there_too) and all(map(within, ours, there_too))
    if isinstance(ours, bool | int | float) and theirs is None:
        return not ours
    if _seconds(ours) is not None:
        return _seconds(ours) == _seconds(theirs)  # 0.3s comes back as 0.300s
    return bool(ours == theirs) or (theirs is None and ours in ("", "HUNDRED"))


def _seconds(text: Any) -> float | None:
    """Of a Duration's JSON."""
    return float(text[:-1]) if isinstance(text, str) and _DURATION.fullmatch(text) else None


def routes(dump: Dump) -> Iterator[tuple[Json, Json]]:
    """Every route that was delivered by RDS, with its virtual host."""
    for item in _items(dump, "dynamic_route_configs", "DynamicRouteConfig"):
        for host in (item.get("route_config") or {}).get("virtual_hosts") or ():
            for route in host.get("routes") or ():
                yield host, route


def listeners(dump: Dump) -> Iterator[Json]:
    """The active ones."""
    for item in _items(dump, "dynamic_listeners", "DynamicListener"):
        found = (item.get("active_state") or {}).get("listener")
        if found:
            yield found


def updated(dump: Dump, text: str) -> float | None:
    """When the proxy took the newest of its active listeners that hold ``text`` (epoch s, by its node's clock)."""
    found = [
        datetime.fromisoformat(str(state["last_updated"])).timestamp()
        for item in _items(dump, "dynamic_listeners", "DynamicListener")
        if (state := item.get("active_state") or {}).get("last_updated")
        and text in json.dumps(state.get("listener") or {}, separators=(",", ":"))
    ]
    return max(found, default=None)


def clusters(dump: Dump) -> Iterator[Json]:
    """The active ones."""
    for item in _items(dump, "dynamic_active_clusters", "DynamicCluster"):
        yield item.get("cluster") or {}


def _items(dump: Dump, section: Section, message: str) -> Iterator[Json]:
    """Of a whole dump, and of one that was asked for this resource alone, which is a list of messages."""
    for config in dump.get("configs") or ():
        if str(config.get("@type", "")).endswith(f".{message}"):
            yield config
        yield from config.get(section) or ()


def inline_hosts(listener: Json) -> Iterator[Json]:
    """Virtual hosts of the routes that stand in a listener itself, of all its filter chains."""
    for chain in (*(listener.get("filter_chains") or ()), listener.get("default_filter_chain") or {}):
        for item in chain.get("filters") or ():
            config = (item.get("typed_config") or {}).get("route_config") or {}
            yield from config.get("virtual_hosts") or ()
