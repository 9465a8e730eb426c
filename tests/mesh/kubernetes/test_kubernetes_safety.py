"""What an experiment on a cluster may not do, whatever it says; and who is asked before anything is changed."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from fake_api import FakeApi
from fake_shop import experiment

from meshchaos.cli import consent
from meshchaos.errors import UserError
from meshchaos.run.api import make_suite, run_files
from meshchaos.run.catalog import Catalog, open_catalog

DELAY = "delay: {to: stars, fixedDelay: 10ms, percentage: 50}"


def safety(config: Path, context: str = "fake", **rest: Any) -> None:
    form = yaml.safe_load(config.read_text("utf-8"))
    form["meshes"]["real"]["safety"] = rest
    form["meshes"]["real"]["kubernetes"]["context"] = context
    config.write_text(yaml.safe_dump(form), "utf-8")


def planned(config: Path, *faults: str) -> tuple[Catalog, Any]:
    catalog = open_catalog(config=config, mesh="real")
    chosen = catalog.read([experiment(config.parent, "safe", *faults)], ())
    with make_suite(catalog, chosen) as suite:
        return catalog, suite.plan(chosen[0])[0]


@pytest.mark.parametrize(
    ("rules", "fault", "words"),
    [
        ({"caps": {"percentage": 20}}, DELAY, "it is about 50% of the requests, and safety.caps.percentage is 20%"),
        ({"caps": {"percentage": "20%"}}, "partition: {from: page, to: stars}", "100% of the requests"),
        ({"caps": {"pods": 1}}, DELAY, "it acts in 2 Pods, and safety.caps.pods is 1"),
        ({"caps": {"pods": 1}}, "kill: {workload: stars, replicas: 2}", "it acts in 2 Pods, and safety.caps.pods is 1"),
        ({"caps": {"pods": 1}}, "scale: {workload: stars, replicas: 0}", "it acts in 2 Pods"),
        ({"caps": {"duration": "2s"}}, DELAY, "the fault phase takes 3s, and safety.caps.duration is 2s"),
        (
            {"protected": {"labels": {"app": "stars"}}},
            "kill: {workload: stars}",
            r"it touches stars-5d9-\d+, which bears the protected label app=stars",
        ),
        ({"protected": {"labels": {"app": "stars"}}}, DELAY, "bears the protected label app=stars"),
        (
            {"protected": {"labels": {"tier": "gold"}}},
            "timeout: {to: stars, timeout: 1s}",
            "VirtualService stars.shop bears the protected label tier=gold",
        ),
        ({"protected": {"namespaces": "shop"}}, DELAY, "and namespace shop is protected"),
    ],
)
def test_what_is_too_much_is_refused_in_its_place(
    api: FakeApi, config: Path, rules: dict[str, Any], fault: str, words: str
) -> None:
    api.edit("virtualservices", "shop", "stars", lambda one: one["metadata"].update(labels={"tier": "gold"}))
    planned(config, fault)
    safety(config, **rules)
    with pytest.raises(UserError, match=words) as caught:
        planned(config, fault)
    assert "safe.chaos.yaml:" in str(caught.value)


def test_what_is_within_the_caps_is_planned(config: Path) -> None:
    safety(config, caps={"percentage": 50, "pods": 2, "duration": "3s"}, protected={"labels": {"app": "page"}})
    planned(config, DELAY)
    planned(config, "kill: {workload: stars}")


def test_nothing_is_written_where_the_mesh_is_not(config: Path) -> None:
    meta = "metadata: {name: x, namespace: kube-system}"
    own = f"{{apiVersion: networking.istio.io/v1, kind: ServiceEntry, {meta}, spec: {{}}}}"
    with pytest.raises(UserError, match=r"it writes ServiceEntry x\.kube-system, and experiments on this mesh are"):
        planned(config, f"apply: {{objects: [{own}]}}")
    planned(config, "mtls: {meshWide: true, mode: STRICT}")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def ask(monkeypatch: pytest.MonkeyPatch, config: Path, answers: str, yes: int = 0) -> None:
    catalog, plan = planned(config, DELAY)
    monkeypatch.setattr(sys, "stdin", Terminal(answers))
    consent.asking(catalog, yes)([plan])


def test_a_cluster_is_asked_for_once(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ask(monkeypatch, config, "y\n")
    said = capsys.readouterr().err
    assert "mesh real: context fake, namespaces shop" in said
    assert "safe: delay every client -> stars:8000: EnvoyFilter chaos-" in said
    ask(monkeypatch, config, "", yes=1)
    with pytest.raises(UserError, match="nothing was changed: you said no"):
        ask(monkeypatch, config, "n\n")


@pytest.mark.parametrize("context", ["eu-prod-1", "fake"])
def test_what_looks_like_production_is_asked_for_twice(
    api: FakeApi, config: Path, monkeypatch: pytest.MonkeyPatch, context: str
) -> None:
    api.kubeconfig(config.parent, context)
    safety(config, context, **({"production": True} if context == "fake" else {}))
    ask(monkeypatch, config, f"y\n{context}\n")
    ask(monkeypatch, config, f"{context}\n", yes=1)
    ask(monkeypatch, config, "", yes=2)
    with pytest.raises(UserError, match=f"nothing was changed: 'y' is not '{context}'"):
        ask(monkeypatch, config, "y\ny\n")
    safety(config, context, production=False)
    ask(monkeypatch, config, "", yes=1)


def test_where_nobody_can_be_asked_it_must_be_said(api: FakeApi, config: Path) -> None:
    file = experiment(config.parent, "safe", DELAY)
    done = subprocess.run(
        [sys.executable, "-m", "meshchaos", "run", file.name],
        cwd=config.parent,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    where = "context fake, namespaces shop"
    assert done.stderr == f"meshchaos: mesh real is on a cluster ({where}), and nobody can be asked here: say --yes\n"
    assert api.written == []
    assert not list((config.parent / "reports").glob("*"))


TEST = "def test_it(mesh):\n    assert mesh.name == 'real'\n"


def test_pytest_opens_no_cluster_that_was_not_named(api: FakeApi, config: Path) -> None:
    (config.parent / "test_it.py").write_text(TEST, "utf-8")
    experiment(config.parent, "safe", DELAY)

    def pytest_says(*options: str) -> str:
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--meshchaos-mesh=real", *options]
        done = subprocess.run(command, cwd=config.parent, capture_output=True, text=True, timeout=60, check=False)
        return done.stdout + done.stderr

    said = pytest_says("test_it.py", "safe.chaos.yaml", "--meshchaos-yes=other")
    remedy = "say --meshchaos-yes=fake, or meshchaos_yes = fake in the ini file"
    assert f"context fake, namespaces shop), and nobody can be asked here: {remedy}" in said
    assert "passed" not in said
    assert api.written == []
    assert "1 passed" in pytest_says("test_it.py", "--meshchaos-yes=fake")


def test_a_program_changes_no_cluster_that_it_did_not_name(api: FakeApi, config: Path) -> None:
    file = experiment(config.parent, "safe", DELAY)
    with pytest.raises(UserError, match=r"nobody can be asked here: say yes=\[\"fake\"\]"):
        run_files([file], mesh="real", config=config, output=config.parent / "out")
    assert api.written == []
