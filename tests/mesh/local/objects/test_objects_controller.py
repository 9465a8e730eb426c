"""Deployments to Pods, and who gets a proxy."""

from __future__ import annotations

from typing import Any

import pytest

from meshchaos.mesh.istio.injection import injected, is_gateway, role_of
from meshchaos.mesh.istio.ports import target_port
from meshchaos.mesh.istio.services import service_of
from meshchaos.mesh.local.objects import builtin
from meshchaos.mesh.local.objects.controller import owner_of, reconcile
from meshchaos.mesh.local.objects.store import Store
from meshchaos.mesh.objects import Ref, labels_of, ref_of, selects


def namespace(name: str = "shop", **labels: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def deployment(name: str = "ratings-v1", replicas: int = 2, image: str = "ratings:1") -> dict[str, Any]:
    labels = {"app": name.partition("-")[0], "version": "v1"}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels, "annotations": {"prometheus.io/scrape": "true"}},
                "spec": {"serviceAccountName": "ratings", "containers": [{"name": "r", "image": image}]},
            },
        },
    }


GATEWAY = {
    "apiVersion": "networking.istio.io/v1",
    "kind": "Gateway",
    "metadata": {"name": "in", "namespace": "shop"},
    "spec": {
        "selector": {"istio": "ingressgateway"},
        "servers": [{"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]}],
    },
}


class Cluster:
    """A store whose Pods follow its Deployments."""

    def __init__(self, *objects: dict[str, Any]) -> None:
        self.store = Store()
        self.used: set[str] = set()
        self.store.load(objects)

    def settle(self) -> list[str]:
        plan = reconcile(self.store.objects(), self.used)
        for pod in plan.create:
            self.store.create(pod)
            self.used.add(pod["metadata"]["name"])
        for ref in plan.remove:
            self.store.delete(ref)
        again = reconcile(self.store.objects(), self.used)
        assert (again.create, again.remove) == ((), ())
        return self.pods()

    def pods(self) -> list[str]:
        return [pod["metadata"]["name"] for pod in self.store.of_kind("Pod")]

    def change(self, **spec: Any) -> None:
        manifest = self.store.get(Ref("Deployment", "shop", "ratings-v1"))
        manifest["spec"].update(spec)
        self.store.replace(manifest)


def test_pods_are_what_the_template_says_and_what_the_injector_adds() -> None:
    cluster = Cluster(namespace(**{"istio-injection": "enabled"}), deployment())
    names = cluster.settle()
    assert len(set(names)) == 2
    pod = cluster.store.get(Ref("Pod", "shop", names[0]))
    hashed = labels_of(pod)["pod-template-hash"]
    assert names[0].startswith(f"ratings-v1-{hashed}-")
    assert len(names[0].rpartition("-")[2]) == 5
    assert labels_of(pod) == {
        "app": "ratings",
        "version": "v1",
        "pod-template-hash": hashed,
        "security.istio.io/tlsMode": "istio",
        "service.istio.io/canonical-name": "ratings",
        "service.istio.io/canonical-revision": "v1",
    }
    assert pod["spec"]["serviceAccountName"] == "ratings"
    assert owner_of(pod) == Ref("Deployment", "shop", "ratings-v1")
    assert role_of(pod) == "sidecar"


def test_without_injection_a_pod_is_plain() -> None:
    cluster = Cluster(namespace(), deployment())
    pod = cluster.store.get(Ref("Pod", "shop", cluster.settle()[0]))
    assert role_of(pod) == "plain"
    assert "security.istio.io/tlsMode" not in labels_of(pod)


def test_the_same_history_gives_the_same_names() -> None:
    objects = (namespace(), deployment(), deployment("reviews-v1", 3))
    assert Cluster(*objects).settle() == Cluster(*objects).settle()


def test_a_pod_that_died_is_replaced_under_another_name() -> None:
    cluster = Cluster(namespace(), deployment())
    first, second = cluster.settle()
    cluster.store.delete(Ref("Pod", "shop", first))
    kept, new = cluster.settle()
    assert kept == second
    assert new not in {first, second}


def test_scaling_takes_the_youngest_and_leaves_the_rest() -> None:
    cluster = Cluster(namespace(), deployment(replicas=2))
    before = cluster.settle()
    cluster.change(replicas=4)
    assert cluster.settle()[:2] == before
    cluster.change(replicas=1)
    assert cluster.settle() == before[:1]
    cluster.change(replicas=0)
    assert cluster.settle() == []


def test_a_new_template_makes_new_pods() -> None:
    cluster = Cluster(namespace(), deployment())
    before = cluster.settle()
    cluster.change(template=deployment(image="ratings:2")["spec"]["template"])
    assert not set(before) & set(cluster.settle())


def test_labels_put_on_a_pod_do_not_disown_it() -> None:
    cluster = Cluster(namespace(), deployment())
    before = cluster.settle()
    pod = cluster.store.get(Ref("Pod", "shop", before[0]))
    pod["metadata"]["labels"] = {"chaos-1-0": "true"}
    cluster.store.replace(pod)
    assert cluster.settle() == before


def test_pods_go_with_their_deployment_and_only_theirs() -> None:
    cluster = Cluster(namespace(), deployment(), deployment("ratings", 1))
    cluster.settle()
    cluster.store.delete(Ref("Deployment", "shop", "ratings-v1"))
    assert [name.rpartition("-")[0].rpartition("-")[0] for name in cluster.settle()] == ["ratings"]


@pytest.mark.parametrize(
    ("namespace_labels", "pod_labels", "annotations", "expected"),
    [
        ({}, {}, {}, False),
        ({"istio-injection": "enabled"}, {}, {}, True),
        ({"istio-injection": "disabled"}, {}, {}, False),
        ({"istio.io/rev": "canary"}, {}, {}, True),
        ({"istio-injection": "disabled", "istio.io/rev": "canary"}, {}, {}, False),
        ({}, {"sidecar.istio.io/inject": "true"}, {}, True),
        ({}, {"istio.io/rev": "canary"}, {}, True),
        ({}, {}, {"sidecar.istio.io/inject": "true"}, False),
        ({"istio-injection": "disabled"}, {"sidecar.istio.io/inject": "true"}, {}, False),
        ({"istio-injection": "enabled"}, {"sidecar.istio.io/inject": "false"}, {}, False),
        ({"istio-injection": "enabled"}, {}, {"sidecar.istio.io/inject": "false"}, False),
        (
            {"istio-injection": "enabled"},
            {"sidecar.istio.io/inject": "true"},
            {"sidecar.istio.io/inject": "false"},
            True,
        ),
        ({}, {}, {"sidecar.istio.io/status": "{}"}, True),
    ],
)
def test_injection_goes_by_istios_rules(
    namespace_labels: dict[str, str], pod_labels: dict[str, str], annotations: dict[str, str], expected: bool
) -> None:
    template = {"metadata": {"labels": pod_labels, "annotations": annotations}, "spec": {"containers": [{"name": "a"}]}}
    assert injected(namespace(**namespace_labels), template) is expected
    says_no = "false" in {pod_labels.get("sidecar.istio.io/inject"), annotations.get("sidecar.istio.io/inject")}
    assert injected(namespace(**namespace_labels), template, inject_all=True) is (expected or not says_no)


def test_injection_in_special_places() -> None:
    plain = {"spec": {"containers": [{"name": "a"}]}}
    by_hand = {"spec": {"containers": [{"name": "a"}, {"name": "istio-proxy"}]}}
    native = {"spec": {"containers": [{"name": "a"}], "initContainers": [{"name": "istio-proxy"}]}}
    assert injected(namespace("kube-system", **{"istio-injection": "enabled"}), plain) is False
    assert injected(None, plain, inject_all=True) is True
    assert injected(namespace(), by_hand) is True
    assert injected(namespace(), native) is True


def test_gateways_are_recognised() -> None:
    labels = {"istio": "ingressgateway"}
    assert is_gateway({"metadata": {"labels": labels}, "spec": {}}, [GATEWAY])
    assert not is_gateway({"metadata": {"labels": labels}, "spec": {}}, [])
    assert not is_gateway({"metadata": {}, "spec": {}}, [{**GATEWAY, "spec": {"selector": {}}}])
    assert is_gateway({"metadata": {"annotations": {"inject.istio.io/templates": "gateway"}}, "spec": {}}, [])
    container = {"name": "istio-proxy", "args": ["proxy", "router"]}
    assert is_gateway({"spec": {"containers": [container]}}, [])


def test_the_ingress_gateway_comes_by_itself() -> None:
    added = builtin.additions([GATEWAY, namespace()])
    assert [str(ref_of(manifest)) for manifest in added] == [
        "Namespace default",
        "Namespace istio-system",
        "ServiceAccount istio-ingressgateway-service-account.istio-system",
        "Service istio-ingressgateway.istio-system",
        "Deployment istio-ingressgateway.istio-system",
    ]
    cluster = Cluster(*added, namespace(), GATEWAY)
    pod = cluster.store.get(Ref("Pod", "istio-system", cluster.settle()[0]))
    assert role_of(pod) == "gateway"
    service = service_of(cluster.store.get(Ref("Service", "istio-system", "istio-ingressgateway")))
    assert selects(service.selector, labels_of(pod))
    assert [(port.number, target_port(port.spec, pod["spec"])) for port in service.ports] == [(80, 8080), (443, 8443)]


def test_a_gateway_of_the_users_own_is_not_doubled() -> None:
    own = deployment("edge", 1)
    own["spec"]["template"]["metadata"]["labels"] = {"istio": "ingressgateway", "app": "edge"}
    kinds = [manifest["kind"] for manifest in builtin.additions([GATEWAY, own])]
    assert kinds == ["Namespace", "Namespace"]
