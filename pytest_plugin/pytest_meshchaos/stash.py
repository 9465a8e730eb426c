"""Where the plug-in keeps its state; without any import of meshchaos, so that looking is free."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_meshchaos.session import ChaosSession

KEY: pytest.StashKey[ChaosSession] = pytest.StashKey()
