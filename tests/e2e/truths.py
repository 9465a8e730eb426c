"""Meshes about which the truth is known: for each kind of expectation one where it truly holds, and one where what it
is about is truly broken, and only that. The tests run some of them once; ``make prove`` runs all, many times.
"""

from __future__ import annotations

from dataclasses import dataclass

from tests.e2e.stage import Stage

FILE = "truth.chaos.yaml"
KINDS = (
    *("success", "latency", "retries", "timeout", "circuitBreaker", "ejection", "canary", "recovery"),
    *("denied", "allowed", "mutualTLS", "alert", "prometheus"),
)

ROUTE = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: stars, namespace: shop}}
spec:
  hosts: [stars]
  http: [{{route: [{{destination: {{host: stars}}}}], {policy}}}]
"""
RULE = """\
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: stars, namespace: shop}}
spec: {{host: stars, trafficPolicy: {{{policy}}}}}
"""
SECOND = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: stars-v2, namespace: shop}
spec:
  replicas: 2
  selector: {matchLabels: {app: stars, version: v2}}
  template:
    metadata: {labels: {app: stars, version: v2}}
    spec: {serviceAccountName: stars, containers: [{name: stars, image: stars, ports: [{containerPort: 8000}]}]}
"""
GUEST = """\
apiVersion: v1
kind: ServiceAccount
metadata: {name: guest, namespace: shop}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: guest, namespace: shop}
spec:
  selector: {matchLabels: {app: guest}}
  template:
    metadata: {labels: {app: guest}}
    spec: {serviceAccountName: guest, containers: [{name: guest, image: guest}]}
"""
PEERS = """\
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {{name: default, namespace: shop}}
spec: {{mtls: {{mode: {mode}}}}}
"""
ALLOWED = """\
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {{name: stars, namespace: shop}}
spec:
  selector: {{matchLabels: {{app: stars}}}}
  rules: [{{from: [{{source: {{principals: [cluster.local/ns/shop/sa/{who}]}}}}]}}{more}]
"""


@dataclass(frozen=True)
class Truth:
    """``mesh``: what makes it true, in words. ``objects`` come beside the shop's own; ``load`` are its fields, none for
    probes only; without ``faults`` there is one phase. ``resets``: the mesh remembers a run, and has to be made to
    forget it. ``asks``: a Prometheus.
    """

    kind: str
    holds: bool
    mesh: str
    objects: str
    faults: str
    expect: str
    load: str = 'target: "http://shop.example/"'
    rate: int = 60
    warmup: str = "500ms"
    baseline: str = "500ms"
    fault: str = "2s"
    recovery: str = "500ms"
    resets: bool = False
    asks: bool = False

    @property
    def name(self) -> str:
        return f"{self.kind} {'hold' if self.holds else 'broken'}"

    @property
    def verdict(self) -> str:
        return "PASS" if self.holds else "FAIL"

    def set_up(self, stage: Stage) -> None:
        """Into a working folder without a mesh."""
        stage.add_objects(self.objects)
        stage.write(self.experiment(), FILE)

    def experiment(self) -> str:
        load = f"  load: {{{self.load}, rate: {self.rate}, arrivals: uniform, timeout: 3s}}\n" if self.load else ""
        phases = f"warmup: {self.warmup}, baseline: {self.baseline}, fault: {self.fault}, recovery: {self.recovery}"
        if not self.faults:
            phases = f"warmup: {self.warmup}, observe: {self.fault}"
        faults = f"  faults: [{{{self.faults}}}]\n" if self.faults else ""
        return (
            "apiVersion: meshchaos.dev/v1\n"
            "kind: Experiment\n"
            f"metadata: {{name: {self.name.replace(' ', '-').lower()}}}\n"
            "spec:\n"
            f"{load}"
            f"  phases: {{{phases}}}\n"
            f"{faults}"
            f"  expect: [{{{self.expect}}}]\n"
        )

    def forget(self, stage: Stage) -> None:
        """Makes the mesh forget the last run: a DestinationRule that changes ends its clusters' ejections."""
        stage.on_mesh(
            "found = mesh.get(Ref('DestinationRule', 'shop', 'stars'))\n"
            "pool = found['spec']['trafficPolicy'].setdefault('connectionPool', {}).setdefault('tcp', {})\n"
            "pool['connectTimeout'] = '6s' if pool.get('connectTimeout') == '5s' else '5s'\n"
            "mesh.replace(found)\n"
        )


SAVING = ROUTE.format(policy="retries: {attempts: 5, retryOn: 5xx}")
WITHOUT = ROUTE.format(policy="retries: {attempts: 0}")
DIRECT = 'target: "http://stars:8000/", from: page'


def _two(
    kind: str, holds: tuple[str, str, str], broken: tuple[str, str, str], expect: str, **more: object
) -> list[Truth]:
    """A mesh where it holds and one where it does not: (in words, objects, faults)."""
    return [
        Truth(kind, truth, mesh, objects, faults, expect, **more)  # type: ignore[arg-type]
        for truth, (mesh, objects, faults) in ((True, holds), (False, broken))
    ]


def _retried(kind: str, faults: str, expect: str, **more: object) -> list[Truth]:
    return _two(kind, ("5 retries on 5xx", SAVING, faults), ("retries off", WITHOUT, faults), expect, **more)


def _outliers(policy: str) -> str:
    return RULE.format(policy=f"outlierDetection: {{consecutive5xxErrors: 3, interval: 500ms, {policy}}}")


