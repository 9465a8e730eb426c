"""Hooks that a conftest.py or another plug-in may have; each is called in the process that runs the experiment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from meshchaos.experiment.model import Experiment
    from meshchaos.run.result import Result


@pytest.hookspec(firstresult=True)
def pytest_meshchaos_config(config: pytest.Config) -> Path | None:
    """The meshchaos.yaml to go by, such as one that is made for this session; asked once, by whoever first needs a mesh
    or reads an experiment, unless the option says which. None: the ini key, or the file that is found upwards.
    """


@pytest.hookspec
def pytest_meshchaos_experiment_started(config: pytest.Config, experiment: Experiment) -> None:
    """Before anything of it is done; once, however many of its expectations are selected."""


@pytest.hookspec
def pytest_meshchaos_experiment_finished(config: pytest.Config, experiment: Experiment, result: Result) -> None:
    """Everything was put back, or is in ``result.leftovers``, and the run's folder holds all of its files."""
