"""The fault ``authorization``: one more AuthorizationPolicy, so that calls are refused, or all but some are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

from meshchaos.errors import CannotPlace
from meshchaos.experiment.fields import About, OneOrMany, Text, spec
from meshchaos.experiment.model import SpecKind
from meshchaos.faults.edge import Edge, HttpFault, refuse_shared_accounts, resolve
from meshchaos.faults.kind import ConfigProof, FaultContext, Placement, Probe
from meshchaos.mesh.changes import Create
from meshchaos.mesh.objects import Manifest, selects
from meshchaos.mesh.seam import Snapshot, Workload

_SAFE = ("GET", "HEAD", "OPTIONS")
"""Methods that a probe may use."""


@spec
class Calls:
    """Calls of an edge, as in the expectations ``denied`` and ``allowed``."""

    to: Annotated[Text, About("the service that is called: ratings, ratings.bookinfo, ratings:9080")]
    from_: Annotated[OneOrMany[Text], About("by these workloads, by their identity; by itself: by anybody")] = ()
    methods: Annotated[OneOrMany[Text], About("only with these methods")] = ()
    paths: Annotated[OneOrMany[Text], About("only on these paths; /a/* and */b as in Istio")] = ()


@spec
class AuthorizationSpec:
    deny: Annotated[Calls | None, About("these calls are refused")] = None
    allow: Annotated[Calls | None, About("these calls are let through, and no others to that service")] = None
    namespace: Annotated[Text | None, About("where a policy of your own goes")] = None
    policy: Annotated[Mapping[str, Any] | None, About("the spec of an AuthorizationPolicy of your own")] = None

    def check(self) -> None:
        if sum(one is not None for one in (self.deny, self.allow, self.policy)) != 1:
            raise ValueError("authorization needs deny, allow or policy, one of the three")
        if self.policy is None and self.namespace is not None:
            raise ValueError("namespace goes with policy; deny and allow know it by their service")


class AuthorizationKind:
    kind = SpecKind("authorization", AuthorizationSpec, summary="calls are refused by one more AuthorizationPolicy")
    family = "authorization"

    def place(self, spec: AuthorizationSpec, mesh: Snapshot, context: FaultContext) -> Placement:
        """The new policy and what shows it. Raises UserError, CannotPlace."""
        calls = spec.deny or spec.allow
        if calls is None:
            return self._own(spec, mesh, context)
        edge = resolve(HttpFault(to=calls.to, sources=tuple(calls.from_)), mesh, context.namespace)
        _refuse_bare(edge.servers)
        if edge.source is not None:
            refuse_shared_accounts(edge.source, mesh)
        action = "DENY" if spec.deny else "ALLOW"
        policy = {
            "selector": {"matchLabels": dict(edge.service.selector or {})},
            "action": action,
            "rules": [_rule(calls, edge)],
        }
        who = edge.source.words if edge.source else "every client"
        others = "" if spec.deny else f"every client of {edge.service} but {who}"
        return _placement(
            context,
            (str(edge), f"{action} {who}"),
            _manifest(context.id, edge.service.namespace, policy),
            edge.servers,
            felt_by=others or f"{who}, calling {edge.service}",
            probe=_probe(calls, edge, mesh, denied=spec.deny is not None),
            named=True,
        )

    def _own(self, spec: AuthorizationSpec, mesh: Snapshot, context: FaultContext) -> Placement:
        namespace = spec.namespace or context.namespace
        labels = ((spec.policy or {}).get("selector") or {}).get("matchLabels") or {}
        concerned = [
            one
            for one in mesh.workloads
            if namespace in (one.namespace, mesh.root_namespace) and selects(labels, one.labels)
        ]
        meant = [one for one in concerned if one.sidecar or one.gateway]
        if not meant:
            raise CannotPlace(f"the policy chooses no workload with a sidecar in namespace {namespace}")
        return _placement(
            context,
            (", ".join(one.name for one in meant), str((spec.policy or {}).get("action", "ALLOW"))),
            _manifest(context.id, namespace, spec.policy or {}),
            meant,
            felt_by=f"clients of {', '.join(one.name for one in meant)}",
            probe=None,
            named=False,
        )


AUTHORIZATION = AuthorizationKind()


def _placement(
    context: FaultContext,
    said: tuple[str, str],
    policy: Manifest,
    servers: Sequence[Workload],
    *,
    felt_by: str,
    probe: Probe | None,
    named: bool,
) -> Placement:
    """``named``: proxies run the policy under its name, which they do for one with rules."""
    edge, words = said
    return Placement(
        id=context.id,
        kind="authorization",
        at="server",
        edge=edge,
        reason="in the server's inbound proxy, by an AuthorizationPolicy of our own",
        changes=(Create(policy),),
        proof=ConfigProof(
            proxies=tuple(f"{r.name}.{r.namespace}" for one in servers for r in one.replicas if r.ready),
            section="listeners",
            resources="virtualInbound",
            words=f"the AuthorizationPolicy {context.id} ({words})",
            field="" if named else "rbac",
            mark=context.id if named else "",
            probe=probe,
        ),
        felt_by=(felt_by,),
        warnings=() if probe is not None else ("no call of ours shows that it bites, only that the proxies run it",),
    )


def _rule(calls: Calls, edge: Edge) -> dict[str, Any]:
    rule: dict[str, Any] = {}
    if edge.source is not None:
        principals = [identity.removeprefix("spiffe://") for identity in edge.source.identities]
        rule["from"] = [{"source": {"principals": principals}}]
    operation = {
        "ports": [str(port) for port in edge.target_ports] if len(edge.service.ports) > 1 else [],
        "methods": list(calls.methods),
        "paths": list(calls.paths),
    }
    kept = {key: value for key, value in operation.items() if value}
    if kept:
        rule["to"] = [{"operation": kept}]
    return rule


def _probe(calls: Calls, edge: Edge, mesh: Snapshot, *, denied: bool) -> Probe | None:
    """A call that the policy refuses: one of the calls denied, or of a client that is not among those allowed."""
    method = next((one for one in calls.methods if one in _SAFE), None if calls.methods else "GET")
    if denied:
        path = next((one for one in calls.paths if "*" not in one and "{" not in one), None if calls.paths else "/")
    elif calls.from_:
        path, method = "/", "GET"
    else:
        return None
    client = next(_callers(edge, mesh, denied=denied), None)
    if path is None or method is None or client is None:
        return None
    url = f"http://{edge.service.name}.{edge.service.namespace}:{edge.port.number}{path}"
    return Probe(client.name, client.namespace, url, method)


def _callers(edge: Edge, mesh: Snapshot, *, denied: bool) -> Iterator[Workload]:
    meant = edge.source.workloads if edge.source else mesh.workloads
    identities = edge.source.identities if edge.source else ()
    for one in meant if denied else mesh.workloads:
        identity = f"spiffe://{mesh.trust_domain}/ns/{one.namespace}/sa/{one.service_account}"
        if one.sidecar and not one.gateway and one not in edge.servers and (denied or identity not in identities):
            yield one


def _refuse_bare(servers: Sequence[Workload]) -> None:
    bare = [one.name for one in servers if not one.sidecar]
    if bare:
        raise CannotPlace(f"{', '.join(bare)} has no sidecar, so no policy is enforced there")


def _manifest(name: str, namespace: str, policy: Mapping[str, Any]) -> Manifest:
    return {
        "apiVersion": "security.istio.io/v1",
        "kind": "AuthorizationPolicy",
        "metadata": {"name": name, "namespace": namespace},
        "spec": dict(policy),
    }
