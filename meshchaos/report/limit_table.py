"""What ``--find-limit`` found, as lines for a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from meshchaos.checks import words
from meshchaos.checks.kind import Finding
from meshchaos.report import view
from meshchaos.run.limit.finder import Limit


def lines(found: Limit) -> Iterator[str]:
    """A table with a row for each value, the smallest first; notes; the answer."""
    from tabulate import tabulate

    columns = names(found)
    rows = [
        [
            found.axis.written(one.value),
            one.result.verdict.value,
            *(cell({item.name: item for item in one.result.findings}.get(name)) for name in columns),
            one.result.folder.name,
        ]
        for one in found.points
    ]
    yield ""
    yield tabulate(rows, headers=[found.axis.path, "verdict", *columns, "run"], disable_numparse=True)
    yield ""
    yield from (f"note: {note}" for note in found.notes)
    yield f"{found.experiment}: {found.axis.path} {found.reason}: {found.folder}"


def names(found: Limit) -> list[str]:
    """Of the expectations, in the order of the file; proofs and steady states are told where they were the reason."""
    return list(dict.fromkeys(finding.name for one in found.points for finding in one.result.findings))


def cell(finding: Finding | None) -> str:
    """``99.2 %``, with the verdict where it is none of PASS and FAIL."""
    if finding is None:
        return ""
    if finding.estimate is None and finding.censored_at is not None:
        told = f"over {words.seconds(finding.censored_at)}"
    else:
        told = view.value(finding.estimate, finding.unit)
    return f"{told} {finding.verdict.value}".strip()
