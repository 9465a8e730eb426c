"""From the loads of an experiment to plans that a generator can carry out: secrets resolved, paths joined."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from meshchaos.errors import FileError, UserError
from meshchaos.experiment.model import Load, Request, TextOrSecret
from meshchaos.history.samples import sample_file
from meshchaos.load.driver import LoadPlan, RequestPlan
from meshchaos.mesh.grpc import frame
from meshchaos.mesh.seam import Entry

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_FIELD = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*")
_TARGET = re.compile(r"/[^\x00-\x20\x7f]*|\*")
_OURS: Final = {
    "x-request-id": "meshchaos sets it itself, so that a sample meets its lines in the proxies' logs",
    "content-length": "it follows from the body",
    "transfer-encoding": "bodies are sent whole, with their length",
    "connection": "connections are the generator's to keep",
    "te": "a gRPC call says it by itself, and nothing else does",
}


def plan_loads(
    loads: tuple[Load, ...],
    *,
    entry: Callable[[Load], Entry],
    reveal: Callable[[TextOrSecret], str],
    run_id: str,
    seed: int,
    folder: Path,
    duration: float,
    ramp: float = 0.0,
) -> list[LoadPlan]:
    """A plan for each load; its samples and log go into ``folder``.

    ``entry`` says how a load gets into the mesh (``Mesh.entry``), ``reveal`` resolves a secret at run time.
    ``duration`` in seconds is the longest that arrivals may go on, whatever becomes of the runner; ``ramp`` is the part
    of the warm-up in which the rate rises (see ``LoadPlan``).
    Raises UserError (FileError where the place is known): a header or path that cannot be sent.
    """
    folder = folder.absolute()
    plans = []
    for index, load in enumerate(loads):
        way = entry(load)
        if way.tls is not None and load.locustfile is not None:
            raise _mistake(load, f"load {load.name}: a locustfile is not led to an https target yet; use http")
        plans.append(
            LoadPlan(
                name=load.name,
                index=index,
                run_id=run_id,
                entry=way,
                target=load.target,
                requests=tuple(_request(load, request, reveal) for request in load.requests),
                rate=load.rate,
                arrivals=load.arrivals,
                timeout=load.timeout,
                max_in_flight=load.max_in_flight,
                seed=seed,
                duration=duration,
                samples=sample_file(folder, load.name),
                log=folder / f"locust-{load.name}.log",
                locustfile=Path(load.locustfile).absolute() if load.locustfile else None,
                users=load.users,
                ramp=ramp,
            )
        )
    return plans


def _request(load: Load, request: Request, reveal: Callable[[TextOrSecret], str]) -> RequestPlan:
    method = request.method.upper()
    if not _TOKEN.fullmatch(method):
        raise _mistake(load, f"request {request.name}: {request.method!r} is not an HTTP method")
    path = _path(load, request)
    headers = {}
    for name, given in request.headers.items():
        if not _TOKEN.fullmatch(name):
            raise _mistake(load, f"request {request.name}: {name!r} is not a header name")
        if reason := _OURS.get(name.lower()):
            raise _mistake(load, f"request {request.name}: leave the header {name} out: {reason}")
        value = reveal(given).strip()  # a secret's file ends in a newline
        if not _FIELD.fullmatch(value):
            # Not the value: it may be a secret.
            raise _mistake(load, f"request {request.name}: the value of {name} holds a line break or control character")
        headers[name] = value
    body = reveal(request.body).encode() if request.body is not None else None
    if load.grpc:
        body = frame(_message(load, request))
    return RequestPlan(request.name, method, path, headers, body, request.weight)


def _message(load: Load, request: Request) -> bytes:
    from meshchaos.load.messages import encode

    try:
        return encode(request.path, request.message, Path(load.protoset) if load.protoset else None)
    except UserError as error:
        raise _mistake(load, f"request {request.name}: {error}") from error


def _path(load: Load, request: Request) -> str:
    """The request's path with its query, without a fragment (RFC 9112, 3.2.1); the target's where it has none."""
    target = urlsplit(load.target)
    path = request.path or (target.path or "/") + (f"?{target.query}" if target.query else "")
    path = path.partition("#")[0]
    if not path.isascii() or not _TARGET.fullmatch(path):
        raise _mistake(load, f"request {request.name}: {path!r} is not a path; it starts with / and is percent-encoded")
    return path


def _mistake(load: Load, message: str) -> UserError:
    where = load.where
    if where is None:
        return UserError(message)
    return FileError(message, file=where.file, line=where.line, col=where.col, path=where.path)
