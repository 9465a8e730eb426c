"""Files and folders of manifests: what is read, and where a mistake is said to be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from meshchaos.errors import FileError, UserError
from meshchaos.mesh.local.objects import manifests
from meshchaos.mesh.local.objects.documents import documents
from meshchaos.mesh.local.objects.store import Store

EXAMPLES = Path(__file__).parents[4] / "experiments"

NAMESPACE = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n"
VIRTUAL_SERVICE = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: ratings
  namespace: shop
spec:
  hosts: [ratings]
  http:
    - route: [{destination: {host: ratings}}]
"""


def values(text: str) -> list[Any]:
    return [document.value for document in documents(text, "f.yaml")]


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_suffix(".yaml").write_text(text, encoding="utf-8")
    return folder


def test_the_examples_load() -> None:
    objects = manifests.load([EXAMPLES / "bookinfo"])
    store = Store()
    store.load(objects)
    kinds = [manifest["kind"] for manifest in store.objects()]
    assert kinds.count("Deployment") >= 5
    assert "Gateway" in kinds


def test_documents_lists_and_json_are_taken_apart_in_order(tmp_path: Path) -> None:
    write(
        tmp_path,
        b=f"---\n{VIRTUAL_SERVICE}---\n# nothing\n---\n",
        sub__a="apiVersion: v1\nkind: List\nitems:\n- " + NAMESPACE.replace("\n", "\n  "),
    )
    (tmp_path / "a.json").write_text(
        '{\n\t"apiVersion": "v1",\n\t"kind": "ServiceAccount", "metadata": {"name": "x", "namespace": "shop"}}'
    )
    (tmp_path / "README.md").write_text("not: [yaml")
    (tmp_path / ".hidden.yaml").write_text("not: [yaml")
    (tmp_path / "x.chaos.yaml").write_text("kind: Experiment")
    found = manifests.read([tmp_path])
    assert [document.value["kind"] for document in found] == ["ServiceAccount", "VirtualService", "Namespace"]
    assert found[2].place() == (4, 3)
    objects = manifests.complete(found)
    assert [m["metadata"]["name"] for m in objects] == ["default", "istio-system", "x", "ratings", "shop"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: yes", True),
        ("a: on", True),
        ("a: n", False),
        ("a: 'yes'", "yes"),
        ("a: 0777", 511),
        ("a: 0o17", 15),
        ("a: 0x1f", 31),
        ("a: -0b11", -3),
        ("a: 1_000", 1000),
        ("a: 1e3", 1000.0),
        ("a: 1.5", 1.5),
        ("a: 2023-01-01", "2023-01-01"),
        ("a: 12:30:00", "12:30:00"),
        ("a: 1.2.3", "1.2.3"),
        ("a: v1", "v1"),
        ("a: ~", None),
        ("a:", None),
        ("a: !!str 5", "5"),
        ("a: 09", 9.0),
    ],
)
def test_scalars_are_those_of_kubernetes(text: str, expected: Any) -> None:
    (value,) = values(text)
    assert (value["a"], type(value["a"])) == (expected, type(expected))


def test_anchors_and_merges() -> None:
    (value,) = values("base: &b {x: 1, v: 2}\nown: {<<: *b, v: 3}\nboth: {<<: [*b, {x: 9, z: 4}]}\nsame: *b\n")
    assert value["own"] == {"x": 1, "v": 3}
    assert value["both"] == {"x": 1, "v": 2, "z": 4}
    assert value["same"] == {"x": 1, "v": 2}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", "f.yaml:3:1: the key a is given twice"),
        ("a: {b: 1, b: 2}", "f.yaml:1:11: the key b is given twice"),
        ("a:\n  on: 1\n", "f.yaml:2:3: the key on is not a text; put it in quotes"),
        ("a:\n  5: 1\n", "f.yaml:2:3: the key 5 is not a text; put it in quotes"),
        ("a: [1\nb: 2\n", "f.yaml:2:2: not YAML: "),
        ("a: &x [*x]", "f.yaml:1:4: an alias that contains itself"),
        ("a: !!binary aGk=", "f.yaml:1:4: tag tag:yaml.org,2002:binary is not known"),
        ("a: !thing {}", "f.yaml:1:4: tag !thing is not known"),
        ("a: {<<: 5}", "f.yaml:1:9: << takes a mapping"),
        ("a: \x01", "f.yaml: not YAML: "),
    ],
)
def test_what_is_not_kubernetes_yaml(text: str, message: str) -> None:
    with pytest.raises(FileError) as error:
        values(text)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


