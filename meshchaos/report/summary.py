"""Results for places where people talk: Markdown for a pull request, JSON for a webhook in the form of Slack's."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from meshchaos.checks import words
from meshchaos.report import lines, view
from meshchaos.run.result import Result

SIGNS = {"PASS": "✅", "FAIL": "❌", "INCONCLUSIVE": "❔", "INVALID": "🚫", "ERROR": "💥"}
"""Beside the word, never in its place."""
WORST = ("ERROR", "FAIL", "INVALID", "INCONCLUSIVE", "PASS")
_HEADER, _TEXT, _BLOCKS = 150, 3000, 50
"""What a webhook of Slack takes: characters of a header and of a section, blocks of a message
(docs.slack.dev, Block Kit).
"""


def headline(results: Sequence[Result]) -> str:
    """``FAIL: 2 of 3 runs passed``; of one run its verdict and name."""
    if len(results) == 1:
        return f"{results[0].verdict}: {results[0].experiment}"
    verdicts = [result.verdict.value for result in results]
    worst = next((verdict for verdict in WORST if verdict in verdicts), "nothing was run")
    return f"{worst}: {verdicts.count('PASS')} of {words.plural(len(results), 'run')} passed"


def markdown(results: Sequence[Result]) -> str:
    """A heading, a section a run: reason, a table of the expectations, the proof of each fault, what is left behind."""
    parts = [f"## meshchaos: {_safe(headline(results))}"]
    for result in results:
        parts.append(f"### {SIGNS[result.verdict]} {result.verdict}: {_safe(result.experiment)}")
        parts.append(f"{_safe(result.hypothesis)}\n\n**{_safe(result.reason)}.** {view.meaning(result)}")
        parts += [f"⚠️ **Left behind:** {_safe(item)}" for item in result.leftovers]
        rows = view.expectation_rows(result.findings)
        if rows:
            table = [
                "| verdict | expectation | during | limit | measured | bounds | n |",
                "|---|---|---|--:|--:|--:|--:|",
            ]
            for row in rows:
                cells = [row[key] for key in ("name", "during", "threshold", "estimate", "interval", "n")]
                table.append(f"| {SIGNS[row['verdict']]} {row['verdict']} | {' | '.join(map(_safe, cells))} |")
            parts.append("\n".join(table))
        proofs = [f"- {_safe(one.name)}: {one.verdict}, {_safe(one.reason)}" for one in result.proofs]
        if proofs:
            parts.append("\n".join(["<details><summary>Was the fault there?</summary>", "", *proofs, "", "</details>"]))
        parts.append(f"run `{result.run_id}` on mesh `{result.mesh}`, seed {result.seed}")
    return "\n\n".join(parts) + "\n"


def webhook(results: Sequence[Result]) -> dict[str, Any]:
    """``text`` for notifications, ``blocks`` to show; of more runs than a message takes, the rest is counted."""
    text = f"meshchaos: {headline(results)}"
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": {"type": "plain_text", "text": lines.cut(text, _HEADER)}}
    ]
    ordered = sorted(results, key=lambda result: WORST.index(result.verdict.value))
    room = _BLOCKS - 2
    for result in ordered[:room]:
        told = [f"{SIGNS[result.verdict]} *{result.verdict}: {_mrkdwn(result.experiment)}* ({_mrkdwn(result.mesh)})"]
        told.append(_mrkdwn(result.reason))
        told += [f"• {one.verdict} {_mrkdwn(one.name)}: {_mrkdwn(one.reason)}" for one in result.findings]
        told += [f"⚠️ left behind: {_mrkdwn(item)}" for item in result.leftovers]
        blocks.append({"type": "section", "text": {"type": "mrkdwn", "text": lines.cut("\n".join(told), _TEXT)}})
    if len(ordered) > room:
        more = f"and {words.plural(len(ordered) - room, 'more run')}"
        blocks.append({"type": "context", "elements": [{"type": "mrkdwn", "text": more}]})
    return {"text": text, "blocks": blocks}


def _safe(text: str) -> str:
    """On one line, nothing in it that Markdown or HTML would take for its own."""
    return re.sub(r"([\\`*_|\[\]<>~])", r"\\\1", " ".join(text.split())).replace("@", "@\u200b")


def _mrkdwn(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
