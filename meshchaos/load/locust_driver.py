"""Locust as a process of our own, behind the ``LoadDriver`` seam."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Final

from meshchaos.errors import LoadError
from meshchaos.load.driver import LoadPlan
from meshchaos.load.file_driver import FileDriver
from meshchaos.load.wire import EXIT_DISK_FULL, FD_VARIABLE, STOP, encode

_HERE: Final = Path(__file__).parent


class LocustDriver(FileDriver):
    """One load, by a process beside us. Not thread-safe. ``latency_limit``: the tightest latency that will be judged,
    seconds.
    """

    def __init__(self, plan: LoadPlan, *, latency_limit: float | None = None) -> None:
        super().__init__(plan, latency_limit=latency_limit)
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe = -1

    @property
    def pid(self) -> int | None:
        """Of the Locust process."""
        return self._process.pid if self._process else None

    @property
    def _begun(self) -> bool:
        return self._process is not None

    def _tell_stop(self) -> None:
        with contextlib.suppress(BrokenPipeError):  # it has ended by itself: poll() tells how
            os.write(self._pipe, STOP)

    def _end(self) -> None:
        process = self._process
        if process is not None and process.returncode is None:  # not reaped: the group is still ours alone
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        if self._pipe >= 0:
            os.close(self._pipe)
            self._pipe = -1

    def _begin(self) -> None:
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
        guard = threading.current_thread() is threading.main_thread()
        with contextlib.suppress(BrokenPipeError):  # it has ended already: the caller sees that
            _write_all(self._pipe, encode(plan, parent=os.getpid(), guard=guard))

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
