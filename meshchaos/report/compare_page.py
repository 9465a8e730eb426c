"""``compare-<run>.html``: two runs side by side, their charts on the same axes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from meshchaos.errors import EvidenceError
from meshchaos.history.samples import Samples
from meshchaos.report import charts, compare, page, timeline, view
from meshchaos.run.result import Result, iso

Run = tuple[Result, Mapping[str, Samples]]
"""A result and every load's samples."""


def write(first: Run, second: Run, *, target: Path | None = None) -> Path:
    """Into the second run's folder, or to ``target``. Raises EvidenceError."""
    path = target or second[0].folder / f"compare-{first[0].run_id}.html"
    try:
        path.write_text(render(first, second), "utf-8")
    except OSError as error:
        raise EvidenceError(f"cannot write {path}: {error.strerror}") from error
    return path


def render(first: Run, second: Run) -> str:
    """The page as text."""
    one, other = first[0], second[0]
    context = {
        "runs": _runs((first, second)),
        "pairs": [
            {"name": pair.name, "first": _cell(pair.first), "second": _cell(pair.second), "told": pair.told}
            for pair in compare.pairs(one, other)
        ],
        "differences": compare.differences(one, other),
        "diff": compare.document_diff(one.folder / "experiment.yaml", other.folder / "experiment.yaml"),
    }
    return page.template("compare.html.j2").render(context)


def _runs(both: tuple[Run, Run]) -> list[dict[str, Any]]:
    from markupsafe import Markup

    drawn = [timeline.timeline(result, list(samples.values())) for result, samples in both]
    span = max(frame.span for frame, _ in drawn)
    limits = [view.limits(result.findings) for result, _ in both]
    reach = [value for _, series in drawn for point in series for value in (point.p50, point.slowest) if value]
    reach += [limit for some in limits for _, limit in some]
    return [
        {
            "which": which,
            "verdict": result.verdict.value,
            "reason": result.reason,
            "name": result.experiment,
            "run": result.run_id,
            "mesh": result.mesh,
            "started": (iso(result.started) or "")[:19].replace("T", " "),
            "svg": Markup(charts.latency_chart(series, replace(frame, span=span), some, reach)) if series else "",
            "rows": page.rows(series, frame),
            "answers": Markup(charts.answers_chart(series, replace(frame, span=span))) if series else "",
        }
        for which, (result, _), (frame, series), some in zip(("first", "second"), both, drawn, limits, strict=True)
    ]


def _cell(finding: Any) -> dict[str, Any] | None:
    return view.expectation_rows([finding])[0] if finding is not None else None
