"""CoreDNS, Istio by its own installer, an ingress gateway, Istio's metrics, Prometheus."""

from __future__ import annotations

from tests.cluster.node.daemons import kubectl, run
from tests.cluster.node.layout import HERE, LOGS

_MANIFESTS = HERE / "manifests"
_READY = "180s"


def up() -> None:
    """Idempotent. Raises NotUp. The installer alone makes the webhook that validates objects without a revision."""
    kubectl("apply", "-f", str(_MANIFESTS / "coredns.yaml"))
    kubectl("-n", "kube-system", "rollout", "status", "deployment/coredns", f"--timeout={_READY}")
    files = [f"--filename={_MANIFESTS / name}" for name in ("istio.yaml", "istio-gateway.yaml")]
    said = run("istioctl", "install", "--skip-confirmation", *files, f"--readiness-timeout={_READY}")
    (LOGS / "istioctl-install.log").write_text(said, "utf-8")
    kubectl("apply", "-f", str(_MANIFESTS / "istio-metrics.yaml"), "-f", str(_MANIFESTS / "prometheus.yaml"))
    kubectl("-n", "istio-system", "rollout", "status", "deployment/prometheus", f"--timeout={_READY}")
