"""Locust as a process of our own, behind the ``LoadDriver`` seam."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Final

from meshchaos.errors import LoadError
from meshchaos.history.records import GeneratorHealth
from meshchaos.history.samples import Samples
from meshchaos.load import health, sample_file
from meshchaos.load.driver import LoadPlan, Pulse
from meshchaos.load.wire import EXIT_DISK_FULL, FD_VARIABLE, STOP, encode

START_TIMEOUT: Final = 30.0
"""Seconds to the first request; Locust needs about 0.5 s on an idle machine."""
SILENCE: Final = 20.0
"""Seconds without a beat after which a generator that still lives is given up: stopped, or stuck in a locustfile."""
_STEP: Final = 0.02
_HERE: Final = Path(__file__).parent


class LocustDriver:
    """One load. Not thread-safe. ``latency_limit``: the tightest latency that will be judged, seconds."""

    def __init__(self, plan: LoadPlan, *, latency_limit: float | None = None) -> None:
        self._plan = plan
        self._latency_limit = latency_limit
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe = -1
        self._file: sample_file.SampleFile | None = None
        self._heard = 0.0
        self._stopped = False

    @property
    def pid(self) -> int | None:
        """Of the Locust process."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Returns when the first request is on its way. Raises LoadError with Locust's own words."""
        sample_file.create(self._plan)
        self._file = sample_file.SampleFile(self._plan.samples)
        try:
            self._spawn()
            self._await_first()
        except BaseException:
            self.close()
            raise

    def _await_first(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        while not (pulse := self._read()) or (pulse.due == 0 and not pulse.finished):
            self._check()
            if time.monotonic() > deadline:
                raise LoadError(f"load {self._plan.name}: no request within {START_TIMEOUT:g} s{self._last_words()}")
            time.sleep(_STEP)

    def poll(self) -> Pulse:
        """Reads what has come since. Raises LoadError when the generator died or stands still."""
        pulse = self._read()
        self._check()
        assert pulse is not None, "start() comes first"
        if not pulse.finished and time.monotonic() - self._heard > SILENCE:
            self.close()
            raise LoadError(f"load {self._plan.name}: the generator has stood still for {SILENCE:g} s")
        return pulse

    def samples(self) -> Samples:
        assert self._file is not None, "start() comes first"
        return self._file.samples()

    def stop(self, timeout: float) -> None:
        """No more arrivals; waits at most ``timeout`` seconds until what is in flight is resolved."""
        if self._process is None:
            return
        if not self._stopped:
            self._stopped = True
            with contextlib.suppress(BrokenPipeError):  # it has ended by itself: poll() tells how
                os.write(self._pipe, STOP)
        deadline = time.monotonic() + timeout
        while not self.poll().finished and time.monotonic() < deadline:
            time.sleep(_STEP)

    def health(self, start: float, end: float) -> GeneratorHealth:
        """Over arrivals whose intended start lies in [start, end); constants and reasons in ``load.health``."""
        assert self._file is not None, "start() comes first"
        self._read()
        return health.judge(
            self._file.samples(),
            self._file.beats(),
            rate=self._plan.rate if self._plan.locustfile is None else None,
            start=start,
            end=end,
            latency_limit=self._latency_limit,
        )

    def close(self) -> None:
        """Ends Locust and whatever it started, now. What it wrote can still be read. Idempotent."""
        process = self._process
        if process is not None and process.returncode is None:  # not reaped: the group is still ours alone
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        if self._pipe >= 0:
            os.close(self._pipe)
            self._pipe = -1
        if self._file is not None:
            self._read()
            self._file.close()

    def _spawn(self) -> None:
        plan = self._plan
        reading, self._pipe = os.pipe()
        closed = plan.locustfile is not None
        users = str(plan.users or 1) if closed else "1"
        command = [
            sys.executable,
            "-m",
            "locust",
            "-f",
            str(_HERE / ("own_locustfile.py" if closed else "locustfile.py")),
        ]
        command += ["--headless", "--only-summary", "--users", users, "--spawn-rate", users]
        command += ["--exit-code-on-error", "0", "--loglevel", "WARNING"]
        try:
            with plan.log.open("ab") as log:
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=_environment(reading, private_home=None if closed else plan.samples.parent),
                    cwd=None if closed else plan.samples.parent,
                    pass_fds=(reading,),
                    start_new_session=True,  # the terminal's Ctrl-C is the runner's to handle
                )
        except OSError as error:
            os.close(self._pipe)
            self._pipe = -1
            raise LoadError(f"load {plan.name}: cannot start Locust: {error}") from error
        finally:
            os.close(reading)
        self._heard = time.monotonic()
        guard = threading.current_thread() is threading.main_thread()
        with contextlib.suppress(BrokenPipeError):  # it has ended already: the caller sees that
            _write_all(self._pipe, encode(plan, parent=os.getpid(), guard=guard))

    def _read(self) -> Pulse | None:
        if self._file is None:
            return None
        if self._file.read():
            self._heard = time.monotonic()
        return self._file.pulse

    def _check(self) -> None:
        """Raises LoadError when the process ended before its work did."""
        if self._process is None or (code := self._process.poll()) is None:
            return
        pulse = self._read()
        if pulse is not None and pulse.finished:
            return
        name = self._plan.name
        if code == EXIT_DISK_FULL:
            raise LoadError(f"load {name}: the disk is full, {self._plan.samples} takes no more samples")
        how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        raise LoadError(f"load {name}: Locust ended before its time ({how}){self._last_words()}")

    def _last_words(self) -> str:
        """The end of its log, on one line."""
        try:
            text = self._plan.log.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return f": {' | '.join(lines[-3:])[-600:]}" if lines else ""


def _environment(fd: int, *, private_home: Path | None) -> dict[str, str]:
    """Ours, without proxies and without settings of the user's for Locust: those are for their own runs of it."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.lower().endswith("_proxy") and not name.startswith("LOCUST_")
    }
    if private_home is not None:
        kept["HOME"] = str(private_home)  # ~/.locust.conf
    return {**kept, FD_VARIABLE: str(fd), "PYTHONUNBUFFERED": "1"}


def _write_all(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]
