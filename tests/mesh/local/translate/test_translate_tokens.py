"""RequestAuthentications on real Envoys: which tokens are let in, and what becomes of them."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from policies import LET_THROUGH, MISSED, by_gateway, by_page, denied, enforce, policy, source, when
from tiny_mesh import TinyMesh, request
from tokens import Issuer
from worlds import RATINGS, index, made

from meshchaos.mesh.istio.request_authentication import NO_KEYS, jwt_rules, key_sources
from meshchaos.mesh.local.translate import jwt
from meshchaos.mesh.local.translate.security import security_filters
from meshchaos.mesh.objects import Manifest

envoy = pytest.mark.envoy
ISSUER = Issuer("https://issuer.example")
OTHER = Issuer("https://other.example")


def tokens(*rules: dict[str, Any], name: str = "t", namespace: str = "shop", app: str = "ratings") -> Manifest:
    selector = {"selector": {"matchLabels": {"app": app}}} if app else {}
    return made("RequestAuthentication", name, namespace, {**selector, "jwtRules": list(rules)})


def of(issuer: Issuer, **fields: Any) -> dict[str, Any]:
    return {"issuer": issuer.name, "jwks": issuer.jwks, **fields}


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def unauthorized(why: str) -> tuple[int, str]:
    return 401, f"jwt_authn_access_denied{{{why}}}"


@envoy
class TestTokens:
    def test_right_wrong_and_none(self, mesh: TinyMesh) -> None:
        enforce(mesh, tokens(of(ISSUER)))
        assert by_page(mesh) == LET_THROUGH
        assert by_page(mesh, **bearer(ISSUER.token())) == LET_THROUGH
        assert by_page(mesh, **bearer(ISSUER.token(expires=-600))) == unauthorized("Jwt_is_expired")
        assert by_page(mesh, **bearer(OTHER.token())) == unauthorized("Jwt_issuer_is_not_configured")
        forged = Issuer(ISSUER.name)
        assert by_page(mesh, **bearer(forged.token())) == unauthorized("Jwt_verification_fails")
        assert by_page(mesh, **bearer("garbage"))[0] == 401
        assert by_page(mesh, **bearer(ISSUER.token(nbf=4102444800)))[0] == 401

    def test_the_application_of_a_refused_token_hears_nothing(self, mesh: TinyMesh) -> None:
        enforce(mesh, tokens(of(ISSUER)))
        assert by_page(mesh, "/untouched", **bearer("garbage"))[0] == 401
        assert not any(app.hits["/untouched"] for app in mesh.apps.values())

    def test_a_token_may_be_demanded(self, mesh: TinyMesh) -> None:
        enforce(mesh, tokens(of(ISSUER)), policy("DENY", rules=[source(notRequestPrincipals=["*"])]))
        assert by_page(mesh) == denied("ns[shop]-policy[p]-rule[0]")
        assert by_page(mesh, **bearer(ISSUER.token())) == LET_THROUGH

    def test_audiences(self, mesh: TinyMesh) -> None:
        enforce(mesh, tokens(of(ISSUER, audiences=["shop", "bank"])))
        assert by_page(mesh, **bearer(ISSUER.token(aud="bank"))) == LET_THROUGH
        assert by_page(mesh, **bearer(ISSUER.token(aud=["x", "shop"]))) == LET_THROUGH
        # Envoy's only refusal of a token that is not a 401.
        wrong = 403, "jwt_authn_access_denied{Audiences_in_Jwt_are_not_allowed}"
        assert by_page(mesh, **bearer(ISSUER.token(aud="x"))) == wrong
        assert by_page(mesh, **bearer(ISSUER.token())) == wrong

    def test_places(self, mesh: TinyMesh) -> None:
        rule = of(
            ISSUER, fromHeaders=[{"name": "x-token", "prefix": "Own "}], fromParams=["token"], fromCookies=["session"]
        )
        enforce(mesh, tokens(rule), policy(rules=[source(requestPrincipals=["*"])]))
        token = ISSUER.token()
        assert by_page(mesh, x_token=f"Own {token}") == LET_THROUGH
        assert by_page(mesh, f"/a?token={token}") == LET_THROUGH
        assert by_page(mesh, cookie=f"a=b; session={token}") == LET_THROUGH
        assert by_page(mesh, x_token=token) == MISSED
        assert by_page(mesh, **bearer(token)) == MISSED, "named places stand for the usual ones"
        assert by_page(mesh, x_token="Own garbage")[0] == 401

    def test_the_usual_places(self, mesh: TinyMesh) -> None:
        enforce(mesh, tokens(of(ISSUER)), policy(rules=[source(requestPrincipals=["*"])]))
        assert by_page(mesh, f"/a?access_token={ISSUER.token()}") == LET_THROUGH
        assert by_page(mesh, **bearer(ISSUER.token())) == LET_THROUGH
        assert by_page(mesh) == MISSED

    def test_what_the_application_sees(self, mesh: TinyMesh) -> None:
        url = "http://ratings:9080/"
        token = ISSUER.token(nested={"group": "admin"}, number=7)
        enforce(mesh, tokens(of(ISSUER)))
        assert "authorization" not in mesh.get("page", url, **bearer(token)).json["headers"]
        shown = [{"header": "x-group", "claim": "nested.group"}, {"header": "x-number", "claim": "number"}]
        enforce(
            mesh,
            tokens(
                of(ISSUER, forwardOriginalToken=True, outputPayloadToHeader="x-payload", outputClaimToHeaders=shown)
            ),
        )
        seen = mesh.get("page", url, x_group="forged", **bearer(token)).json["headers"]
        assert seen["authorization"] == f"Bearer {token}"
        payload = json.loads(base64.urlsafe_b64decode(seen["x-payload"] + "=="))
        assert payload["sub"] == "alice"
        assert (seen["x-group"], seen["x-number"]) == ("admin", "7")

    def test_several_issuers_share_a_place(self, mesh: TinyMesh) -> None:
        enforce(mesh, tokens(of(OTHER), of(ISSUER)), policy(rules=[source(requestPrincipals=["*"])]))
        for issuer in (ISSUER, OTHER):
            assert by_page(mesh, **bearer(issuer.token())) == LET_THROUGH
            assert by_page(mesh, **bearer(issuer.token(expires=-600)))[0] == 401
        assert by_page(mesh) == MISSED
        assert by_page(mesh, **bearer(Issuer("https://third.example").token()))[0] == 401

    def test_several_policies_of_one_workload(self, mesh: TinyMesh) -> None:
        root = tokens(of(OTHER), name="root", namespace="istio-system", app="")
        enforce(mesh, root, tokens(of(ISSUER)), policy(rules=[source(requestPrincipals=["*"])]))
        for issuer in (ISSUER, OTHER):
            assert by_page(mesh, **bearer(issuer.token())) == LET_THROUGH
        enforce(mesh, tokens(of(ISSUER), app="page"))
        assert by_page(mesh, **bearer("garbage")) == LET_THROUGH, "not this workload's policy"

    def test_keys_that_could_not_be_fetched_refuse_every_token(self, mesh: TinyMesh) -> None:
        enforce(mesh, tokens({"issuer": ISSUER.name, "jwksUri": "http://127.0.0.1:1/keys"}))
        assert by_page(mesh) == LET_THROUGH
        assert by_page(mesh, **bearer(ISSUER.token()))[0] == 401

    def test_at_the_gateway(self, mesh: TinyMesh) -> None:
        guard = tokens(of(ISSUER), namespace="istio-system", app="")
        guard["spec"]["selector"] = {"matchLabels": {"istio": "ingressgateway"}}
        enforce(mesh, guard)
        assert mesh.gateway("/", "shop.example", authorization="Bearer garbage").status == 401
        assert by_gateway(mesh, authorization=f"Bearer {ISSUER.token()}") == LET_THROUGH
        assert by_page(mesh, **bearer("garbage")) == LET_THROUGH

    def test_a_preflight_needs_no_token(self, mesh: TinyMesh) -> None:
        enforce(mesh, tokens(of(ISSUER)))
        headers = {"origin": "http://ui", "access_control_request_method": "GET", **bearer("garbage")}
        assert by_page(mesh, method="OPTIONS", **headers)[0] == 200
        assert by_page(mesh, method="GET", **headers)[0] == 401

    def test_tcp_ports_know_no_tokens(self, mesh: TinyMesh) -> None:
        enforce(mesh, tokens(of(ISSUER)))
        assert request(mesh.replica("page").address, 16002, "GET", "/", bearer("garbage")).status == 200


CLAIMS: list[tuple[dict[str, Any], dict[str, Any], bool]] = [
    (source(requestPrincipals=["https://issuer.example/alice"]), {}, True),
    (source(requestPrincipals=["https://issuer.example/bob"]), {}, False),
    (source(requestPrincipals=["https://other.example/alice", "https://issuer.example/*"]), {}, True),
    (source(requestPrincipals=["*/alice"]), {}, True),
    (source(requestPrincipals=["*.example/bob"]), {}, False),
    (source(notRequestPrincipals=["https://issuer.example/alice"]), {}, False),
    (when("request.auth.principal", "https://issuer.example/*"), {}, True),
    (when("request.auth.principal", notValues=["*"]), {}, False),
    (when("request.auth.audiences", "shop"), {"aud": "shop"}, True),
    (when("request.auth.audiences", "shop"), {"aud": ["bank", "shop"]}, True),
    (when("request.auth.audiences", "shop"), {"aud": "bank"}, False),
    (when("request.auth.presenter", "app*"), {"azp": "app-1"}, True),
    (when("request.auth.presenter", "app*"), {"azp": "web"}, False),
    (when("request.auth.claims[group]", "admin"), {"group": "admin"}, True),
    (when("request.auth.claims[group]", "admin"), {"group": ["dev", "admin"]}, True),
    (when("request.auth.claims[group]", "admin"), {"group": "administrator"}, False),
    (when("request.auth.claims[group]", "admin"), {}, False),
    (when("request.auth.claims[group]", notValues=["admin"]), {"group": "admin"}, False),
    (when("request.auth.claims[group]", notValues=["admin"]), {"group": "dev"}, True),
    (when("request.auth.claims[realm][roles]", "editor"), {"realm": {"roles": ["viewer", "editor"]}}, True),
    (when("request.auth.claims[realm][roles]", "editor"), {"realm": {"roles": ["viewer"]}}, False),
    (when("request.auth.claims[scope]", "write"), {"scope": "read write"}, True),
    (when("request.auth.claims[scope]", "write"), {"scope": "read"}, False),
    (when("request.auth.claims[iss]", "https://issuer.example"), {}, True),
]


@envoy
@pytest.mark.parametrize(("rule", "claims", "passes"), CLAIMS, ids=[f"{rule[0]}-{rule[1]}"[:90] for rule in CLAIMS])
def test_claims_in_rules(mesh: TinyMesh, rule: dict[str, Any], claims: dict[str, Any], passes: bool) -> None:
    enforce(mesh, tokens(of(ISSUER)), policy(rules=[rule]))
    assert by_page(mesh, **bearer(ISSUER.token(**claims))) == (LET_THROUGH if passes else MISSED)


class TestTranslation:
    def test_a_provider(self) -> None:
        [made_filter] = jwt.authentication(index(tokens(of(ISSUER, audiences=["a"]))), RATINGS)
        config = made_filter["typed_config"]
        assert config["bypass_cors_preflight"] is True
        assert config["providers"]["origins-0"] == {
            "issuer": ISSUER.name,
            "audiences": ["a"],
            "local_jwks": {"inline_string": ISSUER.jwks},
            "payload_in_metadata": "payload",
            "normalize_payload_in_metadata": {"space_delimited_claims": ["permission", "scope"]},
        }
        either = [{"provider_name": "origins-0"}, {"allow_missing": {}}]
        assert config["rules"] == [{"match": {"prefix": "/"}, "requires": {"requires_any": {"requirements": either}}}]

    def test_the_order_of_filters(self) -> None:
        everything = index(
            tokens(of(ISSUER)), policy("ALLOW", name="a"), policy("DENY", name="d"), policy("AUDIT", name="u")
        )
        filters = security_filters(everything, RATINGS)
        assert [one["name"].rpartition(".")[2] for one in filters.http] == ["jwt_authn", "rbac", "rbac", "rbac"]
        actions = [one["typed_config"]["rules"]["action"] for one in filters.http[1:]]
        assert actions == ["LOG", "DENY", "ALLOW"]
        assert [one["typed_config"]["rules"]["action"] for one in filters.tcp] == actions

    def test_rules_come_by_issuer(self) -> None:
        policies = [
            tokens({"issuer": "b", "jwks": "1"}, {"issuer": "a", "jwks": "2"}),
            tokens({"issuer": "a", "jwks": "3"}, name="u"),
        ]
        assert [rule["jwks"] for rule in jwt_rules(policies, "shop", {"app": "ratings"})] == ["2", "3", "1"]

    def test_where_keys_are_to_be_fetched(self) -> None:
        uri = "http://keys.example/jwks"
        rules = [of(ISSUER), {"issuer": "https://a.example/"}, {"jwksUri": uri, "timeout": "1s"}]
        assert key_sources([tokens(*rules)]) == {
            "https://a.example/.well-known/openid-configuration": "5s",
            uri: "1s",
        }

    def test_no_keys_are_a_key_that_nobody_has(self) -> None:
        [key] = json.loads(NO_KEYS)["keys"]
        modulus = int.from_bytes(base64.urlsafe_b64decode(key["n"] + "=="), "big")
        assert (key["kty"], modulus.bit_length(), modulus % 2) == ("RSA", 2048, 1)
