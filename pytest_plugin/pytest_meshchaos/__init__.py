"""The pytest plug-in of meshchaos: ``pytest -p meshchaos experiments/`` runs each ``*.chaos.yaml`` as a test.

``meshchaos`` itself is imported only inside hooks and fixtures: a plug-in that is not used costs nothing. For the
annotations of a user's tests, ``Chaos`` and ``LiveMesh`` are here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_meshchaos.chaos import Chaos
    from pytest_meshchaos.live_mesh import LiveMesh

__all__ = ["Chaos", "LiveMesh"]


def __getattr__(name: str) -> Any:
    from importlib import import_module

    module = {"Chaos": "chaos", "LiveMesh": "live_mesh"}.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{module}"), name)