_FEW = "abort: {to: stars, httpStatus: 503, percentage: 25}"
_SLOW = "delay: {to: stars, fixedDelay: 1s, percentage: 50}"
_BUSY = "delay: {to: stars, fixedDelay: 100ms}"
_SICK = "abort: {to: stars, httpStatus: 503, replicas: 1}"
_GONE = "abort: {to: stars, httpStatus: 503}"
_HALF = "abort: {to: stars, httpStatus: 503, percentage: 50}"

EDGES = [
    *_retried(
        "retries", _FEW, "retries: {from: page, to: stars, recovered: 90%, amplification: 2}", rate=100, fault="2500ms"
    ),
    *_two(
        "timeout",
        ("a timeout of 200 ms", ROUTE.format(policy="timeout: 200ms"), _SLOW),
        ("a timeout of 2 s", ROUTE.format(policy="timeout: 2s"), _SLOW),
        "timeout: {from: page, to: stars, after: 200ms, tolerance: 100ms}",
    ),
    *_two(
        "circuitBreaker",
        (
            "at most 3 requests",
            RULE.format(policy="connectionPool: {http: {http2MaxRequests: 3, http1MaxPendingRequests: 1}}"),
            _BUSY,
        ),
        ("at most 300 requests", RULE.format(policy="connectionPool: {http: {http2MaxRequests: 300}}"), _BUSY),
        "circuitBreaker: {from: page, to: stars, inFlight: 3, admitted: {success: 90%, latency: {p90: 1s}}}",
        rate=80,
        fault="3s",
    ),
    *_two(
        "canary",
        ("a canary 1 ms slower", SECOND, "delay: {to: stars, workload: stars-v2, fixedDelay: 1ms}"),
        ("a canary that always fails", SECOND, "abort: {to: stars, workload: stars-v2, httpStatus: 500}"),
        "canary: {to: stars, from: page, baseline: stars, canary: stars-v2, errorRatio: 2, negligible: 10%, "
        "errorBudget: 12%}",
        rate=80,
        fault="3s",
    ),
    *_two(
        "ejection",
        ("maxEjectionPercent 100", _outliers("baseEjectionTime: 3s, maxEjectionPercent: 100"), _SICK),
        ("maxEjectionPercent 10", _outliers("baseEjectionTime: 3s, maxEjectionPercent: 10"), _SICK),
        "ejection: {from: page, to: stars, within: 2500ms, returns: 4s}",
        fault="3s",
        recovery="4500ms",
        resets=True,
    ),
    *_two(
        "recovery",
        ("no outlier detection", RULE.format(policy="connectionPool: {tcp: {connectTimeout: 5s}}"), _GONE),
        (
            "every replica ejected for a minute",
            _outliers("baseEjectionTime: 60s, maxEjectionPercent: 100"),
            _GONE,
        ),
        "success: {atLeast: 90%, during: baseline}}, {recovery: {within: 500ms}",
        load=DIRECT,
        rate=80,
        recovery="1500ms",
        baseline="1s",
        resets=True,
    ),
]
"""Judged by the proxies at both ends, and by what happens after the fault."""

POLICIES = [
    *_two(
        "denied",
        ("nobody but the page is let in", f"{GUEST}---\n{ALLOWED.format(who='page', more='')}", ""),
        (
            "one path is open to everybody",
            f"{GUEST}---\n{ALLOWED.format(who='page', more=', {to: [{operation: {paths: [/admin]}}]}')}",
            "",
        ),
        "denied: {from: guest, to: stars, paths: [/, /admin]}",
        load="",
        fault="6s",
    ),
    *_two(
        "allowed",
        ("the page is let in", ALLOWED.format(who="page", more=""), ""),
        ("a slip in the page's name", ALLOWED.format(who="paeg", more=""), ""),
        "allowed: {from: page, to: stars}",
        load="",
        fault="6s",
    ),
    *_two(
        "mutualTLS",
        ("STRICT", PEERS.format(mode="STRICT"), _HALF),
        ("PERMISSIVE: the port takes plaintext", PEERS.format(mode="PERMISSIVE"), _HALF),
        "mutualTLS: {to: stars, from: page}",
        baseline="2500ms",
        fault="3s",
        recovery="2500ms",
    ),
]
"""Judged by calls made for real."""

OTHERS = [
    *_retried("success", _FEW, "success: 90%", load=DIRECT, rate=150),
    *_two(
        "latency",
        ("a timeout of 200 ms", ROUTE.format(policy="timeout: 200ms"), _SLOW),
        ("no timeout", WITHOUT, _SLOW),
        "latency: {p80: 600ms}",
        rate=100,
    ),
    *_two(
        "alert",
        ("retries off: the failures are seen", WITHOUT, _HALF),
        ("5 retries hide the failures from the alert", SAVING, _HALF),
        "alert: {name: StarsGone, within: 5s, settle: 1s}",
        fault="5s",
        asks=True,
    ),
    *_retried(
        "prometheus",
        _HALF,
        'prometheus: {query: \'sum(rate(istio_requests_total{reporter="source",destination_service_name="stars",'
        'response_code="200"}[$phase]))\', atLeast: 45, settle: 1s}',
        fault="5s",
        asks=True,
    ),
]

TRUTHS = tuple(sorted([*EDGES, *POLICIES, *OTHERS], key=lambda truth: (KINDS.index(truth.kind), not truth.holds)))
