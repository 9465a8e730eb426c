"""The API server, by the official client: the one module that imports it, with ``forward``, once a cluster is opened.

Errors of the API become ours. A request that may be repeated is repeated: on 429 and 503 as the server asks, on 500,
502, 504 and a cut connection a little later, for ``PATIENCE`` seconds in all. A write whose answer was cut is repeated,
too; who writes must know its own work again (``writing``).
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import ssl
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from meshchaos.errors import MeshError, MeshGone, UserError
from meshchaos.mesh.kubernetes.status import Expired, of_status

PATIENCE: Final = 10.0
"""Seconds for which a request is tried again."""
_PAUSE: Final = 0.2
_TIMEOUT: Final = (5.0, 30.0)
"""Seconds to connect, and to wait for an answer's next bytes."""
_AGAIN: Final = frozenset({429, 500, 502, 503, 504})

IN_CLUSTER: Final = "in-cluster"
"""The context of a Pod that talks to its own cluster by its service account."""


class Api:
    """One API server. Calls may come from several threads."""

    def __init__(self, dynamic: Any, context: str) -> None:
        self._dynamic = dynamic
        self.context = context

    @property
    def server(self) -> str:
        """Its URL."""
        return str(self._dynamic.configuration.host)

    def get(self, path: str, query: Mapping[str, str] | None = None, *, accept: str = "") -> dict[str, Any]:
        """The JSON of an answer. Raises NotFound, Forbidden, MeshGone, MeshError."""
        return _object(self._patiently("GET", path, None, query, accept))

    def call(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, query: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """The JSON of an answer. Raises NotFound, AlreadyExists, Conflict, Forbidden, Refused, MeshGone, MeshError."""
        return _object(self._patiently(method, path, body, query))

    def listing(self, path: str, query: Mapping[str, str] | None = None, *, chunk: int = 500) -> list[dict[str, Any]]:
        """All items of a collection, fetched in chunks, each with the list's apiVersion and kind. It is begun again
        where it expired under way (410). Raises as ``get``.
        """
        while True:
            items: list[dict[str, Any]] = []
            more = {**(query or {}), "limit": str(chunk)}
            try:
                while True:
                    page = self.get(path, more)
                    kind = str(page.get("kind", "")).removesuffix("List")
                    items += ({"apiVersion": page.get("apiVersion"), "kind": kind, **item} for item in page["items"])
                    token = (page.get("metadata") or {}).get("continue")
                    if not token:
                        return items
                    more["continue"] = str(token)
            except Expired:
                continue

    def text(self, path: str, query: Mapping[str, str] | None = None) -> str:
        """An answer as text: of a Pod's own port through the API server's proxy. Raises as ``get``."""
        return self._patiently("GET", path, None, query).decode("utf-8", "replace")

    def lines(self, path: str, query: Mapping[str, str]) -> Stream:
        """An answer that goes on, line by line. Raises as ``get``."""
        return Stream(self._once("GET", path, None, query, timeout=(_TIMEOUT[0], None)))

    def tunnel(self, namespace: str, pod: str, port: int) -> Any:
        """A socket to a port in a Pod's own network namespace, loopback included. Raises as ``get``."""
        from meshchaos.mesh.kubernetes.forward import portforward_call

        url = f"{self.server}/api/v1/namespaces/{quote(namespace)}/pods/{quote(pod)}/portforward"
        query = [("ports", str(port))]
        forward = self._upgraded(portforward_call, url, query, f"port-forward to {pod}.{namespace}")
        return forward.socket(port)

    def execute(self, namespace: str, pod: str, container: str, command: Sequence[str]) -> bytes:
        """Standard output of a command in a container. Raises as ``get``."""
        from kubernetes.stream import ws_client

        url = f"{self.server}/api/v1/namespaces/{quote(namespace)}/pods/{quote(pod)}/exec"
        query = [("container", container), ("stdout", "true"), ("stderr", "true")]
        query += [("command", word) for word in command]
        what = f"exec in {pod}.{namespace}"
        client = self._upgraded(ws_client.websocket_call, url, query, what, binary=True)
        client.run_forever(timeout=_TIMEOUT[1])
        output: bytes = client.read_stdout(timeout=0) or b""
        if client.returncode:
            words = (client.read_stderr(timeout=0) or b"").decode("utf-8", "replace").strip()
            raise MeshError(f"{what}: {' '.join(command)} ended with {client.returncode}: {words}")
        return output

    def close(self) -> None:
        """Ends its connections."""
        self._dynamic.client.close()

    def _patiently(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None,
        query: Mapping[str, str] | None,
        accept: str = "",
    ) -> bytes:
        end = time.monotonic() + PATIENCE
        while True:
            try:
                answer = self._once(method, path, body, query, timeout=_TIMEOUT, accept=accept)
                data: bytes = answer.data
                return data
            except _Later as later:
                if time.monotonic() + later.after >= end:
                    raise later.error from later.__cause__
                time.sleep(later.after)

    def _once(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None,
        query: Mapping[str, str] | None,
        *,
        timeout: tuple[float, float | None],
        accept: str = "",
    ) -> Any:
        from kubernetes.client.exceptions import ApiException
        from kubernetes.dynamic.exceptions import DynamicApiError
        from urllib3.exceptions import HTTPError

        try:
            return self._dynamic.request(
                method,
                path,
                body=dict(body) if body is not None else None,
                query_params=list((query or {}).items()),
                header_params={"Accept": f"{accept}, application/json" if accept else "application/json, */*"},
                serialize=False,
                _request_timeout=timeout,
            )
        except (ApiException, DynamicApiError) as error:
            failure = of_status(int(error.status or 0), error.body, f"{method} {path}", self.context)
            if int(error.status or 0) in _AGAIN:
                raise _Later(failure, _retry_after(error.headers)) from error
            raise failure from error
        except (HTTPError, OSError) as error:
            gone = MeshGone(f"the API server of context {self.context} ({self.server}) does not answer: {_why(error)}")
            raise _Later(gone, _PAUSE) from error

    def _upgraded(self, call: Any, url: str, query: list[tuple[str, str]], what: str, **more: Any) -> Any:
        """A WebSocket of the API's. The client's functions take what its generated methods give them."""
        from kubernetes.client.exceptions import ApiException

        headers: dict[str, str] = {}
        self._dynamic.client.update_params_for_auth(headers, query, ["BearerToken"], None, None, None)
        try:
            return call(
                self._dynamic.configuration,
                "GET",
                url,
                query_params=query,
                headers={key.lower(): value for key, value in headers.items()},
                _request_timeout=_TIMEOUT[1],
                _preload_content=False,
                **more,
            )
        except ApiException as error:
            reason = str(error.reason or "")
            for status in (401, 403, 404):
                if str(status) in reason.split(" ", 4) or f" {status} " in reason:
                    raise of_status(status, reason, what, self.context) from error
            raise MeshError(f"{what}: {reason.splitlines()[0] if reason else error}") from error
        except (OSError, http.client.HTTPException) as error:
            raise MeshGone(f"{what}: {_why(error)}") from error


def _object(data: bytes) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except ValueError as error:
        raise MeshError(f"the API server's answer is no JSON: {data[:100]!r}") from error
    assert isinstance(found, dict)
    return found


class Stream:
    """Lines as they come, without their ends. ``close`` may be called by another thread."""

    def __init__(self, response: Any) -> None:
        self._response = response

    def __iter__(self) -> Iterator[bytes]:
        """Ends with the answer. Raises MeshGone where it is cut."""
        from urllib3.exceptions import HTTPError

        rest = b""
        try:
            while True:
                block = self._response.read1()
                if not block:
                    return
                *whole, rest = (rest + block).split(b"\n")
                yield from whole
        except (HTTPError, OSError, ValueError, AttributeError) as error:
            raise MeshGone(f"the stream was cut: {_why(error)}") from error

    def close(self) -> None:
        """A reader that waits is woken."""
        connection = getattr(self._response, "connection", None) or getattr(self._response, "_connection", None)
        end = getattr(connection, "sock", None)
        if end is not None:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        self._response.close()


class _Later(Exception):
    """May be tried again in ``after`` seconds."""

    def __init__(self, error: MeshError, after: float) -> None:
        super().__init__(str(error))
        self.error = error
        self.after = after


def connect(context: str, kubeconfig: Path | None = None) -> Api:
    """The API server of a kubeconfig's context, or of the cluster around us (``in-cluster``). Raises UserError for what
    is missing: the client, the file, the context.
    """
    try:
        import kubernetes
        from kubernetes.dynamic import DynamicClient
    except ImportError as error:
        raise UserError(
            "meshes on Kubernetes need the Kubernetes client: pip install 'meshchaos[kubernetes]'"
        ) from error

    configuration = kubernetes.client.Configuration()
    try:
        if context == IN_CLUSTER:
            kubernetes.config.load_incluster_config(client_configuration=configuration)
        else:
            path = str(kubeconfig) if kubeconfig is not None else None
            kubernetes.config.load_kube_config(path, context, client_configuration=configuration)
    except kubernetes.config.ConfigException as error:
        raise UserError(_unknown_context(context, kubeconfig, error)) from error
    except OSError as error:
        raise UserError(f"the kubeconfig {kubeconfig or ''} cannot be read: {error.strerror or error}") from error
    configuration.retries = False  # we do it ourselves, and know what is repeated
    configuration.connection_pool_maxsize = 64
    return Api(DynamicClient(kubernetes.client.ApiClient(configuration), discoverer=_NoDiscovery), context)


class _NoDiscovery:
    """Instead of the client's discovery, which asks for every group and writes a cache into a shared folder."""

    def __init__(self, client: Any, cache_file: str | None) -> None:
        pass


def _unknown_context(context: str, kubeconfig: Path | None, error: Exception) -> str:
    if context == IN_CLUSTER:
        return f"context {IN_CLUSTER} is for a Pod with a service account's token: {error}"
    from meshchaos.mesh.istio.services import did_you_mean

    place = f"the kubeconfig {kubeconfig}" if kubeconfig is not None else "the kubeconfig"
    names = _contexts(kubeconfig)
    if names is None:
        return f"{place} cannot be used: {error}; name one by `kubeconfig:` or KUBECONFIG"
    if context in names:
        return f"context {context!r} of {place} cannot be used: {error}"
    return f"{place} has no context {context!r}{did_you_mean(context, names)}; it has {', '.join(names) or 'none'}"


def _contexts(kubeconfig: Path | None) -> list[str] | None:
    """The names in the kubeconfig's files; None where there is none that can be read."""
    import yaml

    usual = os.environ.get("KUBECONFIG") or str(Path.home() / ".kube" / "config")
    names: list[str] | None = None
    for one in [kubeconfig] if kubeconfig is not None else [Path(part) for part in usual.split(os.pathsep) if part]:
        try:
            document = yaml.safe_load(one.read_text("utf-8"))
            names = [*(names or ()), *(str(context["name"]) for context in document.get("contexts") or ())]
        except (OSError, ValueError, yaml.YAMLError, AttributeError, KeyError, TypeError):
            continue
    return sorted(names) if names is not None else None


def _retry_after(headers: Any) -> float:
    try:
        return max(_PAUSE, float((headers or {}).get("Retry-After") or 0.0))
    except (TypeError, ValueError):
        return _PAUSE


def _why(error: BaseException) -> str:
    """The innermost reason, without the names of a client library's classes."""
    inner: BaseException = error
    while True:
        deeper = getattr(inner, "reason", None) or inner.__cause__ or inner.__context__
        if not isinstance(deeper, BaseException) or deeper is inner:
            break
        inner = deeper
    if isinstance(inner, ssl.SSLError):
        return f"its certificate is not trusted: {inner.reason or inner}"
    if isinstance(inner, OSError) and inner.strerror:
        return inner.strerror
    return str(inner) or type(inner).__name__
