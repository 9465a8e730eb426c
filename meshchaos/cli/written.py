"""Files that commands leave beside a run's own: summaries, and the index of all runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click

if TYPE_CHECKING:
    from meshchaos.run.result import Result


def summaries(
    results: Sequence[Result], *, junit: Path | None, markdown: Path | None, webhook: Path | None, otlp: Path | None
) -> None:
    """Those that were asked for. Raises EvidenceError in one line."""
    from meshchaos.errors import EvidenceError
    from meshchaos.report import junit as junit_xml
    from meshchaos.report import spans, summary
    from meshchaos.run.result import write_json

    if junit is not None:
        junit_xml.write(junit, results)
    if webhook is not None:
        write_json(webhook, summary.webhook(results))
    if otlp is not None:
        write_json(otlp, spans.otlp(results))
    if markdown is not None:
        try:
            markdown.write_text(summary.markdown(results), "utf-8")
        except OSError as error:
            raise EvidenceError(f"cannot write {markdown}: {error.strerror}") from error


def in_actions(results: Sequence[Result], out: IO[str]) -> None:
    """In GitHub Actions: annotations of what did not pass, and the step's summary; elsewhere nothing. Raises
    EvidenceError in one line.
    """
    from meshchaos.errors import EvidenceError
    from meshchaos.report import github, summary

    if not github.in_actions():
        return
    for line in github.commands(github.notes_of(results)):
        click.echo(line, file=out)
    try:
        github.summarize(summary.markdown(results))
    except OSError as error:
        raise EvidenceError(f"cannot write the step's summary: {error.strerror}") from error


def index(output: Path) -> None:
    """``index.html`` of the runs in ``output``; what prevents it is told and nothing more."""
    from meshchaos.errors import EvidenceError
    from meshchaos.report import index_page

    try:
        index_page.write(output)
    except EvidenceError as error:
        click.echo(f"meshchaos: no {index_page.FILE}: {error}", err=True)
