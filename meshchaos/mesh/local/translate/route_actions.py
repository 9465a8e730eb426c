"""The smaller parts of a VirtualService's route: faults, headers, CORS, redirects (``core/route/route.go``)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from meshchaos.experiment.scalars import GRPC_STATUSES
from meshchaos.mesh.local.translate.matches import string_match
from meshchaos.mesh.local.translate.names import Json, duration, extension, fraction

_REDIRECT_CODES = {
    301: "MOVED_PERMANENTLY",
    302: "FOUND",
    303: "SEE_OTHER",
    307: "TEMPORARY_REDIRECT",
    308: "PERMANENT_REDIRECT",
}


def http_fault(fault: Mapping[str, Any]) -> Json:
    """``HTTPFaultInjection`` as the fault filter's configuration for a route."""
    fields: Json = {}
    delay, abort = fault.get("delay"), fault.get("abort")
    if delay:
        percent = delay.get("percent")
        share = {"numerator": percent} if percent is not None else fraction(delay.get("percentage"))
        fields["delay"] = {"fixed_delay": duration(delay["fixedDelay"]), "percentage": share}
    if abort:
        status: Json = (
            {"http_status": abort["httpStatus"]}
            if abort.get("httpStatus") is not None
            else {"grpc_status": GRPC_STATUSES.index(str(abort["grpcStatus"]).upper())}
        )
        fields["abort"] = {**status, "percentage": fraction(abort.get("percentage"))}
    return extension("filters.http.fault.v3.HTTPFault", **fields)


def cors_policy(cors: Mapping[str, Any]) -> Json:
    """``CorsPolicy`` as the CORS filter's configuration for a route."""
    fields: Json = {
        "filter_enabled": {"default_value": {"numerator": 100}},
        "forward_not_matching_preflights": cors.get("unmatchedPreflights") != "IGNORE",
    }
    origins = cors.get("allowOrigins") or [{"exact": origin} for origin in cors.get("allowOrigin") or ()]
    if origins:
        fields["allow_origin_string_match"] = [string_match(origin) for origin in origins]
    for ours, envoys in (
        ("allowMethods", "allow_methods"),
        ("allowHeaders", "allow_headers"),
        ("exposeHeaders", "expose_headers"),
    ):
        if cors.get(ours):
            fields[envoys] = ",".join(cors[ours])
    if cors.get("allowCredentials") is not None:
        fields["allow_credentials"] = bool(cors["allowCredentials"])
    if cors.get("maxAge"):
        fields["max_age"] = str(int(float(duration(cors["maxAge"]).removesuffix("s"))))
    return extension("filters.http.cors.v3.CorsPolicy", **fields)


def header_changes(headers: Mapping[str, Any] | None) -> tuple[Json, str]:
    """``request_headers_to_add`` and its three siblings, and the authority that is set, if any."""
    fields: Json = {}
    authority = ""
    for side in ("request", "response"):
        changes = (headers or {}).get(side) or {}
        added = []
        for key, action in (("set", "OVERWRITE_IF_EXISTS_OR_ADD"), ("add", "APPEND_IF_EXISTS_OR_ADD")):
            for name in sorted(changes.get(key) or {}):
                value = changes[key][name]
                if _is_authority(name):
                    authority = (authority or value) if side == "request" else authority
                elif not name.startswith(":"):
                    added.append({"header": {"key": name, "value": value}, "append_action": action})
        if added:
            fields[f"{side}_headers_to_add"] = added
        removed = [name for name in changes.get("remove") or () if not (_is_authority(name) or name.startswith(":"))]
        if removed:
            fields[f"{side}_headers_to_remove"] = removed
    return fields, authority


def redirect(redirection: Mapping[str, Any], port: int) -> Json:
    """``HTTPRedirect`` on a listener of ``port`` without TLS."""
    fields: Json = {"response_code": _REDIRECT_CODES[int(redirection.get("redirectCode") or 301)]}
    if redirection.get("authority"):
        fields["host_redirect"] = redirection["authority"]
    if redirection.get("prefixRewrite"):
        fields["prefix_rewrite"] = redirection["prefixRewrite"]
    elif redirection.get("uri"):
        fields["path_redirect"] = redirection["uri"]
    scheme = redirection.get("scheme") or "http"
    if redirection.get("scheme"):
        fields["scheme_redirect"] = scheme
    number = int(redirection.get("port") or 0)
    if redirection.get("derivePort") == "FROM_REQUEST_PORT":
        number = port
    if number and (number, scheme) not in {(80, "http"), (443, "https")}:
        fields["port_redirect"] = number
    return fields


def direct_response(response: Mapping[str, Any]) -> Json:
    """``HTTPDirectResponse``."""
    fields: Json = {"status": response["status"]}
    body = response.get("body") or {}
    if "string" in body:
        fields["body"] = {"inline_string": body["string"]}
    elif "bytes" in body:
        fields["body"] = {"inline_bytes": body["bytes"]}
    return fields


def mirror_fraction(mirror: Mapping[str, Any] | None, percent: Any = None) -> Json | None:
    """The share that is mirrored, all of it when nothing is said; None: explicitly nothing."""
    if mirror is not None:
        return {"default_value": fraction(mirror)} if float(mirror.get("value") or 0) > 0 else None
    if percent is not None:
        return {"default_value": {"numerator": int(percent)}} if int(percent) > 0 else None
    return {"default_value": {"numerator": 100}}


def hash_policy(consistent: Mapping[str, Any]) -> Json | None:
    """What a route hashes by, for a destination with ``consistentHash``."""
    if consistent.get("httpHeaderName"):
        return {"header": {"header_name": consistent["httpHeaderName"]}}
    if consistent.get("httpCookie"):
        cookie = consistent["httpCookie"]
        fields: Json = {"name": cookie["name"]}
        if cookie.get("path"):
            fields["path"] = cookie["path"]
        if cookie.get("ttl") is not None:
            fields["ttl"] = duration(cookie["ttl"])
        if cookie.get("attributes"):
            fields["attributes"] = [{"name": a["name"], "value": a.get("value", "")} for a in cookie["attributes"]]
        return {"cookie": fields}
    if consistent.get("useSourceIp"):
        return {"connection_properties": {"source_ip": True}}
    if consistent.get("httpQueryParameterName"):
        return {"query_parameter": {"name": consistent["httpQueryParameterName"]}}
    return None


def _is_authority(name: str) -> bool:
    return name.casefold() in {":authority", "host"}
