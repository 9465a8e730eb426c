"""The programs of the cluster: built by Go, or taken out of Debian's packages. What is there is not made again."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tests.cluster.node.layout import HERE, HTTPBIN, HUB, ISTIO, ISTIO_TAG, KUBERNETES, PACKAGES, PROGRAMS

UNPACKED: Final = ("etcd-server", "containerd", "runc", "containernetworking-plugins", "busybox-static", "prometheus")
"""Not installed: their packages would start services of their own on this machine."""
INSTALLED: Final = {"iptables": "iptables", "ip": "iproute2", "mount": "mount", "nsenter": "util-linux"}
"""Programs of the node that use the machine's libraries, by the package that brings them."""

_ISTIO_SAYS: Final = "istio.io/istio/pkg/version.build"
_KUBERNETES_SAYS: Final = "k8s.io/component-base/version.git"


def build(tell: Callable[[str], None]) -> None:
    """All of them. Raises CalledProcessError: what failed has said why."""
    PROGRAMS.mkdir(parents=True, exist_ok=True)
    _install()
    _unpack(tell)
    major, minor, _ = KUBERNETES.split(".")
    # Built from a module's folder a program does not know its version, and clients go by it.
    kubernetes = {
        f"{_KUBERNETES_SAYS}Version": f"v{KUBERNETES}",
        f"{_KUBERNETES_SAYS}Major": major,
        f"{_KUBERNETES_SAYS}Minor": minor,
        "k8s.io/client-go/pkg/version.gitVersion": f"v{KUBERNETES}",
    }
    istio = {
        f"{_ISTIO_SAYS}Version": ISTIO_TAG,
        f"{_ISTIO_SAYS}Tag": ISTIO_TAG,
        f"{_ISTIO_SAYS}GitRevision": ISTIO.rpartition("-")[2],
        f"{_ISTIO_SAYS}Hub": HUB,
        f"{_ISTIO_SAYS}Status": "Clean",
    }
    for command in ("pilot/cmd/pilot-discovery", "pilot/cmd/pilot-agent", "istioctl/cmd/istioctl"):
        _go_install(f"istio.io/istio/{command}@{ISTIO}", istio, tell)
    _go_install(f"github.com/mccutchen/go-httpbin/v2/cmd/go-httpbin@{HTTPBIN}", {}, tell)
    _go_build("kubernetes", kubernetes, tell)
    _go_build("coredns", {}, tell)
    _go_build("pause", {}, tell)
    kubectl = PROGRAMS / "kubectl"
    if not kubectl.is_symlink():
        kubectl.symlink_to("kubernetes")


def module(path: str, version: str) -> Path:
    """The folder of a Go module's source on this machine."""
    command = ["go", "mod", "download", "-json", f"{path}@{version}"]
    import json

    return Path(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)["Dir"])


def _go_install(package: str, said: dict[str, str], tell: Callable[[str], None]) -> None:
    name = package.partition("@")[0].rpartition("/")[2]
    if not (PROGRAMS / name).exists():
        tell(f"go install {package}")
        _go(["install", _flags(said), package], GOBIN=str(PROGRAMS))


def _go_build(name: str, said: dict[str, str], tell: Callable[[str], None]) -> None:
    if not (PROGRAMS / name).exists():
        tell(f"go build {name}")
        _go(["build", "-C", str(HERE / name), _flags(said), "-o", str(PROGRAMS / name), "."])


def _flags(said: dict[str, str]) -> str:
    return "-ldflags=" + " ".join(["-s -w", *(f"-X {name}={value}" for name, value in said.items())])


def _go(arguments: list[str], **environment: str) -> None:
    settings = {"CGO_ENABLED": "0", "GOTOOLCHAIN": "auto", "GOFLAGS": "-buildvcs=false", **environment}
    command = [arguments[0], *arguments[1:]]
    subprocess.run(["go", *command], check=True, env={**os.environ, **settings})


def _install() -> None:
    missing = {package for program, package in INSTALLED.items() if shutil.which(program) is None}
    if missing:
        _apt("install", "-y", "--no-install-recommends", *sorted(missing))


def _unpack(tell: Callable[[str], None]) -> None:
    if PACKAGES.exists():
        return
    tell(f"Debian's {', '.join(UNPACKED)}")
    with tempfile.TemporaryDirectory(dir=PROGRAMS.parent) as folder:
        # apt reads as a user of its own, which must be let in.
        Path(folder).chmod(0o755)
        _apt("download", *UNPACKED, cwd=folder)
        whole = Path(folder, "tree")
        for package in sorted(Path(folder).glob("*.deb")):
            subprocess.run(["dpkg-deb", "--extract", str(package), str(whole)], check=True)
        whole.rename(PACKAGES)


def _apt(*arguments: str, cwd: str | None = None) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    command = ["apt-get", "-qq", "-o", "APT::Sandbox::User=root", *arguments]
    if subprocess.run(command, env=environment, cwd=cwd, stdout=subprocess.DEVNULL, check=False).returncode != 0:
        subprocess.run(["apt-get", "-qq", "update"], check=True)
        subprocess.run(command, env=environment, cwd=cwd, stdout=subprocess.DEVNULL, check=True)
