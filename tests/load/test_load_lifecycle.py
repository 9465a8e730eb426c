"""The generator's process: it ends with the runner, whatever ends it, and what went wrong is said in its words."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from load_server import Server, until

from meshchaos.errors import LoadError
from meshchaos.load import file_driver
from meshchaos.load.driver import LoadPlan
from meshchaos.load.locust_driver import LocustDriver
from meshchaos.load.wire import EXIT_DISK_FULL, decode, encode

Drive = Callable[[LoadPlan], LocustDriver]

RUNNER = """
import sys, threading, time
from meshchaos.load.locust_driver import LocustDriver
from meshchaos.load.wire import decode
plan, _, in_thread = decode(sys.stdin.buffer.readline())
driver = LocustDriver(plan)
if in_thread:
    thread = threading.Thread(target=driver.start)
    thread.start()
    thread.join()
else:
    driver.start()
print(driver.pid, flush=True)
while True:
    driver.poll()
    time.sleep(0.05)
"""


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("in_thread", [False, True])
def test_no_locust_outlives_a_killed_runner(aimed: LoadPlan, server: Server, in_thread: bool) -> None:
    runner = subprocess.Popen([sys.executable, "-c", RUNNER], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert runner.stdin is not None
    assert runner.stdout is not None
    with runner:
        runner.stdin.write(encode(aimed, parent=0, guard=in_thread))
        runner.stdin.flush()
        locust = int(runner.stdout.readline())
        seen = len(server.seen)
        until(lambda: len(server.seen) > seen + 5)  # it goes on after the thread that started it
        assert running(locust)
        runner.send_signal(signal.SIGKILL)
        until(lambda: not running(locust))


def test_ctrl_c_on_the_terminal_does_not_reach_it(aimed: LoadPlan, server: Server, drive: Drive) -> None:
    driver = drive(aimed)
    assert driver.pid is not None
    assert os.getsid(driver.pid) != os.getsid(0)
    assert os.getpgid(driver.pid) != os.getpgid(0)


def test_settings_of_the_users_own_for_locust_stay_out(
    aimed: LoadPlan, server: Server, drive: Drive, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / ".locust.conf").write_text("users = 50\nprocesses = 2\n", encoding="utf-8")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("LOCUST_RUN_TIME", "1ms")
    driver = drive(aimed)
    until(lambda: driver.poll().due > 30)


def test_a_generator_that_was_stopped_still_ends_with_close(aimed: LoadPlan, server: Server, drive: Drive) -> None:
    driver = drive(aimed)
    assert driver.pid is not None
    os.kill(driver.pid, signal.SIGSTOP)
    driver.close()
    assert not running(driver.pid)
    driver.close()


def test_a_generator_that_stands_still_is_given_up(
    aimed: LoadPlan, server: Server, drive: Drive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_driver, "SILENCE", 0.5)
    driver = drive(aimed)
    assert driver.pid is not None
    os.kill(driver.pid, signal.SIGSTOP)
    with pytest.raises(LoadError, match="stood still"):
        until(lambda: driver.poll().due < 0)
    assert not running(driver.pid)


def test_a_full_disk_is_said_clearly(plan: LoadPlan, drive: Drive, monkeypatch: pytest.MonkeyPatch) -> None:
    python = plan.samples.parent / "python"
    python.write_text(f"#!/bin/sh\nexit {EXIT_DISK_FULL}\n", encoding="utf-8")
    python.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(python))
    with pytest.raises(LoadError, match=r"disk is full.*samples-main\.bin"):
        drive(plan)


def test_the_writer_ends_on_a_full_disk() -> None:
    program = """
from pathlib import Path
from meshchaos.load.generator.rows import RowWriter
RowWriter(Path("/dev/full")).beat(1.0, oldest=0.0, scheduler_lag=0.0, due=0, in_flight=0)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == EXIT_DISK_FULL
    assert "No space left" in done.stderr


def test_the_plan_survives_the_pipe(plan: LoadPlan) -> None:
    request = replace(plan.requests[0], headers={"a": "b"}, body=b"\x00\xff")
    for whole in (replace(plan, requests=(request,)), replace(plan, locustfile=Path("/x/own.py"), users=3)):
        line = encode(whole, parent=42, guard=True)
        assert line.count(b"\n") == 1
        assert json.loads(line)
        assert decode(line) == (whole, 42, True)


def test_started_in_a_thread_it_lives_on_without_it(aimed: LoadPlan, server: Server) -> None:
    driver = LocustDriver(aimed)
    thread = threading.Thread(target=driver.start)
    thread.start()
    thread.join()
    due = driver.poll().due
    until(lambda: driver.poll().due > due + 20)
    driver.close()
