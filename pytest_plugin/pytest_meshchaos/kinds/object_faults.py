"""Faults of workloads, policies and objects.

Made from the schemas of the kinds by ``python -m tests.plugin.kinds_source``: do not edit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from meshchaos.run.fault_by_hand import FaultByHand
from pytest_meshchaos.kinds.base import Calls, Maker


class ObjectFaults(Maker):
    """Faults of workloads, policies and objects."""

    def apply(self, *, objects: Sequence[Mapping[str, Any]]) -> FaultByHand:
        """Objects of your own are there meanwhile.

        ``objects``: objects as in a manifest; of one that is there, its spec.

        Raises UserError for values that mean nothing; entering and leaving raise what ``FaultByHand`` says.
        """
        return self._made("apply", objects=objects)

    def authorization(
        self,
        *,
        deny: Calls | None = None,
        allow: Calls | None = None,
        namespace: str | None = None,
        policy: Mapping[str, Any] | None = None,
    ) -> FaultByHand:
        """Calls are refused by one more AuthorizationPolicy.

        ``deny``: these calls are refused.
        ``allow``: these calls are let through, and no others to that service.
        ``namespace``: where a policy of your own goes.
        ``policy``: the spec of an AuthorizationPolicy of your own.

        Raises UserError for values that mean nothing; entering and leaving raise what ``FaultByHand`` says.
        """
        return self._made("authorization", deny=deny, allow=allow, namespace=namespace, policy=policy)

    def certificate(self, *, workload: str, expired: Literal[True] | None = None) -> FaultByHand:
        """A workload's certificate is past its end.

        ``workload``: of the proxies of this workload: ratings-v1, ratings-v1.bookinfo.
        ``expired``: past its end, as when nobody renewed it.

        Raises UserError for values that mean nothing; entering and leaving raise what ``FaultByHand`` says.
        """
        return self._made("certificate", workload=workload, expired=expired)

    def controlPlane(self, *, workload: str, stale: Literal[True] | None = None) -> FaultByHand:
        """A workload's proxies get nothing new any more.

        ``workload``: the proxies of this workload: ratings-v1, ratings-v1.bookinfo.
        ``stale``: get nothing new: no configuration, endpoints, certificates.

        Raises UserError for values that mean nothing; entering and leaving raise what ``FaultByHand`` says.
        """
        return self._made("controlPlane", workload=workload, stale=stale)

    def kill(
        self,
        *,
        workload: str,
        replicas: int | str | None = None,
        what: Literal["pod", "app", "proxy"] | None = None,
        every: str | None = None,
    ) -> FaultByHand:
        """Replicas end at once, and come back.

        ``workload``: the Deployment: ratings-v1, ratings-v1.bookinfo.
        ``replicas``: so many of its replicas (1, 50%), drawn by the run's seed.
        ``what``: the whole Pod, or by SIGKILL the processes of one of its containers.
        ``every`` ('250ms'): again after so long, until the phase ends.

        Raises UserError for values that mean nothing; entering and leaving raise what ``FaultByHand`` says.
        """
        return self._made("kill", workload=workload, replicas=replicas, what=what, every=every)

    def mtls(
        self,
        *,
        mode: Literal["STRICT", "PERMISSIVE", "DISABLE"],
        workload: str | None = None,
        namespace: str | None = None,
        meshWide: bool | None = None,
        port: int | None = None,
    ) -> FaultByHand:
        """Servers demand another mode of mutual TLS.

        ``mode``: what servers demand.
        ``workload``: of this workload alone.
        ``namespace``: of all workloads of this namespace.
        ``meshWide``: of all workloads of the mesh.
        ``port``: only on this container port of the workload.

        Raises UserError for values that mean nothing; entering and leaving raise what ``FaultByHand`` says.
        """
        return self._made("mtls", mode=mode, workload=workload, namespace=namespace, meshWide=meshWide, port=port)

    def requestAuthentication(
        self, *, workload: str, jwtRules: Mapping[str, Any] | Sequence[Mapping[str, Any]]
    ) -> FaultByHand:
        """Tokens are looked at by one more RequestAuthentication, and wrong ones refused.

        ``workload``: of this workload: payments-v1, payments-v1.shop.
        ``jwtRules``: Istio's jwtRules: the tokens that it accepts.

        Raises UserError for values that mean nothing; entering and leaving raise what ``FaultByHand`` says.
        """
        return self._made("requestAuthentication", workload=workload, jwtRules=jwtRules)

    def scale(self, *, workload: str, replicas: int) -> FaultByHand:
        """A workload has another number of replicas.

        ``workload``: the Deployment: ratings-v1, ratings-v1.bookinfo.
        ``replicas``: how many it has meanwhile; 0: none.

        Raises UserError for values that mean nothing; entering and leaving raise what ``FaultByHand`` says.
        """
        return self._made("scale", workload=workload, replicas=replicas)
