"""Jobs on the API server of the tests: what a Job's controller and a kubelet do, with the healer as a real process."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from fake_api import FakeApi
from fake_shop import settle

POD = ("pods", "shop", "healer-pod")


class Nodes:
    """``api.settle`` of a server with Jobs. ``processes``: one for each Pod that was started; ``waits``: a reason for
    which every Pod's container does not start instead.
    """

    def __init__(self, api: FakeApi, folder: Path) -> None:
        self._api = api
        self._folder = folder
        self._kubeconfig = api.kubeconfig(folder)
        self._ended = threading.Event()
        self._kubelet: threading.Thread | None = None
        self.waits = ""
        self.processes: list[subprocess.Popen[str]] = []
        self.log = folder / "healer.log"

    def settle(self, api: FakeApi) -> None:
        """A Pod for a Job that has none."""
        settle(api)
        for (plural, namespace, name), one in list(api.objects.items()):
            if plural != "jobs" or POD in api.objects or self._ended.is_set():
                continue
            template = one["spec"]["template"]
            owner = {"kind": "Job", "name": name, "uid": one["metadata"]["uid"], "controller": True}
            metadata = {"name": POD[2], "namespace": namespace, "labels": template["metadata"]["labels"]}
            pod = {"metadata": {**metadata, "ownerReferences": [owner]}, "spec": template["spec"], "status": {}}
            api.put("pods", {"apiVersion": "v1", "kind": "Pod", **pod})
            self._run(template["spec"]["containers"][0])

    def close(self) -> None:
        self._ended.set()
        for process in self.processes:
            process.kill()
            process.wait()
        if self._kubelet is not None:
            self._kubelet.join()

    def _run(self, container: dict[str, Any]) -> None:
        if self.waits:
            waiting = {"name": "healer", "state": {"waiting": {"reason": self.waits}}}
            self._tell({"containerStatuses": [waiting]})
            return
        *command, text = container["command"]
        form = json.loads(text)
        assert form["spec"]["context"] == "in-cluster"
        form["spec"] |= {"context": "fake", "kubeconfig": str(self._kubeconfig)}
        form["ready"] = str(self._folder / "ready")
        with self.log.open("ab") as log:
            process = subprocess.Popen([sys.executable, *command[1:], json.dumps(form)], stderr=log, text=True)
        self.processes.append(process)
        self._kubelet = threading.Thread(target=self._watch, args=(process, Path(form["ready"])), daemon=True)
        self._kubelet.start()

    def _watch(self, process: subprocess.Popen[str], ready: Path) -> None:
        while not self._ended.wait(0.05):
            code = process.poll()
            with self._api.lock:
                if POD not in self._api.objects:
                    process.terminate()  # it was deleted
                    return
                if code is not None:
                    ended = {"exitCode": code, "message": self.log.read_text("utf-8")}
                    statuses = [{"name": "healer", "state": {"terminated": ended}}]
                    phase = "Failed" if code else "Succeeded"
                    self._tell({"phase": phase, "containerStatuses": statuses})
                    return
                if ready.exists():
                    self._tell({"conditions": [{"type": "ContainersReady", "status": "True"}]})

    def _tell(self, status: dict[str, Any]) -> None:
        self._api.edit(*POD, lambda pod: pod.update(status=status))
