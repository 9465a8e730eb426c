"""meshchaos.yaml: found, read, and every mistake in its place."""

# ruff: noqa: E501 - the messages are whole

from __future__ import annotations

from pathlib import Path

import pytest

from meshchaos.errors import FileError, UserError
from meshchaos.experiment.config import (
    Call,
    Config,
    KubernetesMeshConfig,
    LocalMeshConfig,
    Program,
    Stub,
    find_config,
    read_config,
)
from meshchaos.experiment.model import Secret, Slo

GOOD = """\
meshes:
  bookinfo:
    local:
      manifests: [shop]
      workloads:
        productpage-v1: {stub: {calls: ["http://details:9080/details/0", "http://reviews:9080/reviews/0"]}}
        ratings-v1: {command: ["python", "ratings.py"], port: 9080, env: {A: b, T: {env: TOKEN}}}
        reviews-v3: {stub: {latency: 20ms, errors: {share: 3%, status: 500}, concurrency: 50, calls: [{url: "http://ratings:9080/ratings/0", timeout: 2s, optional: true}]}}
  staging:
    kubernetes: {context: staging, namespaces: [shop]}
    gateway: {service: istio-ingressgateway.istio-system, address: 10.0.0.5, caFile: ca.pem, certFile: c.pem, keyFile: k.pem}
    prometheus: {url: "https://prom.staging", token: {env: PROM_TOKEN}, caFile: ca.pem}
defaultMesh: bookinfo
slos:
  payments: {success: 99.9%, latency: {p99: 800ms, p50: 20ms}, window: 30d}
"""


def written(folder: Path, text: str = GOOD) -> Path:
    (folder / "shop").mkdir(exist_ok=True)
    file = folder / "meshchaos.yaml"
    file.write_text(text)
    return file


def local(config: Config, name: str = "bookinfo") -> LocalMeshConfig:
    kind = config.meshes[name].kind
    assert isinstance(kind, LocalMeshConfig)
    return kind


def test_the_example_of_the_contract(tmp_path: Path) -> None:
    config = read_config(written(tmp_path))
    mesh = local(config)
    assert (mesh.manifests, mesh.inject) == ((tmp_path / "shop",), "labels")
    runs = {name: workload.runs for name, workload in mesh.workloads.items()}
    assert runs == {
        "productpage-v1": Stub((Call("http://details:9080/details/0"), Call("http://reviews:9080/reviews/0"))),
        "ratings-v1": Program(("python", "ratings.py"), 9080, {"A": "b", "T": Secret("env", "TOKEN")}, tmp_path),
        "reviews-v3": Stub((Call("http://ratings:9080/ratings/0", 2.0, True),), 0.02, 0.03, 500, 50),
    }
    staging = config.meshes["staging"]
    assert isinstance(staging.kind, KubernetesMeshConfig)
    assert staging.kind.gateway is not None
    assert (staging.kind.context, staging.kind.gateway.ca_file) == ("staging", tmp_path / "ca.pem")
    assert staging.prometheus is not None
    assert staging.prometheus.headers == {"Authorization": Secret("env", "PROM_TOKEN", prefix="Bearer ")}
    assert config.slos == {"payments": Slo("payments", 0.999, {0.99: 0.8, 0.5: 0.02}, 2_592_000.0)}
    assert config.mesh(None).name == "bookinfo"
    assert config.mesh("staging").name == "staging"


def test_short_forms(tmp_path: Path) -> None:
    text = """\
meshes:
  only:
    local:
      manifests: shop
      inject: all
      workloads:
        a: {stub: {calls: "http://b/", errors: 3%, body: {x: [1]}}}
        b: {stub: {}}
        c: {command: "python -m http.server '80 80'", port: 80}
"""
    config = read_config(written(tmp_path, text))
    assert config.default_mesh == "only"
    mesh = local(config, "only")
    assert mesh.inject == "all"
    assert [workload.runs for workload in mesh.workloads.values()] == [
        Stub((Call("http://b/"),), error_share=0.03, body={"x": [1]}),
        Stub(),
        Program(("python", "-m", "http.server", "80 80"), 80, {}, tmp_path),
    ]


def test_it_is_found_upwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = written(tmp_path)
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    assert find_config(below) == file
    monkeypatch.chdir(below)
    config = read_config()
    assert (config.path, config.folder) == (file, tmp_path)
    assert local(config).manifests == (tmp_path / "shop",)


def test_without_a_file_there_are_no_meshes(tmp_path: Path) -> None:
    config = read_config(start=tmp_path)
    assert config == Config(None, tmp_path)
    with pytest.raises(UserError, match=r"there is no meshchaos.yaml in .* or above"):
        config.mesh("bookinfo")


