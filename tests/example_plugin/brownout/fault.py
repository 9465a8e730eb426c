"""The fault ``brownout``: a server that is short of something answers late, and part of the time not at all.

Made of one EnvoyFilter with a delay and an abort in one: every request concerned waits, then fails.
"""

from __future__ import annotations

from typing import Annotated

from meshchaos.plugin import (
    About,
    CannotPlace,
    Create,
    FaultContext,
    Manifest,
    Percentage,
    Placement,
    PositiveDuration,
    Proof,
    Snapshot,
    SpecKind,
    Text,
    find_service,
    spec,
    workloads_of,
)


@spec
class BrownoutSpec:
    to: Annotated[Text, About("the service that is short of something")]
    slow_by: Annotated[PositiveDuration, About("how long a request waits before it fails")] = 0.1
    percentage: Annotated[Percentage, About("how many of the requests, each drawn by itself")] = 100.0


class Brownout:
    kind = SpecKind("brownout", BrownoutSpec, scalar="to", summary="a server answers late, and with 503")

    def place(self, spec: BrownoutSpec, mesh: Snapshot, context: FaultContext) -> Placement:
        found = find_service(mesh.objects, spec.to, context.namespace, mesh.domain)
        service, port = found.service, found.port or found.service.ports[0]
        servers = workloads_of(service, mesh.workloads)
        bare = [server.name for server in servers if not server.sidecar]
        if bare or not servers:
            raise CannotPlace(f"a brownout sits in the server's proxy, and {', '.join(bare) or service} has none")
        replicas = [replica for server in servers for replica in server.replicas if replica.ready]
        target = port.spec.get("targetPort") or port.number
        return Placement(
            id=context.id,
            kind="brownout",
            at="server",
            edge=f"every client -> {service.name}:{port.number}",
            reason="in the server's inbound proxy, as the server itself would do it",
            changes=(Create(_filter(spec, context.id, service.namespace, dict(service.selector or {}), port.number)),),
            proof=Proof(
                replicas=tuple(f"{replica.name}.{replica.namespace}" for replica in replicas),
                side="inbound",
                flag="FI",
                counter=rf"^http\.inbound_[^;]*_{target};?\.fault\.aborts_injected$",
                share=spec.percentage / 100,
                clusters=(f"inbound|{target}||",),
            ),
            felt_by=(f"every client of {service}",),
        )


BROWNOUT = Brownout()


def _filter(spec: BrownoutSpec, name: str, namespace: str, selector: dict[str, str], port: int) -> Manifest:
    share = {"numerator": round(spec.percentage * 10_000), "denominator": "MILLION"}
    fault = {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault",
        "delay": {"fixed_delay": f"{spec.slow_by:.3f}s", "percentage": {"numerator": 100}},
        "abort": {"http_status": 503, "percentage": share},
    }
    return {
        "apiVersion": "networking.istio.io/v1alpha3",
        "kind": "EnvoyFilter",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "workloadSelector": {"labels": selector},
            "configPatches": [
                {
                    "applyTo": "HTTP_ROUTE",
                    "match": {
                        "context": "SIDECAR_INBOUND",
                        "routeConfiguration": {"vhost": {"name": f"inbound|http|{port}", "route": {"name": "default"}}},
                    },
                    "patch": {
                        "operation": "MERGE",
                        "value": {"typed_per_filter_config": {"envoy.filters.http.fault": fault}},
                    },
                }
            ],
        },
    }
