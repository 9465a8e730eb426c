"""One small mesh of real Envoys for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tiny_mesh import TinyMesh
from worlds import base_objects, base_replicas


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TinyMesh]:
    mesh = TinyMesh(tmp_path_factory.mktemp("m"), base_objects(), base_replicas)
    yield mesh
    mesh.close()


@pytest.fixture
def mesh(running: TinyMesh) -> TinyMesh:
    running.reset()
    return running
