"""AuthorizationPolicies on real Envoys: for each kind of rule a call let through and one refused."""

from __future__ import annotations

import time
from typing import Any

import pytest
from policies import (
    GATEWAY,
    LET_THROUGH,
    MISSED,
    PAGE,
    by_gateway,
    by_page,
    denied,
    enforce,
    operation,
    outside,
    policy,
    source,
    when,
)
from tiny_mesh import TinyMesh, request

from meshchaos.mesh.local.translate import rbac
from meshchaos.mesh.local.world import bind_port

pytestmark = pytest.mark.envoy


SERVERS = ("ratings-v1", "ratings-v2")


def counted(mesh: TinyMesh, pattern: str) -> int:
    """A counter of the servers, together."""
    return sum(sum(mesh.stats(name, pattern).values()) for name in SERVERS)


class TestActions:
    def test_one_allow_denies_the_rest(self, mesh: TinyMesh) -> None:
        enforce(mesh, policy(rules=[source(principals=[PAGE])]))
        assert by_page(mesh) == LET_THROUGH
        assert by_gateway(mesh) == MISSED
        assert outside(mesh) == 403

    def test_the_application_of_a_refused_request_hears_nothing(self, mesh: TinyMesh) -> None:
        enforce(mesh, policy())
        assert by_page(mesh, "/untouched") == MISSED
        assert not any(app.hits["/untouched"] for app in mesh.apps.values())

    @pytest.mark.parametrize(
        ("spec", "found"),
        [({}, MISSED), ({"rules": []}, MISSED), ({"rules": [{}]}, LET_THROUGH)],
        ids=["none", "empty", "everything"],
    )
    def test_empty_rules(self, mesh: TinyMesh, spec: dict[str, Any], found: tuple[int, str]) -> None:
        enforce(mesh, policy(**spec))
        assert by_page(mesh) == found

    def test_deny_names_its_rule_and_goes_before_allow(self, mesh: TinyMesh) -> None:
        rules = [operation(paths=["/other"]), source(principals=[PAGE])]
        enforce(mesh, policy("DENY", name="shut", rules=rules), policy(name="open", rules=[{}]))
        assert by_page(mesh) == denied("ns[shop]-policy[shut]-rule[1]")
        assert by_page(mesh, "/other") == denied("ns[shop]-policy[shut]-rule[0]")
        assert by_gateway(mesh) == LET_THROUGH

    def test_audit_takes_note_and_lets_everything_through(self, mesh: TinyMesh) -> None:
        before = counted(mesh, "9080;.rbac.allowed$")
        enforce(mesh, policy("AUDIT", rules=[{}]))
        assert by_page(mesh) == LET_THROUGH
        assert counted(mesh, "9080;.rbac.allowed$") == before + 1
        enforce(mesh, policy("AUDIT", rules=[{}]), policy("DENY", name="d", rules=[{}]))
        assert by_page(mesh) == denied("ns[shop]-policy[d]-rule[0]")

    def test_a_dry_run_counts_and_refuses_nothing(self, mesh: TinyMesh) -> None:
        trial = policy("DENY", rules=[source(principals=[PAGE])])
        trial["metadata"]["annotations"] = {"istio.io/dry-run": "true"}
        counter = "9080;.rbac.istio_dry_run_deny_.shadow_denied$"
        before = counted(mesh, counter)
        enforce(mesh, trial)
        assert by_page(mesh) == LET_THROUGH
        assert counted(mesh, counter) == before + 1
        trial["metadata"]["annotations"] = {"istio.io/dry-run": "false"}
        enforce(mesh, trial)
        assert by_page(mesh)[0] == 403

    def test_scopes(self, mesh: TinyMesh) -> None:
        enforce(mesh, policy("DENY", namespace="istio-system", selector=None, rules=[operation(paths=["/m"])]))
        assert by_page(mesh, "/m") == denied("ns[istio-system]-policy[p]-rule[0]")
        assert mesh.gateway("/m", "shop.example").status == 403, "the gateway itself is of the mesh, too"
        enforce(mesh, policy("DENY", selector=None, rules=[operation(paths=["/n"])]))
        assert by_page(mesh, "/n")[0] == 403
        assert by_page(mesh, "/m") == LET_THROUGH
        enforce(mesh, policy("DENY", selector={"matchLabels": {"app": "page"}}, rules=[{}]))
        assert by_page(mesh) == LET_THROUGH
        enforce(mesh, policy("DENY", namespace="elsewhere", selector=None, rules=[{}]))
        assert by_page(mesh) == LET_THROUGH

    def test_a_gateway_decides_by_its_own_policies(self, mesh: TinyMesh) -> None:
        selector = {"matchLabels": {"istio": "ingressgateway"}}
        rule = operation(hosts=["shop.example"], paths=["/in*"])
        enforce(mesh, policy(namespace="istio-system", selector=selector, rules=[rule]))
        assert by_gateway(mesh, "/inside") == LET_THROUGH
        assert mesh.gateway("/outside", "shop.example").status == 403
        assert by_page(mesh, "/outside") == LET_THROUGH


