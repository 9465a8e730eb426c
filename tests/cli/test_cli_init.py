"""``meshchaos init``: what it writes for a user's manifests, that it runs, and what it says of bad input."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from meshchaos.run.catalog import open_catalog
from meshchaos.run.plan import make_checks
from tests.e2e.stage import Stage, stage
from tests.run.shop import MANIFESTS

PLAIN = MANIFESTS.replace(", labels: {istio-injection: enabled}", "")
GATEWAY = MANIFESTS[MANIFESTS.index("apiVersion: networking.istio.io/v1\nkind: Gateway") :]
INSIDE = MANIFESTS.removesuffix(GATEWAY).rstrip("-\n")
WRITTEN = ["experiments/slow-page.chaos.yaml", "meshchaos.yaml", "tests/test_slow_page.py"]


def init(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "meshchaos", "init", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    print(done.stdout + done.stderr)
    assert "Traceback" not in done.stderr
    return done


def files(folder: Path) -> list[str]:
    return sorted(str(one.relative_to(folder)) for one in folder.rglob("*") if one.is_file())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "k8s").mkdir()
    (tmp_path / "k8s" / "shop.yaml").write_text(MANIFESTS, "utf-8")
    return tmp_path


def test_what_it_writes_is_read_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = init(folder)
    assert done.returncode == 0
    assert [line.partition(":")[0] for line in done.stdout.splitlines()] == [
        "wrote meshchaos.yaml",
        "wrote experiments/slow-page.chaos.yaml",
        "wrote tests/test_slow_page.py",
        "now say",
    ]
    assert files(folder) == [*WRITTEN[:1], "k8s/shop.yaml", *WRITTEN[1:]]
    monkeypatch.chdir(folder)
    catalog = open_catalog()
    assert catalog.local("shop").manifests == (folder / "k8s",)
    assert catalog.local("shop").inject != "all"
    (experiment,) = catalog.read([folder / "experiments"], ())
    assert experiment.loads[0].target == "http://shop.example/"
    assert [check.name for check in make_checks(experiment, catalog.kinds, catalog.slos)] == ["success", "latency p95"]


@pytest.mark.parametrize("number", [443, 8443])
def test_a_gateway_that_sends_everybody_to_https_is_asked_there(
    folder: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    plain = "{port: {number: 80, name: http, protocol: HTTP}, hosts: [shop.example]"
    secure = plain.replace("80, name: http, protocol: HTTP", f"{number}, name: https, protocol: HTTPS")
    servers = f"[{plain}, tls: {{httpsRedirect: true}}}}, {secure}, tls: {{mode: SIMPLE, credentialName: c}}}}]"
    text = MANIFESTS.replace(f"[{plain}}}]", servers)
    (folder / "k8s" / "shop.yaml").write_text(text, "utf-8")
    assert init(folder).returncode == 0
    monkeypatch.chdir(folder)
    (experiment,) = open_catalog().read([folder / "experiments"], ())
    port = "" if number == 443 else ":8443"
    assert experiment.loads[0].target == f"https://shop.example{port}/"


def test_nothing_is_written_over(folder: Path) -> None:
    (folder / "tests").mkdir()
    (folder / "tests" / "test_slow_page.py").write_text("mine", "utf-8")
    done = init(folder)
    assert done.returncode == 0
    assert "left as it is: tests/test_slow_page.py" in done.stdout
    assert (folder / "tests" / "test_slow_page.py").read_text("utf-8") == "mine"
    before = {name: (folder / name).read_bytes() for name in files(folder)}
    again = init(folder)
    assert (again.returncode, again.stdout) == (2, "")
    assert again.stderr == (
        "meshchaos: meshchaos.yaml is here already, and init writes over nothing: say meshchaos run experiments\n"
    )
    assert before == {name: (folder / name).read_bytes() for name in files(folder)}


def test_what_is_not_for_the_local_mesh_is_left_out(folder: Path) -> None:
    (folder / "k8s" / "scaler.yaml").write_text("apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\n", "utf-8")
    (folder / "k8s" / "ci.yaml").write_text("jobs: {a: 1}\n", "utf-8")
    (folder / "node_modules").mkdir()
    (folder / "node_modules" / "x.yaml").write_text(MANIFESTS, "utf-8")
    done = init(folder)
    assert done.returncode == 0
    assert "left out k8s/scaler.yaml: the local mesh has no HorizontalPodAutoscaler" in done.stdout
    assert 'manifests: ["k8s/shop.yaml"]' in (folder / "meshchaos.yaml").read_text("utf-8")


def test_a_workload_may_send_the_requests(folder: Path) -> None:
    (folder / "k8s" / "shop.yaml").write_text(INSIDE, "utf-8")
    done = init(folder, "--from", "page")
    assert done.returncode == 0
    text = (folder / "experiments" / "slow-stars.chaos.yaml").read_text("utf-8")
    assert 'load: {target: "http://stars.shop:8000/", from: page.shop, rate: 50}' in text


@pytest.mark.parametrize(
    ("manifests", "arguments", "words"),
    [
        ("", (), "no Kubernetes manifests here: name the folder of your Deployments"),
        ("", ("nowhere",), "nowhere: no such file or folder"),
        (INSIDE, (), "add them, or say which workload requests come from, as in meshchaos init --from page"),
        (INSIDE, ("--from", "pag"), "--from pag: the manifests have no such Deployment; did you mean 'page'?"),
        (
            MANIFESTS.replace("name: http, port: 8000", "name: tcp, port: 8000"),
            (),
            "have no HTTP service with a Deployment",
        ),
        (MANIFESTS.replace("selector: {app:", "selector: {apps:"), (), "have no HTTP service with a Deployment"),
        (
            MANIFESTS.replace("protocol: HTTP}", "protocol: TCP}"),
            (),
            "k8s/shop.yaml:47:45: Gateway shop.shop: ",
        ),
        (
            MANIFESTS.replace("  gateways: [shop]\n", ""),
            (),
            "no Gateway with a VirtualService leads to",
        ),
        (MANIFESTS.replace("hosts:", "hots:"), (), "hots: unknown field; did you mean hosts?"),
        (MANIFESTS.replace("kind: Namespace", "kind: ConfigMap"), (), "there is no Namespace shop in the manifests"),
    ],
    ids=[
        "empty",
        "no path",
        "no gateway",
        "no such workload",
        "no http",
        "nobody behind",
        "no http gateway",
        "no route",
        "typo",
        "ns",
    ],
)
def test_bad_input(folder: Path, manifests: str, arguments: tuple[str, ...], words: str) -> None:
    (folder / "k8s" / "shop.yaml").write_text(manifests, "utf-8")
    done = init(folder, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr
    assert all("shop.yaml:" in line for line in done.stderr.splitlines()[1:]), "a line a mistake"
    assert files(folder) == ["k8s/shop.yaml"], "nothing is written"


@pytest.fixture
def mine() -> object:
    with stage() as made:
        for name in files(made.folder):
            (made.folder / name).unlink()
        yield made


@pytest.mark.envoy
@pytest.mark.e2e
def test_what_it_writes_runs(mine: Stage) -> None:
    """Also where no label asks for sidecars."""
    (mine.folder / "shop.yaml").write_text(PLAIN, "utf-8")
    assert init(mine.folder).returncode == 0
    ran = mine.command("run")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "PASS: all 2 expectations hold" in ran.stdout
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider"]
    mine.environment.pop("PYTEST_ADDOPTS", None)
    done = subprocess.run(
        command, cwd=mine.folder, env=mine.environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "5 passed" in done.stdout
    mine.nothing_left()