def test_a_mesh_that_is_not_there(tmp_path: Path) -> None:
    config = read_config(written(tmp_path))
    with pytest.raises(UserError) as caught:
        config.mesh("bookinof")
    assert str(caught.value).endswith(
        "there is no mesh 'bookinof', did you mean 'bookinfo'? (known: bookinfo, staging)"
    )
    with pytest.raises(
        UserError, match=r"no mesh is chosen: write `mesh:`, --mesh or defaultMesh \(known: bookinfo, st"
    ):
        read_config(written(tmp_path, GOOD.replace("defaultMesh: bookinfo\n", ""))).mesh(None)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("[shop]", "[shp]", "4:19: meshes.bookinfo.local.manifests[0]: there is no 'shp' beside meshchaos.yaml"),
        ("[shop]", "[]", "3:5: meshes.bookinfo.local: manifests is empty: name files or folders with Kubernetes YAML"),
        ("[shop]", "[shop]\n      endpoints: [10.1.0.0/8]", "3:5: meshes.bookinfo.local: endpoints: '10.1.0.0/8' is not a network such as 10.1.0.0/16: 10.1.0.0/8 has host bits set"),
        ("latency: 20ms", "latency: 20", "8:38: meshes.bookinfo.local.workloads.reviews-v3.stub.latency: a duration needs a unit: write 20ms or 20s"),
        ("share: 3%", "share: 3", "8:60: meshes.bookinfo.local.workloads.reviews-v3.stub.errors.share: a share needs a % sign: write 3%"),
        ("status: 500", "status: 50", "8:72: meshes.bookinfo.local.workloads.reviews-v3.stub.errors.status: an HTTP status is a number from 200 to 599, not 50"),
        ("concurrency: 50", "concurrency: none", "8:91: meshes.bookinfo.local.workloads.reviews-v3.stub.concurrency: must be a whole number from 1 on, not 'none'"),
        ("optional: true", "optional: yes", "8:165: meshes.bookinfo.local.workloads.reviews-v3.stub.calls[0].optional: must be true or false, not 'yes' (which is text)"),
        ("http://details:9080/details/0", "details:9080", "6:41: meshes.bookinfo.local.workloads.productpage-v1.stub.calls[0]: 'details:9080' is no absolute URL: write for instance http://bookinfo.example/productpage"),
        (", port: 9080", "", "7:9: meshes.bookinfo.local.workloads.ratings-v1: a `command` needs the `port` it listens on"),
        ("port: 9080", "port: 90800", "7:63: meshes.bookinfo.local.workloads.ratings-v1.port: a port is a number from 1 to 65535, not 90800"),
        ('command: ["python", "ratings.py"]', "stub: {}", "7:9: meshes.bookinfo.local.workloads.ratings-v1: `port` and `env` belong to a `command`; a stub takes its port from the manifests"),
        ('command: ["python", "ratings.py"]', "stub: {}, command: x", "7:9: meshes.bookinfo.local.workloads.ratings-v1: is either a `stub` or a `command`"),
        ('["python", "ratings.py"]', "'python \"x'", "7:31: meshes.bookinfo.local.workloads.ratings-v1.command: 'python \"x' is no command line: No closing quotation"),
        ("stub: {latency", "stubb: {latency", "8:22: meshes.bookinfo.local.workloads.reviews-v3.stubb: unknown key 'stubb', did you mean 'stub'? (known: stub, command, port, env)"),
        ("    local:", "    inject: all\n    local:", "3:5: meshes.bookinfo.inject: unknown key 'inject' (known: local, kubernetes, gateway, prometheus, safety)"),
        ("    kubernetes: {context: staging, namespaces: [shop]}\n", "", "9:3: meshes.staging: is either `local` or `kubernetes`"),
        ("defaultMesh: bookinfo", "defaultMesh: bokinfo", "13:14: defaultMesh: there is no mesh 'bokinfo', did you mean 'bookinfo'? (known: bookinfo, staging)"),
        ("token: {env: PROM_TOKEN}", "token: secret", "12:54: meshes.staging.prometheus.token: a secret is not written down: write {env: NAME} or {file: PATH}, read at run time"),
        ("success: 99.9%", "success: 99.9", "15:23: slos.payments.success: a share needs a % sign: write 99.9%"),
        ("success: 99.9%", "success: 100%", "15:3: slos.payments: success lies above 0% and below 100%, which no number of requests can show"),
        ("p50: 20ms", "q50: 20ms", "15:52: slos.payments.latency.q50: unknown key 'q50' (known: p50, p99, p99.9)"),
        ("p50: 20ms", "p0: 20ms", "15:30: slos.payments.latency: p0 is no quantile: write p50, p99, p99.9"),
        ("{success: 99.9%, latency: {p99: 800ms, p50: 20ms}, window: 30d}", "{}", "15:3: slos.payments: promises neither `success` nor `latency`"),
        ("slos:", "slo:", "14:1: slo: unknown key 'slo', did you mean 'slos'? (known: meshes, defaultMesh, slos, issuers)"),
        ("  bookinfo:", "  book/info:", "2:3: meshes[\"book/info\"]: 'book/info' cannot be a name: write letters and digits, inside also '.', '_' and '-', 63 at most"),
        ("defaultMesh: bookinfo", "---\na: b", "14:1: meshchaos.yaml has one document, and here begins another"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_in_its_place(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in GOOD
    file = written(tmp_path, GOOD.replace(old, new, 1))
    with pytest.raises(FileError) as caught:
        read_config(file)
    assert str(caught.value) == f"{file}:{said}"


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n"])
def test_an_empty_file(tmp_path: Path, text: str) -> None:
    with pytest.raises(FileError, match=r"meshchaos.yaml: is empty: it names meshes"):
        read_config(written(tmp_path, text))


def test_a_file_that_is_a_list(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"meshchaos.yaml:1:1: must be a mapping, not a list"):
        read_config(written(tmp_path, "- a\n"))
