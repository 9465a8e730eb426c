"""Files that commands leave beside a run's own: summaries, and the index of all runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from meshchaos.run.result import Result


def summaries(results: Sequence[Result], *, markdown: Path | None, webhook: Path | None, otlp: Path | None) -> None:
    """Those that were asked for. Raises EvidenceError in one line."""
    from meshchaos.errors import EvidenceError
    from meshchaos.report import spans, summary
    from meshchaos.run.result import write_json

    if webhook is not None:
        write_json(webhook, summary.webhook(results))
    if otlp is not None:
        write_json(otlp, spans.otlp(results))
    if markdown is not None:
        try:
            markdown.write_text(summary.markdown(results), "utf-8")
        except OSError as error:
            raise EvidenceError(f"cannot write {markdown}: {error.strerror}") from error


def index(output: Path) -> None:
    """``index.html`` of the runs in ``output``; what prevents it is told and nothing more."""
    from meshchaos.errors import EvidenceError
    from meshchaos.report import index_page

    try:
        index_page.write(output)
    except EvidenceError as error:
        click.echo(f"meshchaos: no {index_page.FILE}: {error}", err=True)
