"""What a run looks like while it runs: a live line on a terminal, plain timestamped lines anywhere else.

Both write to standard error's sibling of the caller's choice; ``NO_COLOR`` and ``TERM=dumb`` are rich's to obey.
"""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TextIO

from meshchaos.report import lines
from meshchaos.run import events

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live
    from rich.table import Table
    from rich.text import Text

PROGRESS_EVERY = 5.0
"""Seconds between progress lines where nobody watches them move."""

STYLES = {
    "PASS": "bold green",
    "FAIL": "bold red",
    "INCONCLUSIVE": "bold yellow",
    "INVALID": "bold magenta",
    "ERROR": "bold red",
}


def handler(stream: TextIO | None = None, *, quiet: bool = False, verbose: bool = False) -> events.Handler:
    """The terminal that fits ``stream`` (standard output when None): live on a TTY outside CI, else plain.
    ``quiet`` leaves only warnings, leftovers and the verdict.
    """
    out = stream or sys.stdout
    if out.isatty() and not quiet and os.environ.get("TERM") != "dumb" and not os.environ.get("CI"):
        return LiveTerminal(out)
    return PlainTerminal(out, quiet=quiet, verbose=verbose)


class PlainTerminal:
    """Timestamped lines (UTC)."""

    def __init__(self, out: TextIO, *, quiet: bool = False, verbose: bool = False) -> None:
        self._out = out
        self._quiet = quiet
        self._every = PROGRESS_EVERY if not verbose else 1.0
        self._told = 0.0

    def __call__(self, event: events.Event) -> None:
        if isinstance(event, events.Progress):
            if self._quiet or event.at - self._told < self._every:
                return
            self._told = event.at
            self._say(event.at, lines.progress_line(event))
            return
        if isinstance(event, events.PhaseStarted):
            self._told = event.at
        told = isinstance(event, events.Warned | events.LeftBehind | events.RunFinished)
        text = lines.line(event)
        if not text or (self._quiet and not told):
            return
        self._say(event.at, text)
        if isinstance(event, events.RunStarted):
            for part in event.plan:
                self._say(event.at, f"  {part}")

    def _say(self, at: float, text: str) -> None:
        clock = datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S")
        print(f"{clock} {text}", file=self._out, flush=True)


class LiveTerminal:
    """A moving line for the phase that runs, lasting lines above it, a table of findings at the end."""

    def __init__(self, out: TextIO) -> None:
        from rich.console import Console

        self._console: Console = Console(file=out, highlight=False)
        self._live: Live | None = None
        self._findings: list[events.Judged] = []

    def __call__(self, event: events.Event) -> None:
        from rich.text import Text

        match event:
            case events.RunStarted():
                self._findings = []
                self._console.print()
                self._console.print(Text(event.experiment, style="bold"), Text(event.hypothesis))
                for part in event.plan:
                    self._console.print(Text(f"  {part}", style="dim"))
                self._start()
            case events.Progress():
                if self._live is not None:
                    self._live.update(self._moving(event))
            case events.PhaseFinished():
                self._lasting(event)
            case events.Judged() if lines.tells(event):
                self._findings.append(event)
            case events.Warned() | events.LeftBehind():
                self._console.print(Text(f"  {lines.line(event)}", style="bold yellow"))
            case events.Stopped():
                self._console.print(Text(f"  {lines.line(event)}", style="bold magenta"))
            case events.FaultChanged() | events.Evidence():
                text = lines.line(event)
                if text:
                    self._console.print(Text(f"  ⚡ {text}", style="cyan"))
            case events.RunFinished():
                self._finish(event)

    def _start(self) -> None:
        from rich.live import Live
        from rich.text import Text

        self._live = Live(Text(""), console=self._console, refresh_per_second=8, transient=True)
        self._live.start()

    def _moving(self, event: events.Progress) -> Text:
        from rich.text import Text

        told = lines.progress_line(event)
        cells = max(min(24, self._console.width - len(told) - 4), 4)
        done = min(int(cells * event.elapsed / event.planned), cells) if event.planned else cells
        bar = "━" * done + "╌" * (cells - done)
        text = Text("  ")
        text.append(bar, style="red" if event.faults else "blue")
        text.append(f" {told}")
        text.truncate(max(self._console.width - 1, 20), overflow="ellipsis")
        return text

    def _lasting(self, event: events.PhaseFinished) -> None:
        from rich.text import Text

        record = event.record
        name = lines.phase_word(record.name)
        cut = f", cut: {record.cut}" if record.cut else ""
        self._console.print(Text(f"  ✓ {name} {record.end - record.start:.1f} s{cut}", style="dim"))

    def _finish(self, event: events.RunFinished) -> None:
        from rich.text import Text

        if self._live is not None:
            self._live.stop()
            self._live = None
        if self._findings:
            self._console.print(self._table())
        verdict = Text(f"  {event.verdict} ", style=STYLES.get(event.verdict, "bold"))
        self._console.print(verdict.append(event.reason, style="default"))

    def _table(self) -> Table:
        from rich.box import SIMPLE
        from rich.table import Table
        from rich.text import Text

        table = Table(box=SIMPLE, pad_edge=False, show_edge=False)
        table.add_column("", no_wrap=True)
        table.add_column("expectation", no_wrap=True)
        table.add_column("what was found")
        for judged in self._findings:
            finding = judged.finding
            verdict = Text(finding.verdict.value, style=STYLES[finding.verdict.value])
            table.add_row(verdict, finding.name, finding.reason)
        return table
