"""Faults of requests to a service.

Made from the schemas of the kinds by ``python -m tests.plugin.kinds_source``: do not edit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from meshchaos.run.fault_by_hand import FaultByHand
from pytest_meshchaos.kinds.base import HttpMatch, Maker


class EdgeFaults(Maker):
    """Faults of requests to a service."""

    def abort(
        self,
        *,
        to: str,
        httpStatus: int | None = None,
        grpcStatus: str | int | None = None,
        from_: str | Sequence[str] | None = None,
        subset: str | None = None,
        workload: str | None = None,
        replicas: int | str | None = None,
        percentage: float | str | Mapping[str, float | str] | None = None,
        at: Literal["server", "client"] | None = None,
        match: HttpMatch | None = None,
    ) -> FaultByHand:
        """Requests are answered with an error by a proxy.

        ``to``: the service whose requests fail: ratings, ratings.bookinfo, ratings:9080.
        ``httpStatus``: what they are answered with, in the server's stead.
        ``grpcStatus``: the same for gRPC: UNAVAILABLE.
        ``from_``: only the requests of these workloads.
        ``subset``: only at the replicas of this subset of a DestinationRule.
        ``workload``: only at the replicas of this workload.
        ``replicas``: only at so many replicas (1, 50%), drawn by the run's seed.
        ``percentage``: how many of the requests, each drawn by itself.
        ``at``: whose proxy answers; by itself the server's.
        ``match``: only requests like these.

        Raises UserError for values that mean nothing; entering and leaving raise what ``FaultByHand`` says.
        """
        return self._made(
            "abort",
            to=to,
            httpStatus=httpStatus,
            grpcStatus=grpcStatus,
            from_=from_,
            subset=subset,
            workload=workload,
            replicas=replicas,
            percentage=percentage,
            at=at,
            match=match,
        )

    def connectionPool(
        self,
        *,
        to: str,
        from_: str | Sequence[str] | None = None,
        tcp: Mapping[str, Any] | None = None,
        http: Mapping[str, Any] | None = None,
    ) -> FaultByHand:
        """Clients' circuit breakers have other limits.

        ``to``: the service whose clients are limited: ratings, ratings.bookinfo, ratings:9080.
        ``from_``: only these workloads.
        ``tcp``: Istio's connectionPool.tcp: {maxConnections: 1}.
        ``http``: Istio's connectionPool.http: {http1MaxPendingRequests: 1}.

        Raises UserError for values that mean nothing; entering and leaving raise what ``FaultByHand`` says.
        """
        return self._made("connectionPool", to=to, from_=from_, tcp=tcp, http=http)

    def delay(
        self,
        *,
        to: str,
        fixedDelay: str,
        from_: str | Sequence[str] | None = None,
        subset: str | None = None,
        workload: str | None = None,
        replicas: int | str | None = None,
        percentage: float | str | Mapping[str, float | str] | None = None,
        at: Literal["server", "client"] | None = None,
        match: HttpMatch | None = None,
    ) -> FaultByHand:
        """Requests wait before they are answered.

        ``to``: the service whose requests wait: ratings, ratings.bookinfo, ratings:9080.
        ``fixedDelay`` ('250ms'): how long each of them waits before it goes on.
        ``from_``: only the requests of these workloads.
        ``subset``: only at the replicas of this subset of a DestinationRule.
        ``workload``: only at the replicas of this workload.
        ``replicas``: only at so many replicas (1, 50%), drawn by the run's seed.
        ``percentage``: how many of the requests, each drawn by itself.
        ``at``: whose proxy waits; by itself the server's.
        ``match``: only requests like these.

        Raises UserError for values that mean nothing; entering and leaving raise what ``FaultByHand`` says.
        """
        return self._made(
            "delay",
            to=to,
            fixedDelay=fixedDelay,
            from_=from_,
            subset=subset,
            workload=workload,
            replicas=replicas,
            percentage=percentage,
            at=at,
            match=match,
        )

    def outlierDetection(
        self,
        *,
        to: str,
        from_: str | Sequence[str] | None = None,
        consecutive5xxErrors: int | None = None,
        consecutiveGatewayErrors: int | None = None,
        consecutiveLocalOriginFailures: int | None = None,
        splitExternalLocalOriginErrors: bool | None = None,
        interval: str | None = None,
        baseEjectionTime: str | None = None,
        maxEjectionPercent: int | None = None,
        minHealthPercent: int | None = None,
    ) -> FaultByHand:
        """Clients eject replicas otherwise.

        ``to``: the service whose replicas are ejected otherwise: ratings, ratings:9080.
        ``from_``: only by these workloads.
        ``consecutive5xxErrors``: ejected after so many; 0: never for it.
        ``consecutiveGatewayErrors``: the same of 502, 503 and 504.
        ``consecutiveLocalOriginFailures``: the same of failed connections.
        ``splitExternalLocalOriginErrors``: count those by themselves.
        ``interval`` ('250ms'): between two sweeps.
        ``baseEjectionTime`` ('250ms'): how long, times how often it was ejected.
        ``maxEjectionPercent``: how many of the replicas at most; 10 unless somebody says.
        ``minHealthPercent``: below it, all are used.

        Raises UserError for values that mean nothing; entering and leaving raise what ``FaultByHand`` says.
        """
        return self._made(
            "outlierDetection",
            to=to,
            from_=from_,
            consecutive5xxErrors=consecutive5xxErrors,
            consecutiveGatewayErrors=consecutiveGatewayErrors,
            consecutiveLocalOriginFailures=consecutiveLocalOriginFailures,
            splitExternalLocalOriginErrors=splitExternalLocalOriginErrors,
            interval=interval,
            baseEjectionTime=baseEjectionTime,
            maxEjectionPercent=maxEjectionPercent,
            minHealthPercent=minHealthPercent,
        )

    def partition(
        self, *, to: str, from_: str | Sequence[str], how: Literal["refuse", "blackhole"] | None = None
    ) -> FaultByHand:
        """A workload does not reach another any more.

        ``to``: the service that is not reached: ratings, ratings.bookinfo, ratings:9080.
        ``from_``: these workloads do not reach it; gateway: the ingress gateway.
        ``how``: connections are refused at once, or wait for an answer that never comes.

        Raises UserError for values that mean nothing; entering and leaving raise what ``FaultByHand`` says.
        """
        return self._made("partition", to=to, from_=from_, how=how)

    def retries(
        self,
        *,
        to: str,
        attempts: int,
        from_: str | Sequence[str] | None = None,
        perTryTimeout: str | None = None,
        retryOn: str | None = None,
        retryRemoteLocalities: bool | None = None,
    ) -> FaultByHand:
        """Clients retry otherwise.

        ``to``: the service whose clients retry otherwise: ratings, ratings.bookinfo, ratings:9080.
        ``attempts``: how many retries at most; 0: none.
        ``from_``: only these workloads.
        ``perTryTimeout`` ('250ms'): when an attempt is given up.
        ``retryOn``: Istio's retryOn: 5xx,reset.
        ``retryRemoteLocalities``: Istio's retryRemoteLocalities.

        Raises UserError for values that mean nothing; entering and leaving raise what ``FaultByHand`` says.
        """
        return self._made(
            "retries",
            to=to,
            attempts=attempts,
            from_=from_,
            perTryTimeout=perTryTimeout,
            retryOn=retryOn,
            retryRemoteLocalities=retryRemoteLocalities,
        )

    def timeout(self, *, to: str, timeout: str, from_: str | Sequence[str] | None = None) -> FaultByHand:
        """Clients give up at another time.

        ``to``: the service whose clients wait otherwise: ratings, ratings.bookinfo, ratings:9080.
        ``timeout`` ('250ms'): when a request is given up, retries included; 0s: never.
        ``from_``: only these workloads.

        Raises UserError for values that mean nothing; entering and leaving raise what ``FaultByHand`` says.
        """
        return self._made("timeout", to=to, timeout=timeout, from_=from_)

    def trafficShift(self, *, to: str, weights: Mapping[str, int]) -> FaultByHand:
        """Requests go to subsets by other weights.

        ``to``: the service whose requests are shifted: reviews, reviews.bookinfo, reviews:9080.
        ``weights``: subset of a DestinationRule -> its part of 100.

        Raises UserError for values that mean nothing; entering and leaving raise what ``FaultByHand`` says.
        """
        return self._made("trafficShift", to=to, weights=weights)
