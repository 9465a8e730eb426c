from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.plugin.project import Project, project


@pytest.fixture
def mine() -> Iterator[Project]:
    """A project whose mesh is started by pytest itself."""
    with project() as made:
        yield made


@pytest.fixture(scope="module")
def up() -> Iterator[Project]:
    """A project whose mesh is kept running, for the tests of a module."""
    with project(kept_up=True) as made:
        yield made
