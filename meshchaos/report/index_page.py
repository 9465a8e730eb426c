"""``reports/index.html``: every run that a folder holds, the newest first, each with its verdict and a link."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import quote

from meshchaos.checks import words
from meshchaos.errors import EvidenceError
from meshchaos.report import page
from meshchaos.run import result as results

FILE = "index.html"
MOST = 500
"""Rows; of a folder with more runs, the older ones are only counted."""
_ORDER = ("PASS", "FAIL", "INCONCLUSIVE", "INVALID", "ERROR")


def write(output: Path) -> Path:
    """Into ``output``, the folder of the runs' folders; all of it or nothing. Raises EvidenceError."""
    path = output / FILE
    scratch = output / f".{FILE}.tmp"
    try:
        scratch.write_text(render(output), "utf-8")
        scratch.replace(path)
    except OSError as error:
        raise EvidenceError(f"cannot write {path}: {error.strerror}") from error
    return path


def render(output: Path) -> str:
    """The page as text."""
    found = sorted(_runs(output), key=lambda run: str(run.get("started")), reverse=True)
    counts = Counter(str(run["verdict"]) for run in found)
    told = ", ".join(f"{counts[verdict]} {verdict}" for verdict in _ORDER if counts[verdict])
    context = {
        "summary": f"{words.plural(len(found), 'run')}: {told}" if found else "No run yet.",
        "rows": [_row(run) for run in found[:MOST]],
        "older": words.count(len(found) - MOST) if len(found) > MOST else "",
    }
    return page.template("index.html.j2").render(context)


def _runs(output: Path) -> list[dict[str, Any]]:
    """Content of each ``result.json``, with its folder. One that cannot be read is no run's, and neither is one in a
    folder that no run made, whose name does not end in the run's id (a copy, an example).
    """
    found = []
    for path in output.glob(f"*/{results.FILE}"):
        try:
            data = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError):
            continue
        known = isinstance(data, dict) and data.get("verdict") in _ORDER
        if known and path.parent.name.endswith(str(data.get("runId"))):
            found.append(data | {"folder": path.parent})
    return found


def _row(run: dict[str, Any]) -> dict[str, str]:
    folder: Path = run["folder"]
    held = [str(one.get("verdict")) for one in run.get("expectations") or ()]
    report = folder / page.FILE
    return {
        "verdict": run["verdict"],
        "experiment": str(run.get("experiment", folder.name)),
        "link": quote(f"{folder.name}/{report.name if report.exists() else ''}"),
        "run": str(run.get("runId", "")),
        "reason": str(run.get("reason", "")),
        "mesh": str(run.get("mesh", "")),
        "started": str(run.get("started") or "")[:19].replace("T", " "),
        "held": f"{held.count('PASS')} of {len(held)}",
        "leftovers": "not everything was put back" if run.get("leftovers") else "",
    }
