"""Somebody else edits the same objects, and others, at any moment of a run: what he wrote stays, and ours goes."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fake_runner
import pytest
from fake_api import Asked, FakeApi, nobody
from fake_shop import TOGETHER, experiment, state

from meshchaos.run.healing import heal
from meshchaos.run.result import Result

SHOP = ("virtualservices", "destinationrules", "deployments", "pods")


def run(config: Path, *faults: str) -> Result:
    folder = config.parent / "run"
    folder.mkdir(exist_ok=True)
    return fake_runner.run(experiment(config.parent, "edited", *faults), config, folder)


class Colleague:
    """Puts one more annotation on the shop's own objects: on the one that is about to be written, and on one more."""

    def __init__(self, api: FakeApi, share: float, seed: int) -> None:
        self.edits: list[tuple[tuple[str, str, str], str]] = []
        self._api = api
        self._random = random.Random(seed)
        self._share = share

    def __call__(self, asked: Asked) -> None:
        *_, plural, name = asked.path.split("/")
        if asked.method != "PUT" or not asked.writes or self._random.random() >= self._share:
            return
        others = [key for key in self._api.objects if key[0] in SHOP]
        for key in (plural, "shop", name), self._random.choice(others):
            if key[0] in SHOP:
                number = f"edit-{len(self.edits)}"
                self._api.edit(*key, lambda found, number=number: annotated(found, number))
                self.edits.append((key, number))

    def undone(self) -> list[str]:
        return [
            f"{key}: {number}"
            for key, number in self.edits
            if key in self._api.objects and number not in self._api.objects[key]["metadata"]["annotations"]
        ]


def annotated(found: dict[str, Any], number: str) -> None:
    found["metadata"].setdefault("annotations", {})[number] = "somebody's"


def without_edits(api: FakeApi) -> None:
    """Takes the colleague's annotations out again."""
    for key in [key for key in api.objects if key[0] in SHOP]:
        meta = api.objects[key]["metadata"]
        kept = {name: text for name, text in (meta.get("annotations") or {}).items() if not name.startswith("edit-")}
        meta.pop("annotations", None)
        if kept:
            meta["annotations"] = kept


@pytest.mark.parametrize("name", TOGETHER)
def test_edits_in_the_way_of_every_write_survive(api: FakeApi, config: Path, name: str) -> None:
    before = state(api)
    edits = 0
    for seed in range(2):
        api.ahead = colleague = Colleague(api, 0.4, seed)  # type: ignore[assignment]
        result = run(config, *TOGETHER[name])
        api.ahead = nobody
        assert (result.leftovers, result.exit_code in (0, 3)) == ((), True), result.reason
        assert colleague.undone() == []
        edits += len(colleague.edits)
        without_edits(api)
        assert state(api) == before
    assert edits > 3


Edit = Callable[[dict[str, Any]], object]
FIELDS: dict[str, tuple[str, str, str, Edit]] = {
    "timeout": (
        "timeout: {to: stars, timeout: 1s}",
        "virtualservices",
        "spec.http.0.timeout",
        lambda found: found["spec"]["http"][0].update(timeout="9s"),
    ),
    "trafficShift": (
        "trafficShift: {to: stars, weights: {all: 50, some: 50}}",
        "virtualservices",
        "spec.http.0.route",
        lambda found: found["spec"]["http"][0].update(
            route=[{"destination": {"host": "stars", "subset": "all"}, "weight": 9}]
        ),
    ),
    "connectionPool": (
        "connectionPool: {to: stars, http: {http1MaxPendingRequests: 100}}",
        "destinationrules",
        "spec.trafficPolicy.connectionPool.http.http1MaxPendingRequests",
        lambda found: found["spec"]["trafficPolicy"]["connectionPool"]["http"].update(http1MaxPendingRequests=9),
    ),
    "scale": (
        "scale: {workload: stars, replicas: 3}",
        "deployments",
        "spec.replicas",
        lambda found: found["spec"].update(replicas=4),
    ),
}


def at(found: Any, path: str) -> Any:
    for key in path.split("."):
        found = found[int(key)] if isinstance(found, list) else found.get(key)
    return found


@pytest.mark.parametrize("kind", FIELDS)
def test_an_edit_of_our_own_field_survives_whenever_it_comes(api: FakeApi, config: Path, kind: str) -> None:
    fault, plural, path, edit = FIELDS[kind]
    first = dict(api.objects)
    number, codes = 0, set()
    while True:
        number, writes = number + 1, 0
        api.objects = dict(first)

        def behind(asked: Asked, number: int = number) -> None:
            nonlocal writes
            writes += asked.writes
            if asked.writes and writes == number:
                api.edit(plural, "shop", "stars", edit)
                api.settle(api)

        api.behind = behind
        result = run(config, fault)
        api.behind = nobody
        if writes < number:
            break
        codes.add(result.exit_code)
        theirs = at(api.objects[plural, "shop", "stars"], path)
        assert theirs == at(edited_alone(first[plural, "shop", "stars"], edit), path), (number, result.reason)
        if result.exit_code == 4:
            assert "was changed by somebody else meanwhile; left as it is" in " ".join(result.leftovers)
            assert heal(mesh="real", config=config, force=True).exit_code == 4, "it stays, and that is said"
            done = heal(mesh="real", config=config, force=True, leave=True)
            assert (done.exit_code, "left as it is" in done.lines[0]) == (0, True)
            assert at(api.objects[plural, "shop", "stars"], path) == theirs
        assert not [key for key in api.objects if key[0] in ("leases", "configmaps", "envoyfilters")]
    assert number > 8
    assert {3, 4} <= codes


def edited_alone(manifest: dict[str, Any], edit: Edit) -> dict[str, Any]:
    found = copy.deepcopy(manifest)
    edit(found)
    return found
