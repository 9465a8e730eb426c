"""``*.chaos.yaml`` as it is written: the shapes that pydantic validates and the JSON Schema is made of."""

# ruff: noqa: TRY004 - whatever is wrong with a value is a ValueError, whose text is for the user

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from meshchaos import units
from meshchaos.experiment.fields import (
    About,
    Duration,
    MaybeSecret,
    Name,
    OneOrMany,
    Parsed,
    Percentage,
    PositiveDuration,
    Rate,
    SecretRef,
    Share,
    Short,
    Text,
    spec,
)
from meshchaos.experiment.model import TextOrSecret
from meshchaos.experiment.scalars import TOKEN, as_text, as_text_or_secret, header_name
from meshchaos.units import shown

API_VERSION: Final = "meshchaos.dev/v1"
LOWEST_CONFIDENCE: Final = 0.9
_HEADERS_SCHEMA = {"type": "object", "additionalProperties": {"type": ["string", "number", "object"]}}


def _target(value: Any, schemes: Sequence[str] = ("http", "https")) -> str:
    text = as_text(value).strip()
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError as error:
        raise ValueError(f"{shown(text)} is no URL: {error}") from error
    if url.scheme not in schemes or not url.hostname:
        raise ValueError(f"{shown(text)} is no absolute URL: write for instance http://bookinfo.example/productpage")
    if url.username is not None or url.password is not None:
        raise ValueError("has a user in the URL: write a `token:` or a header as {env: NAME}")
    if url.fragment or re.search(r"[\s\x00-\x1f\x7f]", text) or port == 0:
        raise ValueError(f"{shown(text)} is no URL for a request (a fragment, a space or port 0 is in it)")
    if not text.isascii():
        raise ValueError(f"{shown(text)} has characters that a URL must escape (%C3%BC, xn--...)")
    return text


def _load_target(value: Any) -> str:
    if isinstance(value, str) and value.strip().startswith("grpcs:"):
        raise ValueError("gRPC over TLS from the load itself is not built yet: write grpc://, the proxies encrypt")
    return _target(value, ("http", "https", "grpc"))


def _path(value: Any) -> str:
    text = as_text(value)
    if not text.startswith("/") or not text.isascii() or re.search(r"[\s#\x00-\x1f\x7f]", text):
        raise ValueError(f"{shown(text)} is no path: it starts with / and has neither spaces, # nor other than ASCII")
    return text


def _method(value: Any) -> str:
    if not isinstance(value, str) or TOKEN.fullmatch(value) is None:
        raise ValueError(f"{shown(value)} is no HTTP method")
    if value.upper() == "CONNECT":
        raise ValueError("CONNECT is no request that a load sends")
    return value.upper()


def _headers(value: Any) -> Mapping[str, TextOrSecret]:
    if not isinstance(value, Mapping):
        raise ValueError(f"headers are a mapping of names to values, not {shown(value)}")
    found: dict[str, TextOrSecret] = {}
    for name, text in value.items():
        if header_name(name) in {key.lower() for key in found}:
            raise ValueError(f"the header {header_name(name)} is there twice")
        try:
            made = as_text_or_secret(text)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
        if isinstance(made, str) and re.search(r"[\r\n\x00]", made):
            raise ValueError(f"{name}: a header's value has one line")
        found[name] = made
    return found


def _message(value: Any) -> str:
    if not isinstance(value, Mapping) or any(not isinstance(key, str) for key in value):
        raise ValueError(f"a message is a mapping of its fields to values, as in JSON, not {shown(value)}")
    try:
        return json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"a message is JSON: {error}") from error


