"""``report.html``: one offline file from a run's folder, verdict first."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from meshchaos.checks import words
from meshchaos.errors import EvidenceError
from meshchaos.history.samples import Samples
from meshchaos.report import charts, left, timeline, topology, view
from meshchaos.report.matrix import calls_of
from meshchaos.report.series import Point
from meshchaos.report.versus import versus_of
from meshchaos.run.result import Result, iso

if TYPE_CHECKING:
    from jinja2 import Template

FILE = "report.html"


@cache
def template(name: str) -> Template:
    """A page's template by its file's name."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("meshchaos.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)


def write(result: Result, samples: Mapping[str, Samples], *, target: Path | None = None) -> Path:
    """Writes ``report.html`` into the run's folder, or to ``target``, and returns where it is.

    ``samples``: every load's, by name. Raises EvidenceError in one line (disk full, no permission).
    """
    path = target or result.folder / FILE
    try:
        path.write_text(render(result, samples, beside=path.parent), encoding="utf-8")
    except OSError as error:
        raise EvidenceError(f"cannot write {path}: {error.strerror}") from error
    return path


def render(result: Result, samples: Mapping[str, Samples], *, beside: Path | None = None) -> str:
    """The page as text. ``beside``: the folder that it will lie in, for its links to the run's files."""
    from markupsafe import Markup

    limits = view.limits(result.findings)
    began = result.phases[0].record.start if result.phases else None
    every = list(samples.values())
    frame, series = timeline.timeline(result, every)
    back_frame, back = timeline.recovery(result, every)
    folder = result.folder
    hops = topology.hops_of(result, left.document(folder))
    context = {
        "verdict": result.verdict.value,
        "reason": result.reason,
        "meaning": view.meaning(result),
        "topology_svg": Markup(topology.draw(hops)),
        "hops": [hop.told for hop in hops],
        "changes": left.changes(result),
        "name": result.experiment,
        "hypothesis": result.hypothesis,
        "leftovers": list(result.leftovers),
        "warnings": list(result.warnings),
        "expectations": view.expectation_rows(result.findings),
        "steady": view.expectation_rows(result.steady),
        "measured": any(one.threshold is not None or one.estimate is not None for one in result.findings),
        "calls": calls_of(result.findings),
        "versus": versus_of(result.findings),
        "charts": bool(series),
        "latency_svg": Markup(charts.latency_chart(series, frame, limits)) if series else "",
        "answers_svg": Markup(charts.answers_chart(series, frame)) if series else "",
        "late_svg": Markup(charts.late_chart(series, frame)) if series else "",
        "recovery_svg": Markup(charts.latency_chart(back, back_frame, limits)) if back else "",
        "recovery_rows": rows(back, back_frame),
        "limits": limits,
        "rows": rows(series, frame),
        "faults": view.fault_sections(result.faults, result.proofs, began),
        "healed": _healed(result),
        "loads": view.load_rows(result.load),
        "phases": view.phase_rows(result.phases),
        "command": _command(result),
        "facts": _facts(result),
        "document": _text(folder / "experiment.yaml"),
        "files": _files(folder, beside or folder),
    }
    return template("report.html.j2").render(context)


def rows(series: Sequence[Point], frame: charts.Frame) -> list[dict[str, str]]:
    """The table behind the charts: a row a bin."""

    def phase_at(moment: float) -> str:
        inside = (band.label for band in frame.bands if band.kind == "phase" and band.start <= moment < band.end)
        return next(inside, "between phases")

    def seconds(value: float | None) -> str:
        return "" if value is None else words.seconds(value)

    return [
        {
            "at": f"{point.at:.1f} s",
            "phase": phase_at(point.at + point.width / 2),
            "good": words.count(point.good),
            "bad": words.count(point.bad),
            "p50": seconds(point.p50),
            "p99": seconds(point.p99),
            "slowest": seconds(point.slowest),
            "late": seconds(point.latest),
        }
        for point in series
    ]


def _files(folder: Path, beside: Path) -> list[tuple[str, str]]:
    """(name, link) of what else the run left, as seen from ``beside``; empty files say nothing."""
    return [
        (path.name, Path(os.path.relpath(path, beside)).as_posix())
        for path in sorted(folder.iterdir())
        if path.is_file() and path.name != FILE and path.stat().st_size
    ]


def _healed(result: Result) -> str:
    found = _put_back(result)
    if not result.healers:
        return found
    return f"{found} Had the run died, it would have been put back by {' and by '.join(result.healers)}."


def _put_back(result: Result) -> str:
    if result.leftovers:
        return "Not everything that was changed could be put back: see above."
    if result.healed:
        return "Everything that was changed was put back, and that was seen in the proxies."
    return "Whether everything was put back was not verified."


def _command(result: Result) -> str:
    source = result.source or "experiment.yaml"
    parts = ["meshchaos", "run", source, "--mesh", result.mesh, "--seed", str(result.seed)]
    for origin, path, chosen in result.overrides:
        if origin == "--set":
            parts += ["--set", f"{path}={json.dumps(chosen)}"]
    return shlex.join(parts)


def _facts(result: Result) -> list[tuple[str, str]]:
    found = [
        ("run", result.run_id),
        ("mesh", result.mesh),
        ("seed", str(result.seed)),
        ("started", iso(result.started) or ""),
        ("finished", iso(result.finished) or ""),
    ]
    return found + [(name, version) for name, version in result.versions.items()]


def _text(path: Path) -> str:
    return path.read_text("utf-8") if path.exists() else ""
