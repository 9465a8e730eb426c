"""The matrix of who may call whom, as whole runs of the command: a right policy, a hole, and one that opens under a
fault. Only probes: there is no load.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.e2e.stage import Stage, kept_up, said, stage

pytestmark = [pytest.mark.envoy, pytest.mark.e2e]

STRICT = """\
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: shop}
spec: {mtls: {mode: STRICT}}
"""
EXPERIMENT = """\
apiVersion: meshchaos.dev/v1
kind: Experiment
metadata: {name: matrix}
spec:
  hypothesis: No plaintext, whatever the stars do.
  phases: {warmup: 1s, baseline: 1500ms, fault: 2s, recovery: 1500ms}
  faults:
    - abort: {to: stars, httpStatus: 503, percentage: 50}
  expect:
    - denied: {from: outside, to: stars, token: [none, {env: SHOP_TOKEN}]}
    - allowed: {from: page, to: stars}
    - mutualTLS: {to: stars, from: page}
"""
FILE = "matrix.chaos.yaml"
TOKEN = "eyJ0b3AiOiJzZWNyZXQifQ"


@pytest.fixture(scope="module")
def up() -> Iterator[Stage]:
    with stage() as made:
        made.environment["SHOP_TOKEN"] = TOKEN
        made.add_objects(STRICT)
        made.write(EXPERIMENT, FILE)
        with kept_up(made):
            yield made


def mode(up: Stage, name: str) -> None:
    up.on_mesh(
        "found = mesh.get(Ref('PeerAuthentication', 'shop', 'default'))\n"
        f"found['spec']['mtls']['mode'] = '{name}'\n"
        "mesh.replace(found)\n"
    )


def test_a_right_policy_passes_and_its_token_is_nowhere(up: Stage) -> None:
    mode(up, "STRICT")
    up.fails(0, "run", FILE, "--seed", "5", "--set", "spec.phases.fault=4s")
    result = up.newest()
    assert [one["verdict"] for one in result["expectations"]] == ["PASS"] * 3
    (row,) = result["expectations"][0]["matrix"]["rows"]
    assert row["name"] == "outside"
    assert [cell["verdict"] for cell in row["cells"]] == ["PASS", "PASS"]
    (folder,) = (up.folder / "reports").glob("matrix-*")
    page = (folder / "report.html").read_text("utf-8")
    assert "Who calls what" in page
    assert re.search(r"<td>GET / with token in env SHOP_TOKEN</td>.*>refused \(\d+\)<", page)
    for path in folder.rglob("*"):
        if path.is_file():
            assert TOKEN not in path.read_text("utf-8", errors="replace"), path
    up.fails(0, "report", str(folder))


def test_a_plaintext_port_fails(up: Stage) -> None:
    mode(up, "PERMISSIVE")
    up.fails(1, "run", FILE, "--seed", "5")
    verdicts = {one["kind"]: one for one in up.newest()["expectations"]}
    assert verdicts["denied"]["verdict"] == "FAIL"
    assert "the application answered 200" in verdicts["denied"]["reason"]
    assert verdicts["mutualTLS"]["verdict"] == "FAIL"
    assert verdicts["allowed"]["verdict"] in ("PASS", "INCONCLUSIVE")


def test_one_that_opens_under_the_fault_is_found(up: Stage) -> None:
    mode(up, "STRICT")
    with up.running("run", FILE, "--set", "spec.phases.fault=6s") as run:
        run.until_said("fault for 6 s")
        mode(up, "PERMISSIVE")
        assert run.end() == 1, said(run)
    denied = up.newest()["expectations"][0]
    assert denied["verdict"] == "FAIL"
    assert "under the fault" in denied["reason"]
    assert "in the baseline" not in denied["reason"]


def test_a_token_that_is_not_there_is_told_before_anything_is_run(up: Stage) -> None:
    before, up.environment = up.environment, {**up.environment}
    del up.environment["SHOP_TOKEN"]
    try:
        assert "SHOP_TOKEN is not set" in up.one_line(2, "run", FILE)
    finally:
        up.environment = before
