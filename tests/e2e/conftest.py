from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.stage import Stage, kept_up, stage


@pytest.fixture
def shop() -> Iterator[Stage]:
    """A working folder with a mesh that is started by each run."""
    with stage() as made:
        yield made


@pytest.fixture(scope="module")
def up() -> Iterator[Stage]:
    """A mesh that stays up for the tests of a module."""
    with stage() as made, kept_up(made):
        yield made
