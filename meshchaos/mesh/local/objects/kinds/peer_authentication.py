"""PeerAuthentication: mutual TLS as servers demand it."""

from __future__ import annotations

from typing import Any

from meshchaos.mesh.local.objects.kinds.kind import Kind
from meshchaos.mesh.local.objects.kinds.shared import ISTIO_SECURITY, SELECTOR
from meshchaos.mesh.local.objects.schema import mapping, record, word
from meshchaos.mesh.objects import Manifest

MTLS = record({"mode": word("UNSET", "DISABLE", "PERMISSIVE", "STRICT")})


def _port(key: Any) -> str | None:
    """A container port as a key: YAML may have it without quotes."""
    number = int(key) if isinstance(key, str) and key.isdigit() else key
    fine = isinstance(number, int) and not isinstance(number, bool) and 1 <= number <= 65535
    return None if fine else f"{key!r} must be a container port, from 1 to 65535"


def _ports_of_workloads(spec: Any) -> str | None:
    if "portLevelMtls" in spec and not (spec.get("selector") or {}).get("matchLabels"):
        return "portLevelMtls needs a selector: only workloads have ports"
    return None


SPEC = record(
    {"selector": SELECTOR, "mtls": MTLS, "portLevelMtls": mapping(MTLS, key=_port, nonempty=True)},
    rules=(_ports_of_workloads,),
)


def port_keys(manifest: Manifest) -> None:
    """Ports as the API server keeps them: keys of JSON are texts."""
    levels = (manifest.get("spec") or {}).get("portLevelMtls")
    if levels:
        manifest["spec"]["portLevelMtls"] = {str(port): level for port, level in levels.items()}


KINDS = (Kind("PeerAuthentication", ISTIO_SECURITY, {"spec": SPEC}, required=(), defaults=port_keys),)
