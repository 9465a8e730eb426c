"""One line of plain text for each event that a person wants to know of; shared by both terminals."""

from __future__ import annotations

from meshchaos.checks import words
from meshchaos.checks.kind import Finding, Verdict
from meshchaos.history.records import FaultRecord
from meshchaos.run import events

PHASE_WORDS = {
    "warmup": "warm-up",
    "baseline": "baseline",
    "observe": "observe",
    "fault": "fault",
    "recovery": "recovery",
}


def phase_word(name: str) -> str:
    """A phase's name as people read it."""
    return PHASE_WORDS.get(name, name)


def cut(text: str, most: int) -> str:
    """At most so many characters, where there is room for no more."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def fault_line(step: str, record: FaultRecord) -> str:
    """``fault abort on reviews-v3 -> ratings:9080 (server) live after 1.4 ms``; empty where nothing is to tell."""
    name = f"{record.kind} on {record.edge} (at the {record.at})"
    if step == "live" and record.live_at is not None and record.applied_at is not None:
        return f"{name} is live, {words.seconds(max(record.live_at - record.applied_at, 0.0))} after it was accepted"
    if step == "killed":
        return (
            f"{name}: {words.plural(len(record.killed), 'replica')} killed so far, the last of them {record.killed[-1]}"
        )
    if step == "gone" and record.killed and record.gone_at is not None:
        return f"{name} is over: as many are ready as before"
    if step == "gone" and record.gone_at is not None and record.removed_at is not None:
        return f"{name} is gone, {words.seconds(max(record.gone_at - record.removed_at, 0.0))} after it was taken out"
    if step == "stepped" and record.share is not None:
        return f"{name} is at {words.percent(record.share)} (step {len(record.steps)})"
    if step == "vanished":
        return f"{name} vanished: {record.problem or 'it is not in the mesh any more'}"
    return ""


def evidence_line(record: FaultRecord) -> str:
    """What the injecting proxies say: ``abort bit 312 of 1,587 requests (19.7 %) in ratings-v1-x, ...``."""
    if record.share is None:
        if record.shares:
            parts = [f"{words.count(one.count)} to {one.cluster}" for one in record.shares]
            return f"proof: {record.kind}: of {words.plural(record.shares[0].of, 'request')}, {', '.join(parts)}"
        return (
            f"proof: {record.kind}: {record.shown[0] if record.shown else record.problem or 'nothing was seen of it'}"
        )
    injected = sum(part.injected for part in record.injections)
    known = [part.of for part in record.injections if part.of is not None]
    of = sum(known) if len(known) == len(record.injections) and known else None
    told = (
        f"{words.count(injected)} requests" if of is None else f"{words.count(injected)} of {words.count(of)} requests"
    )
    proxies = "proxy" if len(record.injections) == 1 else "proxies"
    asked = f"asked {words.percent(record.share)}"
    if record.steps:
        first, last = words.percent(record.steps[0].share), words.percent(record.share)
        asked = f"asked {first} to {last} in {len(record.steps)} steps"
    share = f" ({words.percent(injected / of)}, {asked})" if of else ""
    return f"proof: {record.kind} carried by {told}{share}, by the logs of {len(record.injections)} {proxies}"


def progress_line(event: events.Progress) -> str:
    """``fault, 4 s left  1 fault live  199/s  p99 512 ms (limit 800 ms)  good 99.8 %  3 failed``: what matters most
    first, for a narrow terminal cuts the end.
    """
    parts = [f"{phase_word(event.phase)}, {max(event.planned - event.elapsed, 0):.0f} s left"]
    if event.faults:
        parts.append(f"{words.plural(len(event.faults), 'fault')} live")
    if not event.loads:
        return "  ".join([*parts, "no load"])
    parts.append(f"{event.rate:.0f}/s")
    if event.p99 is not None:
        limit = f" (limit {words.seconds(event.p99_limit)})" if event.p99_limit is not None else ""
        parts.append(f"p99 {words.seconds(event.p99)}{limit}")
    parts.append("no answer yet" if event.success is None else f"good {words.percent(event.success)}")
    if event.failures:
        parts.append(f"{words.count(event.failures)} failed")
    return "  ".join(parts)


def tells(event: events.Judged) -> bool:
    """Expectations always; a steady state or a proof only where it is the news, as the evidence was told already."""
    return event.about == "expectation" or event.finding.verdict is not Verdict.PASS


def finding_line(finding: Finding, about: str = "expectation") -> str:
    """``PASS         latency p99: during this run p99 was 12 ms ...``."""
    before = {"steady": "steady state, ", "proof": "proof, "}.get(about, "")
    return f"{finding.verdict.value:<12} {before}{finding.name}: {finding.reason}"


def line(event: events.Event) -> str:
    """The line of an event; empty for those that have none."""
    match event:
        case events.RunStarted():
            return f"{event.experiment}: {event.hypothesis} (run {event.run_id}, mesh {event.mesh}, seed {event.seed})"
        case events.Warned():
            return f"warning: {event.message}"
        case events.PhaseStarted():
            return f"{phase_word(event.name)} for {event.planned:g} s"
        case events.PhaseFinished() if event.record.cut:
            return f"{phase_word(event.record.name)} ended early: {event.record.cut}"
        case events.FaultChanged():
            return fault_line(event.step, event.record)
        case events.Evidence():
            return evidence_line(event.record)
        case events.Stopped():
            return f"stopped: {event.reason}"
        case events.LeftBehind():
            return f"LEFT BEHIND: {event.message}. {event.remedy}"
        case events.Judged() if tells(event):
            return finding_line(event.finding, event.about)
        case events.RunFinished():
            return f"{event.verdict}: {event.reason}"
        case _:
            return ""
