"""Options that several commands share, and what they come to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from meshchaos.experiment.model import Experiment
    from meshchaos.run.catalog import Catalog

F = TypeVar("F", bound=Callable[..., Any])

_FOLDER = "experiments"

paths = click.argument("paths", nargs=-1, type=click.Path(path_type=Path))


def catalog_options(command: F) -> F:
    """Which configuration, mesh and overrides."""
    for option in (
        click.option(
            "--set", "sets", multiple=True, metavar="PATH=VALUE", help="Change a field, such as spec.load.rate=20."
        ),
        click.option("--config", type=click.Path(path_type=Path), metavar="FILE", help="Instead of meshchaos.yaml."),
        click.option("--mesh", metavar="NAME", help="The mesh to use, a name in meshchaos.yaml."),
    ):
        command = option(command)
    return command


def summary_options(command: F) -> F:
    """Results for other places than a browser."""
    for option in (
        click.option(
            "--otlp-json",
            "otlp",
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="Traces of runs, phases and faults in OTLP's JSON form.",
        ),
        click.option(
            "--webhook-json",
            "webhook",
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="A message as Slack's webhooks take it, to be posted by you.",
        ),
        click.option(
            "--junit",
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="JUnit XML: a test case for each expectation, for run and for heal.",
        ),
        click.option(
            "--markdown", type=click.Path(path_type=Path), metavar="FILE", help="A summary for a pull request."
        ),
    ):
        command = option(command)
    return command


def selection_options(command: F) -> F:
    """Which experiments of the files."""
    for option in (
        click.option("-k", "keyword", metavar="EXPR", help="Only names that fit, such as 'ratings and not slow'."),
        click.option("-l", "labels", metavar="LABELS", help="Only these labels, such as tier=web,slow!=true."),
    ):
        command = option(command)
    return command


def selected(
    paths: tuple[Path, ...],
    *,
    mesh: str | None,
    config: Path | None,
    sets: tuple[str, ...],
    labels: str | None = None,
    keyword: str | None = None,
) -> tuple[Catalog, list[Experiment]]:
    """The experiments to work on: of the folder ``experiments`` here, where no path is said. Raises UserError, also
    when nothing is selected.
    """
    from meshchaos.errors import UserError
    from meshchaos.run.catalog import open_catalog
    from meshchaos.run.selection import select

    if not paths and Path(_FOLDER).is_dir():
        paths = (Path(_FOLDER),)
    if not paths:
        raise UserError("which experiments? name files or folders of *.chaos.yaml (meshchaos run experiments)")
    catalog = open_catalog(config=config, mesh=mesh)
    found = catalog.read(paths, sets)
    chosen = select(found, labels, keyword)
    if not chosen:
        raise UserError(f"nothing is selected: none of {len(found)} experiments fits the selectors")
    return catalog, chosen