PASS, FAIL = True, False

RULES: list[tuple[dict[str, Any], dict[str, Any], bool, bool]] = [
    # (a rule, how it is called, whether the page passes, whether the gateway does)
    (source(principals=[GATEWAY]), {}, FAIL, PASS),
    (source(principals=["*"]), {}, PASS, PASS),
    (source(principals=["cluster.local/ns/shop/*"]), {}, PASS, FAIL),
    (source(principals=["*/sa/page"]), {}, PASS, FAIL),
    (source(notPrincipals=[PAGE]), {}, FAIL, PASS),
    (source(namespaces=["shop"]), {}, PASS, FAIL),
    (source(namespaces=["istio-*"]), {}, FAIL, PASS),
    (source(notNamespaces=["shop"]), {}, FAIL, PASS),
    (source(serviceAccounts=["page"]), {}, PASS, FAIL),
    (source(serviceAccounts=["istio-system/gateway"]), {}, FAIL, PASS),
    (source(notServiceAccounts=["page"]), {}, FAIL, PASS),
    (source(trustDomains=["cluster.local"]), {}, PASS, PASS),
    (source(trustDomains=["other.*"]), {}, FAIL, FAIL),
    (source(notTrustDomains=["cluster.*"]), {}, FAIL, FAIL),
    ({"from": [{"source": {"principals": [PAGE]}}, {"source": {"principals": [GATEWAY]}}]}, {}, PASS, PASS),
    (source(principals=[PAGE], namespaces=["istio-system"]), {}, FAIL, FAIL),
    (operation(methods=["GET"]), {}, PASS, PASS),
    (operation(methods=["POST"]), {}, FAIL, FAIL),
    (operation(notMethods=["POST"]), {}, PASS, PASS),
    (operation(notMethods=["G*"]), {}, FAIL, FAIL),
    (operation(hosts=["RATINGS:9080"]), {}, PASS, FAIL),
    (operation(hosts=["*.example"]), {}, FAIL, PASS),
    (operation(hosts=["ratings*"]), {}, PASS, FAIL),
    (operation(hosts=["*"]), {}, PASS, PASS),
    (operation(notHosts=["shop.example"]), {}, PASS, FAIL),
    (operation(ports=["9080"]), {}, PASS, PASS),
    (operation(ports=["9081"]), {}, FAIL, FAIL),
    (operation(notPorts=["9080"]), {}, FAIL, FAIL),
    (operation(paths=["/ratings/0"]), {}, PASS, PASS),
    (operation(paths=["/ratings/0"]), {"path": "/ratings/0?debug=1"}, PASS, PASS),
    (operation(paths=["/ratings/0"]), {"path": "/Ratings/0"}, FAIL, FAIL),
    (operation(paths=["/ratings/0"]), {"path": "/x/../ratings/0"}, PASS, PASS),
    (operation(paths=["/ratings*"]), {}, PASS, PASS),
    (operation(paths=["*/0"]), {}, PASS, PASS),
    (operation(paths=["*/1"]), {}, FAIL, FAIL),
    (operation(paths=["/ratings/{*}"]), {}, PASS, PASS),
    (operation(paths=["/ratings/{*}"]), {"path": "/ratings/0/stars"}, FAIL, FAIL),
    (operation(paths=["/ratings/{**}"]), {"path": "/ratings/0/stars"}, PASS, PASS),
    (operation(paths=["/{*}/0/{**}"]), {"path": "/ratings/0/a/b"}, PASS, PASS),
    (operation(notPaths=["/ratings/{*}"]), {}, FAIL, FAIL),
    (operation(notPaths=["/admin*"]), {}, PASS, PASS),
    (when("request.headers[end-user]", "tester"), {"end_user": "tester"}, PASS, PASS),
    (when("request.headers[end-user]", "tester"), {}, FAIL, FAIL),
    (when("request.headers[end-user]", "*"), {"end_user": "bob"}, PASS, PASS),
    (when("request.headers[end-user]", notValues=["*"]), {"end_user": "bob"}, FAIL, FAIL),
    (when("source.namespace", "shop"), {}, PASS, FAIL),
    (when("source.principal", PAGE), {}, PASS, FAIL),
    (when("source.principal", notValues=[PAGE]), {}, FAIL, PASS),
    (when("source.serviceAccount", "page"), {}, PASS, FAIL),
    (when("source.trustDomain", "*.local"), {}, PASS, PASS),
    (when("destination.port", "9080"), {}, PASS, PASS),
    (when("destination.port", "9081"), {}, FAIL, FAIL),
    (when("destination.ip", "127.64.0.0/10"), {}, PASS, PASS),
    (when("destination.ip", "10.0.0.1"), {}, FAIL, FAIL),
    (when("source.ip", notValues=["127.64.0.0/10"]), {}, FAIL, FAIL),
    (when("connection.sni", "outbound_.9080_._.ratings.shop.svc.cluster.local"), {}, PASS, PASS),
    (when("connection.sni", "*.example"), {}, FAIL, FAIL),
    (source(remoteIpBlocks=["8.8.8.0/24"]), {"x_forwarded_for": "8.8.8.8"}, PASS, FAIL),
    (source(notRemoteIpBlocks=["8.8.8.0/24"]), {"x_forwarded_for": "8.8.8.8"}, FAIL, PASS),
    (when("remote.ip", "8.8.8.8"), {"x_forwarded_for": "8.8.8.8"}, PASS, FAIL),
    ({**source(principals=[PAGE]), **operation(methods=["GET"])}, {}, PASS, FAIL),
    ({**source(principals=[PAGE]), **operation(methods=["POST"])}, {}, FAIL, FAIL),
    ({**operation(methods=["GET"]), **when("source.namespace", "istio-system")}, {}, FAIL, PASS),
]


