from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import fake_runner
import pytest
from fake_api import FakeApi, fake_api
from fake_shop import open_shop

from meshchaos.mesh.kubernetes.client import KubernetesMesh
from meshchaos.mesh.kubernetes.spec import ClusterSpec


@pytest.fixture
def api() -> Iterator[FakeApi]:
    with fake_api() as running:
        yield running


@pytest.fixture
def mesh(api: FakeApi, tmp_path: Path) -> Iterator[KubernetesMesh]:
    spec = ClusterSpec("shop", "fake", ("shop",), api.kubeconfig(tmp_path))
    with KubernetesMesh.open(spec, tmp_path, guarded=False) as opened:
        yield opened


@pytest.fixture
def config(api: FakeApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of a mesh ``real``: a shop on the server, whose proxies nobody looks at."""
    monkeypatch.setattr("meshchaos.mesh.kubernetes.running.Looking", fake_runner.Blind)
    return open_shop(api, tmp_path)
