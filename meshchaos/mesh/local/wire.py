"""The supervisor's protocol: one JSON document a frame (4 bytes of length ahead, big-endian), request and answer.

``{"method": ..., "params": {...}}`` -> ``{"result": ...}`` or ``{"error": {"kind": ..., "message": ...}}`` where kind
is the name of a class of ``meshchaos.errors``; anything else is a bug and arrives with its traceback.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import threading
import traceback
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from meshchaos import errors
from meshchaos.errors import FileError, MeshchaosError, MeshGone

_LENGTH = struct.Struct(">I")
_LARGEST = 256 * 1024 * 1024

Handler = Callable[[str, Mapping[str, Any]], Awaitable[Any]]


def pack(message: Mapping[str, Any]) -> bytes:
    body = json.dumps(message, separators=(",", ":")).encode()
    return _LENGTH.pack(len(body)) + body


def error_form(error: BaseException) -> dict[str, str]:
    """How an error travels."""
    if isinstance(error, MeshchaosError):
        return {"kind": type(error).__name__, "message": str(error)}
    return {"kind": "", "message": "".join(traceback.format_exception(error))}


def raise_error(form: Mapping[str, str]) -> None:
    """Raises what ``error_form`` packed. RuntimeError for a bug on the other side."""
    kind = getattr(errors, form["kind"], None) if form["kind"] else None
    if kind is FileError:
        raise errors.UserError(form["message"])
    if isinstance(kind, type) and issubclass(kind, MeshchaosError):
        raise kind(form["message"])
    raise RuntimeError(f"the mesh's supervisor failed:\n{form['message']}")


class Connection:
    """The client's end, blocking; one call at a time, other threads wait for it."""

    def __init__(self, path: str, *, timeout: float = 5.0) -> None:
        self._turn = threading.RLock()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(timeout)
        try:
            self._socket.connect(path)
        except OSError as error:
            self._socket.close()
            raise MeshGone(f"the mesh does not answer at {path}: {error.strerror or error}") from error

    def call(self, method: str, params: Mapping[str, Any] | None = None, *, timeout: float = 30.0) -> Any:
        """Raises what the other side raised; MeshGone when it ended or does not answer in ``timeout`` seconds."""
        with self._turn:
            return self._call(method, params, timeout)

    def _call(self, method: str, params: Mapping[str, Any] | None, timeout: float) -> Any:
        if self._socket.fileno() < 0:
            raise MeshGone(f"the mesh's supervisor does not answer ({method!r}: its connection was given up before)")
        self._socket.settimeout(timeout)
        try:
            self._socket.sendall(pack({"method": method, "params": params or {}}))
            (length,) = _LENGTH.unpack(self._read(_LENGTH.size))
            answer = json.loads(self._read(length))
        except TimeoutError as error:
            self.close()  # a late answer must not be taken for the next one's
            raise MeshGone(f"the mesh's supervisor did not answer {method!r} within {timeout:g} s") from error
        except (OSError, EOFError) as error:
            self.close()
            raise MeshGone(f"the mesh's supervisor is gone ({method!r}: {error})") from error
        except BaseException:  # given up in the middle by a signal: as above
            self.close()
            raise
        if "error" in answer:
            raise_error(answer["error"])
        return answer["result"]

    def _read(self, count: int) -> bytes:
        parts = bytearray()
        while len(parts) < count:
            part = self._socket.recv(min(count - len(parts), 1 << 20))
            if not part:
                raise EOFError("connection closed")
            parts += part
        return bytes(parts)

    def close(self) -> None:
        self._socket.close()


async def serve_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, handler: Handler) -> None:
    """Answers one client's calls, one after another, until it goes."""
    try:
        while True:
            (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
            if length > _LARGEST:
                return
            request = json.loads(await reader.readexactly(length))
            answer: dict[str, Any]
            try:
                answer = {"result": await handler(request["method"], request["params"])}
            except Exception as error:  # every failure is the caller's to see, bugs with their traceback
                answer = {"error": error_form(error)}
            writer.write(pack(answer))
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        return
    finally:
        writer.close()
