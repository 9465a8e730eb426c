"""Hooks, options and fixtures. Thin: what they do is in ``collect`` and ``session``, imported when needed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from meshchaos.mesh.seam import Mesh
    from pytest_meshchaos.session import Chaos

SUFFIX = ".chaos.yaml"


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--meshchaos-*`` options, and the ini keys that stand for them."""
    group = parser.getgroup("meshchaos", "resilience experiments on a service mesh")
    group.addoption("--meshchaos-mesh", metavar="NAME", help="the mesh of meshchaos.yaml to run on")
    group.addoption("--meshchaos-config", metavar="FILE", help="meshchaos.yaml (default: found upwards)")
    group.addoption("--meshchaos-output", metavar="DIR", help="where runs leave their folders (default: reports)")
    group.addoption("--meshchaos-seed", metavar="N", type=int, help="seed of every random choice")
    parser.addini("meshchaos_mesh", "the mesh of meshchaos.yaml to run on")
    parser.addini("meshchaos_config", "path of meshchaos.yaml, relative to the ini file's folder")
    parser.addini("meshchaos_output", "where runs leave their folders, relative to the ini file's folder")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "chaos: an experiment of meshchaos (set on every collected *.chaos.yaml)")


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Each ``*.chaos.yaml`` is a file of tests, one for each experiment in it."""
    if not file_path.name.endswith(SUFFIX):
        return None
    from pytest_meshchaos.collect import ChaosFile

    return ChaosFile.from_parent(parent, path=file_path)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Meshes that this session opened end with it."""
    from pytest_meshchaos.stash import KEY

    session = config.stash.get(KEY, None)
    if session is not None:
        session.close()


@pytest.fixture(scope="session")
def mesh(request: pytest.FixtureRequest) -> Mesh:
    """The running mesh (``--meshchaos-mesh``, else the configuration's default), brought up once a session."""
    from pytest_meshchaos.session import session_of

    return session_of(request.config).mesh()


@pytest.fixture
def chaos(request: pytest.FixtureRequest) -> Chaos:
    """``chaos.run("slow.chaos.yaml")`` runs the experiments of a file and returns their results."""
    from pytest_meshchaos.session import Chaos, session_of

    return Chaos(session_of(request.config), request.path.parent, request.session)
