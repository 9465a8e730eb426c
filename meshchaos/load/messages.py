"""gRPC messages from the JSON of an experiment's file to bytes, by the descriptors of a protoset: a compiled
``FileDescriptorSet``, as ``protoc --include_imports --descriptor_set_out=FILE`` and ``buf build -o FILE`` write it.

Without one the health check is known (``grpc.health.v1.Health/Check``), and of every other method the message that has
nothing set: it is no byte long, whatever its type.
"""

from __future__ import annotations

import difflib
import json
from pathlib import Path
from typing import Any

from meshchaos.errors import UserError
from meshchaos.mesh.grpc import HEALTH_CHECK


def encode(path: str, message: str | None, protoset: Path | None) -> bytes:
    """``path``: ``/package.Service/Method``; ``message``: JSON of an object. Raises UserError."""
    given = json.loads(message) if message is not None else {}
    if protoset is not None:
        return _encoded(path, given, _read(protoset), str(protoset))
    if not given:
        return b""
    if path != HEALTH_CHECK:
        raise UserError(
            f"what is in a message to {path[1:]} is not known without `protoset`: write the path of a file that "
            "protoc --include_imports --descriptor_set_out=FILE makes"
        )
    return _encoded(path, given, _health(), "the health check")


def _read(path: Path) -> Any:
    from google.protobuf.descriptor_pb2 import FileDescriptorSet
    from google.protobuf.message import DecodeError

    try:
        return FileDescriptorSet.FromString(path.read_bytes())
    except OSError as error:
        raise UserError(f"protoset: cannot read {path}: {error.strerror}") from error
    except DecodeError as error:
        raise UserError(
            f"protoset: {path} is no compiled descriptor set; protoc's --descriptor_set_out makes one"
        ) from error


def _health() -> Any:
    from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorSet

    found = FileDescriptorSet()
    file = found.file.add(name="grpc/health/v1/health.proto", package="grpc.health.v1", syntax="proto3")
    kind, label = FieldDescriptorProto.TYPE_STRING, FieldDescriptorProto.LABEL_OPTIONAL
    file.message_type.add(name="HealthCheckRequest").field.add(name="service", number=1, type=kind, label=label)
    file.message_type.add(name="HealthCheckResponse")
    service = file.service.add(name="Health")
    service.method.add(
        name="Check",
        input_type=".grpc.health.v1.HealthCheckRequest",
        output_type=".grpc.health.v1.HealthCheckResponse",
    )
    return found


def _encoded(path: str, given: Any, files: Any, source: str) -> bytes:
    from google.protobuf.descriptor_pool import DescriptorPool
    from google.protobuf.json_format import ParseDict, ParseError
    from google.protobuf.message_factory import GetMessageClass

    pool = DescriptorPool()
    try:
        for file in files.file:
            pool.Add(file)
        services = {f"{file.package}.{one.name}".strip("."): one for file in files.file for one in file.service}
        name, _, wanted = path[1:].rpartition("/")
        if name not in services:
            raise UserError(f"{source} has no service {name}{_near(name, services)}")
        methods = {one.name: one for one in services[name].method}
        if wanted not in methods:
            raise UserError(f"{source}: service {name} has no method {wanted}{_near(wanted, methods)}")
        if methods[wanted].client_streaming:
            raise UserError(f"{path[1:]} takes a stream of messages; a load sends one message a call")
        message = GetMessageClass(pool.FindMessageTypeByName(methods[wanted].input_type.lstrip(".")))()
        ParseDict(given, message)
    except ParseError as error:
        raise UserError(f"message of {path[1:]}: {' '.join(str(error).split())}") from error
    except (TypeError, KeyError) as error:
        text = " ".join(str(error).split())
        raise UserError(f"{source} is not whole: {text} (compile it with --include_imports)") from error
    encoded: bytes = message.SerializeToString(deterministic=True)
    return encoded


def _near(name: str, known: Any) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f", did you mean {near[0]!r}?" if near else f" (it has {', '.join(sorted(known)) or 'none'})"
