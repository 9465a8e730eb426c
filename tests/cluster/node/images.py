"""The images of the cluster. Those of others have the names of their own manifests, so that these need no edit."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import envoy

from meshchaos.mesh.local.spec import StubSpec
from meshchaos.run.catalog import open_catalog
from meshchaos.run.meshes import local_spec
from tests.cluster.node.archive import Layer, base, save, save_all
from tests.cluster.node.layout import (
    BOOKINFO_IMAGES,
    COREDNS_IMAGE,
    HERE,
    HTTPBIN_IMAGE,
    HUB,
    IMAGES,
    ISTIO,
    ISTIO_TAG,
    MADE,
    OWN_IMAGE,
    PACKAGES,
    PAUSE_IMAGE,
    PROGRAMS,
    PROMETHEUS_IMAGE,
    ROOT,
)
from tests.cluster.node.programs import module

_IPTABLES: Final = ("iptables", "ip6tables")
_NOT_RUN: Final = ("__pycache__", "test", "tests", "idlelib", "tkinter", "ensurepip", "site-packages", "turtledemo")
"""Folders of Python's own library that nothing of ours needs."""


def make(tell: Callable[[str], None]) -> None:
    """Those that are not there; ours is made anew where meshchaos changed. Raises CalledProcessError, OSError."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    for name, how in _OTHERS.items():
        path = IMAGES / f"{name}.tar"
        if not path.exists():
            tell(f"image {name}")
            how(path)
    _own(IMAGES / "meshchaos.tar", tell)


def _pause(path: Path) -> None:
    layer = Layer()
    layer.file(PROGRAMS / "pause", "/pause", 0o755)
    save(path, [PAUSE_IMAGE], [layer], Entrypoint=["/pause"])


def _coredns(path: Path) -> None:
    layer = base(shell=False)
    layer.file(PROGRAMS / "coredns", "/coredns", 0o755)
    save(path, [COREDNS_IMAGE], [layer], Entrypoint=["/coredns"])


def _pilot(path: Path) -> None:
    layer = base()
    layer.file(PROGRAMS / "pilot-discovery", "/usr/local/bin/pilot-discovery", 0o755)
    entry = ["/usr/local/bin/pilot-discovery"]
    save(path, [f"{HUB}/pilot:{ISTIO_TAG}"], [layer], Entrypoint=entry, User="1337:1337")


def _proxy(path: Path) -> None:
    """The sidecar, the gateway and istio-init: a vanilla Envoy, Istio's agent, and iptables of both kinds."""
    layer = base()
    for kind in ("nft", "legacy"):
        layer.file(Path(f"/usr/sbin/xtables-{kind}-multi"), f"/usr/sbin/xtables-{kind}-multi")
        for name in _IPTABLES:
            for what in ("", "-save", "-restore"):
                layer.link(f"/usr/sbin/{name}-{kind}{what}", f"xtables-{kind}-multi")
                layer.link(f"/usr/sbin/{name}{what}", "xtables-nft-multi")
    extensions = Path("/usr/lib", f"{sysconfig.get_config_var('MULTIARCH')}", "xtables")
    layer.tree(extensions, str(extensions))
    for name in ("/etc/ethertypes", "/etc/protocols", "/etc/services"):
        if Path(name).exists():
            layer.file(Path(name), name, libraries=False)
    layer.file(Path(envoy.__file__).parent / "_bin" / "envoy", "/usr/local/bin/envoy", 0o755)
    layer.file(PROGRAMS / "pilot-agent", "/usr/local/bin/pilot-agent", 0o755)
    bootstrap = module("istio.io/istio", ISTIO) / "tools/packaging/common/envoy_bootstrap.json"
    layer.file(bootstrap, "/var/lib/istio/envoy/envoy_bootstrap_tmpl.json", 0o644, libraries=False)
    layer.folder("/home", 0o777)
    save(path, [f"{HUB}/proxyv2:{ISTIO_TAG}"], [layer], Entrypoint=["/usr/local/bin/pilot-agent"])


