"""etcd, the API server, the controllers and the scheduler."""

from __future__ import annotations

from typing import Final

from tests.cluster.node import keys
from tests.cluster.node.daemons import options, start, succeeds, until
from tests.cluster.node.layout import KEYS, NODE_IP, PODS, RUN, SERVICES

_ETCD: Final = "http://127.0.0.1:2379"
_PEERS: Final = "http://127.0.0.1:2380"


def up() -> None:
    """Idempotent. Raises NotUp."""
    keys.make()
    etcd = {
        "name": "node",
        "data-dir": RUN / "etcd",
        "listen-client-urls": _ETCD,
        "advertise-client-urls": _ETCD,
        "listen-peer-urls": _PEERS,
        "initial-advertise-peer-urls": _PEERS,
        "initial-cluster": f"node={_PEERS}",
        "log-level": "warn",
        "logger": "zap",
        "unsafe-no-fsync": True,  # nothing of this cluster outlives its machine
    }
    start("etcd", "etcd", *options(etcd))
    api = {
        "etcd-servers": _ETCD,
        "advertise-address": NODE_IP,
        "bind-address": "0.0.0.0",  # of the node's own network namespace
        "secure-port": 6443,
        "service-cluster-ip-range": SERVICES,
        "allow-privileged": True,
        "tls-cert-file": KEYS / "apiserver.crt",
        "tls-private-key-file": KEYS / "apiserver.key",
        "client-ca-file": KEYS / "ca.crt",
        "service-account-issuer": "https://kubernetes.default.svc.cluster.local",
        "service-account-signing-key-file": KEYS / "sa.key",
        "service-account-key-file": KEYS / "sa.pub",
        "authorization-mode": "Node,RBAC",
        "enable-admission-plugins": "NodeRestriction",
        "kubelet-client-certificate": KEYS / "apiserver-kubelet-client.crt",
        "kubelet-client-key": KEYS / "apiserver-kubelet-client.key",
        "kubelet-certificate-authority": KEYS / "ca.crt",
        "kubelet-preferred-address-types": "InternalIP",
        "profiling": False,
    }
    start("kube-apiserver", "kubernetes", "kube-apiserver", *options(api))
    until(
        lambda: succeeds("kubectl", "get", "--raw", "/readyz"), "the API server is ready", 90, "kube-apiserver", "etcd"
    )
    manager = {
        "kubeconfig": KEYS / "kube-controller-manager.kubeconfig",
        "leader-elect": False,
        "service-account-private-key-file": KEYS / "sa.key",
        "root-ca-file": KEYS / "ca.crt",
        "cluster-signing-cert-file": KEYS / "ca.crt",
        "cluster-signing-key-file": KEYS / "ca.key",
        "use-service-account-credentials": True,
        "cluster-cidr": PODS,
        "allocate-node-cidrs": False,
        "bind-address": "127.0.0.1",
        "profiling": False,
    }
    start("kube-controller-manager", "kubernetes", "kube-controller-manager", *options(manager))
    scheduler = {
        "kubeconfig": KEYS / "kube-scheduler.kubeconfig",
        "leader-elect": False,
        "bind-address": "127.0.0.1",
        "profiling": False,
    }
    start("kube-scheduler", "kubernetes", "kube-scheduler", *options(scheduler))
