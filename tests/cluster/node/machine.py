"""containerd, the kubelet and kube-proxy: the one node."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import yaml

from tests.cluster.node.daemons import options, run, running, start, succeeds, until, written
from tests.cluster.node.layout import (
    BRIDGE,
    CRI,
    DNS_IP,
    IMAGES,
    KEYS,
    LOGS,
    NODE,
    NODE_IP,
    PACKAGES,
    PAUSE_IMAGE,
    PODS,
    PODS_FIRST,
    PODS_GATEWAY,
    PODS_LAST,
    PODS_NETWORK,
    RUN,
    SOCKETS,
)

_CRI: Final = 'plugins."io.containerd.grpc.v1.cri"'
_IMPORTED: Final = RUN / "imported"


def up() -> None:
    """Idempotent. Raises NotUp."""
    SOCKETS.mkdir(parents=True, exist_ok=True)
    _network()
    config = written(RUN / "containerd.toml", _containerd())
    start("containerd", "containerd", "--config", str(config), "--log-level", "warn")
    until(lambda: succeeds("ctr", "-a", str(CRI), "version"), "containerd answers", 30, "containerd")
    load_images()
    kubelet = written(RUN / "kubelet.yaml", yaml.safe_dump(_kubelet()))
    written(RUN / "resolv.conf", "")
    asked = {
        "config": kubelet,
        "kubeconfig": KEYS / "kubelet.kubeconfig",
        "hostname-override": NODE,
        "node-ip": NODE_IP,
        "root-dir": RUN / "kubelet",
        "cert-dir": RUN / "kubelet-pki",
    }

    def ready() -> bool:
        start("kubelet", "kubernetes", "kubelet", *options(asked))  # it ends while containerd is not ready yet
        return succeeds("kubectl", "wait", "--for=condition=Ready", f"node/{NODE}", "--timeout=1s")

    until(ready, "the node is Ready", 90, "kubelet", "containerd")
    # After the node has its address: it waits for half a minute otherwise.
    proxy = written(RUN / "kube-proxy.yaml", yaml.safe_dump(_proxy()))
    start("kube-proxy", "kubernetes", "kube-proxy", *options({"config": proxy}))


def load_images() -> None:
    """Those that were made since. Raises NotUp."""
    _IMPORTED.mkdir(parents=True, exist_ok=True)
    for image in sorted(IMAGES.glob("*.tar")):
        seen = _IMPORTED / image.name
        mark = str(image.stat().st_mtime_ns)
        if not seen.exists() or seen.read_text("utf-8") != mark:
            run("ctr", "-a", str(CRI), "-n", "k8s.io", "images", "import", "--digests=false", str(image))
            seen.write_text(mark, "utf-8")


def is_up() -> bool:
    return all(running(name) for name in ("containerd", "kubelet", "kube-proxy"))


def _network() -> None:
    ranges = [[{"subnet": PODS, "rangeStart": PODS_FIRST, "rangeEnd": PODS_LAST, "gateway": PODS_GATEWAY}]]
    addresses = {
        "type": "host-local",
        "dataDir": str(RUN / "cni" / "addresses"),
        "ranges": ranges,
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    bridge = {
        "type": "bridge",
        "bridge": BRIDGE,
        "isGateway": True,
        "ipMasq": False,
        "hairpinMode": True,
        "promiscMode": False,
        "ipam": addresses,
    }
    ports = {"type": "portmap", "capabilities": {"portMappings": True}}
    form = {"cniVersion": "0.4.0", "name": PODS_NETWORK, "plugins": [bridge, ports]}
    written(RUN / "cni" / "net.d" / "10-pods.conflist", json.dumps(form))


def _containerd() -> str:
    """``restrict_oom_score_adj``: without CAP_SYS_RESOURCE runc may not lower a sandbox's, and ends."""
    others = ", ".join(f'"io.containerd.snapshotter.v1.{name}"' for name in ("aufs", "btrfs", "devmapper", "zfs"))
    return f"""\
version = 2
root = "{RUN}/containerd"
state = "{SOCKETS}/containerd"
disabled_plugins = [{others}]
[grpc]
  address = "{CRI}"
[plugins."io.containerd.internal.v1.opt"]
  path = "{RUN}/containerd-opt"
[{_CRI}]
  sandbox_image = "{PAUSE_IMAGE}"
  disable_apparmor = true
  restrict_oom_score_adj = true
  [{_CRI}.cni]
    bin_dir = "{PACKAGES}/usr/lib/cni"
    conf_dir = "{RUN}/cni/net.d"
  [{_CRI}.containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [{_CRI}.containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [{_CRI}.containerd.runtimes.runc.options]
        SystemdCgroup = false
"""


def _kubelet() -> dict[str, Any]:
    def text(path: Path) -> str:
        return str(path)

    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": NODE_IP,
        "port": 10250,
        "readOnlyPort": 0,
        "healthzBindAddress": "127.0.0.1",
        "failCgroupV1": False,
        "cgroupDriver": "cgroupfs",
        "cgroupsPerQOS": True,
        "enforceNodeAllocatable": ["pods"],
        "failSwapOn": False,
        "containerRuntimeEndpoint": f"unix://{CRI}",
        "clusterDNS": [DNS_IP],
        "clusterDomain": "cluster.local",
        "resolvConf": text(RUN / "resolv.conf"),
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": text(KEYS / "ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": text(KEYS / "kubelet-server.crt"),
        "tlsPrivateKeyFile": text(KEYS / "kubelet-server.key"),
        "podLogsDir": text(LOGS / "pods"),
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "evictionHard": {
            "memory.available": "100Mi",
            "nodefs.available": "1%",
            "imagefs.available": "1%",
            "nodefs.inodesFree": "1%",
        },
        "syncFrequency": "10s",
        "volumePluginDir": text(RUN / "volume-plugins"),
    }


def _proxy() -> dict[str, Any]:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "iptables",
        "clusterCIDR": PODS,
        "hostnameOverride": NODE,
        "bindAddress": "0.0.0.0",
        "metricsBindAddress": "127.0.0.1:10249",
        "healthzBindAddress": "127.0.0.1:10256",
        "clientConnection": {"kubeconfig": str(KEYS / "kube-proxy.kubeconfig")},
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        "iptables": {"minSyncPeriod": "100ms", "syncPeriod": "30s"},
    }
