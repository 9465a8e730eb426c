"""Signals, selection, plug-ins, history: the parts around the engine."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from importlib.metadata import EntryPoint
from pathlib import Path
from types import SimpleNamespace

import pytest

from meshchaos.errors import UserError
from meshchaos.history.records import FaultRecord, Injection, PhaseRecord
from meshchaos.run import events, vocabulary
from meshchaos.run.clock import SystemClock
from meshchaos.run.history_file import HistoryWriter, read_history
from meshchaos.run.interrupts import Abandoned, Interrupts
from meshchaos.run.plain import plain
from meshchaos.run.selection import keyword_selector, label_selector
from tests.e2e.stage import stuck
from tests.run.shop import wait_for


def test_the_first_signal_ends_waiting_and_raises_nothing() -> None:
    with Interrupts() as interrupts:
        os.kill(os.getpid(), signal.SIGTERM)
        interrupts.clock().wait(600)
        assert interrupts.requested == "SIGTERM"


def test_the_second_signal_is_answered_and_the_third_gives_up() -> None:
    said: list[str] = []
    with Interrupts() as interrupts:
        interrupts.again = lambda: said.append("still healing")
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        assert said == ["still healing"]
        with pytest.raises(Abandoned):
            os.kill(os.getpid(), signal.SIGINT)
    assert interrupts.requested == "SIGINT"


def test_signals_that_another_thread_took_end_what_the_main_one_waits_in() -> None:
    """As the kernel delivers the later ones of several that come together."""

    def take() -> None:
        wait_for(lambda: stuck(os.getpid()), "the main thread waits")
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.pthread_kill(threading.get_ident(), number)

    ours, theirs = socket.socketpair()
    with ours, theirs, Interrupts() as interrupts:
        ours.settimeout(60)
        thread = threading.Thread(target=take)
        thread.start()
        with pytest.raises(Abandoned):
            ours.recv(1)
        thread.join()
    assert interrupts.requested in ("SIGINT", "SIGTERM", "SIGHUP")


def test_a_step_of_the_wall_clock_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SystemClock()
    assert abs(clock.stepped()) < 0.05
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 7)
    assert clock.stepped() == pytest.approx(7, abs=0.05)


def test_signals_are_given_back() -> None:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGURG)
    before = [signal.getsignal(number) for number in numbers]
    with Interrupts():
        assert not {signal.getsignal(number) for number in numbers} & set(before)
        assert "nudges" in {thread.name for thread in threading.enumerate()}
    assert [signal.getsignal(number) for number in numbers] == before
    assert signal.set_wakeup_fd(-1) == -1
    assert "nudges" not in {thread.name for thread in threading.enumerate()}


@pytest.mark.parametrize(
    ("text", "labels", "fits"),
    [
        ("tier=web", {"tier": "web"}, True),
        ("tier=web", {}, False),
        ("tier==web,slow!=true", {"tier": "web"}, True),
        ("tier=web,slow!=true", {"tier": "web", "slow": "true"}, False),
        ("owner", {"owner": ""}, True),
        ("!owner", {"owner": ""}, False),
        ("!owner", {}, True),
    ],
)
def test_label_selectors(text: str, labels: dict[str, str], fits: bool) -> None:
    assert label_selector(text)(labels) is fits


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("ratings", True),
        ("SLOW", True),
        ("not slow", False),
        ("slow and not dead", True),
        ("dead or slow and ratings", True),
        ("(dead or slow) and reviews", False),
        ("not (dead or reviews)", True),
    ],
)
def test_keyword_selectors(text: str, fits: bool) -> None:
    assert keyword_selector(text)("slow-ratings slow-ratings.chaos.yaml") is fits


@pytest.mark.parametrize("text", ["and", "slow and", "(slow", "slow)", "not", "slow dead"])
def test_keyword_mistakes(text: str) -> None:
    with pytest.raises(UserError, match="expected parts of names"):
        keyword_selector(text)


def test_our_own_kinds_are_there() -> None:
    kinds = vocabulary.load_kinds()
    assert {"delay", "abort"} <= set(kinds.faults)
    assert {"success", "latency", "slo", "injected", "recovery"} <= set(kinds.checks)


def broken(monkeypatch: pytest.MonkeyPatch, value: str, name: str = "odd") -> None:
    real = vocabulary.entry_points

    def points(*, group: str) -> list[EntryPoint]:
        if group != vocabulary.FAULTS:
            return list(real(group=group))
        theirs = EntryPoint(name, value, group)
        vars(theirs).update(dist=SimpleNamespace(name="odd-faults"))
        return [*real(group=group), theirs]

    monkeypatch.setattr(vocabulary, "entry_points", points)
    vocabulary.load_kinds.cache_clear()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("no_such_module_here:ODD", r"the plug-in odd-faults is broken: .* ModuleNotFoundError"),
        ("os:sep", r"the plug-in odd-faults is broken: .* is no kind"),
        ("meshchaos.faults.http_fault:DELAY", r"the plug-in odd-faults brings `delay` .* meshchaos has already"),
    ],
)
def test_a_broken_plug_in_is_one_line_naming_it(monkeypatch: pytest.MonkeyPatch, value: str, message: str) -> None:
    broken(monkeypatch, value)
    try:
        with pytest.raises(UserError, match=message) as caught:
            vocabulary.load_kinds()
        assert "\n" not in str(caught.value)
    finally:
        vocabulary.load_kinds.cache_clear()


FAULT = FaultRecord(
    id="chaos-1-0",
    index=0,
    kind="abort",
    at="server",
    edge="a -> b:80",
    reason="so",
    share=0.5,
    objects=("EnvoyFilter x.y",),
    injections=(Injection("p", 3, None, "c", 1, 4, ("line",)),),
)


def test_events_come_back_from_disk_as_they_were(tmp_path: Path) -> None:
    told = [
        events.PhaseFinished(2.5, PhaseRecord("fault", 1.0, 2.5, 8.0, "early-verdict", 1.0)),
        events.Evidence(3.0, FAULT),
        events.LeftBehind(4.0, "EnvoyFilter x.y: no", "meshchaos heal"),
    ]
    writer = HistoryWriter(tmp_path)
    for event in told:
        writer.write(event)
    writer.close()
    assert read_history(tmp_path) == told


def test_a_line_that_a_crash_cut_is_dropped(tmp_path: Path) -> None:
    writer = HistoryWriter(tmp_path)
    writer.write(events.Warned(1.0, "x"))
    writer.close()
    with (tmp_path / "history.jsonl").open("a") as file:
        file.write('{"event": "Warn')
    assert read_history(tmp_path) == [events.Warned(1.0, "x")]


def test_numbers_that_json_does_not_know_are_none() -> None:
    assert plain((float("nan"), float("inf"), 1.5)) == [None, None, 1.5]