def test_aliases_that_multiply_and_deep_nests_are_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 40)]
    with pytest.raises(FileError, match=r"f.yaml:7:5: holds more than 1000000 values"):
        values("\n".join(lines))
    with pytest.raises(FileError, match=r"f.yaml: is nested too deeply"):
        values("[" * 5000 + "]" * 5000)


def test_a_mistake_is_said_where_it_is(tmp_path: Path) -> None:
    write(tmp_path, a=VIRTUAL_SERVICE + "      retrys: {}\n", n=NAMESPACE)
    with pytest.raises(FileError) as error:
        manifests.read([tmp_path])
    assert str(error.value) == (
        f"{tmp_path}/a.yaml:10:7: VirtualService ratings.shop: "
        "spec.http[0].retrys: unknown field; did you mean retries?"
    )


def test_several_mistakes_have_a_line_each(tmp_path: Path) -> None:
    write(tmp_path, a=VIRTUAL_SERVICE + "      retrys: {}\n      timeout: 5\n", b="a: [", c=NAMESPACE, d=NAMESPACE)
    with pytest.raises(UserError) as error:
        manifests.read([tmp_path])
    places = [line.removeprefix(f"{tmp_path}/").partition(" ")[0] for line in str(error.value).splitlines()]
    assert places == ["a.yaml:10:7:", "a.yaml:11:7:", "b.yaml:2:1:", "d.yaml:3:12:"]
    assert f"is given already at {tmp_path}/c.yaml:1" in str(error.value)


FAR = """apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: s, namespace: shop}
spec:
  hosts: [a.example]
  resolution: STATIC
  endpoints: [{ address: 10.1.2.3}]
  ports: [{number: 80, name: http}]
"""


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            {"a": VIRTUAL_SERVICE},
            "a.yaml:5:3: VirtualService ratings.shop: metadata.namespace: there is no Namespace shop in the manifests",
        ),
        (
            {
                "a": NAMESPACE,
                "b": "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: g, namespace: shop}\nspec:\n"
                "  selector: {istio: mine}\n"
                "  servers: [{port: {number: 80, name: h, protocol: HTTP}, hosts: ['*']}]\n",
            },
            "b.yaml:5:3: Gateway g.shop: spec.selector: no Deployment has these labels on its Pods",
        ),
        (
            {
                "a": NAMESPACE,
                "b": "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n"
                "metadata: {name: p, namespace: shop}\nspec:\n"
                "  action: CUSTOM\n  provider: {name: authz}\n  rules: [{}]\n",
            },
            "b.yaml:6:14: AuthorizationPolicy p.shop: spec.provider.name: MeshConfig has no authorizer 'authz'; add it",
        ),
        (
            {
                "a": NAMESPACE,
                "b": "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d, namespace: shop}\nspec:\n"
                "  selector: {matchLabels: {a: b}}\n  template:\n    metadata: {labels: {a: b}}\n    spec:\n"
                "      serviceAccountName: nobody\n      containers: [{name: c}]\n",
            },
            "b.yaml:9:7: Deployment d.shop: spec.template.spec.serviceAccountName: there is no ServiceAccount nobody",
        ),
        (
            {"a": NAMESPACE, "b": FAR},
            "b.yaml:7:17: ServiceEntry s.shop: spec.endpoints[0].address: 10.1.2.3 is not of this machine"
            " (127.0.0.0/8, 198.18.0.0/15); to let traffic go there, add it to local.endpoints of this mesh in"
            " meshchaos.yaml",
        ),
    ],
)
def test_names_that_lead_nowhere(tmp_path: Path, files: dict[str, str], message: str) -> None:
    with pytest.raises(FileError) as error:
        manifests.load([write(tmp_path, **files)])
    assert message in str(error.value)


def test_endpoints_beyond_this_machine_where_the_user_says_so(tmp_path: Path) -> None:
    found = manifests.load([write(tmp_path, a=NAMESPACE, b=FAR)], ["10.1.0.0/16"])
    assert "ServiceEntry" in {one["kind"] for one in found}
    with pytest.raises(FileError, match=r"10\.1\.2\.3 is not of this machine"):
        manifests.load([tmp_path], ["10.2.0.0/16"])


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file or folder"):
        manifests.read([tmp_path / "nothing"])
    with pytest.raises(UserError, match="no Kubernetes objects in"):
        manifests.read([tmp_path])
    (tmp_path / "a.yaml").write_bytes(b"a: \xff")
    with pytest.raises(FileError, match="not UTF-8"):
        manifests.read([tmp_path])


def test_reading_does_not_end_a_generator_of_paths(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=str(tmp_path)):
        manifests.read(path for path in [tmp_path])
