"""Every policy set that differs in one thing from a right one, made from its YAML."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from meshchaos.mesh.objects import Manifest

MODES = ("PERMISSIVE", "DISABLE")
Edit = Callable[[Any], None]


def weakenings(
    policies: Sequence[Manifest], workloads: Iterable[tuple[str, int]], namespace: str
) -> Iterator[tuple[str, list[Manifest]]]:
    """A name, and the whole set with that one change. ``workloads``: ``app`` labels with a port each, that could get a
    PeerAuthentication of their own.
    """
    for at, policy in enumerate(policies):
        name = f"{policy['kind']} {policy['metadata']['name']}"
        rest = [*policies[:at], *policies[at + 1 :]]
        yield f"{name}: dropped", list(rest)
        for what, edit in _edits(policy):
            changed = copy.deepcopy(policy)
            edit(changed["spec"])
            yield f"{name}: {what}", [*rest, changed]
    for where, spec in _scopes(workloads):
        for mode in MODES:
            weaker = _peer_authentication(where.replace(" ", "-"), namespace, spec(mode))
            yield f"PeerAuthentication of {where}: {mode}", [*policies, weaker]


def _edits(policy: Manifest) -> Iterator[tuple[str, Edit]]:
    spec = policy["spec"]
    if "selector" in spec:
        yield "selector dropped", _drop("selector")
    if "mtls" in spec:
        for mode in MODES:
            yield f"mode {mode}", _set(("mtls", "mode"), mode)
    for list_name in ("rules", "jwtRules"):
        rules = spec.get(list_name) or ()
        for number, rule in enumerate(rules):
            where = f"{list_name}[{number}]"
            yield f"{where} dropped", _drop(list_name, number)
            yield from _of_jwt_rule(where, rule) if list_name == "jwtRules" else _of_rule(where, number, rule)


def _of_rule(where: str, number: int, rule: dict[str, Any]) -> Iterator[tuple[str, Edit]]:
    path = ("rules", number)
    for part, inner in (("from", "source"), ("to", "operation")):
        if part in rule:
            yield f"{where}.{part} dropped", _drop(*path, part)
        for at, one in enumerate(rule.get(part) or ()):
            for field, values in one[inner].items():
                place = (*path, part, at, inner, field)
                yield f"{where}.{part}[{at}].{field} dropped", _drop(*place)
                for index, value in enumerate(values):
                    if value != "*":
                        yield f"{where}.{part}[{at}].{field} {value} -> *", _set((*place, index), "*")
    for at, condition in enumerate(rule.get("when") or ()):
        yield f"{where}.when[{at}] dropped", _drop(*path, "when", at)
        for index, value in enumerate(condition.get("values") or ()):
            place = (*path, "when", at, "values", index)
            yield f"{where}.when[{at}] {condition['key']} {value} -> *", _set(place, "*")


def _of_jwt_rule(where: str, rule: dict[str, Any]) -> Iterator[tuple[str, Edit]]:
    path = ("jwtRules", int(where.partition("[")[2][:-1]))
    yield f"{where}.issuer -> https://elsewhere.example", _set((*path, "issuer"), "https://elsewhere.example")
    for field in ("audiences", "forwardOriginalToken"):
        if field in rule:
            yield f"{where}.{field} dropped", _drop(*path, field)


def _scopes(workloads: Iterable[tuple[str, int]]) -> Iterator[tuple[str, Callable[[str], dict[str, Any]]]]:
    yield "the namespace", lambda mode: {"mtls": {"mode": mode}}
    for app, port in workloads:
        chosen = {"selector": {"matchLabels": {"app": app}}}
        yield app, lambda mode, chosen=chosen: {**chosen, "mtls": {"mode": mode}}  # type: ignore[misc]
        strict = {**chosen, "mtls": {"mode": "STRICT"}}
        yield (
            f"port of {app}",
            lambda mode, strict=strict, port=port: {**strict, "portLevelMtls": {port: {"mode": mode}}},  # type: ignore[misc]
        )


def _peer_authentication(name: str, namespace: str, spec: dict[str, Any]) -> Manifest:
    return {
        "apiVersion": "security.istio.io/v1",
        "kind": "PeerAuthentication",
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }


def _drop(*path: str | int) -> Edit:
    """Takes out what is there; a list or mapping that is empty then goes too, as nobody writes one."""

    def edit(spec: Any) -> None:
        holder = spec
        for step in path[:-1]:
            holder = holder[step]
        del holder[path[-1]]
        if not holder and len(path) > 1 and path[:-1] != ("rules",):
            edit_above(spec)

    edit_above = _drop(*path[:-1]) if len(path) > 1 else lambda spec: None
    return edit


def _set(path: Sequence[str | int], value: Any) -> Edit:
    def edit(spec: Any) -> None:
        for step in path[:-1]:
            spec = spec[step]
        spec[path[-1]] = value

    return edit
