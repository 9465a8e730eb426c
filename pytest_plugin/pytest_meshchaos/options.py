"""What the options and ini keys say; without any import of meshchaos."""

from __future__ import annotations

from pathlib import Path

import pytest

_OUTPUT = "reports"


def option(config: pytest.Config, name: str) -> str | None:
    """Of the command line, else of the ini file."""
    chosen = config.getoption(f"--meshchaos-{name}") or config.getini(f"meshchaos_{name}")
    return str(chosen) if chosen else None


def path_option(config: pytest.Config, name: str) -> Path | None:
    """An option's path is relative to where pytest was called, an ini key's to the ini file."""
    given = config.getoption(f"--meshchaos-{name}")
    if given:
        return Path(config.invocation_params.dir, given)
    ini = config.getini(f"meshchaos_{name}")
    base = config.inipath.parent if config.inipath else config.rootpath
    return base / ini if ini else None


def output_folder(config: pytest.Config) -> Path:
    """Where runs leave their folders."""
    return path_option(config, "output") or config.rootpath / _OUTPUT


def allowed_contexts(config: pytest.Config) -> frozenset[str]:
    """Of clusters that may be changed, by the option and the ini key."""
    return frozenset([*(config.getoption("--meshchaos-yes") or ()), *config.getini("meshchaos_yes")])
