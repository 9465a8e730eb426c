"""Images out of files of this machine, without a container engine: archives as ``docker save`` writes them."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import stat
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

_PATH: Final = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PASSWD: Final = (
    "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\nistio-proxy:x:1337:1337::/home:/bin/sh\n"
)
_GROUP: Final = "root:x:0:\nnogroup:x:65534:\nistio-proxy:x:1337:\n"
_EPOCH: Final = "1970-01-01T00:00:00Z"


@dataclass
class Layer:
    """Files by the place that they get. The same files make the same layer."""

    _entries: dict[str, tuple[tarfile.TarInfo, Path | bytes | None]] = field(default_factory=dict)

    def folder(self, place: str, mode: int = 0o755) -> None:
        self._put(place, tarfile.DIRTYPE, mode, None)

    def link(self, place: str, target: str) -> None:
        self._put(place, tarfile.SYMTYPE, 0o777, None, target)

    def text(self, place: str, text: str) -> None:
        self._put(place, tarfile.REGTYPE, 0o644, text.encode())

    def file(self, source: Path, place: str, mode: int | None = None, *, libraries: bool = True) -> None:
        """With the shared libraries that it is linked with."""
        source = source.resolve()
        self._put(place, tarfile.REGTYPE, stat.S_IMODE(source.stat().st_mode) if mode is None else mode, source)
        for library in _linked(source) if libraries else ():
            self.file(Path(library), library, 0o755, libraries=False)

    def tree(self, source: Path, place: str, *, without: Sequence[str] = ()) -> None:
        """A folder; ``without``: names of folders that are left out."""
        for folder, inside, files in os.walk(source):
            inside[:] = sorted(set(inside) - set(without))
            for name in sorted(files):
                path = Path(folder, name)
                self.file(path, str(Path(place, path.relative_to(source))), libraries=name.endswith(".so"))

    def write(self, path: Path) -> None:
        with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as archive:
            for place in sorted(self._entries):
                entry, data = self._entries[place]
                if isinstance(data, Path):
                    with data.open("rb") as file:
                        archive.addfile(entry, file)
                else:
                    archive.addfile(entry, io.BytesIO(data) if data is not None else None)

    def _put(self, place: str, kind: bytes, mode: int, data: Path | bytes | None, target: str = "") -> None:
        name = place.lstrip("/")
        for above in Path(name).parents:
            if str(above) not in {".", *self._entries}:
                entry = tarfile.TarInfo(str(above))
                entry.type, entry.mode = tarfile.DIRTYPE, 0o755
                self._entries[str(above)] = (entry, None)
        entry = tarfile.TarInfo(name)
        entry.type, entry.mode, entry.linkname = kind, mode, target
        entry.size = data.stat().st_size if isinstance(data, Path) else len(data or b"")
        self._entries[name] = (entry, data)


def base(*, shell: bool = True) -> Layer:
    """Users, name service, certificates of authorities; ``shell``: busybox with all that it can be."""
    layer = Layer()
    layer.folder("/tmp", 0o1777)
    for place in ("/run", "/var/run", "/root"):
        layer.folder(place)
    layer.text("/etc/passwd", _PASSWD)
    layer.text("/etc/group", _GROUP)
    layer.text("/etc/nsswitch.conf", "hosts: files dns\n")
    authorities = Path("/etc/ssl/certs/ca-certificates.crt")
    if authorities.exists():
        layer.file(authorities, str(authorities), libraries=False)
    if shell:
        from tests.cluster.node.layout import PACKAGES

        busybox = next(path for path in (PACKAGES / "usr/bin/busybox", PACKAGES / "bin/busybox") if path.exists())
        layer.file(busybox, "/bin/busybox", 0o755, libraries=False)
        names = subprocess.run([busybox, "--list"], check=True, capture_output=True, text=True).stdout.split()
        for name in names:
            if name != "busybox":
                layer.link(f"/bin/{name}", "/bin/busybox")
    return layer


def save(path: Path, names: Sequence[str], layers: Sequence[Layer | Path], **config: Any) -> None:
    """``layers``: a Path is one that was written before. ``config``: ``Entrypoint``, ``Cmd``, ``User``, ``Env``."""
    save_all(path, [(names, config)], layers)


def save_all(
    path: Path, images: Sequence[tuple[Sequence[str], Mapping[str, Any]]], layers: Sequence[Layer | Path]
) -> None:
    """Images of the same layers, by their names and configurations, in one archive that has each layer once."""
    scratch = path.with_suffix(".making")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    files = []
    for number, layer in enumerate(layers):
        file = layer if isinstance(layer, Path) else scratch / f"{number}.layer"
        if isinstance(layer, Layer):
            layer.write(file)
        files.append(file)
    digests = [f"sha256:{_digest(file)}" for file in files]
    documents, manifests = {}, []
    for names, config in images:
        described = json.dumps(_described(config, digests)).encode()
        place = f"{hashlib.sha256(described).hexdigest()}.json"
        documents[place] = described
        manifests.append({"Config": place, "RepoTags": list(names), "Layers": [f"{n}.tar" for n in range(len(files))]})
    documents["manifest.json"] = json.dumps(manifests).encode()
    made = scratch / "image.tar"
    with tarfile.open(made, "w") as archive:
        for name, data in documents.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
        for number, file in enumerate(files):
            entry = tarfile.TarInfo(f"{number}.tar")
            entry.size = file.stat().st_size
            with file.open("rb") as content:
                archive.addfile(entry, content)
    made.rename(path)
    shutil.rmtree(scratch)


def _described(config: Mapping[str, Any], digests: Sequence[str]) -> dict[str, Any]:
    return {
        "architecture": "amd64",
        "os": "linux",
        "created": _EPOCH,
        "config": {"WorkingDir": "/", **config, "Env": [_PATH, *config.get("Env", ())]},
        "rootfs": {"type": "layers", "diff_ids": list(digests)},
        "history": [{"created": _EPOCH, "created_by": "meshchaos"} for _ in digests],
    }


def _linked(path: Path) -> list[str]:
    said = subprocess.run(["ldd", path], capture_output=True, text=True, check=False).stdout
    return re.findall(r"(/\S+\.so\S*)", said)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
