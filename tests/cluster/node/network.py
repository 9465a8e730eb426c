"""The node's network: a namespace with a bridge for Pods, and a pair of interfaces to this machine.

There is no default route in it, so nothing that runs there can leave the machine.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Final

from tests.cluster.node.daemons import run
from tests.cluster.node.layout import (
    BRIDGE,
    HOST_IP,
    HOST_LINK,
    NETNS,
    NODE_IP,
    PODS,
    PODS_GATEWAY,
    RUN,
    SERVICES,
)

_SAVED: Final = RUN / "sysctl"
_WHOLE_MACHINE: Final = (
    "vm.overcommit_memory",
    "vm.panic_on_oom",
    "kernel.panic",
    "kernel.panic_on_oops",
    "kernel.keys.root_maxkeys",
    "kernel.keys.root_maxbytes",
)
"""What the kubelet sets, and ``down`` puts back."""


def up() -> None:
    """Idempotent. Raises NotUp."""
    RUN.mkdir(parents=True, exist_ok=True)
    if not _SAVED.exists():
        _SAVED.write_text("".join(f"{name}={_sysctl(name).read_text().strip()}\n" for name in _WHOLE_MACHINE), "utf-8")
    if not Path(f"/run/netns/{NETNS}").exists():
        run("ip", "netns", "add", NETNS)
    if not Path(f"/sys/class/net/{HOST_LINK}").exists():
        run("ip", "link", "add", HOST_LINK, "type", "veth", "peer", "name", "eth0", "netns", NETNS)
        run("ip", "addr", "add", f"{HOST_IP}/30", "dev", HOST_LINK)
        run("ip", "link", "set", HOST_LINK, "up")
        _inside("ip", "addr", "add", f"{NODE_IP}/30", "dev", "eth0")
        _inside("ip", "link", "set", "lo", "up")
        _inside("ip", "link", "set", "eth0", "up")
    if subprocess.run([*_nsenter(), "ip", "link", "show", BRIDGE], capture_output=True, check=False).returncode != 0:
        _inside("ip", "link", "add", BRIDGE, "type", "bridge")
        _inside("ip", "addr", "add", f"{PODS_GATEWAY}/{PODS.partition('/')[2]}", "dev", BRIDGE)
        _inside("ip", "link", "set", BRIDGE, "up")
        _inside("ip", "route", "add", SERVICES, "dev", BRIDGE)
    for network in (PODS, SERVICES):
        run("ip", "route", "replace", network, "via", NODE_IP, "dev", HOST_LINK)
    for name in ("net.ipv4.ip_forward", "net.bridge.bridge-nf-call-iptables"):
        _inside("sh", "-c", f"echo 1 >{_sysctl(name)}")


def down() -> None:
    """Idempotent; the routes go with their interface."""
    for command in (["ip", "netns", "del", NETNS], ["ip", "link", "del", HOST_LINK]):
        subprocess.run(command, capture_output=True, check=False)
    if _SAVED.exists():
        for line in _SAVED.read_text("utf-8").splitlines():
            name, _, value = line.partition("=")
            if _sysctl(name).read_text().strip() != value:
                _sysctl(name).write_text(value)


def _sysctl(name: str) -> Path:
    return Path("/proc/sys", *name.split("."))


def _nsenter() -> list[str]:
    return ["nsenter", f"--net=/run/netns/{NETNS}"]


def _inside(*command: str) -> None:
    run(*_nsenter(), *command)
