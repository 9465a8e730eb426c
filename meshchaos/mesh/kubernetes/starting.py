"""How a Pod that a run made is getting on; pure."""

from __future__ import annotations

from typing import Final

from meshchaos.mesh.objects import Manifest

_HOPELESS: Final = frozenset(
    {
        "ErrImagePull",
        "ImagePullBackOff",
        "InvalidImageName",
        "ErrImageNeverPull",
        "CreateContainerConfigError",
        "CreateContainerError",
        "RunContainerError",
        "CrashLoopBackOff",
    }
)
"""Reasons of a container that waits for what does not come by itself."""


def state_of(pod: Manifest) -> tuple[bool, str, bool]:
    """Whether its containers are ready, else why not, and whether it is no use to wait."""
    status = pod.get("status") or {}
    conditions = {one.get("type"): one for one in status.get("conditions") or ()}
    if (conditions.get("ContainersReady") or {}).get("status") == "True":
        return True, "", False
    if status.get("phase") in ("Failed", "Succeeded"):
        return False, f"it has ended: {_last_words(status)}", True
    for one in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
        waiting = (one.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") in _HOPELESS:
            words = " ".join(str(waiting.get("message") or "").split())
            return False, f"container {one.get('name')}: {waiting['reason']}{f': {words}' if words else ''}", True
    scheduled = conditions.get("PodScheduled") or {}
    if scheduled.get("status") == "False":
        return False, f"{scheduled.get('reason')}: {scheduled.get('message')}", False
    return False, "", False


def _last_words(status: Manifest) -> str:
    """Of a Pod that ended: what its containers left, which is the end of their log where they failed."""
    for one in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
        ended = (one.get("state") or {}).get("terminated") or {}
        if ended.get("exitCode"):
            lines = str(ended.get("message") or "").split("\n")
            last = next((line.strip() for line in reversed(lines) if line.strip()), str(ended.get("reason") or ""))
            return f"container {one.get('name')} with exit code {ended['exitCode']}{f': {last}' if last else ''}"
    return str(status.get("message") or status.get("reason") or status["phase"])
