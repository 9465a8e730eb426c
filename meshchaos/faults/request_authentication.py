"""The fault ``requestAuthentication``: a workload looks at tokens, by one more RequestAuthentication."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any
from urllib.parse import quote

from meshchaos.errors import CannotPlace
from meshchaos.experiment.fields import About, OneOrMany, Text, spec
from meshchaos.experiment.model import SpecKind
from meshchaos.faults.edge import identity_labels
from meshchaos.faults.kind import ConfigProof, FaultContext, Placement, Probe
from meshchaos.faults.whole_workload import the_workload
from meshchaos.mesh.changes import Create
from meshchaos.mesh.istio.ports import may_be_http
from meshchaos.mesh.istio.request_authentication import KIND, jwt_rules
from meshchaos.mesh.istio.services import did_you_mean, services, services_of
from meshchaos.mesh.objects import Manifest, selects
from meshchaos.mesh.seam import Snapshot, Workload

NO_TOKEN = "meshchaos"
"""What nobody takes for a JSON Web Token: it has no parts."""

_FIELDS = (
    *("issuer", "audiences", "jwksUri", "jwks", "fromHeaders", "fromParams", "fromCookies", "forwardOriginalToken"),
    *("outputPayloadToHeader", "outputClaimToHeaders", "timeout", "spaceDelimitedClaims"),
)


@spec
class RequestAuthenticationSpec:
    workload: Annotated[Text, About("of this workload: payments-v1, payments-v1.shop")]
    jwt_rules: Annotated[OneOrMany[Mapping[str, Any]], About("Istio's jwtRules: the tokens that it accepts")]

    def check(self) -> None:
        if not self.jwt_rules:
            raise ValueError("jwtRules is empty: say whose tokens are accepted, [{issuer: https://issuer.example}]")
        for rule in self.jwt_rules:
            for name in rule:
                if name not in _FIELDS:
                    raise ValueError(f"jwtRules has no field {name!r}{did_you_mean(str(name), _FIELDS)}")
            if not rule.get("issuer") and not rule.get("jwksUri"):
                raise ValueError("each of jwtRules needs issuer or jwksUri")


class RequestAuthenticationKind:
    kind = SpecKind(
        "requestAuthentication",
        RequestAuthenticationSpec,
        summary="tokens are looked at by one more RequestAuthentication, and wrong ones refused",
    )
    family = "requestAuthentication"

    def place(self, spec: RequestAuthenticationSpec, mesh: Snapshot, context: FaultContext) -> Placement:
        """The new policy and what shows it. Raises UserError, CannotPlace."""
        server = the_workload(mesh, spec.workload, context.namespace)
        if not (server.sidecar or server.gateway):
            raise CannotPlace(f"{server.name} has no sidecar, so nobody looks at tokens there")
        labels = identity_labels(server)
        others = [
            one.name
            for one in mesh.workloads
            if one.namespace == server.namespace and one.name != server.name and selects(labels, one.labels)
        ]
        if others:
            raise CannotPlace(
                f"a policy chooses by labels, and {', '.join(others)} has all those of {server.name}: give it a label "
                f"of its own"
            )
        probe = _probe(spec.jwt_rules, server, mesh)
        issuers = ", ".join(str(rule.get("issuer") or rule["jwksUri"]) for rule in spec.jwt_rules)
        warnings = ["requests without a token pass as before; a policy with requestPrincipals would demand one"]
        if probe is None:
            warnings.append("no call of ours shows that it bites, only that the proxies run it")
        return Placement(
            id=context.id,
            kind=self.kind.key,
            at="server",
            edge=f"{server.name}, tokens of {issuers}",
            reason="in the server's inbound proxy, by a RequestAuthentication of our own",
            changes=(Create(_manifest(context.id, server.namespace, labels, spec.jwt_rules)),),
            proof=ConfigProof(
                proxies=tuple(f"{r.name}.{r.namespace}" for r in server.replicas if r.ready),
                section="listeners",
                resources=".*" if server.gateway else "virtualInbound",
                words=f"the RequestAuthentication {context.id} (tokens of {issuers})",
                field="jwt_authn",
                probe=probe,
            ),
            felt_by=(f"clients of {server.name} that send a token",),
            warnings=tuple(warnings),
        )


REQUEST_AUTHENTICATION = RequestAuthenticationKind()


def _manifest(name: str, namespace: str, labels: Mapping[str, str], rules: Sequence[Mapping[str, Any]]) -> Manifest:
    return {
        "apiVersion": "security.istio.io/v1",
        "kind": KIND,
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"selector": {"matchLabels": dict(labels)}, "jwtRules": [dict(rule) for rule in rules]},
    }


def _probe(rules: Sequence[Mapping[str, Any]], server: Workload, mesh: Snapshot) -> Probe | None:
    """A call with what is no token where the first rule looks for one: it passes before (200), not during it (401).
    None where tokens are looked at already, or nobody could call.
    """
    if server.gateway or jwt_rules(mesh.objects, server.namespace, server.labels, mesh.root_namespace):
        return None
    ports = [
        (service, port)
        for service in services_of(server, services(mesh.objects, mesh.domain))
        for port in service.ports
        if may_be_http(port.protocol)
    ]
    callers = [one for one in mesh.workloads if one.sidecar and not one.gateway and one.name != server.name]
    if not ports or not callers:
        return None
    (service, port), caller = ports[0], callers[0]
    headers, query = _place(rules[0])
    url = f"http://{service.name}.{service.namespace}:{port.number}/{query}"
    return Probe(caller.name, caller.namespace, url, headers=headers)


def _place(rule: Mapping[str, Any]) -> tuple[dict[str, str], str]:
    """Headers and query that carry it."""
    for header in rule.get("fromHeaders") or ():
        return {str(header["name"]): f"{header.get('prefix') or ''}{NO_TOKEN}"}, ""
    for name in rule.get("fromCookies") or ():
        return {"cookie": f"{name}={NO_TOKEN}"}, ""
    for name in rule.get("fromParams") or ():
        return {}, f"?{quote(str(name))}={NO_TOKEN}"
    return {"authorization": f"Bearer {NO_TOKEN}"}, ""
