"""``spec.load`` from its written form to the model's: defaults, requests, tokens."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from meshchaos.experiment.document import LoadDoc, RequestDoc
from meshchaos.experiment.model import Load, Request, Secret, TextOrSecret
from meshchaos.experiment.problems import Problems
from meshchaos.experiment.secrets import located
from meshchaos.experiment.tree import Loc

DEFAULT_NAME: Final = "main"
"""What the only load is called when it has no name."""

_OPEN_ONLY = (
    "rate",
    "arrivals",
    "maxInFlight",
    "method",
    "headers",
    "body",
    "token",
    "requests",
    "message",
    "protoset",
)
_OF_GRPC: Final = ("message", "protoset")
_OF_HTTP: Final = ("method", "body")
_CALL: Final = re.compile(r"/[A-Za-z_][\w.]*/[A-Za-z_]\w*")


def default_cap(rate: float, timeout: float) -> int:
    """Requests in flight at most, when the file does not say: 2 x rate x timeout (semantics.md: a hang must FAIL)."""
    return max(1, math.ceil(2 * rate * timeout))


def loads_of(docs: tuple[LoadDoc, ...], written: list[Any], problems: Problems, folder: Path) -> tuple[Load, ...]:
    """``written``: the same loads as plain data, for which keys are there. Adds to ``problems``."""
    loads: list[Load] = []
    for index, doc in enumerate(docs):
        loc: Loc = ("spec", "load", index)
        name = doc.name or DEFAULT_NAME
        if doc.name is None and len(docs) > 1:
            problems.add("each of several loads needs a `name`", loc)
        elif name in {load.name for load in loads}:
            problems.add(f"two loads are named {name!r}", (*loc, "name"))
        loads.append(
            _closed(doc, name, written[index], problems, loc=loc, folder=folder)
            if doc.locustfile is not None
            else _open(doc, name, written[index], problems, loc=loc, folder=folder)
        )
    return tuple(loads)


def _open(doc: LoadDoc, name: str, written: Mapping[str, Any], problems: Problems, *, loc: Loc, folder: Path) -> Load:
    if doc.users is not None:
        problems.add("`users` belong to a closed load: write `rate`, or a `locustfile`", (*loc, "users"), at_key=True)
    if doc.rate is None:
        problems.add("`rate` is missing: requests per second, such as rate: 200", loc, at_key=True)
    rate = doc.rate or 1.0
    docs = doc.requests or (RequestDoc(),)
    _check_keys(doc, written, problems, loc)
    requests: list[Request] = []
    for index, one in enumerate(docs):
        place = (*loc, "requests", index) if doc.requests else loc
        request = _request(doc, one, problems, place, folder)
        if request.name in {other.name for other in requests}:
            problems.add(f"two requests are named {request.name!r}: give each a `name`", place)
        requests.append(request)
    return Load(
        name=name,
        target=doc.target,
        source=doc.from_,
        rate=rate,
        arrivals=doc.arrivals,
        timeout=doc.timeout,
        max_in_flight=doc.max_in_flight or default_cap(rate, doc.timeout),
        requests=tuple(requests),
        where=problems.where(loc),
        protoset=str((folder / Path(doc.protoset).expanduser()).absolute()) if doc.protoset is not None else None,
    )


def _check_keys(doc: LoadDoc, written: Mapping[str, Any], problems: Problems, loc: Loc) -> None:
    """What belongs to gRPC only, or to HTTP only."""
    grpc = _is_grpc(doc)
    several = written.get("requests")
    places: list[tuple[Any, Loc]] = [(written, loc)]
    if doc.requests:
        each = several if isinstance(several, list) else [several]
        places += [(one, (*loc, "requests", index)) for index, one in enumerate(each)]
    for keys, place in places:
        for key in _OF_HTTP if grpc else _OF_GRPC:
            if key in keys:
                text = (
                    f"`{key}` is of HTTP: a gRPC call has a `message`, and its method is in the target's path"
                    if grpc
                    else f"`{key}` is of gRPC: write a target grpc://host:port/package.Service/Method"
                )
                problems.add(text, (*place, key), at_key=True)


def _is_grpc(doc: LoadDoc) -> bool:
    return doc.target.startswith("grpc://")


def _closed(doc: LoadDoc, name: str, written: Mapping[str, Any], problems: Problems, *, loc: Loc, folder: Path) -> Load:
    if _is_grpc(doc):
        text = "a locustfile's users make their own calls: write an http target, and what they call in the locustfile"
        problems.add(text, (*loc, "target"))
    for key in _OPEN_ONLY:
        if key in written:
            text = f"`{key}` belongs to an open load: with a `locustfile` its users decide what is sent, and when"
            problems.add(text, (*loc, key), at_key=True)
    if doc.users is None:
        problems.add("`users` is missing: how many users the locustfile runs with", loc, at_key=True)
    users = doc.users or 1
    return Load(
        name=name,
        target=doc.target,
        source=doc.from_,
        rate=None,
        arrivals=doc.arrivals,
        timeout=doc.timeout,
        max_in_flight=users,
        requests=(),
        locustfile=str((folder / Path(doc.locustfile or "").expanduser()).absolute()),
        users=users,
        where=problems.where(loc),
    )


def _request(load: LoadDoc, doc: RequestDoc, problems: Problems, loc: Loc, folder: Path) -> Request:
    target = urlsplit(load.target)
    path = doc.path or (target.path or "/") + (f"?{target.query}" if target.query else "")
    grpc = _is_grpc(load)
    method = "POST" if grpc else doc.method or load.method or "GET"
    if grpc and _CALL.fullmatch(path) is None:
        text = f"{path} names no gRPC method: write /package.Service/Method"
        problems.add(text, (*loc, "path" if doc.path is not None else "target"))
    headers = _merged_headers(load.headers, doc.headers, folder)
    token = doc.token or load.token
    if token is not None:
        if "authorization" in {name.lower() for name in headers}:
            problems.add("`token` is the Authorization header, which `headers` has too: write one of them", loc)
        bearer = located(token, folder)
        headers["Authorization"] = Secret(bearer.source, bearer.name, prefix="Bearer ")
    body = load.body if doc.body is None else doc.body
    return Request(
        name=doc.name or (path[1:] if grpc else f"{method} {path.partition('?')[0]}"),
        method=method,
        path=path,
        headers=headers,
        body=located(body, folder) if isinstance(body, Secret) else body,
        weight=doc.weight,
        message=doc.message if doc.message is not None else load.message,
    )


def _merged_headers(
    load: Mapping[str, TextOrSecret], own: Mapping[str, TextOrSecret], folder: Path
) -> dict[str, TextOrSecret]:
    """The load's headers, those of the request over them; names differ in more than case."""
    over = {name.lower() for name in own}
    both = {name: value for name, value in load.items() if name.lower() not in over} | dict(own)
    return {name: located(value, folder) if isinstance(value, Secret) else value for name, value in both.items()}
