"""Retry policies (``networking/core/route/retry/retry.go``)."""

from __future__ import annotations

import http
from collections.abc import Mapping
from typing import Any

from meshchaos.mesh.local.translate.names import Json, duration, extension

DEFAULT_RETRY_ON = "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes"
"""What Istio retries where nobody says otherwise: no 503 that came from a server."""

_PREVIOUS_HOSTS: list[Json] = [
    {
        "name": "envoy.retry_host_predicates.previous_hosts",
        "typed_config": extension("retry.host.previous_hosts.v3.PreviousHostsPredicate"),
    }
]
_PREVIOUS_PRIORITIES: Json = {
    "name": "envoy.retry_priorities.previous_priorities",
    "typed_config": extension("retry.priority.previous_priorities.v3.PreviousPrioritiesConfig", update_frequency=2),
}
_STATUS = {status.value for status in http.HTTPStatus}

INBOUND: Json = {"retry_on": "reset-before-request", "num_retries": 2}
"""The server's sidecar towards its application: only what never reached it."""


def retry_policy(retries: Mapping[str, Any] | None, *, hashed: bool = False) -> Json | None:
    """A route's ``retry_policy``; None switches retries off. ``hashed``: with consistent hashing another host would
    be the wrong one, so previous hosts are not avoided.
    """
    policy: Json = {"retry_on": DEFAULT_RETRY_ON, "num_retries": 2, "host_selection_retry_max_attempts": 5}
    if not hashed:
        policy["retry_host_predicate"] = _PREVIOUS_HOSTS
    if retries is None:
        return policy
    attempts = int(retries.get("attempts") or 0)
    if attempts <= 0:
        return None
    policy["num_retries"] = attempts
    if retries.get("retryOn"):
        policy.update(_retry_on(str(retries["retryOn"])))
    if retries.get("perTryTimeout"):
        policy["per_try_timeout"] = duration(retries["perTryTimeout"])
    ignore = retries.get("retryIgnorePreviousHosts")
    if ignore is True:
        policy["retry_host_predicate"] = _PREVIOUS_HOSTS
    elif ignore is False:
        policy.pop("retry_host_predicate", None)
    if retries.get("retryRemoteLocalities"):
        policy["retry_priority"] = _PREVIOUS_PRIORITIES
    if retries.get("backoff"):
        policy["retry_back_off"] = {"base_interval": duration(retries["backoff"])}
    return policy


def _retry_on(text: str) -> Json:
    words = [word.strip() for word in text.split(",") if word.strip()]
    codes = [int(word) for word in words if word.isdigit() and int(word) in _STATUS]
    conditions = [word for word in words if not (word.isdigit() and int(word) in _STATUS)]
    if codes and "retriable-status-codes" not in conditions:
        conditions.append("retriable-status-codes")
    fields: Json = {"retry_on": ",".join(conditions)}
    if codes:
        fields["retriable_status_codes"] = codes
    return fields
