"""Resilience tests for service meshes whose verdicts can be trusted."""

__version__ = "0.1.0"


def pytest_configure() -> None:
    """Called where ``-p meshchaos`` found this package and no entry point: a checkout that was not installed, in which
    the plug-in would silently do nothing.
    """
    import pytest

    raise pytest.UsageError("meshchaos is not installed here, so there is no plug-in: pip install -e '.[local]'")