@pytest.mark.parametrize(("rule", "call", "page", "gateway"), RULES, ids=[str(rule[0])[:70] for rule in RULES])
def test_rules(mesh: TinyMesh, rule: dict[str, Any], call: dict[str, Any], page: bool, gateway: bool) -> None:
    enforce(mesh, policy(rules=[rule]))
    assert by_page(mesh, **call) == (LET_THROUGH if page else MISSED)
    assert by_gateway(mesh, **call) == (LET_THROUGH if gateway else MISSED)
    enforce(mesh, policy("DENY", rules=[rule]))
    named = denied("ns[shop]-policy[p]-rule[0]")
    assert by_page(mesh, **call) == (named if page else LET_THROUGH)
    assert by_gateway(mesh, **call) == (named if gateway else LET_THROUGH)


def test_addresses_of_clients(mesh: TinyMesh) -> None:
    mine = mesh.replica("page").address
    enforce(mesh, policy(rules=[source(ipBlocks=[mine])]))
    assert by_page(mesh) == LET_THROUGH
    assert by_gateway(mesh) == MISSED
    enforce(mesh, policy(rules=[source(notIpBlocks=[f"{mine}/32"])]))
    assert by_page(mesh) == MISSED
    assert by_gateway(mesh) == LET_THROUGH


