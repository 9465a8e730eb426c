"""Taking the cluster down: what ``up`` started ends, by the processes and containers that it noted, nothing else."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from tests.cluster.node import network
from tests.cluster.node.daemons import environment, running, stop
from tests.cluster.node.layout import CRI, RUN, SOCKETS

_CTR: Final = ("ctr", "-a", str(CRI), "-n", "k8s.io")
_AT_ONCE: Final = 8


def down() -> None:
    """Idempotent. The state goes, too, so nobody is waited for to write it."""
    for name in ("kubelet", "kube-scheduler", "kube-controller-manager", "kube-proxy"):
        stop(name, signal.SIGKILL)
    if running("containerd"):
        _end_containers()
    stop("containerd")
    stop("kube-apiserver", signal.SIGKILL)
    stop("etcd", signal.SIGKILL)
    _unmount()
    network.down()
    for tree in Path("/sys/fs/cgroup").glob("**/kubepods"):
        for folder in sorted(tree.rglob("*"), key=lambda path: -len(path.parts)):
            if folder.is_dir():
                folder.rmdir()
        tree.rmdir()
    shutil.rmtree(RUN, ignore_errors=True)
    shutil.rmtree(SOCKETS, ignore_errors=True)


def _end_containers() -> None:
    """With the network namespaces of their Pods."""
    names = _said("containers", "ls", "-q").split()
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        about = list(pool.map(lambda name: _said("containers", "info", name), names))
        list(pool.map(lambda name: _said("tasks", "delete", "--force", name), names))
        list(pool.map(lambda name: _said("containers", "rm", name), names))
    for space in sorted(set(re.findall(r"/var/run/netns/(cni-[0-9a-f-]+)", "".join(about)))):
        subprocess.run(["ip", "netns", "del", space], capture_output=True, check=False)


def _said(*words: str) -> str:
    """Of containerd; one that does not answer is ended anyway."""
    try:
        done = subprocess.run(
            [*_CTR, *words], env=environment(), capture_output=True, text=True, timeout=20, check=False
        )
    except subprocess.TimeoutExpired:
        return ""
    return done.stdout


def _unmount() -> None:
    """Several times: one may be over another."""
    for _ in range(3):
        mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text("utf-8").splitlines()]
        ours = [place for place in mounts if place.startswith((f"{RUN}/", f"{SOCKETS}/"))]
        for place in sorted(ours, reverse=True):
            subprocess.run(["umount", "--lazy", place], capture_output=True, check=False)
