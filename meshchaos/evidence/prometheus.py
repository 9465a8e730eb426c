"""A Prometheus's HTTP API (version 1), as far as expectations need it."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final

from meshchaos.errors import EvidenceError, UserError
from meshchaos.experiment.config import PrometheusConfig
from meshchaos.experiment.secrets import resolve
from meshchaos.history.queries import AlertRule, Point, Series

if TYPE_CHECKING:
    import httpx

TIMEOUT: Final = 10.0
SKEW: Final = 5.0
"""Seconds that its clock may be off ours: phases are by ours, samples by its own. Date headers are whole seconds."""
_ATTEMPTS: Final = 3
_PAUSE: Final = 0.5


def headers_of(config: PrometheusConfig) -> dict[str, str]:
    """With their secrets; never to be written down. Raises UserError for one that is not there."""
    return {name: resolve(value) for name, value in config.headers.items()}


class Prometheus:
    """A client of one. Every method raises EvidenceError with what came instead of an answer."""

    def __init__(self, config: PrometheusConfig) -> None:
        """Raises UserError for a secret or a CA that is not there."""
        import httpx

        self._url = config.url.rstrip("/")
        self._client = httpx.Client(
            headers=headers_of(config), verify=_trusted(config), timeout=TIMEOUT, trust_env=False, follow_redirects=True
        )

    def instant(self, query: str, at: float) -> tuple[Series, ...]:
        """An instant query about the moment ``at``; a range selector gives all points of its range."""
        data = self._get("query", {"query": query, "time": f"{at:.3f}"})
        kind, result = data.get("resultType"), data.get("result")
        if kind == "scalar" and isinstance(result, list):
            return (Series({}, (_point(result),)),)
        if kind == "vector" and isinstance(result, list):
            return tuple(Series(one["metric"], (_point(one["value"]),)) for one in result)
        if kind == "matrix" and isinstance(result, list):
            return tuple(Series(one["metric"], tuple(map(_point, one["values"]))) for one in result)
        raise EvidenceError(f"the query gives a {kind}, and no number can be had from that")

    def alert_rules(self, name: str) -> tuple[AlertRule, ...]:
        """The alerting rules of that name."""
        groups = self._get("rules", {"type": "alert"}).get("groups") or []
        return tuple(
            AlertRule(str(group.get("name")), str(rule.get("health")), str(rule.get("lastError") or ""))
            for group in groups
            for rule in group.get("rules") or []
            if rule.get("name") == name
        )

    def close(self) -> None:
        self._client.close()

    def _get(self, what: str, parameters: Mapping[str, str]) -> Mapping[str, Any]:
        answer = self._answer(f"{self._url}/api/v1/{what}", parameters)
        try:
            found = json.loads(answer.content)
            if found["status"] != "success":
                raise EvidenceError(f"Prometheus says: {_cut(str(found.get('error')))}")
            data = found["data"]
        except (ValueError, KeyError, TypeError, AttributeError):
            text = _cut(answer.text)
            raise EvidenceError(f"{self._url} answers {answer.status_code}, and not as a Prometheus: {text}") from None
        self._compare_clocks(answer)
        return data if isinstance(data, dict) else {}

    def _answer(self, url: str, parameters: Mapping[str, str]) -> httpx.Response:
        """Tried again where the answer is that none can be had just now."""
        import httpx

        for attempt in range(1, _ATTEMPTS + 1):
            try:
                answer = self._client.get(url, params=dict(parameters))
            except httpx.HTTPError as error:
                if attempt == _ATTEMPTS:
                    raise EvidenceError(f"{self._url} does not answer: {error or type(error).__name__}") from error
            else:
                if answer.status_code < 500 or attempt == _ATTEMPTS:
                    return answer
            time.sleep(_PAUSE)
        raise AssertionError("unreachable")

    def _compare_clocks(self, answer: httpx.Response) -> None:
        try:
            theirs = parsedate_to_datetime(answer.headers["date"]).timestamp()
        except (KeyError, ValueError):
            return
        if abs(theirs - time.time()) > SKEW:
            raise EvidenceError(
                f"the clock of {self._url} is {theirs - time.time():+.0f} s off ours, so its samples are not about the "
                "phases of this run"
            )


def _trusted(config: PrometheusConfig) -> Any:
    import ssl

    try:
        return ssl.create_default_context(cafile=config.ca_file)
    except OSError as error:
        raise UserError(f"prometheus.caFile: {config.ca_file} cannot be read: {error.strerror or error}") from error


def _point(pair: Any) -> Point:
    return Point(float(pair[0]), str(pair[1]))


def _cut(text: str, limit: int = 300) -> str:
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
