"""The pipe from the runner to its generator: one line of JSON with the plan, later the word ``stop``; its end of
file means that the runner is gone. A pipe, because a plan may hold secrets: those are in no file, argument or
environment.
"""

from __future__ import annotations

import base64
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from meshchaos.load.driver import LoadPlan, RequestPlan
from meshchaos.mesh.seam import Entry

FD_VARIABLE: Final = "MESHCHAOS_LOAD_FD"
"""Environment variable with the number of the inherited reading end."""
STOP: Final = b"stop\n"

EXIT_DISK_FULL: Final = 74
"""The generator's exit code when its samples cannot be written for want of space: the log may not take words then."""
EXIT_WRITE_FAILED: Final = 73
EXIT_ORPHANED: Final = 72


def encode(plan: LoadPlan, *, parent: int, guard: bool) -> bytes:
    """``guard``: whether the runner's thread lives as long as the runner, so that a parent-death signal is right."""
    data: dict[str, Any] = asdict(plan)
    for request in data["requests"]:
        request["headers"] = dict(request["headers"])
        if request["body"] is not None:
            request["body"] = base64.b64encode(request["body"]).decode("ascii")
    for key in ("samples", "log", "locustfile"):
        data[key] = str(data[key]) if data[key] is not None else None
    return json.dumps({"plan": data, "parent": parent, "guard": guard}).encode() + b"\n"


def decode(line: bytes) -> tuple[LoadPlan, int, bool]:
    """The inverse: plan, the runner's pid, ``guard``."""
    message = json.loads(line)
    data = message["plan"]
    requests = tuple(
        RequestPlan(**{**request, "body": base64.b64decode(request["body"]) if request["body"] is not None else None})
        for request in data.pop("requests")
    )
    samples, log, locustfile = Path(data.pop("samples")), Path(data.pop("log")), data.pop("locustfile")
    plan = LoadPlan(
        entry=Entry.of(data.pop("entry")),
        requests=requests,
        locustfile=Path(locustfile) if locustfile else None,
        samples=samples,
        log=log,
        **data,
    )
    return plan, message["parent"], message["guard"]