def _weight(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1e6:
        raise ValueError(f"a weight is a number above 0, not {shown(value)}")
    return float(value)


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 1_000_000:
        raise ValueError(f"must be a whole number from 1 on, not {shown(value)}")
    return value


def _confidence(value: Any) -> float:
    share = units.parse_share(value)
    if not LOWEST_CONFIDENCE <= share < 1:
        raise ValueError(f"must be at least 90% and below 100%, not {value}")
    return share


Target = Annotated[str, Parsed(_target, {"type": "string", "pattern": "^https?://[^/\\s@]+"})]
LoadTarget = Annotated[str, Parsed(_load_target, {"type": "string", "pattern": "^(https?|grpc)://[^/\\s@]+"})]
Path = Annotated[str, Parsed(_path, {"type": "string", "pattern": "^/[^\\s#]*$"})]
Method = Annotated[str, Parsed(_method, {"type": "string", "examples": ["GET", "POST"]})]
Headers = Annotated[Mapping[str, TextOrSecret], Parsed(_headers, _HEADERS_SCHEMA)]
Message = Annotated[str, Parsed(_message, {"type": "object"})]
"""JSON of an object, its keys in the order of the file."""
Weight = Annotated[float, Parsed(_weight, {"type": "number", "exclusiveMinimum": 0})]
Count = Annotated[int, Parsed(_count, {"type": "integer", "minimum": 1})]
Confidence = Annotated[
    float, Parsed(_confidence, {"type": "string", "pattern": r"^\s*9\d(\.\d+)?\s?%\s*$", "examples": ["95%", "99%"]})
]


@spec
class MetadataDoc:
    """Who the experiment is. ``namespace``: where short names of services are looked up."""

    name: Annotated[Name, About("what runs, reports and JUnit call it")]
    namespace: Annotated[
        Text | None, About("where short names of services are looked up; by itself the mesh's first")
    ] = None
    labels: Annotated[Mapping[str, Text], About("to select by: meshchaos run -l tier=web")] = dataclasses.field(
        default_factory=dict
    )


@spec
class RequestDoc:
    """One kind of request; what is left out is the load's own. ``weight`` is relative to the others'."""

    name: Annotated[Text | None, About("what expectations call it by `request`")] = None
    weight: Annotated[Weight, About("how often, relative to the others")] = 1.0
    method: Annotated[Method | None, About("GET by itself")] = None
    path: Annotated[Path | None, About("on the load's target")] = None
    headers: Annotated[Headers, About("beside the load's own")] = dataclasses.field(default_factory=dict)
    body: Annotated[MaybeSecret | None, About("a text, or a secret")] = None
    token: Annotated[SecretRef | None, About("goes into Authorization as bearer")] = None
    message: Annotated[Message | None, About("of a gRPC call, as in JSON")] = None


@spec
class LoadDoc:
    """A stream of requests. ``from``: gateway, outside, or a workload. A target ``grpc://host:port/package.Service/Method``
    is called with ``message``, by the descriptors in the file ``protoset``.
    """

    target: Annotated[LoadTarget, About("a URL; grpc://host:port/package.Service/Method calls that method")]
    name: Annotated[Name | None, About("what expectations call it by `load`; main by itself")] = None
    from_: Annotated[
        Text,
        About("where it starts: gateway, outside (a client without a sidecar), or a workload (through its sidecar)"),
    ] = "gateway"
    rate: Annotated[Rate | None, About("requests a second, open loop: 200, 200/s, 1200/m")] = None
    arrivals: Annotated[Literal["poisson", "uniform"], About("at random, or evenly")] = "poisson"
    timeout: Annotated[PositiveDuration, About("when a request is given up; 10s by itself")] = 10.0
    max_in_flight: Annotated[
        Count | None, About("an arrival beyond is dropped and counts as bad; 2 x rate x timeout by itself")
    ] = None
    method: Annotated[Method | None, About("GET by itself")] = None
    headers: Annotated[Headers, About("a value may be a secret")] = dataclasses.field(default_factory=dict)
    body: Annotated[MaybeSecret | None, About("a text, or a secret")] = None
    token: Annotated[SecretRef | None, About("goes into Authorization as bearer; never written down")] = None
    message: Annotated[Message | None, About("of a gRPC call, as in JSON")] = None
    protoset: Annotated[
        Text | None, About("descriptors of the gRPC method: protoc --include_imports --descriptor_set_out")
    ] = None
    requests: Annotated[OneOrMany[RequestDoc], About("several kinds, each shown by itself")] = ()
    locustfile: Annotated[
        Text | None, About("users of your own instead of a rate: a closed model, and labelled so")
    ] = None
    users: Annotated[Count | None, About("how many of them")] = None


@spec
class LengthDoc:
    """``60s``, or a length that an early verdict may cut short, not before ``atLeast``."""

    at_most: Annotated[PositiveDuration, About("how long it lasts when nothing is decided before")]
    at_least: Annotated[PositiveDuration | None, About("the earliest moment of an early verdict")] = None

    def check(self) -> None:
        if self.at_least is not None and self.at_least > self.at_most:
            raise ValueError("atLeast is longer than atMost")


Length = Annotated[LengthDoc, Short("atMost")]


@spec
class PhasesDoc:
    """How long each phase lasts: with faults warmup, baseline, fault, recovery; without warmup, observe."""

    warmup: Annotated[Duration | None, About("load that nobody judges; 2s by itself")] = None
    baseline: Annotated[Duration | None, About("the steady state before the fault; 10s by itself")] = None
    observe: Annotated[Length | None, About("the one phase of an experiment without faults; 60s by itself")] = None
    fault: Annotated[Length | None, About("while the faults are live; 60s by itself")] = None
    recovery: Annotated[Duration | None, About("after the faults are gone; 20s by itself, 0s leaves it away")] = None


@spec
class BelowDoc:
    """Heal at once when the success share is below, for sure."""

    below: Annotated[Share, About("the share of good responses")]
    load: Annotated[Text | None, About("only this load")] = None
    request: Annotated[Text | None, About("only these requests")] = None
    to: Annotated[
        Text | None, About("instead of the load's requests those to this service, by the clients' proxies")
    ] = None
    from_: Annotated[OneOrMany[Text], About("only the requests of these workloads, with `to`")] = ()

    def check(self) -> None:
        if self.from_ and self.to is None:
            raise ValueError("`from` names one end of an edge: say with `to` which service is called")
        if self.to is not None and (self.load is not None or self.request is not None):
            raise ValueError("an edge (from, to) is judged by its clients' proxies, which know of no load or request")


@spec
class StopIfDoc:
    success: Annotated[BelowDoc, About("over the last 10 s, and since the fault")]


@spec
class DeadlinesDoc:
    """Until when a change must be live, gone, everything healed, and the run over."""

    live: Annotated[PositiveDuration, About("a change is live in every proxy; 30s by itself")] = 30.0
    gone: Annotated[PositiveDuration, About("it is gone from them; 30s by itself")] = 30.0
    heal: Annotated[PositiveDuration, About("everything is put back; 2m by itself")] = 120.0
    run: Annotated[PositiveDuration, About("the whole run; 15m by itself. Past it: heal, ERROR")] = 900.0


@spec
class BodyDoc:
    """``spec``. Faults and expectations are validated by the kinds that are registered."""

    expect: OneOrMany[Any]
    hypothesis: Annotated[str, About("what you believe, in a sentence")] = ""
    mesh: Annotated[Text | None, About("a name in meshchaos.yaml; --mesh goes before")] = None
    load: OneOrMany[LoadDoc] = ()
    phases: PhasesDoc = dataclasses.field(default_factory=PhasesDoc)
    faults: OneOrMany[Any] = ()
    stop_if: Annotated[StopIfDoc | None, About("when to heal at once; the verdict is FAIL then")] = None
    confidence: Annotated[Confidence, About("of every verdict; 95% by itself, 90% is the least")] = 0.95
    deadlines: DeadlinesDoc = dataclasses.field(default_factory=DeadlinesDoc)
    overrides: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@spec
class ExperimentDoc:
    api_version: Literal["meshchaos.dev/v1"]
    kind: Literal["Experiment"]
    metadata: MetadataDoc
    spec: BodyDoc


@spec
class TimingDoc:
    """What every fault may say beside its kind's own fields: when it is live inside the fault phase."""

    after: Annotated[Duration, About("how long after the fault phase began it comes; 0s by itself")] = 0.0
    for_: Annotated[PositiveDuration | None, About("how long it lasts; by itself to the end of the phase")] = None


@spec
class RampDoc:
    """A percentage that rises, or falls, in equal steps of equal length: ``from`` is the level before the first step,
    the last step is at ``to``.
    """

    to: Annotated[Percentage, About("of the last step")]
    from_: Annotated[Percentage, About("the level before the first step; 0 by itself")] = 0.0
    steps: Annotated[int, About("how many steps; 10 by itself")] = 10

    def check(self) -> None:
        if not 1 <= self.steps <= 100:
            raise ValueError("steps must be 1 to 100")
        if self.from_ == self.to:
            raise ValueError("a ramp goes from one percentage to another")

    @property
    def levels(self) -> tuple[float, ...]:
        """0..100, one a step, in Envoy's steps of 0.0001."""
        rise = (self.to - self.from_) / self.steps
        return tuple(round(self.from_ + rise * (step + 1), 4) for step in range(self.steps))


@spec
class ScopeDoc:
    """What every expectation may say beside its kind's own fields."""

    during: Annotated[
        OneOrMany[Literal["baseline", "fault", "recovery", "observe", "all"]],
        About("its phases; by itself fault (without faults observe), and every phase for denied, allowed, mutualTLS"),
    ] = ()
    name: Annotated[Text | None, About("instead of the one made of kind, quantile and scope")] = None
    load: Annotated[Text | None, About("only the requests of this load")] = None
    request: Annotated[Text | None, About("only requests of this name")] = None