def _httpbin(path: Path) -> None:
    layer = base()
    layer.file(PROGRAMS / "go-httpbin", "/bin/go-httpbin", 0o755)
    save(
        path, [HTTPBIN_IMAGE, "docker.io/mccutchen/go-httpbin:v2.15.0"], [layer], Cmd=["/bin/go-httpbin"], User="65534"
    )


def _prometheus(path: Path) -> None:
    layer = base(shell=False)
    layer.file(PACKAGES / "usr/bin/prometheus", "/bin/prometheus", 0o755)
    save(path, [PROMETHEUS_IMAGE], [layer], Entrypoint=["/bin/prometheus"])


_OTHERS: Final[dict[str, Callable[[Path], None]]] = {
    "pause": _pause,
    "coredns": _coredns,
    "pilot": _pilot,
    "proxyv2": _proxy,
    "httpbin": _httpbin,
    "prometheus": _prometheus,
}


def _own(path: Path, tell: Callable[[str], None]) -> None:
    """Python and what meshchaos needs in one layer, which is kept; meshchaos itself in another."""
    needs = MADE / f"python-{_hash(ROOT / 'pyproject.toml', sys.version.encode())[:12]}.layer"
    if not needs.exists():
        tell("image meshchaos: Python and what meshchaos needs")
        for old in MADE.glob("python-*.layer"):
            old.unlink()
        _python(needs)
    sources = sorted((ROOT / "meshchaos").rglob("*"))
    stubs = json.dumps(_stubs())
    demo = HERE / "bookinfo.py"
    files = [one for one in sources if one.is_file() and "__pycache__" not in one.parts]
    code = _hash(*files, demo, stubs.encode(), needs.name.encode())
    mark = IMAGES / "meshchaos.sha256"
    if path.exists() and mark.exists() and mark.read_text("utf-8") == code:
        return
    tell("image meshchaos")
    layer = Layer()
    layer.tree(ROOT / "meshchaos", f"{_site()}/meshchaos", without=("__pycache__",))
    layer.file(demo, "/bookinfo.py", 0o644, libraries=False)
    layer.text("/bookinfo.json", stubs)
    config: dict[str, Any] = {"Env": ["PYTHONDONTWRITEBYTECODE=1"], "User": "65532:65532"}
    images = [
        ([OWN_IMAGE], {**config, "Entrypoint": ["python", "-m", "meshchaos"]}),
        (BOOKINFO_IMAGES, {**config, "Entrypoint": ["python", "/bookinfo.py"]}),
    ]
    save_all(path, images, [needs, layer])
    mark.write_text(code, "utf-8")


def _stubs() -> dict[str, Any]:
    """What the demo's Deployments do, by meshchaos.yaml's mesh ``bookinfo``."""
    spec = local_spec(open_catalog(config=ROOT / "meshchaos.yaml"), "bookinfo", MADE)
    return {name: asdict(stub) for name, stub in spec.workloads.items() if isinstance(stub, StubSpec)}


def _python(path: Path) -> None:
    """As it runs here, with the packages of a user who installs ``meshchaos[kubernetes]``."""
    layer, name = base(), f"python{sysconfig.get_python_version()}"
    layer.file(Path(sys.executable), f"/usr/local/bin/{name}", 0o755)
    layer.link("/usr/local/bin/python", name)
    library = Path(sysconfig.get_path("stdlib"))
    layer.tree(library, f"/usr/local/lib/{name}", without=_NOT_RUN)
    with tempfile.TemporaryDirectory(dir=MADE) as folder:
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target", folder]
        subprocess.run([*pip, f"{ROOT}[kubernetes]"], check=True)
        layer.tree(Path(folder), _site(), without=("__pycache__", "meshchaos", "bin"))
        making = path.with_suffix(".making")
        layer.write(making)
        making.rename(path)


def _site() -> str:
    return f"/usr/local/lib/python{sysconfig.get_python_version()}/site-packages"


def _hash(*parts: Path | bytes) -> str:
    found = hashlib.sha256()
    for part in parts:
        found.update(str(part).encode() + part.read_bytes() if isinstance(part, Path) else part)
    return found.hexdigest()
