"""``report.html``: one offline file from a run's folder, verdict first."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from meshchaos.checks import words
from meshchaos.history.samples import Samples
from meshchaos.report import charts, lines, view
from meshchaos.report.series import Point, points

if TYPE_CHECKING:
    from jinja2 import Template

FILE = "report.html"
TABLE_ROWS = 240


@cache
def _template() -> Template:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("meshchaos.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.j2")


def write(
    folder: Path, result: Mapping[str, Any], samples: Mapping[str, Samples], *, target: Path | None = None
) -> Path:
    """Writes ``report.html`` into a run's folder, or to ``target``, and returns where it is.

    ``result`` is the content of result.json, ``samples`` every load's by name. Raises OSError.
    """
    path = target or folder / FILE
    path.write_text(render(folder, result, samples), encoding="utf-8")
    return path


def render(folder: Path, result: Mapping[str, Any], samples: Mapping[str, Samples]) -> str:
    """The page as text."""
    from markupsafe import Markup

    phases = list(result.get("phases") or ())
    faults = list(result.get("faults") or ())
    expectations = list(result.get("expectations") or ())
    limits = view.limits(expectations)
    frame, series = _time(phases, faults, list(samples.values()))
    document = _text(folder / "experiment.yaml")
    context = {
        "verdict": result["verdict"],
        "reason": result.get("reason", ""),
        "name": result.get("experiment", ""),
        "hypothesis": result.get("hypothesis", ""),
        "confidence": words.percent(float(result.get("confidence") or 0.95)),
        "leftovers": list(result.get("leftovers") or ()),
        "expectations": view.expectation_rows(expectations),
        "charts": bool(series),
        "latency_svg": Markup(charts.latency_chart(series, frame, limits)) if series else "",
        "answers_svg": Markup(charts.answers_chart(series, frame)) if series else "",
        "limits": limits,
        "rows": _rows(series, frame),
        "faults": view.fault_sections(faults),
        "healed": _healed(result),
        "loads": view.load_rows(_list(result.get("load"))),
        "phases": view.phase_rows(phases),
        "command": _command(result),
        "facts": _facts(result),
        "document": document,
        "files": [path.name for path in sorted(folder.iterdir()) if path.is_file() and path.name != FILE],
    }
    return _template().render(context)


def _time(
    phases: Sequence[Mapping[str, Any]], faults: Sequence[Mapping[str, Any]], samples: Sequence[Samples]
) -> tuple[charts.Frame, list[Point]]:
    """The span of all phases as one chart; its bands in seconds since the first phase began."""
    if not phases:
        return charts.Frame(1.0, ()), []
    start, end = float(phases[0]["start"]), float(phases[-1]["end"])
    named = [
        (lines.PHASE_WORDS.get(phase["name"], phase["name"]), phase["start"] - start, phase["end"] - start)
        for phase in phases
    ]
    bands = [charts.Band("phase", *item) for item in named]
    for fault in faults:
        if fault.get("liveAt") is not None:
            until = fault.get("goneAt") or fault.get("removedAt") or end
            bands.append(charts.Band("fault", f"{fault['kind']} is live", fault["liveAt"] - start, until - start))
    frame = charts.Frame(max(end - start, 0.001), tuple(bands))
    return frame, points(samples, start, end) if samples else []


def _rows(series: Sequence[Point], frame: charts.Frame) -> list[dict[str, str]]:
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
        }
        for point in series[:TABLE_ROWS]
    ]


def _healed(result: Mapping[str, Any]) -> str:
    if result.get("leftovers"):
        return "Not everything that was changed could be put back: see above."
    if result.get("healed"):
        return "Everything that was changed was put back, and that was seen in the proxies."
    return "Whether everything was put back was not verified."


def _command(result: Mapping[str, Any]) -> str:
    source = str(result.get("source") or "experiment.yaml")
    parts = ["meshchaos", "run", source, "--mesh", str(result.get("mesh", "")), "--seed", str(result.get("seed", ""))]
    for origin, path, chosen in result.get("overrides") or ():
        if origin == "--set":
            parts += ["--set", f"{path}={json.dumps(chosen)}"]
    return shlex.join(parts)


def _facts(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    found = [
        ("run", str(result.get("runId", ""))),
        ("mesh", str(result.get("mesh", ""))),
        ("seed", str(result.get("seed", ""))),
        ("started", str(result.get("started", ""))),
        ("finished", str(result.get("finished", ""))),
    ]
    return found + [(str(key), str(item)) for key, item in (result.get("versions") or {}).items()]


def _list(load: Any) -> list[Mapping[str, Any]]:
    if isinstance(load, Mapping):
        return [load] if load else []
    return list(load or ())


def _text(path: Path) -> str:
    return path.read_text("utf-8") if path.exists() else ""
