"""A real Kubernetes with a real Istio on this machine, of one node, in a network namespace of its own.

::

    python -m tests.cluster.node lacking    what this machine lacks for it; exits with 1 where that is something
    python -m tests.cluster.node install    makes what is missing of its programs and images (cold: half an hour)
    python -m tests.cluster.node up         brings it up; prints what names it to kubectl and to the tests
    python -m tests.cluster.node down       ends what ``up`` started, and removes what it left
    python -m tests.cluster.node status     which parts run; exits with 1 where one does not
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Final

from tests.cluster.node import control_plane, images, istio, machine, network, programs
from tests.cluster.node.daemons import NotUp, kubectl, running
from tests.cluster.node.ending import down
from tests.cluster.node.guard import lacking
from tests.cluster.node.layout import CONTEXT, HTTPBIN_IMAGE, KUBECONFIG, OWN_IMAGE

_PARTS: Final = (
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "containerd",
    "kubelet",
    "kube-proxy",
)


def _install(tell: Callable[[str], None]) -> None:
    programs.build(tell)
    images.make(tell)


def _up(tell: Callable[[str], None]) -> None:
    if any(running(part) for part in _PARTS) and not all(running(part) for part in _PARTS):
        tell("a part of it has ended since: down first")
        down()
    for what, bring in (
        ("network", network.up),
        ("API server", control_plane.up),
        ("node", machine.up),
        ("Istio", istio.up),
    ):
        bring()
        tell(f"{what} is up")
    print(f"export KUBECONFIG={KUBECONFIG}")
    print(f"export MESHCHAOS_TEST_CONTEXT={CONTEXT}")
    print(f"export MESHCHAOS_TEST_IMAGE={HTTPBIN_IMAGE}")
    print(f"export MESHCHAOS_TEST_OWN_IMAGE={OWN_IMAGE}")
    print("export MESHCHAOS_TEST_BOOKINFO=1")


def _status() -> int:
    for part in _PARTS:
        print(f"{part}: {'runs' if running(part) else 'does not run'}")
    if not all(running(part) for part in _PARTS):
        return 1
    print(kubectl("get", "pods", "-A"), end="")
    return 0


def main(words: Sequence[str]) -> int:
    """The command: 0, 1 where something is missing or failed, 2 for a word that it does not know."""
    begun = time.monotonic()

    def tell(text: str) -> None:
        print(f"{time.monotonic() - begun:7.1f} s  {text}", file=sys.stderr, flush=True)

    try:
        match list(words):
            case ["lacking"]:
                missing = lacking()
                print("; ".join(missing), end="\n" if missing else "")
                return 1 if missing else 0
            case ["install"]:
                _install(tell)
            case ["up"]:
                _up(tell)
            case ["down"]:
                down()
                tell("gone")
            case ["status"]:
                return _status()
            case _:
                print(__doc__, file=sys.stderr)
                return 2
    except NotUp as error:
        print(error, file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as error:
        print(f"{' '.join(map(str, error.cmd))} ended with {error.returncode}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
