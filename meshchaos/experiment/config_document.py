"""``meshchaos.yaml`` as it is written, and for its JSON Schema."""

# ruff: noqa: TRY004 - whatever is wrong with a value is a ValueError, whose text is for the user

from __future__ import annotations

import dataclasses
import ipaddress
import shlex
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from meshchaos.experiment.document import Count, Headers, LoadTarget, Method, Target
from meshchaos.experiment.fields import (
    About,
    Duration,
    HttpStatus,
    MaybeSecret,
    Name,
    OneOrMany,
    Parsed,
    Percentage,
    PositiveDuration,
    Rest,
    SecretRef,
    Share,
    Short,
    Text,
    spec,
)
from meshchaos.experiment.scalars import as_text
from meshchaos.units import shown

QUANTILE = r"p\d{1,2}(\.\d{1,4})?"


def _port(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 65535:
        raise ValueError(f"a port is a number from 1 to 65535, not {shown(value)}")
    return value


def _command(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        try:
            words = shlex.split(value)
        except ValueError as error:
            raise ValueError(f"{shown(value)} is no command line: {error}") from error
    elif isinstance(value, list | tuple):
        words = [as_text(word) for word in value]
    else:
        raise ValueError(f'a command is a list such as ["python", "ratings.py"], not {shown(value)}')
    if not words:
        raise ValueError("is empty: name a program")
    return tuple(words)


Command = Annotated[
    tuple[str, ...],
    Parsed(
        _command,
        {
            "anyOf": [
                {"type": "string", "minLength": 1},
                {"type": "array", "items": {"type": "string", "minLength": 1}, "minItems": 1},
            ]
        },
    ),
]
"""A program and its arguments; a text is split as a shell does, and no shell runs it."""
Port = Annotated[int, Parsed(_port, {"type": "integer", "minimum": 1, "maximum": 65535})]


@spec
class CallDoc:
    """A request that a stub makes before it answers; ``grpc://host:port/package.Service/Method`` gets a message
    that has nothing set.
    """

    url: Annotated[LoadTarget, About("of a service of the mesh, through the sidecar")]
    timeout: Annotated[PositiveDuration | None, About("of the program itself")] = None
    optional: Annotated[bool, About("without it the stub answers 502 when the call fails")] = False
    method: Annotated[Method, About("GET by itself")] = "GET"


@spec
class ErrorsDoc:
    """A share of answers that are errors."""

    share: Annotated[Share, About("how many answers")]
    status: Annotated[HttpStatus, About("500 by itself")] = 500


@spec
class StubDoc:
    """A program that answers 200 after its latency and its calls."""

    calls: Annotated[OneOrMany[Annotated[CallDoc, Short("url")]], About("one after another, before it answers")] = ()
    latency: Annotated[Duration, About("how long it takes beside its calls")] = 0.0
    errors: Annotated[Annotated[ErrorsDoc, Short("share")] | None, About("a share of its answers is an error")] = None
    concurrency: Annotated[Count | None, About("how many requests it works on at once; the others wait")] = None
    body: Annotated[Any, About("instead of JSON about the request")] = None


@spec
class WorkloadDoc:
    """How a Deployment runs here: a stub, or a program of the user's own (``command``, ``port``, ``env``)."""

    stub: Annotated[StubDoc | None, About("a program of ours in its stead")] = None
    command: Annotated[Command, About("a program of yours; it gets PORT and http_proxy")] = ()
    port: Annotated[Port | None, About("where it listens")] = None
    env: Annotated[Mapping[str, MaybeSecret], About("more of its environment; a value may be a secret")] = (
        dataclasses.field(default_factory=dict)
    )

    def check(self) -> None:
        if (self.stub is None) == (not self.command):
            raise ValueError("is either a `stub` or a `command`")
        if self.command and self.port is None:
            raise ValueError("a `command` needs the `port` it listens on")
        if self.stub is not None and (self.port is not None or self.env):
            raise ValueError("`port` and `env` belong to a `command`; a stub takes its port from the manifests")


@spec
class LocalDoc:
    """A mesh on this machine, from the user's own manifests."""

    manifests: Annotated[
        OneOrMany[Text], About("files and folders of Kubernetes and Istio YAML, relative to this file")
    ]
    workloads: Annotated[
        Mapping[str, WorkloadDoc],
        About("by Deployment: how it runs here; one not named is a stub that answers at once"),
    ] = dataclasses.field(default_factory=dict)
    inject: Annotated[Literal["labels", "all"], About("who has a sidecar: by Istio's own labels, or all")] = "labels"
    issuers: Annotated[OneOrMany[Text], About("token issuers that the mesh plays, with keys made at its start")] = ()
    endpoints: Annotated[
        OneOrMany[Text], About("networks beyond this machine to which ServiceEntries may lead: 10.1.0.0/16")
    ] = ()

    def check(self) -> None:
        if not self.manifests:
            raise ValueError("manifests is empty: name files or folders with Kubernetes YAML")
        for one in self.endpoints:
            try:
                ipaddress.IPv4Network(one)
            except ValueError as error:
                raise ValueError(f"endpoints: {one!r} is not a network such as 10.1.0.0/16: {error}") from error


@spec
class HealerDoc:
    """A Job in the cluster that puts back what a run changed when the runner and its machine are gone."""

    service_account: Annotated[Text, About("in the mesh's first namespace; `meshchaos rbac` prints it and its Roles")]
    image: Annotated[Text | None, About("with meshchaos in it, where it is another than the mesh's")] = None


@spec
class KubernetesDoc:
    """A cluster, by a context of the kubeconfig."""

    context: Annotated[Text, About("of the kubeconfig; in-cluster inside a Pod")]
    namespaces: Annotated[OneOrMany[Text], About("that experiments may be about")] = ()
    kubeconfig: Annotated[Text | None, About("another file than the usual")] = None
    image: Annotated[Text | None, About("with meshchaos in it, for Pods that send load and probes in the cluster")] = (
        None
    )
    healer: Annotated[HealerDoc | None, About("a Job that heals, beside the process on the runner's machine")] = None

    def check(self) -> None:
        if self.healer is not None and self.healer.image is None and self.image is None:
            raise ValueError("healer needs an image with meshchaos in it: name one by `image`")


@spec
class GatewayDoc:
    """The ingress gateway: ``name.namespace`` of its Service, and how it is reached."""

    service: Annotated[Text | None, About("its Service, name.namespace")] = None
    address: Annotated[Text | None, About("where it is reached from here")] = None
    ca_file: Annotated[Text | None, About("who signed its certificate")] = None
    cert_file: Annotated[Text | None, About("a client certificate to show")] = None
    key_file: Annotated[Text | None, About("its key")] = None


@spec
class PrometheusDoc:
    url: Annotated[Target, About("where it answers /api/v1")]
    token: Annotated[SecretRef | None, About("goes into Authorization as bearer")] = None
    headers: Annotated[Headers, About("a value may be a secret")] = dataclasses.field(default_factory=dict)
    ca_file: Annotated[Text | None, About("who signed its certificate")] = None


@spec
class ProtectedDoc:
    """What no fault touches."""

    namespaces: Annotated[OneOrMany[Text], About("no fault writes there")] = ()
    labels: Annotated[Mapping[str, Text], About("neither objects nor workloads that bear one of these")] = (
        dataclasses.field(default_factory=dict)
    )


@spec
class CapsDoc:
    """The most that one experiment may do."""

    percentage: Annotated[Percentage | None, About("of the requests on an edge that fail or wait")] = None
    pods: Annotated[Count | None, About("in which a fault acts, or which it ends")] = None
    duration: Annotated[PositiveDuration | None, About("of the fault phase")] = None


@spec
class SafetyDoc:
    """What experiments on this mesh may not do, whatever they say."""

    protected: Annotated[ProtectedDoc, About("what no fault touches")] = dataclasses.field(default_factory=ProtectedDoc)
    caps: Annotated[CapsDoc, About("the most that one experiment may do")] = dataclasses.field(default_factory=CapsDoc)
    production: Annotated[bool | None, About("ask twice; left out: where the context's name says so")] = None


@spec
class MeshDoc:
    """A mesh, either ``local`` or ``kubernetes``."""

    local: LocalDoc | None = None
    kubernetes: KubernetesDoc | None = None
    gateway: GatewayDoc | None = None
    prometheus: PrometheusDoc | None = None
    safety: SafetyDoc | None = None

    def check(self) -> None:
        if (self.local is None) == (self.kubernetes is None):
            raise ValueError("is either `local` or `kubernetes`")
        if self.local is not None and self.gateway is not None:
            raise ValueError("`gateway` belongs to a mesh on `kubernetes`: a local one knows its own")


@spec
class QuantilesDoc:
    """Quantile to its limit: ``{p99: 800ms}``."""

    limits: Annotated[Mapping[str, PositiveDuration], Rest(QUANTILE, "p50, p99, p99.9")]

    def check(self) -> None:
        if any(float(name[1:]) == 0 for name in self.limits):
            raise ValueError("p0 is no quantile: write p50, p99, p99.9")


@spec
class SloDoc:
    """What users were promised: a share of good answers, latencies, over a window."""

    success: Annotated[Share | None, About("the share of good responses promised")] = None
    latency: Annotated[QuantilesDoc | None, About("quantile: limit")] = None
    window: Annotated[PositiveDuration | None, About("the time that the promise is about")] = None

    def check(self) -> None:
        if self.success is None and self.latency is None:
            raise ValueError("promises neither `success` nor `latency`")
        if self.success is not None and not 0 < self.success < 1:
            raise ValueError("success lies above 0% and below 100%, which no number of requests can show")


@spec
class IssuerDoc:
    """Who signs the tokens that probes show: a private key in PEM (RSA or ECDSA), by its file."""

    key_file: Annotated[Text, About("a private key in PEM, RSA or ECDSA")]
    key_id: Annotated[Text | None, About("kid in the token's header")] = None


@spec
class ConfigDoc:
    """``meshchaos.yaml``. ``defaultMesh`` may be left out where there is one mesh."""

    meshes: Mapping[Name, MeshDoc] = dataclasses.field(default_factory=dict)
    default_mesh: Annotated[Text | None, About("when neither the experiment nor --mesh names one")] = None
    slos: Mapping[Text, SloDoc] = dataclasses.field(default_factory=dict)
    issuers: Mapping[Text, IssuerDoc] = dataclasses.field(default_factory=dict)