class TestConnections:
    """Ports whose content nobody reads, and those that are found out."""

    def tcp(self, mesh: TinyMesh) -> bool:
        """Whether the page reaches the TCP port of ratings."""
        try:
            return request(mesh.replica("page").address, 16002, "GET", "/bytes").status == 200
        except OSError:
            return False

    @pytest.mark.parametrize(
        ("action", "rule", "passes"),
        [
            ("ALLOW", source(principals=[PAGE]), True),
            ("ALLOW", source(principals=[GATEWAY]), False),
            ("ALLOW", operation(ports=["7001"]), True),
            ("ALLOW", operation(ports=["9080"]), False),
            ("ALLOW", source(namespaces=["shop"]), True),
            # Nobody can tell methods there: the rule is out, and ALLOW misses.
            ("ALLOW", operation(methods=["GET"]), False),
            ("ALLOW", {**source(principals=[PAGE]), **operation(paths=["/bytes"])}, False),
            ("ALLOW", source(requestPrincipals=["*"]), False),
            ("DENY", source(principals=[PAGE]), False),
            ("DENY", source(principals=[GATEWAY]), True),
            ("DENY", operation(ports=["9080"]), True),
            # What cannot be told is left out of a DENY, which so denies more.
            ("DENY", operation(methods=["POST"]), False),
            ("DENY", {**source(principals=[GATEWAY]), **operation(methods=["GET"])}, True),
            ("DENY", operation(ports=["9080"], methods=["GET"]), True),
            ("AUDIT", {}, True),
        ],
    )
    def test_tcp(self, mesh: TinyMesh, action: str, rule: dict[str, Any], passes: bool) -> None:
        assert self.tcp(mesh)
        enforce(mesh, policy(action, rules=[rule]))
        assert self.tcp(mesh) is passes

    def test_a_refused_connection_says_which_policy_it_was(self, mesh: TinyMesh) -> None:
        for name in SERVERS:
            mesh.lines(name, "", 0)
        before = sum(len(mesh.lines(name, "", 0)) for name in SERVERS)
        enforce(mesh, policy("DENY", name="shut", rules=[source(principals=[PAGE])]))
        assert not self.tcp(mesh)
        deadline = time.monotonic() + 5
        while len(lines := [line for name in SERVERS for line in mesh.lines(name, "", 0)]) == before:
            assert time.monotonic() < deadline, "no server logged the connection"
            time.sleep(0.01)
        said = {line.details for line in lines}
        assert "rbac_access_denied_matched_policy[ns[shop]-policy[shut]-rule[0]]" in said

    def test_plaintext_has_no_identity(self, mesh: TinyMesh) -> None:
        enforce(mesh, policy(rules=[source(principals=["*"])]))
        assert [outside(mesh, port=port) for port in (9080, 7000, 7001)] == [403, 403, 0]
        enforce(mesh, policy(rules=[source(notPrincipals=["*"])]))
        assert [outside(mesh, port=port) for port in (9080, 7000, 7001)] == [200, 200, 200]

    def test_a_port_that_is_found_out_meets_rules_of_http(self, mesh: TinyMesh) -> None:
        enforce(mesh, policy(rules=[operation(paths=["/open"])]))
        assert by_page(mesh, "http://sniffed:7000/open") == LET_THROUGH
        assert by_page(mesh, "http://sniffed:7000/shut") == MISSED

    def test_a_whole_rule(self) -> None:
        """As Istio's own builder has it (testdata of ``pilot/pkg/security/authz/builder``)."""
        rule = {
            "from": [{"source": {"principals": ["td/ns/a/sa/b", "*/sa/c"], "notNamespaces": ["x-*"]}}],
            "to": [{"operation": {"hosts": ["*.com"], "methods": ["*"], "notPaths": ["/a/{*}", "/b*"]}}],
            "when": [
                {"key": "remote.ip", "notValues": ["10.1.0.0/16"]},
                {"key": "request.auth.claims[group]", "values": ["dev"]},
            ],
        }
        made = rbac.policy(rule, namespace="shop", action="ALLOW", tcp=False)
        template = {
            "@type": "type.googleapis.com/envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig",
            "path_template": "/a/*",
        }
        permissions = [
            {"or_rules": {"rules": [{"header": ignoring_case({"suffix": ".com"})}]}},
            {"or_rules": {"rules": [{"header": {"name": ":method", "present_match": True}}]}},
            {
                "not_rule": {
                    "or_rules": {
                        "rules": [
                            {"uri_template": {"name": "uri-template", "typed_config": template}},
                            {"url_path": {"path": {"prefix": "/b"}}},
                        ]
                    }
                }
            },
        ]
        claim = {
            "filter": "envoy.filters.http.jwt_authn",
            "path": [{"key": "payload"}, {"key": "group"}],
            "value": {
                "or_match": {
                    "value_matchers": [
                        {"list_match": {"one_of": {"string_match": {"exact": "dev"}}}},
                        {"string_match": {"exact": "dev"}},
                    ]
                }
            },
        }
        principals = [
            {"or_ids": {"ids": [named({"exact": "spiffe://td/ns/a/sa/b"}), named(expression("spiffe://.*/sa/c"))]}},
            {"not_id": {"or_ids": {"ids": [named(expression(".*/ns/x-.*/.*"))]}}},
            {"not_id": {"or_ids": {"ids": [{"remote_ip": {"address_prefix": "10.1.0.0", "prefix_len": 16}}]}}},
            {"metadata": claim},
        ]
        assert made == {
            "permissions": [{"and_rules": {"rules": permissions}}],
            "principals": [{"and_ids": {"ids": principals}}],
        }

    def test_privileged_ports_are_named_as_they_are_written(self) -> None:
        made = rbac.policy(operation(ports=["80"]), namespace="shop", action="DENY", tcp=True)
        assert made is not None
        [port] = made["permissions"][0]["and_rules"]["rules"]
        assert port == {"or_rules": {"rules": [{"destination_port": bind_port(80)}]}}


def ignoring_case(matcher: dict[str, str]) -> dict[str, Any]:
    return {"name": ":authority", "string_match": {**matcher, "ignore_case": True}}


def named(matcher: dict[str, Any]) -> dict[str, Any]:
    return {"authenticated": {"principal_name": matcher}}


def expression(value: str) -> dict[str, Any]:
    return {"safe_regex": {"regex": value}}
