"""What the local mesh takes, and what it says of the rest."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import yaml

from meshchaos.errors import Refused
from meshchaos.mesh.local.objects.kinds import REFUSED, REGISTRY
from meshchaos.mesh.local.objects.validate import admit, check, problems

GOOD = {
    "VirtualService": """
        hosts: [reviews, "*.example.com"]
        gateways: [mesh, shop/ingress]
        exportTo: [., other]
        http:
          - name: everything
            match:
              - name: tester
                uri: {prefix: /reviews}
                scheme: {exact: http}
                method: {regex: GET|HEAD}
                authority: {prefix: reviews}
                headers: {end-user: {exact: jason}, x-there: {}, x-any: {regex: "*"}}
                withoutHeaders: {x-not: {regex: "*"}}
                queryParams: {q: {exact: "1"}}
                port: 9080
                sourceLabels: {app: page}
                sourceNamespace: shop
                gateways: [mesh]
                ignoreUriCase: true
                statPrefix: reviews
            route:
              - destination: {host: reviews, subset: v1, port: {number: 9080}}
                weight: 90
                headers: {request: {set: {x-a: "%START_TIME%"}, remove: [x-b]}}
              - destination: {host: reviews, subset: v2}
                weight: 10
            timeout: 1m30s
            retries: {attempts: 3, perTryTimeout: 1.5s, retryOn: "5xx,reset,503", backoff: 25ms,
                      retryRemoteLocalities: true, retryIgnorePreviousHosts: false}
            fault:
              delay: {fixedDelay: 2s, percentage: {value: 0.5}}
              abort: {grpcStatus: UNAVAILABLE, percentage: {value: 100.0}}
            rewrite: {uriRegexRewrite: {match: "^/a/(.*)", rewrite: '/b/\\1'}, authority: other}
            mirrors: [{destination: {host: shadow}, percentage: {value: 5}}]
            corsPolicy: {allowOrigins: [{exact: "*"}], allowMethods: [GET], maxAge: 24h, allowCredentials: false}
            headers: {response: {add: {x-done: "100%%"}}}
          - match: [{uri: {prefix: /old}}]
            redirect: {prefixRewrite: /new, redirectCode: 308, derivePort: FROM_REQUEST_PORT}
          - directResponse: {status: 503, body: {string: closed}}
    """,
    "DestinationRule": """
        host: reviews.shop.svc.cluster.local
        workloadSelector: {matchLabels: {app: page}}
        trafficPolicy:
          loadBalancer: {simple: ROUND_ROBIN, warmup: {duration: 30s, minimumPercent: 10, aggression: 1.5}}
          connectionPool:
            tcp: {maxConnections: 10, connectTimeout: 30ms, idleTimeout: 0s, tcpKeepalive: {probes: 3, time: 2h}}
            http: {http1MaxPendingRequests: 1, http2MaxRequests: 10, maxRequestsPerConnection: 1, maxRetries: 3,
                   idleTimeout: 10s, h2UpgradePolicy: UPGRADE, maxConcurrentStreams: 5}
          outlierDetection: {consecutive5xxErrors: 3, consecutiveGatewayErrors: 0, interval: 1s,
                             baseEjectionTime: 15s, maxEjectionPercent: 100, minHealthPercent: 0,
                             splitExternalLocalOriginErrors: true, consecutiveLocalOriginFailures: 2}
          tls: {mode: ISTIO_MUTUAL}
          retryBudget: {percent: {value: 20}, minRetryConcurrency: 3}
          portLevelSettings:
            - port: {number: 9080}
              loadBalancer: {consistentHash: {httpCookie: {name: c, ttl: 0s}, maglev: {tableSize: 1009}}}
        subsets:
          - {name: v1, labels: {version: v1}, trafficPolicy: {loadBalancer: {simple: RANDOM}}}
    """,
    "Gateway": """
        selector: {istio: ingressgateway}
        servers:
          - port: {number: 80, name: http, protocol: HTTP}
            hosts: ["*", "shop/*.example.com", "./a.example.com"]
            tls: {httpsRedirect: true}
          - port: {number: 8080, name: http2, protocol: http2}
            hosts: [b.example.com]
          - port: {number: 443, name: https, protocol: HTTPS}
            hosts: [b.example.com]
            tls: {mode: SIMPLE, credentialName: b-cert, minProtocolVersion: TLSV1_3}
    """,
    "ServiceEntry": """
        hosts: [api.example.com, "*.partners.example"]
        addresses: [198.18.0.9]
        location: MESH_INTERNAL
        resolution: STATIC
        exportTo: [., other]
        subjectAltNames: ["spiffe://cluster.local/ns/shop/sa/api"]
        ports:
          - {number: 80, name: http, protocol: HTTP, targetPort: 8080}
          - {number: 9000, name: grpc, protocol: grpc}
          - {number: 5432, name: db, protocol: TCP}
          - {number: 7000, name: sniffed}
        endpoints:
          - {address: 127.0.0.1, ports: {http: 9999}, labels: {version: v1}, weight: 3, locality: eu/eu-1/a,
             serviceAccount: api}
          - {address: 198.19.255.1}
    """,
    "EnvoyFilter": """
        workloadSelector: {labels: {app: ratings}}
        configPatches:
          - applyTo: HTTP_ROUTE
            match:
              context: SIDECAR_INBOUND
              routeConfiguration: {name: "inbound|9080||", portNumber: 9080,
                                   vhost: {name: "inbound|http|9080", route: {name: default, action: ROUTE}}}
            patch:
              operation: MERGE
              value:
                typed_per_filter_config:
                  envoy.filters.http.fault:
                    "@type": type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault
                    abort: {http_status: 503, percentage: {numerator: 1000000, denominator: MILLION}}
    """,
    "AuthorizationPolicy": """
        selector: {matchLabels: {app: reviews}}
        action: DENY
        rules:
          - from:
              - source: {principals: ["cluster.local/ns/shop/sa/page"], namespaces: [shop],
                         ipBlocks: [10.0.0.0/8, 1.2.3.4], remoteIpBlocks: ["2001:db8::/32"],
                         requestPrincipals: ["*"], trustDomains: ["*.local"]}
              - source: {serviceAccounts: [page, bank/teller]}
            to:
              - operation: {hosts: ["*.example.com"], ports: ["9080"], methods: [GET],
                            paths: [/a, "/b*", "/c/{*}/{**}"]}
            when:
              - {key: "request.headers[x-a]", values: ["1*"], notValues: ["12"]}
              - {key: "request.auth.claims[a][b]", values: [c]}
          - {}
    """,
    "PeerAuthentication": """
        selector: {matchLabels: {app: reviews}}
        mtls: {mode: STRICT}
        portLevelMtls: {"9080": {mode: DISABLE}, "9090": {mode: UNSET}}
    """,
    "Telemetry": """
        selector: {matchLabels: {app: reviews}}
        accessLogging:
          - match: {mode: SERVER}
            providers: [{name: envoy}]
            disabled: false
            filter: {expression: response.code >= 500}
        metrics: [{providers: [{name: prometheus}]}]
    """,
    "RequestAuthentication": """
        selector: {matchLabels: {app: reviews}}
        jwtRules:
          - issuer: https://issuer.example
            audiences: [shop]
            jwks: '{"keys": [{"kty": "oct"}]}'
            fromHeaders: [{name: x-token, prefix: "Own "}]
            fromParams: [token]
            fromCookies: [session]
            outputPayloadToHeader: x-payload
            outputClaimToHeaders: [{header: x-group, claim: nested.group}]
            forwardOriginalToken: true
            spaceDelimitedClaims: [roles]
          - {jwksUri: "https://issuer.example/keys", timeout: 3s}
    """,
    "Service": """
        selector: {app: reviews}
        type: NodePort
        clusterIP: 10.0.0.3
        ports:
          - {name: http, port: 80, targetPort: web, nodePort: 30080}
          - {name: grpc, port: 90, appProtocol: grpc}
    """,
    "Deployment": """
        replicas: 2
        strategy: {rollingUpdate: {maxSurge: 1}}
        selector: {matchLabels: {app: reviews}, matchExpressions: [{key: version, operator: In, values: [v1]}]}
        template:
          metadata:
            labels: {app: reviews, version: v1}
            annotations: {prometheus.io/port: "9080", sidecar.istio.io/inject: "true"}
            creationTimestamp: null
          spec:
            serviceAccount: reviews
            securityContext: {runAsUser: 1000}
            volumes: [{name: tmp, emptyDir: null}]
            containers:
              - name: reviews
                image: reviews:1
                env: [{name: LOG_DIR, value: /tmp}]
                readinessProbe: {httpGet: {path: /, port: 9080}}
                resources: {limits: {cpu: "1"}}
                ports: [{name: web, containerPort: 9080}, {containerPort: 53, protocol: UDP}]
    """,
}


def an_object(kind: str, spec: Any = None) -> dict[str, Any]:
    body = copy.deepcopy(spec) if spec is not None else yaml.safe_load(GOOD[kind])
    return {
        "apiVersion": REGISTRY[kind].versions[0],
        "kind": kind,
        "metadata": {"name": "reviews", "namespace": "shop"},
        "spec": body,
    }


def set_at(manifest: dict[str, Any], path: str, value: Any) -> None:
    *parents, last = [int(step) if step.isdigit() else step for step in path.split("/")]
    node: Any = manifest
    for step in parents:
        node = node[step]
    if value is ...:
        del node[last]
    else:
        node[last] = value


@pytest.mark.parametrize("kind", GOOD)
def test_all_that_is_built_is_taken_and_kept(kind: str) -> None:
    manifest = an_object(kind)
    assert problems(manifest) == []
    stored = admit(manifest)
    assert admit(stored) == stored, "admission is not stable"
    for key, value in manifest["spec"].items():
        if kind not in {"Service", "Deployment"}:
            assert stored["spec"][key] == value


@pytest.mark.parametrize("version", ["networking.istio.io/v1beta1", "networking.istio.io/v1alpha3"])
def test_older_versions_of_istio_are_taken(version: str) -> None:
    assert problems({**an_object("VirtualService"), "apiVersion": version}) == []


BAD = [
    ("VirtualService", "spec/http/0/retrys", {}, "spec.http[0].retrys: unknown field; did you mean retries?"),
    ("VirtualService", "spec/http/0/timeout", "2", "'2' is not a duration; write a number with its unit"),
    ("VirtualService", "spec/http/0/timeout", 2, "spec.http[0].timeout: must be a text, is the number 2; put it in"),
    ("VirtualService", "spec/http/0/timeout", "0s", "spec.http[0].timeout: must be at least 1ms"),
    ("VirtualService", "spec/http/0/timeout", "1.5ms", "must be in whole milliseconds"),
    ("VirtualService", "spec/http/0/timeout", None, "spec.http[0].timeout: must be a text, is empty"),
    ("VirtualService", "spec/http/0/retries/attempts", -1, "spec.http[0].retries.attempts: must be from 0"),
    ("VirtualService", "spec/http/0/retries/attempts", ..., "note that attempts left out is 0"),
    (
        "VirtualService",
        "spec/http/0/retries/retryOn",
        "5xx, reset",
        "' reset' is not a retry policy; no blanks between",
    ),
    ("VirtualService", "spec/http/0/retries/retryOn", "5xxx", "'5xxx' is not a retry policy; did you mean 5xx?"),
    ("VirtualService", "spec/http/0/retries/retryOn", "599", "'599' is not a retry policy"),
    ("VirtualService", "spec/http/0/fault/delay/percentage/value", 100.1, "must be 0, or from 0.0001 to 100"),
    ("VirtualService", "spec/http/0/fault/delay/percentage/value", "50%", "is the text '50%'; write a plain number"),
    ("VirtualService", "spec/http/0/fault/delay/percentage", 50, "percentage: must be a mapping, is the number 50"),
    ("VirtualService", "spec/http/0/fault/abort", {"httpStatus": 600}, "abort.httpStatus: must be from 200 to 599"),
    ("VirtualService", "spec/http/0/fault/abort", {}, "spec.http[0].fault.abort: needs httpStatus or grpcStatus"),
    ("VirtualService", "spec/http/0/fault/abort/grpcStatus", "DOWN", "'DOWN' is not a gRPC status"),
    ("VirtualService", "spec/http/0/fault", {}, "spec.http[0].fault: needs delay or abort"),
    ("VirtualService", "spec/http/0/route", [], "spec.http[0]: needs route, redirect or directResponse"),
    ("VirtualService", "spec/http/0/route/0/destination/host", "*", "must name a host, not *"),
    (
        "VirtualService",
        "spec/http/0/route/0/destination/port/number",
        "9080",
        "whole number, is the text '9080'; leave the",
    ),
    ("VirtualService", "spec/http/0/route/0/weight", -5, "weight: must be from 0"),
    ("VirtualService", "spec/http/0/redirect", {"uri": "/"}, "fault may not be given together with redirect"),
    ("VirtualService", "spec/http/1/redirect/redirectCode", 304, "must be 301, 302, 303, 307 or 308"),
    ("VirtualService", "spec/http/1/match/0/uri", {"exact": "/a"}, "prefixRewrite needs uri matches by prefix"),
    ("VirtualService", "spec/http/2/directResponse/status", 199, "must be an HTTP status from 200 to 599"),
    ("VirtualService", "spec/http/0/rewrite/uri", "/x", "only one of uri and uriRegexRewrite may be given"),
    ("VirtualService", "spec/http/0/headers/request", {"set": {"host": "x"}}, "the authority may be set once only"),
    ("VirtualService", "spec/http/0/headers/response", {"remove": [":path"]}, "':path' cannot be changed"),
    ("VirtualService", "spec/http/0/headers/response", {"set": {"a": "5%"}}, "a % sign must be written %%"),
    ("VirtualService", "spec/http/0/mirror", {"host": "x"}, "only one of mirror and mirrors may be given"),
    ("VirtualService", "spec/http/0/delegate", {"name": "x"}, "delegation is not supported by the local mesh"),
    ("VirtualService", "spec/http/0/match/0/uri", {"prefx": "/a"}, "uri.prefx: unknown field; did you mean prefix?"),
    ("VirtualService", "spec/http/0/match/0/uri/regex", "/a.*", "only one of prefix and regex may be given"),
    ("VirtualService", "spec/http/0/match/0/method/regex", "(", "'(' is not a regular expression"),
    (
        "VirtualService",
        "spec/http/0/match/0/method/regex",
        "(?=a)",
        "(?=a is not in RE2 (no look-around",
    ),
    ("VirtualService", "spec/http/0/match/0/headers/end-user", {"exact": True}, "must be a text, is true; put it in"),
    ("VirtualService", "spec/http/0/match/0/headers", {"a b": {}}, "'a b' is not a header name"),
    ("VirtualService", "spec/http/0/match/0/gateways", ["a/b/c"], "must be a gateway's name or namespace/name"),
    ("VirtualService", "spec/http/0/corsPolicy/maxAge", "1500ms", "must be in whole seconds"),
    ("VirtualService", "spec/http/0/corsPolicy/allowMethods", ["get"], "is the text 'get'; did you mean GET?"),
    ("VirtualService", "spec/hosts", [], "spec.hosts: must not be empty"),
    ("VirtualService", "spec/hosts", ["a_b"], "'a_b' is not a host name"),
    ("VirtualService", "spec/hosts", ["*.com", "a.com"], "the hosts *.com and a.com overlap"),
    ("VirtualService", "spec/tcp", [{}], "spec.tcp: TCP routes are not supported by the local mesh yet"),
    ("VirtualService", "spec/tls", [{}], "spec.tls: TLS routes are not supported by the local mesh yet"),
    ("VirtualService", "spec/http", ..., "spec.http: is required"),
    ("VirtualService", "spec/exportTo", ["*", "."], "* already means every namespace"),
    ("VirtualService", "spec", ..., "spec: is required"),
    ("VirtualService", "apiVersion", "networking.istio.io/v2", "write networking.istio.io/v1"),
    ("VirtualService", "metadata/name", "Reviews", "'Reviews' must be lower-case letters"),
    ("VirtualService", "metadata/label", {}, "metadata.label: unknown field; did you mean labels?"),
    ("VirtualService", "extra", {}, "extra: unknown field"),
    ("DestinationRule", "spec/trafficPolicy", {}, "spec.trafficPolicy: needs "),
    ("DestinationRule", "spec/trafficPolicy/tls/mode", "SIMPLE", "mode: SIMPLE is not supported by the local mesh"),
    ("DestinationRule", "spec/trafficPolicy/outlierDetection/maxEjectionPercent", 101, "must be from 0 to 100, is 101"),
    ("DestinationRule", "spec/trafficPolicy/outlierDetection/interval", "1us", "must be at least 1ms"),
    ("DestinationRule", "spec/trafficPolicy/outlierDetection/splitExternalLocalOriginErrors", False, "needs split"),
    (
        "DestinationRule",
        "spec/trafficPolicy/connectionPool/http/useClientProtocol",
        True,
        "with h2UpgradePolicy UPGRADE",
    ),
    ("DestinationRule", "spec/trafficPolicy/connectionPool", {}, "connectionPool: needs tcp or http"),
    ("DestinationRule", "spec/trafficPolicy/loadBalancer/simple", "PASSTHROUGH", "PASSTHROUGH is not supported"),
    ("DestinationRule", "spec/trafficPolicy/loadBalancer/localityLbSetting", {}, "the local mesh has one locality"),
    (
        "DestinationRule",
        "spec/trafficPolicy/portLevelSettings/0/loadBalancer/consistentHash/maglev/tableSize",
        1000,
        "prime",
    ),
    ("DestinationRule", "spec/subsets/0/name", "V1", "'V1' must be lower-case"),
    ("DestinationRule", "spec/subsets", [{"name": "a"}, {"name": "a"}], "two elements have the name 'a'"),
    ("DestinationRule", "spec/exportTo", ["*"], "exportTo may only be [.]"),
    ("Gateway", "spec/servers/0/port/protocol", "TLS", "TLS servers are not supported by the local mesh yet"),
    (
        "Gateway",
        "spec/servers/1/port/protocol",
        "HTTPS",
        "an HTTPS server needs tls: {mode: SIMPLE, ",
    ),
    ("Gateway", "spec/servers/0/port/protocol", "HTP", "did you mean HTTP?"),
    ("Gateway", "spec/servers/0/tls", {"mode": "SIMPLE"}, "speaks plain HTTP takes nothing of tls but httpsRedirect"),
    ("Gateway", "spec/servers/2/tls/mode", "MUTUAL", "only SIMPLE is supported by the local mesh"),
    ("Gateway", "spec/servers/2/tls", {"mode": "SIMPLE"}, "tls needs a credentialName, or a serverCertificate and a"),
    ("Gateway", "spec/servers/2/tls/httpsRedirect", True, "httpsRedirect is for the server that speaks plain HTTP"),
    ("Gateway", "spec/servers/2/tls/minProtocolVersion", "TLSV1_4", "TLSV1_4"),
    ("Gateway", "spec/servers/1/port/name", "http", "two servers have the port name http"),
    ("Gateway", "spec/servers", [], "spec.servers: must not be empty"),
    (
        "ServiceEntry",
        "spec/resolution",
        "DNS",
        "DNS is not supported by the local mesh, which asks no DNS; write STATIC",
    ),
    (
        "ServiceEntry",
        "spec/resolution",
        "NONE",
        "NONE needs captured traffic, which the local mesh has not; write STATIC",
    ),
    ("ServiceEntry", "spec/resolution", ..., "resolution left out is NONE, which the local mesh has not; write STATIC"),
    ("ServiceEntry", "spec/resolution", "STATICS", "did you mean STATIC?"),
    ("ServiceEntry", "spec/hosts", ["*"], "must name a host, not *; *.example.com is one"),
    ("ServiceEntry", "spec/hosts", [], "spec.hosts: must not be empty"),
    ("ServiceEntry", "spec/addresses/0", "10.0.0.0/8", "ranges of addresses are not supported by the local mesh"),
    ("ServiceEntry", "spec/addresses/0", "there", "'there' must be an IPv4 address"),
    ("ServiceEntry", "spec/ports/0/protocol", "HTPP", "is the text 'HTPP'; did you mean HTTP?"),
    ("ServiceEntry", "spec/ports/0/protocol", "UDP", "only TCP is supported by the local mesh"),
    ("ServiceEntry", "spec/ports/1/number", 80, "two elements have the number 80"),
    (
        "ServiceEntry",
        "spec/endpoints/0/ports",
        {"https": 1},
        "an endpoint has the port 'https', the entry has http, gr",
    ),
    ("ServiceEntry", "spec/endpoints/0/address", "api.example", "must be an IPv4 address: with STATIC nobody looks a"),
    ("ServiceEntry", "spec/endpoints/0/address", "unix:///x", "Unix sockets are not supported by the local mesh"),
    ("ServiceEntry", "spec/endpoints/0/network", "a", "network: the local mesh is one network"),
    (
        "ServiceEntry",
        "spec/workloadSelector",
        {"labels": {"a": "b"}},
        "only one of workloadSelector and endpoints may be given",
    ),
    ("ServiceEntry", "spec/location", "INTERNAL", "did you mean MESH_INTERNAL?"),
    (
        "EnvoyFilter",
        "spec/configPatches/0/applyTo",
        "HTTP_FILTER",
        "takes only applyTo HTTP_ROUTE, context SIDECAR_INBOUND",
    ),
    ("EnvoyFilter", "spec/configPatches/0/match/context", "GATEWAY", "takes only applyTo HTTP_ROUTE"),
    ("EnvoyFilter", "spec/configPatches/0/patch/operation", "REPLACE", "takes only applyTo HTTP_ROUTE"),
    (
        "EnvoyFilter",
        "spec/configPatches/0/patch/value/typed_per_filter_config",
        {"envoy.filters.http.lua": {}},
        "no such filter",
    ),
    ("EnvoyFilter", "spec/priority", 1, "spec.priority: not supported by the local mesh"),
    (
        "AuthorizationPolicy",
        "spec/targetRefs",
        [{}],
        "spec.targetRefs: is for gateways of the Gateway API and waypoints",
    ),
    ("AuthorizationPolicy", "spec/action", "BLOCK", "must be one of ALLOW, DENY, AUDIT, CUSTOM, is the text 'BLOCK'"),
    ("AuthorizationPolicy", "spec/rules", ..., "DENY without rules never matches; write rules: [{}]"),
    ("AuthorizationPolicy", "spec/rules/1", None, "spec.rules[1]: must be a mapping, is empty"),
    ("AuthorizationPolicy", "spec/rules/0/from", [], "spec.rules[0].from: must not be empty"),
    ("AuthorizationPolicy", "spec/rules/0/from/0/source", {}, "from[0].source: must not be empty"),
    ("AuthorizationPolicy", "spec/rules/0/from/0/source", {"users": ["a"]}, "source.users: unknown field"),
    ("AuthorizationPolicy", "spec/rules/0/from/0/source/ipBlocks", ["10.0.0.0/33"], "'10.0.0.0/33' is not an address"),
    ("AuthorizationPolicy", "spec/rules/0/from/0/source/principals", [""], "principals[0]: must not be empty"),
    ("AuthorizationPolicy", "spec/rules/0/from/1/source/namespaces", ["a"], "not be given together with namespaces"),
    ("AuthorizationPolicy", "spec/rules/0/from/1/source/serviceAccounts", ["a/b/c"], "account or namespace/account"),
    ("AuthorizationPolicy", "spec/rules/0/from/1/source/serviceAccounts", ["a*"], "takes no wildcards"),
    ("AuthorizationPolicy", "spec/rules/0/from/0/source/trustDomains", ["a*b"], "'a*b' is not a trust domain"),
    (
        "AuthorizationPolicy",
        "spec/rules/0/to/0/operation/ports",
        [80],
        "ports[0]: must be a text, is the number 80; put",
    ),
    ("AuthorizationPolicy", "spec/rules/0/to/0/operation/ports", ["http"], "'http' is not a port"),
    ("AuthorizationPolicy", "spec/rules/0/to/0/operation/paths", ["/{**}/{*}"], "{**} must be the last operator"),
    ("AuthorizationPolicy", "spec/rules/0/to/0/operation/paths", ["/{id}"], "only in a segment {*} or {**} of its own"),
    ("AuthorizationPolicy", "spec/rules/0/to/0/operation/paths", ["/{*}/a*"], "'a*' cannot stand in a template"),
    ("AuthorizationPolicy", "spec/rules/0/when/0/key", "request.header[a]", "did you mean request.headers[name]?"),
    ("AuthorizationPolicy", "spec/rules/0/when/0/key", "request.headers[]", "is not an attribute of Istio's"),
    (
        "AuthorizationPolicy",
        "spec/rules/0/when/0/key",
        "experimental.envoy.filters.network.mysql_proxy[db.t]",
        "not supported by the local mesh: no filter of its proxies leaves such metadata",
    ),
    ("AuthorizationPolicy", "spec/rules/0/when/0", {"key": "source.ip"}, "when[0]: needs values or notValues"),
    ("AuthorizationPolicy", "spec/rules/0/when/0", {"key": "source.ip", "values": ["a"]}, "'a' is not an address"),
    ("AuthorizationPolicy", "spec/action", "CUSTOM", "CUSTOM needs provider.name"),
    ("AuthorizationPolicy", "spec/provider", {"name": "x"}, "provider is for the action CUSTOM only"),
    ("AuthorizationPolicy", "metadata/annotations", {"istio.io/dry-run": "yes"}, "must be 'true' or 'false', is 'yes'"),
    ("PeerAuthentication", "metadata/annotations", {"istio.io/dry-run": "true"}, "dry-run']: not supported"),
    ("PeerAuthentication", "spec/mtls/mode", "strict", "is the text 'strict'; did you mean STRICT?"),
    ("PeerAuthentication", "spec/mtls", "STRICT", "spec.mtls: must be a mapping, is the text 'STRICT'"),
    ("PeerAuthentication", "spec/selector", ..., "portLevelMtls needs a selector"),
    ("PeerAuthentication", "spec/portLevelMtls", {}, "spec.portLevelMtls: must not be empty"),
    ("PeerAuthentication", "spec/portLevelMtls", {"http": {}}, "'http' must be a container port"),
    ("PeerAuthentication", "spec/portLevelMtls", {0: {}}, "0 must be a container port, from 1 to 65535"),
    (
        "PeerAuthentication",
        "spec/selector/labels",
        {},
        "spec.selector.labels: unknown field; did you mean matchLabels?",
    ),
    ("Telemetry", "spec/tracing", [], "spec.tracing: is not supported by the local mesh, which has no tracing backend"),
    ("Telemetry", "spec/metrics/0/overrides", [], "spec.metrics[0].overrides: is not supported by the local mesh: its"),
    ("Telemetry", "spec/metrics/0/providers/0/name", "mine", "the local mesh has one provider of metrics, prometheus"),
    ("Telemetry", "spec/accessLogging/0/providers/0/name", "otel", "the local mesh has one provider of access logs"),
    ("Telemetry", "spec/accessLogging/0/match/mode", "client", "is the text 'client'; did you mean CLIENT?"),
    ("Telemetry", "spec/accessLogging/0/filter", {}, "spec.accessLogging[0].filter.expression: is required"),
    ("Telemetry", "spec/targetRefs", [], "spec.targetRefs: not supported by the local mesh"),
    ("RequestAuthentication", "spec/targetRef", {}, "spec.targetRef: is for gateways of the Gateway API"),
    ("RequestAuthentication", "spec/jwtRules/0/issuer", ..., "spec.jwtRules[0]: needs issuer or jwksUri"),
    ("RequestAuthentication", "spec/jwtRules/0/jwks", "{", "jwks: is not JSON"),
    (
        "RequestAuthentication",
        "spec/jwtRules/0/jwks",
        '{"keys": []}',
        "jwks: holds no key, and Envoy takes no empty set",
    ),
    ("RequestAuthentication", "spec/jwtRules/0/jwks", '{"keys": {}}', "must be a JSON Web Key Set"),
    ("RequestAuthentication", "spec/jwtRules/1/jwksUri", "ftp://x/keys", "must be a URL that begins with http://"),
    ("RequestAuthentication", "spec/jwtRules/1/jwksUri", "http://x:99999/", "is not a URL"),
    ("RequestAuthentication", "spec/jwtRules/0/fromHeaders", [{"prefix": "a"}], "fromHeaders[0].name: is required"),
    ("RequestAuthentication", "spec/jwtRules/0/fromParams", [""], "fromParams[0]: must not be empty"),
    ("RequestAuthentication", "spec/jwtRules/0/outputClaimToHeaders/0/header", "a b", "must be letters, digits, -"),
    ("RequestAuthentication", "spec/jwtRules/0/audience", ["a"], "unknown field; did you mean audiences?"),
    ("RequestAuthentication", "spec/jwtRules/1/timeout", "3", "'3' is not a duration"),
    ("Service", "spec/clusterIP", "None", "headless Services (clusterIP: None) are not supported"),
    ("Service", "spec/type", "ExternalName", "ExternalName Services are not supported"),
    ("Service", "spec/ports/0/name", ..., "with several ports each needs a name"),
    ("Service", "spec/ports/0/protocol", "UDP", "only TCP is supported"),
    ("Service", "spec/selector", ..., "spec.selector: is required"),
    ("Service", "spec/sessionAffinity", "ClientIP", "session affinity is not supported"),
    ("Deployment", "spec/selector", {"matchLabels": {"app": "x"}}, "selector does not match template.metadata.labels"),
    ("Deployment", "spec/replicas", "2", "must be a whole number, is the text '2'; leave the quotes out"),
    ("Deployment", "spec/replica", 2, "spec.replica: unknown field; did you mean replicas?"),
    ("Deployment", "spec/template/spec/hostNetwork", True, "Pods in the node's network"),
    ("Deployment", "spec/template/spec/containers", [], "containers: must not be empty"),
    ("Deployment", "spec/template/spec/containers/0/prots", [], "prots: unknown field; did you mean ports?"),
    ("Deployment", "spec/template/metadata/labels/version", 1, "must be a text, is the number 1; put it in quotes"),
    (
        "Deployment",
        "spec/template/metadata/annotations",
        {"traffic.sidecar.istio.io/excludeOutboundPorts": "80"},
        "spec.template.metadata.annotations['traffic.sidecar.istio.io/excludeOutboundPorts']: not supported",
    ),
    ("Deployment", "metadata/labels", {"istio.io/dataplane-mode": "ambient"}, "ambient mode is not supported"),
]


@pytest.mark.parametrize(
    ("kind", "path", "value", "message"), BAD, ids=[f"{b[0]}-{b[1]}-{i}" for i, b in enumerate(BAD)]
)
def test_what_is_wrong_is_named(kind: str, path: str, value: Any, message: str) -> None:
    manifest = an_object(kind)
    set_at(manifest, path, value)
    with pytest.raises(Refused) as refused:
        check(manifest)
    assert message in str(refused.value)
    if "/" in path:
        first, *_ = path.split("/")
        assert first in str(refused.value)


def test_a_message_names_object_and_field_in_one_line() -> None:
    manifest = an_object("VirtualService")
    manifest["spec"]["http"][0]["retrys"] = {}
    with pytest.raises(Refused) as refused:
        admit(manifest)
    assert (
        str(refused.value) == "VirtualService reviews.shop: spec.http[0].retrys: unknown field; did you mean retries?"
    )


def test_every_mistake_is_named_at_once() -> None:
    manifest = an_object("VirtualService")
    manifest["spec"]["http"][0].update(retrys={}, timeout="soon")
    manifest["spec"]["hostz"] = []
    assert len(problems(manifest)) == 3


@pytest.mark.parametrize("kind", sorted(REFUSED))
def test_a_kind_that_exists_and_is_not_built_is_named(kind: str) -> None:
    with pytest.raises(Refused, match=f"^{kind} x.shop: kind {kind} is not "):
        check({"apiVersion": "v1", "kind": kind, "metadata": {"name": "x", "namespace": "shop"}})


def test_unknown_kinds_and_shapes() -> None:
    assert "did you mean VirtualService?" in str(problems({**an_object("Gateway"), "kind": "VirtualServce"})[0])
    gateway_api = {**an_object("Gateway"), "apiVersion": "gateway.networking.k8s.io/v1"}
    assert "write Istio's own Gateway" in str(problems(gateway_api)[0])
    assert "apiVersion and kind are required" in str(problems({"metadata": {}})[0])
    assert "must be an object" in str(problems(["a"])[0])
    assert "must be a mapping" in str(problems({"apiVersion": "v1", "kind": "Namespace", "metadata": []})[0])


def test_what_does_nothing_here_is_taken_as_it_is() -> None:
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "data": {"a": "b"}}
    assert admit(config)["data"] == {"a": "b"}
    assert problems({**config, "spec": {}}) != []


def test_defaults_are_those_of_the_api_server() -> None:
    manifest = an_object("Deployment")
    del manifest["spec"]["replicas"]
    del manifest["metadata"]["namespace"]
    stored = admit(manifest)
    assert stored["spec"]["replicas"] == 1
    assert stored["metadata"]["namespace"] == "default"
    assert stored["spec"]["template"]["spec"]["serviceAccountName"] == "reviews"
    assert "creationTimestamp" not in stored["spec"]["template"]["metadata"]
    ports = admit(an_object("Service"))["spec"]["ports"]
    assert [(port["protocol"], port["targetPort"]) for port in ports] == [("TCP", "web"), ("TCP", 90)]
    assert manifest["spec"].get("replicas") is None, "the argument was changed in place"


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"from": [{"source": {"notNamespaces": ["a"]}}]}, "notNamespaces is not supported by Istio with the action"),
        ({"when": [{"key": "request.auth.claims[a]", "values": ["b"]}]}, "request.auth.claims[a] is not supported by"),
        ({"from": [{"source": {"ipBlocks": ["10.0.0.1"]}}]}, None),
    ],
)
def test_custom_takes_what_istio_takes_with_it(rule: dict[str, Any], message: str | None) -> None:
    spec = {"action": "CUSTOM", "provider": {"name": "authz"}, "rules": [rule]}
    found = [str(problem) for problem in problems(an_object("AuthorizationPolicy", spec))]
    assert found == [] if message is None else message in found[0]


def test_a_dry_run_of_what_istio_cannot_try() -> None:
    manifest = an_object("AuthorizationPolicy", {"action": "AUDIT", "rules": [{}]})
    manifest["metadata"]["annotations"] = {"istio.io/dry-run": "true"}
    assert "for ALLOW and DENY only, not for AUDIT" in str(problems(manifest)[0])


def config_map(mesh: str, name: str = "istio") -> dict[str, Any]:
    metadata = {"name": name, "namespace": "istio-system"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"mesh": mesh, "meshNetworks": ""}}


AUTHORIZER = "{service: a.shop.svc.cluster.local, port: 80}"


@pytest.mark.parametrize(
    ("mesh", "message"),
    [
        ("", None),
        ("accessLogFile: /dev/stdout\ntrustDomain: cluster.local\ndefaultConfig: {tracing: {}}", None),
        (f"extensionProviders: [{{name: a, envoyExtAuthzHttp: {AUTHORIZER}}}, {{name: b, prometheus: {{}}}}]", None),
        ("a: [", "data.mesh: is not YAML"),
        ("trustDomain: shop", "data.mesh.trustDomain: the local mesh's trust domain is cluster.local"),
        ("localityLbSetting: {}", "data.mesh.localityLbSetting: unknown field"),
        ("pathNormalization: {normalization: MERGE_SLASHES}", "must be one of DEFAULT, BASE"),
        ("extensionProviders: [{name: a}]", "extensionProviders[0]: needs one of envoyExtAuthzHttp, envoyExtAuthzGrpc"),
        ("extensionProviders: [{name: a, envoyExtAuthzHttp: {service: a, port: 80}}]", "the full name of a Service"),
        (
            "extensionProviders: [{name: a, envoyExtAuthzGrpc: {service: a.shop.svc.cluster.local, port: 80, "
            "statusOnError: '418'}}]",
            "'418' is not an HTTP status that Envoy knows",
        ),
        (
            "extensionProviders: [{name: a, envoyExtAuthzHttp: {service: a.shop.svc.cluster.local, port: 80, "
            "headersToUpstreamOnAllow: ['*']}}]",
            "a single * is not supported",
        ),
    ],
)
def test_mesh_config_is_understood_or_refused(mesh: str, message: str | None) -> None:
    found = [str(problem) for problem in problems(config_map(mesh))]
    assert found == [] if message is None else message in found[0]
    assert problems(config_map(mesh, "another")) == []


def test_ports_without_quotes_become_the_texts_that_json_makes_of_them() -> None:
    manifest = an_object("PeerAuthentication")
    manifest["spec"]["portLevelMtls"] = {9080: {"mode": "STRICT"}}
    assert admit(manifest)["spec"]["portLevelMtls"] == {"9080": {"mode": "STRICT"}}


def test_a_whole_float_becomes_the_integer_that_json_makes_of_it() -> None:
    manifest = an_object("Deployment")
    manifest["spec"]["replicas"] = 3.0
    stored = admit(manifest)["spec"]["replicas"]
    assert (stored, type(stored)) == (3, int)


def test_pods_come_from_deployments() -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": {"containers": [{"name": "a"}]}}
    assert "write it as a Deployment" in str(problems(pod)[0])
