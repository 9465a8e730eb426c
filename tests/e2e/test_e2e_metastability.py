"""A fault that ends while its damage does not: a storm of retries keeps a service down by itself, and only the client's
retry policy decides.

The stars wait for their store while they hold one of five places. When the store is slow for a second, a line
grows; whoever waits longer than 200 ms is given up by its client, and the stars, who cannot know, do its work all the
same. 60 requests a second are within the stars' 100; with two retries each they are 180, nobody's answer comes in
time, everybody retries, and so on for ever (Bronson et al., Metastable failures in distributed systems, HotOS 2021).
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.stage import Stage, kept_up, stage

pytestmark = [pytest.mark.envoy, pytest.mark.e2e]

STORE = """\
apiVersion: v1
kind: Service
metadata: {name: store, namespace: shop}
spec: {selector: {app: store}, ports: [{name: http, port: 8000}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: store, namespace: shop}
spec:
  selector: {matchLabels: {app: store}}
  template:
    metadata: {labels: {app: store}}
    spec: {containers: [{name: store, image: store, ports: [{containerPort: 8000}]}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: stars, namespace: shop}
spec:
  hosts: [stars]
  http:
    - route: [{destination: {host: stars}}]
      timeout: 1s
      retries: {attempts: 2, perTryTimeout: 200ms, retryOn: 5xx}
"""
EXPERIMENT = """\
apiVersion: meshchaos.dev/v1
kind: Experiment
metadata: {name: slow-store}
spec:
  hypothesis: The page comes back by itself once its store is quick again.
  load: {target: "http://shop.example/", rate: 60, arrivals: uniform, timeout: 3s}
  phases: {warmup: 300ms, baseline: 1s, fault: 1s, recovery: 4s}
  faults:
    - delay: {to: store, fixedDelay: 1s}
  expect:
    - success: {atLeast: 90%, during: baseline}
    - recovery: {within: 2s}
"""


@pytest.fixture(scope="module")
def up() -> Iterator[Stage]:
    with stage() as made:
        made.one_replica_of_stars()
        made.add_objects(STORE)
        made.edit_config(
            'page: {stub: {calls: [{url: "http://stars:8000/", optional: true}]}}',
            'page: {stub: {calls: ["http://stars:8000/"]}}\n'
            '        stars: {stub: {latency: 50ms, concurrency: 5, calls: ["http://store:8000/"]}}',
        )
        made.write(EXPERIMENT, "slow-store.chaos.yaml")
        with kept_up(made):
            yield made


def test_without_retries_it_comes_back(up: Stage) -> None:
    set_retries(up, {"attempts": 0})
    up.fails(0, "run", "slow-store.chaos.yaml", "--seed", "4")
    assert verdicts(up) == {"success during baseline": "PASS", "recovery: success during baseline": "PASS"}
    found = up.newest()
    fault_phase = next(phase for phase in found["phases"] if phase["name"] == "fault")
    assert fault_phase["failures"] > 0, "the fault broke it, too"


def test_the_retries_keep_it_down_after_the_fault_is_gone(up: Stage) -> None:
    set_retries(up, {"attempts": 2, "perTryTimeout": "200ms", "retryOn": "5xx"})
    up.fails(1, "run", "slow-store.chaos.yaml", "--seed", "4")
    assert verdicts(up) == {"success during baseline": "PASS", "recovery: success during baseline": "FAIL"}
    found = up.newest()
    assert found["healed"], "the fault itself is gone"
    (recovery,) = [one for one in found["expectations"] if one["kind"] == "recovery"]
    assert recovery["estimate"] < 0.2
    assert any("not back within its limit" in line for line in recovery["evidence"])
    (folder,) = [path.parent for path in (up.folder / "reports").glob(f"*-{found['runId']}/result.json")]
    page = (folder / "report.html").read_text("utf-8")
    assert page.count('class="healed"') == 4, "every curve shows the moment"


def set_retries(up: Stage, retries: dict[str, object]) -> None:
    """With a fresh line of stars: what the run before left waiting there is not this one's."""
    up.on_mesh(
        "found = mesh.get(Ref('VirtualService', 'shop', 'stars'))\n"
        f"found['spec']['http'][0]['retries'] = {retries!r}\n"
        "mesh.replace(found)\n"
    )


def verdicts(up: Stage) -> dict[str, str]:
    return {one["name"]: one["verdict"] for one in up.newest()["expectations"]}
