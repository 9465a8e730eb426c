"""Kinds for tests of the reader: shaped like the real ones, so that those may change their words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from meshchaos.experiment.fields import (
    GrpcStatus,
    HttpMatch,
    HttpStatus,
    OneOrMany,
    Percentage,
    PositiveDuration,
    Replicas,
    Rest,
    Share,
    StatusRange,
    Text,
    spec,
)
from meshchaos.experiment.model import SpecKind, Vocabulary

GOOD = """\
apiVersion: meshchaos.dev/v1
kind: Experiment
metadata: {name: slow-ratings, labels: {tier: web}}
spec:
  hypothesis: The page stays fast.
  mesh: bookinfo
  load:
    target: http://bookinfo.example/productpage
    from: gateway
    rate: 200
    arrivals: poisson
    timeout: 10s
  phases: {warmup: 2s, baseline: 10s, fault: 60s, recovery: 20s}
  faults:
    - delay: {to: ratings, fixedDelay: 2s, percentage: 50}
  expect:
    - success: 99.5%
    - latency: {p99: 800ms}
    - recovery: {within: 10s}
  stopIf: {success: {below: 50%}}
  confidence: 95%
  deadlines: {live: 30s}
  overrides:
    staging: {load: {rate: 20}}
"""


@spec
class DelaySpec:
    to: Text
    fixed_delay: PositiveDuration
    from_: OneOrMany[Text] = ()
    percentage: Percentage = 100.0
    match: HttpMatch | None = None
    at: Literal["server", "client"] | None = None
    replicas: Replicas | None = None


@spec
class AbortSpec:
    to: Text
    http_status: HttpStatus | None = None
    grpc_status: GrpcStatus | None = None

    def check(self) -> None:
        if (self.http_status is None) == (self.grpc_status is None):
            raise ValueError("needs httpStatus or grpcStatus, one of the two")


@spec
class SuccessSpec:
    at_least: Share
    good_status: OneOrMany[StatusRange] = ()


@spec
class LatencySpec:
    quantiles: Annotated[Mapping[str, PositiveDuration], Rest(r"p\d{1,2}(\.\d+)?", "p50, p99, p99.9")]


@spec
class RecoverySpec:
    within: PositiveDuration


@spec
class InjectedSpec:
    share: Share


VOCABULARY = Vocabulary(
    faults={"delay": SpecKind("delay", DelaySpec), "abort": SpecKind("abort", AbortSpec)},
    checks={
        "success": SpecKind("success", SuccessSpec, scalar="atLeast"),
        "latency": SpecKind("latency", LatencySpec),
        "recovery": SpecKind("recovery", RecoverySpec, scalar="within"),
        "injected": SpecKind("injected", InjectedSpec),
    },
)
